"""The gateway adapter against a gateway that says exactly what a script says, over a real loopback socket."""

import asyncio
import struct
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, TypeVar

import pytest

from trader.clock import ManualClock
from trader.events import (
    AnyFact,
    BrokerConnectedReceived,
    BrokerDisconnectedReceived,
    BrokerErrorReceived,
    ConnectFailedReceived,
    DisconnectReason,
    FarmChangedReceived,
    HeartbeatMissedReceived,
    QuoteReceived,
    RequestFinished,
    RequestOutcome,
    SubscriptionChangedReceived,
    SubscriptionStatus,
    UpstreamLostReceived,
    UpstreamRestoredReceived,
)
from trader.gateway.ib import IbGateway
from trader.gateway.link import CLIENT_ID_ATTEMPTS_MAX
from trader.gateway.protocol import GatewayError
from trader.gateway.timers import LoopTimers, TimerHandle, Timers
from trader.settings import Settings

START = datetime(2013, 10, 7, 13, 30, tzinfo=UTC)
PATIENCE_S = 60.0
F = TypeVar("F")
Fields = list[str]

START_API, ACCOUNT_UPDATES, SERVER_TIME, CONTRACT, MARKET_DATA = "71", "6", "49", "9", "1"
POSITIONS, OPEN_ORDERS, COMPLETED, EXECUTIONS, CANCEL_MARKET_DATA = "61", "16", "99", "7", "2"


def frame(*fields: str) -> bytes:
    payload = "".join(f"{field}\0" for field in fields).encode()
    return struct.pack(">I", len(payload)) + payload


def details(request: str, symbol: str, con_id: str, min_tick: str = "0.01") -> Fields:
    """A contract's description in the layout of version 178."""
    head = ["10", request, symbol, "STK", "", "0", "", "SMART", "USD", symbol, "NMS", "NMS", con_id, min_tick]
    more = ["", "", "SMART", "1", "0", symbol, "NASDAQ", "", "", "", "", "US/Eastern", "", "", "", "", "0"]
    return [*head, *more, "1", "", "", "26", "", "COMMON", "1", "1", "100"]


def error(request: int, code: int, message: str) -> Fields:
    return ["4", "2", str(request), str(code), message, ""]


ANSWERS: dict[str, Callable[[Fields], list[Fields]]] = {
    START_API: lambda _: [["15", "1", "DU1"], ["9", "1", "5"]],
    ACCOUNT_UPDATES: lambda _: [["6", "2", "NetLiquidation", "1000", "USD", "DU1"], ["54", "1", "DU1"]],
    SERVER_TIME: lambda _: [["49", "1", str(int(START.timestamp()))]],
    CONTRACT: lambda ask: [details(ask[2], ask[4], "265598"), ["52", "1", ask[2]]],
    POSITIONS: lambda _: [["62", "1"]],
    OPEN_ORDERS: lambda _: [["53", "1"]],
    COMPLETED: lambda _: [["102"]],
    EXECUTIONS: lambda ask: [["55", "1", ask[2]]],
}


class ScriptedGateway(asyncio.Protocol):
    """Answers by ``answers``; ``received`` holds what clients sent, ``chunk`` splits what they are sent."""

    def __init__(self, chunk: int | None = None, **answers: Callable[[Fields], list[Fields]]) -> None:
        self.answers = {**ANSWERS, **{key.lstrip("_"): answer for key, answer in answers.items()}}
        self.received: list[Fields] = []
        self.greeted = False
        self.version = "178"
        self._chunk = chunk
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self._server: asyncio.Server | None = None

    async def start(self) -> int:
        self._server = await asyncio.get_running_loop().create_server(lambda: self, "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport, self._buffer, self.greeted = transport, b"", False

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self.greeted:
            self._buffer = self._buffer.removeprefix(b"API\0")
        while len(self._buffer) >= 4 and len(self._buffer) >= 4 + (size := struct.unpack(">I", self._buffer[:4])[0]):
            payload, self._buffer = self._buffer[4 : 4 + size], self._buffer[4 + size :]
            self._take(payload)

    def _take(self, payload: bytes) -> None:
        if not self.greeted:
            self.greeted = True
            self.say([self.version, "20131007 09:30:00 EST"])
            return
        fields = payload.decode().split("\0")[:-1]
        self.received.append(fields)
        answer = self.answers.get(fields[0])
        if answer is not None:
            self.say(*answer(fields))

    def say(self, *messages: Fields) -> None:
        data = b"".join(frame(*fields) for fields in messages)
        assert self._transport is not None
        for start in range(0, len(data), self._chunk or max(1, len(data))):
            self._transport.write(data[start : start + (self._chunk or len(data))])

    def sent(self, kind: str) -> list[Fields]:
        return [fields for fields in self.received if fields[0] == kind]


class SkippingTimers(LoopTimers):
    """Sleeps take no time but the clock's."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.slept: list[float] = []

    async def sleep(self, delay_s: float) -> None:
        self.slept.append(delay_s)
        self.clock.advance(timedelta(seconds=delay_s))
        await asyncio.sleep(0)


class SocketClosingTimers(SkippingTimers):
    """The socket begins to close so many turns of the loop after a sleep ended."""

    gateway: IbGateway

    def __init__(self, clock: ManualClock, turns: int) -> None:
        super().__init__(clock)
        self.turns = turns

    async def sleep(self, delay_s: float) -> None:
        await super().sleep(delay_s)
        self.close_after(self.turns)

    def close_after(self, turns: int) -> None:
        session = self.gateway._session
        if turns:
            asyncio.get_running_loop().call_soon(self.close_after, turns - 1)
        elif session is not None and session.wire._transport is not None:
            session.wire._transport.abort()


class EagerTimers(LoopTimers):
    """Callbacks that are due within a second or so are due now."""

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> TimerHandle:
        return super().call_later(0.0 if delay_s < 2.0 else delay_s, callback)


class Facts:
    def __init__(self) -> None:
        self.seen: list[AnyFact] = []
        self._waiting: list[tuple[Callable[[AnyFact], bool], asyncio.Future[AnyFact]]] = []

    def __call__(self, fact: AnyFact) -> None:
        self.seen.append(fact)
        for wanted, future in self._waiting:
            if not future.done() and wanted(fact):
                future.set_result(fact)

    def of(self, kind: type[F]) -> list[F]:
        return [fact for fact in self.seen if isinstance(fact, kind)]

    def next(self, kind: type[F], fits: Callable[[Any], bool] = lambda _: True) -> Coroutine[Any, Any, F]:
        """The next fact of ``kind`` that fits, counted from this call."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting.append((lambda fact: isinstance(fact, kind) and fits(fact), future))
        return patiently(future)


async def patiently(future: "asyncio.Future[Any]") -> Any:
    async with asyncio.timeout(PATIENCE_S):
        return await future


def gateway_at(port: int, facts: Facts, clock: ManualClock, timers: Timers | None = None, **gateway: Any) -> IbGateway:
    config = Settings(mode="paper", instruments=("AAPL",), gateway={"port": port, **gateway})  # type: ignore[arg-type]
    instruments = {item.symbol: item.instrument() for item in config.instruments}
    return IbGateway(config, instruments, clock, facts, timers=timers, rng=Random(3))


@asynccontextmanager
async def connected(script: ScriptedGateway, facts: Facts, **options: Any) -> AsyncIterator[IbGateway]:
    gateway = gateway_at(await script.start(), facts, ManualClock(START), **options)
    up = facts.next(BrokerConnectedReceived)
    task = asyncio.get_running_loop().create_task(gateway.run())
    try:
        await up
        yield gateway
    finally:
        await gateway.close()
        await task
        script.stop()


async def until_sent(script: ScriptedGateway, kind: str, times: int) -> list[Fields]:
    """What was sent of ``kind`` once it was sent ``times`` times."""
    async with asyncio.timeout(PATIENCE_S):
        while len(script.sent(kind)) < times:
            await asyncio.sleep(0)
    return script.sent(kind)


async def test_frames_that_arrive_byte_by_byte_are_understood() -> None:
    facts = Facts()
    async with connected(ScriptedGateway(chunk=1), facts):
        (fact,) = facts.of(BrokerConnectedReceived)
        assert (fact.next_valid_id, fact.accounts, fact.server_version) == (5, ("DU1",), 178)


async def test_a_busy_client_id_is_tried_a_bounded_number_of_times_and_never_another_id() -> None:
    facts, clock = Facts(), ManualClock(START)
    script = ScriptedGateway(_71=lambda _: [error(-1, 326, "Unable to connect as the client id is already in use")])
    timers = SkippingTimers(clock)
    gateway = gateway_at(await script.start(), facts, clock, timers)
    with pytest.raises(GatewayError, match="client id 1 is in use"):
        await gateway.run()
    script.stop()
    failures = facts.of(ConnectFailedReceived)
    assert {fact.reason for fact in failures} == {DisconnectReason.CLIENT_ID_BUSY}
    assert len(failures) == CLIENT_ID_ATTEMPTS_MAX
    assert [fields[2] for fields in script.sent(START_API)] == ["1"] * CLIENT_ID_ATTEMPTS_MAX
    waits = [(fact.retry_in_s, min(2.0**number, 30.0)) for number, fact in enumerate(failures[:-1])]
    assert all(0.8 * longest <= wait <= longest for wait, longest in waits)
    assert timers.slept == [fact.retry_in_s for fact in failures[:-1]]


async def test_a_gateway_that_falls_silent_is_left_within_fifteen_seconds_and_found_again() -> None:
    facts, clock = Facts(), ManualClock(START)
    times = iter(range(1))
    script = ScriptedGateway(_49=lambda ask: ANSWERS[SERVER_TIME](ask) if next(times, None) is not None else [])
    timers = SkippingTimers(clock)
    gateway = gateway_at(await script.start(), facts, clock, timers)
    lost = facts.next(BrokerDisconnectedReceived)
    task = asyncio.get_running_loop().create_task(gateway.run())
    fact = await lost
    assert fact.reason is DisconnectReason.HEARTBEAT_LOST
    (up,) = facts.of(BrokerConnectedReceived)
    assert 10.0 <= (fact.monotonic_ns - up.monotonic_ns) / 1e9 <= 15.1
    assert facts.of(HeartbeatMissedReceived)
    script.answers.update(ANSWERS)
    again = facts.next(BrokerConnectedReceived)
    await again
    await gateway.close()
    await task
    script.stop()


@pytest.mark.parametrize("turns", range(4))
async def test_a_probe_that_falls_due_while_the_socket_closes_is_a_lost_link_and_no_defect(turns: int) -> None:
    facts, clock = Facts(), ManualClock(START)
    timers = SocketClosingTimers(clock, turns)
    script = ScriptedGateway()
    gateway = timers.gateway = gateway_at(await script.start(), facts, clock, timers)
    lost = facts.next(BrokerDisconnectedReceived)
    task = asyncio.get_running_loop().create_task(gateway.run())
    done, _ = await asyncio.wait({task, asyncio.ensure_future(lost)}, return_when=asyncio.FIRST_COMPLETED)
    assert task not in done, task.exception()
    await gateway.close()
    await task
    script.stop()


async def test_a_start_without_an_answer_is_no_connection() -> None:
    facts = Facts()
    script = ScriptedGateway(_6=lambda _: [])
    gateway = gateway_at(await script.start(), facts, ManualClock(START), request_timeout_s=0.05)
    failed = facts.next(ConnectFailedReceived)
    task = asyncio.get_running_loop().create_task(gateway.run())
    fact = await failed
    assert fact.reason is DisconnectReason.HANDSHAKE_TIMEOUT
    assert "no answer to account" in fact.detail
    assert not facts.of(BrokerConnectedReceived)
    await gateway.close()
    await task
    script.stop()


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        (POSITIONS, "positions"),
        (OPEN_ORDERS, "open_orders"),
        (COMPLETED, "completed_orders"),
        (EXECUTIONS, "executions"),
    ],
)
async def test_a_question_without_an_answer_is_unknown_and_not_empty(kind: str, field: str) -> None:
    facts = Facts()
    script = ScriptedGateway(**{f"_{kind}": lambda _: []})
    async with connected(script, facts, request_timeout_s=0.2) as gateway:
        state = await gateway.broker_state("test")
        assert getattr(state, field) is None
        others = {"positions", "open_orders", "completed_orders", "executions"} - {field}
        assert all(getattr(state, other) == () for other in others)
        assert RequestOutcome.TIMEOUT in {fact.outcome for fact in facts.of(RequestFinished)}


async def test_without_a_link_everything_is_unknown() -> None:
    state = await gateway_at(1, Facts(), ManualClock(START)).broker_state("test")
    assert (state.positions, state.open_orders, state.completed_orders, state.executions) == (None,) * 4


@pytest.mark.parametrize("greeting", [["HTTP/1.1 400 Bad Request"], ["201", "20131007 09:30:00 EST"], ["x", "y"]])
async def test_what_is_no_gateway_is_said_to_be_none(greeting: Fields) -> None:
    facts = Facts()
    script = ScriptedGateway()
    gateway = gateway_at(await script.start(), facts, ManualClock(START))
    script.version = greeting[0]
    with pytest.raises(GatewayError, match="not an IB Gateway"):
        await gateway.connect_once()
    assert facts.of(ConnectFailedReceived)[0].reason is DisconnectReason.WRONG_GATEWAY
    script.stop()


async def test_an_ambiguous_instrument_is_named_with_its_candidates() -> None:
    facts = Facts()
    script = ScriptedGateway(
        _9=lambda ask: [details(ask[2], "AAPL", "1"), details(ask[2], "AAPL", "2"), ["52", "1", ask[2]]]
    )
    gateway = gateway_at(await script.start(), facts, ManualClock(START))
    with pytest.raises(GatewayError, match=r"AAPL .* ambiguous, the broker knows 2: .*conId 1.*conId 2"):
        await gateway.run()
    script.stop()


async def test_a_tick_size_that_the_broker_does_not_have_is_named() -> None:
    facts = Facts()
    script = ScriptedGateway(_9=lambda ask: [details(ask[2], "AAPL", "1", "0.25"), ["52", "1", ask[2]]])
    gateway = gateway_at(await script.start(), facts, ManualClock(START))
    with pytest.raises(GatewayError, match=r"tick_size is 0\.01 but the broker's is 0\.25"):
        await gateway.run()
    script.stop()


async def test_losing_the_brokers_servers_leaves_the_socket_alone() -> None:
    facts = Facts()
    script = ScriptedGateway()
    async with connected(script, facts) as gateway:
        restored = facts.next(UpstreamRestoredReceived)
        script.say(error(-1, 1100, "lost"), error(-1, 1100, "lost"), error(-1, 1102, "restored, data kept"))
        assert not (await restored).data_lost
        assert len(facts.of(UpstreamLostReceived)) == 1
        assert gateway.connected
        assert not facts.of(BrokerDisconnectedReceived)


async def test_when_the_data_was_lost_everything_is_subscribed_again_under_new_ids() -> None:
    facts = Facts()
    script = ScriptedGateway()
    async with connected(script, facts):
        await until_sent(script, MARKET_DATA, 1)
        script.say(error(-1, 1100, "lost"), error(-1, 1101, "restored, data lost"))
        first, second = await until_sent(script, MARKET_DATA, 2)
        assert first[2] != second[2]
        assert script.sent(CANCEL_MARKET_DATA)[0][2] == first[2]
        assert len(await until_sent(script, ACCOUNT_UPDATES, 2)) == 2


async def test_a_farm_that_flaps_gets_its_subscriptions_again() -> None:
    facts = Facts()
    script = ScriptedGateway()
    async with connected(script, facts):
        await until_sent(script, MARKET_DATA, 1)
        ok, broken = "Market data farm connection is OK:usfarm", "Market data farm connection is broken:usfarm"
        script.say(error(-1, 2104, ok), error(-1, 2103, broken), error(-1, 2104, ok))
        assert len(await until_sent(script, MARKET_DATA, 2)) == 2
        assert [fact.connected for fact in facts.of(FarmChangedReceived)] == [True, False, True]
        assert not facts.of(BrokerDisconnectedReceived)


@pytest.mark.parametrize(
    ("code", "status"),
    [
        (354, SubscriptionStatus.REFUSED),
        (101, SubscriptionStatus.REFUSED),
        (10090, SubscriptionStatus.REFUSED),
        (10197, SubscriptionStatus.LOST),
    ],
)
async def test_a_refused_or_taken_subscription_is_told(code: int, status: SubscriptionStatus) -> None:
    facts = Facts()
    script = ScriptedGateway(_1=lambda ask: [error(int(ask[2]), code, "because")])
    async with connected(script, facts):
        changed = facts.of(SubscriptionChangedReceived) or [await facts.next(SubscriptionChangedReceived)]
        assert (changed[0].symbol, changed[0].status, changed[0].code) == ("AAPL", status, code)
        assert facts.of(BrokerErrorReceived)[0].code == code


async def test_a_subscription_that_asks_for_it_is_made_again() -> None:
    facts = Facts()
    refusals = iter([True])
    script = ScriptedGateway(
        _1=lambda ask: (
            [error(int(ask[2]), 10182, "disconnected")]
            if next(refusals, False)
            else [["1", "6", ask[2], "1", "10", "5", "0"], ["1", "6", ask[2], "2", "11", "5", "0"]]
        )
    )
    quoted = facts.next(QuoteReceived)
    async with connected(script, facts, timers=EagerTimers()):
        assert (await quoted).quote.bid == 10.0


async def test_closing_while_it_waits_for_the_gateway_ends_the_run() -> None:
    facts = Facts()
    script = ScriptedGateway()
    port = await script.start()
    script.stop()
    gateway = gateway_at(port, facts, ManualClock(START))
    failed = facts.next(ConnectFailedReceived)
    task = asyncio.get_running_loop().create_task(gateway.run())
    assert (await failed).reason is DisconnectReason.REFUSED
    await gateway.close()
    await task
