"""What systemd is told."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from trader.clock import NANOSECONDS_PER_SECOND
from trader.systemd_notify import Watchdog, notify, reloading, watchdog_interval_s


def test_it_sends_to_a_socket_with_a_path(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "notify"))
        assert notify("READY=1\nSTATUS=trading", {"NOTIFY_SOCKET": str(tmp_path / "notify")})
        assert receiver.recv(100) == b"READY=1\nSTATUS=trading"


def test_it_sends_to_an_abstract_socket(tmp_path: Path) -> None:
    name = str(tmp_path / "abstract")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind("\0" + name)
        assert notify("WATCHDOG=1", {"NOTIFY_SOCKET": "@" + name})
        assert receiver.recv(100) == b"WATCHDOG=1"


@pytest.mark.parametrize("environment", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "relative"}])
def test_it_is_silent_when_systemd_does_not_listen(environment: dict[str, str]) -> None:
    assert not notify("READY=1", environment)


def test_a_socket_that_is_gone_is_no_error(tmp_path: Path) -> None:
    assert not notify("READY=1", {"NOTIFY_SOCKET": str(tmp_path / "gone")})


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "nonsense"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "20000000"}, 10.0),
        ({"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": str(os.getpid())}, 10.0),
        ({"WATCHDOG_USEC": "20000000", "WATCHDOG_PID": "1"}, None),
    ],
)
def test_the_watchdog_is_fed_at_half_its_limit(environment: dict[str, str], expected: float | None) -> None:
    assert watchdog_interval_s(environment) == expected


class Manager:
    """Takes what systemd would be told."""

    def __init__(self, folder: Path) -> None:
        path = folder / "notify"
        self._receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._receiver.bind(str(path))
        self._receiver.setblocking(False)
        self.environment = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "10000000"}

    def told(self) -> list[str]:
        messages: list[str] = []
        while True:
            try:
                messages.append(self._receiver.recv(1_000).decode())
            except BlockingIOError:
                return messages

    def close(self) -> None:
        self._receiver.close()


@pytest.fixture
def manager() -> Iterator[Manager]:
    # pytest's own folders can be longer than the 107 bytes that a socket's path may have.
    with TemporaryDirectory() as folder:
        manager = Manager(Path(folder))
        yield manager
        manager.close()


def test_a_reload_is_told_from_its_begin_to_its_end(manager: Manager) -> None:
    with reloading(5_000_000, manager.environment):
        assert manager.told() == ["RELOADING=1\nMONOTONIC_USEC=5000"]
    assert manager.told() == ["READY=1"]


def test_a_reload_that_fails_is_over_too(manager: Manager) -> None:
    with pytest.raises(KeyError), reloading(0, manager.environment):
        raise KeyError
    assert manager.told()[-1] == "READY=1"


def test_the_watchdog_is_fed_twice_in_its_limit_while_there_is_progress(manager: Manager) -> None:
    watchdog = Watchdog(manager.environment)
    for tenth in range(201):
        watchdog.look(tenth, tenth * NANOSECONDS_PER_SECOND // 10)
    assert manager.told() == ["WATCHDOG=1"] * 5  # at 0, 5, 10, 15 and 20 s


def test_the_watchdog_starves_when_the_loop_runs_and_the_engine_does_nothing(manager: Manager) -> None:
    watchdog = Watchdog(manager.environment)
    watchdog.look(7, 0)
    manager.told()
    for second in range(1, 60):
        watchdog.look(7, second * NANOSECONDS_PER_SECOND)
    assert manager.told() == []
    watchdog.look(8, 60 * NANOSECONDS_PER_SECOND)
    assert manager.told() == ["WATCHDOG=1"]


def test_nobody_is_told_where_no_watchdog_waits(manager: Manager) -> None:
    Watchdog({**manager.environment, "WATCHDOG_USEC": "0"}).look(1, 0)
    assert manager.told() == []
