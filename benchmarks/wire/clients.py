"""The clients under measurement as processes: the whole service as a user runs it, and bare ones in other libraries.

Rules: a client lives for one turn and is ended with it, whatever happens. The service has its journal, risk, ledger,
metrics, logs and traces as they are by default; only its limits are wider, so that they refuse no order, and its
strategy is the benchmark's.
"""

import contextlib
import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec
import yaml

from benchmarks.options import BenchmarkFailed, Options
from benchmarks.wire.environments import LIBRARIES, ROOT, Library, interpreter
from benchmarks.wire.feeder import Feeder
from benchmarks.wire.processors import on_processor
from benchmarks.wire.scraper import Scraper
from trader.drills.pair import environment
from trader.stack.children import free_port

SERVICE: Final = "ibkr-trading"
CLIENT_PROCESSOR: Final = 1
READY_TIMEOUT_S: Final = 1.0
SAID_MAX_CHARACTERS: Final = 600


class Client(msgspec.Struct, frozen=True, kw_only=True):
    """``start(folder, port, symbols)`` gives the command that trades at the gateway on ``port``."""

    name: str
    start: Callable[[Path, int, Sequence[str]], "Started"]


class Started(msgspec.Struct, frozen=True, kw_only=True):
    """``metrics_port`` is 0 for a client without metrics."""

    command: tuple[str, ...]
    metrics_port: int = 0


class Running:
    """One client's process."""

    def __init__(self, process: "subprocess.Popen[bytes]", said: Path, metrics_port: int) -> None:
        self.scraper = Scraper(metrics_port) if metrics_port else None
        self._process = process
        self._said = said
        self._metrics_port = metrics_port

    def ready(self) -> bool:
        """Whether it would send an order on a marker; BenchmarkFailed when it has ended."""
        if self._process.poll() is not None:
            raise BenchmarkFailed(f"the client ended with {self._process.returncode}: {self.words()}")
        if not self._metrics_port:
            return True
        try:
            url = f"http://127.0.0.1:{self._metrics_port}/readyz"
            with urllib.request.urlopen(url, timeout=READY_TIMEOUT_S) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def words(self) -> str:
        """The end of what it wrote."""
        return self._said.read_text(errors="replace").strip()[-SAID_MAX_CHARACTERS:] or "it said nothing"

    def step(self) -> None:
        if self.scraper is not None:
            self.scraper.step()

    async def scrape(self, feeder: Feeder) -> str:
        """The whole answer to a scrape that begins now; empty for a client without metrics."""
        scraper = self.scraper
        if scraper is None:
            return ""
        await feeder.idle(lambda: not scraper.busy)
        before = scraper.scrapes
        await feeder.idle(lambda: scraper.scrapes > before)
        return scraper.answer


@contextlib.contextmanager
def running(client: Client, folder: Path, port: int, symbols: Sequence[str]) -> Iterator[Running]:
    """``client`` on its processor until the end of the block."""
    started = client.start(folder, port, symbols)
    said = folder / "client.log"
    variables = {**environment(), "PYTHONPATH": str(ROOT)}
    with said.open("wb") as log, on_processor(CLIENT_PROCESSOR):
        process = subprocess.Popen(
            started.command, cwd=folder, env=variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
    try:
        yield Running(process, said, started.metrics_port)
    finally:
        process.kill()
        process.wait()


def service(name: str = SERVICE, **market_data: Any) -> Client:
    """The whole service, with ``market_data`` settings other than the defaults."""

    def start(folder: Path, port: int, symbols: Sequence[str]) -> Started:
        metrics_port = free_port()
        file = folder / "config.yaml"
        file.write_text(yaml.safe_dump(configuration(port, metrics_port, symbols) | {"market_data": market_data}))
        command = (sys.executable, "-m", "trader", "run", "--config", str(file))
        return Started(command=command, metrics_port=metrics_port)

    return Client(name=name, start=start)


def configuration(port: int, metrics_port: int, symbols: Sequence[str]) -> dict[str, Any]:
    """What differs from the defaults: where, what, a market that never closes, and limits that refuse nothing here."""
    return {
        "mode": "simulated",
        "instruments": list(symbols),
        "gateway": {"port": port},
        "strategy": {"name": "benchmarks.wire.strategy:OnMarker"},
        "session": {"calendar": "always", "flatten_before_close_s": 0, "no_entries_before_close_s": 0},
        "risk": {
            "max_order_notional": 10_000_000, "max_position_notional": 10_000_000, "max_gross_exposure": 100_000_000,
            "max_orders_per_minute": 2_000, "max_open_orders": 500, "daily_loss_limit": 100_000_000,
        },
        "metrics": {"port": metrics_port},
    }  # fmt: skip


def bare(library: Library, python: Path) -> Client:
    """A client in ``library`` that does nothing but send."""

    def start(_folder: Path, port: int, symbols: Sequence[str]) -> Started:
        script = Path(__file__).with_name(library.script)
        # Not as a module of this package: the other environments do not have what the package needs.
        return Started(command=(str(python), str(script), *library.arguments, str(port), *symbols))

    return Client(name=f"bare {library.name}", start=start)


def bare_clients(options: Options) -> tuple[list[Client], list[str]]:
    """The bare clients that can be had here, and a note on each that cannot."""
    clients, notes = list[Client](), list[str]()
    for library in LIBRARIES:
        try:
            python = interpreter(library, may_install=not options.quick)
        except BenchmarkFailed as failure:
            notes.append(f"{failure}.")
        else:
            clients.append(bare(library, python))
    return clients, notes


def processors() -> int:
    return len(os.sched_getaffinity(0))
