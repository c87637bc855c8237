"""The tables of a report sort in a real browser: numbers by value, times by moment, texts by letter, unknown last."""

import re
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from tests.unit.maintenance.read_page import cells, parsed
from tests.unit.maintenance.test_page import report, run
from trader.maintenance import page
from trader.maintenance.model import Column, Table, Unit

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(BROWSER is None, reason="no chromium is installed, so nothing can click"),
]

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)
COLUMNS = (
    Column("Name"), Column("Number", Unit.COUNT), Column("Money", Unit.MONEY), Column("Took", Unit.SECONDS),
    Column("At", Unit.MOMENT), Column("Size", Unit.BYTES),
)  # fmt: skip
# As text "9" is after "10", "−2" before "−10", "85 ms" after "2 min", "1.0 GB" before "999 kB".
ROWS = (
    ("pear", 10, Decimal("-2"), 120.0, NOON + timedelta(days=9), 10**9),
    ("apple", 9, Decimal("-10"), 0.085, NOON, 999_000),
    ("fig", None, None, None, None, None),
    ("Banana", 1_000, Decimal("0.5"), 3.2, NOON - timedelta(days=40), 5),
)
ORDERS = {
    "Name": "apple Banana fig pear",
    "Number": "apple pear Banana fig",
    "Money": "apple pear Banana fig",
    "Took": "apple Banana pear fig",
    "At": "Banana apple pear fig",
    "Size": "Banana apple pear fig",
}
CLICK = """<script>for (const button of document.querySelectorAll("#health th button")) {
  if (button.textContent === "COLUMN") for (let n = 0; n < TIMES; n++) button.click();
}</script></body>"""


def clicked(tmp_path: Path, column: str, times: int) -> tuple[list[str], str]:
    """The first column after clicks on a heading, and how the heading says that it is sorted."""
    assert BROWSER is not None
    html = page.render(report(run(tables=(Table.of("Fruit", COLUMNS, ROWS),))))
    file = tmp_path / "page.html"
    file.write_text(html.replace("</body>", CLICK.replace("COLUMN", column).replace("TIMES", str(times))))
    command = [
        BROWSER, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/browser", "--dump-dom",
        file.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    # The browser writes elements that never end without a slash; the scripts are no part of the table.
    tree = parsed(re.sub(r"<script.*?</script>", "", done.stdout, flags=re.DOTALL))
    (section,) = [item for item in tree.every("section") if item.attributes.get("id") == "health"]
    (table,) = section.every("table", "sortable")
    (head,) = [head for head in table.every("th") if head.text == column]
    return [row[0].text for row in cells(table)], head.attributes.get("aria-sort", "")


@pytest.mark.parametrize("column", ORDERS)
def test_a_click_on_a_heading_sorts_by_what_the_column_means_and_what_is_not_known_comes_last(
    column: str, tmp_path: Path
) -> None:
    assert clicked(tmp_path, column, 1) == (ORDERS[column].split(), "ascending")


def test_a_second_click_turns_the_order_round_and_leaves_what_is_not_known_at_the_end(tmp_path: Path) -> None:
    assert clicked(tmp_path, "Money", 2) == (["Banana", "pear", "apple", "fig"], "descending")
