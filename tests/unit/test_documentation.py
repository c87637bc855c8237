"""What the documentation says is there, is there.

Rules: only what can be looked up is checked: links, pictures, commands, configurations, the table of order states.
"""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from trader.cli import COMMANDS
from trader.events import OrderState, OrderTrigger
from trader.orders import TRANSITIONS
from trader.settings_file import ConfigurationError, load_settings
from trader.simulator.faults import load_faults
from trader.simulator.recorded import read_rows

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").glob("*.md")])
IMAGE_MAX_BYTES = 400_000
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
FAULT_KEYS = ("seed:", "link:")


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as the usual renderers make them."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


def links() -> Iterator[tuple[Path, str]]:
    for page in PAGES:
        for target in LINK.findall(page.read_text(encoding="utf-8")):
            if "://" not in target:
                yield page, target


def blocks(language: str) -> Iterator[tuple[Path, str]]:
    for page in PAGES:
        for found, text in BLOCK.findall(page.read_text(encoding="utf-8")):
            if found == language:
                yield page, text


def test_every_link_leads_somewhere() -> None:
    broken = []
    for page, target in links():
        name, _, anchor = target.partition("#")
        file = (page.parent / name).resolve() if name else page
        if not file.exists() or (anchor and file.suffix == ".md" and anchor not in anchors(file)):
            broken.append(f"{page.name}: {target}")
    assert not broken, broken


def test_pictures_are_small_and_ask_nobody_for_anything() -> None:
    for picture in (ROOT / "docs" / "images").iterdir():
        assert picture.stat().st_size < IMAGE_MAX_BYTES, picture
        if picture.suffix == ".svg":
            assert not re.search(r"url\((?!#)|<image|<script|@import", picture.read_text(encoding="utf-8")), picture


def test_every_command_that_is_written_down_exists() -> None:
    for page in PAGES:
        text = "\n".join(body for _, body in BLOCK.findall(page.read_text(encoding="utf-8")))
        written = set(re.findall(r"^(?:PYTHONPATH=\S+ )?trader ([a-z]+)", text, re.MULTILINE))
        written |= set(re.findall(r"`trader ([a-z]+)[^`]*`", page.read_text(encoding="utf-8")))
        assert written <= set(COMMANDS), page


def test_the_readme_names_every_command() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    section = text.partition("## Commands")[2].partition("\n## ")[0]
    assert not [name for name in COMMANDS if not re.search(rf"`(?:trader )?{name}\b", section)]


@pytest.mark.parametrize(("page", "text"), list(blocks("yaml")), ids=lambda part: getattr(part, "name", ""))
def test_every_configuration_that_is_written_down_can_be_used(tmp_path: Path, page: Path, text: str) -> None:
    file = tmp_path / "written.yaml"
    if text.startswith(FAULT_KEYS):
        file.write_text(text)
        assert load_faults(file).link
        return
    file.write_text(text if "instruments:" in text else f"instruments: [SPY, IBM]\n{text}")
    try:
        load_settings(file)
    except ConfigurationError as error:
        pytest.fail(f"{page.name}: {error}")


def test_the_recorded_rows_that_are_written_down_can_be_read(tmp_path: Path) -> None:
    texts = [text for _, text in blocks("") if text.startswith("time,symbol,")]
    assert texts
    for text in texts:
        file = tmp_path / "day.csv"
        file.write_text(text)
        assert len(list(read_rows(file))) == len(text.splitlines()) - 1


def test_the_table_of_order_states_is_the_one_in_force() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    table = text.partition("<!-- order states: begin -->\n")[2].partition("<!-- order states: end -->")[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines()]
    assert cells[0][1:] == [words(state) for state in OrderState]
    assert {row[0]: row[1:] for row in cells[2:]} == {
        words(trigger): [words(TRANSITIONS[state].get(trigger)) for state in OrderState] for trigger in OrderTrigger
    }


def words(name: str | None) -> str:
    return "·" if name is None else name.replace("_", " ")
