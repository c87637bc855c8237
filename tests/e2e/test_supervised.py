"""The service as systemd sees it: why it starts, what it says, what it leaves behind when it hangs."""

import json
import os
import signal
import socket
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

pytestmark = pytest.mark.e2e

BLOCKER = """

class Blocker(Buyer):
    name = "blocker"

    def on_quote(self, quote, view):
        import pathlib

        here = pathlib.Path(__file__).parent
        if (here / "block").exists():
            (here / "blocked").touch()
            (here / "pipe").read_text()
        return []
"""


class Manager:
    """A stand-in for systemd at the other end of ``$NOTIFY_SOCKET``."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "notify")
        self._receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._receiver.bind(self.path)
        self.told: list[str] = []

    def listen(self, timeout_s: float) -> bool:
        """Whether one more message came within ``timeout_s``."""
        self._receiver.settimeout(timeout_s)
        try:
            self.told.append(self._receiver.recv(1_000).decode())
        except TimeoutError:
            return False
        return True

    def hears(self, message: str) -> bool:
        while message not in self.told and self.listen(0.1):
            pass
        return message in self.told

    def drain(self) -> None:
        while self.listen(0.01):
            pass
        self.told.clear()

    def close(self) -> None:
        self._receiver.close()


@pytest.fixture
def manager(rig: Any) -> Iterator[Manager]:
    # pytest's own folders can be longer than the 107 bytes that a socket's path may have.
    with TemporaryDirectory() as folder:
        manager = Manager(Path(folder))
        rig.environment |= {"NOTIFY_SOCKET": manager.path, "WATCHDOG_USEC": "400000"}
        yield manager
        manager.close()


def test_it_says_ready_feeds_the_watchdog_reloads_and_stops(rig: Any, manager: Manager, eventually: Any) -> None:
    rig.simulator()
    service = rig.service()
    eventually(lambda: manager.hears("READY=1"), "ready")
    eventually(lambda: manager.hears("WATCHDOG=1"), "the watchdog's food")
    rig.wait(lambda s: s.ready, "ready to trade")

    manager.drain()
    service.send_signal(signal.SIGHUP)
    eventually(lambda: manager.hears("READY=1"), "the end of the reload")
    assert [text.split("\n")[0] for text in manager.told if text != "WATCHDOG=1"] == ["RELOADING=1", "READY=1"]

    service.send_signal(signal.SIGTERM)
    assert service.wait(60) == 0
    eventually(lambda: manager.hears("STOPPING=1"), "stopping")


def test_a_blocked_loop_stops_the_feeding(rig: Any, manager: Manager, eventually: Any) -> None:
    os.mkfifo(rig.folder / "pipe")
    strategies = rig.folder / "own_strategies.py"
    strategies.write_text(strategies.read_text() + BLOCKER)
    rig.configure(strategy={"name": "own_strategies:Blocker"})
    rig.simulator()
    rig.service()
    eventually(lambda: manager.hears("WATCHDOG=1"), "the watchdog's food")

    (rig.folder / "block").touch()
    eventually((rig.folder / "blocked").exists, "the strategy to block")
    manager.drain()
    assert not manager.listen(1.0)

    (rig.folder / "block").unlink()
    (rig.folder / "pipe").write_text("go on")
    eventually(lambda: manager.hears("WATCHDOG=1"), "food again")


def test_the_watchdogs_signal_leaves_every_threads_stack(rig: Any) -> None:
    rig.simulator()
    service = rig.service()
    rig.wait(lambda s: s.ready, "ready")

    service.send_signal(signal.SIGABRT)

    assert service.wait(60) == -signal.SIGABRT
    log = rig.log()
    assert "Fatal Python error: Aborted" in log
    assert log.count("most recent call first") > 1
    assert "trader/cli/run.py" in log


STARTS = {
    "watchdog": ({"result": "watchdog", "exit_code": "killed", "exit_status": "ABRT"}, "watchdog"),
    "oom": ({"result": "oom-kill", "exit_code": "killed", "exit_status": "KILL"}, "oom"),
    "crash": ({"result": "signal", "exit_code": "killed", "exit_status": "SEGV"}, "crash"),
    "damaged": (None, "crash"),
}


@pytest.mark.parametrize("name", STARTS)
def test_a_start_is_counted_by_what_systemd_saw(rig: Any, name: str, eventually: Any) -> None:
    written, reason = STARTS[name]
    record = rig.folder / "last_exit.json"
    rig.environment |= {"TRADER_BOOT_ID": "boot-1", "TRADER_EXIT_RECORD": str(record)}
    rig.simulator()
    service = rig.service()
    rig.wait(lambda s: s.ready, "ready")
    service.send_signal(signal.SIGKILL)
    service.wait()
    record.write_text("{" if written is None else json.dumps(written))

    rig.service()

    snapshot = rig.wait(lambda s: s.ready, "ready again")
    assert snapshot.starts == {"deploy": 1, reason: 1}
    with urllib.request.urlopen(f"http://127.0.0.1:{rig.metrics_port}/metrics", timeout=60) as answer:
        assert f'trader_starts_total{{reason="{reason}"}} 1.0' in answer.read().decode()
    eventually(lambda: not record.exists(), "the record to be removed")
    if written is None:
        assert "does not tell how the last run ended" in rig.log()


def test_another_boot_of_the_host_is_told_apart(rig: Any) -> None:
    rig.environment["TRADER_BOOT_ID"] = "boot-1"
    rig.simulator()
    service = rig.service()
    rig.wait(lambda s: s.ready, "ready")
    service.send_signal(signal.SIGKILL)
    service.wait()

    rig.environment["TRADER_BOOT_ID"] = "boot-2"
    rig.service()

    assert rig.wait(lambda s: s.ready, "ready again").starts == {"deploy": 1, "boot": 1}
