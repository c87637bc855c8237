"""The simulated gateway without its sockets: the exchange, the clients, and who is told what.

Rules: a report goes to the client whose order it is about, positions go to all who follow them, and market
data to its subscribers. Limits count over all clients. Nothing here waits: it runs on the server's loop.
"""

import logging
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

from trader.simulator.contract_book import ContractBook
from trader.simulator.exchange import Exchange
from trader.simulator.faults import FaultInjector
from trader.simulator.line import BookTop
from trader.simulator.model import (
    CommissionReported,
    ErrorReported,
    ExecutionReported,
    ListedContract,
    OrderReported,
    OrderRequest,
    PositionReported,
    QuoteReported,
    Report,
    StatusReported,
)
from trader.simulator.options import ExchangeOptions
from trader.simulator.wire import encode_account, encode_orders, encode_reference
from trader.simulator.wire.bar_feed import BarFeed
from trader.simulator.wire.clock import SimulatedClock
from trader.simulator.wire.encode_account import AccountValue
from trader.simulator.wire.feed import MarketFeed, Subscription
from trader.simulator.wire.options import ServerOptions
from trader.simulator.wire.requests import ContractQuery, known_security_type
from trader.simulator.wire.traffic import Later, Traffic

if TYPE_CHECKING:
    from trader.simulator.wire.session import Session

log = logging.getLogger(__name__)

CONNECTION: Final = -1
FARMS_OK: Final = (
    (2104, "Market data farm connection is OK:usfarm"),
    (2106, "HMDS data farm connection is OK:ushmds"),
    (2158, "Sec-def data farm connection is OK:secdefil"),
)


class SimulatedGateway:
    """Everything the sessions share. ``later`` calls a function after real seconds."""

    def __init__(
        self,
        book: ContractBook,
        start: datetime,
        seed: int,
        options: ServerOptions,
        exchange_options: ExchangeOptions,
        injector: FaultInjector,
        later: Later,
    ) -> None:
        self.options = options
        self.exchange_options = exchange_options
        self.traffic = Traffic(injector, self.tell, later)
        self.exchange = Exchange(book, exchange_options, start, seed, self.traffic.report)
        self.traffic.exchange = self.exchange
        self.clock = SimulatedClock(start, options.speed)
        self.feed = MarketFeed()
        self.bar_feed = BarFeed(self.exchange, options.time_zone)
        self.sessions: dict[int, Session] = {}
        self.connections: set[Session] = set()
        self.stalled = False
        self.ids_busy = False
        # Set by who drives the clock: moves the exchange to the present, and is told that somebody listens.
        self.catch_up: Callable[[], None] = lambda: None
        self.on_market_asked: Callable[[], None] = lambda: None

    @property
    def injector(self) -> FaultInjector:
        return self.traffic.injector

    @property
    def account(self) -> str:
        return self.exchange_options.account

    # -- time

    def now(self) -> datetime:
        """Simulated time, after the exchange has been moved to it."""
        self.catch_up()
        return self.exchange.now

    def hello_time(self) -> str:
        local = self.now().astimezone(ZoneInfo(self.options.time_zone))
        return local.strftime("%Y%m%d %H:%M:%S %Z")

    def local_time(self) -> str:
        return self.now().astimezone(ZoneInfo(self.options.time_zone)).strftime("%H:%M")

    def clock_values(self) -> tuple[AccountValue, ...]:
        """The simulator's own account values, which its clients can follow the clock with."""
        moment = self.now().isoformat(timespec="microseconds").replace("+00:00", "Z")
        return (
            (encode_account.TIME_TAG, moment, ""),
            (encode_account.SPEED_TAG, repr(self.clock.reported_speed), ""),
        )

    # -- clients

    def connected(self, session: "Session") -> bool:
        """Take a new connection; False when there are too many."""
        if len(self.connections) >= self.options.connections_max:
            return False
        self.connections.add(session)
        return True

    def register(self, session: "Session", client_id: int) -> bool:
        """Reserve a client id; False when it is in use or there are too many clients."""
        if self.ids_busy or client_id in self.sessions or len(self.sessions) >= self.options.clients_max:
            return False
        self.sessions[client_id] = session
        return True

    def started(self, session: "Session") -> None:
        """What a client is told as soon as it has started the API."""
        assert session.client_id is not None, "a session starts under its client id"
        log.info("client %d has started, version %d", session.client_id, session.version)
        session.write(
            encode_reference.managed_accounts(self.account)
            + encode_reference.next_valid_id(self.exchange.next_order_id(session.client_id))
            + b"".join(encode_reference.error(CONNECTION, *farm, session.version) for farm in FARMS_OK)
        )

    def disconnected(self, session: "Session") -> None:
        self.connections.discard(session)
        self.bar_feed.forget(session)
        for subscription in (*session.streaming.values(), *session.tick_by_tick.values()):
            self.feed.remove(session, subscription)
        session.streaming.clear()
        session.tick_by_tick.clear()
        if session.client_id is not None and self.sessions.get(session.client_id) is session:
            del self.sessions[session.client_id]
            log.info("client %d has gone", session.client_id)

    # -- market data

    def find(self, query: ContractQuery) -> tuple[ListedContract, ...]:
        """The contracts that fit a query; none for a security type that is not listed here."""
        kind = known_security_type(query.security_type)
        if query.security_type and kind is None:
            return ()
        exchange = "" if query.con_id else query.exchange
        found = self.exchange.book.find(
            con_id=query.con_id,
            symbol=query.symbol,
            security_type=kind,
            expiry=query.expiry,
            local_symbol=query.local_symbol,
            currency=query.currency,
            exchange=exchange,
            trading_class=query.trading_class,
        )
        if not query.primary_exchange:
            return found
        return tuple(item for item in found if query.primary_exchange in (item.primary_exchange, item.exchange))

    def subscribe(self, session: "Session", subscription: Subscription, top: BookTop | None) -> None:
        self.feed.add(session, subscription, top)
        self.market_asked()

    def market_asked(self) -> None:
        """Somebody listens to the market now."""
        self.on_market_asked()

    def pause_data(self) -> None:
        """No market data and no bars from now on."""
        self.feed.paused = self.bar_feed.paused = True

    def resume_data(self, *, lost: bool) -> None:
        """Data again; with ``lost`` only for what is subscribed from now on."""
        if lost:
            self.feed.silence()
            self.bar_feed.silence()
        self.feed.paused = self.bar_feed.paused = False

    def streaming_lines(self) -> int:
        return sum(len(session.streaming) for session in self.sessions.values())

    def tick_by_tick_lines(self) -> int:
        return sum(len(session.tick_by_tick) for session in self.sessions.values())

    # -- orders on their way up

    def place(self, request: OrderRequest) -> None:
        self.catch_up()
        self.traffic.place(request)

    def cancel(self, client_id: int, order_id: int) -> None:
        self.catch_up()
        self.traffic.cancel(client_id, order_id)

    def cancel_all(self) -> None:
        self.catch_up()
        self.traffic.cancel_all()

    # -- reports on their way down

    def tell(self, report: Report) -> None:
        """Send a report to the clients it concerns."""
        match report:
            case QuoteReported(con_id, event):
                self.feed.publish(con_id, event)
            case PositionReported():
                self._tell_position(report)
            case ErrorReported():
                if (session := self.sessions.get(report.client_id)) is not None:
                    session.send_error(report.request_id, report.code, report.message)
            case _:
                self._tell_owner(report)

    def _tell_owner(self, report: OrderReported | StatusReported | ExecutionReported | CommissionReported) -> None:
        zone = self.options.time_zone
        match report:
            case OrderReported(order) if (session := self.sessions.get(order.request.client_id)) is not None:
                opened = encode_orders.open_order(order, session.version, self.account)
                # A what-if order has no life, so no status either.
                status = b"" if order.request.what_if else encode_orders.order_status(order, session.version)
                session.write(opened + status)
            case StatusReported(order) if (session := self.sessions.get(order.request.client_id)) is not None:
                session.write(encode_orders.order_status(order, session.version))
            case ExecutionReported(execution):
                owner = self.sessions.get(execution.order.request.client_id)
                if owner is not None:
                    owner.write(encode_orders.execution_details(execution, owner.version, self.account, zone))
            case CommissionReported() if (session := self.sessions.get(report.client_id)) is not None:
                session.write(encode_orders.commission_report(report))
            case _:
                return

    def _tell_position(self, report: PositionReported) -> None:
        record = report.position
        for session in list(self.sessions.values()):
            frames = []
            if session.positions_subscribed:
                frames.append(encode_account.position(record, self.account, session.version))
            for request_id, model in session.position_requests.items():
                frames.append(encode_account.position_multi(request_id, record, self.account, model, session.version))
            if session.account_subscribed:
                frames.append(encode_account.portfolio_value(record, self.account, session.version))
            if frames:
                session.write(b"".join(frames))

    def tell_all(self, request_id: int, code: int, message: str) -> None:
        """One error message to every client."""
        for session in list(self.sessions.values()):
            session.send_error(request_id, code, message)

    # -- what clients follow

    def refresh_account(self) -> None:
        """Tell every client that follows account values what has changed."""
        watched = [session for session in self.sessions.values() if session.values]
        if not watched:
            return
        values = (*self.clock_values(), *self.exchange.account_values())
        for session in watched:
            for watch in session.values.values():
                if data := watch.changes(values):
                    session.write(data)

    def refresh_figures(self) -> None:
        """Tell every client that follows profit and loss what has changed."""
        for session in list(self.sessions.values()):
            if data := b"".join(watch.changes() for watch in session.figures.values()):
                session.write(data)
