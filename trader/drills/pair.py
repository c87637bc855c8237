"""A simulated gateway and the service as processes of their own, for drills.

Rules: the service is the one that ``trader run`` starts, and the gateway the one that ``trader simulate`` starts. The
simulated time is the real one. Everything lies in one folder, on ports that the system gave; what a service manager
told this process (notify socket, credentials, boot) is kept from them. A configuration that could reach the live
service is refused before anything starts. Nothing outlives this process.
"""

import asyncio
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Final

import aiohttp
import yaml

from trader.clock import NANOSECONDS_PER_SECOND, Clock, SystemClock
from trader.control import ControlClient
from trader.control_messages import Command, ControlError
from trader.drills.errors import DrillError
from trader.drills.isolation import free_client_ids, require_isolated
from trader.settings import Settings
from trader.settings_file import ConfigurationError, load_settings
from trader.snapshot import Snapshot
from trader.stack.children import Child, free_port

SYMBOLS: Final = "SPY,AAPL"
READY_TIMEOUT_S: Final = 40.0
CONTROL_TIMEOUT_S: Final = 5.0
POLL_S: Final = 0.1
LISTENING: Final = "listening on"
SOCKET_MAX_CHARACTERS: Final = 100
# What systemd tells a unit's process about itself; a drill's processes are not that unit.
OF_THE_UNIT: Final = (
    "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "CREDENTIALS_DIRECTORY", "TRADER_BOOT_ID", "TRADER_EXIT_RECORD",
    "TRADER_CONFIG", "JOURNAL_STREAM", "INVOCATION_ID",
)  # fmt: skip

Config = dict[str, Any]


def environment() -> dict[str, str]:
    """The environment of a drill's processes."""
    return {name: value for name, value in os.environ.items() if name not in OF_THE_UNIT}


class _Simulator(Child):
    """``trader simulate`` serves no HTTP: it says on its output that it listens."""

    said_before = 0

    async def _answers(self, session: aiohttp.ClientSession) -> bool:
        return LISTENING in self._log.read_text(errors="replace")[self.said_before :]

    async def start(self) -> None:
        """Start and wait until it listens."""
        self.said_before = len(self._log.read_text(errors="replace")) if self._log.exists() else 0
        await super().start()


class Pair:
    """``config`` changes the service's configuration, section by section. ``live`` must stay out of reach.

    ``speed`` is how much faster than the clock the gateway's market goes.
    """

    def __init__(
        self,
        folder: Path,
        config: Config | None = None,
        clock: Clock | None = None,
        live: Settings | None = None,
        speed: float = 1.0,
    ) -> None:
        self.folder = folder
        self.live = live
        self.config_file = folder / "config.yaml"
        self._clock = clock or SystemClock()
        self._changes = config or {}
        self._runtime = folder
        self._gateway_port = free_port()
        self._metrics_port = free_port()
        self._speed = speed
        self._steering: dict[str, Any] = {}
        self._simulator: _Simulator | None = None
        self._service = self._child(
            "service", ["run", "--config", str(self.config_file)], self._metrics_port, "/metrics"
        )

    # -- running

    async def start(self, faults: Config | None = None) -> None:
        """A connected service that is ready and holds nothing; raises DrillError, StackError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        if len(str(self.socket)) > SOCKET_MAX_CHARACTERS:
            self._runtime = Path(mkdtemp(prefix="drill-"))
        self.steer()
        self.configure()
        require_isolated(self.settings(), self.live, self.folder, self._runtime)
        await self.start_simulator(faults)
        await self.start_service()
        await self.until(lambda snapshot: snapshot.ready, "the service to be ready")

    async def stop(self) -> None:
        """End everything. Idempotent."""
        await self._service.kill()
        if self._simulator is not None:
            self._simulator.signal(signal.SIGCONT)
            await self._simulator.kill()
        if self._runtime != self.folder:
            shutil.rmtree(self._runtime, ignore_errors=True)

    async def start_service(self) -> None:
        """Start the service; it has written its first metrics when this returns."""
        await self._service.start()

    async def launch_service(self) -> None:
        """Start the service without waiting for anything."""
        await self._service.launch()

    @property
    def service_runs(self) -> bool:
        return self._service.pid is not None

    def service_log_end(self) -> str:
        """The last lines that the service wrote."""
        return self._service.log_end()

    async def kill_service(self) -> None:
        """End the service as a crash would."""
        await self._service.kill()

    async def end_service(self, timeout_s: float) -> int | None:
        """Ask the service to stop, as systemd does; its exit code, or None when it did not end in time."""
        return await self._service.end(timeout_s)

    async def start_simulator(
        self, faults: dict[str, Any] | None = None, *, symbols: str = SYMBOLS, forgetful: bool = False
    ) -> None:
        """Start the gateway with ``faults``; it goes on with the orders and positions it had, unless ``forgetful``."""
        state, file = self.folder / "gateway.json", self.folder / "faults.yaml"
        if forgetful:
            state.unlink(missing_ok=True)
        file.write_text(yaml.safe_dump(faults or {}))
        command = ["simulate", "--port", str(self._gateway_port), "--begin", "now", "--symbols", symbols]
        command += ["--state", str(state), "--faults", str(file), "--speed", str(self._speed)]
        simulator = _Simulator(
            "simulator", self._trader(command), "http://127.0.0.1", "", self.folder / "gateway.log",
            environment=environment(),
        )  # fmt: skip
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

    async def command(self, *arguments: str, timeout_s: float) -> tuple[int | None, str]:
        """Run a command as a person does, with this configuration: exit code (None: ended after the time), words."""
        child = Child(
            arguments[0], self._trader([*arguments, "--config", str(self.config_file)]), "", "",
            self.folder / f"{arguments[0]}.log", environment=environment(),
        )  # fmt: skip
        code = await child.run(timeout_s)
        return code, child.log_end()

    # -- the service

    def settings(self) -> Settings:
        """The configuration as it is now; raises DrillError for one that cannot be used."""
        try:
            return load_settings(self.config_file)
        except ConfigurationError as error:
            raise DrillError(f"the drill's configuration cannot be used: {error}") from error

    def configure(self, **changes: Any) -> None:
        """Write config.yaml with ``changes``, section by section."""
        values = self._base()
        for section, change in [*self._changes.items(), *changes.items()]:
            values[section] = {**values.get(section, {}), **change}
        self.config_file.write_text(yaml.safe_dump(values))

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

    @property
    def gateway_port(self) -> int:
        """Where the simulated gateway listens."""
        return self._gateway_port

    @property
    def panic_flag(self) -> Path:
        return self.folder / "panic.flag"

    @property
    def socket(self) -> Path:
        """The service's control socket; in a folder of its own when the drill's has too long a name for one."""
        return self._runtime / "control.sock"

    @property
    def journal_url(self) -> str:
        return f"sqlite:///{self.journal_file}"

    @property
    def journal_file(self) -> Path:
        return self.folder / "journal.db"

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

    # -- pieces

    def _control(self) -> ControlClient:
        return ControlClient(self.socket, CONTROL_TIMEOUT_S)

    def _child(self, name: str, arguments: list[str], port: int, ready_path: str) -> Child:
        return Child(
            name, self._trader(arguments), f"http://127.0.0.1:{port}", ready_path, self.folder / f"{name}.log",
            environment=environment(),
        )  # fmt: skip

    def _trader(self, arguments: Sequence[str]) -> list[str]:
        return [sys.executable, "-m", "trader", *arguments]

    def _base(self) -> Config:
        folder = self.folder
        client_id, panic_client_id, _ = free_client_ids(self.live)
        return {
            "mode": "simulated",
            "instruments": SYMBOLS.split(","),
            "gateway": {
                "port": self._gateway_port, "client_id": client_id, "panic_client_id": panic_client_id,
                "heartbeat_interval_s": 0.5, "heartbeat_timeout_s": 1.5,
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
            "journal": {"url": self.journal_url},
            "panic": {"flag": str(self.panic_flag)},
            "control": {"socket": str(self.socket)},
            "metrics": {"port": self._metrics_port},
        }  # fmt: skip
