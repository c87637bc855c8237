"""The faults and their repairs, as small functions of a bench; the table of drills is made of them.

Rules: a step returns when its fault is in place, not when anything was noticed.
"""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from decimal import Decimal
from typing import Any, Final, TypeAlias

from trader.clock import SystemClock
from trader.control_messages import Command
from trader.drills.bench import Bench
from trader.drills.errors import DrillError
from trader.drills.pair import SYMBOLS
from trader.drills.standin import Value
from trader.stack import StackError

Step: TypeAlias = Callable[[Bench], Awaitable[None]]

FOR_EVER_S: Final = 3600.0
CRASHES: Final = 4


def steps(*parts: Step) -> Step:
    """One after the other."""

    async def run(bench: Bench) -> None:
        for part in parts:
            await part(bench)

    return run


async def nothing(bench: Bench) -> None:
    """What happened is over by itself."""


# -- the gateway


async def stop_gateway(bench: Bench) -> None:
    await bench.stop_simulator()


async def start_gateway(bench: Bench) -> None:
    await bench.start_simulator()


async def hang_gateway(bench: Bench) -> None:
    bench.signal_simulator(signal.SIGSTOP)


async def unhang_gateway(bench: Bench) -> None:
    bench.signal_simulator(signal.SIGCONT)


def gateway_with(symbols: str = SYMBOLS, **faults: Any) -> Step:
    """The gateway is restarted with ``faults``, and the service is back on it."""

    async def run(bench: Bench) -> None:
        await bench.restart_simulator(faults, symbols=symbols)
        await bench.until(lambda snapshot: snapshot.connection.connected, "the service to be connected again")

    return run


def link(kind: str, at_s: float = 0.0, duration_s: float = FOR_EVER_S, **more: Any) -> dict[str, Any]:
    """A fault of the link for a faults file."""
    return {"kind": kind, "at_s": at_s, "duration_s": duration_s, **more}


healthy_gateway = gateway_with()


async def forget_positions(bench: Bench) -> None:
    """The broker does not know any more what it held for us."""
    await bench.restart_simulator(forgetful=True)


# -- the service


def steer(**changes: Any) -> Step:
    """The strategy does otherwise from its next decision on."""

    async def run(bench: Bench) -> None:
        bench.steer(**changes)

    return run


def reload(**changes: Any) -> Step:
    """The service gets another configuration."""

    async def run(bench: Bench) -> None:
        bench.reload(**changes)

    return run


async def break_configuration(bench: Bench) -> None:
    bench.reload(risk={"daily_loss_limit": -1})


def hold(quantity: int) -> Step:
    """The service wants, and gets, a position."""

    async def run(bench: Bench) -> None:
        bench.steer(quantity=quantity)
        wanted = Decimal(quantity)
        await bench.until(
            lambda snapshot: sum((p.quantity for p in snapshot.positions), Decimal(0)) == wanted,
            f"a position of {quantity}",
        )

    return run


async def order_that_works(bench: Bench) -> None:
    """An order that is at the broker and does not trade."""
    bench.steer(quantity=100)
    await bench.until(lambda snapshot: bool(snapshot.open_orders), "an order at the broker")


def loss_limit(used_ratio: float) -> Step:
    """The daily loss limit becomes so small that ``used_ratio`` of it is lost already."""

    async def run(bench: Bench) -> None:
        snapshot = await bench.until(lambda s: bool(s.pnl_base.net and s.pnl_base.net < 0), "a loss")
        assert snapshot.pnl_base.net is not None
        bench.reload(risk={"daily_loss_limit": float(round(-snapshot.pnl_base.net / Decimal(str(used_ratio)), 4))})

    return run


async def kill(bench: Bench) -> None:
    await bench.kill_service()


async def start(bench: Bench) -> None:
    await bench.start_service()


async def crash_again_and_again(bench: Bench) -> None:
    for _ in range(CRASHES):
        await bench.kill_service()
        await bench.start_service()


async def few_files(bench: Bench) -> None:
    """The limit of open files comes down to just above what is open."""
    bench.limit_open_files(bench.open_files() + 2)


async def many_files(bench: Bench) -> None:
    bench.limit_open_files(None)


async def take_journal_away(bench: Bench) -> None:
    """The journal's file gets another name; what the service has open is the same file."""
    bench.journal_file.rename(bench.journal_file.with_suffix(".away"))


async def bring_journal_back(bench: Bench) -> None:
    bench.journal_file.with_suffix(".away").rename(bench.journal_file)


async def raise_panic_flag(bench: Bench) -> None:
    bench.panic_flag.touch()


async def resume(bench: Bench) -> None:
    """What an operator types once the cause is mended; a panic has to be done before."""
    await bench.until(lambda snapshot: snapshot.trading_state != "panic" or snapshot.panic_completed, "the panic's end")
    await bench.tell(Command.RESUME, accept_positions=True)


# -- the stand-in exporter


def shows(**series: Value | None) -> Step:
    """The stand-in exporter shows these; names of labels are written with ``series_of``."""
    return shows_series(series)


def shows_series(series: dict[str, Value | None]) -> Step:
    """The stand-in exporter shows these series."""

    async def run(bench: Bench) -> None:
        bench.standin.set(series)

    return run


def steps_up(name: str, amount: float = 1.0) -> Step:
    """A counter of the stand-in exporter steps."""

    async def run(bench: Bench) -> None:
        bench.standin.add(name, amount)

    return run


async def stop_exporter(bench: Bench) -> None:
    await bench.standin.stop()


async def start_exporter(bench: Bench) -> None:
    await bench.standin.start()


# -- metrics files and the stack


def textfile(name: str, series: dict[str, float], from_now: dict[str, float] | None = None) -> Step:
    """A metrics file with ``series``, and with ``from_now`` as Unix times so many seconds from now."""

    async def run(bench: Bench) -> None:
        now_s = SystemClock().now().timestamp()
        values = {**series, **{key: now_s + seconds for key, seconds in (from_now or {}).items()}}
        bench.write_textfile(name, "".join(f"{key} {value}\n" for key, value in values.items()))

    return run


def no_textfile(name: str) -> Step:
    async def run(bench: Bench) -> None:
        bench.remove_textfile(name)

    return run


def broken_textfile(name: str) -> Step:
    async def run(bench: Bench) -> None:
        bench.write_textfile(name, "this is { no metric\n")

    return run


async def fail_a_rule(bench: Bench) -> None:
    """A rule that cannot be evaluated, because many match many."""
    (bench.stack.folder / "rules" / "drill.rules.yml").write_text(
        "groups:\n  - name: drill\n    rules:\n      - record: drill:broken\n"
        "        expr: scrape_duration_seconds * on () scrape_samples_scraped\n"
    )
    await bench.stack.reload()


async def mend_the_rule(bench: Bench) -> None:
    (bench.stack.folder / "rules" / "drill.rules.yml").unlink(missing_ok=True)
    await bench.stack.reload()


async def break_prometheus_file(bench: Bench) -> None:
    file = bench.stack.folder / "prometheus.yml"
    file.rename(file.with_suffix(".good"))
    file.write_text("global: {scrape_interval: never}\n")
    try:
        await bench.stack.reload()
    except StackError:
        return
    raise DrillError("Prometheus accepted a configuration that is none")


async def mend_prometheus_file(bench: Bench) -> None:
    file = bench.stack.folder / "prometheus.yml"
    file.with_suffix(".good").replace(file)
    await bench.stack.reload()


async def stop_prometheus(bench: Bench) -> None:
    await bench.stack.prometheus.stop()


async def start_prometheus(bench: Bench) -> None:
    await bench.stack.prometheus.start()


async def break_receiver(bench: Bench) -> None:
    """One receiver refuses what Alertmanager sends."""
    bench.deadman.broken = True


async def mend_receiver(bench: Bench) -> None:
    bench.deadman.broken = False


async def forget_trader(bench: Bench) -> None:
    """Prometheus is told of no trader any more."""
    bench.targets.remove("trader", bench.instance)


async def remember_trader(bench: Bench) -> None:
    bench.targets.add("trader", bench.instance, bench.standin.address)


async def forget_host(bench: Bench) -> None:
    """Prometheus is told of no node_exporter any more."""
    bench.targets.remove("node", "localhost")


async def remember_host(bench: Bench) -> None:
    bench.targets.add("node", "localhost", bench.stack.node_exporter.url.removeprefix("http://"))


async def settle(bench: Bench) -> None:
    """Leave time for a sample or two of what was, so that a rate has something to compare with."""
    await asyncio.sleep(3.0)
