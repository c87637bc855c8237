"""The gateway that trades: keeps the link up, carries commands out.

Rules: the link's table decides what happens next, here it only happens. An order leaves through ``execute`` and
nowhere else, and only inside ``Approved``. Whether it left is always said: sent, or certainly not sent.
Nothing is kept for later: an order that cannot be sent now is not sent when the link is back.
"""

import asyncio
from collections.abc import Mapping
from random import Random
from typing import Final, assert_never

from trader.clock import NANOSECONDS_PER_SECOND, Clock
from trader.contracts import Instrument
from trader.events import (
    AnyFact,
    BrokerDisconnectedReceived,
    BrokerStateReceived,
    CancelAllOrders,
    CancelOrder,
    Command,
    ConnectFailedReceived,
    DisconnectReason,
    OrderSendFailed,
    OrderSent,
    PacingWaited,
    PlaceOrder,
    RequestBrokerState,
    RequestFinished,
    RequestKind,
    RequestOutcome,
    Resubscribe,
)
from trader.gateway.batch_clock import BatchClock
from trader.gateway.ib.session import Session
from trader.gateway.instruments import InstrumentIndex
from trader.gateway.link import Link, LinkEvent, LinkFailure
from trader.gateway.pacer import Message, Pacer, Priority
from trader.gateway.protocol import GatewayError, Sink
from trader.gateway.timers import LoopTimers, Timers
from trader.settings import Settings

CLOSE_FLUSH_MAX_S: Final = 3.0
CLOSE_POLL_S: Final = 0.02
CLOSE_SOCKET_MAX_S: Final = 1.0
NOT_CONNECTED: Final = "not connected to the gateway"


class IbGateway:
    """A ``Gateway`` over one socket.

    ``client_id`` stands in for the configured one (panic has its own). Facts go to ``sink`` as they arrive,
    and those about sending also while ``execute`` runs. An exception of the sink ends ``run`` with it.
    """

    def __init__(
        self,
        settings: Settings,
        instruments: Mapping[str, Instrument],
        clock: Clock,
        sink: Sink,
        client_id: int | None = None,
        *,
        timers: Timers | None = None,
        rng: Random | None = None,
    ) -> None:
        self._settings = settings
        self._client_id = settings.gateway.client_id if client_id is None else client_id
        self._clock = BatchClock(clock)
        self._sink = sink
        self._timers: Timers = timers or LoopTimers()
        self._index = InstrumentIndex(instruments)
        self._link = Link(settings.gateway.backoff_max_s, rng or Random())
        self._pacer = Pacer(settings.gateway.messages_per_s, clock, self._timers, self._waited)
        self._session: Session | None = None
        self._closing = asyncio.Event()
        self._sink_error: Exception | None = None
        self._state_lock = asyncio.Lock()
        self._state_task: asyncio.Task[None] | None = None
        self._state_again = False
        self._watcher: asyncio.Task[None] | None = None

    @property
    def instruments(self) -> dict[str, Instrument]:
        """The configured instruments, with con_id and tick size once the broker has qualified them."""
        return {item.symbol: item for item in self._index}

    @property
    def connected(self) -> bool:
        return self._link.up

    # -- the link

    async def run(self) -> None:
        """Keep the link up until ``close``; GatewayError when it can never work."""
        try:
            while not self._link.closed:
                try:
                    await self._connect(qualify=True)
                    await self._watch()
                except LinkFailure as failure:
                    if not self._link.closed:
                        await self._pause_after(failure)
        finally:
            self._abandon()
        if self._sink_error is not None:
            raise self._sink_error

    async def connect_once(self) -> None:
        """Connect for cancelling and flattening alone: one attempt, no market data, no instrument looked up.

        Raises GatewayError with one sentence when that does not work.
        """
        try:
            await self._connect(qualify=False)
        except LinkFailure as failure:
            self._connect_failed(failure, retry_in_s=0.0)
            self._abandon()
            raise GatewayError(failure.detail) from None
        self._watcher = asyncio.get_running_loop().create_task(self._watch_once())

    async def close(self) -> None:
        """Send the cancels that wait, disconnect, and make ``run`` return. Idempotent."""
        if self._link.closed:
            return
        await self._flush_cancels()
        was_up = self._link.up
        self._link.handle(LinkEvent.CLOSED)
        self._closing.set()
        self._pacer.drop_all("the gateway is being closed")
        await self._hang_up()
        if was_up:
            self._disconnected(LinkFailure(DisconnectReason.STOPPING, "closed by this service"))

    async def _connect(self, *, qualify: bool) -> None:
        self._link.handle(LinkEvent.ATTEMPTED)
        session = self._session = Session(
            settings=self._settings,
            client_id=self._client_id,
            index=self._index,
            clock=self._clock,
            timers=self._timers,
            pacer=self._pacer,
            deliver=self._deliver,
        )
        try:
            greeting = await session.open()
            self._advance(LinkEvent.HANDSHAKEN)
            await session.start(greeting, qualify=qualify, on_started=lambda: self._advance(LinkEvent.STARTED))
        except BaseException:
            session.wire.abort()
            raise

    def _advance(self, event: LinkEvent) -> None:
        if self._link.closed:
            raise LinkFailure(DisconnectReason.STOPPING, "closed while connecting")
        self._link.handle(event)

    async def _watch(self) -> None:
        if self._session is not None:
            raise await self._session.watch()

    async def _watch_once(self) -> None:
        try:
            await self._watch()
        except LinkFailure as failure:
            if not self._link.closed:
                self._lose(failure)

    async def _pause_after(self, failure: LinkFailure) -> None:
        was_up = self._link.up
        if was_up:
            self._lose(failure)
        else:
            self._link.handle(LinkEvent.FAILED)
            self._abandon_session(failure)
        if failure.fatal or self._link.gives_up_on(failure.reason):
            self._give_up(failure)
        retry_in_s = self._link.retry_in_s()
        if not was_up:
            self._connect_failed(failure, retry_in_s)
        await self._pause(retry_in_s)

    async def _pause(self, delay_s: float) -> None:
        sleeper = asyncio.ensure_future(self._timers.sleep(delay_s))
        closing = asyncio.ensure_future(self._closing.wait())
        try:
            await asyncio.wait({sleeper, closing}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeper.cancel()
            closing.cancel()

    def _give_up(self, failure: LinkFailure) -> None:
        self._connect_failed(failure, retry_in_s=0.0)
        self._link.handle(LinkEvent.CLOSED)
        raise GatewayError(failure.detail) from None

    def _lose(self, failure: LinkFailure) -> None:
        self._link.handle(LinkEvent.LOST)
        self._abandon_session(failure)
        self._disconnected(failure)

    def _abandon_session(self, failure: LinkFailure) -> None:
        session, self._session = self._session, None
        self._pacer.drop_all(failure.detail)
        if session is not None:
            session.wire.abort()
            session.end(failure)

    def _abandon(self) -> None:
        if not self._link.closed:
            self._link.handle(LinkEvent.CLOSED)
        self._abandon_session(LinkFailure(DisconnectReason.STOPPING, "the gateway is closed"))

    async def _flush_cancels(self) -> None:
        """Give queued cancels their turn, for a bounded time."""
        turns = int(CLOSE_FLUSH_MAX_S / CLOSE_POLL_S)
        while self._link.up and self._pacer.waiting(Priority.CANCEL) and turns > 0:
            turns -= 1
            await self._timers.sleep(CLOSE_POLL_S)

    async def _hang_up(self) -> None:
        session, self._session = self._session, None
        if session is None:
            return
        session.wire.close()
        session.end(LinkFailure(DisconnectReason.STOPPING, "closed by this service"))
        try:
            async with asyncio.timeout(CLOSE_SOCKET_MAX_S):
                await session.wire.ended()
        except TimeoutError:
            session.wire.abort()

    # -- commands

    def execute(self, command: Command) -> None:
        """Start carrying ``command`` out."""
        match command:
            case PlaceOrder():
                self._place(command)
            case CancelOrder():
                self._cancel(RequestKind.CANCEL_ORDER, command)
            case CancelAllOrders():
                self._cancel(RequestKind.GLOBAL_CANCEL, command)
            case RequestBrokerState():
                self._request_state()
            case Resubscribe():
                if self._session is not None and self._link.up:
                    self._session.market_data.subscribe(command.symbols)
            case _:
                assert_never(command)

    async def broker_state(self, reason: str) -> BrokerStateReceived:
        """Ask for positions, open and completed orders and executions, for ``reason``; None where unanswered."""
        async with self._state_lock:
            if self._session is None or not self._link.up:
                return BrokerStateReceived(
                    at=self._clock.now(),
                    requested_ns=self._clock.monotonic_ns(),
                    positions=None,
                    open_orders=None,
                    completed_orders=None,
                    executions=None,
                )
            return await self._session.broker_state()

    def _place(self, command: PlaceOrder) -> None:
        started_ns = self._clock.monotonic_ns()
        priority = Priority.REDUCE if command.approved.reduces else Priority.NEW

        def drop(reason: str) -> None:
            self._finished(RequestKind.PLACE_ORDER, RequestOutcome.DROPPED, started_ns)
            self._deliver(OrderSendFailed(at=self._clock.now(), order_ref=command.order_ref, detail=reason))

        def send() -> None:
            session = self._session
            if session is None or not session.wire.connected:
                drop(NOT_CONNECTED)
                return
            instrument, terms = self._qualified(command.instrument), command.approved.intent.terms
            session.wire.write(session.orders.place(command.order_id, instrument, terms, command.order_ref))
            sent_ns = self._clock.monotonic_ns()
            self._deliver(
                OrderSent(at=self._clock.now(), order_ref=command.order_ref, order_id=command.order_id, sent_ns=sent_ns)
            )
            self._finished(RequestKind.PLACE_ORDER, RequestOutcome.OK, started_ns)

        if self._link.up:
            self._pacer.submit(Message(priority, RequestKind.PLACE_ORDER, send, drop))
        else:
            drop(NOT_CONNECTED)

    def _cancel(self, kind: RequestKind, command: CancelOrder | CancelAllOrders) -> None:
        started_ns = self._clock.monotonic_ns()

        def drop(_reason: str) -> None:
            self._finished(kind, RequestOutcome.DROPPED, started_ns)

        def send() -> None:
            session = self._session
            if session is None or not session.wire.connected:
                drop(NOT_CONNECTED)
                return
            if isinstance(command, CancelOrder):
                session.wire.encoder.cancelOrder(command.order_id)
            else:
                session.wire.encoder.reqGlobalCancel()
            self._finished(kind, RequestOutcome.OK, started_ns)

        if self._link.up:
            self._pacer.submit(Message(Priority.CANCEL, kind, send, drop))
        else:
            drop(NOT_CONNECTED)

    def _request_state(self) -> None:
        # A state that was asked for before now may miss what happened since, so one more follows the one under way.
        if self._state_task is not None and not self._state_task.done():
            self._state_again = True
            return
        self._state_task = asyncio.get_running_loop().create_task(self._report_state())

    async def _report_state(self) -> None:
        while True:
            self._state_again = False
            state = await self.broker_state("requested")
            if self._link.closed:
                return
            self._deliver(state)
            if not self._state_again or not self._link.up:
                return

    def _qualified(self, instrument: Instrument) -> Instrument:
        known = self._index.configured(instrument.symbol)
        return known if known is not None and not instrument.con_id else instrument

    # -- facts

    def _deliver(self, fact: AnyFact) -> None:
        if self._sink_error is not None:
            return
        try:
            self._sink(fact)
        except Exception as error:  # noqa: BLE001 - ours, not the broker's: it ends ``run`` and the process with it
            self._sink_error = error
            self._abandon()
            self._closing.set()

    def _finished(self, kind: RequestKind, outcome: RequestOutcome, started_ns: int) -> None:
        duration_s = (self._clock.monotonic_ns() - started_ns) / NANOSECONDS_PER_SECOND
        self._deliver(RequestFinished(at=self._clock.now(), kind=kind, outcome=outcome, duration_s=duration_s))

    def _waited(self, kind: RequestKind, waited_s: float) -> None:
        self._deliver(PacingWaited(at=self._clock.now(), kind=kind, waited_s=waited_s))

    def _disconnected(self, failure: LinkFailure) -> None:
        self._deliver(
            BrokerDisconnectedReceived(
                at=self._clock.now(),
                reason=failure.reason,
                detail=failure.detail,
                monotonic_ns=self._clock.monotonic_ns(),
            )
        )

    def _connect_failed(self, failure: LinkFailure, retry_in_s: float) -> None:
        self._deliver(
            ConnectFailedReceived(
                at=self._clock.now(),
                reason=failure.reason,
                detail=failure.detail,
                attempt=self._link.attempts,
                retry_in_s=retry_in_s,
            )
        )
