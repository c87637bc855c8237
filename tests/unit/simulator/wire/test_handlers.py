"""Every request there is, with any fields whatever: answered or refused, never more than that."""

import contextlib
from datetime import UTC, datetime
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trader.simulator.contract_book import ContractBook
from trader.simulator.faults import FaultInjector, Faults
from trader.simulator.model import MarketEvent
from trader.simulator.options import ExchangeOptions
from trader.simulator.wire.codec import BadRequest, FieldCursor, FrameReader, frame
from trader.simulator.wire.dispatch import HANDLERS
from trader.simulator.wire.gateway import SimulatedGateway
from trader.simulator.wire.options import ServerOptions
from trader.simulator.wire.session import Session

START = datetime(2013, 10, 7, 14, 0, tzinfo=UTC)
AAPL = ["265598", "AAPL", "STK", "", "0.0", "", "", "SMART", "", "USD", "", ""]


def open_session(version=178):
    """A started session without a socket; what it writes is kept in ``sent``."""
    gateway = SimulatedGateway(
        ContractBook(("AAPL",)),
        START,
        1,
        ServerOptions(),
        ExchangeOptions(),
        FaultInjector(Faults()),
        lambda delay_s, call: None,
    )
    quote = {"bid": Decimal(69), "bid_size": Decimal(9), "ask": Decimal(70), "ask_size": Decimal(9)}
    gateway.exchange.apply(MarketEvent(at=START, symbol="AAPL", **quote))
    session = Session(gateway)
    session.version, session.client_id = version, 1
    gateway.sessions[1] = session
    session.sent = FrameReader()
    session.write = session.sent.feed
    return session


def ask(session, *fields):
    """Hand one message to its handler; the messages it is answered with."""
    handler = HANDLERS[int(fields[0])]
    reader = FrameReader()
    reader.feed(frame(*fields))
    (read,) = reader.frames()
    handler.call(session, FieldCursor(read, handler.first_field))
    return list(session.sent.frames())


FIELD = st.one_of(
    st.sampled_from(["", "0", "1", "-1", "2147483647", "1.7976931348623157E308", "1e999", "nan", "AAPL", "BAG", "STK"]),
    st.integers(-5, 10**12).map(str),
    st.text(st.characters(min_codepoint=1, max_codepoint=300), max_size=5),
)


@settings(max_examples=25)
@given(start=st.sampled_from([[], ["1", *AAPL], ["2", "1", *AAPL]]), rest=st.lists(FIELD, max_size=130))
@pytest.mark.parametrize("message_id", sorted(HANDLERS))
def test_no_request_whatever_is_more_than_refused(message_id, start, rest):
    session = open_session()
    handler = HANDLERS[message_id]
    with contextlib.suppress(BadRequest):
        handler.call(session, FieldCursor([str(message_id), *start, *rest], handler.first_field))
    assert all(fields for fields in session.sent.frames())


ANSWERS = {
    "family codes": ((80,), "78"),
    "user info": ((104, 5), "107"),
    "option parameters": ((78, 5, "AAPL", "", "STK", 265598), "76"),
    "soft dollar tiers": ((79, 5), "77"),
    "depth exchanges": ((82,), "80"),
    "news providers": ((85,), "85"),
    "scanner parameters": ((24, 1), "19"),
    "managed accounts": ((17, 1), "15"),
    "next order id": ((8, 1, 1), "9"),
    "current time": ((49, 1), "49"),
    "positions of a model": ((74, 1, 5, "DU1234567", ""), "72"),
    "account values of a model": ((76, 1, 5, "DU1234567", "", 0), "74"),
    "market rule": ((91, 26), "93"),
    "depth": ((10, 5, 5, *AAPL, 5, 0, ""), "4"),
    "news": ((86, 5), "4"),
    "historical ticks": ((96, 5), "4"),
    "fundamentals": ((52, 2, 5), "4"),
    "an unknown rule": ((91, 99), "4"),
    "another account": ((92, 5, "DU9", ""), "4"),
    "a cancel of nothing": ((2, 2, 5), "4"),
    "advisor data": ((18, 1, 1), "4"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_a_request_is_answered_so_that_nobody_waits_for_ever(name):
    request, answer = ANSWERS[name]
    assert ask(open_session(), *request)[-1][0] == answer


def test_an_error_refers_to_the_request_it_is_about():
    assert ask(open_session(), 96, 5)[0][2:4] == ["5", "10187"]


def test_the_head_of_the_data_is_the_first_bar_kept():
    session = open_session()
    assert ask(session, 87, 5, *AAPL, 0, 0, "MIDPOINT", 2)[0] == ["88", "5", str(int(START.timestamp()))]


def test_account_updates_begin_with_the_clock_and_end_with_their_end():
    heard = ask(open_session(), 6, 2, 1, "")
    assert [fields[2] for fields in heard[:2]] == ["SimulatorTime", "SimulatorSpeed"]
    assert heard[0][3:] == ["2013-10-07T14:00:00.000000Z", "", "DU1234567"]
    assert heard[-1] == ["54", "1", "DU1234567"]
    assert ask(open_session(), 6, 2, 0, "") == []
