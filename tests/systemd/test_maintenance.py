"""Maintenance on a host: its timers fire, make up for downtime, keep out of the session, and are told of when not.

Rules: one machine a release tells one story, which the tests judge. It was down for weeks and is booted in the session:
all jobs are due, and nobody ever drilled the panic of its live account. Then a session has closed; then a backup is
spoiled; at last the timers fire in the session. Waits of the alerts are divided by 240; those of the jobs are not.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any, Final

import pytest

from tests.lab.installed import binds_for, boot_installed, kept
from tests.lab.lab import Lab
from tests.lab.release import Release
from tests.systemd.installation import exposure
from tests.systemd.maintenance import (
    BACKUPS,
    JOURNAL,
    KINDS,
    LIVE_JOURNAL,
    MARGIN_S,
    REPORTS,
    TEXTFILES,
    Maintenance,
    service,
    timer,
)
from tests.systemd.monitoring import Monitoring, binds_for_monitoring
from trader.drills.emergency import EMERGENCIES
from trader.maintenance.model import Kind
from trader.maintenance.tasks import tasks_of
from trader.stack import Programs

Measured = Callable[[str, float, str], None]

FACTOR: Final = 240.0
NEVER: Final = datetime.max.replace(tzinfo=UTC)
# Jobs that are started at once begin this much later.
AHEAD: Final = timedelta(seconds=10)
AFTER_CLOSE: Final = timedelta(minutes=6)
BEFORE_CLOSE: Final = timedelta(hours=2)
EXPOSURE_MAX: Final = 1.0
STOPPED: Final = timer("weekly")
OVERDUE: Final = {"alertname": "TaskOverdue", "task": "health"}
NO_BACKUP: Final = {"alertname": "TaskOverdue", "task": "backup", "severity": "page"}
NOT_DRILLED: Final = {"alertname": "PanicDrillOverdue"}
MISSING: Final = {"alertname": "TimerMissing", "name": STOPPED}
SPOILED: Final = {"alertname": "TaskFailed", "task": "backup"}
FIRING: Final = (OVERDUE, NO_BACKUP, NOT_DRILLED, MISSING, SPOILED)
FIRE_TIMEOUT_S: Final = 120.0
# Most of it is the page drill.
RUN_TIMEOUT_S: Final = 300.0


@dataclass
class Story:
    """The machine, and what was seen of it so far."""

    maintenance: Maintenance
    monitoring: Monitoring
    began: datetime
    closes: datetime
    system: str = ""
    waiting: dict[str, str] = field(default_factory=dict)
    declared: dict[str, dict[str, float]] = field(default_factory=dict)
    reports_meanwhile: int = 0
    fired: list[Any] = field(default_factory=list)
    frees: datetime = NEVER
    spoiled: dict[str, str] = field(default_factory=dict)
    reports_before: dict[str, int] = field(default_factory=dict)
    cursor: str = ""
    fired_at: datetime = NEVER

    @property
    def lab(self) -> Lab:
        return self.maintenance.lab

    def waiting_now(self) -> dict[str, str]:
        """The jobs that said that they wait, and the state of their units."""
        kinds = [kind for kind in KINDS if any("waits until" in said for said in self.maintenance.said(kind))]
        return {kind: self.maintenance.state(kind)["ActiveState"] for kind in kinds}

    def await_firing(self, *alerts: dict[str, str]) -> None:
        """Keeps which of ``alerts`` fired; the tests judge."""

        def have_fired() -> bool:
            self.fired += [alert for alert in alerts if alert not in self.fired and self.monitoring.is_firing(alert)]
            return all(alert in self.fired for alert in alerts)

        self.lab.wait_until(have_fired, f"the alerts {alerts}", FIRE_TIMEOUT_S)

    def await_resolved(self, *alerts: dict[str, str]) -> None:
        def are_gone() -> bool:
            return not any(self.monitoring.is_firing(alert) for alert in alerts)

        self.lab.wait_until(are_gone, f"the end of the alerts {alerts}", FIRE_TIMEOUT_S)


@pytest.fixture(scope="module")
def story(release: Release, programs: Programs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """A host that was down for weeks, booted six minutes after a close."""
    binds = (*binds_for_monitoring(programs, tmp_path_factory.mktemp("alerts"), FACTOR),)
    with boot_installed(release, *binds) as before:
        maintenance = Maintenance(before)
        maintenance.trade_live()
        maintenance.be_punctual()
        maintenance.be_due("40 days ago")
        began = maintenance.now()
        closes = whole_minute(began + BEFORE_CLOSE)
        maintenance.set_session(closes)
        with kept(before) as layers, Lab.boot(release, layers=layers, binds=(*binds_for(release), *binds)) as lab:
            yield Story(Maintenance(lab), Monitoring(lab), began, closes)


def whole_minute(moment: datetime) -> datetime:
    return moment.replace(second=0, microsecond=0)


@pytest.fixture(scope="module")
def due(story: Story) -> Story:
    """All jobs are due and wait; what is overdue is told of. At last they are stopped."""
    story.system = story.lab.state()
    story.lab.wait_until(lambda: len(story.waiting_now()) == len(KINDS), "three jobs that wait", FIRE_TIMEOUT_S)
    story.monitoring.start()
    story.lab.systemctl("stop", STOPPED)
    story.await_firing(OVERDUE, NO_BACKUP, NOT_DRILLED, MISSING)
    story.lab.systemctl("start", STOPPED)
    story.waiting = story.waiting_now()
    story.declared = {kind: story.maintenance.metrics(kind) for kind in KINDS}
    story.lab.systemctl("stop", *map(service, KINDS))
    story.reports_meanwhile = sum(len(story.maintenance.reports(kind)) for kind in KINDS)
    return story


@pytest.fixture(scope="module")
def done(due: Story) -> Story:
    """A session has closed, and the timers start anew: all jobs have run, and what was overdue is not any more."""
    maintenance = due.maintenance
    due.frees = maintenance.now() + AHEAD
    closes = whole_minute(due.frees - AFTER_CLOSE)
    maintenance.set_session(closes, margin_s=(due.frees - closes).total_seconds())
    due.lab.systemctl("start", "ibkr-calendar.service")
    due.lab.systemctl("stop", *map(timer, KINDS))
    maintenance.be_due("40 days ago")
    due.lab.systemctl("start", timer("weekly"))
    maintenance.await_end("weekly", since=due.frees, timeout_s=RUN_TIMEOUT_S)
    due.await_resolved(NOT_DRILLED)
    maintenance.trade_simulated()
    due.lab.systemctl("start", *map(timer, KINDS))
    maintenance.await_end(*KINDS, since=due.frees, timeout_s=RUN_TIMEOUT_S)
    due.await_resolved(OVERDUE, NO_BACKUP, MISSING)
    return due


@pytest.fixture(scope="module")
def spoiled(done: Story) -> Story:
    """The daily job once without a folder to back up to, and once again with it."""
    maintenance = done.maintenance
    done.lab.run(["chown", "root", BACKUPS])
    maintenance.await_end("daily", since=maintenance.fire("daily"))
    done.spoiled = maintenance.state("daily")
    done.await_firing(SPOILED)
    done.lab.run(["chown", "trader", BACKUPS])
    maintenance.await_end("daily", since=maintenance.fire("daily"))
    done.await_resolved(SPOILED)
    return done


@pytest.fixture(scope="module")
def in_session(spoiled: Story) -> Story:
    """All timers have fired two hours before a close, later than a job may wait."""
    maintenance = spoiled.maintenance
    maintenance.set_session(whole_minute(maintenance.now() + BEFORE_CLOSE), wait_max_s=1)
    spoiled.lab.systemctl("start", "ibkr-calendar.service")
    spoiled.reports_before = {kind: len(maintenance.reports(kind)) for kind in KINDS}
    spoiled.cursor = spoiled.lab.cursor()
    spoiled.fired_at = maintenance.fire(*KINDS)
    maintenance.await_end(*KINDS, since=spoiled.fired_at)
    return spoiled


# -- after downtime, in the session


@pytest.mark.parametrize("kind", KINDS)
def test_what_was_due_while_the_host_was_down_is_started_with_it(due: Story, kind: str) -> None:
    assert any("Started" in str(record["MESSAGE"]) for record in due.lab.journal(service(kind), "_PID=1"))
    assert due.waiting[kind] == "active"


def test_the_host_is_up_meanwhile(due: Story) -> None:
    assert due.system in ("running", "degraded")


@pytest.mark.parametrize("kind", KINDS)
def test_a_job_that_waits_does_nothing_and_declares_when_it_will(due: Story, kind: str) -> None:
    assert due.reports_meanwhile == 0
    begins = due.declared[kind][f'trader_maintenance_start_timestamp_seconds{{kind="{kind}"}}']
    assert begins == (due.closes + timedelta(seconds=MARGIN_S)).timestamp()


# -- made up for, after a close


@pytest.mark.parametrize("kind", KINDS)
def test_it_runs_when_the_session_is_over_and_a_margin_too(done: Story, kind: str, measured: Measured) -> None:
    (report,) = done.maintenance.reports(kind)
    measured(f"{kind} maintenance took", (report.finished - report.started).total_seconds(), "s")
    assert report.started >= done.frees
    assert set(report.outcomes()) == {task.name for task in tasks_of(Kind(kind))}
    assert "failed" not in report.outcomes().values(), report.failures()
    assert done.maintenance.state(kind) == {"ActiveState": "inactive", "Result": "success", "ExecMainStatus": "0"}


def test_one_runs_at_a_time(done: Story) -> None:
    reports = sorted((done.maintenance.reports(kind)[0] for kind in KINDS), key=lambda report: report.started)
    assert all(earlier.finished <= later.started for earlier, later in pairwise(reports))


def test_maintenance_that_waits_and_runs_in_its_time_does_not_overrun(done: Story) -> None:
    assert done.monitoring.query('ALERTS{alertname="MaintenanceOverrun", alertstate="firing"}[15m]') == []


# -- what it leaves


@pytest.mark.parametrize("kind", KINDS)
def test_a_report_is_a_page_and_a_json_that_the_service_s_group_may_read(done: Story, kind: str) -> None:
    (report,) = done.maintenance.reports(kind)
    page, folder = f"{report.path}.html", f"{REPORTS}/{kind}"
    wanted = dict.fromkeys((page, f"{report.path}.json", f"{REPORTS}/index.html"), "640 trader:trader")
    assert done.maintenance.owners(*wanted, folder) == {**wanted, folder: "750 trader:trader"}
    assert page.removeprefix(f"{REPORTS}/") in done.lab.read(f"{REPORTS}/index.html")
    assert f"{kind} maintenance" in done.lab.read(page).lower()


@pytest.mark.parametrize("kind", KINDS)
def test_the_metrics_tell_each_task_s_success(done: Story, kind: str) -> None:
    file = f"{TEXTFILES}/ibkr-maintenance-{kind}.prom"
    assert done.maintenance.owners(file) == {file: "644 trader:trader"}
    found = done.monitoring.values("trader_task_last_success_timestamp_seconds", "task")
    (report,) = done.maintenance.reports(kind)
    for task in tasks_of(Kind(kind)):
        assert report.started.timestamp() <= found[task.name] <= report.finished.timestamp(), task.name


def test_the_backup_is_the_service_s_own_and_whole(done: Story) -> None:
    found = done.lab.run(["find", BACKUPS, "-name", "*.tar.gz*"]).stdout.split()
    assert len(found) == 2
    wanted = {**dict.fromkeys(found, "600 trader:trader"), BACKUPS: "700 trader:trader"}
    assert done.maintenance.owners(*wanted) == wanted
    done.lab.run(["trader", "backup", "verify", "--all"])


def test_the_service_keeps_in_its_journal_how_each_ended(done: Story) -> None:
    """The weekly job ran beside the live account's service, the others beside that of the simulated account."""
    journals = {"weekly": LIVE_JOURNAL, "daily": JOURNAL, "monthly": JOURNAL}
    for kind, url in journals.items():
        asked = ["trader", "journal", "export", "--kind", "MaintenanceFinished", "--url", url]
        kept = done.lab.run(asked).stdout
        assert f'"kind":"{kind}"' in kept, kept


def test_the_emergencies_are_drilled_in_the_sandbox_within_their_bounds(done: Story, measured: Measured) -> None:
    (report,) = done.maintenance.reports("weekly")
    section = report.section("drills")
    (table,) = [table for table in section["tables"] if table["title"] == "Emergency drills"]
    for title, took_s, bound_s, verdict in table["rows"]:
        measured(f"drill in the sandbox: {title}", took_s, "s")
        assert (verdict, took_s <= bound_s) == ("ok", True)
    assert len(table["rows"]) == len(EMERGENCIES)
    assert "panic_drill" in {part["task"] for part in section["parts"]}


def test_a_page_drill_that_needs_a_stack_which_is_not_there_is_named_and_not_guessed(done: Story) -> None:
    section = done.maintenance.reports("weekly")[0].section("drills")
    assert section["outcome"] == "unknown"
    assert section["missing"][-1].startswith("the page drill: ")


@pytest.mark.parametrize("kind", KINDS)
def test_its_exposure_is_at_most_1(done: Story, kind: str, measured: Measured) -> None:
    level = exposure(done.lab, service(kind))
    measured(f"exposure of {service(kind)} by the running manager", level, "")
    assert level <= EXPOSURE_MAX


# -- what is told


@pytest.mark.parametrize("alert", FIRING, ids=lambda alert: "-".join(alert.values()))
def test_it_is_told_of_and_no_longer_when_it_is_mended(
    spoiled: Story, alert: dict[str, str], measured: Measured
) -> None:
    first, last = spoiled.monitoring.fired_from_to(alert, spoiled.began.timestamp())
    measured(f"{alert['alertname']}, with waits divided by {FACTOR:.0f}, was told for", last - first, "s")
    assert alert in spoiled.fired
    assert not spoiled.monitoring.is_firing(alert)


def test_a_backup_that_fails_fails_the_unit_and_leaves_the_other_tasks(spoiled: Story) -> None:
    assert spoiled.spoiled == {"ActiveState": "failed", "Result": "exit-code", "ExecMainStatus": "1"}
    _, bad, good = spoiled.maintenance.reports("daily")
    assert [task for task, outcome in bad.outcomes().items() if outcome == "failed"] == ["backup"]
    assert good.outcomes()["backup"] == "ok"


# -- in the session


@pytest.mark.parametrize("kind", KINDS)
def test_a_timer_that_fires_in_the_session_only_puts_the_job_off(in_session: Story, kind: str) -> None:
    maintenance = in_session.maintenance
    assert maintenance.last_trigger(kind) >= in_session.fired_at
    assert maintenance.state(kind) == {"ActiveState": "inactive", "Result": "success", "ExecMainStatus": "4"}
    assert any("is put off: the session" in said for said in maintenance.said(kind, in_session.cursor))
    assert len(maintenance.reports(kind)) == in_session.reports_before[kind]


@pytest.mark.parametrize("kind", KINDS)
def test_a_job_that_is_put_off_declares_nothing_and_stays_due(in_session: Story, kind: str) -> None:
    found = in_session.maintenance.metrics(kind)
    assert not [name for name in found if name.startswith("trader_maintenance_")]
    assert [name for name in found if name.startswith("trader_task_max_staleness_seconds")]
