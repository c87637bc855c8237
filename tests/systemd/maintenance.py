"""The maintenance of a machine under test: its timers, its session, and what its jobs leave.

Rules: the units are the shipped ones; a machine's clock cannot be set, so the session is moved instead, by the table
that the configuration names, and a timer by when it is due. The session is six and a half hours of every day, up to a
close that is told.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import yaml

from tests.lab.lab import Lab
from tests.lab.waiting import wait_until
from tests.systemd.trader_unit import BASE, SIMULATOR_UNIT, TraderUnit

KINDS: Final = ("daily", "weekly", "monthly")
REPORTS: Final = f"{BASE}/logs/reports"
BACKUPS: Final = f"{BASE}/backups"
JOURNAL: Final = f"sqlite:///{BASE}/state/journal.db"
LIVE_JOURNAL: Final = f"sqlite:///{BASE}/state/live.db"
TEXTFILES: Final = "/var/lib/prometheus/node-exporter"
CALENDAR_FILE: Final = f"{BASE}/config/lab.csv"
WINDOWS_FILE: Final = f"{BASE}/config/windows.yaml"
ACCOUNT: Final = "U7654321"
TOOLS: Final = "/opt/lab-tools"
SESSION: Final = timedelta(hours=6, minutes=30)
DAY: Final = timedelta(days=1)
DAYS_KEPT: Final = 5
WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
MARGIN_S: Final = 300
# At the moment that is told, and not up to half an hour later.
AT_ONCE: Final = "[Timer]\nRandomizedDelaySec=0\nAccuracySec=100ms\n"
SOON_S: Final = 2
# As install.sh has it, or else the checklist would say so.
SHIPPED: Final[dict[str, Any]] = {"mode": 0o640, "owner": "root:trader"}
POLL_S: Final = 0.3


def service(kind: str) -> str:
    return f"ibkr-maintenance-{kind}.service"


def timer(kind: str) -> str:
    return f"ibkr-maintenance-{kind}.timer"


@dataclass(frozen=True)
class Report:
    """A kept report: the path of its JSON, without the suffix, and what it says."""

    path: str
    said: dict[str, Any]

    @property
    def started(self) -> datetime:
        return datetime.fromisoformat(self.said["started_at"])

    @property
    def finished(self) -> datetime:
        return datetime.fromisoformat(self.said["finished_at"])

    def section(self, task: str) -> dict[str, Any]:
        (found,) = [run["section"] for run in self.said["runs"] if run["task"] == task]
        return dict(found)

    def failures(self) -> list[str]:
        return [run["section"]["sentence"] for run in self.said["runs"] if run["section"]["outcome"] == "failed"]

    def outcomes(self) -> dict[str, str]:
        return {run["task"]: run["section"]["outcome"] for run in self.said["runs"]}


class Maintenance:
    """The jobs of ``lab``."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    # -- what it is made to do

    def trade_live(self) -> None:
        """A live account whose gateway is away, from the next start on: who trades live must drill.

        A simulated gateway would be refused.
        """
        self.lab.systemctl("disable", "--now", SIMULATOR_UNIT)
        live = {"mode": "live", "account": ACCOUNT, "journal": {"url": LIVE_JOURNAL}}
        TraderUnit(self.lab).configure(live)

    def trade_simulated(self) -> None:
        """The simulated account again, at once."""
        self.lab.systemctl("enable", "--now", SIMULATOR_UNIT)
        observe = {"name": "observe", "parameters": {}}
        journal = {"url": JOURNAL}
        trader = TraderUnit(self.lab)
        trader.configure({"mode": "simulated", "account": "", "journal": journal, "strategy": observe})
        trader.restart()

    def set_session(self, closes_at: datetime, margin_s: float = MARGIN_S, wait_max_s: float = 86_400) -> None:
        """A market that closes at ``closes_at``, a whole minute, on every day; the broker has no reset near."""
        days = (closes_at + DAY * number for number in range(-DAYS_KEPT, DAYS_KEPT + 1))
        rows = [f"{closes:%Y-%m-%d},{closes - SESSION:%H:%M},{closes:%H:%M},0" for closes in days]
        head = ["# calendar: XNYS", "# source: the lab", f"# extracted: {closes_at:%Y-%m-%d}"]
        self.lab.write(CALENDAR_FILE, "\n".join([*head, "session,opens,closes,half_day", *rows, ""]), **SHIPPED)
        far = {"days": [WEEKDAYS[(self.now() + 3 * DAY).weekday()]], "starts": "12:00", "ends": "13:00", "zone": "UTC"}
        windows = {
            "source": "the lab", "as_of": f"{closes_at:%Y-%m-%d}", "regions": {"north_america": [far]}, "weekend": far,
            "authentication": {"day": far["days"][0], "at": "12:00", "zone": "UTC"},
        }  # fmt: skip
        self.lab.write(WINDOWS_FILE, yaml.safe_dump(windows), **SHIPPED)
        files = {"calendar": "XNYS", "calendar_file": "lab.csv", "broker_windows_file": "windows.yaml"}
        maintenance = {"close_margin_s": margin_s, "wait_max_s": wait_max_s}
        TraderUnit(self.lab).configure({"session": files, "maintenance": maintenance})

    def be_punctual(self) -> None:
        """Takes the random delays of the timers away; when they are due stays as shipped."""
        for kind in KINDS:
            self.lab.drop_in(timer(kind), "50-at-once", AT_ONCE)

    def be_due(self, ago: str) -> None:
        """What systemd remembers of when each timer fired last: ``ago``, such as "40 days ago"."""
        stamps = [f"/var/lib/systemd/timers/stamp-{timer(kind)}" for kind in KINDS]
        self.lab.run(["touch", f"--date={ago}", *stamps])

    def fire(self, *kinds: str) -> datetime:
        """Has the timers of ``kinds`` fall due in two seconds from now, once; returns when that is."""
        due = self.now() + timedelta(seconds=SOON_S)
        for kind in kinds:
            lines = f"[Timer]\nOnCalendar=\nOnCalendar={due:%Y-%m-%d %H:%M:%S.%f} UTC\n"
            self.lab.write(f"/etc/systemd/system/{timer(kind)}.d/60-due.conf", lines)
        self.lab.systemctl("daemon-reload")
        self.lab.systemctl("restart", *map(timer, kinds))
        return due

    # -- what is seen of it

    def now(self) -> datetime:
        return datetime.fromtimestamp(float(self.lab.run(["date", "+%s.%N"]).stdout), UTC)

    def last_trigger(self, kind: str) -> datetime:
        return self._moment(timer(kind), "Timer", "LastTriggerUSec")

    def last_exit(self, kind: str) -> datetime:
        return self._moment(service(kind), "Service", "ExecMainExitTimestamp")

    def _moment(self, unit: str, interface: str, name: str) -> datetime:
        path = "/org/freedesktop/systemd1/unit/" + unit.replace("-", "_2d").replace(".", "_2e")
        asked = ["org.freedesktop.systemd1", path, f"org.freedesktop.systemd1.{interface}", name]
        said = self.lab.run(["busctl", "get-property", *asked]).stdout
        return datetime.fromtimestamp(int(said.split()[1]) / 1e6, UTC)

    def state(self, kind: str) -> dict[str, str]:
        return self.lab.show(service(kind), "ActiveState", "Result", "ExecMainStatus")

    def is_over(self, kind: str, since: datetime) -> bool:
        """Whether the job has ended, ``since`` or later, and left nothing running."""
        return self.last_exit(kind) >= since and self.state(kind)["ActiveState"] in ("inactive", "failed")

    def await_end(self, *kinds: str, since: datetime, timeout_s: float = 120.0) -> None:
        def all_over() -> bool:
            return all(self.is_over(kind, since) for kind in kinds)

        wait_until(all_over, f"the end of {', '.join(kinds)} maintenance in {self.lab.name}", timeout_s, POLL_S)

    def reports(self, kind: str) -> list[Report]:
        """The kept reports, the oldest first."""
        found = self.lab.run(["find", f"{REPORTS}/{kind}", "-name", "*.json"], check=False).stdout.split()
        kept = [Report(path.removesuffix(".json"), json.loads(self.lab.read(path))) for path in found]
        return sorted(kept, key=lambda report: report.started)

    def metrics(self, kind: str) -> dict[str, float]:
        """The samples that the job published, by name and labels."""
        return dict(self._samples(f"{TEXTFILES}/ibkr-maintenance-{kind}.prom"))

    def _samples(self, path: str) -> Iterator[tuple[str, float]]:
        for line in self.lab.read(path).splitlines():
            if not line.startswith("#"):
                name, _, value = line.rpartition(" ")
                yield name, float(value)

    def said(self, kind: str, after: str | None = None) -> list[str]:
        """What the job itself wrote into the journal."""
        found = self.lab.journal(None, f"_SYSTEMD_UNIT={service(kind)}", "_TRANSPORT=stdout", after=after)
        return [str(record["MESSAGE"]) for record in found]

    def owners(self, *paths: str) -> dict[str, str]:
        """Mode, owner and group of each of ``paths``."""
        shown = self.lab.run(["stat", "--printf=%n\\t%a %U:%G\\n", *paths]).stdout.splitlines()
        return dict(line.split("\t") for line in shown)
