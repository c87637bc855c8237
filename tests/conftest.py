"""What all tests share: a seed that is printed when a random test fails, and a clock that is told the time."""

import gzip
import itertools
import random
import re
import tempfile
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from tests.tools.go_programs import GoProgram, NotBuilt, built
from tests.tools.postgres import PostgresServer, find_postgres
from trader.clock import ManualClock
from trader.stack import Programs, ProgramsMissing, Release, find_programs

# A failing example is printed with the blob that reproduces it; no deadline, because machines differ in speed.
settings.register_profile(
    "default",
    derandomize=False,
    print_blob=True,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("default")

# A Monday in a recorded session of the New York exchange, which is open from 13:30 to 20:00 UTC.
IN_SESSION = datetime(2013, 10, 7, 15, 0, tzinfo=UTC)

# The name under which a figure that a test measured travels with its report.
FIGURE = "measured"
# The databases of this process, by number.
DATABASES = itertools.count(1)
# What --dist loadgroup adds to the name of a test.
GROUP = re.compile(r"@[\w-]+$")
# Modules whose tests share what is dear to make, so that they belong to one worker.
TOGETHER = ("tests/e2e/test_maintenance_month.py", "tests/e2e/test_report_sorting.py")
# What takes longest is begun first, or else the last process works on it alone.
LONGEST = (
    "tests/systemd/test_maintenance.py", "tests/systemd/test_install.py", "tests/systemd/test_upgrade.py",
    "tests/systemd/test_panic.py", "tests/systemd/test_restarts.py", "tests/systemd/test_instances.py",
    "tests/rules/test_healthy_week.py", "tests/rules/test_mutants.py", "tests/unit/drills/test_soak.py",
    "tests/e2e/test_drills.py", "tests/e2e/test_policy_loop.py", "tests/e2e/test_maintenance_month.py",
    "tests/rules/test_slo_rules.py",
)  # fmt: skip
# What a test of the deployment has in its name.
ON_RELEASE = re.compile(r"\bsystemd-\d+\b")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, default=None, help="seed of the `seed` fixture, to repeat a failed run")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Puts the longest first, of the tests on machines and of the others."""
    rank = {module: number for number, module in enumerate(LONGEST)}

    def place(item: pytest.Item) -> tuple[bool, int]:
        module = item.nodeid.partition("::")[0]
        return not module.startswith("tests/systemd/"), rank.get(module, len(rank))

    items.sort(key=place)


@pytest.fixture
def seed(request: pytest.FixtureRequest) -> int:
    """A fresh seed for a random test; it is in the captured output that a failure shows. Repeat with --seed."""
    chosen = request.config.getoption("--seed")
    value = random.SystemRandom().randrange(2**32) if chosen is None else int(chosen)
    print(f"seed: {value} (repeat with: scripts/test --seed {value} {request.node.nodeid!r})")
    return value


@pytest.fixture
def manual_clock() -> ManualClock:
    """A clock that stands at Monday 2013-10-07 15:00 UTC until a test moves it."""
    return ManualClock(IN_SESSION)


@pytest.fixture(scope="session")
def programs() -> Programs:
    """Prometheus, promtool, Alertmanager, amtool and node_exporter; the test is skipped where they cannot be had."""
    try:
        return find_programs()
    except ProgramsMissing as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def go_program() -> Callable[[GoProgram], Path]:
    """Finds a linter or exporter that is built from source; the test is skipped where it cannot be had."""

    def find(program: GoProgram) -> Path:
        try:
            return built(program)
        except NotBuilt as error:
            pytest.skip(str(error))

    return find


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL server of this process's tests; they are skipped where it cannot be had."""
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        try:
            server = PostgresServer(find_postgres(), Path(folder))
        except ProgramsMissing as error:
            pytest.skip(str(error))
        server.create()
        try:
            yield server
        finally:
            server.stop()


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> str:
    """The address of an empty database of the test's own."""
    return postgres_server.create_database(f"test_{next(DATABASES)}")


# Programs of other releases than this machine's run when their packages are only unpacked.
RELEASES = {"here": None, "trixie": Release("trixie"), "sid": Release("sid")}


@pytest.fixture(scope="session", params=RELEASES)
def programs_of_release(request: pytest.FixtureRequest) -> Programs:
    """The programs of this machine, of Debian trixie and of Debian sid; skipped where they cannot be had."""
    try:
        return find_programs(release=RELEASES[request.param])
    except ProgramsMissing as error:
        pytest.skip(str(error))


@pytest.fixture
def measured(request: pytest.FixtureRequest) -> Callable[[str, float, str], None]:
    """Keeps a figure that the test observed, by name, value and unit, for the summary at the end of the run."""

    def keep(name: str, value: float, unit: str) -> None:
        figure = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
        request.node.user_properties.append((FIGURE, f"{name}: {figure} {unit}".rstrip()))

    return keep


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """With ``--dist loadgroup``, the tests of one module and release of systemd go to one process, with its machine.

    xdist tells groups by a suffix of a test's name, which pytest 9.2 does not let it write (pytest-xdist #1386).
    """
    if config.getoption("dist") != "loadgroup":
        return None
    from xdist.scheduler import LoadGroupScheduling

    config.option.loadscopereorder = False  # in the order of collection, whatever the number of tests in a group

    class OneMachine(LoadGroupScheduling):
        def _split_scope(self, nodeid: str) -> str:
            module, _, test = nodeid.partition("::")
            if module in TOGETHER:
                return module
            if not module.startswith("tests/systemd/"):
                return str(super()._split_scope(nodeid))
            release = ON_RELEASE.search(test)
            return f"{module} {release[0] if release else 'any'}"

    return OneMachine(config, log)


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Lists what was measured, by test; the figures come with the reports, from other processes too."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    figures = {
        (GROUP.sub("", report.nodeid).removeprefix("tests/"), text)
        for report in reports
        if isinstance(report, pytest.TestReport)
        for name, text in report.user_properties
        if name == FIGURE
    }
    if figures:
        terminalreporter.section("measured")
        for nodeid, text in sorted(figures):
            terminalreporter.write_line(f"{nodeid}  {text}")


class OtlpCollector:
    """An OTLP/HTTP receiver on loopback: keeps the spans, the paths and the headers of what it was sent."""

    def __init__(self, decode: Any, answer: int) -> None:
        self.spans: list[Any] = []
        self.resources: list[dict[str, str]] = []
        self.requests: list[tuple[str, dict[str, str]]] = []
        self._decode = decode
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                collector.requests.append((self.path, {name.lower(): text for name, text in self.headers.items()}))
                if answer == 200:
                    collector.take(gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body)
                self.send_response(answer)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def take(self, body: bytes) -> None:
        for resource_spans in self._decode(body).resource_spans:
            told = {item.key: item.value.string_value for item in resource_spans.resource.attributes}
            self.resources.append(told)
            for scope_spans in resource_spans.scope_spans:
                self.spans += scope_spans.spans

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def otlp_collector() -> Iterator[Callable[..., OtlpCollector]]:
    """Starts collectors of traces, which decode with the protocol's own definitions and answer with ``answer``."""
    proto = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
    made: list[OtlpCollector] = []

    def start(answer: int = 200) -> OtlpCollector:
        made.append(OtlpCollector(proto.ExportTraceServiceRequest.FromString, answer))
        return made[-1]

    yield start
    for collector in made:
        collector.close()
