"""The page with the tables: what stands between its marks is written, the rest is left as it is."""

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec
import pytest

from benchmarks.machine import Machine
from benchmarks.options import BenchmarkFailed
from benchmarks.page import BEGIN, END, replace_results, results
from benchmarks.report import Goal, Report, Table, figure

PAGE = f"# Performance\n\nBefore.\n\n{BEGIN}\nold\n{END}\n\nAfter.\n"
MET = Goal(what="ready", limit="< 2 s", measured="1.2 s", met=True)
MISSED = Goal(what="replay", limit="≥ 100,000", measured="90,000", met=False, why="a tenth short: the disk")


def report(*goals: Goal, compared: str = "") -> Report:
    machine = Machine(
        processor="Test CPU",
        processors=2,
        memory_gib=3.9,
        system="Linux 6.1",
        python="CPython 3.11.2",
        packages={"msgspec": "0.19"},
        load=0.1,
    )
    waits = Table(title="waits", figures=(figure("ours", "µs", [3.0, 1.0]),), compared=compared, note="Quiet.")
    return Report(
        name="replay",
        title="quotes a second",
        command="python -m benchmarks replay --seed 1",
        seed=1,
        at=datetime(2026, 3, 2, 14, 30, tzinfo=UTC),
        duration_s=1.5,
        machine=machine,
        tables=(waits,),
        goals=goals,
    )


@pytest.fixture
def page(tmp_path: Path) -> Callable[[str], Path]:
    def written(text: str) -> Path:
        path = tmp_path / "page.md"
        path.write_text(text)
        return path

    return written


def test_only_what_stands_between_the_marks_is_replaced(page: Callable[[str], Path]) -> None:
    path = page(PAGE)
    replace_results(path, [report()])
    text = path.read_text()
    assert text.startswith(f"# Performance\n\nBefore.\n\n{BEGIN}\n")
    assert text.endswith(f"{END}\n\nAfter.\n")
    assert "old" not in text
    assert "### replay" in text


def test_writing_twice_gives_the_same_page(page: Callable[[str], Path]) -> None:
    path = page(PAGE)
    replace_results(path, [report(MET)])
    once = path.read_text()
    replace_results(path, [report(MET)])
    assert path.read_text() == once


@pytest.mark.parametrize("text", ["", "# Performance\n", f"{BEGIN}\n", f"{END}\n{BEGIN}\n"])
def test_a_page_without_both_marks_is_left_alone(page: Callable[[str], Path], text: str) -> None:
    path = page(text)
    with pytest.raises(BenchmarkFailed, match="has no place for results"):
        replace_results(path, [report()])
    assert path.read_text() == text


def test_a_page_that_is_not_there_is_said_to_have_no_place(tmp_path: Path) -> None:
    with pytest.raises(BenchmarkFailed, match="has no place for results"):
        replace_results(tmp_path / "nosuch.md", [report()])


def test_a_goal_that_is_missed_says_by_how_much_and_why() -> None:
    lines = results([report(MET), report(MISSED)]).splitlines()
    assert "| ready | < 2 s | 1.2 s | met |" in lines
    assert "| replay | ≥ 100,000 | 90,000 | **missed**: a tenth short: the disk |" in lines


def test_every_table_of_the_page_has_as_many_cells_in_each_row() -> None:
    for block in results([report(MET, compared="median to theirs")]).split("\n\n"):
        rows = [line for line in block.splitlines() if line.startswith("|")]
        assert len({row.count("|") for row in rows}) <= 1, block


def test_the_page_names_machine_seed_command_and_what_ratios_are_of() -> None:
    text = results([report(compared="median to theirs")])
    assert "02 March 2026, Test CPU, 2 processors, 3.9 GiB, Linux 6.1, CPython 3.11.2, msgspec 0.19; seed 1." in text
    assert "Quotes a second: `python -m benchmarks replay --seed 1`, 1.5 s." in text
    assert "**waits** (ratio: median to theirs)" in text
    assert "Quiet." in text


def test_a_report_survives_being_written_as_json() -> None:
    written = msgspec.json.encode([report(MET, MISSED)])
    assert msgspec.json.decode(written, type=list[Report]) == [report(MET, MISSED)]


def test_the_documentation_has_a_place_for_results() -> None:
    page = Path(__file__).resolve().parents[3] / "docs" / "performance.md"
    text = page.read_text(encoding="utf-8")
    assert text.count(BEGIN) == 1
    assert text.count(END) == 1
    assert text.index(BEGIN) < text.index(END)
