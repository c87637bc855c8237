"""One connection to the gateway, from the handshake to its loss. Made anew for every attempt.

Rules: a session is started only when every question of the start has been answered: unanswered is a
failure, never an empty answer. What the gateway says about itself is checked before anything is asked of
the account. A loss is told once, to whoever watches.
"""

import asyncio
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from itertools import count
from typing import Any, Final

from ib_async.contract import ContractDetails
from ib_async.objects import ExecutionFilter

from trader.clock import NANOSECONDS_PER_SECOND, AnchoredClock
from trader.contracts import SecurityType, TradingMode
from trader.events import (
    AnyFact,
    BrokerConnectedReceived,
    BrokerErrorReceived,
    BrokerOrderStatus,
    BrokerStateReceived,
    CommissionLine,
    CommissionReceived,
    DisconnectReason,
    ErrorClass,
    FarmChangedReceived,
    HeartbeatMissedReceived,
    HeartbeatReceived,
    RequestFinished,
    RequestKind,
    RequestOutcome,
    UpstreamLostReceived,
    UpstreamRestoredReceived,
)
from trader.gateway import codes
from trader.gateway.accounts import check_kind, choose_account
from trader.gateway.batch_clock import BatchClock
from trader.gateway.ib.inbound import Inbound
from trader.gateway.ib.market_data import MarketData
from trader.gateway.ib.order_messages import OrderMessages
from trader.gateway.ib.shapes import candidate, contract_of
from trader.gateway.ib.simulated_time import SimulatedTime
from trader.gateway.ib.wire import Greeting, Wire
from trader.gateway.instruments import InstrumentIndex
from trader.gateway.link import Heartbeat, LinkFailure, Upstream
from trader.gateway.pacer import Message, Pacer, Priority
from trader.gateway.requests import Key, RequestFailed, Requests
from trader.gateway.timers import Timers
from trader.settings import Settings

COMMISSIONS_MAX: Final = 10_000
# What a download of open orders may still contain of orders that ended while it ran.
ENDED: Final = frozenset({BrokerOrderStatus.FILLED, BrokerOrderStatus.CANCELLED, BrokerOrderStatus.API_CANCELLED})


class Session:
    """``deliver`` takes facts. The pacer is the process's, as the limit of messages is a client's."""

    def __init__(
        self,
        *,
        settings: Settings,
        client_id: int,
        index: InstrumentIndex,
        clock: BatchClock,
        timers: Timers,
        pacer: Pacer,
        deliver: Callable[[AnyFact], None],
    ) -> None:
        gateway = settings.gateway
        self.wire = Wire(client_id, self, timers)
        self.account = ""
        self.orders: OrderMessages
        self._settings = settings
        self._client_id = client_id
        self._index = index
        self._clock = clock
        self._timers = timers
        self._pacer = pacer
        self._deliver = deliver
        self._encoder = self.wire.encoder
        self._ids = count(codes.FIRST_REQUEST_ID)
        self._lost: asyncio.Future[LinkFailure] = asyncio.get_running_loop().create_future()
        self._heartbeat = Heartbeat(gateway.heartbeat_interval_s, gateway.heartbeat_timeout_s)
        self._upstream = Upstream()
        self._simulated = SimulatedTime(clock.base, follow=settings.mode is TradingMode.SIMULATED)
        self._commissions: dict[str, CommissionLine] | None = None
        self._clock_offset_s = 0.0
        self.requests = Requests(clock, timers, gateway.request_timeout_s, self._finished)
        self.market_data = MarketData(
            settings=settings.market_data,
            encoder=self._encoder,
            pacer=pacer,
            index=index,
            clock=clock,
            timers=timers,
            deliver=deliver,
            next_id=lambda: next(self._ids),
        )
        self._inbound = Inbound(
            clock=clock,
            deliver=self._pass_on,
            index=index,
            requests=self.requests,
            quotes=self.market_data.quotes,
            on_error=self._error,
            on_server_time=self._server_time,
            on_account_value=self._simulated.take,
            on_subscription=self.market_data.confirm,
        )

    # -- the start

    async def open(self) -> Greeting:
        """Connect, greet, and check the account; raises LinkFailure."""
        gateway = self._settings.gateway
        greeting = await self.wire.open(gateway.host, gateway.port, gateway.connect_timeout_s)
        self.account = choose_account(self._settings, greeting.accounts)
        self._inbound.account = self.account
        self._inbound.zone = greeting.zone
        self._inbound.begin_session(greeting.server_version)
        self.orders = OrderMessages(greeting.server_version, self.account)
        return greeting

    async def start(self, greeting: Greeting, *, qualify: bool, on_started: Callable[[], object]) -> None:
        """Ask what every session needs, then say that it is up; raises LinkFailure.

        ``on_started`` is called just before the fact, so that commands in answer to it can be carried out.
        Without ``qualify`` no instrument is looked up and no market data is subscribed, which is all that
        cancelling and flattening needs.
        """
        try:
            await self._ask(RequestKind.ACCOUNT, RequestKind.ACCOUNT, self._send_account_updates)
            gateway = self._settings.gateway
            check_kind(self._settings.mode, gateway.host, gateway.port, simulated=self._simulated.seen)
            await self._ask(RequestKind.SERVER_TIME, RequestKind.SERVER_TIME, self._encoder.reqCurrentTime)
            if qualify:
                self.market_data.choose_type()
                unknown = [item.symbol for item in self._index if not item.con_id]
                await asyncio.gather(*(self._qualify(symbol) for symbol in unknown))
        except RequestFailed as failure:
            raise self._start_failure(failure) from None
        on_started()
        self._announce(greeting)
        if self.requests.get(RequestKind.POSITIONS) is None:
            self._subscribe_positions()
        if qualify:
            self.market_data.subscribe()

    def _announce(self, greeting: Greeting) -> None:
        self._deliver(
            BrokerConnectedReceived(
                at=self._clock.now(),
                server_version=greeting.server_version,
                client_id=self._client_id,
                accounts=greeting.accounts,
                next_valid_id=greeting.next_valid_id,
                monotonic_ns=self._clock.monotonic_ns(),
                clock_offset_s=self._clock_offset_s,
            )
        )

    def _start_failure(self, failure: RequestFailed) -> LinkFailure:
        if self._lost.done():
            return self._lost.result()
        return LinkFailure(DisconnectReason.HANDSHAKE_TIMEOUT, f"the session did not start: {failure.detail}")

    async def _qualify(self, symbol: str) -> None:
        instrument = self._index.configured(symbol)
        if instrument is None:
            return
        if instrument.security_type is SecurityType.OTHER:
            raise _misconfigured(symbol, "its security_type cannot be traded by this service")
        request_id = next(self._ids)
        send = partial(self._encoder.reqContractDetails, request_id, contract_of(instrument))
        try:
            found: list[ContractDetails] = await self._ask(request_id, RequestKind.CONTRACT_DETAILS, send)
        except RequestFailed as failure:
            if failure.code == codes.NO_DEFINITION:
                raise _misconfigured(symbol, f"the broker knows no such contract ({failure.detail})") from None
            raise
        self._take_qualified(symbol, found)

    def _take_qualified(self, symbol: str, found: list[ContractDetails]) -> None:
        instrument = self._index.configured(symbol)
        if instrument is None:
            return
        if not found or found[0].contract is None:
            raise _misconfigured(symbol, "the broker knows no such contract")
        if len(found) > 1:
            several = "; ".join(candidate(details) for details in found[:5])
            raise _misconfigured(symbol, f"it is ambiguous, the broker knows {len(found)}: {several}")
        tick_size = Decimal(repr(found[0].minTick)) if found[0].minTick > 0 else instrument.tick_size
        if instrument.tick_size % tick_size:
            raise _misconfigured(
                symbol, f"its tick_size is {instrument.tick_size} but the broker's is {tick_size}; set tick_size"
            )
        self._index.qualify(symbol, found[0].contract.conId, tick_size)

    def _send_account_updates(self) -> None:
        self._encoder.reqAccountUpdates(True, self.account)

    def _subscribe_positions(self) -> None:
        # The first download is the reconciliation's business; what comes after it are hints.
        self.requests.start(RequestKind.POSITIONS, RequestKind.POSITIONS)
        self._submit(RequestKind.POSITIONS, RequestKind.POSITIONS, self._encoder.reqPositions)

    # -- while it is up

    async def watch(self) -> LinkFailure:
        """Probe the link until it is lost; returns why."""
        self._heartbeat.start(self._clock.monotonic_ns())
        while not self._lost.done():
            wake_in_s = self._heartbeat.wake_in_s(self._clock.monotonic_ns())
            sleeper = asyncio.ensure_future(self._timers.sleep(wake_in_s))
            either: set[asyncio.Future[Any]] = {sleeper, self._lost}
            try:
                await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            finally:
                sleeper.cancel()
            if not self._lost.done():
                self._beat()
                self.market_data.retry_lost()
        return self._lost.result()

    def end(self, failure: LinkFailure) -> None:
        """Declare the session over; what is still asked will not be answered."""
        if not self._lost.done():
            self._lost.set_result(failure)
        self.requests.drop_all(failure.detail)

    async def broker_state(self) -> BrokerStateReceived:
        """Ask for everything that reconciliation compares; None stands for what was not answered."""
        requested_ns = self._clock.monotonic_ns()
        self._commissions = {}
        request_id = next(self._ids)
        executions = ExecutionFilter(clientId=0, acctCode=self.account)
        answers = await asyncio.gather(
            self._answer(RequestKind.POSITIONS, RequestKind.POSITIONS, self._encoder.reqPositions),
            self._answer(RequestKind.OPEN_ORDERS, RequestKind.OPEN_ORDERS, self._encoder.reqAllOpenOrders),
            self._answer(
                RequestKind.COMPLETED_ORDERS,
                RequestKind.COMPLETED_ORDERS,
                partial(self._encoder.reqCompletedOrders, False),
            ),
            self._answer(
                request_id, RequestKind.EXECUTIONS, partial(self._encoder.reqExecutions, request_id, executions)
            ),
        )
        commissions, self._commissions = tuple(self._commissions.values()), None
        open_orders = answers[1]
        if open_orders is not None:
            open_orders = tuple(line for line in open_orders if line.status not in ENDED)
        return BrokerStateReceived(
            at=self._clock.now(),
            requested_ns=requested_ns,
            positions=answers[0],
            open_orders=open_orders,
            completed_orders=answers[2],
            executions=answers[3],
            commissions=commissions,
        )

    # -- the wire's listener

    def batch_began(self, read_bytes: int) -> None:
        self._inbound.batch_began(read_bytes)

    def message(self, fields: list[str]) -> None:
        self._inbound.message(fields)

    def overlong(self, fields: list[str], length: int) -> None:
        self._inbound.overlong(fields, length)

    def batch_ended(self) -> None:
        self._simulated.settle()
        self._inbound.batch_ended()

    def lost(self, detail: str) -> None:
        self.end(LinkFailure(DisconnectReason.CLOSED, detail))

    # -- what arrives

    def _pass_on(self, fact: AnyFact) -> None:
        if (
            self._commissions is not None
            and isinstance(fact, CommissionReceived)
            and len(self._commissions) < COMMISSIONS_MAX
        ):
            self._commissions[fact.line.exec_id] = fact.line
        self._deliver(fact)

    def _error(self, request_id: int, code: int, message: str) -> None:
        error_class = codes.classify(code, request_id)
        at = self._clock.now()
        self._deliver(
            BrokerErrorReceived(
                at=at,
                request_id=request_id,
                code=code,
                message=message,
                error_class=error_class,
                provisional=codes.is_provisional(code),
            )
        )
        self._upstream_error(code)
        self._farm_error(code, message)
        if codes.is_about_order(request_id) or request_id <= 0:
            return
        if not self.market_data.error(request_id, code, message) and error_class is not ErrorClass.NOTICE:
            self.requests.refuse(request_id, code, f"{code}: {message}")

    def _upstream_error(self, code: int) -> None:
        change = self._upstream.handle(code)
        if change is None:
            return
        at = self._clock.now()
        if not change.connected:
            self._deliver(UpstreamLostReceived(at=at, code=code))
            return
        self._deliver(UpstreamRestoredReceived(at=at, code=code, data_lost=change.data_lost))
        if change.data_lost:
            # 1101: the gateway is back without what was subscribed through it.
            self._submit(RequestKind.ACCOUNT, RequestKind.ACCOUNT, self._send_account_updates)
            if self.requests.get(RequestKind.POSITIONS) is None:
                self._subscribe_positions()
            self.market_data.subscribe()

    def _farm_error(self, code: int, message: str) -> None:
        broken = code in codes.FARM_BROKEN
        if not broken and code not in codes.FARM_CONNECTED and code not in codes.FARM_INACTIVE:
            return
        farm = codes.farm_name(message)
        was_broken = self._upstream.farms.get(farm) is False
        if self._upstream.farm_changed(farm, connected=not broken):
            self._deliver(FarmChangedReceived(at=self._clock.now(), farm=farm, connected=not broken))
            if was_broken and code == codes.MARKET_DATA_FARM_CONNECTED:
                self.market_data.farm_restored(farm)

    def _server_time(self, server_s: int) -> None:
        now, now_ns = self._clock.now(), self._clock.monotonic_ns()
        duration_s = self._heartbeat.answered(now_ns)
        starting = self.requests.get(RequestKind.SERVER_TIME)
        if duration_s is None and starting is not None:
            duration_s = (now_ns - starting.started_ns) / NANOSECONDS_PER_SECOND
            self.requests.end(RequestKind.SERVER_TIME)
        elif duration_s is not None:
            self._finished(RequestKind.SERVER_TIME, RequestOutcome.OK, duration_s)
        else:
            return
        base = self._clock.base
        speed = base.speed if isinstance(base, AnchoredClock) else 1.0
        self._clock_offset_s = clock_offset(server_s, now.timestamp() - speed * duration_s / 2)
        self._deliver(HeartbeatReceived(at=now, duration_s=duration_s, clock_offset_s=self._clock_offset_s))

    def _beat(self) -> None:
        now_ns = self._clock.monotonic_ns()
        missed_s = self._heartbeat.missed_s(now_ns)
        if missed_s is not None:
            self._deliver(HeartbeatMissedReceived(at=self._clock.now(), silent_s=missed_s))
        if self._heartbeat.dead(now_ns):
            silent_s = self._settings.gateway.heartbeat_timeout_s
            self._finished(RequestKind.SERVER_TIME, RequestOutcome.TIMEOUT, silent_s)
            self.wire.abort()
            detail = f"the gateway has not answered for {silent_s:g} s, though its socket is open"
            self.end(LinkFailure(DisconnectReason.HEARTBEAT_LOST, detail))
        elif self._heartbeat.probe_due(now_ns) and self.wire.connected:
            # Past the queues: a probe that waits for its turn would measure our own queue. Not on a socket that is
            # closing: its loss is about to be told.
            self._pacer.spend()
            self._encoder.reqCurrentTime()

    # -- asking

    async def _answer(self, key: Key, kind: RequestKind, send: Callable[[], None]) -> tuple[Any, ...] | None:
        try:
            return tuple(await self._ask(key, kind, send))
        except RequestFailed:
            return None

    async def _ask(self, key: Key, kind: RequestKind, send: Callable[[], None]) -> list[Any]:
        """Send and wait for the answer; one that is under way for the same key is shared."""
        under_way = self.requests.get(key)
        if under_way is None:
            under_way = self.requests.start(key, kind)
            self._submit(key, kind, send)
        return await asyncio.shield(under_way.future)

    def _submit(self, key: Key, kind: RequestKind, send: Callable[[], None]) -> None:
        def send_if_connected() -> None:
            if self.wire.connected:
                send()
            else:
                self.requests.drop(key, "not connected")

        self._pacer.submit(
            Message(Priority.DATA, kind, send_if_connected, lambda reason: self.requests.drop(key, reason))
        )

    def _finished(self, kind: RequestKind, outcome: RequestOutcome, duration_s: float) -> None:
        self._deliver(RequestFinished(at=self._clock.now(), kind=kind, outcome=outcome, duration_s=duration_s))


def clock_offset(server_s: int, ours_s: float) -> float:
    """How far the server's clock is certainly ahead of ours, seconds; 0 within the second that it cuts off."""
    least_s, most_s = server_s - ours_s, server_s + 1 - ours_s
    return least_s if least_s > 0 else min(most_s, 0.0)


def _misconfigured(symbol: str, what: str) -> LinkFailure:
    return LinkFailure(
        DisconnectReason.WRONG_GATEWAY,
        f"instrument {symbol} cannot be used: {what}; check its entry in instruments",
        fatal=True,
    )
