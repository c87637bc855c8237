"""Plays drills on one stack: fault, page, repair, resolve, each with its bound.

Rules: the stack is real and its files are the shipped ones at another speed, with tickets at any hour. Drills run
beside each other under instances of their own; those that the whole stack feels run alone, at the end. A drill that
cannot be played is a failed drill and does not end the others.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec

from trader.clock import NANOSECONDS_PER_SECOND, Clock, SystemClock
from trader.drills.bench import Bench
from trader.drills.deadman import DeadMan
from trader.drills.errors import DrillError
from trader.drills.model import Drill, DrillResult, On
from trader.drills.scale import TimeScale, hold_of, keep_of, scaled_rules
from trader.drills.session import SESSION_FILE, session_text
from trader.drills.stack_drills import RESEND_S
from trader.drills.steps import settle
from trader.drills.targets import JOBS, Targets
from trader.settings import Settings
from trader.stack import ALERTS_FOLDER, Notice, Programs, Stack, StackError, StackOptions
from trader.stack.files import duration, read_yaml, write_yaml

INTERVAL_S: Final = 1.0
TIMING_S: Final = {"group_wait": 0.0, "group_interval": 1.0, "repeat_interval": 4.0}
# The heartbeat comes every few seconds; so much silence is an alarm.
SILENCE_S: Final = 15.0
# A scrape, an evaluation and Alertmanager's rounds, on a machine that does other things too.
SLACK_S: Final = 10.0
POLL_S: Final = 0.05


class DrillOptions(msgspec.Struct, frozen=True, kw_only=True):
    """``factor`` is shipped seconds per drilled second; ``parallel`` drills run at a time.

    ``live`` is the configuration of the service that drills must not reach.
    """

    folder: Path
    factor: float = 60.0
    parallel: int = 3
    alerts: Path = ALERTS_FOLDER
    live: Settings | None = None
    programs: Programs | None = None


class Range:
    """Where drills are played: the stack, and the targets that are there now."""

    def __init__(
        self, options: DrillOptions, stack: Stack, targets: Targets, deadman: DeadMan, clock: Clock | None = None
    ) -> None:
        self.options = options
        self.stack = stack
        self.targets = targets
        self.deadman = deadman
        self.clock = clock or SystemClock()
        self.rules = stack.folder / "rules"


@asynccontextmanager
async def drill_range(options: DrillOptions) -> AsyncIterator[Range]:
    """The stack that drills are played on; raises StackError."""
    alerts = options.folder / "alerts"
    targets = Targets(options.folder / "targets")
    prepare_alerts(options.alerts, alerts, TimeScale(factor=options.factor), targets)
    stack_folder = options.folder / "stack"
    (stack_folder / "textfile").mkdir(parents=True, exist_ok=True)
    (stack_folder / "textfile" / f"{SESSION_FILE}.prom").write_text(session_text())
    deadman = DeadMan()
    await deadman.start()
    settings = StackOptions(
        folder=stack_folder, alerts=alerts, scrape_interval_s=INTERVAL_S,
        timing_s=TIMING_S, resend_s=RESEND_S, calendar=None, receivers={"dead-man": deadman.url},
        programs=options.programs, targets={job: [{"targets": []}] for job in JOBS},
    )  # fmt: skip
    try:
        async with Stack(settings) as stack:
            targets.add("node", "localhost", stack.node_exporter.url.removeprefix("http://"))
            yield Range(options, stack, targets, deadman)
    finally:
        await deadman.stop()


def prepare_alerts(shipped: Path, folder: Path, scale: TimeScale, targets: Targets) -> None:
    """The shipped files at ``scale``; tickets leave at any hour, because a drill cannot wait for Monday."""
    folder.mkdir(parents=True, exist_ok=True)
    scaled_rules(shipped / "rules", folder / "rules", scale)
    prometheus = targets.read_by(read_yaml(shipped / "prometheus.yml"))
    prometheus["global"] = {**prometheus["global"], "evaluation_interval": duration(INTERVAL_S)}
    write_yaml(folder / "prometheus.yml", prometheus)
    routes = read_yaml(shipped / "alertmanager.yml")
    _at_any_hour(routes["route"])
    write_yaml(folder / "alertmanager.yml", routes)


def _at_any_hour(route: dict[str, Any]) -> None:
    route.pop("active_time_intervals", None)
    route.pop("mute_time_intervals", None)
    for child in route.get("routes") or []:
        _at_any_hour(child)


async def play_all(
    options: DrillOptions, drills: Sequence[Drill], told: Callable[[DrillResult], None]
) -> list[DrillResult]:
    """Play ``drills``; ``told`` hears of each as it ends. Raises StackError when there is no stack to play on."""
    results: list[DrillResult] = []

    def done(result: DrillResult) -> None:
        results.append(result)
        told(result)

    async with drill_range(options) as place:
        room = asyncio.Semaphore(options.parallel)

        async def beside(drill: Drill) -> None:
            async with room:
                done(await play(place, drill))

        await asyncio.gather(*(beside(drill) for drill in drills if not drill.alone))
        for drill in drills:
            if drill.alone:
                done(await play(place, drill))
    return results


async def play(place: Range, drill: Drill) -> DrillResult:
    """One drill, from a bench of its own to the resolve."""
    instance = f"{drill.alert}-{drill.severity}".lower()
    folder = place.options.folder / instance
    bench = Bench(
        instance, folder, place.stack, place.targets, place.deadman, drill.config, place.clock, place.options.live
    )
    result = DrillResult(alert=drill.alert, severity=drill.severity, fault=drill.fault, on=drill.on)
    try:
        await _set_up(place, drill, bench)
        meet = _silence_and_heartbeat if drill.by_silence else _page_and_resolve
        return await meet(place, drill, bench, result)
    except (DrillError, StackError, OSError) as error:
        return msgspec.structs.replace(result, problem=f"could not be played: {error}")
    finally:
        await bench.stop()
        for job in JOBS:
            place.targets.remove(job, instance)


async def _set_up(place: Range, drill: Drill, bench: Bench) -> None:
    """The bench, scraped and as it should be, before anything is broken."""
    if drill.on is On.SERVICE:
        await bench.start()
        place.targets.add("trader", bench.instance, bench.trader_address)
    elif drill.on is not On.STACK:
        bench.standin.set(drill.series)
        await bench.standin.start()
        job = "trader" if drill.on is On.TRADER_STANDIN else "node"
        place.targets.add(job, bench.instance, bench.standin.address)
    await _until_scraped(place, drill, bench.instance)
    await drill.prepare(bench)
    await settle(bench)


async def _until_scraped(place: Range, drill: Drill, instance: str) -> None:
    if drill.on is On.STACK:
        return
    for _ in range(100):
        if any(sample.value == 1 for sample in await place.stack.query(f'up{{instance="{instance}"}}')):
            return
        await asyncio.sleep(0.2)
    raise DrillError(f"Prometheus did not scrape {instance} within 20 s")


async def _page_and_resolve(place: Range, drill: Drill, bench: Bench, result: DrillResult) -> DrillResult:
    hold_s = hold_of(place.rules, drill.alert, drill.severity)
    keep_s = keep_of(place.rules, drill.alert, drill.severity)
    page_bound_s = hold_s + drill.detect_s + 2 * INTERVAL_S + SLACK_S
    resolve_bound_s = keep_s + drill.clear_s + 2 * INTERVAL_S + SLACK_S
    # What fired between two drills, such as that there is no trader, gets the time to end.
    if await _within(place, lambda: not _fires(place, drill), resolve_bound_s) is None:
        return msgspec.structs.replace(result, problem="it fired before there was a fault")
    began_ns = place.clock.monotonic_ns()
    await drill.inject(bench)
    injected_ns = place.clock.monotonic_ns()
    paged = await _wait_for(place, drill, "firing", began_ns, injected_ns, page_bound_s)
    await drill.repair(bench)
    repaired_ns = place.clock.monotonic_ns()
    resolved = await _wait_for(place, drill, "resolved", injected_ns, repaired_ns, resolve_bound_s) if paged else None
    return msgspec.structs.replace(
        result,
        page_s=_seconds(injected_ns, paged),
        page_bound_s=page_bound_s,
        resolve_s=_seconds(repaired_ns, resolved),
        resolve_bound_s=resolve_bound_s,
        summary=paged.annotations.get("summary", "") if paged else "",
        problem="" if resolved else f"no resolve within {resolve_bound_s:.0f} s" if paged
        else f"no page within {page_bound_s:.0f} s",
    )  # fmt: skip


async def _silence_and_heartbeat(place: Range, drill: Drill, bench: Bench, result: DrillResult) -> DrillResult:
    """The heartbeat has to stay away, and to come back."""
    page_bound_s, resolve_bound_s = drill.detect_s + SILENCE_S + SLACK_S, drill.clear_s + SLACK_S
    if not await _within(place, lambda: place.deadman.silent_s() < SILENCE_S, SILENCE_S):
        return msgspec.structs.replace(result, problem="there was no heartbeat before there was a fault")
    await drill.inject(bench)
    silent_after_s = await _within(place, lambda: place.deadman.silent_s() >= SILENCE_S, page_bound_s)
    await drill.repair(bench)
    back_after_s = await _within(place, lambda: place.deadman.silent_s() < SILENCE_S, resolve_bound_s)
    return msgspec.structs.replace(
        result,
        page_s=silent_after_s,
        page_bound_s=page_bound_s,
        resolve_s=back_after_s,
        resolve_bound_s=resolve_bound_s,
        summary="the dead-man's switch heard nothing",
        problem="" if silent_after_s and back_after_s else "the heartbeat did not stay away and come back",
    )


async def _within(place: Range, holds: Callable[[], bool], bound_s: float) -> float | None:
    """After how many seconds ``holds`` did; None when it did not within the bound."""
    began_ns = place.clock.monotonic_ns()
    while (waited_s := (place.clock.monotonic_ns() - began_ns) / NANOSECONDS_PER_SECOND) <= bound_s:
        if holds():
            return max(POLL_S, round(waited_s, 1))
        await asyncio.sleep(POLL_S)
    return None


async def _wait_for(
    place: Range, drill: Drill, status: str, since_ns: int, from_ns: int, bound_s: float
) -> Notice | None:
    """The first notice of this drill since then; None when there is none within the bound, counted from ``from_ns``."""
    deadline_ns = from_ns + int(bound_s * NANOSECONDS_PER_SECOND)
    while True:
        notice = _first(place, drill, status, since_ns)
        if notice is not None or place.clock.monotonic_ns() > deadline_ns:
            return notice
        await asyncio.sleep(POLL_S)


def _fires(place: Range, drill: Drill) -> bool:
    """Whether the last that was heard of this drill's alert is that it fires."""
    fired, resolved = _last_ns(place, drill, "firing"), _last_ns(place, drill, "resolved")
    return fired > resolved


def _last_ns(place: Range, drill: Drill, status: str) -> int:
    return max((notice.monotonic_ns for notice in _notices(place, drill, status)), default=0)


def _first(place: Range, drill: Drill, status: str, since_ns: int) -> Notice | None:
    return next((notice for notice in _notices(place, drill, status) if notice.monotonic_ns >= since_ns), None)


def _notices(place: Range, drill: Drill, status: str) -> list[Notice]:
    """What came about this drill's alert, oldest first."""
    wanted = {"severity": drill.severity, **drill.labels}
    if drill.by_instance and drill.on is not On.STACK:
        wanted["instance"] = f"{drill.alert}-{drill.severity}".lower()
    found = place.stack.inbox.received(drill.alert, status, drill.severity)
    return [notice for notice in found if all(notice.labels.get(key) == value for key, value in wanted.items())]


def _seconds(since_ns: int, notice: Notice | None) -> float | None:
    """Seconds from when a step was done; 0 when the notice came while it was being done."""
    return None if notice is None else max(0.0, round((notice.monotonic_ns - since_ns) / NANOSECONDS_PER_SECOND, 1))
