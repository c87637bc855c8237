"""Where the journals of these tests are kept: a file, or a database of a real PostgreSQL server."""

from pathlib import Path

import pytest

from tests.tools.journals import Database


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "journal.db"


@pytest.fixture
def url(path: Path) -> str:
    return f"sqlite:///{path}"


@pytest.fixture
def file(url: str) -> Database:
    return Database(url)


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request: pytest.FixtureRequest) -> Database:
    """The same test, on either kind."""
    return Database(request.getfixturevalue("url" if request.param == "sqlite" else "postgres_url"))
