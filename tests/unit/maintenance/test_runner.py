"""A task in a process of its own: what comes back when it ends well, raises, hangs, dies or is stopped."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.unit.maintenance.frame import Bench
from trader.clock import SystemClock
from trader.journal import JournalError
from trader.maintenance import runner
from trader.maintenance.context import Context, Folders
from trader.maintenance.model import Kind, Outcome, Section
from trader.maintenance.period import period_of
from trader.maintenance.runner import Forked, Stop
from trader.maintenance.sources import NoMetrics
from trader.maintenance.tasks import Task

LONG_S = 60.0


@pytest.fixture
def context(tmp_path: Path) -> Context:
    bench = Bench(tmp_path)
    world = bench.world()
    folders = Folders(bench.reports, tmp_path / "backups", tmp_path, None)
    return Context(
        kind=Kind.DAILY, settings=bench.settings, config_file=tmp_path / "config.yaml", clock=bench.clock,
        period=period_of(Kind.DAILY, bench.clock.now(), None), folders=folders, place=world.place, logs=world.logs,
        metrics=NoMetrics(),
    )  # fmt: skip


def task(run: Callable[[Context], Section]) -> Task:
    return Task("probe", "A probe", run, LONG_S, LONG_S)


def section(context: Context) -> Section:
    return Section(key="other", title="A probe", outcome=Outcome.WARNING, sentence=f"about {context.period.label}")


def forked(stop: Stop | None = None) -> Forked:
    return Forked(SystemClock(), stop or Stop())


def test_a_section_comes_back_under_the_tasks_name(context: Context) -> None:
    found = forked()(task(section), context, LONG_S)
    assert (found.key, found.outcome, found.sentence) == ("probe", Outcome.WARNING, "about 2026-11-19")


def test_what_a_task_changes_in_memory_stays_in_its_process(context: Context) -> None:
    changed: list[int] = []

    def run(context: Context) -> Section:
        changed.append(os.getpid())
        return section(context)

    forked()(task(run), context, LONG_S)
    assert changed == []


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (JournalError("the journal is damaged; restore it"), "the journal is damaged; restore it"),
        (ValueError("no such day"), "ValueError: no such day"),
        (KeyError(), "KeyError"),
        (SystemExit(3), "SystemExit: 3"),
        (OSError(28, "No space left on device"), "[Errno 28] No space left on device"),
    ],
)
def test_a_task_that_raises_has_failed_with_a_sentence(context: Context, error: BaseException, sentence: str) -> None:
    def run(context: Context) -> Section:
        raise error

    found = forked()(task(run), context, LONG_S)
    assert (found.outcome, found.sentence) == (Outcome.FAILED, sentence)
    assert found.mend == "journalctl -u ibkr-maintenance-daily -n 50"


def hang(context: Context) -> Section:
    signal.pause()
    return section(context)


def test_a_task_over_its_limit_is_ended(context: Context) -> None:
    found = forked()(task(hang), context, 0.0)
    assert found.outcome is Outcome.FAILED
    assert "did not end within 0 s" in found.sentence


def test_a_task_that_does_not_listen_is_killed(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "GRACE_S", 0.0)

    def deaf(context: Context) -> Section:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        return hang(context)

    assert "did not end within" in forked()(task(deaf), context, 0.0).sentence


def test_what_a_task_started_ends_with_it(context: Context, tmp_path: Path) -> None:
    note = tmp_path / "pid"

    def run(context: Context) -> Section:
        child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
        note.write_text(str(child.pid))
        return section(context)

    forked()(task(run), context, LONG_S)
    assert not is_alive(int(note.read_text()))


def is_alive(process: int) -> bool:
    """Whether ``process`` runs; one that ended and was not waited for yet does not."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_task_that_is_killed_says_by_what(context: Context) -> None:
    def run(context: Context) -> Section:
        os.kill(os.getpid(), signal.SIGKILL)
        return section(context)

    assert forked()(task(run), context, LONG_S).sentence == "its process was killed by signal 9 before it had a result"


def test_a_stop_ends_the_task_that_runs(context: Context) -> None:
    stop = Stop()
    stop.request()
    assert forked(stop)(task(hang), context, LONG_S).sentence == "stopped half-way: the job was asked to end"


def test_a_pause_ends_with_a_stop() -> None:
    stop = Stop()
    waiting = threading.Thread(target=stop.pause, args=(LONG_S,))
    waiting.start()
    stop.request()
    waiting.join(LONG_S)
    assert not waiting.is_alive()


def test_a_section_that_is_too_large_is_refused(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "SECTION_MAX_BYTES", 1_000)

    def run(context: Context) -> Section:
        return Section(key="", title="", outcome=Outcome.OK, sentence="x" * 1_000_000)

    assert "its section is larger" in forked()(task(run), context, LONG_S).sentence


def test_what_is_no_section_is_a_failure(context: Context) -> None:
    assert forked()(task(lambda context: None), context, LONG_S).sentence == "gave no section"  # type: ignore[arg-type, return-value]


def test_what_a_task_prints_does_not_get_to_stdout(context: Context, capfd: pytest.CaptureFixture[str]) -> None:
    def run(context: Context) -> Section:
        os.write(1, b"chatter\n")
        return section(context)

    forked()(task(run), context, LONG_S)
    said = capfd.readouterr()
    assert "chatter" not in said.out
    assert "chatter" in said.err
