"""The installed trader as its operator sees it: its unit, its configuration, its metrics, its journal, its broker.

Rules: nothing here looks into the process; all of it is what systemd, the journal, HTTP, the control socket and the
broker's API tell. Times are systemd's own, in microseconds of the monotonic clock.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from tests.lab.lab import Lab
from tests.lab.waiting import wait_until
from tests.systemd.broker import ask_broker
from trader.control import ControlClient
from trader.control_messages import Command

UNIT: Final = "ibkr-trading.service"
ALERT_UNIT: Final = f"ibkr-alert@{UNIT}.service"
SIMULATOR_UNIT: Final = "ibkr-simulator.service"
BASE: Final = "/home/trader/secure/trader/IBKR_trading"
CONFIG: Final = f"{BASE}/config/config.yaml"
PROGRAMS: Final = "/opt/ibkr-trading/current"
METRICS_PORT: Final = 9464
METRICS_URL: Final = f"http://127.0.0.1:{METRICS_PORT}"
BROKER_PORT: Final = 4002
CONTROL_SOCKET: Final = "/run/ibkr-trading/control.sock"
ALERT_METRIC: Final = f"/var/lib/prometheus/node-exporter/ibkr-alert-{UNIT}.prom"

STRATEGY_FOLDER: Final = "/opt/lab"
STEERING: Final = f"{STRATEGY_FOLDER}/steering.json"
STRATEGY: Final = Path(__file__).with_name("provoked.py")
# Restarts at once, as often as a test wants, with what each release of systemd understands.
QUICK: Final = "[Service]\nExecStartPre=\nRestartSec=100ms\n"
UNLIMITED: Final = "[Unit]\nStartLimitIntervalSec=0\n"
QUICK_SINCE_254: Final = "RestartSteps=0\nRestartMaxDelaySec=infinity\n"
NATIVE_DELAYS_SINCE: Final = 254

START_TIMEOUT_S: Final = 120.0
POLL_S: Final = 0.1


@dataclass(frozen=True)
class Run:
    """One run of the trader by systemd's monotonic clock; 0 is what has not happened yet."""

    pid: int
    started_us: int
    active_us: int
    exited_us: int

    @property
    def start_s(self) -> float:
        """From the start of the main process until systemd was told that it is ready."""
        return (self.active_us - self.started_us) / 1e6


class TraderUnit:
    """The trader's unit in ``lab``."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    # -- what it is made to do

    def configure(self, changes: Mapping[str, Any]) -> None:
        """Changes the configuration file, section by section; a section that is not a mapping is replaced."""
        document = yaml.safe_load(self.lab.read(CONFIG))
        for name, section in changes.items():
            is_mapping = isinstance(section, Mapping)
            document[name] = {**(document.get(name) or {}), **section} if is_mapping else section
        self.lab.write(CONFIG, yaml.safe_dump(document, sort_keys=False))

    def use_provoked_strategy(self) -> None:
        """Has the trader take its orders from ``provoke`` from its next start on."""
        self.lab.write(f"{STRATEGY_FOLDER}/provoked.py", STRATEGY.read_text(encoding="utf-8"), mode=0o644)
        self.provoke()
        # Without numpy's own threads, which run no Python, every task of the process has a stack to show.
        self.drop_in("30-strategy", f"[Service]\nEnvironment=PYTHONPATH={STRATEGY_FOLDER} OPENBLAS_NUM_THREADS=1\n")
        self.configure({"strategy": {"name": "provoked:Provoked", "parameters": {"file": STEERING}}})

    def provoke(self, **wanted: Any) -> None:
        """What the strategy does from its next quote on; nothing by default."""
        self.lab.write(f"{STEERING}.part", json.dumps(wanted), mode=0o644)
        self.lab.run(["mv", f"{STEERING}.part", STEERING])

    def restart_quickly(self, *, limited: bool = False) -> None:
        """Takes the restart delays away, and the start limit unless ``limited``."""
        more = QUICK_SINCE_254 if self.lab.release.systemd >= NATIVE_DELAYS_SINCE else ""
        self.drop_in("90-quick", ("" if limited else UNLIMITED) + QUICK + more)

    def drop_in(self, name: str, text: str) -> None:
        self.lab.drop_in(UNIT, name, text)

    def remove_drop_in(self, name: str) -> None:
        self.lab.remove(f"/etc/systemd/system/{UNIT}.d/{name}.conf")
        self.lab.systemctl("daemon-reload")

    def restart(self) -> None:
        """`systemctl restart`, which returns when systemd was told that the trader is ready; then until it is."""
        done = self.lab.systemctl("restart", UNIT, check=False)
        assert done.returncode == 0, [record["MESSAGE"] for record in self.said("PRIORITY=3")]
        self.await_ready()

    def kill(self, signal: str = "KILL") -> None:
        """Sends a signal to the main process, past systemd."""
        self.lab.run(["kill", f"-{signal}", str(self.run().pid)])

    # -- what is seen of it

    def show(self, *properties: str) -> dict[str, str]:
        return self.lab.show(UNIT, *properties)

    def run(self) -> Run:
        """The run that is, or the last one that was."""
        names = ("ExecMainPID", "ExecMainStartTimestampMonotonic", "ActiveEnterTimestampMonotonic")
        shown = self.show(*names, "ExecMainExitTimestampMonotonic")
        return Run(*(int(shown[name]) for name in (*names, "ExecMainExitTimestampMonotonic")))

    def active_state(self) -> str:
        return self.show("ActiveState")["ActiveState"]

    def await_exit(self, run: Run, timeout_s: float = START_TIMEOUT_S) -> Run:
        """``run`` once it has ended; it must be observed before the next one begins."""
        seen: list[Run] = []

        def ended() -> bool:
            seen.append(self.run())
            return seen[-1].started_us == run.started_us and seen[-1].exited_us > 0

        wait_until(ended, f"the end of process {run.pid} in {self.lab.name}", timeout_s)
        return seen[-1]

    def has_followed(self, run: Run) -> Run | None:
        """The run after ``run``, if there is one and systemd was told that it is ready."""
        now = self.run()
        return now if now.started_us > run.started_us and now.active_us > now.started_us else None

    def await_next_run(self, run: Run, timeout_s: float = START_TIMEOUT_S, poll_s: float = POLL_S) -> Run:
        """The run after ``run``, once systemd was told that it is ready."""
        following = f"the run after process {run.pid} in {self.lab.name}"
        found = wait_until(lambda: self.has_followed(run), following, timeout_s, poll_s)
        assert found is not None
        return found

    def await_ready(self, timeout_s: float = START_TIMEOUT_S) -> None:
        """Waits until it is connected, reconciled and ready to trade."""
        wait_until(self.is_ready, f"/readyz of the trader in {self.lab.name}", timeout_s, POLL_S)

    def is_ready(self) -> bool:
        return self.lab.get(METRICS_PORT, "/readyz") is not None

    def metrics(self, name: str) -> dict[str, float]:
        """The samples of one metric, by their labels as text: `{reason="crash"}`."""
        lines = (self.lab.get(METRICS_PORT, "/metrics") or "").splitlines()
        assert lines, f"nobody tells the metrics of the trader in {self.lab.name}"
        samples = (line.rpartition(" ") for line in lines if line.startswith((f"{name} ", f"{name}{{")))
        return {label.removeprefix(name): float(value) for label, _, value in samples}

    def starts(self) -> dict[str, int]:
        """How often it was started, by reason; reasons that did not occur are left out."""
        counted = self.metrics("trader_starts_total")
        return {label.split('"')[1]: int(count) for label, count in counted.items() if count}

    def status(self) -> dict[str, Any]:
        """What the trader answers on its control socket, which `trader status` shows."""
        return ControlClient(self.lab.seen_from_host(CONTROL_SOCKET)).call(Command.STATUS).value(dict[str, Any])

    def typed_status(self) -> dict[str, Any]:
        """What `trader status --json` says."""
        return dict(json.loads(self.lab.run(["trader", "status", "--json"]).stdout))

    def said(self, *matches: str, after: str | None = None) -> list[dict[str, Any]]:
        """What the trader itself wrote into the journal."""
        return self.lab.journal(None, f"_SYSTEMD_UNIT={UNIT}", "_TRANSPORT=stdout", *matches, after=after)

    def alerts(self, after: str | None = None) -> list[dict[str, Any]]:
        """What the alert unit wrote into the journal about the trader, as error."""
        return self.lab.journal(None, f"_SYSTEMD_UNIT={ALERT_UNIT}", "PRIORITY=3", after=after)

    def at_broker(self) -> dict[str, Any]:
        """The symbols of the working ``orders`` and the ``positions`` that the broker has, asked as another client."""
        told = ask_broker(self.lab, BROKER_PORT)
        return {"orders": told["working"], "positions": told["positions"]}


def waited_for_processor_s(trader: TraderUnit, run: Run) -> float:
    """How long the main thread of ``run`` has been ready to go on while the processors were busy with others."""
    return int(trader.lab.read(f"/proc/{run.pid}/schedstat").split()[1]) / 1e9


def increase(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """By how much each count grew; those that did not are left out."""
    grown = {name: count - before.get(name, 0) for name, count in after.items()}
    return {name: count for name, count in grown.items() if count}


def at(records: Sequence[Mapping[str, Any]], text: str) -> int:
    """When the last of the journal's records that contain ``text`` was written, in µs of the monotonic clock."""
    times = [int(record["__MONOTONIC_TIMESTAMP"]) for record in records if text in str(record["MESSAGE"])]
    assert times, f"the journal has no record with {text!r}"
    return times[-1]


def ready_s(trader: TraderUnit, run: Run) -> float:
    """How long after the start of ``run`` the trader last said that nothing keeps it from trading."""
    lines = [record for record in trader.said() if '"fact": "ReadinessChanged"' in record["MESSAGE"]]
    return (at(lines, '"problems": []') - run.started_us) / 1e6
