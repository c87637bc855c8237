"""What one drill plays on: a simulated gateway and the service as processes, under an instance label of their own.

Rules: the service is the one that ``trader run`` starts, with shorter waits at the gateway. Its simulated time is the
real one, because rules compare its timestamps with Prometheus's clock. Everything lies in one folder.
"""

import asyncio
import json
import os
import resource
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import aiohttp
import yaml

from trader.clock import NANOSECONDS_PER_SECOND, Clock, SystemClock
from trader.control import ControlClient
from trader.control_messages import Command, ControlError
from trader.drills.deadman import DeadMan
from trader.drills.errors import DrillError
from trader.drills.standin import StandIn
from trader.drills.targets import Targets
from trader.snapshot import Snapshot
from trader.stack import Stack
from trader.stack.children import Child, free_port

SYMBOLS: Final = "SPY,AAPL"
READY_TIMEOUT_S: Final = 40.0
CONTROL_TIMEOUT_S: Final = 5.0
POLL_S: Final = 0.1
LISTENING: Final = "listening on"

Config = dict[str, Any]


class _Simulator(Child):
    """``trader simulate`` serves no HTTP: it says on its output that it listens."""

    said_before = 0

    async def _answers(self, session: aiohttp.ClientSession) -> bool:
        return LISTENING in self._log.read_text(errors="replace")[self.said_before :]

    async def start(self) -> None:
        """Start and wait until it listens."""
        self.said_before = len(self._log.read_text(errors="replace")) if self._log.exists() else 0
        await super().start()


class Bench:
    """``instance`` is the label of its targets; ``config`` changes the service's configuration, section by section."""

    def __init__(
        self,
        instance: str,
        folder: Path,
        stack: Stack,
        targets: Targets,
        deadman: DeadMan,
        config: Config | None = None,
        clock: Clock | None = None,
    ) -> None:
        self.instance = instance
        self.folder = folder
        self.stack = stack
        self.targets = targets
        self.deadman = deadman
        self.standin = StandIn()
        self._clock = clock or SystemClock()
        self._changes = config or {}
        self._gateway_port = free_port()
        self._metrics_port = free_port()
        self._steering: dict[str, Any] = {}
        self._simulator: _Simulator | None = None
        self._service = self._child(
            "service", ["run", "--config", str(folder / "config.yaml")], self._metrics_port, "/metrics"
        )

    # -- running

    @property
    def trader_address(self) -> str:
        """Where the service serves /metrics."""
        return f"127.0.0.1:{self._metrics_port}"

    async def start(self) -> None:
        """A connected service that is ready and holds nothing; raises DrillError, StackError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self.steer()
        self.configure()
        await self.start_simulator()
        await self.start_service()
        await self.until(lambda snapshot: snapshot.ready, "the service to be ready")

    async def stop(self) -> None:
        """End everything. Idempotent."""
        await self._service.kill()
        if self._simulator is not None:
            self._simulator.signal(signal.SIGCONT)
            await self._simulator.kill()
        await self.standin.stop()

    async def start_service(self) -> None:
        """Start the service; it has written its first metrics when this returns."""
        await self._service.start()

    async def kill_service(self) -> None:
        """End the service as a crash would."""
        await self._service.kill()

    async def start_simulator(
        self, faults: dict[str, Any] | None = None, *, symbols: str = SYMBOLS, forgetful: bool = False
    ) -> None:
        """Start the gateway with ``faults``; it goes on with the orders and positions it had, unless ``forgetful``."""
        state, file = self.folder / "gateway.json", self.folder / "faults.yaml"
        if forgetful:
            state.unlink(missing_ok=True)
        file.write_text(yaml.safe_dump(faults or {}))
        command = ["simulate", "--port", str(self._gateway_port), "--begin", "now", "--symbols", symbols]
        command += ["--state", str(state), "--faults", str(file)]
        simulator = _Simulator(
            "simulator", [sys.executable, "-m", "trader", *command], "http://127.0.0.1", "", self.folder / "gateway.log"
        )
        await simulator.start()
        self._simulator = simulator

    async def stop_simulator(self) -> None:
        """End the gateway; it keeps its state."""
        if self._simulator is not None:
            await self._simulator.stop()

    async def restart_simulator(
        self, faults: dict[str, Any] | None = None, *, symbols: str = SYMBOLS, forgetful: bool = False
    ) -> None:
        """The gateway again, with other faults."""
        await self.stop_simulator()
        await self.start_simulator(faults, symbols=symbols, forgetful=forgetful)

    def signal_simulator(self, number: signal.Signals) -> None:
        """SIGSTOP hangs the gateway with its sockets open, SIGCONT lets it go on."""
        if self._simulator is not None:
            self._simulator.signal(number)

    # -- the service

    def configure(self, **changes: Any) -> None:
        """Write config.yaml with ``changes``, section by section."""
        values = self._base()
        for section, change in [*self._changes.items(), *changes.items()]:
            values[section] = {**values.get(section, {}), **change}
        (self.folder / "config.yaml").write_text(yaml.safe_dump(values))

    def reload(self, **changes: Any) -> None:
        """Write config.yaml with ``changes`` and tell the service, as an operator does."""
        self.configure(**changes)
        self._service.signal(signal.SIGHUP)

    def steer(self, **changes: Any) -> None:
        """What the strategy does from its next decision on (``trader.drills.strategy.Steering``)."""
        self._steering |= changes
        part = self.folder / "steering.part"
        part.write_text(json.dumps(self._steering))
        part.replace(self.folder / "steering.json")

    def limit_open_files(self, number: int | None) -> None:
        """Change how many files the running service may open; None gives back what this process may."""
        pid = self._service.pid
        if pid is None:
            raise DrillError("the service does not run")
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (number or soft, hard))

    def open_files(self) -> int:
        """How many files the service has open now."""
        return len(os.listdir(f"/proc/{self._service.pid}/fd"))

    @property
    def panic_flag(self) -> Path:
        return self.folder / "panic.flag"

    async def tell(self, command: Command, **arguments: Any) -> None:
        """What ``trader halt`` and its like tell the service; raises DrillError when it refuses."""
        try:
            await asyncio.to_thread(self._control().call, command, **arguments)
        except ControlError as error:
            raise DrillError(f"the service refused {command}: {error}") from error

    async def snapshot(self) -> Snapshot | None:
        """What the service says of itself; None when nobody answers."""
        try:
            answer = await asyncio.to_thread(self._control().call, Command.STATUS)
        except ControlError:
            return None
        return answer.value(Snapshot)

    async def until(self, holds: Callable[[Snapshot], bool], what: str, timeout_s: float = READY_TIMEOUT_S) -> Snapshot:
        """The first snapshot that ``holds``; raises DrillError naming ``what`` was waited for."""
        deadline_ns = self._clock.monotonic_ns() + int(timeout_s * NANOSECONDS_PER_SECOND)
        while self._clock.monotonic_ns() < deadline_ns:
            snapshot = await self.snapshot()
            if snapshot is not None and holds(snapshot):
                return snapshot
            await asyncio.sleep(POLL_S)
        raise DrillError(f"waited {timeout_s:.0f} s for {what}; the service's log ends: {self._service.log_end()}")

    # -- metrics files

    def write_textfile(self, name: str, text: str) -> None:
        """A file for node_exporter's textfile collector."""
        part = self.stack.textfile_folder / f"{name}.part"
        part.write_text(text)
        part.replace(self.stack.textfile_folder / f"{name}.prom")

    def remove_textfile(self, name: str) -> None:
        (self.stack.textfile_folder / f"{name}.prom").unlink(missing_ok=True)

    # -- pieces

    def _control(self) -> ControlClient:
        return ControlClient(self.folder / "control.sock", CONTROL_TIMEOUT_S)

    def _child(self, name: str, arguments: list[str], port: int, ready_path: str) -> Child:
        command = [sys.executable, "-m", "trader", *arguments]
        return Child(name, command, f"http://127.0.0.1:{port}", ready_path, self.folder / f"{name}.log")

    def _base(self) -> Config:
        folder = self.folder
        return {
            "mode": "simulated",
            "instruments": SYMBOLS.split(","),
            "gateway": {
                "port": self._gateway_port, "heartbeat_interval_s": 0.5, "heartbeat_timeout_s": 1.5,
                "backoff_max_s": 1, "request_timeout_s": 2, "reconcile_interval_s": 3,
            },
            "market_data": {"stale_after_s": 3},
            "strategy": {
                "name": "trader.drills.strategy:Steered", "parameters": {"file": str(folder / "steering.json")}
            },
            "execution": {"ack_timeout_s": 1, "retry_after_s": 0.3},
            "risk": {
                "max_order_quantity": 100_000, "max_order_notional": 10_000_000, "max_position_notional": 10_000_000,
                "max_gross_exposure": 20_000_000, "max_orders_per_minute": 2_000, "daily_loss_limit": 1_000_000,
            },
            "session": {"calendar": "always", "flatten_before_close_s": 0, "no_entries_before_close_s": 0},
            "journal": {"url": f"sqlite:///{folder / 'journal.db'}"},
            "panic": {"flag": str(self.panic_flag)},
            "control": {"socket": str(folder / "control.sock")},
            "metrics": {"port": self._metrics_port},
        }  # fmt: skip
