"""Prometheus, Alertmanager and node_exporter on loopback, with the shipped files, for as long as a block lasts.

    async with Stack(StackOptions(folder=folder, traders=("127.0.0.1:9464",))) as stack:
        await stack.query("trader_ready")

Rules: everything listens on 127.0.0.1, on ports given by the system, and writes below ``folder``. Children end with the
block, and with this process however it ends. What differs from the shipped files is only what ``files.py`` lists.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, suppress
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, TypeVar

import msgspec

from trader.clock import NANOSECONDS_PER_SECOND, Clock, SystemClock
from trader.session import BrokerWindows, CalendarError, SessionCalendar
from trader.session.calendar import ALWAYS
from trader.stack import commands
from trader.stack.children import Child, free_port
from trader.stack.client import Client, RoutedAlert, RuleAlert, Sample, Series
from trader.stack.errors import StackError
from trader.stack.files import copy_rules, read_yaml, render_alertmanager, render_prometheus, write_yaml
from trader.stack.inbox import RECEIVERS, Inbox
from trader.stack.programs import ROOT, Programs, find_programs
from trader.stack.session_file import write_session_file
from trader.textfile import TextfileError

ALERTS_FOLDER: Final = ROOT / "alerts"
SESSION_REFRESH_S: Final = 30.0
START_ATTEMPTS: Final = 3
POLL_S: Final = 0.1
PORT_TAKEN: Final = "address already in use"

Entry = dict[str, Any]
Answer = TypeVar("Answer")


class StackOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What a stack runs with. Intervals are the shipped ones where None.

    ``traders`` are addresses of /metrics. ``targets`` are further jobs, as entries of static_configs. ``calendar`` is
    whose session is announced; ``always`` is in session at any time, and None announces nothing. ``receivers`` are
    URLs of receivers that do not go to the inbox. ``token`` is the bearer token of all receivers; by default a random
    one. ``hold_ratio`` shortens ``for`` and ``keep_firing_for``; 1 keeps them as shipped. ``timing_s`` replaces
    Alertmanager's group_wait, group_interval and repeat_interval. ``resend_s`` is how often Prometheus repeats an
    alert; one that it stops repeating ends after four times that (or four evaluations).
    """

    folder: Path
    alerts: Path = ALERTS_FOLDER
    traders: tuple[str, ...] = ()
    targets: Mapping[str, list[Entry]] = {}
    scrape_interval_s: float | None = None
    evaluation_interval_s: float | None = None
    hold_ratio: float = 1.0
    timing_s: Mapping[str, float] | None = None
    resend_s: float = 60.0
    calendar: str | None = "XNYS"
    receivers: Mapping[str, str] = {}
    token: str | None = None
    node_exporter: bool = True
    prometheus_port: int = 0
    alertmanager_port: int = 0
    retention: str = "15d"
    programs: Programs | None = None


class Stack:
    """A running monitoring stack; raises StackError when it cannot run. See the module for an example."""

    def __init__(self, options: StackOptions, clock: Clock | None = None) -> None:
        self.options = options
        self.folder = options.folder
        self.textfile_folder = options.folder / "textfile"
        self.token = options.token or secrets.token_urlsafe(24)
        self.token_file = options.folder / "token"
        self.children: dict[str, Child] = {}
        self._clock = clock or SystemClock()
        self.inbox = Inbox(self.token, self._clock)
        self._targets: dict[str, list[Entry]] = {}
        self._exit = AsyncExitStack()
        self._calendar: SessionCalendar | None = None
        self._windows: BrokerWindows | None = None
        self._client: Client | None = None

    # -- running

    async def __aenter__(self) -> "Stack":
        try:
            await self._start()
        except BaseException:
            await self._exit.aclose()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._exit.aclose()

    async def _start(self) -> None:
        programs = self.options.programs
        if programs is None:
            programs = await asyncio.to_thread(find_programs)
        self._prepare_folder()
        await self.inbox.start()
        self._exit.push_async_callback(self.inbox.stop)
        await self._start_alertmanager(programs)
        if self.options.node_exporter:
            await self._start_node_exporter(programs)
        await self._start_prometheus(programs)
        self._client = Client(self.prometheus_url, self.alertmanager_url)
        self._exit.push_async_callback(self._client.close)

    def _prepare_folder(self) -> None:
        for folder in (self.folder, self.textfile_folder):
            folder.mkdir(parents=True, exist_ok=True)
        self.token_file.touch(mode=0o600)
        self.token_file.write_text(self.token)
        options = self.options
        copy_rules(options.alerts / "rules", self.folder / "rules", options.hold_ratio, options.evaluation_interval_s)
        if options.calendar is not None:
            self._calendar = SessionCalendar.load(options.calendar)
            self._windows = None if options.calendar == ALWAYS else BrokerWindows.load()
            self._announce_session()
            refreshing = asyncio.create_task(self._keep_announcing(), name="session file")
            self._exit.push_async_callback(_cancelled, refreshing)

    async def _start_alertmanager(self, programs: Programs) -> None:
        urls = {name: f"{self.inbox.url}/{name}" for name in RECEIVERS} | dict(self.options.receivers)
        shipped = read_yaml(self.options.alerts / "alertmanager.yml")
        config = self.folder / "alertmanager.yml"
        write_yaml(config, render_alertmanager(shipped, urls, self.token_file, self.options.timing_s))

        async def attempt() -> Child:
            port = self.options.alertmanager_port or free_port()
            command = commands.alertmanager(programs.alertmanager, config, self.folder / "alertmanager", port)
            return await self._child("alertmanager", command, port, "/-/ready")

        await self._start_child(attempt)

    async def _start_node_exporter(self, programs: Programs) -> None:
        async def attempt() -> Child:
            port = free_port()
            command = commands.node_exporter(programs.node_exporter, self.textfile_folder, port)
            return await self._child("node_exporter", command, port, "/")

        await self._start_child(attempt)

    async def _start_prometheus(self, programs: Programs) -> None:
        async def attempt() -> Child:
            port = self.options.prometheus_port or free_port()
            self._targets = self._initial_targets(port)
            self._write_prometheus_file()
            command = commands.prometheus(
                programs.prometheus, self.folder, port, self.options.retention, self.options.resend_s
            )
            return await self._child("prometheus", command, port, "/-/ready")

        await self._start_child(attempt)

    async def _child(self, name: str, command: list[str], port: int, ready_path: str) -> Child:
        child = Child(name, command, f"http://127.0.0.1:{port}", ready_path, self.folder / f"{name}.log", self._clock)
        await child.start()
        return child

    async def _start_child(self, attempt: Callable[[], Awaitable[Child]]) -> None:
        """A free port can be taken by another program before ours listens on it: then with another one."""
        for remaining in reversed(range(START_ATTEMPTS)):
            try:
                child = await attempt()
            except StackError as error:
                if remaining and PORT_TAKEN in str(error):
                    continue
                raise
            self.children[child.name] = child
            self._exit.push_async_callback(child.stop)
            return

    # -- configuration

    def _initial_targets(self, prometheus_port: int) -> dict[str, list[Entry]]:
        targets: dict[str, list[Entry]] = {"trader": [{"targets": [address]} for address in self.options.traders]}
        if self.options.node_exporter:
            targets["node"] = [{"targets": [_address(self.node_exporter.url)]}]
        targets["prometheus"] = [{"targets": [f"127.0.0.1:{prometheus_port}"]}]
        targets["alertmanager"] = [{"targets": [_address(self.alertmanager_url)]}]
        return targets | dict(self.options.targets)

    def _write_prometheus_file(self) -> None:
        options = self.options
        shipped = read_yaml(options.alerts / "prometheus.yml")
        content = render_prometheus(shipped, self._targets, options.scrape_interval_s, options.evaluation_interval_s)
        write_yaml(self.folder / "prometheus.yml", content)

    async def set_targets(self, job: str, entries: list[Entry]) -> None:
        """Replace the targets of ``job`` (an empty list removes the job) and have Prometheus read it."""
        self._targets[job] = entries
        self._write_prometheus_file()
        await self.reload()

    async def reload(self) -> None:
        """Have Prometheus read its configuration and rules again; raises StackError when it refuses them."""
        await self.client.reload()

    # -- the exchange's session

    def _announce_session(self) -> None:
        assert self._calendar is not None
        file = self.textfile_folder / "session.prom"
        write_session_file(file, self._calendar, self._windows, self._clock.now())

    async def _keep_announcing(self) -> None:
        while True:
            await asyncio.sleep(SESSION_REFRESH_S)
            with suppress(CalendarError, TextfileError):
                self._announce_session()

    # -- asking

    @property
    def prometheus(self) -> Child:
        return self.children["prometheus"]

    @property
    def alertmanager(self) -> Child:
        return self.children["alertmanager"]

    @property
    def node_exporter(self) -> Child:
        return self.children["node_exporter"]

    @property
    def prometheus_url(self) -> str:
        return self.prometheus.url

    @property
    def alertmanager_url(self) -> str:
        return self.alertmanager.url

    @property
    def client(self) -> Client:
        """Everything that can be asked of the two servers."""
        if self._client is None:
            raise StackError("the stack is not running; use it in: async with Stack(options) as stack")
        return self._client

    async def query(self, expression: str, at: datetime | None = None) -> list[Sample]:
        """The instant value of a PromQL expression."""
        return await self.client.query(expression, at)

    async def query_range(self, expression: str, start: datetime, end: datetime, step_s: float) -> list[Series]:
        """The values of a PromQL expression over time."""
        return await self.client.query_range(expression, start, end, step_s)

    async def alerts(self) -> list[RuleAlert]:
        """The pending and firing alerts, by Prometheus."""
        return await self.client.alerts()

    async def wait_for(self, condition: Callable[[], Awaitable[Answer]], what: str, timeout_s: float) -> Answer:
        """The first true answer of ``condition``, asked again and again; raises StackError with ``what``."""
        deadline_ns = self._clock.monotonic_ns() + int(timeout_s * NANOSECONDS_PER_SECOND)
        while True:
            answer = await condition()
            if answer:
                return answer
            if self._clock.monotonic_ns() > deadline_ns:
                raise StackError(f"waited {timeout_s:g} s for {what}")
            await asyncio.sleep(POLL_S)

    async def wait_until_scraped(self, timeout_s: float = 60.0) -> None:
        """Wait until every target was scraped once with success; raises StackError that names those that were not."""
        expected = sum(len(entry["targets"]) for entries in self._targets.values() for entry in entries)

        async def all_up() -> bool:
            targets = await self.client.targets()
            return len(targets) == expected and all(target["health"] == "up" for target in targets)

        try:
            await self.wait_for(all_up, "the targets", timeout_s)
        except StackError as error:
            down = [f"{t['scrapeUrl']}: {t['lastError']}" for t in await self.client.targets() if t["health"] != "up"]
            raise StackError(f"{error}; down: {'; '.join(down) or 'none, but some are not known yet'}") from None

    async def routed_alerts(self) -> list[RoutedAlert]:
        """The alerts that Alertmanager knows, silenced ones too."""
        return await self.client.routed_alerts()


def _address(url: str) -> str:
    return url.removeprefix("http://")


async def _cancelled(task: "asyncio.Task[None]") -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
