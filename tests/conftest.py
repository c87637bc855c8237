"""What all tests share: a seed that is printed when a random test fails, and a clock that is told the time."""

import random
from datetime import UTC, datetime

import pytest
from hypothesis import HealthCheck, settings

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


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--seed", type=int, default=None, help="seed of the `seed` fixture, to repeat a failed run")


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


# Programs of other releases than this machine's run when their packages are only unpacked.
RELEASES = {"here": None, "trixie": Release("trixie"), "sid": Release("sid")}


@pytest.fixture(scope="session", params=RELEASES)
def programs_of_release(request: pytest.FixtureRequest) -> Programs:
    """The programs of this machine, of Debian trixie and of Debian sid; skipped where they cannot be had."""
    try:
        return find_programs(release=RELEASES[request.param])
    except ProgramsMissing as error:
        pytest.skip(str(error))
