"""The shipped rules on what systemd really does: they fire when a unit is harmed, and go when it is mended.

Rules: everything is provoked through systemd; metrics come from node_exporter and the trader, and Prometheus in the
same machine evaluates every shipped rule. Waits are a sixtieth of the shipped ones. Harms that do not touch each other
are done together, because most of the time is waiting.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

import pytest

from tests.lab.errors import TimedOut
from tests.lab.installed import boot_installed
from tests.lab.lab import UNIT_FOLDER, Lab
from tests.lab.release import Release
from tests.systemd.monitoring import FACTOR, Monitoring, binds_for_monitoring
from tests.systemd.trader_unit import UNIT, TraderUnit
from trader.stack import Programs

Measured = Callable[[str, float, str], None]

CALENDAR: Final = "ibkr-calendar.service"
TIMER: Final = "ibkr-calendar.timer"
UNITS: Final = (UNIT, "ibkr-simulator.service", CALENDAR, TIMER, "ibkr-panic.path")
KILLS: Final = 3
FIRE_TIMEOUT_S: Final = 120.0
FAILS: Final = "[Service]\nExecStart=\nExecStart=/opt/ibkr-trading/current/bin/trader no-such-command\n"


@dataclass(frozen=True)
class Harm:
    """What is done to a machine, the alert by which that is told, and what mends it."""

    sentence: str
    alert: Mapping[str, str]
    harm: Callable[[TraderUnit], None]
    mend: Callable[[TraderUnit], None]

    def __str__(self) -> str:
        return self.sentence.replace(" ", "-")


def kill_again_and_again(trader: TraderUnit) -> None:
    trader.restart_quickly()
    for _ in range(KILLS):
        run = trader.run()
        trader.kill()
        trader.lab.wait_until(lambda run=run: is_another(trader, run.pid), "the next process")


def is_another(trader: TraderUnit, pid: int) -> bool:
    return int(trader.show("MainPID")["MainPID"]) not in (0, pid)


def leave_alone(trader: TraderUnit) -> None:
    trader.await_ready()


def fail_calendar(trader: TraderUnit) -> None:
    trader.lab.drop_in(CALENDAR, "90-fails", FAILS)
    trader.lab.systemctl("stop", CALENDAR)  # its timer may have started it this moment
    assert trader.lab.systemctl("start", CALENDAR, check=False).returncode != 0


def mend_calendar(trader: TraderUnit) -> None:
    trader.lab.remove(f"{UNIT_FOLDER}/{CALENDAR}.d/90-fails.conf")
    trader.lab.systemctl("daemon-reload")
    trader.lab.systemctl("start", CALENDAR)


def stop_timer(trader: TraderUnit) -> None:
    trader.lab.systemctl("stop", TIMER)


def start_timer(trader: TraderUnit) -> None:
    trader.lab.systemctl("start", TIMER)


def remove_timer(trader: TraderUnit) -> None:
    trader.lab.systemctl("stop", TIMER)
    trader.lab.run(["mv", f"{UNIT_FOLDER}/{TIMER}", "/root/"])
    trader.lab.systemctl("daemon-reload")


def restore_timer(trader: TraderUnit) -> None:
    trader.lab.run(["mv", f"/root/{TIMER}", f"{UNIT_FOLDER}/"])
    trader.lab.systemctl("daemon-reload")
    start_timer(trader)


def stop_trader(trader: TraderUnit) -> None:
    trader.lab.systemctl("stop", UNIT)


def start_trader(trader: TraderUnit) -> None:
    trader.lab.systemctl("start", UNIT)


CRASHES: Final = Harm(
    "a trader that is killed again and again",
    {"alertname": "CrashLoop", "severity": "page"},
    kill_again_and_again,
    leave_alone,
)
FIRST: Final = (
    CRASHES,
    Harm("a unit that fails", {"alertname": "UnitFailed", "name": CALENDAR}, fail_calendar, mend_calendar),
    Harm("a timer that is stopped", {"alertname": "TimerMissing", "name": TIMER}, stop_timer, start_timer),
)
SECOND: Final = (
    Harm("a trader that is stopped", {"alertname": "TraderNotActive", "name": UNIT}, stop_trader, start_trader),
    Harm("a timer that is removed", {"alertname": "TimerMissing", "name": TIMER}, remove_timer, restore_timer),
)


@dataclass
class Played:
    """When each harm was done and mended, by its sentence; what systemd and node_exporter said after the first ones."""

    harmed: dict[str, float] = field(default_factory=dict)
    mended: dict[str, float] = field(default_factory=dict)
    restarts: tuple[int, float] = (0, 0.0)


@pytest.fixture(scope="module")
def lab(release: Release, programs: Programs, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A machine with the product installed and monitored."""
    binds = binds_for_monitoring(programs, tmp_path_factory.mktemp("alerts"))
    with boot_installed(release, *binds) as lab:
        yield lab


@pytest.fixture(scope="module")
def trader(lab: Lab) -> TraderUnit:
    trader = TraderUnit(lab)
    trader.await_ready()
    return trader


@pytest.fixture(scope="module")
def monitoring(trader: TraderUnit) -> Monitoring:
    monitoring = Monitoring(trader.lab)
    monitoring.start()
    return monitoring


# -- what the exporter tells


def test_the_state_of_each_unit_is_what_systemd_says(monitoring: Monitoring, measured: Measured) -> None:
    told = {series["metric"]["name"]: series["metric"]["state"] for series in monitoring.query("unit:state == 1")}
    states = {unit: monitoring.lab.show(unit, "ActiveState")["ActiveState"] for unit in UNITS}
    measured("units of ours that node_exporter tells", len(told), "")
    assert {unit: told.get(unit) for unit in UNITS} == states
    assert states[UNIT] == states[TIMER] == "active"


def test_the_last_trigger_of_the_timer_is_what_systemd_says(monitoring: Monitoring, measured: Measured) -> None:
    def told() -> float:
        return monitoring.values("unit:timer_last_trigger_seconds", "name")[TIMER]

    def agree() -> bool:
        return abs(told() - last_trigger(monitoring.lab)) < 0.001

    monitoring.lab.wait_until(agree, "the timer's last trigger")
    measured("age of the timer's last trigger", monitoring.now() - told(), "s")


def last_trigger(lab: Lab) -> float:
    path = "/org/freedesktop/systemd1/unit/ibkr_2dcalendar_2etimer"
    asked = ["org.freedesktop.systemd1", path, "org.freedesktop.systemd1.Timer", "LastTriggerUSec"]
    return int(lab.run(["busctl", "get-property", *asked]).stdout.split()[1]) / 1e6


def test_what_the_timer_writes_is_collected_from_its_file(monitoring: Monitoring) -> None:
    (closes,) = monitoring.lab.wait_until(
        lambda: monitoring.query("max(trader_session_close_timestamp_seconds)"), "the session's close"
    )
    assert float(closes["value"][1]) > monitoring.now()
    monitoring.lab.wait_until(lambda: monitoring.query("trader:session_open"), "what the rules make of it")


def test_nothing_fires_for_units_that_are_well(monitoring: Monitoring) -> None:
    alerts = {"TraderNotActive", "CrashLoop", "UnitFailed", "TimerMissing"}
    assert alerts & monitoring.values('ALERTS{alertstate="firing"}', "alertname").keys() == set()


# -- what fires


@pytest.fixture(scope="module")
def first(monitoring: Monitoring, trader: TraderUnit) -> Played:
    return play(FIRST, monitoring, trader)


@pytest.fixture(scope="module")
def second(first: Played, monitoring: Monitoring, trader: TraderUnit) -> Played:
    return play(SECOND, monitoring, trader)


def play(harms: tuple[Harm, ...], monitoring: Monitoring, trader: TraderUnit) -> Played:
    """Does all harms, waits for their alerts, mends them, and waits until the alerts are gone; the tests judge."""
    played = Played()
    for harm in harms:
        played.harmed[harm.sentence] = monitoring.now()
        harm.harm(trader)
    fired: set[str] = set()

    def have_fired() -> bool:
        fired.update(harm.sentence for harm in harms if monitoring.is_firing(harm.alert))
        return len(fired) == len(harms)

    attempt(monitoring, have_fired, "the alerts")
    if CRASHES in harms:
        played.restarts = (
            int(trader.show("NRestarts")["NRestarts"]),
            monitoring.values("unit:restarts_total", "name")[UNIT],
        )
    for harm in harms:
        played.mended[harm.sentence] = monitoring.now()
        harm.mend(trader)
    attempt(monitoring, lambda: not any(monitoring.is_firing(harm.alert) for harm in harms), "their end")
    return played


def attempt(monitoring: Monitoring, condition: Callable[[], bool], what: str) -> None:
    try:
        monitoring.lab.wait_until(condition, what, FIRE_TIMEOUT_S)
    except TimedOut:
        return


@pytest.mark.parametrize("harm", FIRST, ids=str)
def test_it_is_told_of(harm: Harm, first: Played, monitoring: Monitoring, measured: Measured) -> None:
    judge(harm, first, monitoring, measured)


@pytest.mark.parametrize("harm", SECOND, ids=str)
def test_it_is_told_of_too(harm: Harm, second: Played, monitoring: Monitoring, measured: Measured) -> None:
    judge(harm, second, monitoring, measured)


def judge(harm: Harm, played: Played, monitoring: Monitoring, measured: Measured) -> None:
    harmed, mended = played.harmed[harm.sentence], played.mended[harm.sentence]
    began, ended = monitoring.fired_from_to(harm.alert, harmed)
    name = harm.alert["alertname"]
    measured(f"{name} fires, with waits divided by {FACTOR:.0f}, after", began - harmed, "s")
    measured(f"{name} goes on, with waits divided by {FACTOR:.0f}, after it is mended for", max(0, ended - mended), "s")
    assert harmed < began < mended
    assert not monitoring.is_firing(harm.alert)


def test_the_restarts_are_as_many_as_systemd_counts(first: Played, measured: Measured) -> None:
    by_systemd, by_exporter = first.restarts
    measured("restarts by systemd", by_systemd, "")
    measured("restarts by node_exporter", by_exporter, "")
    assert by_systemd == by_exporter == KILLS


def test_the_failed_unit_left_its_own_metric(first: Played, monitoring: Monitoring) -> None:
    failed = monitoring.query(f'trader_unit_failed_timestamp_seconds{{unit="{CALENDAR}"}}')
    assert [series["metric"]["result"] for series in failed] == ["exit-code"]
    assert float(failed[0]["value"][1]) == pytest.approx(first.harmed["a unit that fails"], abs=10)


def test_all_shipped_rules_are_evaluated_without_an_error(first: Played, monitoring: Monitoring) -> None:
    failures = monitoring.query("sum(prometheus_rule_evaluation_failures_total)")
    assert [series["value"][1] for series in failures] == ["0"]
