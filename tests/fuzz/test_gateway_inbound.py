"""Whatever a gateway sends: no exception, no wrong fact, no good message lost after a bad one, a bounded memory.

The messages are real ones, made bad. Behind the gateway's edge are the whole engine and a journal's encoder, so that
a fact which is well-formed and still breaks the books is found too.
"""

import asyncio
import math
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random
from typing import Any

import msgspec
import pytest

from tests.fuzz.conftest import Campaign
from tests.fuzz.mutations import bad_payload, bad_stream, fields_of, framed, payload_of, pieces
from trader.clock import AnchoredClock, ManualClock
from trader.contracts import Quote
from trader.engine import Engine
from trader.events import (
    AnyFact,
    BrokerConnectedReceived,
    DecodeFailed,
    DisconnectReason,
    DurableFact,
    ExecutionReceived,
    OrderStatusReceived,
    QuoteReceived,
    QuotesConflated,
    RequestKind,
    StartReason,
)
from trader.gateway import codes
from trader.gateway.batch_clock import BatchClock
from trader.gateway.conflation import BEHIND_FROM_BYTES
from trader.gateway.ib.session import Session
from trader.gateway.ib.wire import FRAME_MAX_BYTES, Greeting
from trader.gateway.instruments import InstrumentIndex
from trader.gateway.link import LinkFailure
from trader.gateway.pacer import Pacer
from trader.gateway.timers import ManualTimers
from trader.journal import MemoryJournal
from trader.journal.codec import from_row, to_row
from trader.loop import TradingLoop
from trader.session import SessionCalendar
from trader.settings import Settings
from trader.strategy.observe import Observe

START = datetime(2013, 10, 7, 15, 0, tzinfo=UTC)
ACCOUNT = "DU1234567"
FACT_MAX_BYTES = 20_000
EXECUTION = (
    "11", "-1", "900", "265598", "AAPL", "STK", "", "0.0", "", "", "SMART", "USD", "AAPL", "NMS", "{}", "{}", ACCOUNT,
    "SMART", "BOT", "7", "69.5", "77", "1", "0", "7", "69.5", "mine", "", "", "", "2",
)  # fmt: skip


class EncodingJournal(MemoryJournal):
    """Writes and reads every fact as a real journal does, and keeps none."""

    def append(self, facts: Sequence[DurableFact]) -> None:
        for fact in facts:
            row = to_row(1, fact)
            assert from_row(1, row["body"], "here") == fact
            assert len(row["body"]) < FACT_MAX_BYTES


class Transport(asyncio.Transport):
    """Takes what is written, and remembers whether it was closed."""

    def __init__(self) -> None:
        super().__init__()
        self.closed = False
        self.written = 0

    def write(self, data: Any) -> None:
        self.written += len(data)

    def is_closing(self) -> bool:
        return self.closed

    def abort(self) -> None:
        self.closed = True

    close = abort


class Line:
    """One connection with the engine behind it, fed by hand. ``facts`` are what the gateway's edge said."""

    def __init__(self, conflate: str = "when_behind") -> None:
        self.clock = ManualClock(START)
        self.anchored = AnchoredClock(self.clock)
        self.facts: list[AnyFact] = []
        settings = Settings(instruments=("AAPL", "MSFT"), market_data={"conflate": conflate})  # type: ignore[arg-type]
        instruments = {item.symbol: item.instrument() for item in settings.instruments}
        engine = Engine(
            settings, instruments, Observe(), SessionCalendar.load(settings.session.calendar), self.anchored, "r1"
        )
        self.loop = TradingLoop(engine, EncodingJournal(), lambda _: None, lambda: None, clock=self.anchored)
        self.loop.take(engine.start(StartReason.MANUAL, "0.1", "hash"))
        timers = ManualTimers(self.clock)
        self.session = Session(
            settings=settings,
            client_id=1,
            index=InstrumentIndex(instruments),
            clock=BatchClock(self.anchored),
            timers=timers,
            pacer=Pacer(50, self.clock, timers, lambda *_: None),
            deliver=self.deliver,
        )
        self.wire = self.session.wire
        self.transport = Transport()
        self.wire.connection_made(self.transport)

    def start(self) -> None:
        """As after the handshake: the account is known, and the engine is told that the link is up."""
        self.wire.server_version = 178
        self.session.account = self.session._inbound.account = ACCOUNT
        self.session._inbound.zone = UTC
        self.session._inbound.begin_session(178)
        self.session.market_data.subscribe()
        self.deliver(
            BrokerConnectedReceived(
                at=START, server_version=178, client_id=1, accounts=(ACCOUNT,), next_valid_id=1, monotonic_ns=0
            )
        )

    def deliver(self, fact: AnyFact) -> None:
        self.facts.append(fact)
        check_sane(fact)
        self.loop.post(fact)
        if self.loop.failure is not None:
            raise AssertionError(f"the engine fails on {fact!r:.2000}") from self.loop.failure

    def feed(self, data: bytes) -> list[AnyFact]:
        """One read of the socket; what it leads to."""
        before = len(self.facts)
        self.clock.advance(timedelta(milliseconds=10))
        if not self.transport.closed:
            self.wire.data_received(data)
        return self.facts[before:]


def check_sane(value: Any) -> None:
    """No number that is none, none that cannot be stored, and nothing larger than a person could read."""
    if isinstance(value, DecodeFailed | DurableFact) or type(value).__name__.endswith("Received"):
        assert len(msgspec.json.encode(value)) < FACT_MAX_BYTES or type(value).__name__ in LONG, value
    for name in value.__struct_fields__:
        item = getattr(value, name)
        for part in item if isinstance(item, tuple) else (item,):
            if isinstance(part, Decimal):
                assert part.is_finite(), value
                assert len(str(part)) < 60, value
            elif isinstance(part, float):
                assert not math.isnan(part), value
            elif isinstance(part, int):
                assert abs(part) < 2**63, value
            elif isinstance(part, msgspec.Struct):
                check_sane(part)


# These list what one read or one answer brought, so they may be long.
LONG = {"AccountValuesReceived", "BrokerStateReceived"}


def good_execution(number: int) -> bytes:
    fields = list(EXECUTION)
    fields[14], fields[15] = f"good.{number}.01", "20131007 10:31:02 US/Eastern"
    return framed(payload_of(fields))


def check_still_hears(line: Line, number: int) -> None:
    """A good message after whatever came is a good fact."""
    said = line.feed(good_execution(number))
    (fact,) = [fact for fact in said if isinstance(fact, ExecutionReceived)]
    assert (fact.line.exec_id, fact.line.order_ref) == (f"good.{number}.01", "mine")
    assert (fact.line.quantity, fact.line.price) == (Decimal(7), Decimal("69.5"))


@pytest.fixture
async def line() -> Line:
    made = Line()
    made.start()
    return made


async def test_every_recorded_message_is_understood(line: Line, frames: tuple[bytes, ...]) -> None:
    failed = [fact for payload in frames for fact in line.feed(framed(payload)) if isinstance(fact, DecodeFailed)]
    # The first message of a connection is its version, which is no message afterwards.
    assert {fact.detail.partition(":")[0] for fact in failed} <= {"no message of this kind is known"}
    assert len({payload.partition(b"\0")[0] for payload in frames}) >= 15


async def test_no_bad_message_costs_a_good_one_after_it(campaign: Campaign, frames: tuple[bytes, ...]) -> None:
    line = Line()
    line.start()
    counted = 0
    for number, rng in enumerate(campaign.cases(2_500)):
        if number % 50 == 0:
            line = Line()
            line.start()
            line.session.requests.start(1_500_000_000 + rng.randrange(5), RequestKind.EXECUTIONS)
        payloads = [bad_payload(rng, rng.choice(frames), frames) for _ in range(rng.choice((1, 1, 3)))]
        said = line.feed(b"".join(framed(payload) for payload in payloads))
        counted += sum(isinstance(fact, DecodeFailed) for fact in said)
        assert not line.transport.closed
        check_still_hears(line, number)
    assert counted > 200 or campaign.played < 1_000


async def test_what_is_split_anywhere_is_the_same(campaign: Campaign, frames: tuple[bytes, ...]) -> None:
    for rng in campaign.cases(60):
        payloads = [rng.choice(frames) for _ in range(8)]
        data = b"".join(framed(payload) for payload in payloads)
        whole, split = Line(), Line()
        heard: list[list[list[str]]] = []
        for line, parts in ((whole, [data]), (split, pieces(rng, data))):
            line.start()
            messages: list[list[str]] = []
            line.session.message = messages.append  # type: ignore[method-assign]
            for part in parts:
                line.feed(part)
            heard.append(messages)
        assert heard[0] == heard[1] == [fields_of(payload) for payload in payloads]


async def test_a_hostile_stream_ends_the_link_or_leaves_it_whole(campaign: Campaign, frames: tuple[bytes, ...]) -> None:
    for number, rng in enumerate(campaign.cases(250)):
        line = Line()
        line.start()
        answers = asyncio.get_running_loop().create_task(line.session.broker_state())
        for _ in range(3):  # until all four questions are asked
            await asyncio.sleep(0)
        for part in pieces(rng, bad_stream(rng, frames)):
            line.feed(part)
        if not line.transport.closed:
            assert len(line.wire._buffer) <= FRAME_MAX_BYTES + 70_000 * 40
            if not line.wire._buffer:
                check_still_hears(line, number)
        line.session.end(LinkFailure(DisconnectReason.CLOSED, "the test is over"))
        line.deliver(await answers)


async def test_no_stream_breaks_the_handshake(campaign: Campaign, frames: tuple[bytes, ...]) -> None:
    hello = payload_of(["178", "20131007 09:30:00 EST"])
    for rng in campaign.cases(400):
        line = Line()
        greeting: asyncio.Future[Greeting] = asyncio.get_running_loop().create_future()
        line.wire._greeting = greeting
        first = hello if rng.random() < 0.7 else bad_payload(rng, hello, frames)
        data = framed(first) + bad_stream(rng, frames)
        for part in pieces(rng, data):
            line.feed(part)
        if greeting.done():
            failure = greeting.exception()
            if failure is None:
                assert greeting.result().next_valid_id < 2**31
                assert greeting.result().accounts
            else:
                assert isinstance(failure, LinkFailure)
                assert len(failure.detail) < 1_000
        line.session.end(LinkFailure(DisconnectReason.CLOSED, "the test is over"))


STATUS = ("3", "900", "Submitted", "0", "7", "0", "77", "0", "0", "1", "", "0")
# Facts that no quote before them may follow.
ORDERLY = (OrderStatusReceived, ExecutionReceived, DecodeFailed)


def market_rows(rng: Random) -> bytes:
    """Frames of some hundred rows of two instruments, good and bad, and of what comes between them."""
    messages: list[list[str]] = []
    for number in range(rng.randrange(900, 2_000)):
        request = str(codes.FIRST_REQUEST_ID + rng.randrange(2))
        bid = 70 + number / 1_000
        ask = bid + rng.choice((0.01, 0.02, 0.02, -0.05))
        messages.append(["1", "6", request, "1", f"{bid:.3f}", "100", "0"])
        messages.append(["1", "6", request, "2", f"{ask:.3f}", "200", "0"])
        match rng.randrange(100):
            case 0:
                messages.append(list(STATUS))
            case 1:
                execution = list(EXECUTION)
                execution[14], execution[15] = f"e{number}.01", "20131007 10:31:02 US/Eastern"
                messages.append(execution)
            case 2:
                messages.append(["250", "1", "2"])
            case roll if roll < 20:
                messages.append(["1", "6", request, "4", f"{bid:.3f}", str(rng.randrange(1, 500)), "0"])
    return b"".join(framed(payload_of(fields)) for fields in messages)


def two_lines(parts: Sequence[bytes]) -> tuple[list[AnyFact], list[AnyFact]]:
    """What reads of ``parts`` lead to: where every quote goes on, and where they are conflated."""
    every, latest = Line("never"), Line("when_behind")
    for line in (every, latest):
        line.start()
        for part in parts:
            line.feed(part)
    return every.facts, latest.facts


def quotes_known(facts: Sequence[AnyFact]) -> list[dict[str, Quote]]:
    """The last quote of each instrument: at each fact that no quote before it may follow, and at the end."""
    known: dict[str, Quote] = {}
    moments = []
    for fact in facts:
        if isinstance(fact, QuoteReceived):
            known[fact.quote.symbol] = fact.quote
        elif isinstance(fact, ORDERLY):
            moments.append(dict(known))
    return [*moments, known]


def last_of_each_read(facts: Sequence[AnyFact]) -> dict[tuple[datetime, str], Quote]:
    """What a recording keeps is no more than this: all of one read has one time."""
    return {(fact.at, fact.quote.symbol): fact.quote for fact in facts if isinstance(fact, QuoteReceived)}


async def test_what_is_conflated_says_the_same_but_for_superseded_quotes(campaign: Campaign) -> None:
    superseded = 0
    for rng in campaign.cases(12):
        every, latest = two_lines(pieces(rng, market_rows(rng)))
        assert quotes_known(latest) == quotes_known(every)
        assert last_of_each_read(latest) == last_of_each_read(every)
        assert [fact for fact in latest if not isinstance(fact, QuoteReceived | QuotesConflated)] == [
            fact for fact in every if not isinstance(fact, QuoteReceived)
        ]
        quotes = [fact for fact in every if isinstance(fact, QuoteReceived)]
        remaining = iter(quotes)
        gone_on = [fact for fact in latest if isinstance(fact, QuoteReceived)]
        assert all(fact in remaining for fact in gone_on), "quotes are out of order"
        told = sum(fact.superseded for fact in latest if isinstance(fact, QuotesConflated))
        assert told == len(quotes) - len(gone_on)
        superseded += told
    assert superseded > 1_000 or campaign.played < 12


async def test_nothing_is_conflated_in_reads_that_are_not_long(campaign: Campaign) -> None:
    for rng in campaign.cases(6):
        data = market_rows(rng)
        size = rng.randrange(20_000, BEHIND_FROM_BYTES)
        every, latest = two_lines([data[start : start + size] for start in range(0, len(data), size)])
        assert latest == every
