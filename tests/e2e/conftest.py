"""Real processes: a simulated gateway, the service, and the commands a person types."""

import asyncio
import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from trader.clock import NANOSECONDS_PER_SECOND, AnchoredClock, SystemClock
from trader.control import ControlClient
from trader.control_messages import Command, ControlError
from trader.events import AnyDurableFact, AnyFact, BrokerStateReceived
from trader.gateway.ib import IbGateway
from trader.journal import JournalReader
from trader.settings_file import load_settings
from trader.snapshot import Snapshot

DEADLINE_S = 60.0
PORT_RANGES = 8
POLL_S = 0.05

BUYER = '''
from decimal import Decimal
from trader.strategy.api import Target


class Buyer:
    """Wants a fixed position in SPY from the first quote on."""

    name = "buyer"

    def __init__(self, quantity=100):
        self.quantity = Decimal(quantity)

    def on_quote(self, quote, view):
        return [Target("SPY", self.quantity, "always")] if quote.symbol == "SPY" else []

    def on_schedule(self, view):
        return []


class Turner(Buyer):
    """Holds a position in every instrument for some seconds of the market's time, then none, and so on."""

    name = "turner"

    def __init__(self, quantity=100, period_s=10):
        super().__init__(quantity)
        self.period_s = period_s

    def on_quote(self, quote, view):
        holds = int(quote.at.timestamp() // self.period_s) % 2
        return [Target(quote.symbol, self.quantity * holds, "turn")]


class Everything(Buyer):
    """Wants a fixed position in every instrument."""

    def on_quote(self, quote, view):
        return [Target(quote.symbol, self.quantity, "always")]


class Raiser(Buyer):
    name = "raiser"

    def on_quote(self, quote, view):
        raise RuntimeError("this strategy is broken")
'''


def _own_ports() -> Iterator[int]:
    """Ports below those that the system gives to connections, in any order, none twice.

    Each of the processes that run tests side by side has its own: a port is taken a while after it was found free.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % PORT_RANGES
    own = range(10_000 + worker, 32_000, PORT_RANGES)
    yield from random.SystemRandom().sample(own, len(own))


PORTS = _own_ports()


def free_port() -> int:
    """A port that nobody listens on."""
    for port in PORTS:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
    raise AssertionError("every port was used")


def eventually(check: Callable[[], Any], what: str, more: Callable[[], str] = str) -> Any:
    """The first true answer of ``check``; fails after DEADLINE_S with ``what`` was waited for and ``more``."""
    clock = SystemClock()
    deadline_ns = clock.monotonic_ns() + int(DEADLINE_S * NANOSECONDS_PER_SECOND)
    while clock.monotonic_ns() < deadline_ns:
        answer = check()
        if answer:
            return answer
        time.sleep(POLL_S)
    pytest.fail(f"waited {DEADLINE_S:.0f} s for: {what}\n{more()}")


class Rig:
    """One simulated gateway and one service in ``folder``, as processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "config.yaml"
        self.port = free_port()
        self.metrics_port = free_port()
        self.processes: list[subprocess.Popen[str]] = []
        (folder / "own_strategies.py").write_text(BUYER)
        self.environment = {**os.environ, "PYTHONPATH": str(folder)}

    def configure(self, **changes: Any) -> dict[str, Any]:
        """Write config.yaml: the buyer on a market that never closes, with ``changes`` section by section."""
        values: dict[str, Any] = {
            "mode": "simulated",
            "instruments": ["SPY", "AAPL"],
            "gateway": {"port": self.port},
            "strategy": {"name": "own_strategies:Buyer"},
            "session": {"calendar": "always", "flatten_before_close_s": 0, "no_entries_before_close_s": 0},
            "risk": {"max_order_notional": 100_000, "max_position_notional": 100_000},
            "metrics": {"port": self.metrics_port},
        }
        for section, change in changes.items():
            merged = isinstance(change, dict) and isinstance(values.get(section), dict)
            values[section] = {**values[section], **change} if merged else change
        self.config.write_text(yaml.safe_dump(values))
        return values

    def simulator(self, *arguments: str) -> subprocess.Popen[str]:
        process = self.start("simulate", "--port", str(self.port), "--symbols", "SPY,AAPL", *arguments)
        assert process.stdout is not None
        assert "listening" in process.stdout.readline()
        return process

    def service(self) -> subprocess.Popen[str]:
        """Start the service; its log goes to service.log."""
        with (self.folder / "service.log").open("a") as log:
            return self.start("run", "--config", str(self.config), stderr=log)

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one command to its end."""
        return subprocess.run(
            [sys.executable, "-m", "trader", *arguments, "--config", str(self.config)],
            capture_output=True, text=True, timeout=90, env=self.environment, check=False,
        )  # fmt: skip

    def back_up(self) -> dict[str, Any]:
        """Make one backup, in a second that has none yet; what is told of it."""
        made = self.command("backup", "create", "--json")
        while "made within the same second; try again" in made.stderr:
            made = self.command("backup", "create", "--json")
        assert made.returncode == 0, made.stderr
        told: dict[str, Any] = json.loads(made.stdout)
        return told

    def ask(self, command: Command, **arguments: str) -> None:
        """Tell the service something, as the commands do; fails when it refuses."""
        ControlClient(self.folder / "state" / "control.sock", 5.0).call(command, **arguments)

    def snapshot(self) -> Snapshot | None:
        """What the service says of itself; None when nobody answers."""
        try:
            return ControlClient(self.folder / "state" / "control.sock", 5.0).call(Command.STATUS).value(Snapshot)
        except ControlError:
            return None

    def wait(self, condition: Callable[[Snapshot], bool], what: str) -> Snapshot:
        """Wait until the service's snapshot fulfils ``condition``."""

        def holds() -> Snapshot | None:
            snapshot = self.snapshot()
            return snapshot if snapshot is not None and condition(snapshot) else None

        return eventually(holds, what, lambda: self.log()[-3000:])  # type: ignore[no-any-return]

    def facts(self) -> list[AnyDurableFact]:
        """What the journal holds, also while the service writes it."""
        with JournalReader.open(f"sqlite:///{self.folder}/state/journal.db") as journal:
            return [fact for _, fact in journal.read()]

    def broker_state(self) -> BrokerStateReceived:
        """What the simulated broker holds, asked over a connection of the test's own."""

        async def ask() -> BrokerStateReceived:
            def ignore(fact: AnyFact) -> None: ...

            gateway = IbGateway(load_settings(self.config), {}, AnchoredClock(), ignore, client_id=77)
            await gateway.connect_once()
            try:
                return await gateway.broker_state("a test")
            finally:
                await gateway.close()

        return asyncio.run(ask())

    def log(self) -> str:
        path = self.folder / "service.log"
        return path.read_text() if path.exists() else ""

    def end(self) -> None:
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
            process.wait()
            for pipe in (process.stdout, process.stderr):
                if pipe is not None:
                    pipe.close()

    def start(self, *arguments: str, stderr: Any = subprocess.DEVNULL) -> subprocess.Popen[str]:
        """Start one command; its output can be read, its errors go to ``stderr``."""
        process = subprocess.Popen(
            [sys.executable, "-m", "trader", *arguments],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=stderr, text=True, env=self.environment,
        )  # fmt: skip
        self.processes.append(process)
        return process


@pytest.fixture(name="eventually")
def eventually_fixture() -> Callable[..., Any]:
    return eventually


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    rig.configure()
    try:
        yield rig
    finally:
        rig.end()


@pytest.fixture
def second_rig(tmp_path: Path) -> Iterator[Rig]:
    """A second service in a folder of its own; its simulator's port is to be given."""
    (tmp_path / "second").mkdir()
    rig = Rig(tmp_path / "second")
    try:
        yield rig
    finally:
        rig.end()
