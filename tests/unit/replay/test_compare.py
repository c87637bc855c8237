"""A run over the wire against a replay: signals one by one, fills by how much."""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from trader.contracts import Instrument, OrderType, Side, TradingMode
from trader.events import (
    AnyFact,
    Approved,
    DurableFact,
    ExecutionLine,
    FillBooked,
    Intent,
    OrderIntended,
    OrderTerms,
    ServiceStarted,
    SignalChanged,
    StartReason,
)
from trader.replay import compare, run_replay
from trader.replay.wire_run import last_run
from trader.settings import Settings

AT = datetime(2013, 10, 7, 14, 0, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return AT + timedelta(seconds=seconds)


def signal(seconds: float, target: int, price: float = 100.0, symbol: str = "SPY") -> SignalChanged:
    return SignalChanged(
        at=at(seconds), strategy="s", symbol=symbol, previous=Decimal(0), target=Decimal(target), price=price, reason=""
    )


def order(ref: str, seconds: float, side: Side = Side.BUY, quantity: int = 100, symbol: str = "SPY") -> OrderIntended:
    terms = OrderTerms(symbol=symbol, side=side, quantity=Decimal(quantity), order_type=OrderType.MARKET)
    intent = Intent(terms=terms, strategy="s", reason="", reference_price=100.0, decided_ns=0)
    return OrderIntended(at=at(seconds), order_ref=ref, order_id=1, approved=Approved(intent=intent, reduces=False))


def fill(
    ref: str, seconds: float, price: str, quantity: int = 100, side: Side = Side.BUY, multiplier: int = 1
) -> FillBooked:
    line = ExecutionLine(
        exec_id=f"{ref}.{seconds}.01", order_id=1, perm_id=1, client_id=1, order_ref=ref,
        instrument=Instrument("SPY", multiplier=Decimal(multiplier)), side=side, quantity=Decimal(quantity),
        price=Decimal(price), executed_at=at(seconds),
    )  # fmt: skip
    return FillBooked(
        at=at(seconds), order_ref=ref, line=line, corrects=None, replaced_quantity=Decimal(0), slippage_ratio=None,
        fill_duration_s=None,
    )  # fmt: skip


def test_equal_signals_agree_although_they_were_made_a_little_later() -> None:
    comparison = compare([signal(1.02, 5), signal(9.01, 0)], [signal(1, 5), signal(9, 0)])
    assert comparison.signals_agree
    assert comparison.first_difference is None


@pytest.mark.parametrize(
    ("wire", "number"),
    [
        ([signal(1, 5), signal(9, -5)], 2),
        ([signal(1, 5, price=100.01), signal(9, 0)], 1),
        ([signal(1, 5)], 2),
        ([signal(1, 5), signal(9, 0), signal(12, 5)], 3),
        ([], 1),
    ],
)
def test_the_first_signal_that_differs_is_found(wire: Sequence[AnyFact], number: int) -> None:
    comparison = compare(wire, [signal(1, 5), signal(9, 0)])
    assert not comparison.signals_agree
    assert comparison.first_difference is not None
    assert comparison.first_difference.number == number


def test_signals_of_different_instruments_may_come_in_another_order() -> None:
    wire = [signal(1.3, 5, symbol="IBM"), signal(1.2, 5, symbol="SPY")]
    assert compare(wire, [signal(1, 5, symbol="SPY"), signal(1, 5, symbol="IBM")]).signals_agree


def test_two_runs_without_signals_agree_on_nothing() -> None:
    assert not compare([], []).signals_agree


def test_a_run_that_ended_early_is_compared_up_to_its_end() -> None:
    replay = [signal(1, 5), signal(50, 0), signal(99, 5)]
    comparison = compare([signal(1, 5), signal(50, 0)], replay, wire_ended_at=at(90))
    assert comparison.signals_agree
    assert comparison.compared_until == at(90)
    assert not compare([signal(1, 5)], replay, wire_ended_at=at(90)).signals_agree


def test_in_its_last_moments_a_run_may_have_missed_a_signal_but_not_made_another() -> None:
    assert compare([signal(1, 5)], [signal(1, 5), signal(87, 0)], wire_ended_at=at(90)).signals_agree
    assert not compare([signal(1, 5), signal(88, 7)], [signal(1, 5), signal(87, 0)], at(90)).signals_agree


@pytest.mark.parametrize(("side", "cost"), [(Side.BUY, Decimal("2.00")), (Side.SELL, Decimal("-2.00"))])
def test_a_worse_price_costs_on_what_both_filled(side: Side, cost: Decimal) -> None:
    wire = [signal(1, 5), order("w", 1, side), fill("w", 3, "100.05", 40, side)]
    replay = [signal(1, 5), order("r", 1, side), fill("r", 1, "100.00", 100, side)]
    (pair,) = compare(wire, replay).orders
    assert pair.quantity_difference == -60
    assert pair.time_difference_s == 2.0
    assert pair.price_difference == Decimal("0.05") * side.sign
    assert pair.latency_cost == cost
    assert not pair.identical


def test_the_multiplier_counts() -> None:
    wire = [order("w", 1), fill("w", 1, "100.25", 1, multiplier=50)]
    replay = [order("r", 1), fill("r", 1, "100.00", 1, multiplier=50)]
    assert compare(wire, replay).latency_cost == Decimal("12.50")


def test_a_retry_in_one_run_does_not_shift_the_orders_after_it() -> None:
    wire = [
        signal(1, 5), order("w1", 1), order("w2", 6), fill("w2", 7, "100.10"),
        signal(20, 0), order("w3", 20, Side.SELL), fill("w3", 20, "101.00", side=Side.SELL),
    ]  # fmt: skip
    replay = [
        signal(1, 5), order("r1", 1), fill("r1", 1, "100.00"),
        signal(20, 0), order("r2", 20, Side.SELL), fill("r2", 20, "101.00", side=Side.SELL),
    ]  # fmt: skip
    pairs = compare(wire, replay).orders
    names = [(p.wire.order_ref if p.wire else None, p.replay.order_ref if p.replay else None) for p in pairs]
    assert names == [("w1", "r1"), ("w2", None), ("w3", "r2")]
    assert pairs[-1].identical


def test_an_order_of_one_run_only_costs_nothing_but_is_shown() -> None:
    (pair,) = compare([order("w", 1), fill("w", 1, "100.00")], []).orders
    assert (pair.quantity_difference, pair.latency_cost, pair.time_difference_s) == (100, 0, None)


def test_a_corrected_execution_counts_once() -> None:
    first = fill("w", 1, "100.00")
    line = msgspec.structs.replace(first.line, exec_id=first.line.exec_id[:-2] + "02", price=Decimal("100.50"))
    correction = msgspec.structs.replace(first, line=line, corrects=first.line.exec_id, replaced_quantity=Decimal(100))
    (pair,) = compare([order("w", 1), first, correction], [order("r", 1), fill("r", 1, "100.00")]).orders
    assert pair.quantity_difference == 0
    assert pair.price_difference == Decimal("0.50")


def test_a_replay_agrees_with_itself_and_latency_has_a_price(
    record: Callable[..., Path], make_settings: Callable[..., Settings]
) -> None:
    file, settings = record(), make_settings()
    near, far = run_replay([file], settings), run_replay([file], settings, latency=timedelta(seconds=2))
    assert all(pair.identical for pair in compare(near.facts, near.facts).orders)
    comparison = compare([fact for fact in far.facts if isinstance(fact, DurableFact)], near.facts)
    assert comparison.signals_agree
    assert comparison.latency_cost != 0 or any(not pair.identical for pair in comparison.orders)


def started(seconds: float) -> ServiceStarted:
    return ServiceStarted(
        at=at(seconds), run_id="r", reason=StartReason.MANUAL, previous_exit_clean=True, version="1",
        mode=TradingMode.SIMULATED, account="", config_hash="",
    )  # fmt: skip


def test_the_last_run_over_the_replayed_time_is_taken() -> None:
    # The service's clock is the host's until the gateway has told its own.
    facts = [started(1e8), signal(1, 5), started(1e8), signal(1, 7), signal(2, 0), started(1e8)]
    run = last_run(facts, at(0), at(100))
    assert run is not None
    assert [fact.target for fact in run.facts if isinstance(fact, SignalChanged)] == [7, 0]
    assert (run.ended_at, run.starts) == (at(2), 1)


def test_a_run_that_was_restarted_is_one_run() -> None:
    facts = [started(0), signal(1, 5), started(10), signal(11, 0)]
    run = last_run(facts, at(0), at(100))
    assert run is not None
    assert (len(run.facts), run.starts) == (4, 2)


def test_a_journal_of_other_days_holds_no_such_run() -> None:
    assert last_run([started(0), signal(1, 5)], at(1_000), at(2_000)) is None
