"""A job from its start to its report: waiting, overlap, limits, what is written and what is not."""

import errno
import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.unit.maintenance.frame import FRIDAY_EVENING, FRIDAY_NOON, SATURDAY, Bench
from trader.clock import ManualClock
from trader.maintenance import files, history
from trader.maintenance.job import Exit
from trader.maintenance.lock import JobLock
from trader.maintenance.model import Kind, Outcome, Part, Section
from trader.maintenance.surroundings import look_around
from trader.maintenance.tasks import tasks_of
from trader.settings import SessionSettings

SUCCESS = "trader_task_last_success_timestamp_seconds"


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def starts_at(moment: datetime, tmp_path: Path, **more: object) -> Bench:
    return Bench(tmp_path, clock=ManualClock(moment), **more)  # type: ignore[arg-type]


# -- what it does


def test_every_task_runs_in_the_tables_order_and_is_in_the_report(bench: Bench) -> None:
    ended = bench.run()
    names = [task.name for task in tasks_of(Kind.DAILY)]
    assert ended.exit is Exit.OK
    assert [name for name, _, _ in bench.seen] == names
    assert ended.report is not None
    assert [run.task for run in ended.report.runs] == names
    assert ended.report.label == "2026-11-20"


def test_the_report_is_a_page_and_a_json_with_an_index_over_them(bench: Bench) -> None:
    ended = bench.run()
    assert ended.page == bench.reports / "daily" / "2026-11-20_20261120T221500Z.html"
    kept = json.loads(ended.page.with_suffix(".json").read_bytes())
    assert (kept["kind"], kept["outcome"], kept["dry_run"]) == ("daily", "ok", False)
    assert "2026-11-20_20261120T221500Z.html" in (bench.reports / "index.html").read_text()


def test_a_task_that_failed_leaves_the_others_and_fails_the_job(bench: Bench) -> None:
    bench.outcomes = {"errors": Outcome.FAILED}
    ended = bench.run()
    assert ended.exit is Exit.FAILED
    assert len(bench.seen) == len(tasks_of(Kind.DAILY))
    assert bench.metrics()['trader_task_last_exit_code{task="errors"}'] == 1
    assert bench.metrics()['trader_task_last_exit_code{task="health"}'] == 0
    assert f'{SUCCESS}{{task="errors"}}' not in bench.metrics()


@pytest.mark.parametrize("outcome", [Outcome.WARNING, Outcome.UNKNOWN])
def test_a_warning_and_what_is_not_known_do_not_fail_the_job(bench: Bench, outcome: Outcome) -> None:
    bench.outcomes = {"health": outcome}
    assert bench.run().exit is Exit.OK
    assert f'{SUCCESS}{{task="health"}}' in bench.metrics()


def test_a_failed_task_keeps_its_earlier_success(bench: Bench) -> None:
    bench.run()
    succeeded = bench.metrics()[f'{SUCCESS}{{task="backup"}}']
    bench.clock.advance(timedelta(days=1))
    bench.outcomes = {"backup": Outcome.FAILED}
    bench.run()
    assert bench.metrics()[f'{SUCCESS}{{task="backup"}}'] == succeeded
    assert bench.metrics()['trader_task_last_run_timestamp_seconds{task="backup"}'] > succeeded


def test_a_part_of_a_task_has_metrics_of_its_own_when_it_was_tried(tmp_path: Path) -> None:
    bench = starts_at(SATURDAY, tmp_path)
    drilled = Part(task="panic_drill", outcome=Outcome.OK, duration_s=4.5)
    bench.sections = {"drills": Section(key="", title="", outcome=Outcome.OK, sentence="", parts=(drilled,))}
    bench.run(Kind.WEEKLY)
    metrics = bench.metrics(Kind.WEEKLY)
    assert f'{SUCCESS}{{task="panic_drill"}}' in metrics
    assert metrics['trader_task_last_duration_seconds{task="panic_drill"}'] == 4.5
    assert f'{SUCCESS}{{task="page_drill"}}' not in metrics
    assert 'trader_task_max_staleness_seconds{task="page_drill"}' in metrics


def test_maintenance_is_declared_while_it_runs_and_over_when_it_is(bench: Bench) -> None:
    during: list[float] = []
    bench.at_task = {"health": lambda: during.append(bench.metrics()[end])}
    end = 'trader_maintenance_end_timestamp_seconds{kind="daily"}'
    bench.run()
    assert during == [(FRIDAY_EVENING + timedelta(seconds=1_200)).timestamp()]
    assert bench.metrics()[end] == bench.clock.now().timestamp()


def test_the_service_is_told_and_why_it_was_not_is_in_the_report(bench: Bench) -> None:
    bench.untold = "no service is running"
    ended = bench.run()
    assert [report.label for report in bench.told] == ["2026-11-20"]
    assert ended.report is not None
    assert ended.report.notes == ("Not in the journal: no service is running.",)


def test_a_tasks_scratch_is_private_and_gone_afterwards(bench: Bench) -> None:
    modes: list[int] = []
    bench.at_task = {"backup": lambda: modes.append(bench.seen[-1][1].folders.scratch.stat().st_mode & 0o777)}
    (bench.work / "scratch-left").mkdir(parents=True)
    bench.run()
    assert modes == [0o700]
    assert not list(bench.work.glob("scratch-*"))


# -- when


def test_a_job_that_is_started_in_the_session_waits_for_its_close_and_a_margin(tmp_path: Path) -> None:
    bench = starts_at(FRIDAY_NOON, tmp_path)
    ended = bench.run()
    assert ended.report is not None
    closes = datetime(2026, 11, 20, 21, 0, tzinfo=UTC)
    assert ended.report.started_at >= closes + timedelta(minutes=10)
    assert ended.report.started_at - closes < timedelta(minutes=11)
    assert ended.report.label == "2026-11-20"
    assert any("the session 2026-11-20 is open until 2026-11-20 21:00 UTC" in said for said in bench.said)


def test_a_job_that_waits_declares_when_it_will_run(tmp_path: Path) -> None:
    """Else MaintenanceOverrun would page: a unit that is activating, after the end that was declared last."""
    bench = starts_at(FRIDAY_NOON, tmp_path)
    bench.stop.stop_at = FRIDAY_NOON + timedelta(minutes=1)
    seen: list[dict[str, float]] = []
    pause = bench.stop.pause

    def look(seconds: float) -> None:
        seen.append(bench.metrics())
        pause(seconds)

    bench.stop.pause = look  # type: ignore[method-assign]
    assert bench.run().exit is Exit.FAILED
    begins = datetime(2026, 11, 20, 21, 10, tzinfo=UTC)
    metrics = seen[0]
    assert metrics['trader_maintenance_start_timestamp_seconds{kind="daily"}'] == begins.timestamp()
    assert metrics['trader_maintenance_end_timestamp_seconds{kind="daily"}'] == begins.timestamp() + 1_200
    assert not [name for name in bench.metrics() if name.startswith("trader_maintenance_")]  # it does not run any more


def test_a_job_that_is_stopped_while_it_waits_does_nothing(tmp_path: Path) -> None:
    bench = starts_at(FRIDAY_NOON, tmp_path)
    bench.stop.request()
    ended = bench.run()
    assert (ended.exit, ended.report, bench.seen) == (Exit.FAILED, None, [])
    assert "nothing was done" in ended.problems[0]


def test_a_job_is_put_off_when_its_time_is_further_than_it_may_wait(tmp_path: Path) -> None:
    bench = starts_at(FRIDAY_NOON, tmp_path, maintenance={"wait_max_s": 3_600.0})
    ended = bench.run()
    assert (ended.exit, bench.stop.pauses) == (Exit.PUT_OFF, 0)
    assert "maintenance.wait_max_s" in ended.problems[0]


def test_a_job_that_is_put_off_gets_overdue_in_time_even_if_it_never_ran(tmp_path: Path) -> None:
    bench = starts_at(FRIDAY_NOON, tmp_path, maintenance={"wait_max_s": 3_600.0})
    bench.run()
    names = [task.name for task in tasks_of(Kind.DAILY)]
    assert {f'trader_task_max_staleness_seconds{{task="{name}"}}' for name in names} == bench.metrics().keys()


def test_a_job_that_does_not_fit_before_the_opening_waits_for_the_close(tmp_path: Path) -> None:
    before = datetime(2026, 11, 20, 14, 5, tzinfo=UTC)  # 25 minutes before the opening
    bench = starts_at(before, tmp_path)
    ended = bench.run()
    assert ended.report is not None
    assert ended.report.started_at > datetime(2026, 11, 20, 21, 0, tzinfo=UTC)


def test_a_reset_of_the_broker_is_waited_for(tmp_path: Path) -> None:
    bench = starts_at(datetime(2026, 11, 19, 5, 30, tzinfo=UTC), tmp_path)  # 00:30 in New York
    ended = bench.run()
    assert ended.report is not None
    assert ended.report.started_at >= datetime(2026, 11, 19, 6, 55, tzinfo=UTC)
    assert any("reset" in said for said in bench.said)


# -- overlap


def test_another_run_of_the_same_kind_is_refused_at_once(bench: Bench) -> None:
    with JobLock(bench.work / "daily.lock", "the first"):
        ended = bench.run()
    assert (ended.exit, ended.report) == (Exit.HELD, None)
    assert "the first holds the lock" in ended.problems[0]
    assert bench.run().exit is Exit.OK


def test_a_job_of_another_kind_is_waited_for(bench: Bench) -> None:
    other = JobLock(bench.work / "running.lock", "weekly maintenance")
    other.acquire()
    pause = bench.stop.pause

    def release_soon(seconds: float) -> None:
        pause(seconds)
        if bench.stop.pauses == 3:
            other.release()

    bench.stop.pause = release_soon  # type: ignore[method-assign]
    ended = bench.run()
    assert ended.exit is Exit.OK
    assert ended.report is not None
    assert "weekly maintenance runs" in ended.report.notes[0]


def test_a_job_of_another_kind_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    bench = Bench(tmp_path, maintenance={"wait_max_s": 60.0})
    with JobLock(bench.work / "running.lock", "weekly maintenance"):
        assert bench.run().exit is Exit.HELD
    assert bench.seen == []


# -- limits


def test_a_task_gets_no_more_time_than_the_job_has_left(tmp_path: Path) -> None:
    bench = Bench(tmp_path, maintenance={"daily_limit_s": 200.0}, took_s={"health": 150.0})
    bench.run()
    limits = {name: limit for name, _, limit in bench.seen}
    assert limits["health"] == 120.0
    assert limits["errors"] == 50.0


def test_a_task_for_which_no_time_is_left_is_failed_and_not_begun(tmp_path: Path) -> None:
    bench = Bench(tmp_path, maintenance={"daily_limit_s": 100.0}, took_s={"health": 101.0})
    ended = bench.run()
    assert [name for name, _, _ in bench.seen] == ["health"]
    assert ended.report is not None
    assert {run.section.sentence for run in ended.report.runs[1:]} == {"not begun: the job's time was used up"}
    assert ended.exit is Exit.FAILED


def test_a_job_that_is_asked_to_end_reports_what_was_done(bench: Bench) -> None:
    bench.at_task = {"errors": bench.stop.request}
    ended = bench.run()
    assert ended.exit is Exit.FAILED
    assert [name for name, _, _ in bench.seen] == ["health", "errors"]
    assert ended.page is not None
    assert ended.page.exists()
    assert f'{SUCCESS}{{task="health"}}' in bench.metrics()
    assert bench.metrics()['trader_task_last_exit_code{task="backup"}'] == 1


# -- looking only


@pytest.mark.parametrize("moment", [FRIDAY_NOON, FRIDAY_EVENING])
def test_a_dry_run_writes_nothing_and_waits_for_nothing(tmp_path: Path, moment: datetime) -> None:
    bench = starts_at(moment, tmp_path)
    before = sorted(tmp_path.rglob("*"))
    ended = bench.run(dry_run=True)
    assert sorted(tmp_path.rglob("*")) == before
    assert bench.stop.pauses == 0
    assert bench.told == []
    assert all(context.dry_run for _, context, _ in bench.seen)
    assert ended.report is not None
    assert ended.report.dry_run
    assert ended.page is None


def test_a_look_back_writes_its_report_and_neither_metrics_nor_facts(bench: Bench) -> None:
    bench.run()
    before = bench.files()
    earlier = Bench.__new__(Bench)
    earlier.__dict__.update(bench.__dict__, clock=ManualClock(FRIDAY_EVENING - timedelta(days=1)), told=[], seen=[])
    ended = earlier.run(look_back=True)
    assert ended.exit is Exit.OK
    assert ended.report is not None
    assert ended.report.label == "2026-11-19"
    assert earlier.told == []
    assert all(context.dry_run for _, context, _ in earlier.seen)
    changed = {path for path, content in earlier.files().items() if before.get(path) != content}
    assert {path.name for path in changed} - {"index.html", "daily.lock", "running.lock"} == {
        "2026-11-19_20261119T221500Z.html",
        "2026-11-19_20261119T221500Z.json",
    }


# -- faults


def test_a_full_disk_leaves_no_half_report_and_fails_the_run(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.run()
    before = bench.files()
    bench.clock.advance(timedelta(days=1))
    fill_disk(monkeypatch, lambda path: bench.reports in path.parents)
    ended = bench.run()
    assert ended.exit is Exit.FAILED
    assert ended.page is None
    assert "No space left on device" in ended.problems[0]
    reports = {path: content for path, content in bench.files().items() if bench.reports in path.parents}
    assert reports == {path: content for path, content in before.items() if bench.reports in path.parents}
    # The metrics are elsewhere and tell that the tasks ran.
    assert (
        bench.metrics()['trader_task_last_run_timestamp_seconds{task="health"}'] > FRIDAY_EVENING.timestamp() + 80_000
    )


def fill_disk(monkeypatch: pytest.MonkeyPatch, concerns: Callable[[Path], bool]) -> None:
    """Writes below what ``concerns`` fail as on a full disk: the file can be made, its content does not fit."""
    full: set[int] = set()
    opened, synced = os.open, os.fsync

    def note(path: object, *arguments: int, **more: int) -> int:
        descriptor = opened(path, *arguments, **more)  # type: ignore[call-overload]
        if isinstance(path, Path) and concerns(path):
            full.add(descriptor)
        return int(descriptor)

    def sync(descriptor: int) -> None:
        if descriptor in full:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        synced(descriptor)

    monkeypatch.setattr(files.os, "open", note)
    monkeypatch.setattr(files.os, "fsync", sync)


@pytest.mark.skipif(os.geteuid() != 0, reason="mounts a file system, which takes root")
def test_a_file_system_that_is_full_leaves_no_half_report(tmp_path: Path) -> None:
    small = tmp_path / "small"
    small.mkdir()
    if os.system(f"mount -t tmpfs -o size=64k,nr_inodes=64 none {small}") != 0:
        pytest.skip("nothing can be mounted here")
    try:
        (small / "ballast").write_bytes(b"x" * 48_000)
        bench = Bench(tmp_path, maintenance={"reports_folder": small / "reports"})
        ended = bench.run()
        left = [path for path in small.rglob("*") if path.is_file() and path.name != "ballast"]
    finally:
        os.system(f"umount {small}")
    assert ended.exit is Exit.FAILED
    assert "No space left" in " ".join(ended.problems)
    assert left == []


def test_a_metrics_folder_that_is_not_there_fails_the_run_and_leaves_the_report(tmp_path: Path) -> None:
    bench = Bench(tmp_path, maintenance={"textfile_folder": tmp_path / "nowhere"})
    ended = bench.run()
    assert ended.exit is Exit.FAILED
    assert ended.page is not None
    assert ended.problems[0].startswith("no metrics: ")


def test_a_folder_for_work_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file")
    ended = Bench(tmp_path).run()
    assert (ended.exit, ended.report) == (Exit.FAILED, None)
    assert "maintenance.work_folder" in ended.problems[0]


def test_what_a_killed_run_left_is_removed_by_the_next(bench: Bench) -> None:
    daily = bench.reports / "daily"
    daily.mkdir(parents=True)
    left = [daily / ".2026-11-19_20261119T221500Z.json.77.part", daily / "2026-11-19_20261119T221500Z.html"]
    for path in left:
        path.write_text("half")
    mine = daily / "notes.html"
    mine.write_text("somebody's own")
    bench.run()
    assert not any(path.exists() for path in left)
    assert mine.exists()


def test_an_expired_calendar_fails_the_job_and_does_not_keep_the_backup_from_being_made(tmp_path: Path) -> None:
    bench = starts_at(datetime(2045, 1, 6, 22, 15, tzinfo=UTC), tmp_path)
    ended = bench.run()
    assert ended.exit is Exit.FAILED
    assert "backup" in [name for name, _, _ in bench.seen]
    assert ended.report is not None
    first = ended.report.runs[0].section
    assert first.outcome is Outcome.FAILED
    assert first.mend.startswith("trader calendar extract --calendar XNYS")
    assert ended.report.label == "2045-01-05"
    assert not [name for name in bench.metrics() if "surroundings" in name]


def test_a_calendar_that_does_not_exist_is_no_traceback(tmp_path: Path) -> None:
    bench = Bench(tmp_path, calendar="XXXX")
    ended = bench.run()
    assert ended.report is not None
    assert "there is no calendar 'XXXX'" in ended.report.runs[0].section.sentence


def test_a_clock_before_the_last_report_is_told_and_deletes_nothing(tmp_path: Path) -> None:
    bench = Bench(tmp_path, maintenance={"daily_reports": 1})
    first = bench.run().page
    bench.clock = ManualClock(FRIDAY_EVENING - timedelta(days=30))
    ended = bench.run()
    assert ended.exit is Exit.FAILED
    assert ended.report is not None
    assert "one of the two was made with a wrong clock" in ended.report.runs[0].section.sentence
    assert first is not None
    assert ended.page is not None
    assert first.exists()
    assert ended.page.exists()


def test_a_clock_that_was_wrong_ahead_does_not_leave_a_success_in_the_future(bench: Bench) -> None:
    bench.clock = ManualClock(FRIDAY_EVENING + timedelta(days=365))
    bench.run()
    bench.clock = ManualClock(FRIDAY_EVENING)
    bench.outcomes = {"backup": Outcome.FAILED}
    bench.run()
    assert f'{SUCCESS}{{task="backup"}}' not in bench.metrics()


def test_a_record_that_is_damaged_is_told_and_replaced(bench: Bench) -> None:
    bench.work.mkdir(parents=True)
    (bench.work / "tasks.json").write_text('{"health": {"last_r')
    ended = bench.run()
    assert ended.exit is Exit.OK
    assert ended.report is not None
    assert "cannot be read" in ended.report.notes[0]
    assert "backup" in json.loads((bench.work / "tasks.json").read_bytes())


def test_a_configuration_with_a_mistake_elsewhere_is_a_warning(bench: Bench) -> None:
    bench.around = look_around(SessionSettings(), "config.yaml:3: risk.max_open_orders: must be at least 1")
    ended = bench.run()
    assert ended.exit is Exit.OK
    assert ended.report is not None
    assert ended.report.runs[0].section.outcome is Outcome.WARNING
    assert ended.report.runs[0].section.mend.startswith("trader check ")


def test_a_page_that_is_there_already_is_not_overwritten(bench: Bench) -> None:
    first = bench.run()
    bench.clock = ManualClock(FRIDAY_EVENING)
    second = bench.run()
    assert first.page != second.page
    assert len(history.entries(bench.reports)) == 2
