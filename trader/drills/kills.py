"""The service is killed at random moments while it trades, again and again; then its books must be the broker's.

Rules: the service is the one that ``trader run`` starts, on the gateway that ``trader simulate`` starts, both real
processes; the kill is SIGKILL, at moments that the seed gives. It is started again at once, also while the gateway's
port is away. After each recovery the broker is asked over a connection of the drill's own: every execution is in the
journal exactly once, no reference has two permIds, nothing lives at the broker that the journal does not intend, and
positions are the same. Nothing of it can reach a live service.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from random import Random
from statistics import median, quantiles
from typing import Any, Final

import msgspec

from trader.clock import NANOSECONDS_PER_SECOND, AnchoredClock, Clock, SystemClock
from trader.drills.doorway import Doorway
from trader.drills.errors import DrillError
from trader.drills.isolation import free_client_ids
from trader.drills.killed_books import KilledBooks
from trader.drills.pair import SYMBOLS, Pair
from trader.events import AnyFact
from trader.gateway.ib import IbGateway
from trader.settings import Settings
from trader.snapshot import Snapshot
from trader.stack.children import free_port

KILLS_MAX: Final = 10_000
READY_BOUND_S: Final = 10.0
"""Ready again within so long, counted from the start or from the port's return, whatever is later."""
PATIENCE_S: Final = 30.0
POLL_S: Final = 0.02
SPEED: Final = 10.0
POSITION: Final = 100
TRADES_S: Final = (0.0, 0.7)
STARTS_S: Final = (0.05, 1.0)
AWAY_S: Final = (0.5, 2.0)
# Of so many kills one falls into a start, and one takes the gateway's port with it.
KILLED_STARTING: Final = 5
PORT_AWAY: Final = 8
FAULTS: Final[dict[str, Any]] = {
    "report_delay_s": 0.01,
    "late_ack_ratio": 0.3,
    "ack_delay_s": 0.15,
    "execution_delay_ratio": 0.3,
    "execution_delay_s": 0.1,
    "commission_late_ratio": 0.3,
    "commission_delay_s": 0.2,
    "duplicate_status_ratio": 0.3,
}
"""What is under way at the broker for a while is what a kill can tear apart."""


class KillOptions(msgspec.Struct, frozen=True, kw_only=True):
    """``live`` is the installed configuration, which must stay out of reach."""

    folder: Path
    kills: int = 200
    seed: int = 0
    live: Settings | None = None


class KillResult(msgspec.Struct, frozen=True, kw_only=True):
    """One kill and the recovery from it; a second kill into the start when ``starting``.

    ``moment_s`` is for how long it traded before; ``away_s`` for how long the port was away, None when it stayed.
    ``ready_s`` counts from the last start or from the port's return, whatever was later, and is None when it was not
    ready in time. ``orders`` and ``executions`` are those that became known with this recovery.
    """

    number: int
    moment_s: float
    starting: bool = False
    away_s: float | None = None
    ready_s: float | None = None
    orders: int = 0
    executions: int = 0
    problems: tuple[str, ...] = ()

    @property
    def kills(self) -> int:
        return 2 if self.starting else 1


class KillReport(msgspec.Struct, frozen=True, kw_only=True):
    """What came of all of them. Times are seconds; ``ready_*`` are None when nothing was measured."""

    seed: int
    kills: int
    orders: int
    executions: int
    lost: int
    doubled: int
    problems: tuple[str, ...]
    ready_min_s: float | None
    ready_median_s: float | None
    ready_p99_s: float | None
    ready_max_s: float | None
    port_returns: int
    ready_after_port_max_s: float | None
    duration_s: float

    @property
    def passed(self) -> bool:
        return not self.problems


class _Range:
    """What the kills happen on, and what is known of the broker and the journal so far."""

    def __init__(self, options: KillOptions, pair: Pair, door: Doorway, broker: IbGateway, clock: Clock) -> None:
        self.random = Random(options.seed)
        self.pair = pair
        self.door = door
        self.books = KilledBooks(pair.journal_url, broker)
        self.clock = clock
        self.launched_ns = clock.monotonic_ns()

    def since_s(self, moment_ns: int) -> float:
        return (self.clock.monotonic_ns() - moment_ns) / NANOSECONDS_PER_SECOND


async def play_kills(
    options: KillOptions, told: Callable[[KillResult], None], clock: Clock | None = None
) -> KillReport:
    """Kill ``options.kills`` times; ``told`` hears of each. Raises DrillError, StackError or GatewayError."""
    clock = clock or SystemClock()
    began_ns = clock.monotonic_ns()
    results: list[KillResult] = []
    async with _kill_range(options, clock) as place:
        await _until_ready(place)
        while (left := options.kills - sum(result.kills for result in results)) > 0:
            result = await _kill(place, len(results) + 1, left)
            results.append(result)
            told(result)
        books = place.books
    duration_s = (clock.monotonic_ns() - began_ns) / NANOSECONDS_PER_SECOND
    return _report(options, results, books, round(duration_s, 1))


@asynccontextmanager
async def _kill_range(options: KillOptions, clock: Clock) -> AsyncIterator[_Range]:
    door_port = free_port()
    strategy: dict[str, Any] = {"parameters": {"file": str(options.folder / "steering.json"), "symbol": SYMBOLS}}
    pair = Pair(
        options.folder, {"gateway": {"port": door_port}, "strategy": strategy}, clock, options.live, speed=SPEED
    )
    door = Doorway(door_port, pair.gateway_port)
    await door.open()
    broker: IbGateway | None = None
    try:
        await pair.start(FAULTS)
        pair.steer(quantity=POSITION)
        broker = _broker(pair, options.live)
        await broker.connect_once()
        yield _Range(options, pair, door, broker, clock)
    finally:
        if broker is not None:
            await broker.close()
        await pair.stop()
        await door.shut()


def _broker(pair: Pair, live: Settings | None) -> IbGateway:
    """A connection of the drill's own, to the gateway itself: it stays when the port goes away."""

    def ignore(fact: AnyFact) -> None: ...

    settings = pair.settings()
    gateway = settings.gateway.model_copy(update={"port": pair.gateway_port})
    settings = settings.model_copy(update={"gateway": gateway})
    return IbGateway(settings, {}, AnchoredClock(), ignore, client_id=free_client_ids(live)[2])


# -- one kill


async def _kill(place: _Range, number: int, left: int) -> KillResult:
    """Trade, kill at a moment, start again at once, perhaps kill that start too; compare once it is ready."""
    random = place.random
    orders, executions = place.books.orders, place.books.executions
    place.pair.steer(quantity=POSITION, turn_every=random.randint(2, 12))
    trades_s = random.uniform(*TRADES_S)
    await asyncio.sleep(trades_s)
    await place.pair.kill_service()
    away_s = random.uniform(*AWAY_S) if random.randrange(PORT_AWAY) == 0 else None
    starting = random.randrange(KILLED_STARTING) == 0 and left > 1
    return_port = await _take_port_away(place, away_s)
    await _launch(place)
    if starting:
        await asyncio.sleep(random.uniform(*STARTS_S))
        await place.pair.kill_service()
        await _launch(place)
    from_ns = max(place.launched_ns, await return_port())
    problems: tuple[str, ...] = ()
    ready_s: float | None = None
    try:
        await _until_ready(place)
        ready_s = round(place.since_s(from_ns), 3)
        if ready_s > READY_BOUND_S:
            problems += (f"ready after {ready_s:.1f} s, and may take {READY_BOUND_S:g} s",)
        problems += tuple(await _compared(place))
    except DrillError as error:
        problems += (str(error),)
    return KillResult(
        number=number, moment_s=round(trades_s, 3), starting=starting, away_s=away_s, ready_s=ready_s,
        orders=place.books.orders - orders, executions=place.books.executions - executions, problems=problems,
    )  # fmt: skip


async def _take_port_away(place: _Range, away_s: float | None) -> Callable[[], Awaitable[int]]:
    """Shut the port for ``away_s``; what is returned waits for its return and says when that was, 0 if it stayed."""
    if away_s is None:
        return _never
    await place.door.shut()

    async def come_back() -> int:
        await asyncio.sleep(away_s)
        await place.door.open()
        return place.clock.monotonic_ns()

    returning = asyncio.create_task(come_back())

    async def returned() -> int:
        return await returning

    return returned


async def _never() -> int:
    return 0


async def _launch(place: _Range) -> None:
    place.launched_ns = place.clock.monotonic_ns()
    await place.pair.launch_service()


async def _until_ready(place: _Range) -> Snapshot:
    return await _until(place, lambda found: found.ready, "the service to be ready")


async def _until(place: _Range, holds: Callable[[Snapshot], bool], what: str) -> Snapshot:
    """As ``Pair.until``, and it looks as often as a time to ready needs."""
    began_ns = place.clock.monotonic_ns()
    while place.since_s(began_ns) < PATIENCE_S:
        if not place.pair.service_runs:
            raise DrillError(f"the service ended by itself: {place.pair.service_log_end()}")
        snapshot = await place.pair.snapshot()
        if snapshot is not None and holds(snapshot):
            return snapshot
        await asyncio.sleep(POLL_S)
    raise DrillError(f"waited {PATIENCE_S:.0f} s for {what}; the service's log ends: {place.pair.service_log_end()}")


async def _compared(place: _Range) -> list[str]:
    """Let trading rest, and say what differs once nothing is under way; it is given the time that a report needs."""
    place.pair.steer(quantity=POSITION, turn_every=0)
    began_ns = place.clock.monotonic_ns()
    while True:
        snapshot = await _until(place, lambda found: not found.open_orders and found.ready, "no order to be open")
        problems = await place.books.compare(snapshot)
        if not problems or place.since_s(began_ns) > READY_BOUND_S:
            return problems
        await asyncio.sleep(POLL_S)


# -- what came of all of them


def _report(options: KillOptions, results: Sequence[KillResult], books: KilledBooks, duration_s: float) -> KillReport:
    ready = sorted(result.ready_s for result in results if result.ready_s is not None and result.away_s is None)
    returned = [result.ready_s for result in results if result.ready_s is not None and result.away_s is not None]
    problems = tuple(f"kill {result.number}: {problem}" for result in results for problem in result.problems)
    return KillReport(
        seed=options.seed, kills=sum(result.kills for result in results), orders=books.orders,
        executions=books.executions, lost=len(books.lost), doubled=len(books.doubled), problems=problems,
        ready_min_s=min(ready, default=None), ready_median_s=round(median(ready), 3) if ready else None,
        ready_p99_s=round(quantiles(ready, n=100)[98], 3) if len(ready) > 1 else None,
        ready_max_s=max(ready, default=None), port_returns=sum(result.away_s is not None for result in results),
        ready_after_port_max_s=max(returned, default=None), duration_s=duration_s,
    )  # fmt: skip
