"""A gateway without sockets: the simulated exchange, and the facts that the wire would have brought.

Rules: it answers the same commands with the same facts in the same order as the gateway on the wire, on
virtual time. Nothing is delivered from inside a call of the exchange or of the engine: everything waits in
one queue ordered by (due time, sequence), so the same input gives the same facts. Its clock is moved by
``apply`` and ``advance_to`` and by nobody else.
"""

import asyncio
import heapq
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from functools import partial
from itertools import count
from typing import Final, Protocol

from trader.clock import ManualClock
from trader.contracts import Instrument, Quote
from trader.events import (
    AccountValue,
    AccountValuesReceived,
    AnyFact,
    BrokerConnectedReceived,
    BrokerDisconnectedReceived,
    BrokerStateReceived,
    CancelAllOrders,
    CancelOrder,
    Command,
    DisconnectReason,
    MarketDataMode,
    MarketDataModeReceived,
    OrderSendFailed,
    OrderSent,
    PlaceOrder,
    QuoteReceived,
    RequestBrokerState,
    Resubscribe,
    SubscriptionChangedReceived,
    SubscriptionStatus,
    TradeReceived,
)
from trader.gateway.protocol import Sink
from trader.simulator.contract_book import ContractBook, market_key
from trader.simulator.exchange import Exchange
from trader.simulator.model import MarketEvent, QuoteReported, Report
from trader.simulator.translate import Translator, order_request

QUEUE_LIMIT: Final = 100_000
SERVER_VERSION: Final = 178


class Deliveries(Protocol):
    """Decides when, and how often, a report is delivered (``simulator.faults.FaultInjector``)."""

    def deliveries(self, report: Report) -> Iterable[tuple[float, Report]]:
        """The delays in seconds, and the reports, that one report becomes; empty swallows it."""
        ...


class InProcessGateway:
    """The ``Gateway`` protocol over a pure exchange.

    ``instruments`` are keyed by the service's symbols and carry the exchange's contract ids. ``latency`` is
    the virtual time from sending an order or a cancel to its arrival at the exchange. Without ``trades`` the
    market's trades still fill orders but are not told.
    """

    def __init__(
        self,
        exchange: Exchange,
        instruments: Mapping[str, Instrument],
        clock: ManualClock,
        sink: Sink,
        client_id: int = 1,
        latency: timedelta = timedelta(0),
        faults: Deliveries | None = None,
        trades: bool = True,
    ) -> None:
        if latency < timedelta(0):
            raise ValueError(f"latency cannot be negative, not {latency}")
        self._exchange = exchange
        self._instruments = instruments
        self._keys = _symbols_by_market_key(exchange.book, instruments)
        self._clock = clock
        self._sink = sink
        self._client_id = client_id
        self._latency = latency
        self._faults = faults
        self._trades = trades
        self._account = exchange.options.account
        self._translator = Translator(instruments, client_id)
        self._quotes: dict[str, Quote] = {}
        self._queue: list[tuple[datetime, int, Callable[[], None]]] = []
        self._sequence = count()
        self._connected = False
        self._session = 0
        self._closed = asyncio.Event()

    # -- the gateway protocol

    async def run(self) -> None:
        """Connect, and stay so until ``close``; time is moved by whoever drives the market."""
        if not self._closed.is_set():
            self.connect()
            self.flush()
        await self._closed.wait()

    def execute(self, command: Command) -> None:
        """Take a command; its facts are delivered by the next ``flush``, ``apply`` or ``advance_to``."""
        match command:
            case PlaceOrder():
                self._send(command)
            case CancelOrder() if self._connected:
                self._later(self._latency, partial(self._exchange.cancel, self._client_id, command.order_id))
            case CancelAllOrders() if self._connected:
                self._later(self._latency, self._exchange.cancel_all)
            case RequestBrokerState():
                wait = self._latency if self._connected else timedelta(0)
                self._later(wait, partial(self._answer_state, self._clock.monotonic_ns(), self._session))
            case Resubscribe() if self._connected:
                self._subscribe(command.symbols or tuple(self._instruments))
            case _:
                pass  # there is no link to send it over

    async def close(self) -> None:
        self.disconnect(DisconnectReason.STOPPING, "closed by the service")
        self.flush()
        self._closed.set()

    # -- the link

    @property
    def connected(self) -> bool:
        return self._connected

    @property
    def pending(self) -> int:
        """Commands and deliveries that wait for their time."""
        return len(self._queue)

    @property
    def symbols_by_market_key(self) -> Mapping[str, str]:
        """Whose market data is delivered, by the exchange's name for it."""
        return self._keys

    @property
    def quotes(self) -> Mapping[str, Quote]:
        """The last quote of each instrument, as it was delivered."""
        return self._quotes

    def connect(self) -> None:
        """Bring the API session up: what a client learns before it has asked for anything."""
        if self._connected:
            return
        self._connected = True
        self._session += 1
        connected = BrokerConnectedReceived(
            at=self._clock.now(),
            server_version=SERVER_VERSION,
            client_id=self._client_id,
            accounts=(self._account,),
            next_valid_id=self._exchange.next_order_id(self._client_id),
            monotonic_ns=self._clock.monotonic_ns(),
        )
        self._deliver(connected)
        self._later(timedelta(0), self._report_account)
        self._subscribe(self._instruments)

    def disconnect(self, reason: DisconnectReason, detail: str) -> None:
        """Take the link down: what was on its way to us is lost, what was sent still arrives."""
        if not self._connected:
            return
        lost = BrokerDisconnectedReceived(
            at=self._clock.now(), reason=reason, detail=detail, monotonic_ns=self._clock.monotonic_ns()
        )
        self._connected = False
        self._later(timedelta(0), partial(self._sink, lost))

    # -- the market and the passage of time

    def apply(self, event: MarketEvent) -> None:
        """One row of the market: the exchange first, then its news to us, then what follows from it."""
        clock = self._clock
        if event.at > clock.now():
            if self._queue:
                self.advance_to(event.at)
            else:
                clock.advance_to(event.at)  # the exchange moves its own time with the row
        self._exchange.apply(event)
        key = self._keys.get(event.symbol)
        if key is not None and self._connected:
            quote = self._quote(key, event)
            if quote is not None:
                self._quotes[key] = quote
                self._sink(QuoteReceived(at=event.at, quote=quote, received_ns=clock.monotonic_ns()))
            if self._trades and event.last is not None:
                self._trade(key, event)
        if self._queue:
            self.flush()

    def advance_to(self, moment: datetime) -> None:
        """Move time to ``moment`` through everything that is due on the way, in order."""
        queue = self._queue
        while queue and queue[0][0] <= moment:
            due, _, action = heapq.heappop(queue)
            self._move(due)
            action()
        self._move(moment)

    def flush(self) -> None:
        """Deliver what is due now."""
        self.advance_to(self._clock.now())

    def _move(self, moment: datetime) -> None:
        if moment > self._clock.now():
            self._clock.advance_to(moment)
            self._exchange.advance_to(moment)

    # -- from the exchange

    def listen(self, report: Report) -> None:
        """The exchange's listener. Quotes are translated by ``apply`` itself, straight from the row."""
        if isinstance(report, QuoteReported):
            return
        if self._faults is None:
            self._receive(report, timedelta(0))
            return
        for delay_s, delivered in self._faults.deliveries(report):
            self._receive(delivered, timedelta(seconds=delay_s))

    def _receive(self, report: Report, delay: timedelta) -> None:
        if self._translator.concerns(report):
            self._later(delay, partial(self._deliver_report, report))

    def _deliver_report(self, report: Report) -> None:
        if not self._connected:
            return
        for fact in self._translator.facts(report, self._clock.now(), self._clock.monotonic_ns()):
            self._sink(fact)

    # -- pieces

    def _report_account(self) -> None:
        if self._connected:
            values = tuple(
                AccountValue(tag, currency, value) for tag, value, currency in self._exchange.account_values()
            )
            self._sink(AccountValuesReceived(at=self._clock.now(), values=values))

    def _send(self, command: PlaceOrder) -> None:
        now, ref = self._clock.now(), command.order_ref
        if not self._connected:
            self._later(
                timedelta(0), partial(self._sink, OrderSendFailed(at=now, order_ref=ref, detail="not connected"))
            )
            return
        request = order_request(command, self._client_id, self._account)
        sent = OrderSent(at=now, order_ref=ref, order_id=command.order_id, sent_ns=self._clock.monotonic_ns())
        self._deliver(sent)
        self._later(self._latency, partial(self._exchange.place, request))

    def _answer_state(self, requested_ns: int, session: int) -> None:
        """Everything the broker knows, executions of the current day; nothing is known of it without the link."""
        if not self._connected or session != self._session:
            self._sink(
                BrokerStateReceived(
                    at=self._clock.now(),
                    requested_ns=requested_ns,
                    positions=None,
                    open_orders=None,
                    completed_orders=None,
                    executions=None,
                )
            )
            return
        translator, exchange = self._translator, self._exchange
        executions = exchange.executions()
        reported = (exchange.commission(item.exec_id) for item in executions)
        self._sink(
            BrokerStateReceived(
                at=self._clock.now(),
                requested_ns=requested_ns,
                positions=tuple(translator.position(item) for item in exchange.positions()),
                open_orders=tuple(translator.order(view) for view in exchange.open_orders()),
                completed_orders=tuple(translator.order(view) for view in exchange.completed_orders()),
                executions=tuple(translator.execution(item) for item in executions),
                commissions=tuple(translator.commission(item) for item in reported if item is not None),
            )
        )

    def _subscribe(self, symbols: Iterable[str]) -> None:
        now = self._clock.now()
        for symbol in symbols:
            known = symbol in self._instruments
            status = SubscriptionStatus.SUBSCRIBED if known else SubscriptionStatus.REFUSED
            self._deliver(SubscriptionChangedReceived(at=now, symbol=symbol, status=status))
            if known:
                self._deliver(MarketDataModeReceived(at=now, symbol=symbol, mode=MarketDataMode.LIVE))

    def _quote(self, key: str, event: MarketEvent) -> Quote | None:
        """The row's quote. A missing side keeps its last value, as in a client's ticker; a quote has two sides."""
        bid, ask = event.bid, event.ask
        if bid is not None and ask is not None:
            return Quote(key, float(bid), float(event.bid_size or 0), float(ask), float(event.ask_size or 0), event.at)
        before = self._quotes.get(key)
        if before is None or (bid is None and ask is None):
            return None
        if bid is not None:
            return Quote(key, float(bid), float(event.bid_size or 0), before.ask, before.ask_size, event.at)
        assert ask is not None, "one side is there"
        return Quote(key, before.bid, before.bid_size, float(ask), float(event.ask_size or 0), event.at)

    def _trade(self, key: str, event: MarketEvent) -> None:
        self._sink(
            TradeReceived(
                at=event.at,
                symbol=key,
                price=float(event.last),  # type: ignore[arg-type]
                size=float(event.last_size or 0),
                received_ns=self._clock.monotonic_ns(),
            )
        )

    def _deliver(self, fact: AnyFact) -> None:
        self._later(timedelta(0), partial(self._deliver_if_connected, fact))

    def _deliver_if_connected(self, fact: AnyFact) -> None:
        if self._connected:
            self._sink(fact)

    def _later(self, delay: timedelta, action: Callable[[], None]) -> None:
        if len(self._queue) >= QUEUE_LIMIT:
            raise OverflowError(f"more than {QUEUE_LIMIT} deliveries are waiting in the simulated gateway")
        heapq.heappush(self._queue, (self._clock.now() + delay, next(self._sequence), action))


def _symbols_by_market_key(book: ContractBook, instruments: Mapping[str, Instrument]) -> dict[str, str]:
    """Raises ValueError for an instrument that the book does not list."""
    keys: dict[str, str] = {}
    for symbol, item in instruments.items():
        contract = book.by_con_id(item.con_id)
        if contract is None:
            raise ValueError(f"{symbol}: the exchange lists no contract with id {item.con_id}")
        keys[market_key(contract)] = symbol
    return keys
