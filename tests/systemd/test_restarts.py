"""How the trader ends and begins again: killed, blocked, too large, misconfigured, stopped; and what it says of that.

Rules: the delays that are shipped are observed on a machine of their own, in the background, because most of that time
is waiting; the other tests share a machine on which restarts are quick. Each test finds a trader that runs.
"""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import pytest

from tests.lab.installed import boot_installed, kept
from tests.lab.lab import Lab
from tests.lab.release import SYSTEMD_252, Release
from tests.systemd.provoked import BLOCKS, EATS
from tests.systemd.trader_unit import (
    ALERT_METRIC,
    ALERT_UNIT,
    CONFIG,
    SIMULATOR_UNIT,
    UNIT,
    Run,
    TraderUnit,
    at,
    increase,
)

Measured = Callable[[str, float, str], None]

DELAYS_S: Final = (10, 20, 40)
WITHIN: Final = 0.10
STOP_WITHIN_S: Final = 30.0
WATCHDOG_S: Final = 10.0
RESTARTS_MAX: Final = 3
INTERVAL_S: Final = 60.0
MEMORY_LIMIT_MIB: Final = 160
SYMBOLS: Final = ("AAPL", "IBM", "BAC")
# Orders a dollar short of the far touch work for minutes, and none is refused for its price or their number.
PATIENT: Final = {
    "instruments": list(SYMBOLS),
    "execution": {"cross_ticks": -100, "cancel_after_s": 600},
    "risk": {"price_collar_ratio": 0.05, "max_orders_per_minute": 2_000},
}
HURRIED: Final = {"execution": {"cross_ticks": 1}}
ORDERS_OF_LOAD: Final = 30


@dataclass(frozen=True)
class Observed:
    """What the machine with the shipped delays showed."""

    delays_s: tuple[float, ...]
    starts: dict[str, int]
    restarts: int
    delay_anew_s: float
    alerts: list[dict[str, Any]]
    stop_s: float
    stop_result: str


@pytest.fixture(scope="module", autouse=True)
def background(release: Release) -> Iterator["Future[Observed]"]:
    """Kills the trader again and again on a machine of its own while the other tests run."""
    with ThreadPoolExecutor(1) as pool, boot_installed(release) as lab:
        yield pool.submit(_kill_again_and_again, TraderUnit(lab))


def _kill_again_and_again(trader: TraderUnit) -> Observed:
    trader.await_ready()
    before = trader.starts()
    delays_s = tuple(_delay_after_kill(trader) for _ in DELAYS_S)
    trader.await_ready()
    starts, restarts = increase(before, trader.starts()), int(trader.show("NRestarts")["NRestarts"])
    _begin_anew(trader)
    delay_anew_s = _delay_after_kill(trader)
    stop_s = _stop_with_a_silent_broker(trader)
    return Observed(delays_s, starts, restarts, delay_anew_s, trader.alerts(), stop_s, trader.show("Result")["Result"])


def _delay_after_kill(trader: TraderUnit) -> float:
    """From the end of the killed process to the start of the next one, in seconds of systemd's clock."""
    run = trader.run()
    trader.kill()
    ended = trader.await_exit(run)
    following = trader.await_next_run(run, timeout_s=90, poll_s=0.5)
    return (following.started_us - ended.exited_us) / 1e6


def _begin_anew(trader: TraderUnit) -> None:
    """What ends a row of restarts: a healthy run where our helper counts, an operator where systemd does."""
    if trader.lab.release != SYSTEMD_252:
        trader.lab.systemctl("reset-failed", UNIT)
        return
    # The helper reads the host's uptime; a later one stands for a run of that length.
    uptime_s = float(trader.lab.read("/proc/uptime").split()[0]) + 1000
    trader.lab.write("/run/later", f"{uptime_s:.2f} 0.00\n")
    trader.lab.run(["mount", "--bind", "/run/later", "/proc/uptime"])


def _stop_with_a_silent_broker(trader: TraderUnit) -> float:
    trader.use_provoked_strategy()
    trader.configure(PATIENT)
    trader.restart()
    trader.provoke(quantity=10)
    _await_orders(trader)
    trader.lab.systemctl("kill", "--signal=STOP", SIMULATOR_UNIT)
    trader.lab.systemctl("stop", UNIT)
    trader.lab.systemctl("kill", "--signal=CONT", SIMULATOR_UNIT)
    return stop_duration_s(trader)


def _await_orders(trader: TraderUnit) -> None:
    """Waits for a working order in each instrument, at the trader and then at the broker."""
    trader.lab.wait_until(lambda: trader.metrics("trader_orders_open") == {"": len(SYMBOLS)}, "the orders")
    trader.lab.wait_until(lambda: sorted(trader.at_broker()["orders"]) == sorted(SYMBOLS), "the orders at the broker")


def stop_duration_s(trader: TraderUnit) -> float:
    """From the moment that systemd began to stop it until it was down."""
    shown = trader.show("ActiveExitTimestampMonotonic", "InactiveEnterTimestampMonotonic", "ActiveState")
    assert shown["ActiveState"] == "inactive", shown
    return (int(shown["InactiveEnterTimestampMonotonic"]) - int(shown["ActiveExitTimestampMonotonic"])) / 1e6


@pytest.fixture(scope="module")
def prepared(installed: Lab) -> TraderUnit:
    """The trader with quick restarts and a strategy that does as it is told."""
    trader = TraderUnit(installed)
    trader.restart_quickly()
    trader.use_provoked_strategy()
    trader.configure(PATIENT)
    trader.restart()
    return trader


@pytest.fixture
def trader(prepared: TraderUnit) -> TraderUnit:
    """A trader that runs, is ready and wants nothing, whatever the test before did."""
    prepared.provoke()
    prepared.lab.systemctl("reset-failed", UNIT)
    prepared.lab.systemctl("start", UNIT)
    prepared.await_ready()
    return prepared


# -- why a run began


def test_a_start_by_hand_and_one_with_another_configuration_are_told_apart(trader: TraderUnit) -> None:
    before = trader.starts()
    trader.restart()
    assert increase(before, trader.starts()) == {"manual": 1}
    trader.configure({"strategy": {"capital": 90_000}})
    trader.restart()
    assert increase(before, trader.starts()) == {"manual": 1, "deploy": 1}


def test_a_start_with_the_host_is_told_from_the_others(release: Release, measured: Measured) -> None:
    with boot_installed(release) as lab:
        trader = TraderUnit(lab)
        trader.await_ready()
        before = trader.starts()
        with kept(lab) as layers, Lab.boot(release, layers=layers) as rebooted:
            trader = TraderUnit(rebooted)
            trader.await_ready()
            assert increase(before, trader.starts()) == {"boot": 1}
            measured("start at boot: told systemd that it is ready after", trader.run().start_s, "s")


def test_a_start_after_a_crash_is_told_from_the_others(trader: TraderUnit) -> None:
    before, run = trader.starts(), trader.run()
    trader.kill()
    trader.await_next_run(run)
    trader.await_ready()
    assert increase(before, trader.starts()) == {"crash": 1}


# -- watchdog and memory


def test_a_blocked_loop_is_killed_and_started_again(trader: TraderUnit, measured: Measured) -> None:
    cursor, before, run = trader.lab.cursor(), trader.starts(), trader.run()
    trader.provoke(blocks=True)
    await_said(trader, BLOCKS, cursor)
    trader.provoke()
    tasks = trader.lab.run(["ls", f"/proc/{run.pid}/task"]).stdout.split()
    trader.await_next_run(run)
    trader.await_ready()
    assert increase(before, trader.starts()) == {"watchdog": 1}

    records = trader.lab.journal(UNIT, after=cursor)
    killed_s = (at(records, "Watchdog timeout") - at(records, BLOCKS)) / 1e6
    measured("a blocked loop is killed after", killed_s, "s")
    # It was fed up to half the limit before the loop blocked.
    assert WATCHDOG_S / 2 - 1 < killed_s < WATCHDOG_S + 1
    stacks = [record["MESSAGE"] for record in records if record["_PID"] == str(run.pid)]
    shown = [line for line in stacks if re.match(r"(Current thread|Thread) 0x", line)]
    measured("stacks of threads in the journal", len(shown), "")
    assert len(shown) == len(tasks)
    assert any(re.search(r'provoked\.py", line \d+ in on_quote', line) for line in stacks)
    assert any("syncer.py" in line for line in stacks)


def await_said(trader: TraderUnit, text: str, after: str) -> None:
    trader.lab.wait_until(
        lambda: any(text in record["MESSAGE"] for record in trader.said(after=after)), f"{text!r} in the journal"
    )


def test_a_trader_beyond_its_memory_limit_is_killed_and_started_again(trader: TraderUnit, measured: Measured) -> None:
    trader.drop_in("80-memory", f"[Service]\nMemoryMax={MEMORY_LIMIT_MIB}M\n")
    trader.restart()
    cursor, before, run = trader.lab.cursor(), trader.starts(), trader.run()
    trader.provoke(eats=True)
    await_said(trader, EATS, cursor)
    trader.provoke()
    following = trader.await_next_run(run)
    trader.await_ready()
    assert increase(before, trader.starts()) == {"oom": 1}
    records = trader.lab.journal(UNIT, after=cursor)
    killed_us = at(records, "Main process exited, code=killed, status=9/KILL")
    measured(f"killed at MemoryMax={MEMORY_LIMIT_MIB}M, after", (killed_us - at(records, EATS)) / 1e6, "s")
    measured("and started again after", (following.started_us - killed_us) / 1e6, "s")

    # The count of kills for memory is the cgroup's, and must not be taken for what another run ended of.
    trader.kill()
    trader.await_next_run(following)
    trader.await_ready()
    assert increase(before, trader.starts()) == {"oom": 1, "crash": 1}
    trader.remove_drop_in("80-memory")


# -- what is not started again


def test_a_configuration_that_cannot_be_used_is_said_once_and_not_tried_again(trader: TraderUnit) -> None:
    good = trader.lab.read(CONFIG)
    before, cursor = trader.starts(), trader.lab.cursor()
    trader.lab.write(CONFIG, good.replace("mode: simulated", "mode: simulatd"))
    assert trader.lab.systemctl("restart", UNIT, check=False).returncode != 0

    shown = trader.show("ActiveState", "SubState", "ExecMainStatus", "NRestarts")
    assert shown == {"ActiveState": "failed", "SubState": "failed", "ExecMainStatus": "78", "NRestarts": "0"}
    said = trader.said(f"_PID={trader.run().pid}", after=cursor)
    assert len(said) == 1, said
    assert said[0]["PRIORITY"] == "3"
    assert re.search(r"ERROR.*config\.yaml:\d+: mode: must be live, paper or simulated", said[0]["MESSAGE"])
    assert len(await_alerts(trader, cursor)) == 1

    trader.lab.write(CONFIG, good)
    trader.lab.systemctl("start", UNIT)
    trader.await_ready()
    assert increase(before, trader.starts()) == {"manual": 1}


def await_alerts(trader: TraderUnit, after: str) -> list[dict[str, Any]]:
    alerts = trader.lab.wait_until(lambda: trader.alerts(after=after), "an alert in the journal")
    # Its metric is written after its record.
    trader.lab.wait_until(
        lambda: trader.lab.show(ALERT_UNIT, "ActiveState") == {"ActiveState": "inactive"}, "the end of the alert"
    )
    return alerts


def test_more_than_three_restarts_in_a_minute_leave_it_down_and_alert_once(
    trader: TraderUnit, measured: Measured
) -> None:
    trader.lab.systemctl("stop", UNIT)
    trader.restart_quickly(limited=True)
    trader.lab.systemctl("reset-failed", UNIT)
    trader.lab.systemctl("start", UNIT)
    cursor = trader.lab.cursor()
    exits = kill_until_failed(trader)

    assert len(exits) == RESTARTS_MAX + 1
    assert trader.active_state() == "failed"
    row_s = (exits[-1] - exits[0]) / 1e6
    measured(f"{RESTARTS_MAX + 1} ends in", row_s, "s")
    assert row_s < INTERVAL_S
    (alert,) = await_alerts(trader, cursor)
    # Not at the restarts before: it was told after the last end of all.
    assert int(alert["__MONOTONIC_TIMESTAMP"]) > exits[-1]
    assert UNIT in alert["MESSAGE"]
    assert alert_metric_age_s(trader, alert) < 2
    trader.restart_quickly()


def kill_until_failed(trader: TraderUnit) -> list[int]:
    """Kills every run as soon as it is up; returns when each ended, in µs, once systemd gives up."""
    exits = []
    for _ in range(2 * RESTARTS_MAX):
        run = trader.run()
        trader.kill()

        def went_on(run: Run = run) -> str:
            if trader.has_followed(run):
                return "again"
            return "failed" if trader.active_state() == "failed" else ""

        outcome = trader.lab.wait_until(went_on, "a restart, or the end of restarts")
        exits.append(exit_of(trader, run))
        if outcome == "failed":
            return exits
    raise AssertionError(f"it was started again after {len(exits)} kills in a row")


def exit_of(trader: TraderUnit, run: Run) -> int:
    """When ``run`` ended, by systemd's record of it in the journal."""
    ended = [
        int(record["__MONOTONIC_TIMESTAMP"])
        for record in trader.lab.journal(UNIT, "_PID=1")
        if "Main process exited" in str(record["MESSAGE"]) and int(record["__MONOTONIC_TIMESTAMP"]) > run.started_us
    ]
    return ended[0]


def alert_metric_age_s(trader: TraderUnit, alert: dict[str, Any]) -> float:
    """How far the time in the alert's metric is from its record in the journal."""
    found = re.search(
        rf'^trader_unit_failed_timestamp_seconds{{unit="{UNIT}",result="\S+"}} (\d+)$',
        trader.lab.read(ALERT_METRIC),
        re.MULTILINE,
    )
    assert found
    return abs(int(found[1]) - int(alert["__REALTIME_TIMESTAMP"]) / 1e6)


# -- stops


def test_a_stop_cancels_the_working_orders(trader: TraderUnit, measured: Measured) -> None:
    trader.provoke(quantity=10)
    _await_orders(trader)
    trader.lab.systemctl("stop", UNIT)
    stop_s = stop_duration_s(trader)
    measured(f"stop with {len(SYMBOLS)} working orders", stop_s, "s")
    assert stop_s < STOP_WITHIN_S
    assert trader.at_broker()["orders"] == []
    assert '"clean": true' in trader.said()[-1]["MESSAGE"]
    assert trader.show("Result", "ExecMainStatus") == {"Result": "success", "ExecMainStatus": "0"}


def test_a_stop_in_the_middle_of_trading_leaves_nothing_open(trader: TraderUnit, measured: Measured) -> None:
    trader.configure(HURRIED)
    trader.lab.systemctl("reload", UNIT)
    trader.provoke(quantity=10, flips=True)
    trader.lab.wait_until(lambda: orders_sent(trader) >= ORDERS_OF_LOAD, f"{ORDERS_OF_LOAD} orders")
    trader.lab.systemctl("stop", UNIT)
    stop_s = stop_duration_s(trader)
    measured("stop while it trades at every quote", stop_s, "s")
    assert stop_s < STOP_WITHIN_S
    assert trader.at_broker()["orders"] == []
    assert '"clean": true' in trader.said()[-1]["MESSAGE"]
    trader.configure(PATIENT)


def orders_sent(trader: TraderUnit) -> float:
    return sum(trader.metrics("trader_orders_submitted_total").values())


# -- what was observed meanwhile, with the delays as they are shipped


def test_a_killed_trader_comes_back_after_10_20_and_40_seconds(
    background: "Future[Observed]", measured: Measured
) -> None:
    observed = background.result(timeout=300)
    for wanted_s, delay_s in zip(DELAYS_S, observed.delays_s, strict=True):
        measured(f"restart that is due after {wanted_s} s, after", delay_s, "s")
    assert observed.delays_s == pytest.approx(DELAYS_S, rel=WITHIN)
    assert observed.starts == {"crash": len(DELAYS_S)}
    assert observed.restarts == len(DELAYS_S)


def test_the_row_of_delays_begins_anew(background: "Future[Observed]", measured: Measured) -> None:
    observed = background.result(timeout=300)
    measured("restart when the row begins anew, after", observed.delay_anew_s, "s")
    assert observed.delay_anew_s == pytest.approx(DELAYS_S[0], rel=WITHIN)


def test_an_ordinary_restart_is_no_reason_for_an_alert(background: "Future[Observed]") -> None:
    assert background.result(timeout=300).alerts == []


def test_a_broker_that_does_not_answer_does_not_delay_a_stop_for_long(
    background: "Future[Observed]", measured: Measured
) -> None:
    observed = background.result(timeout=300)
    measured("stop with working orders and a silent broker", observed.stop_s, "s")
    assert observed.stop_s < STOP_WITHIN_S
    assert observed.stop_result == "success"
