"""The broker as one client of it sees it: the exchange, the gateway before it, and the connection to that.

Rules: it outlives the service's process. What travels takes its time, in order; what is on its way when a connection
breaks arrives or is lost, as the seed has it. Faults of the link are those of the wire simulator, with its words.
"""

from collections.abc import Callable
from decimal import Decimal
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Final

import msgspec

from trader.contracts import OrderType, Side
from trader.drills.simulation.clocks import Scheduler
from trader.drills.simulation.model import Answer, RequestsFail, Scenario, Topic
from trader.events import DisconnectReason
from trader.gateway.link import DETECTION_MAX_S
from trader.simulator.exchange import Exchange
from trader.simulator.fault_options import Faults, LinkFault
from trader.simulator.faults import FaultInjector
from trader.simulator.model import ErrorReported, OrderRequest, Report
from trader.simulator.wire.link import BACK, BACK_DATA_LOST, COMPETING, FARM_BROKEN, FARM_OK, LOST, PACING
from trader.simulator.wire.traffic import Traffic

if TYPE_CHECKING:
    from trader.drills.simulation.client import SimulatedClient

CONNECTION: Final = -1
BROKEN: Final = (
    2110,
    "Connectivity between Trader Workstation and server is broken. It will be restored automatically.",
)
FOREIGN_CLIENT: Final = 77
GHOST_IDS_FROM: Final = 500_000


class Connection:
    """One connection of the service's process to the gateway."""

    def __init__(self, broker: "Broker", client: "SimulatedClient") -> None:
        self.open = True
        self._broker = broker
        self._client = client
        self._under_way: dict[int, tuple[Callable[[], None], Callable[[], object]]] = {}
        self._number = 0
        self._held: list[Callable[[], None]] = []

    def send(self, arrive: Callable[[], None], lost: Callable[[], object] = lambda: None) -> None:
        """Hand something to the socket; it arrives, or is lost when the connection breaks in a bad moment."""
        self._number += 1
        number = self._number
        self._under_way[number] = (arrive, lost)
        self._broker.scheduler.later(self._broker.scenario.up_s, partial(self._reach, number))

    def deliver(self, take: Callable[[], None]) -> None:
        """Let the client take something, if it is still there when that arrives."""
        self._broker.scheduler.later(self._broker.scenario.down_s, partial(self._arrive, take))

    def hang_up(self) -> None:
        """The client's end is closed; what it sent still leaves."""
        self.open = False

    def tear(self, losing: Callable[[], bool]) -> None:
        """The connection breaks; of what was on its way up, some is lost."""
        self.open = False
        for number in [number for number in self._under_way if losing()]:
            _, lost = self._under_way.pop(number)
            lost()

    def go_on(self) -> None:
        """The gateway reads and writes again."""
        held, self._held = self._held, []
        for action in held:
            action()

    def _reach(self, number: int) -> None:
        if number not in self._under_way:
            return
        if self._broker.stalled:
            self._held.append(partial(self._reach, number))
            return
        arrive, _ = self._under_way.pop(number)
        arrive()

    def _arrive(self, take: Callable[[], None]) -> None:
        if not self.open:
            return
        if self._broker.stalled:
            self._held.append(partial(self._arrive, take))
        else:
            take()


class Broker:
    """The exchange and the gateway; ``client`` is the one connection that the service has."""

    def __init__(self, scenario: Scenario, scheduler: Scheduler, exchange: Exchange) -> None:
        self.scenario = scenario
        self.scheduler = scheduler
        self.exchange = exchange
        self.traffic = Traffic(FaultInjector(scenario.faults), self._tell, scheduler.later)
        self.traffic.exchange = exchange
        self.connection: Connection | None = None
        self.port_open = True
        self.id_busy = False
        self.stalled = False
        self.data_paused = False
        self._client: SimulatedClient | None = None
        self._random = Random(f"{scenario.seed}/broker")
        self._answers: dict[Topic, Answer] = {}
        self._ghosts = 0
        self._waiting: list[str] = []
        # Orders that left the process and of which the exchange has not heard.
        self.in_transit: dict[str, OrderRequest] = {}

    # -- the service's side

    def connect(self, client: "SimulatedClient") -> Connection:
        """Take the client's connection; the one before is gone."""
        self.connection = Connection(self, client)
        self._client = client
        return self.connection

    def greet(self) -> None:
        """What the gateway says of itself to a client that has just begun."""
        if self.traffic.lost:
            self._tell_code(BROKEN)

    def send_order(self, connection: Connection, request: OrderRequest) -> None:
        """Hand an order to the socket."""
        ref = request.order_ref
        self.in_transit[ref] = request
        connection.send(partial(self._place, request), partial(self.in_transit.pop, ref, None))

    def _place(self, request: OrderRequest) -> None:
        self.traffic.place(request)
        if self.traffic.lost:
            self._waiting.append(request.order_ref)
        else:
            self.in_transit.pop(request.order_ref, None)

    def answer_to(self, topic: Topic) -> Answer:
        return self._answers.get(topic, Answer.GIVEN)

    def _tell(self, report: Report) -> None:
        connection, client = self.connection, self._client
        if connection is not None and client is not None and connection.open:
            connection.deliver(partial(client.report, report))

    def _tell_code(self, told: tuple[int, str], request_id: int = CONNECTION) -> None:
        self._tell(ErrorReported(self.scenario.settings.gateway.client_id, request_id, *told))

    # -- faults of the link

    def play(self, fault: LinkFault) -> None:
        """Begin a fault of the link; it ends by itself."""
        later, after_s = self.scheduler.later, fault.duration_s
        match fault.kind:
            case "disconnect":
                self._without_port(after_s, "the connection was reset")
            case "restart":
                self._without_port(after_s, "the gateway was restarted")
                self.exchange.restart(fault.roll_back_ids, int(fault.vanish_window_s * 1_000))
            case "stall":
                self.stalled = True
                later(after_s, self._go_on)
                later(DETECTION_MAX_S, self._notice_silence)
            case "upstream_lost" | "nightly_reset":
                self._lose_upstream()
                if fault.kind == "nightly_reset" and fault.repeat_s < after_s:
                    later(fault.repeat_s, self._lose_upstream)
                later(after_s, partial(self._restore_upstream, fault.data_lost))
            case "farm_flap":
                self.data_paused = True
                self._tell_code(FARM_BROKEN)
                later(after_s, self._restore_farm)
            case "competing_session":
                self.data_paused = True
                self._tell_code(COMPETING)
                later(after_s, self._restore_farm)
            case "handshake_326":
                self.id_busy = True
                later(after_s, self._free_id)
            case "pacing":
                self._tell_code(PACING)

    def heal(self) -> None:
        """From here on nothing goes wrong any more."""
        self.traffic.injector = FaultInjector(Faults(seed=self.scenario.seed))
        self._answers.clear()

    def fail_requests(self, action: RequestsFail) -> None:
        for topic in action.topics:
            self._answers[topic] = action.answer
        self.scheduler.later(action.duration_s, self._answers.clear)

    def _without_port(self, duration_s: float, detail: str) -> None:
        self.port_open = False
        self.scheduler.later(duration_s, self._open_port)
        self._break(DisconnectReason.CLOSED, detail)

    def _break(self, reason: DisconnectReason, detail: str) -> None:
        connection, client = self.connection, self._client
        if connection is None or client is None or not connection.open:
            return
        connection.tear(lambda: self._random.random() < self.scenario.losing_ratio)
        self.scheduler.later(0.0, partial(client.lose, connection, reason, detail))

    def _open_port(self) -> None:
        self.port_open = True

    def _free_id(self) -> None:
        self.id_busy = False

    def _go_on(self) -> None:
        self.stalled = False
        if self.connection is not None:
            self.connection.go_on()

    def _notice_silence(self) -> None:
        """A heartbeat without an answer."""
        if self.stalled:
            self._break(DisconnectReason.HEARTBEAT_LOST, "the gateway has not answered, though its socket is open")

    def _lose_upstream(self) -> None:
        self.traffic.lose()
        self.data_paused = True
        self._tell_code(LOST)

    def _restore_upstream(self, data_lost: bool) -> None:
        self.data_paused = False
        self._tell_code(BACK_DATA_LOST if data_lost else BACK)
        self.traffic.restore()
        while self._waiting:
            self.in_transit.pop(self._waiting.pop(), None)

    def _restore_farm(self) -> None:
        self.data_paused = False
        self._tell_code(FARM_OK)

    # -- other people on the account

    def trade_elsewhere(self, con_id: int, quantity: int) -> None:
        """Somebody else's market order."""
        self.exchange.place(self._other(con_id, Side.BUY if quantity > 0 else Side.SELL, abs(quantity)))

    def _other(self, con_id: int, side: Side, quantity: int) -> OrderRequest:
        return OrderRequest(
            client_id=FOREIGN_CLIENT,
            order_id=self.exchange.next_order_id(FOREIGN_CLIENT),
            con_id=con_id,
            side=side,
            quantity=Decimal(quantity),
            order_type=OrderType.MARKET,
            order_ref="by hand",
            account=self.exchange.options.account,
        )

    def cancel_elsewhere(self) -> None:
        """A person cancels the service's living orders."""
        client_id = self.scenario.settings.gateway.client_id
        for order in self.exchange.open_orders(client_id):
            self.exchange.cancel(client_id, order.request.order_id)

    def oldest_of_ours(self) -> OrderRequest | None:
        """The oldest living order of the service that is no copy."""
        orders = self.exchange.open_orders(self.scenario.settings.gateway.client_id)
        return next((order.request for order in orders if order.request.order_id < GHOST_IDS_FROM), None)

    def double(self, request: OrderRequest) -> None:
        """Make a second living order of one."""
        self._ghosts += 1
        self.exchange.place(msgspec.structs.replace(request, order_id=GHOST_IDS_FROM + self._ghosts))
