"""The command lines of the stack's programs.

Rules: loopback only, no clustering, nothing outside the given folder. node_exporter's systemd collector is
switched on where systemd runs and off elsewhere, because there it fails at every scrape.
"""

from pathlib import Path
from typing import Final

from trader.stack.files import duration

SYSTEMD_RUNS: Final = Path("/run/systemd/system")
SYSTEM_BUS: Final = Path("/run/dbus/system_bus_socket")
INSTALLED: Final = Path("/usr/bin")
SYSTEMD_UNITS: Final = "ibkr-.+"


def prometheus(program: Path, folder: Path, port: int, retention: str, resend_s: float) -> list[str]:
    """Prometheus with ``prometheus.yml`` of ``folder``; one that is only unpacked is told where its pages are."""
    pages = program.parent.parent / "share" / "prometheus" / "web"
    told = [f"--web.local-assets={pages}/"] if pages.is_dir() and program.parent != INSTALLED else []
    return [
        str(program),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'prometheus'}",
        f"--storage.tsdb.retention.time={retention}",
        f"--web.listen-address=127.0.0.1:{port}",
        f"--rules.alert.resend-delay={duration(resend_s)}",
        "--web.enable-lifecycle",
        "--enable-feature=exemplar-storage",
        "--log.level=warn",
        *told,
    ]


def alertmanager(program: Path, config: Path, storage: Path, port: int) -> list[str]:
    """Alertmanager, alone."""
    return [
        str(program),
        f"--config.file={config}",
        f"--storage.path={storage}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--cluster.listen-address=",
        "--log.level=warn",
    ]


def node_exporter(program: Path, textfiles: Path, port: int) -> list[str]:
    """node_exporter with the textfile collector."""
    command = [
        str(program),
        f"--web.listen-address=127.0.0.1:{port}",
        f"--collector.textfile.directory={textfiles}",
        "--log.level=warn",
    ]
    if not systemd_runs():
        return [*command, "--no-collector.systemd"]
    return [
        *command,
        "--collector.systemd",
        "--collector.systemd.enable-restarts-metrics",
        f"--collector.systemd.unit-include={SYSTEMD_UNITS}",
    ]


def systemd_runs() -> bool:
    """Whether there is a systemd to ask on this machine."""
    return SYSTEMD_RUNS.is_dir() and SYSTEM_BUS.exists()
