"""A gateway of one process: the commands of the engine to the simulated broker, and its facts back.

Rules: the same facts in the same order as ``gateway/ib`` makes of the wire: an order that cannot be sent now is *not
sent*; an unanswered question is ``None``; what was received of an answer is told row by row before the answer is;
at a loss the queue is dropped first, then the loss is told, then what was asked ends without an answer.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Final

import msgspec

from trader.clock import Clock
from trader.contracts import Instrument, Quote
from trader.drills.simulation.broker import Broker, Connection
from trader.drills.simulation.crash import Trap
from trader.drills.simulation.model import ACCOUNT, Answer, Point, Scenario, Topic
from trader.events import (
    AccountValue,
    AccountValuesReceived,
    AnyFact,
    BrokerConnectedReceived,
    BrokerDisconnectedReceived,
    BrokerErrorReceived,
    BrokerStateReceived,
    CancelAllOrders,
    CancelOrder,
    Command,
    CommissionLine,
    ConnectFailedReceived,
    DisconnectReason,
    FarmChangedReceived,
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
    UpstreamLostReceived,
    UpstreamRestoredReceived,
)
from trader.gateway import codes
from trader.gateway.link import Upstream
from trader.gateway.protocol import Sink
from trader.simulator.contract_book import market_key
from trader.simulator.inprocess import SERVER_VERSION
from trader.simulator.model import (
    ErrorReported,
    ExecutionReported,
    OrderReported,
    PositionReported,
    QuoteReported,
    Report,
)
from trader.simulator.translate import Translator, order_request

RETRY_FIRST_S: Final = 1.0
RETRY_MAX_S: Final = 8.0
QUEUED_S: Final = 0.3
# The four questions leave one after the other, and a fill may fall between two of them.
QUESTIONS_APART_S: Final = 0.02


class _Question:
    """One reconciliation under way: what was answered so far."""

    def __init__(self, requested_ns: int, connection: Connection | None) -> None:
        self.requested_ns = requested_ns
        self.connection = connection
        self.answers: dict[Topic, tuple[object, ...] | None] = {}
        self.commissions: dict[str, CommissionLine] = {}


class SimulatedClient:
    """A ``Gateway`` for the engine of one process; ``sink`` takes its facts."""

    def __init__(
        self,
        scenario: Scenario,
        broker: Broker,
        instruments: Mapping[str, Instrument],
        clock: Clock,
        sink: Sink,
        trap: Trap,
        commanded: Callable[[Command], None],
    ) -> None:
        self._commanded = commanded
        self._scenario = scenario
        self._broker = broker
        self._clock = clock
        self._sink = sink
        self._trap = trap
        self._client_id = scenario.settings.gateway.client_id
        self._translator = Translator(instruments, self._client_id)
        self._instruments = instruments
        contracts = {symbol: broker.exchange.book.by_con_id(item.con_id) for symbol, item in instruments.items()}
        self._symbols = {market_key(contract): symbol for symbol, contract in contracts.items() if contract}
        self._connection: Connection | None = None
        self._upstream = Upstream()
        self._subscribed: set[str] = set()
        self._queued: dict[str, PlaceOrder] = {}
        self._question: _Question | None = None
        self._ask_again = False
        self._attempts = 0
        self._closed = False

    @property
    def up(self) -> bool:
        return self._connection is not None

    # -- the gateway protocol

    async def run(self) -> None:
        """The world drives it; there is nothing to wait for."""

    async def close(self) -> None:
        self.hang_up()

    def execute(self, command: Command) -> None:
        """Carry ``command`` out; the process can die before and after."""
        self._trap.pass_by(Point.BEFORE_SEND)
        self._commanded(command)
        match command:
            case PlaceOrder():
                self._place(command)
            case CancelOrder():
                self._send(partial(self._broker.traffic.cancel, self._client_id, command.order_id))
            case CancelAllOrders():
                self._send(self._broker.traffic.cancel_all)
            case RequestBrokerState():
                self._request_state()
            case Resubscribe():
                if self.up:
                    self._subscribe(command.symbols or tuple(self._instruments))
        self._trap.pass_by(Point.AFTER_SEND)

    # -- the link

    def connect(self) -> None:
        """Try to connect now, and again with growing pauses until it works."""
        if self._closed or self.up:
            return
        self._attempts += 1
        broker = self._broker
        if broker.port_open and not broker.id_busy and not broker.stalled:
            self._started(broker.connect(self))
            return
        reason = DisconnectReason.CLIENT_ID_BUSY if broker.id_busy else DisconnectReason.REFUSED
        wait_s = min(RETRY_FIRST_S * 2 ** (self._attempts - 1), RETRY_MAX_S)
        self._tell(
            ConnectFailedReceived(
                at=self._clock.now(), reason=reason, detail="simulated", attempt=self._attempts, retry_in_s=wait_s
            )
        )
        broker.scheduler.later(wait_s, self.connect)

    def _started(self, connection: Connection) -> None:
        """The session is up once its first answers are there; a connection that broke meanwhile is tried again."""
        self._attempts = 0

        def up() -> None:
            self._connection = connection
            self._upstream = Upstream()
            self._tell(
                BrokerConnectedReceived(
                    at=self._clock.now(),
                    server_version=SERVER_VERSION,
                    client_id=self._client_id,
                    accounts=(ACCOUNT,),
                    next_valid_id=self._broker.exchange.next_order_id(self._client_id),
                    monotonic_ns=self._clock.monotonic_ns(),
                )
            )
            self._tell_account()
            self._subscribe(self._instruments)

        connection.deliver(up)
        self._broker.greet()
        self._broker.scheduler.later(RETRY_MAX_S, self._retry_unless_up)

    def _retry_unless_up(self) -> None:
        if not self.up and self._broker.connection is not None and not self._broker.connection.open:
            self.connect()

    def hang_up(self) -> None:
        """The process is gone, or stops: its sockets are closed, and nothing more is told."""
        self._closed = True
        if self._connection is not None:
            self._connection.hang_up()
        elif self._broker.connection is not None:
            self._broker.connection.hang_up()
        self._connection = None

    def lose(self, connection: Connection, reason: DisconnectReason, detail: str) -> None:
        """The connection broke. What waits for the pacer is not sent; what was asked has no answer."""
        if self._closed or (self._connection is not None and self._connection is not connection):
            return
        was_up, self._connection = self.up, None
        queued, self._queued = list(self._queued), {}
        for order_ref in queued:
            self._tell(OrderSendFailed(at=self._clock.now(), order_ref=order_ref, detail=detail))
        if was_up:
            self._subscribed.clear()
            self._tell(
                BrokerDisconnectedReceived(
                    at=self._clock.now(), reason=reason, detail=detail, monotonic_ns=self._clock.monotonic_ns()
                )
            )
        self._end_question()
        self._broker.scheduler.later(RETRY_FIRST_S, self.connect)

    # -- orders

    def _place(self, command: PlaceOrder) -> None:
        if not self.up:
            self._not_sent(command.order_ref, "not connected to the gateway")
        elif self._waits(command.order_ref):
            self._queued[command.order_ref] = command
            self._broker.scheduler.later(QUEUED_S, partial(self._leave_queue, command))
        else:
            self._hand_over(command)

    def _waits(self, order_ref: str) -> bool:
        share = self._scenario.queued_ratio
        return share > 0 and sum(order_ref.encode()) % 97 < share * 97

    def _leave_queue(self, command: PlaceOrder) -> None:
        if not self._closed and self._queued.pop(command.order_ref, None) is not None:
            self._hand_over(command)

    def _hand_over(self, command: PlaceOrder) -> None:
        assert self._connection is not None, "an order is handed over to a connection"
        self._broker.send_order(self._connection, order_request(command, self._client_id, ACCOUNT))
        sent_ns = self._clock.monotonic_ns()
        self._tell(
            OrderSent(at=self._clock.now(), order_ref=command.order_ref, order_id=command.order_id, sent_ns=sent_ns)
        )

    def _not_sent(self, order_ref: str, detail: str) -> None:
        self._tell(OrderSendFailed(at=self._clock.now(), order_ref=order_ref, detail=detail))

    def _send(self, arrive: Callable[[], None]) -> None:
        if self._connection is not None:
            self._connection.send(arrive)

    # -- asking

    def _request_state(self) -> None:
        if self._question is not None:
            self._ask_again = True
            return
        self._ask_again = False
        question = self._question = _Question(self._clock.monotonic_ns(), self._connection)
        if self._connection is None:
            self._broker.scheduler.later(0.0, partial(self._end_if_same, question))
            return
        for number, topic in enumerate(Topic):
            self._broker.scheduler.later(number * QUESTIONS_APART_S, partial(self._put, question, topic))
        timeout_s = self._scenario.settings.gateway.request_timeout_s
        self._broker.scheduler.later(timeout_s, partial(self._end_if_same, question))

    def _put(self, question: _Question, topic: Topic) -> None:
        if self._question is question and question.connection is not None:
            question.connection.send(partial(self._asked, question, topic))

    def _asked(self, question: _Question, topic: Topic) -> None:
        """The gateway has the question: what it answers is what is true now."""
        connection, answer = question.connection, self._broker.answer_to(topic)
        assert connection is not None
        if answer is Answer.GIVEN:
            connection.deliver(partial(self._answered, question, topic, self._rows(topic)))
        elif answer is Answer.REFUSED:
            connection.deliver(partial(self._answered, question, topic, None))

    def _rows(self, topic: Topic) -> tuple[Report, ...]:
        exchange = self._broker.exchange
        match topic:
            case Topic.POSITIONS:
                return tuple(PositionReported(item) for item in exchange.positions())
            case Topic.OPEN_ORDERS:
                return tuple(OrderReported(view) for view in exchange.open_orders())
            case Topic.COMPLETED_ORDERS:
                return tuple(OrderReported(view) for view in exchange.completed_orders())
            case Topic.EXECUTIONS:
                return tuple(ExecutionReported(item) for item in exchange.executions())

    def _answered(self, question: _Question, topic: Topic, rows: tuple[Report, ...] | None) -> None:
        if self._question is not question or self._closed:
            return
        question.answers[topic] = None if rows is None else self._take_rows(question, topic, rows)
        if len(question.answers) == len(Topic):
            self._end_question()

    def _take_rows(self, question: _Question, topic: Topic, rows: tuple[Report, ...]) -> tuple[object, ...]:
        """The lines of an answer; rows of orders and executions are facts of their own as well."""
        translator = self._translator
        lines: list[object] = []
        for row in rows:
            match row:
                case PositionReported(position):
                    lines.append(translator.position(position))
                case OrderReported(view) if topic is Topic.OPEN_ORDERS:
                    lines.append(translator.order(view))
                    self._tell_report(row)
                case OrderReported(view):
                    # The message of a completed order names neither its client nor its order id.
                    lines.append(msgspec.structs.replace(translator.order(view), order_id=0, client_id=0))
                case ExecutionReported(execution):
                    lines.append(translator.execution(execution))
                    self._tell_report(row)
                    self._take_commission(question, execution.exec_id)
                case _:
                    raise AssertionError(f"{row} is no row of an answer")
        return tuple(lines)

    def _take_commission(self, question: _Question, exec_id: str) -> None:
        report = self._broker.exchange.commission(exec_id)
        if report is not None:
            line = self._translator.commission(report)
            question.commissions[line.exec_id] = line
            self._tell_report(report)

    def _end_if_same(self, question: _Question) -> None:
        if self._question is question and not self._closed:
            self._end_question()

    def _end_question(self) -> None:
        """Tell what is known by now; what was not answered is None."""
        question, self._question = self._question, None
        if question is None or self._closed:
            return
        answers = [question.answers.get(topic) for topic in Topic]
        self._tell(
            BrokerStateReceived(
                at=self._clock.now(),
                requested_ns=question.requested_ns,
                positions=answers[0],  # type: ignore[arg-type]
                open_orders=answers[1],  # type: ignore[arg-type]
                completed_orders=answers[2],  # type: ignore[arg-type]
                executions=answers[3],  # type: ignore[arg-type]
                commissions=tuple(question.commissions.values()),
            )
        )
        if self._ask_again and self.up:
            self._request_state()

    # -- what the broker reports

    def report(self, report: Report) -> None:
        """A report arrives, for this client or for another."""
        if self._closed:
            return
        if isinstance(report, QuoteReported):
            self._quote(report)
        elif self._translator.concerns(report):
            self._tell_report(report)

    def _tell_report(self, report: Report) -> None:
        if isinstance(report, ErrorReported):
            self._error(report)
            return
        for fact in self._translator.facts(report, self._clock.now(), self._clock.monotonic_ns()):
            self._tell(fact)

    def _error(self, report: ErrorReported) -> None:
        at, code = self._clock.now(), report.code
        self._tell(
            BrokerErrorReceived(
                at=at,
                request_id=report.request_id,
                code=code,
                message=report.message,
                error_class=codes.classify(code, report.request_id),
            )
        )
        change = self._upstream.handle(code)
        if change is not None and not change.connected:
            self._tell(UpstreamLostReceived(at=at, code=code))
        elif change is not None:
            self._tell(UpstreamRestoredReceived(at=at, code=code, data_lost=change.data_lost))
            if change.data_lost:
                self._subscribe(self._instruments)
        elif code in codes.FARM_BROKEN or code in codes.FARM_CONNECTED:
            self._tell(
                FarmChangedReceived(at=at, farm=codes.farm_name(report.message), connected=code in codes.FARM_CONNECTED)
            )

    def _quote(self, report: QuoteReported) -> None:
        event = report.event
        symbol = self._symbols.get(event.symbol)
        if symbol not in self._subscribed or self._broker.data_paused or event.bid is None or event.ask is None:
            return
        now = self._clock.now()
        sizes = float(event.bid_size or 0), float(event.ask_size or 0)
        quote = Quote(symbol, float(event.bid), sizes[0], float(event.ask), sizes[1], now)
        self._tell(QuoteReceived(at=now, quote=quote, received_ns=self._clock.monotonic_ns()))

    def _subscribe(self, symbols: Iterable[str]) -> None:
        for symbol in symbols:
            self._subscribed.add(symbol)
            at = self._clock.now()
            self._tell(SubscriptionChangedReceived(at=at, symbol=symbol, status=SubscriptionStatus.SUBSCRIBED))
            self._tell(MarketDataModeReceived(at=at, symbol=symbol, mode=MarketDataMode.LIVE))

    def _tell_account(self) -> None:
        rows = self._broker.exchange.account_values()
        values = tuple(AccountValue(tag, currency, value) for tag, value, currency in rows)
        self._tell(AccountValuesReceived(at=self._clock.now(), values=values))

    def _tell(self, fact: AnyFact) -> None:
        if not self._closed:
            self._sink(fact)
