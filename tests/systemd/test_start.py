"""From the start of a host to a trader that trades: how soon it is ready, what it does, and what it says of that."""

import json
from collections.abc import Callable
from statistics import median
from typing import Final

import pytest

from tests.lab.lab import Lab
from tests.systemd.trader_unit import CONFIG, UNIT, TraderUnit, ready_s, waited_for_processor_s

Measured = Callable[[str, float, str], None]

READY_WITHIN_S: Final = 5.0
# Sees a signal in nearly every quote, where the shipped parameters wait for half an hour of samples.
EAGER: Final = {
    "window": 5,
    "sample_interval_s": 0.25,
    "entry_score": 0.1,
    "exit_score": 0.0,
    "min_edge_ratio": 0.00001,
}
FILLS_WANTED: Final = 4
PRIORITIES: Final = {"DEBUG": "7", "INFO": "6", "WARNING": "4", "ERROR": "3", "CRITICAL": "2"}
# As the plan has it, for a person.
COUNT_ERRORS: Final = 'journalctl -u ibkr-trading --since "1 hour ago" | grep -c "ERROR"'
SHOW_LATENCIES: Final = 'journalctl -u ibkr-trading --since "1 hour ago" | grep "latency_ms"'


@pytest.fixture(scope="module")
def trader(installed: Lab) -> TraderUnit:
    """The trader that was started with its host."""
    trader = TraderUnit(installed)
    trader.await_ready()
    return trader


def test_it_is_ready_within_five_seconds_of_its_start(trader: TraderUnit, measured: Measured) -> None:
    for occasion in ("start with the host", "restart"):
        run = trader.run()
        able_s = ready_s(trader, run)
        measured(f"{occasion}: told systemd that it is ready after", run.start_s, "s")
        measured(f"{occasion}: ready to trade after", able_s, "s")
        within_s = READY_WITHIN_S + waited_for_processor_s(trader, run)
        assert 0 < run.start_s < within_s
        assert 0 < able_s < within_s
        trader.restart()


@pytest.fixture(scope="module")
def trading(trader: TraderUnit) -> TraderUnit:
    """The trader with parameters by which it trades within seconds."""
    trader.configure({"strategy": {"parameters": EAGER}})
    trader.restart()
    trader.lab.wait_until(lambda: fills(trader) >= FILLS_WANTED, f"{FILLS_WANTED} fills", timeout_s=60)
    return trader


def fills(trader: TraderUnit) -> float:
    return sum(trader.metrics("trader_order_fill_duration_seconds_count").values())


def test_it_trades_on_the_simulated_gateway(trading: TraderUnit, measured: Measured) -> None:
    first_fill = next(record for record in trading.said() if '"fact": "FillBooked"' in record["MESSAGE"])
    measured(
        "first fill after the start", (int(first_fill["__MONOTONIC_TIMESTAMP"]) - trading.run().started_us) / 1e6, "s"
    )
    activity = trading.typed_status()["activity"]
    measured("fills", activity["fills"], "")
    assert activity["fills"] >= FILLS_WANTED
    assert activity["orders_submitted"] >= FILLS_WANTED / 2
    assert sum(trading.metrics("trader_orders_submitted_total").values()) >= FILLS_WANTED / 2


def test_its_books_say_what_the_broker_says(trading: TraderUnit) -> None:
    trading.lab.run(["trader", "halt", "--reason", "to compare"])
    trading.lab.wait_until(lambda: not trading.status()["open_orders"], "the end of the open orders")
    booked = {held["symbol"]: float(held["quantity"]) for held in trading.status()["positions"]}
    at_broker = trading.at_broker()
    assert at_broker["orders"] == []
    assert {symbol: held for symbol, held in booked.items() if held} == at_broker["positions"]
    trading.lab.run(["trader", "resume"])


def test_the_journal_has_a_json_object_and_its_priority_in_every_record(
    trading: TraderUnit, measured: Measured
) -> None:
    records = trading.said(f"_PID={trading.run().pid}")
    levels = set()
    for record in records:
        line = json.loads(record["MESSAGE"])
        assert {"time", "level", "logger", "message"} <= line.keys()
        assert record["PRIORITY"] == PRIORITIES[line["level"]], line
        levels.add(line["level"])
    measured("JSON records in the journal", len(records), "")
    assert {"INFO", "WARNING"} <= levels


def test_the_errors_can_be_counted_as_the_plan_counts_them(trading: TraderUnit, measured: Measured) -> None:
    assert counted_errors(trading) == 0
    good = trading.lab.read(CONFIG)
    trading.lab.write(CONFIG, good.replace("mode: simulated", "mode: simulatd"))
    assert trading.lab.systemctl("reload", UNIT, check=False).returncode != 0
    trading.lab.write(CONFIG, good)
    refused = f"_PID={trading.run().pid}", "PRIORITY=3"
    trading.lab.wait_until(lambda: trading.said(*refused), "the refused reload in the journal")
    # The trader says it, and so does `trader reload`, line by line.
    measured("lines of ERROR after a reload that was refused", counted_errors(trading), "")
    assert counted_errors(trading) == len(trading.said("PRIORITY=3")) > len(trading.said(*refused)) == 1


def counted_errors(trader: TraderUnit) -> int:
    return int(trader.lab.run(["/bin/sh", "-c", COUNT_ERRORS], check=False).stdout)


def test_the_latencies_can_be_listed_as_the_plan_lists_them(trading: TraderUnit, measured: Measured) -> None:
    lines = trading.lab.run(["/bin/sh", "-c", SHOW_LATENCIES]).stdout.splitlines()
    sent = [json.loads(line[line.index("{") :]) for line in lines if '"fact": "OrderSent"' in line]
    assert sent
    # A single one may have waited for a processor of a busy host.
    assert all(line["latency_ms"] > 0 for line in sent)
    assert median(line["latency_ms"] for line in sent) < 350
    measured("lines with latency_ms", len(lines), "")
    measured("slowest order from tick to socket", max(line["latency_ms"] for line in sent), "ms")
