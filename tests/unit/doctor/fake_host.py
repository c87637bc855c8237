"""A host made of dictionaries, and one on which everything is as it should be.

Rules: the healthy host has the shipped units, drop-ins, rules and runbooks of this checkout, so a check that does not
fit them is found here. A test changes one thing and looks at one check.
"""

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from trader.doctor import Options, Place, Result, examine, site_of
from trader.doctor.host import Account, Answered, Database, FileState, Package, Ran, Room
from trader.doctor.model import Absent, NotVisible
from trader.doctor.table import CHECKS
from trader.settings import Settings

ROOT = Path(__file__).resolve().parents[3]
NOW = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
UNIT_FOLDER = Path("/etc/systemd/system")
RELEASE = Path("/opt/ibkr-trading/releases/0.1.0-abc")
CURRENT = Path("/opt/ibkr-trading/current")
PROCESS = Path("/proc/4711")
UID = 995
PACKAGES = (
    Package("ibkr-trading", "0.1.0", ("aiohttp<4,>=3.10", "PyYAML<7,>=6.0", "plotly<8; extra == 'report'")),
    Package("aiohttp", "3.11.2", ()),
    Package("pyyaml", "6.0.2", ()),
)
HALF_FREE = Room(50 * 1024**3, 100 * 1024**3, 900, 1_000)
TCP_HEADER = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n"


def listening(address: str, port: int, uid: int) -> str:
    """A line of /proc/net/tcp; ``address`` as the kernel writes it."""
    return f"   0: {address}:{port:04X} 00000000:0000 0A 00000000:00000000 00:00000000 00000000  {uid}        0 1 1\n"


@dataclass
class File:
    """A file or folder of the fake host."""

    text: str = ""
    owner: str = "root"
    group: str = "root"
    mode: int = 0o644
    kind: str = "file"
    modified_at: datetime = NOW - timedelta(minutes=1)


@dataclass
class FakeHost:
    """Answers from its fields; what is in the folders ``closed`` only root sees."""

    is_root: bool = True
    files: dict[Path, File] = field(default_factory=dict)
    links: dict[Path, Path] = field(default_factory=dict)
    closed: set[Path] = field(default_factory=set)
    programs: dict[tuple[str, ...], Ran] = field(default_factory=dict)
    units: dict[str, dict[str, str]] = field(default_factory=dict)
    urls: dict[str, Answered] = field(default_factory=dict)
    accounts: dict[str, Account] = field(default_factory=dict)
    installed: tuple[Package, ...] = PACKAGES
    has_room: Room = HALF_FREE
    databases: dict[Path, Database] = field(default_factory=dict)
    booted: bool = True

    def now(self) -> datetime:
        return NOW

    def file(self, path: Path) -> File:
        path = self.resolved(path)
        if not self.is_root and self.closed.intersection(path.parents):
            raise NotVisible(f"{path} may not be looked at", needs_root=True)
        if path not in self.files:
            raise Absent(path)
        return self.files[path]

    def resolved(self, path: Path) -> Path:
        for link, target in self.links.items():
            if path.is_relative_to(link):
                return self.resolved(target / path.relative_to(link))
        return path

    def put(self, path: Path, text: str = "", **changes: Any) -> None:
        """A file with every folder above it."""
        path = self.resolved(path)
        self.files[path] = File(text, **changes)
        for folder in path.parents:
            self.files.setdefault(folder, File(kind="folder", mode=0o755))

    def folder(self, path: Path, owner: str, group: str, mode: int) -> None:
        self.put(path, owner=owner, group=group, mode=mode, kind="folder")

    def read(self, path: Path) -> str:
        return self.file(path).text

    def names(self, folder: Path) -> tuple[str, ...]:
        self.file(folder / "any" if not self.is_root and self.resolved(folder) in self.closed else folder)
        return tuple(sorted(path.name for path in self.files if path.parent == self.resolved(folder) != path))

    def state(self, path: Path) -> FileState:
        found = self.file(path)
        return FileState(
            found.kind, found.owner, found.group, found.mode, len(found.text.encode()), found.modified_at
        )  # fmt: skip

    def resolve(self, path: Path) -> Path:
        self.file(path)
        return self.resolved(path)

    def room(self, path: Path) -> Room:
        self.file(path)
        return self.has_room

    def run(self, *command: str, limit_s: float = 20.0) -> Ran:
        if command[:2] == ("systemctl", "show"):
            return self._show(command[-1])
        for known, ran in self.programs.items():
            if command[: len(known)] == known:
                return ran
        raise NotVisible(f"the program {command[0]} is not installed")

    def _show(self, unit: str) -> Ran:
        if not self.booted:
            return Ran(1, "", "System has not been booted with systemd as init system (PID 1). Can't operate.\n")
        shown = self.units.get(unit, {"LoadState": "not-found", "ActiveState": "inactive"})
        return Ran(0, "".join(f"{name}={value}\n" for name, value in {"Id": unit, **shown}.items()), "")

    def get(self, url: str) -> Answered | None:
        return self.urls.get(url)

    def account(self, name: str) -> Account | None:
        return self.accounts.get(name)

    def packages(self, folder: Path) -> tuple[Package, ...]:
        self.file(folder)
        return self.installed

    def database(self, path: Path) -> Database:
        self.file(path)
        return self.databases.get(path, Database("wal", "ok"))


def settings(config: Path) -> Settings:
    """The deployed configuration at ``config``, as far as checks ask for it."""
    base = config.parent.parent
    return Settings.model_validate(
        {
            "instruments": ["SPY"],
            "journal": {"url": f"sqlite:///{base}/state/journal.db"},
            "panic": {"flag": str(base / "panic.flag")},
            "metrics": {"port": 9464},
        }
    )


def place_of(host: FakeHost, instance: str = "") -> Place:
    return Place(host, site_of(host, instance), Options(), load=settings)


def result_of(host: FakeHost, key: str) -> Result:
    """What one check finds on ``host``."""
    checks = [check for check in CHECKS if check.key == key]
    assert len(checks) == 1, key
    return examine(place_of(host), checks=checks).results[0]


def healthy(*, version: int = 252, unified: bool = False, instance: str = "") -> FakeHost:
    """A host with the product installed by this checkout, running, and watched."""
    host = FakeHost(accounts={"trader": Account("trader", UID, "/usr/sbin/nologin", ("trader",))})
    _add_system(host, version)
    _add_release(host)
    _add_base(host, instance)
    _add_units(host, version, instance)
    _add_control_group(host, unified, place_of(host, instance).site.unit)
    _add_answers(host)
    return host


def _add_system(host: FakeHost, version: int) -> None:
    host.put(Path("/proc/meminfo"), "MemTotal:       16777216 kB\n")
    host.put(Path("/sys/devices/system/cpu/online"), "0-7\n")
    host.put(Path("/proc/self/mountinfo"), "21 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw\n")
    host.put(Path("/proc/net/tcp"), TCP_HEADER + listening("0100007F", 4002, UID) + listening("0100007F", 9464, UID))
    host.programs = {
        ("systemctl", "--version"): Ran(0, f"systemd {version} ({version}.39-1)\n+PAM\n", ""),
        ("systemctl", "list-units"): Ran(0, "", ""),
        ("timedatectl", "show"): Ran(0, "Timezone=Etc/UTC\nNTP=yes\nNTPSynchronized=yes\n", ""),
        ("systemd-detect-virt",): Ran(1, "", ""),
        ("systemd-analyze",): Ran(0, "→ Overall exposure level for ibkr-trading.service: 0.9 SAFE 😀\n", ""),
        ("journalctl",): Ran(0, '{"level": "INFO", "message": "ready"}\nStarted IBKR trading service.\n', ""),
        ("/usr/bin/python3.11",): Ran(0, "Python 3.11.2\n", ""),
    }


def _add_release(host: FakeHost) -> None:
    host.links[CURRENT / "bin" / "python"] = Path("/usr/bin/python3.11")
    host.links[CURRENT] = RELEASE
    host.put(Path("/usr/bin/python3.11"), mode=0o755)
    host.folder(RELEASE / "lib" / "python3.11" / "site-packages", "root", "root", 0o755)
    host.put(RELEASE / "bin" / "trader", mode=0o755)
    for name in ("backoff", "record-exit", "alert"):
        host.put(RELEASE / "libexec" / name, mode=0o755)
    share = RELEASE / "share"
    for suffix in ("service", "path", "timer"):
        for file in (ROOT / "systemd").glob(f"ibkr-*.{suffix}"):
            host.put(share / "units" / file.name, file.read_text(encoding="utf-8"))
    for file in (ROOT / "systemd").glob("restart-*.conf"):
        host.put(share / "drop-ins" / file.name, file.read_text(encoding="utf-8"))
    for folder in ("sysusers.d", "tmpfiles.d"):
        text = (ROOT / "systemd" / folder / "ibkr-trading.conf").read_text(encoding="utf-8")
        host.put(share / folder / "ibkr-trading.conf", text)
        host.put(Path("/etc") / folder / "ibkr-trading.conf", text)
    for place in (share / "wrapper.sh", Path("/usr/local/bin/trader")):
        host.put(place, "#!/usr/bin/env bash\n", mode=0o755)
    for file in (ROOT / "alerts" / "rules").glob("*.rules.yml"):
        host.put(share / "alerts" / "rules" / file.name, file.read_text(encoding="utf-8"))
    for file in (ROOT / "alerts" / "runbooks").glob("*.md"):
        host.put(share / "alerts" / "runbooks" / file.name, "#\n")
    host.put(PROCESS / "maps", f"7f00-7f01 r-xp 00000000 08:01 1 {RELEASE}/lib/python3.11/site-packages/x.so\n")


def _add_base(host: FakeHost, instance: str) -> None:
    plain, site = site_of(host).base, site_of(host, instance)
    for base in {plain, site.base}:
        host.folder(base, "trader", "trader", 0o750)
        host.folder(base / "config", "root", "trader", 0o750)
        host.folder(base / "state", "trader", "trader", 0o700)
        host.folder(base / "logs", "trader", "trader", 0o750)
        host.put(base / "config" / "config.yaml", "instruments: [SPY]\n", group="trader", mode=0o640)
        host.put(base / "state" / "journal.db", "facts", owner="trader", group="trader", mode=0o600)
    host.folder(plain / "scripts", "root", "root", 0o755)
    for script in (plain / "scripts" / "health_check.sh", RELEASE / "share" / "scripts" / "health_check.sh"):
        host.put(script, "#!/bin/sh\n", mode=0o755)
    host.folder(site.secrets, "root", "root", 0o700)
    host.put(site.token, "secret", mode=0o600)
    host.closed.add(site.secrets)
    host.folder(site.textfiles, "root", "trader", 0o2775)
    success = "trader_task_last_success_timestamp_seconds"
    recently = (NOW - timedelta(hours=3)).timestamp()
    host.put(
        site.textfiles / "ibkr-session.prom", 'trader_session_open_timestamp_seconds{calendar="XNYS"} 1772461800.0\n'
    )
    host.put(
        site.textfiles / "tasks.prom",
        f'{success}{{task="panic_drill"}} {recently}\n{success}{{task="backup"}} {recently}\n',
    )


def _add_units(host: FakeHost, version: int, instance: str) -> None:
    for path, file in list(host.files.items()):
        if path.parent == RELEASE / "share" / "units":
            host.put(UNIT_FOLDER / path.name, file.text)
    shipped = RELEASE / "share" / "drop-ins" / f"restart-{'native' if version >= 254 else 'helper'}.conf"
    site = site_of(host, instance)
    host.put(site.drop_ins / "10-restart.conf", host.read(shipped))
    common = {"LoadState": "loaded", "ActiveState": "active", "UnitFileState": "enabled", "NeedDaemonReload": "no"}
    host.units = {
        site.unit: {
            **common, "SubState": "running", "MainPID": "4711", "NRestarts": "0", "Result": "success",
            "ActiveEnterTimestamp": "Mon 2026-03-02 14:00:00 UTC", "DropInPaths": f"{site.drop_ins}/10-restart.conf",
            "MemoryMax": "8589934592", "MemorySwapMax": "0", "CPUQuotaPerSecUSec": "4s", "TasksMax": "4096",
            "LimitNOFILE": "65536", "LimitCORE": "0", "Nice": "-10", "CPUAffinity": "0-3",
            "ControlGroup": f"/system.slice/{site.unit}",
        },
        site.panic_path: {**common, "SubState": "waiting"},
        site.panic_service: {**common, "ActiveState": "inactive", "UnitFileState": "static"},
        site.calendar_timer: {**common, "LastTriggerUSec": "Mon 2026-03-02 14:56:00 UTC"},
        site.calendar_service: {**common, "ActiveState": "inactive", "Result": "success"},
        **dict.fromkeys(site.maintenance_timers, common),
        **{key: {**common, "ActiveState": "inactive", "Result": "success"} for key in site.maintenance_services},
    }  # fmt: skip


def _add_control_group(host: FakeHost, unified: bool, unit: str) -> None:
    groups, own = Path("/sys/fs/cgroup"), Path("system.slice") / unit
    if unified:
        host.put(groups / "cgroup.controllers", "cpuset cpu io memory pids\n")
        host.put(groups / own / "memory.max", "8589934592\n")
        host.put(groups / own / "cpu.max", "400000 100000\n")
        host.put(groups / own / "pids.max", "4096\n")
    else:
        host.put(groups / "memory" / own / "memory.limit_in_bytes", "8589934592\n")
        host.put(groups / "cpu" / own / "cpu.cfs_quota_us", "400000\n")
        host.put(groups / "cpu" / own / "cpu.cfs_period_us", "100000\n")
        host.put(groups / "pids" / own / "pids.max", "4096\n")
    host.put(
        PROCESS / "limits",
        "Max open files            65536                65536                files\n"
        "Max core file size        0                    0                    bytes\n",
    )
    host.put(PROCESS / "stat", "4711 (trader run) S " + " ".join(["1", *["0"] * 14, "-10", "4"]))


def _add_answers(host: FakeHost) -> None:
    host.urls["http://127.0.0.1:9464/readyz"] = Answered(200, '{"ready": true, "problems": []}')
    host.urls["http://127.0.0.1:9464/metrics"] = Answered(200, "# TYPE trader_ready gauge\ntrader_ready 1.0\n")
    host.urls["http://127.0.0.1:9093/api/v2/status"] = Answered(200, json.dumps({"cluster": {}}))
    add_prometheus(host, loaded_rules(host))


def loaded_rules(host: FakeHost) -> list[dict[str, Any]]:
    """The groups that a Prometheus with the shipped rules tells."""
    import yaml

    groups = []
    for path, file in host.files.items():
        if path.name.endswith(".rules.yml"):
            for group in yaml.safe_load(file.text)["groups"]:
                rules = [{"name": rule.get("alert") or rule["record"]} for rule in group["rules"]]
                groups.append({"name": group["name"], "file": str(path), "rules": rules})
    return groups


def add_prometheus(host: FakeHost, groups: list[dict[str, Any]], health: str = "up") -> None:
    target = {"scrapeUrl": "http://127.0.0.1:9464/metrics", "health": health, "lastError": ""}
    for path, data in (
        ("/api/v1/rules", {"groups": groups}),
        ("/api/v1/targets?state=active", {"activeTargets": [target]}),
    ):
        host.urls[f"http://127.0.0.1:9090{path}"] = Answered(200, json.dumps({"status": "success", "data": data}))
