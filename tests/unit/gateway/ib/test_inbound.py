"""Messages into facts: what ib_async's own objects would lose, repeat or bend."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from trader.clock import ManualClock
from trader.contracts import Instrument, SecurityType, Side
from trader.events import (
    AccountValuesReceived,
    BrokerOrderStatus,
    CommissionReceived,
    DecodeFailed,
    ExecutionReceived,
    OpenOrderReceived,
    OrderStatusReceived,
    PositionReceived,
    QuoteReceived,
    QuotesConflated,
    RequestKind,
)
from trader.gateway.batch_clock import BatchClock
from trader.gateway.conflation import BEHIND_FROM_BYTES
from trader.gateway.ib.inbound import Inbound
from trader.gateway.instruments import InstrumentIndex
from trader.gateway.quotes import QuoteStream
from trader.gateway.requests import RequestFailed, Requests
from trader.gateway.timers import ManualTimers

START = datetime(2013, 10, 7, 13, 30, tzinfo=UTC)
AAPL = Instrument(symbol="AAPL", con_id=265598)
UNSET = "1.7976931348623157E308"
CONTRACT = ["265598", "AAPL", "STK", "", "0", "?", "", "ISLAND", "USD", "AAPL", "NMS"]


class Bench:
    def __init__(self) -> None:
        self.clock = ManualClock(START)
        self.facts: list[Any] = []
        self.errors: list[tuple[int, int, str]] = []
        self.values: list[tuple[str, str]] = []
        self.requests = Requests(self.clock, ManualTimers(self.clock), 15.0, lambda *_: None)
        self.inbound = Inbound(
            clock=BatchClock(self.clock),
            deliver=self.facts.append,
            index=InstrumentIndex({"AAPL": AAPL}),
            requests=self.requests,
            quotes=QuoteStream(self.facts.append, lambda _: None, allow_delayed=False, conflate=True),
            on_error=lambda *error: self.errors.append(error),
            on_server_time=lambda _: None,
            on_account_value=lambda *value: self.values.append(value),
            on_subscription=lambda _: None,
        )
        self.inbound.account = "DU1"
        self.inbound.begin_session(178)

    def feed(self, *messages: list[str]) -> list[Any]:
        """The facts of one read of the socket."""
        before = len(self.facts)
        self.inbound.batch_began(100)
        for fields in messages:
            self.inbound.message(list(fields))
        self.inbound.batch_ended()
        return self.facts[before:]


@pytest.fixture
def bench() -> Bench:
    return Bench()


def status(word: str = "Submitted", filled: str = "0", order_id: str = "12", client_id: str = "1") -> list[str]:
    return ["3", order_id, word, filled, "0", "10.5", "17001", "0", "10.5", client_id, "", "0"]


def execution(
    exec_id: str = "0001.01.01",
    *,
    request: str = "-1",
    time: str = "20131007 09:31:02 US/Eastern",
    account: str = "DU1",
    shares: str = "100",
    order_id: str = "12",
) -> list[str]:
    head = ["11", request, order_id, *CONTRACT, exec_id, time, account, "ISLAND", "BOT", shares, "10.50", "17001", "1"]
    return [*head, "0", "100", "10.50", "ref-1", "", "", "", "2", "0"]


def commission(exec_id: str = "0001.01.01", amount: str = "1.0", realized: str = UNSET) -> list[str]:
    return ["59", "1", exec_id, amount, "USD", realized, UNSET, ""]


def position(quantity: str = "100", account: str = "DU1") -> list[str]:
    return ["61", "3", account, *CONTRACT, quantity, "10.505"]


def open_order(word: str = "Submitted", quantity: str = "100", account: str = "DU1") -> list[str]:
    """An open order in the layout of version 178; what does not matter is left empty."""
    terms = ["BUY", quantity, "LMT", "10.50", "0", "DAY", "", account, "", "0", "ref-1", "1", "17001", "0", *[""] * 7]
    legs_and_parameters = ["0", "0", "0", *[""] * 4]
    clearing = ["0", "", "", "0", "0", ""]
    state = ["0", "0", word, *[UNSET] * 12, "", "", "0", "0", "0"]
    return ["5", "12", *CONTRACT, *terms, *[""] * 36, *legs_and_parameters, *clearing, *state, *[""] * 24]


def test_every_execution_is_a_fact_live_or_asked_for(bench: Bench) -> None:
    facts = bench.feed(execution("0001.01.01"), execution("0002.01.01", request="1500000003"))
    assert [fact.line.exec_id for fact in facts if isinstance(fact, ExecutionReceived)] == ["0001.01.01", "0002.01.01"]


def test_an_execution_says_everything_about_itself(bench: Bench) -> None:
    (fact,) = bench.feed(execution())
    line = fact.line
    assert line.instrument == AAPL
    assert (line.order_id, line.perm_id, line.client_id, line.order_ref) == (12, 17001, 1, "ref-1")
    assert (line.side, line.quantity, line.price) == (Side.BUY, Decimal(100), Decimal("10.5"))
    assert line.executed_at == datetime(2013, 10, 7, 13, 31, 2, tzinfo=UTC)


def test_a_correction_is_one_more_execution_and_its_id_says_of_what(bench: Bench) -> None:
    facts = bench.feed(execution("0001.01.01"), execution("0001.01.02", shares="90"))
    assert [(fact.line.exec_id, fact.line.quantity) for fact in facts] == [("0001.01.01", 100), ("0001.01.02", 90)]


def test_an_execution_whose_time_cannot_be_read_is_critical_and_still_booked(bench: Bench) -> None:
    failed, fact = bench.feed(execution(time="20131007 09:31:02 Middle/Earth"))
    assert isinstance(failed, DecodeFailed)
    assert failed.critical
    assert "0001.01.01" in failed.detail
    assert isinstance(fact, ExecutionReceived)
    assert fact.line.executed_at == START


def test_an_execution_that_cannot_be_read_at_all_is_critical(bench: Bench) -> None:
    (fact,) = bench.feed(execution(shares="many"))
    assert isinstance(fact, DecodeFailed)
    assert fact.critical
    assert fact.message_kind == "execution"


def test_an_execution_of_a_manual_order_has_no_order_id(bench: Bench) -> None:
    (fact,) = bench.feed(execution(order_id="2147483647"))
    assert fact.line.order_id == 0


def test_a_commission_before_its_execution_is_not_lost(bench: Bench) -> None:
    facts = bench.feed(commission(), execution())
    assert [type(fact) for fact in facts] == [CommissionReceived, ExecutionReceived]
    assert facts[0].line.realized_pnl is None


def test_a_commission_that_is_not_known_yet_is_no_commission(bench: Bench) -> None:
    facts = bench.feed(commission(amount="-1.0"), commission(amount=UNSET), commission(amount="1.25"))
    assert [type(fact) for fact in facts] == [DecodeFailed, DecodeFailed, CommissionReceived]
    assert not facts[0].critical


def test_the_status_of_an_order_that_nobody_knows_is_a_fact(bench: Bench) -> None:
    (fact,) = bench.feed(status(order_id="0", client_id="77"))
    assert isinstance(fact, OrderStatusReceived)
    assert (fact.order_id, fact.client_id, fact.perm_id) == (0, 77, 17001)


def test_a_status_that_comes_twice_is_told_twice(bench: Bench) -> None:
    assert len(bench.feed(status("Filled", "100"), status("Filled", "100"))) == 2


@pytest.mark.parametrize("code", [10349, 10147, 10148, 161, 103, 104, 135, 463, 399, 404, 2109, 110, 321, 201, 202])
def test_an_error_never_becomes_an_orders_status(bench: Bench, code: int) -> None:
    facts = bench.feed(["4", "2", "12", str(code), "some words", ""])
    assert facts == []
    assert bench.errors == [(12, code, "some words")]


def test_a_status_with_a_word_that_is_not_known_is_told_as_a_failure(bench: Bench) -> None:
    (fact,) = bench.feed(status("Perhaps"))
    assert isinstance(fact, DecodeFailed)
    assert fact.message_kind == "order_status"


def test_an_open_order_is_told_with_what_its_last_status_said_was_filled(bench: Bench) -> None:
    _, fact = bench.feed(status("Submitted", "40"), open_order())
    assert isinstance(fact, OpenOrderReceived), fact
    line = fact.line
    assert (line.order_id, line.perm_id, line.client_id, line.order_ref) == (12, 17001, 1, "ref-1")
    assert (line.symbol, line.side, line.quantity, line.filled) == ("AAPL", Side.BUY, 100, 40)
    assert (line.status, line.limit_price) == (BrokerOrderStatus.SUBMITTED, Decimal("10.5"))


async def test_an_answer_of_open_orders_is_amended_by_their_statuses(bench: Bench) -> None:
    request = bench.requests.start(RequestKind.OPEN_ORDERS, RequestKind.OPEN_ORDERS)
    bench.feed(open_order("PreSubmitted"), status("Submitted", "25"), ["53", "1"])
    (line,) = await request.future
    assert (line.filled, line.status) == (25, BrokerOrderStatus.SUBMITTED)


async def test_an_answer_with_a_row_that_cannot_be_read_is_no_answer(bench: Bench) -> None:
    request = bench.requests.start(RequestKind.POSITIONS, RequestKind.POSITIONS)
    facts = bench.feed(position(), position(UNSET), ["62", "1"])
    assert [type(fact) for fact in facts] == [DecodeFailed]
    with pytest.raises(RequestFailed, match="a row could not be understood"):
        await request.future


async def test_executions_that_cannot_be_read_spoil_their_own_answer(bench: Bench) -> None:
    request = bench.requests.start(1_500_000_003, RequestKind.EXECUTIONS)
    bench.feed(execution(request="1500000003", shares=""), ["55", "1", "1500000003"])
    with pytest.raises(RequestFailed):
        await request.future


async def test_the_rows_of_an_answer_are_no_hints_that_a_position_changed(bench: Bench) -> None:
    request = bench.requests.start(RequestKind.POSITIONS, RequestKind.POSITIONS)
    assert bench.feed(position("100"), position("150"), ["62", "1"]) == []
    (line,) = await request.future
    assert line.quantity == 150
    (hint,) = bench.feed(position("0"))
    assert isinstance(hint, PositionReceived)
    assert hint.line.quantity == 0


def test_a_position_in_something_that_is_not_configured_is_seen(bench: Bench) -> None:
    option = ["5001", "AAPL", "OPT", "20131018", "500", "C", "100", "", "USD", "AAPL  131018C00500000", "AAPL"]
    (fact,) = bench.feed(["61", "3", "DU1", *option, "2", "1250.0"])
    instrument = fact.line.instrument
    assert instrument.security_type is SecurityType.OTHER
    assert (instrument.con_id, instrument.multiplier, instrument.exchange) == (5001, 100, "SMART")
    assert fact.line.average_cost == Decimal("12.5")


def test_what_happens_in_another_account_of_the_login_is_not_ours(bench: Bench) -> None:
    assert bench.feed(execution(account="DU2"), position(account="DU2"), open_order(account="DU2")) == []


def test_account_values_of_one_read_are_one_fact(bench: Bench) -> None:
    facts = bench.feed(*(["6", "2", tag, "1", "USD", "DU1"] for tag in ("NetLiquidation", "Cushion")))
    assert [type(fact) for fact in facts] == [AccountValuesReceived]
    assert [value.tag for value in facts[0].values] == ["NetLiquidation", "Cushion"]
    assert bench.values == [("NetLiquidation", "1"), ("Cushion", "1")]


def test_a_message_of_an_unknown_kind_is_told(bench: Bench) -> None:
    (fact,) = bench.feed(["250", "1", "what"])
    assert (fact.message_kind, fact.critical) == ("message_250", False)


@pytest.mark.parametrize("fields", [[], [""], ["3"], ["4", "2"], ["5", "x"], ["11"], ["59", "1"], ["101"], ["10", "7"]])
def test_a_message_that_is_cut_short_is_told_and_stops_nothing(bench: Bench, fields: list[str]) -> None:
    facts = bench.feed(fields, status())
    assert [type(fact) for fact in facts] == [DecodeFailed, OrderStatusReceived]


def test_facts_come_in_the_order_of_their_messages(bench: Bench) -> None:
    facts = bench.feed(status("Filled", "100"), commission(), execution(), status("Filled", "100"))
    kinds = [type(fact) for fact in facts]
    assert kinds == [OrderStatusReceived, CommissionReceived, ExecutionReceived, OrderStatusReceived]


def test_a_side_is_never_turned_round_by_a_sign(bench: Bench) -> None:
    (execution_failed,) = bench.feed(execution(shares="-100"))
    (status_failed,) = bench.feed(status(filled="-1"))
    (order_failed,) = bench.feed(open_order(quantity="-100"))
    assert all(isinstance(fact, DecodeFailed) for fact in (execution_failed, status_failed, order_failed))
    assert execution_failed.critical


def test_a_bad_message_does_not_flood_the_log(bench: Bench) -> None:
    (unknown,) = bench.feed(["x" * 70_000])
    (failed,) = bench.feed(execution(shares="x" * 70_000))
    assert len(unknown.detail) < 1_000
    assert len(failed.detail) < 4_000


def test_a_name_that_is_longer_than_any_is_not_kept(bench: Bench) -> None:
    (failed,) = bench.feed(execution("0" * 1_000))
    assert isinstance(failed, DecodeFailed)
    assert failed.critical


async def test_a_message_that_is_longer_than_any_spoils_its_answer(bench: Bench) -> None:
    request = bench.requests.start(RequestKind.POSITIONS, RequestKind.POSITIONS)
    bench.inbound.batch_began(100)
    bench.inbound.overlong(["61", "3"], 1_000_000)
    bench.inbound.message(["62", "1"])
    bench.inbound.batch_ended()
    (failed,) = bench.facts
    assert "a message of 1000000 bytes is longer than any that is known" in failed.detail
    with pytest.raises(RequestFailed, match="a row could not be understood"):
        await request.future


@pytest.mark.parametrize("kind", ["²", "٣٣", "1234"])
def test_kinds_that_are_none_share_one_name(bench: Bench, kind: str) -> None:
    (failed,) = bench.feed([kind, "1"])
    assert failed.message_kind == "unknown"


@pytest.mark.parametrize("seconds", ["-1", "0", "99999999999999999999", "1e9"])
def test_a_server_time_that_is_none_is_no_heartbeat(bench: Bench, seconds: str) -> None:
    (failed,) = bench.feed(["49", "1", seconds])
    assert isinstance(failed, DecodeFailed)


def quote_ticks(bid: str, ask: str) -> list[list[str]]:
    return [["1", "6", "7", "1", bid, "100", "0"], ["1", "6", "7", "2", ask, "100", "0"]]


def test_no_fact_of_an_order_overtakes_a_quote_that_came_before_it_while_quotes_are_conflated(bench: Bench) -> None:
    bench.inbound._quotes.add(7, "AAPL", quotes=True)
    before, between, after = (
        [tick for cents in part for tick in quote_ticks(f"10.{cents}", f"10.{cents + 9}")]
        for part in ((10, 11, 12), (20, 21), (30,))
    )
    bench.inbound.batch_began(BEHIND_FROM_BYTES)
    for fields in (*before, status(), *between, ["99999"], *after, execution()):
        bench.inbound.message(list(fields))
    bench.inbound.batch_ended()
    said = [fact.quote.bid if isinstance(fact, QuoteReceived) else type(fact) for fact in bench.facts]
    # A row leaves when the next one begins or the read ends; so one row of each part comes after what follows it.
    assert said == [10.11, OrderStatusReceived, 10.2, DecodeFailed, 10.21, ExecutionReceived, 10.3, QuotesConflated]
    assert bench.facts[-1].superseded == 2
