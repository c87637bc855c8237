"""What one drill of an alert plays on: a simulated gateway and the service, and the stack that watches them.

Rules: as of ``pair.py``, under an instance label of their own. The waits at the gateway are short, and the simulated
time is the real one because rules compare its timestamps with Prometheus's clock.
"""

import os
import resource
from pathlib import Path

from trader.clock import Clock
from trader.drills.deadman import DeadMan
from trader.drills.errors import DrillError
from trader.drills.pair import Config, Pair
from trader.drills.standin import StandIn
from trader.drills.targets import Targets
from trader.settings import Settings
from trader.stack import Stack


class Bench(Pair):
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
        live: Settings | None = None,
    ) -> None:
        super().__init__(folder, config, clock, live)
        self.instance = instance
        self.stack = stack
        self.targets = targets
        self.deadman = deadman
        self.standin = StandIn()

    @property
    def trader_address(self) -> str:
        """Where the service serves /metrics."""
        return f"127.0.0.1:{self._metrics_port}"

    async def stop(self) -> None:
        """End everything. Idempotent."""
        await super().stop()
        await self.standin.stop()

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

    # -- metrics files

    def write_textfile(self, name: str, text: str) -> None:
        """A file for node_exporter's textfile collector."""
        part = self.stack.textfile_folder / f"{name}.part"
        part.write_text(text)
        part.replace(self.stack.textfile_folder / f"{name}.prom")

    def remove_textfile(self, name: str) -> None:
        (self.stack.textfile_folder / f"{name}.prom").unlink(missing_ok=True)
