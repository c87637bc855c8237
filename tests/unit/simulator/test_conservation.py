"""Whatever is ordered: positions are sums of executions, and no money appears or disappears.

The books are compared with a second, simpler bookkeeping that knows the reports only.
"""

from collections import defaultdict
from datetime import timedelta
from decimal import Decimal

from hypothesis import given, settings
from hypothesis import strategies as st

from trader.contracts import SecurityType, TimeInForce
from trader.simulator.model import CommissionReported, ExecutionReported

KEYS = ("SPY", "ZZZ", "ESH6", "EUR.USD")
MIDDLES = {"SPY": 10_000, "ZZZ": 2_000, "ESH6": 24_000, "EUR.USD": 22_000}
UNITS = {"SPY": 10, "ZZZ": 10, "ESH6": 1, "EUR.USD": 10_000}

ticks = st.integers(-12, 12)
keys = st.sampled_from(KEYS)
quotes = st.tuples(st.just("quote"), keys, ticks, st.integers(1, 3), st.integers(0, 30))
trades = st.tuples(st.just("trade"), keys, ticks, st.integers(1, 20))
orders = st.tuples(
    st.just("order"),
    keys,
    st.sampled_from(["buy", "sell"]),
    st.integers(1, 30),
    st.sampled_from(["MKT", "MKT", "LMT", "STP", "STP LMT", "TRAIL"]),
    ticks,
    st.sampled_from(list(TimeInForce)),
    st.sampled_from(["", "", "A", "B"]),
    st.integers(0, 3),
    st.sampled_from([0, 0, 0, 0, 1, 2]),
    st.sampled_from([True, True, True, False]),
)
modifications = st.tuples(st.just("modify"), st.integers(1, 30), st.integers(1, 40), ticks)
others = st.one_of(
    st.tuples(st.just("cancel"), st.integers(1, 30)),
    st.tuples(st.just("cancel_all")),
    st.tuples(st.just("correct"), st.integers(0, 30), ticks, st.integers(0, 20)),
    st.tuples(st.just("pass"), st.integers(1, 30_000)),
    st.tuples(st.just("restart"), st.integers(0, 5), st.integers(0, 5_000)),
)
anything = st.one_of(trades, modifications, others)
rounds = st.lists(st.tuples(orders, quotes, anything, orders, quotes), min_size=2, max_size=15)
streams = rounds.map(lambda made: [step for steps in made for step in steps])


def price(floor, key, offset):
    return (MIDDLES[key] + offset) * floor.book.by_key(key).tick_size


def opened(make_floor):
    """A floor where everything is quoted, two ticks wide."""
    floor = make_floor()
    for key in KEYS:
        floor.quote(price(floor, key, -1), price(floor, key, 1), 20 * UNITS[key], key)
    return floor


def play(floor, step):
    match step:
        case ("quote", key, middle, spread, units):
            bid, ask = price(floor, key, middle), price(floor, key, middle + spread)
            floor.quote(bid, ask, units * UNITS[key], key)
        case ("trade", key, offset, units):
            floor.trade(price(floor, key, offset), units * UNITS[key], key)
        case ("order", key, side, units, kind, offset, tif, group, oca_type, parent_back, transmit):
            at = price(floor, key, offset)
            distance = 3 * floor.book.by_key(key).tick_size if kind == "TRAIL" else at
            parent = max(0, floor.next_id - parent_back) if parent_back else 0
            more = {"tif": tif, "oca_group": group, "oca_type": oca_type, "parent_id": parent, "transmit": transmit}
            getattr(floor, side)(units * UNITS[key], kind, at, distance, key=key, **more)
        case ("modify", order_id, units, offset):
            for view in floor.exchange.open_orders():
                if view.request.order_id == order_id:
                    request, key = view.request, view.contract.local_symbol
                    at = price(floor, key, offset)
                    aux = request.aux_price if request.order_type == "TRAIL" else at
                    side = "buy" if request.side == "BUY" else "sell"
                    more = {"order_id": order_id, "key": key, "tif": request.time_in_force}
                    getattr(floor, side)(units * UNITS[key], request.order_type.value, at, aux, **more)
        case ("cancel", order_id):
            floor.exchange.cancel(1, order_id)
        case ("cancel_all",):
            floor.exchange.cancel_all()
        case ("correct", index, offset, units):
            found = floor.exchange.executions()
            if index < len(found):
                key = found[index].order.contract.local_symbol
                quantity = Decimal(units * UNITS[key])
                floor.exchange.correct_execution(found[index].exec_id, price(floor, key, offset), quantity)
        case ("pass", seconds):
            floor.exchange.advance_to(floor.exchange.now + timedelta(seconds=seconds))
        case ("restart", ids, milliseconds):
            floor.exchange.restart(ids, milliseconds)
            floor.next_id = floor.exchange.next_order_id(1)


def second_books(reports):
    """Positions by contract id and cash by currency (futures at full value), from reports alone."""
    executions, commissions = {}, {}
    for report in reports:
        if isinstance(report, ExecutionReported):
            executions[report.execution.exec_id.rsplit(".", 1)[0]] = report.execution
        elif isinstance(report, CommissionReported):
            commissions[report.exec_id.rsplit(".", 1)[0]] = report
    assert executions.keys() == commissions.keys()
    positions, cash = defaultdict(Decimal), defaultdict(Decimal, USD=Decimal(1_000_000))
    for name, item in executions.items():
        contract = item.order.contract
        signed = item.side.sign * item.quantity
        positions[contract.con_id] += signed
        cash[contract.currency] -= signed * item.price * contract.multiplier + commissions[name].amount
        if contract.security_type is SecurityType.CASH:
            cash[contract.symbol] += signed
    return positions, cash


@settings(max_examples=300, deadline=None, print_blob=True)
@given(stream=streams)
def test_books_and_reports_agree_whatever_is_ordered(make_floor, stream):
    floor = opened(make_floor)
    for step in stream:
        play(floor, step)
    positions, cash = second_books(floor.reports)
    held = {record.contract.con_id: record.quantity for record in floor.exchange.positions()}
    assert held == {con_id: quantity for con_id, quantity in positions.items() if quantity}
    state = floor.exchange.dump_state()
    booked = defaultdict(Decimal, USD=Decimal(1_000_000))
    for holding in state["holdings"].values():
        for currency, amount in holding["flows"].items():
            booked[currency] += Decimal(amount)
    assert dict(booked) == {currency: cash[currency] for currency in booked}
    check_profit(floor, cash)
    check_orders(floor)


def check_profit(floor, cash):
    """What was realized and what is not are together what the equity has changed by."""
    total = Decimal(0)
    for con_id, sums in floor.exchange.dump_state()["holdings"].items():
        record = floor.exchange.pnl_single(int(con_id))
        total += Decimal(sums["realized"]) + Decimal(sums["realized_before"]) + record.unrealized
    equity = cash["USD"]
    for record in floor.exchange.positions():
        equity += record.quantity * record.market_price * record.contract.multiplier
    assert abs(equity - 1_000_000 - total) < Decimal("1e-12")


def check_orders(floor):
    """No order is over-filled, and a finished one is not among the live."""
    for view in floor.exchange.open_orders():
        assert view.remaining > 0
        assert view.status in {"PreSubmitted", "Submitted"}
    for view in floor.exchange.completed_orders():
        assert view.remaining >= 0
        assert (view.remaining == 0) == (view.status == "Filled")


@settings(max_examples=100, deadline=None, print_blob=True)
@given(stream=streams, cut=st.integers(0, 60))
def test_a_reload_anywhere_changes_nothing(make_floor, stream, cut):
    floor = opened(make_floor)
    for step in stream[:cut]:
        play(floor, step)
    other = make_floor(start=floor.exchange.now)
    other.exchange.load_state(floor.exchange.dump_state())
    assert other.exchange.open_orders() == floor.exchange.open_orders()
    assert other.exchange.account_values() == floor.exchange.account_values()
    assert other.exchange.dump_state() == floor.exchange.dump_state()
