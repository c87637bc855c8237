"""``python -m benchmarks``: what it runs, writes and answers, with a benchmark that measures nothing."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

from benchmarks.__main__ import NAMES, main
from benchmarks.options import BenchmarkFailed, Options
from benchmarks.page import BEGIN, END
from benchmarks.report import Goal, Report, Table, figure

Measure = Callable[[Options], tuple[Sequence[Table], Sequence[Goal]]]
TABLE = Table(title="waits", figures=(figure("ours", "µs", [1.0, 2.0]),))


def goal(met: bool) -> Goal:
    return Goal(what="waits", limit="< 2 µs", measured="1 µs", met=met, why="" if met else "slow")


@pytest.fixture
def pretend(monkeypatch: pytest.MonkeyPatch) -> Callable[[str, Measure], None]:
    """Puts a benchmark in the place of a real one."""

    def put(name: str, measure: Measure) -> None:
        module = ModuleType(f"benchmarks.{name}")
        module.measure = measure  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, f"benchmarks.{name}", module)

    return put


def missing(options: Options) -> tuple[Sequence[Table], Sequence[Goal]]:
    raise BenchmarkFailed("there is no Prometheus; install one")


def test_it_tells_the_benchmark_seed_and_haste(pretend: Callable[[str, Measure], None]) -> None:
    heard: list[Options] = []

    def measure(options: Options) -> tuple[Sequence[Table], Sequence[Goal]]:
        heard.append(options)
        return [TABLE], []

    pretend("tick_to_order", measure)
    assert main(["tick-to-order", "--quick", "--seed", "7"]) == 0
    assert [(item.seed, item.quick) for item in heard] == [(7, True)]


@pytest.mark.parametrize(("met", "code"), [(True, 0), (False, 3)])
def test_a_goal_that_is_missed_is_in_the_exit_code(
    pretend: Callable[[str, Measure], None], capsys: pytest.CaptureFixture[str], met: bool, code: int
) -> None:
    pretend("replay", lambda options: ([TABLE], [goal(met)]))
    assert main(["replay"]) == code
    said = capsys.readouterr().out
    assert ("met" if met else "missed") in said
    assert "ours" in said


def test_reports_are_written_as_json_and_into_the_page(pretend: Callable[[str, Measure], None], tmp_path: Path) -> None:
    pretend("replay", lambda options: ([TABLE], [goal(met=True)]))
    page, file = tmp_path / "page.md", tmp_path / "reports.json"
    page.write_text(f"{BEGIN}\n{END}\n")
    assert main(["replay", "--seed", "3", "--json", str(file), "--page", str(page)]) == 0
    (report,) = msgspec.json.decode(file.read_bytes(), type=list[Report])
    assert (report.name, report.seed, report.tables) == ("replay", 3, (TABLE,))
    assert report.command == "python -m benchmarks replay --seed 3"
    assert "### replay" in page.read_text()


def test_what_is_missing_is_one_sentence_and_what_was_measured_before_is_kept(
    pretend: Callable[[str, Measure], None], capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pretend("replay", lambda options: ([TABLE], []))
    pretend("rules", missing)
    file = tmp_path / "reports.json"
    assert main(["replay", "rules", "--json", str(file)]) == 1
    assert "benchmarks: there is no Prometheus; install one" in capsys.readouterr().err
    assert [item.name for item in msgspec.json.decode(file.read_bytes(), type=list[Report])] == ["replay"]


def test_all_means_every_benchmark_once(pretend: Callable[[str, Measure], None]) -> None:
    ran: list[str] = []

    def measures(name: str) -> Measure:
        def measure(options: Options) -> tuple[Sequence[Table], Sequence[Goal]]:
            ran.append(name)
            return [TABLE], []

        return measure

    for name in NAMES:
        pretend(name.replace("-", "_"), measures(name))
    assert main(["all", "--quick"]) == 0
    assert ran == list(NAMES)


def test_a_name_that_is_none_is_refused_with_those_that_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["nosuch"])
    assert "tick-to-order" in capsys.readouterr().err
