"""Machines with a real systemd for the tests of the deployment, each test on both releases.

Rules: every test here is marked `systemd` and belongs to one group per module and release, so that with
`--dist loadgroup` a module's machine is booted once; without it, once per worker. They are collected first (see
tests/conftest.py), because they take longest. Where the lab cannot run, they are skipped with the reason; with
TRADER_LAB=1 they fail instead.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab.errors import LabUnavailable
from tests.lab.host import is_required, require
from tests.lab.installed import boot_bare, boot_installed
from tests.lab.lab import Lab
from tests.lab.release import RELEASES, Release
from tests.lab.roots import root_of

HERE = Path(__file__).resolve().parent


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks and groups the tests of this folder."""
    ours = [item for item in items if item.path.is_relative_to(HERE)]
    for item in ours:
        item.add_marker("systemd")
        item.add_marker(pytest.mark.xdist_group(f"{item.path.stem}-{_release_of(item)}"))


def _release_of(item: pytest.Item) -> str:
    callspec = getattr(item, "callspec", None)  # only what is parametrized has one
    release = callspec.params.get("release") if callspec else None
    return release.name if isinstance(release, Release) else "any"


@pytest.fixture(scope="module", params=RELEASES.values(), ids=lambda release: release.id)
def release(request: pytest.FixtureRequest) -> Release:
    """A release of systemd that this machine can boot."""
    wanted: Release = request.param
    try:
        require(wanted)
        root_of(wanted)
    except LabUnavailable as error:
        if is_required():
            pytest.fail(f"{wanted} must be booted (TRADER_LAB=1) and cannot: {error}")
        pytest.skip(f"{wanted}: {error}")
    return wanted


@pytest.fixture(scope="module")
def bare(release: Release) -> Iterator[Lab]:
    """A module's machine with nothing installed; the checkout and wheels are at /opt/checkout and /opt/wheels."""
    with boot_bare(release) as lab:
        yield lab


@pytest.fixture(scope="module")
def installed(release: Release) -> Iterator[Lab]:
    """A module's machine with the product installed and running on the simulated gateway."""
    with boot_installed(release) as lab:
        yield lab
