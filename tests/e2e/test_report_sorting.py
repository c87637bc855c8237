"""The tables of a report sort in a real browser: numbers by value, times by moment, texts by letter, unknown last."""

import json
import shutil
import subprocess
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Final

import pytest

from tests.lab.errors import LabUnavailable
from tests.lab.host import require_programs
from tests.unit.maintenance.read_page import parsed
from tests.unit.maintenance.test_page import report, run
from trader.maintenance import page
from trader.maintenance.model import Column, Table, Unit

BROWSERS: Final = ("chromium", "chromium-headless-shell", "chromium-browser", "google-chrome")
pytestmark = pytest.mark.e2e

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
# Clicks on each heading twice; what the first column says after each click, and how the heading says it is sorted.
CLICK = """<script>
const told = {};
for (const button of document.querySelectorAll("#health table.sortable th button")) {
  told[button.textContent] = [1, 2].map(() => {
    button.click();
    const rows = [...button.closest("table").querySelectorAll("tbody tr")];
    return [rows.map((row) => row.cells[0].textContent.trim()), button.closest("th").getAttribute("aria-sort")];
  });
}
const found = document.createElement("pre");
found.id = "found";
found.textContent = JSON.stringify(told);
document.body.append(found);
</script></body>"""


@pytest.fixture(scope="module")
def clicked(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """By heading: after one click and after two, the first column and the order that the heading tells."""
    folder = tmp_path_factory.mktemp("sorting")
    file = folder / "page.html"
    html = page.render(report(run(tables=(Table.of("Fruit", COLUMNS, ROWS),))))
    file.write_text(html.replace("</body>", CLICK))
    command = [
        browser(), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder}/browser", "--dump-dom",
        file.as_uri(),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    _, _, rest = done.stdout.partition('<pre id="found">')
    return json.loads(parsed(f"<pre>{rest.partition('</pre>')[0]}</pre>").text)


def browser() -> str:
    try:
        if not any(map(shutil.which, BROWSERS)):
            require_programs({BROWSERS[0]: "chromium"})
    except LabUnavailable as error:
        pytest.skip(f"nothing can click: {error}")
    return next(filter(None, map(shutil.which, BROWSERS)))


@pytest.mark.parametrize("column", ORDERS)
def test_a_click_on_a_heading_sorts_by_what_the_column_means_and_what_is_not_known_comes_last(
    column: str, clicked: Any
) -> None:
    assert clicked[column][0] == [ORDERS[column].split(), "ascending"]


def test_a_second_click_turns_the_order_round_and_leaves_what_is_not_known_at_the_end(clicked: Any) -> None:
    assert clicked["Money"][1] == [["Banana", "pear", "apple", "fig"], "descending"]
