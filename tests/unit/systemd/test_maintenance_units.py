"""The units and timers of maintenance: never in the way of trading, and long enough for what the job promises."""

import re
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeAlias
from zoneinfo import ZoneInfo

import pytest

from trader.maintenance.model import Kind
from trader.maintenance.runner import GRACE_S
from trader.maintenance.slot import Hours
from trader.maintenance.surroundings import limit_s_of
from trader.maintenance.tasks import STALENESS_S
from trader.session import BrokerWindows, SessionCalendar
from trader.settings import Settings
from trader.settings_file import load_settings

FOLDER = Path(__file__).resolve().parents[3] / "systemd"
BASE = "/home/trader/secure/trader/IBKR_trading"
UNITS_S = {"h": 3600, "min": 60, "s": 1}
NEW_YORK = ZoneInfo("America/New_York")
SATURDAY = 5
# By file name, as conftest.py reads them.
Units: TypeAlias = dict[str, Any]


def seconds(text: str) -> float:
    return sum(int(number) * UNITS_S[unit] for number, unit in re.findall(r"(\d+)\s*(h|min|s)", text))


@pytest.fixture(scope="module")
def settings() -> Settings:
    return load_settings(FOLDER / "config.yaml")


def due(units: Units, kind: Kind, year: int) -> list[datetime]:
    """When the timer fires in ``year`` at the earliest, read from its OnCalendar as systemd reads it."""
    day, clock, zone = re.fullmatch(
        r"(.*?) (\d\d:\d\d) (\S+)", units[f"ibkr-maintenance-{kind}.timer"].one("OnCalendar")
    ).groups()  # type: ignore[union-attr]
    hour, minute = (int(part) for part in clock.split(":"))
    days = (datetime(year, 1, 1, hour, minute, tzinfo=ZoneInfo(zone)) + timedelta(days=n) for n in range(365))
    wanted = {
        "*-*-*": lambda at: True,
        "Sat *-*-*": lambda at: at.weekday() == SATURDAY,
        "Sat *-*-01..07": lambda at: at.weekday() == SATURDAY and at.day <= 7,
    }[day]
    return [at.astimezone(UTC) for at in days if wanted(at)]


@pytest.mark.parametrize("kind", Kind)
def test_a_job_is_made_up_for_after_downtime_and_not_started_with_others(units: Units, kind: Kind) -> None:
    timer = units[f"ibkr-maintenance-{kind}.timer"]
    assert timer.one("Persistent") == "true"
    assert seconds(timer.one("RandomizedDelaySec")) > 0
    assert timer.one("WantedBy") == "timers.target"
    assert timer.one("OnCalendar").endswith(" America/New_York")


@pytest.mark.parametrize("kind", Kind)
def test_no_change_to_daylight_saving_time_skips_or_repeats_a_job(units: Units, kind: Kind) -> None:
    clock = units[f"ibkr-maintenance-{kind}.timer"].one("OnCalendar").split()[-2]
    assert not "01:00" <= clock < "03:00"


@pytest.mark.parametrize("kind", Kind)
def test_systemd_waits_as_long_as_the_job_may_wait_run_and_end(units: Units, settings: Settings, kind: Kind) -> None:
    unit = units[f"ibkr-maintenance-{kind}.service"]
    longest_s = settings.maintenance.wait_max_s + limit_s_of(settings, kind) + GRACE_S
    assert longest_s < seconds(unit.one("RuntimeMaxSec")) <= longest_s + 3_600
    assert seconds(unit.one("TimeoutStopSec")) > GRACE_S + 30


@pytest.mark.parametrize("kind", Kind)
def test_a_host_that_makes_up_for_a_job_does_not_wait_for_it(units: Units, kind: Kind) -> None:
    """systemd is `starting` while any unit is `activating`, which a oneshot is all along."""
    assert units[f"ibkr-maintenance-{kind}.service"].one("Type") == "exec"


@pytest.mark.parametrize("kind", Kind)
def test_a_job_comes_behind_everything_else(units: Units, kind: Kind) -> None:
    unit = units[f"ibkr-maintenance-{kind}.service"]
    assert int(unit.one("Nice")) > 0
    assert unit.one("IOSchedulingClass") == "idle"
    assert int(unit.one("OOMScoreAdjust")) > 0
    assert unit.one("CPUQuota") == "100%"


@pytest.mark.parametrize("kind", Kind)
def test_a_job_reads_the_journal_and_writes_where_the_configuration_says(
    units: Units, settings: Settings, kind: Kind
) -> None:
    unit = units[f"ibkr-maintenance-{kind}.service"]
    assert unit.one("SupplementaryGroups") == "systemd-journal"
    writable = [value.lstrip("-") for value in unit.all("ReadWritePaths")]
    maintenance, root = settings.maintenance, str(FOLDER.parent)
    for folder in (maintenance.reports_folder, maintenance.backups_folder, maintenance.work_folder):
        installed = str(folder).replace(root, BASE)
        assert any(installed == path or installed.startswith(f"{path}/") for path in writable), folder
    assert str(maintenance.textfile_folder) in writable
    assert unit.one("BindReadOnlyPaths") == BASE
    assert not any(
        Path(f"{BASE}/{name}").is_relative_to(path) for path in writable for name in ("config", "panic.flag")
    )


@pytest.mark.parametrize("kind", Kind)
def test_the_units_are_alike_but_for_their_kind(units: Units, kind: Kind) -> None:
    def told(name: Kind) -> list[str]:
        text = str(units[f"ibkr-maintenance-{name}.service"].text)
        lines = [line for line in text.splitlines() if not line.startswith("#") and "RuntimeMaxSec" not in line]
        return [line.replace(name, "KIND") for line in lines]

    assert told(kind) == told(Kind.DAILY)


@pytest.mark.parametrize("calendar", ["XNYS", "CMES"])
@pytest.mark.parametrize("kind", Kind)
def test_where_the_timers_fire_the_job_begins_at_once_and_fits(
    units: Units, settings: Settings, kind: Kind, calendar: str
) -> None:
    """Over a year, at the earliest and at the latest that a timer fires: nothing is open and no reset is announced."""
    timer = units[f"ibkr-maintenance-{kind}.timer"]
    latest_s = seconds(timer.one("RandomizedDelaySec")) + seconds(timer.one("AccuracySec"))
    margin = timedelta(seconds=settings.maintenance.close_margin_s)
    hours = Hours(SessionCalendar.load(calendar), BrokerWindows.load(), margin)
    need = timedelta(seconds=limit_s_of(settings, kind))
    waits = []
    for moment in due(units, kind, 2026):
        for at in (moment, moment + timedelta(seconds=latest_s)):
            slot = hours.next_slot(at, need)
            if slot.starts_at != at:
                waits.append((at, slot.why))
    allowed = 0 if kind is not Kind.DAILY or calendar == "XNYS" else 12  # days on which futures trade on
    assert len(waits) <= allowed, waits


@pytest.mark.parametrize("kind", Kind)
def test_two_runs_are_never_further_apart_than_a_success_may_be_old(
    units: Units, settings: Settings, kind: Kind
) -> None:
    fired = [*due(units, kind, 2026), *due(units, kind, 2027)]
    longest = max(later - earlier for earlier, later in pairwise(fired))
    delay_s = seconds(units[f"ibkr-maintenance-{kind}.timer"].one("RandomizedDelaySec"))
    assert longest.total_seconds() + delay_s + limit_s_of(settings, kind) < STALENESS_S[kind]
