"""One gateway, one service, and a wire between them that can be tampered with: all of it in the test's own process.

The gateway is the product's simulated one on a loopback socket, the service is the one that ``trader run`` starts,
and between them every frame passes a ``Wiretap``. Nothing waits for time to pass: a wait ends with a fact of the
service, and the market moves when a test moves it.
"""

import asyncio
import json
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final, TypeVar

import yaml

from trader.contracts import OrderType, Side
from trader.engine.core import Core
from trader.events import AnyFact, CommissionBooked, FillBooked, OrderIntended, OrderState, OrderStateChanged
from trader.service import Service
from trader.settings import Settings
from trader.settings_file import load_settings
from trader.simulator.faults import FaultInjector, Faults, LinkFault
from trader.simulator.model import MarketEvent, OrderRequest
from trader.simulator.options import ExchangeOptions
from trader.simulator.wire import ServerOptions, SimulatedGatewayServer
from trader.simulator.wire.link import play_link_faults
from trader.strategy.api import Target

MONDAY: Final = datetime(2013, 10, 7, 14, 0, tzinfo=UTC)
PATIENCE_S: Final = 60.0
LENGTH: Final = struct.Struct(">I")
HELLO: Final = b"API\0"
# Kinds of frames: what a client sends, and what a gateway does.
PLACE, CANCEL, POSITIONS = "3", "4", "61"
STATUS, OPEN_ORDER, EXECUTION, COMMISSION, A_POSITION, POSITIONS_END = "3", "5", "11", "59", "61", "62"
ASKED_FOR: Final = {"positions": "61", "open orders": "16", "completed orders": "99", "executions": "7"}
QUICK: Final[dict[str, dict[str, Any]]] = {
    "gateway": {
        "heartbeat_interval_s": 0.3,
        "heartbeat_timeout_s": 0.6,
        "backoff_max_s": 1,
        "request_timeout_s": 0.5,
        "connect_timeout_s": 0.5,
    },
    "strategy": {"name": "tests.e2e.incidents_bench:Wish"},
    "execution": {"ack_timeout_s": 0.4, "retry_after_s": 0.3, "cancel_after_s": 600},
    "market_data": {"stale_after_s": 3600},
    "session": {"calendar": "always", "flatten_before_close_s": 0, "no_entries_before_close_s": 0},
    "risk": {"max_order_notional": 100_000, "max_position_notional": 100_000},
    "metrics": {"port": 0},
}
# Short of the far touch, so that an order rests until the market comes to it.
RESTING: Final = {"execution": {"cross_ticks": -50}}

F = TypeVar("F")
Fields = list[str]
Tamper = Callable[[Fields], Iterable[Fields]]


class Wish:
    """Wants of AAPL what a test wishes, and of everything else nothing."""

    name = "wish"

    def __init__(self) -> None:
        self.wanted: Decimal | None = None

    def on_quote(self, quote: Any, view: Any) -> list[Target]:
        wanted = self.wanted is not None and quote.symbol == "AAPL"
        return [Target("AAPL", self.wanted, "wished")] if wanted and self.wanted is not None else []

    def on_schedule(self, view: Any) -> list[Target]:
        return []


def market_event(bid: float, ask: float, at: datetime, size: Decimal = Decimal(10_000)) -> MarketEvent:
    return MarketEvent(at=at, symbol="AAPL", bid=Decimal(str(bid)), bid_size=size, ask=Decimal(str(ask)), ask_size=size)


class StillMarket:
    """Quotes AAPL once, at the start, and then says nothing more."""

    contracts = ("AAPL",)

    def __init__(self, start: datetime) -> None:
        self.start = start

    def events(self) -> Iterator[MarketEvent]:
        yield market_event(69.50, 69.52, self.start)


def untouched(fields: Fields) -> Iterable[Fields]:
    return (fields,)


class Wiretap:
    """Hears every frame and may change, drop or add to it: ``down`` what the gateway says, ``up`` what it is told.

    ``silent`` accepts connections and lets nothing pass. ``sent`` holds what the client sent, ``clients`` counts
    connections.
    """

    def __init__(self, server: SimulatedGatewayServer) -> None:
        self.down: Tamper = untouched
        self.up: Tamper = untouched
        self.silent = False
        self.sent: list[Fields] = []
        self.clients = 0
        self._server = server
        self._listener: asyncio.Server | None = None
        self._clients: set[asyncio.StreamWriter] = set()
        self._gateways: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> int:
        self._listener = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        return int(self._listener.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        assert self._listener is not None
        self._listener.close()
        self.hang_up()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def hang_up(self) -> None:
        for writer in self._clients | self._gateways:
            writer.transport.abort()

    def say(self, *fields: object) -> None:
        """One frame to the client, as if the gateway had sent it."""
        for writer in self._clients:
            writer.write(framed([str(field) for field in fields]))

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.clients += 1
        self._clients.add(writer)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        try:
            gateway = await self._behind()
            await self._serve(reader, writer, gateway)
        finally:
            self._clients.discard(writer)
            self._tasks.discard(task)
            writer.transport.abort()

    async def _behind(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        if self.silent:
            return None
        try:
            return await asyncio.open_connection("127.0.0.1", self._server.port)
        except OSError:
            return None

    async def _serve(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        gateway: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None,
    ) -> None:
        if gateway is None:
            if self.silent:
                await reader.read()
            return
        self._gateways.add(gateway[1])
        ways = [
            asyncio.ensure_future(self._pass(reader, gateway[1], up=True)),
            asyncio.ensure_future(self._pass(gateway[0], writer, up=False)),
        ]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
            self._gateways.discard(gateway[1])
            gateway[1].transport.abort()

    async def _pass(self, source: asyncio.StreamReader, target: asyncio.StreamWriter, *, up: bool) -> None:
        with suppress(asyncio.IncompleteReadError, OSError):
            if up:
                target.write(await source.readexactly(len(HELLO)))
            while True:
                size = LENGTH.unpack(await source.readexactly(LENGTH.size))[0]
                payload = await source.readexactly(size)
                if self.silent:
                    continue
                if not payload.endswith(b"\0"):  # the client's hello
                    target.write(LENGTH.pack(size) + payload)
                    continue
                fields = payload.decode().split("\0")[:-1]
                if up:
                    self.sent.append(fields)
                for changed in (self.up if up else self.down)(fields):
                    target.write(framed(changed))


def framed(fields: Fields) -> bytes:
    payload = "".join(f"{field}\0" for field in fields).encode()
    return LENGTH.pack(len(payload)) + payload


class Bench:
    """A gateway, its wire, and a service that can be killed and started again. ``facts`` is what it has told."""

    def __init__(self, folder: Path, start: datetime, options: ExchangeOptions | None) -> None:
        self.folder = folder
        self.server = SimulatedGatewayServer(StillMarket(start), ServerOptions(port=0), options)
        self.wire = Wiretap(self.server)
        self.facts: list[AnyFact] = []
        self.service: Service
        self._task: asyncio.Task[None] | None = None
        self._told = asyncio.Event()
        self._plays: list[asyncio.Task[None]] = []
        self._port = 0

    # -- the parts

    async def begin(self, **changes: dict[str, Any]) -> None:
        await self.server.start()
        self._port = await self.wire.start()
        self.configure(**changes)

    def configure(self, **changes: dict[str, Any]) -> Settings:
        values: dict[str, Any] = {"mode": "simulated", "instruments": ["AAPL"]}
        for section, quick in QUICK.items():
            values[section] = {**quick, **changes.pop(section, {})}
        values["gateway"]["port"] = self._port
        self.config.write_text(yaml.safe_dump({**values, **changes}))
        return load_settings(self.config)

    @property
    def config(self) -> Path:
        return self.folder / "config.yaml"

    async def serve(self, *, ready: bool = True) -> None:
        """Start the service, on the journal that is there."""
        self.service = Service(load_settings(self.config), config_file=self.config, watchers=(("bench", self._watch),))
        self._task = asyncio.create_task(self.service.run())
        self._task.add_done_callback(lambda _: self._told.set())
        if ready:
            await self.until(lambda: self.ready, "the service to be ready")

    async def kill(self) -> None:
        """End the service where it stands: nothing is said to the gateway, no stop is journaled."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None

    async def ended(self) -> BaseException | None:
        """What the service ended with, once it has."""
        assert self._task is not None
        await asyncio.wait({self._task}, timeout=PATIENCE_S)
        task, self._task = self._task, None
        return task.exception()

    async def end(self) -> None:
        await self.kill()
        for play in self._plays:
            play.cancel()
        await asyncio.gather(*self._plays, return_exceptions=True)
        await self.wire.stop()
        await self.server.stop()

    # -- what a test does

    def wish(self, quantity: int | None) -> None:
        """Let the strategy want ``quantity`` of AAPL, from the quote on that this brings."""
        strategy = self.core.strategy
        assert isinstance(strategy, Wish)
        strategy.wanted = None if quantity is None else Decimal(quantity)
        self.nudge()

    def move(self, bid: float, ask: float) -> None:
        self.server.exchange.apply(market_event(bid, ask, self.server.exchange.now))

    def nudge(self) -> None:
        """A quote that differs from the last one in its sizes alone."""
        top = self.server.exchange.quote(self.con_id)
        assert top is not None
        assert top.bid_size is not None
        event = market_event(float(top.bid or 0), float(top.ask or 0), self.server.exchange.now, top.bid_size + 100)
        self.server.exchange.apply(event)

    def play(self, kind: str, duration_s: float = 0.0, **more: Any) -> asyncio.Task[None]:
        """Begin a fault of the link now; the task ends with it."""
        fault = LinkFault(at_s=0, kind=kind, duration_s=duration_s, **more)  # type: ignore[arg-type]
        self.server.faults = Faults(link=(fault,))
        self.server.gateway.traffic.injector = FaultInjector(self.server.faults)
        self._plays.append(asyncio.create_task(play_link_faults(self.server)))
        return self._plays[-1]

    def inject(self, **faults: Any) -> None:
        """Let the gateway's reports be faulty from now on."""
        self.server.gateway.traffic.injector = FaultInjector(Faults(**faults))

    def place_elsewhere(self, order_ref: str, *, client_id: int, order_id: int, price: str = "60.00") -> None:
        """An order of the same account that this service did not send; it rests."""
        self.server.exchange.place(
            OrderRequest(
                client_id=client_id,
                order_id=order_id,
                con_id=self.con_id,
                side=Side.BUY,
                quantity=Decimal(100),
                order_type=OrderType.LIMIT,
                limit_price=Decimal(price),
                order_ref=order_ref,
            )
        )

    # -- what a test sees

    @property
    def core(self) -> Core:
        return self.service.engine.core

    @property
    def ready(self) -> bool:
        return hasattr(self.service, "engine") and not self.core.problems

    @property
    def con_id(self) -> int:
        return self.server.exchange.book.by_key("AAPL").con_id  # type: ignore[union-attr]

    @property
    def position(self) -> Decimal:
        return self.core.ledger.position("AAPL")

    def of(self, kind: type[F]) -> list[F]:
        return [fact for fact in self.facts if isinstance(fact, kind)]

    def open(self) -> list[str]:
        """References of the orders that live at the gateway."""
        return [view.request.order_ref for view in self.server.exchange.open_orders()]

    def placed(self) -> list[Fields]:
        """The orders that left the service, as frames."""
        return [fields for fields in self.wire.sent if fields[0] == PLACE]

    async def until(self, condition: Callable[[], Any], what: str) -> Any:
        """Wait until ``condition`` holds; it is looked at whenever the service tells something."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not (answer := condition()):
                    if self._task is not None and self._task.done():
                        self._task.result()
                    self._told.clear()
                    await self._told.wait()
                return answer
        except TimeoutError:
            told = "\n".join(str(fact) for fact in self.facts[-20:] if "Timer" not in type(fact).__name__)
            raise AssertionError(f"waited {PATIENCE_S:.0f} s for {what}; the last facts:\n{told}") from None

    async def pass_by(self, count: int) -> None:
        """Let the service's timer come round ``count`` times: long enough for it to do what it should not do."""
        for _ in range(count):
            self._told.clear()
            await self._told.wait()

    async def readyz(self) -> tuple[int, str]:
        """The status and the problems that /readyz tells."""
        status, body = await self._get("/readyz")
        return status, "; ".join(json.loads(body)["problems"])

    async def metrics(self) -> dict[str, float]:
        """Every sample of /metrics, by its name with labels."""
        _, body = await self._get("/metrics")
        samples = (line.rpartition(" ") for line in body.splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, _, value in samples}

    async def _get(self, path: str) -> tuple[int, str]:
        server = self.service._observability.exporter._server
        assert server is not None
        reader, writer = await asyncio.open_connection("127.0.0.1", server.sockets[0].getsockname()[1])
        writer.write(f"GET {path} HTTP/1.0\r\n\r\n".encode())
        head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
        writer.close()
        await writer.wait_closed()
        return int(head.split(" ", 2)[1]), body

    def _watch(self, fact: AnyFact) -> None:
        self.facts.append(fact)
        self._told.set()

    # -- the final truth

    async def settle(self, position: int, *, orders: int = 0) -> None:
        """Wait until the service is ready with this position and so many working orders, then compare every book."""
        await self.until(
            lambda: self.ready and self.position == position and len(self.core.orders.open()) == orders,
            f"a position of {position} and {orders} orders",
        )
        await self.until(self._executions_agree, "the executions to agree")
        await self.until(self._commissions_agree, "the commissions to agree")
        theirs = {line.contract.symbol: line.quantity for line in self.server.exchange.positions() if line.quantity}
        assert {symbol: held for symbol, held in self.core.ledger.positions().items() if held} == theirs
        assert sorted(order.order_ref for order in self.core.orders.open()) == sorted(self.open())
        self._assert_nothing_was_sent_twice()
        assert (await self.readyz())[0] == 200

    def _executions_agree(self) -> bool:
        booked = {fact.line.exec_id for fact in self.of(FillBooked)}
        return booked == {item.exec_id for item in self.server.exchange.executions()}

    def _commissions_agree(self) -> bool:
        booked = {fact.line.exec_id: fact.line.amount for fact in self.of(CommissionBooked)}
        known = [self.server.exchange.commission(item.exec_id) for item in self.server.exchange.executions()]
        return booked == {report.exec_id: report.amount for report in known if report is not None}

    def _assert_nothing_was_sent_twice(self) -> None:
        placed = self.placed()
        refs = Counter(field for fields in placed for field in fields if field.startswith("ibt-"))
        order_ids = Counter(fields[1] for fields in placed)
        assert [name for name, times in (refs + order_ids).items() if times > 1] == []
        intended = {fact.order_ref: fact.approved.intent.terms.quantity for fact in self.of(OrderIntended)}
        assert set(refs) <= set(intended)
        filled: Counter[str] = Counter()
        for item in self.server.exchange.executions():
            filled[item.order.request.order_ref] += int(item.quantity)
        assert [ref for ref, quantity in filled.items() if quantity > intended.get(ref, 0)] == []


@asynccontextmanager
async def bench(
    folder: Path, *, start: datetime = MONDAY, options: ExchangeOptions | None = None, **changes: dict[str, Any]
) -> AsyncIterator[Bench]:
    """A bench with a service that is ready to trade."""
    made = Bench(folder, start, options)
    await made.begin(**changes)
    try:
        await made.serve()
        yield made
    finally:
        await made.end()


# -- what several incidents need


def without(*kinds: str) -> Any:
    """Frames of these kinds are lost."""

    def drop(fields: Fields) -> Iterable[Fields]:
        return () if fields[0] in kinds else (fields,)

    return drop


def is_working(b: Bench) -> bool:
    return [order.state for order in b.core.orders.open()] == [OrderState.WORKING]


def states_of(b: Bench, order_ref: str) -> list[OrderState]:
    return [fact.new for fact in b.of(OrderStateChanged) if fact.order_ref == order_ref]


async def rest(b: Bench, quantity: int = 100) -> str:
    """Wish for a position, and wait until its order rests at the gateway; its reference."""
    b.wish(quantity)
    await b.until(lambda: is_working(b) and b.open(), "an order that rests")
    return b.core.orders.open()[0].order_ref
