"""What is true, kept apart from what the service believes: the exchange's own deeds, and what the journal has.

Rules: it learns from the exchange's reports, from what reaches the disk, from the commands as they leave, and from
what is told to the process; never from the engine. ``memory`` is a state of the service's own kind, folded from the
rows of the disk alone.
"""

from collections import deque
from collections.abc import Callable
from decimal import Decimal

from trader.contracts import ZERO, Instrument, Side, TradingState
from trader.drills.simulation.broker import Broker
from trader.drills.simulation.clocks import Scheduler
from trader.drills.simulation.model import Scenario
from trader.engine.core import Core
from trader.events import (
    AnyDurableFact,
    AnyFact,
    BrokerConnectedReceived,
    BrokerDisconnectedReceived,
    BrokerStateReceived,
    CancelIntended,
    CommissionBooked,
    CommissionLine,
    ExecutionIgnored,
    ExecutionLine,
    FillBooked,
    OrderAdopted,
    OrderIntended,
    PlaceOrder,
    PositionAdopted,
    PositionLine,
    SignalChanged,
    TradingStateChanged,
    UpstreamLostReceived,
    UpstreamRestoredReceived,
)
from trader.ledger import base_exec_id
from trader.simulator.model import Execution, ExecutionReported, OrderReported, OrderRequest, Report

# A minute, less what a float is off by.
MINUTE_S = 59.999


class Agreement:
    """Whether this process has heard, since the link was last restored, all that the broker has to say.

    ``enough_to_close``: positions and open orders, which is all that a panic needs.
    """

    def __init__(self) -> None:
        self.complete = False
        self.enough_to_close = False
        self.upstream = False
        self._since_ns = 0

    def hear(self, fact: AnyFact, now_ns: int) -> None:
        match fact:
            case BrokerConnectedReceived() | UpstreamRestoredReceived():
                self.complete = self.enough_to_close = False
                self.upstream, self._since_ns = True, now_ns
            case BrokerDisconnectedReceived() | UpstreamLostReceived():
                self.complete = self.enough_to_close = self.upstream = False
            case BrokerStateReceived():
                answers = (fact.positions, fact.open_orders, fact.completed_orders, fact.executions)
                believed = self.upstream and fact.requested_ns >= self._since_ns
                self.complete = believed and None not in answers
                self.enough_to_close = believed and None not in answers[:2]
            case _:
                pass


class Witness:
    """The truth about one world."""

    def __init__(
        self,
        scenario: Scenario,
        scheduler: Scheduler,
        broker: Broker,
        instruments: dict[str, Instrument],
        memory: Callable[[], Core],
    ) -> None:
        self.scenario = scenario
        self.scheduler = scheduler
        self.exchange = broker.exchange
        self._broker = broker
        self.instruments = instruments
        self.memory = memory()
        self.agreement = Agreement()
        self._symbols = {item.con_id: symbol for symbol, item in instruments.items()}
        # what the journal has
        self.intents: dict[str, OrderIntended] = {}
        self.cancels: set[str] = set()
        self.booked: dict[str, ExecutionLine] = {}
        self.ignored: set[str] = set()
        self.commissions: dict[str, CommissionLine] = {}
        self._counted: dict[str, Decimal] = {}
        self.took_positions = False
        self.targets: dict[str, Decimal] = {}
        self.trading_state = TradingState.ACTIVE
        self.adopted = 0
        # what left
        self.commanded: dict[str, PlaceOrder] = {}
        self.cancelled_all = False
        self.used_ids: dict[int, str] = {}
        self.sent_at: deque[float] = deque(maxlen=2_000)
        self._stepped_at = 0.0
        # what the exchange did
        self.executions: dict[str, Execution] = {}
        self.filled: dict[str, Decimal] = {}
        self.positions: dict[str, Decimal] = {}
        self.perm_ids: dict[str, set[int]] = {}
        self.ghosts: set[str] = set()
        self.ghost_symbols: set[str] = set()
        self.differs_since: dict[str, float] = {}
        self.ids_at_exchange: dict[int, str] = {}

    def restarted(self) -> None:
        """A new process begins, and has heard nothing."""
        self.agreement = Agreement()
        self.cancelled_all = False
        self.differs_since.clear()
        while self.sent_at and self.sent_at[0] < self._stepped_at:
            self.sent_at.popleft()

    def stepped(self) -> None:
        """The host's clock jumped: how long ago an earlier process sent something cannot be told by it any more."""
        self._stepped_at = self.scheduler.elapsed_s

    # -- what the journal has

    def written(self, fact: AnyDurableFact) -> None:
        """A fact is on the disk."""
        self.memory.apply(fact)
        match fact:
            case OrderIntended():
                self.intents[fact.order_ref] = fact
            case CancelIntended():
                self.cancels.add(fact.order_ref)
            case FillBooked():
                self._count(fact.line)
            case ExecutionIgnored():
                self.ignored.add(base_exec_id(fact.line.exec_id))
            case CommissionBooked():
                self.commissions[base_exec_id(fact.line.exec_id)] = fact.line
            case PositionAdopted():
                self._take(fact.line)
            case SignalChanged():
                self.targets[fact.symbol] = fact.target
            case TradingStateChanged():
                self.trading_state = fact.new
            case OrderAdopted():
                self.adopted += 1
            case _:
                pass

    def _count(self, line: ExecutionLine) -> None:
        """An execution counts once, with its last word."""
        key, symbol = base_exec_id(line.exec_id), line.instrument.symbol
        before = self.booked.get(key)
        change = signed(line) - (ZERO if before is None else signed(before))
        self.booked[key] = line
        self._counted[symbol] = self.booked_position(symbol) + change

    def _take(self, line: PositionLine) -> None:
        """The broker's position became ours: what was booked before counts no more."""
        self.took_positions = True
        self._counted[line.instrument.symbol] = line.quantity

    def booked_position(self, symbol: str) -> Decimal:
        """What the journal's executions come to, with the positions that were taken over."""
        return self._counted.get(symbol, ZERO)

    # -- what left

    def placed(self, command: PlaceOrder) -> None:
        """An order is handed over."""
        self.commanded[command.order_ref] = command
        self.used_ids[command.order_id] = command.order_ref
        self.sent_at.append(self.scheduler.elapsed_s)

    def sent_last_minute(self) -> int:
        now_s = self.scheduler.elapsed_s
        return sum(1 for at_s in self.sent_at if now_s - at_s < MINUTE_S)

    # -- what the exchange did

    def reported(self, report: Report) -> None:
        """The exchange did something."""
        match report:
            case OrderReported(order):
                ref = order.request.order_ref
                self.perm_ids.setdefault(ref, set()).add(order.perm_id)
                if order.request.client_id == self.scenario.settings.gateway.client_id:
                    self.ids_at_exchange[order.request.order_id] = ref
            case ExecutionReported(execution):
                self._executed(execution)
            case _:
                pass

    def _executed(self, execution: Execution) -> None:
        key, request = base_exec_id(execution.exec_id), execution.order.request
        before = self.executions.get(key)
        change = execution.quantity - (before.quantity if before is not None else ZERO)
        self.executions[key] = execution
        ref, symbol = request.order_ref, self.symbol_of(request)
        self.filled[ref] = self.filled.get(ref, ZERO) + change
        self.positions[symbol] = self.positions.get(symbol, ZERO) + change * execution.side.sign

    def symbol_of(self, request: OrderRequest) -> str:
        return self.symbol_of_contract(request.con_id)

    def symbol_of_contract(self, con_id: int) -> str:
        return self._symbols.get(con_id, str(con_id))

    def is_ours(self, request: OrderRequest) -> bool:
        return request.client_id == self.scenario.settings.gateway.client_id

    def position(self, symbol: str) -> Decimal:
        return self.positions.get(symbol, ZERO)

    def living(self) -> list[tuple[OrderRequest, Decimal]]:
        """Our living orders with what is left of each: those at the exchange, and those that may still arrive."""
        found = [(view.request, view.remaining) for view in self.exchange.open_orders() if self.is_ours(view.request)]
        return found + [(request, request.quantity) for request in self._broker.in_transit.values()]

    def living_signed(self, symbol: str) -> Decimal:
        """What our living orders in ``symbol`` can add to the position."""
        return sum(
            (left * request.side.sign for request, left in self.living() if self.symbol_of(request) == symbol), ZERO
        )


def signed(line: ExecutionLine) -> Decimal:
    return line.quantity if line.side is Side.BUY else -line.quantity
