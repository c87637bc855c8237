"""What the host runs out of while the service trades: disk, a writable file system, descriptors, memory, time.

The disk is a small one of the service's own, in a mount namespace that needs no privilege; the test reaches it through
the process. The steps of the clock are in tests/unit/engine/test_clock_steps.py, where one can be stepped.
"""

import os
import resource
import shutil
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from trader.contracts import TradingState
from trader.control_messages import Command
from trader.events import CancelIntended, FillBooked, OrderIntended
from trader.journal import JournalReader

pytestmark = pytest.mark.e2e

DISK_BYTES = 32 * 2**20
MEMORY_BYTES = 2**30
EXIT_UNUSABLE = 2
TURNER = {"name": "own_strategies:Turner", "parameters": {"period_s": 5}}
QUICK = {
    "gateway": {"heartbeat_interval_s": 0.5, "heartbeat_timeout_s": 1.5, "reconcile_interval_s": 2},
    "risk": {"max_orders_per_minute": 2_000, "price_collar_ratio": 0.5},
    "execution": {"retry_after_s": 1, "ack_timeout_s": 1},
}
# An order that stays at the broker: far from the touch, and nobody cancels it by itself.
PATIENT = {"cross_ticks": -100, "cancel_after_s": 3_600}
STRATEGIES = '''

class Hoarder(Buyer):
    """Keeps 20 MB of every quote."""

    name = "hoarder"
    kept = []

    def on_quote(self, quote, view):
        self.kept.append(bytearray(20_000_000))
        return super().on_quote(quote, view)


class Sleeper(Buyer):
    """Takes its time once it holds what it wants."""

    name = "sleeper"
    asked = 0

    def on_quote(self, quote, view):
        import time

        self.asked += 1
        if self.asked > 100:
            time.sleep(0.6)
        return super().on_quote(quote, view)
'''


class Confined:
    """A service whose journal is on a small disk that nobody else sees."""

    def __init__(self, rig: Any, eventually: Callable[..., Any]) -> None:
        self.rig = rig
        self.eventually = eventually
        self.disk = rig.folder / "disk"
        self.disk.mkdir()
        self.process: Any = None

    def configure(self, **sections: Any) -> None:
        journal = {"url": f"sqlite:///{self.disk}/journal.db"}
        self.rig.configure(**{**QUICK, "journal": journal, "strategy": TURNER, **sections})

    def start(self, then: str = "true") -> Any:
        """Mount the disk, do ``then`` in it, and become the service."""
        mount = f'mount -t tmpfs -o size={DISK_BYTES} none "$1" && {then} && exec "$2" -m trader run --config "$3"'
        command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", mount, "sh"]
        with (self.rig.folder / "service.log").open("a") as log:
            self.process = subprocess.Popen(
                [*command, str(self.disk), sys.executable, str(self.rig.config)],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True, env=self.rig.environment,
            )  # fmt: skip
        self.rig.processes.append(self.process)
        return self.process

    @property
    def inside(self) -> Path:
        """The disk, as the service sees it."""
        return Path(f"/proc/{self.process.pid}/root{self.disk}")

    def fill(self) -> None:
        with (self.inside / "fill").open("wb", buffering=0) as file, suppress(OSError):
            while file.write(bytes(4_096)):
                pass
        assert shutil.disk_usage(self.inside).free == 0

    def free(self) -> None:
        (self.inside / "fill").unlink()

    def remount(self, how: str) -> bool:
        """Make the disk ``ro`` or ``rw``; False while a file is open on it."""
        enter = ["nsenter", "--target", str(self.process.pid), "--user", "--mount", "--preserve-credentials"]
        done = subprocess.run(
            [*enter, "mount", "-o", f"remount,{how}", str(self.disk)], capture_output=True, check=False
        )
        return done.returncode == 0

    def facts(self) -> list[Any]:
        """What the journal holds, of a copy: SQLite does not follow the way through the process."""
        copy = self.rig.folder / "copy"
        shutil.rmtree(copy, ignore_errors=True)
        copy.mkdir()
        for name in ("journal.db", "journal.db-wal"):
            shutil.copy(self.inside / name, copy)
        with JournalReader.open(f"sqlite:///{copy}/journal.db") as journal:
            return [fact for _, fact in journal.read()]


@pytest.fixture
def confined(rig: Any, eventually: Any) -> Confined:
    tried = subprocess.run(
        ["unshare", "--user", "--map-root-user", "--mount", "true"], capture_output=True, check=False
    )
    if tried.returncode != 0:
        pytest.skip(f"this user may not have a mount namespace: {tried.stderr.decode().strip()}")
    return Confined(rig, eventually)


def page(rig: Any, path: str) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{rig.metrics_port}/{path}", timeout=60) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError as error:
        with error:
            return error.read().decode()


def begin(confined: Confined) -> None:
    """Trade until positions were turned over."""
    confined.rig.simulator("--speed", "20")
    confined.start()
    confined.rig.wait(lambda s: s.ready and s.activity.fills >= 4, "trading")


def without_journal(rig: Any, words: str) -> None:
    """Not ready, and everything that says so says why."""
    rig.wait(lambda s: not s.ready and any(words in problem for problem in s.problems), words)
    assert words in page(rig, "readyz")
    assert "trader_journal_up 0.0" in page(rig, "metrics")
    assert words in rig.log()


def opens_nothing(rig: Any) -> None:
    """The market goes on, and no position is opened or made larger."""
    rig.wait(lambda s: not s.open_orders, "orders to end")
    before = held(rig)
    ticks = rig.snapshot().activity.ticks
    rig.wait(lambda s: s.activity.ticks > ticks + 300, "the market to go on")
    after = held(rig)
    assert all(abs(quantity) <= abs(before.get(symbol, Decimal(0))) for symbol, quantity in after.items())


def held(rig: Any) -> dict[str, Decimal]:
    return {line.instrument.symbol: line.quantity for line in rig.broker_state().positions if line.quantity}


def panic_makes_flat(rig: Any, eventually: Any) -> None:
    (rig.folder / "panic.flag").touch()
    eventually(lambda: '"PanicCompleted"' in rig.log(), "the panic to be over", lambda: rig.log()[-3000:])
    assert held(rig) == {}
    assert rig.broker_state().open_orders == ()


def assert_books_are_the_brokers(rig: Any, eventually: Any, read: Callable[[], list[Any]]) -> None:
    """Every execution is in the journal once, no order is known twice, and what was sent was intended."""

    def agree() -> bool:
        booked = [fact.line.exec_id for fact in read() if isinstance(fact, FillBooked)]
        return sorted(booked) == sorted(line.exec_id for line in rig.broker_state().executions)

    eventually(agree, "every execution to be booked once", lambda: rig.log()[-3000:])
    state = rig.broker_state()
    intended = [fact.order_ref for fact in read() if isinstance(fact, OrderIntended)]
    assert len(intended) == len(set(intended))
    perm_ids: dict[str, set[int]] = {}
    for line in (*state.completed_orders, *state.executions):
        perm_ids.setdefault(line.order_ref, set()).add(line.perm_id)
    assert {ref for ref, ids in perm_ids.items() if len(ids) > 1} == set()
    assert set(perm_ids) <= set(intended)


# -- disk


def test_a_full_disk_opens_nothing_and_the_panic_works_and_room_brings_trading_back(confined: Confined) -> None:
    rig = confined.rig
    confined.configure()
    begin(confined)
    confined.fill()
    without_journal(rig, "no room is left on the disk")
    opens_nothing(rig)
    panic_makes_flat(rig, confined.eventually)
    confined.free()
    rig.wait(lambda s: s.ready and s.panic_completed, "ready without a restart")
    assert_books_are_the_brokers(rig, confined.eventually, confined.facts)
    rig.ask(Command.RESUME)
    fills = rig.snapshot().activity.fills
    rig.wait(lambda s: s.activity.fills >= fills + 2, "trading again")


def test_on_a_full_disk_an_order_is_cancelled_all_the_same(confined: Confined) -> None:
    rig = confined.rig
    confined.configure(execution=PATIENT, strategy={"name": "own_strategies:Buyer"})
    rig.simulator("--speed", "20")
    confined.start()
    rig.wait(lambda s: any(order.perm_id for order in s.open_orders), "an order at the broker")
    confined.fill()
    rig.ask(Command.HALT, reason="the disk is full")
    confined.eventually(lambda: rig.broker_state().open_orders == (), "the cancel", lambda: rig.log()[-3000:])
    without_journal(rig, "no room is left on the disk")
    confined.free()
    rig.wait(lambda s: s.ready and s.trading_state is TradingState.HALTED, "ready without a restart")
    assert any(isinstance(fact, CancelIntended) for fact in confined.facts())


def test_a_file_system_that_turns_read_only_is_told_as_such_and_outlasted(confined: Confined) -> None:
    rig = confined.rig
    confined.configure()
    begin(confined)
    confined.fill()
    without_journal(rig, "no room is left on the disk")
    confined.eventually(lambda: confined.remount("ro"), "the disk to be read-only")
    without_journal(rig, "Read-only file system")
    opens_nothing(rig)
    assert confined.remount("rw")
    confined.free()
    rig.wait(lambda s: s.ready, "ready without a restart")
    rig.ask(Command.HALT, reason="to compare")
    rig.wait(lambda s: s.ready and not s.open_orders, "no open orders")
    assert_books_are_the_brokers(rig, confined.eventually, confined.facts)


def test_a_journal_on_a_read_only_file_system_keeps_the_service_from_starting_with_one_sentence(
    confined: Confined,
) -> None:
    confined.configure()
    process = confined.start(then='mount -o remount,ro "$1"')
    assert process.wait(timeout=60) == EXIT_UNUSABLE
    log = confined.rig.log()
    assert log.splitlines()[-1].endswith("(Read-only file system)")
    assert "Traceback" not in log


# -- descriptors


def journal_lacks_descriptors(log: str) -> bool:
    return any("journal unavailable" in line and "Too many open files" in line for line in log.splitlines())


def test_clients_that_take_every_descriptor_stop_entries_and_not_the_panic(rig: Any, eventually: Any) -> None:
    rig.configure(**QUICK, strategy=TURNER)
    rig.simulator("--speed", "20")
    service = rig.service()
    rig.wait(lambda s: s.ready and s.activity.fills >= 4, "trading")
    before = resource.prlimit(service.pid, resource.RLIMIT_NOFILE)
    opened = len(os.listdir(f"/proc/{service.pid}/fd"))
    resource.prlimit(service.pid, resource.RLIMIT_NOFILE, (opened + 4, before[1]))
    clients = [socket.create_connection(("127.0.0.1", rig.metrics_port)) for _ in range(8)]
    try:
        eventually(lambda: journal_lacks_descriptors(rig.log()), "the log to say why", lambda: rig.log()[-3000:])
        eventually(lambda: '"not_ready"' in rig.log(), "an entry to be refused", lambda: rig.log()[-3000:])
        panic_makes_flat(rig, eventually)
    finally:
        for client in clients:
            client.close()
        resource.prlimit(service.pid, resource.RLIMIT_NOFILE, before)
    rig.wait(lambda s: s.ready and s.panic_completed, "ready without a restart")
    assert service.poll() is None
    assert_books_are_the_brokers(rig, eventually, rig.facts)


# -- memory and time


def test_a_strategy_that_takes_all_memory_is_suspended_and_the_panic_works(rig: Any, eventually: Any) -> None:
    with (rig.folder / "own_strategies.py").open("a") as file:
        file.write(STRATEGIES)
    rig.configure(**QUICK, strategy={"name": "own_strategies:Hoarder"})
    rig.simulator("--speed", "20")
    service = rig.service()
    resource.prlimit(service.pid, resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    suspended = rig.wait(lambda s: s.trading_state is TradingState.REDUCE_ONLY, "the strategy's end")
    assert "MemoryError" in suspended.state_reason
    panic_makes_flat(rig, eventually)
    assert service.poll() is None
    assert_books_are_the_brokers(rig, eventually, rig.facts)


def test_a_strategy_that_blocks_the_loop_is_suspended_and_its_position_can_be_closed(rig: Any, eventually: Any) -> None:
    with (rig.folder / "own_strategies.py").open("a") as file:
        file.write(STRATEGIES)
    rig.configure(**QUICK, strategy={"name": "own_strategies:Sleeper", "decision_time_max_s": 0.5})
    rig.simulator("--speed", "20")
    rig.service()
    suspended = rig.wait(lambda s: s.trading_state is TradingState.REDUCE_ONLY, "the strategy's end")
    assert "may take 0.5 s (strategy.decision_time_max_s)" in suspended.state_reason
    assert suspended.ready
    panic_makes_flat(rig, eventually)
    assert_books_are_the_brokers(rig, eventually, rig.facts)


# -- the journal's file


def test_a_journal_that_is_replaced_under_a_service_ends_it_with_one_sentence(rig: Any) -> None:
    rig.configure(**QUICK, strategy=TURNER)
    rig.simulator("--speed", "20")
    service = rig.service()
    rig.wait(lambda s: s.ready and s.activity.fills >= 4, "trading")
    file = rig.folder / "state" / "journal.db"
    copy = file.with_name("copy.db")
    shutil.copy(file, copy)
    content = copy.read_bytes()
    copy.replace(file)
    assert service.wait(timeout=60) == EXIT_UNUSABLE
    last = rig.log().splitlines()[-1]
    assert "another file is in the place of the journal" in last
    assert "facts are lost, and the next start asks the broker for what they told" in last
    assert file.read_bytes() == content
