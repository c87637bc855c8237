"""A journal in a real PostgreSQL server: dumped, verified without the server, and brought back by psql."""

import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy import make_url

from tests.tools.postgres import PostgresServer
from trader.clock import ManualClock
from trader.contracts import Instrument, Side, TradingMode
from trader.events import (
    CommissionBooked,
    CommissionLine,
    ExecutionLine,
    FillBooked,
    ServiceStarted,
    ServiceStopped,
    StartReason,
)
from trader.journal import Journal
from trader.maintenance.backup import (
    BackupDamaged,
    BackupError,
    BackupRefused,
    Keep,
    Subject,
    create,
    restore_state,
    restore_to,
    verify,
)

pytestmark = pytest.mark.e2e

AT = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)
TABLES = """
CREATE TABLE meta (key VARCHAR(64) PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE facts (seq BIGINT PRIMARY KEY, at VARCHAR(32) NOT NULL, kind VARCHAR(64) NOT NULL, body TEXT NOT NULL);
"""


@pytest.fixture
def server(postgres_server: PostgresServer) -> PostgresServer:
    if shutil.which("pg_dump") is None:
        pytest.skip("pg_dump is not installed here")
    return postgres_server


def facts() -> list[Any]:
    started = ServiceStarted(
        at=AT, run_id="r", reason=StartReason.MANUAL, previous_exit_clean=True, version="0.1.0",
        mode=TradingMode.PAPER, account="DU7", config_hash="abc",
    )  # fmt: skip
    line = ExecutionLine(
        exec_id="1.01", order_id=1, perm_id=1, client_id=1, order_ref="", instrument=Instrument(symbol="SPY"),
        side=Side.BUY, quantity=Decimal(30), price=Decimal("167.55"), executed_at=AT,
    )  # fmt: skip
    fill = FillBooked(
        at=AT, order_ref="", line=line, corrects=None, replaced_quantity=Decimal(0), slippage_ratio=None,
        fill_duration_s=None,
    )  # fmt: skip
    cost = CommissionBooked(at=AT, line=CommissionLine(exec_id="1.01", amount=Decimal("1.25"), currency="USD"))
    # What COPY has to escape.
    stopped = ServiceStopped(at=AT, run_id="r", reason='a tab \t, a \\ , a "quote",\nanother line; übrig', clean=True)
    return [started, fill, cost, stopped]


def rows_of(folder: Path) -> list[tuple[int, str, str, str]]:
    """The rows of a journal with these facts, as the product writes them."""
    path = folder / "rows.db"
    with Journal.open(f"sqlite:///{path}") as journal:
        journal.append(facts())
    with closing(sqlite3.connect(path)) as database:
        return list(database.execute("SELECT seq, at, kind, body FROM facts ORDER BY seq"))


def literal(text: object) -> str:
    return "'" + str(text).replace("'", "''") + "'"


@pytest.fixture
def subject(server: PostgresServer, postgres_url: str, tmp_path: Path) -> Subject:
    """A journal in a database whose rows do not lie in order."""
    url, books = postgres_url, str(make_url(postgres_url).database)
    rows = rows_of(tmp_path)
    inserts = [f"INSERT INTO facts VALUES ({s}, {', '.join(map(literal, rest))});" for s, *rest in reversed(rows)]
    server.psql(books, TABLES + "INSERT INTO meta VALUES ('schema_version', '1');\n" + "\n".join(inserts))
    config = tmp_path / "config.yaml"
    config.write_text(f"instruments: [SPY]\njournal: {{url: '{url}'}}\n")
    return Subject(
        journal_url=url, mode=TradingMode.PAPER, account="DU7", base_currency="USD",
        config_hash="abc", version="0.1.0", files=(config,),
    )  # fmt: skip


def test_it_is_dumped_verified_and_brought_back_by_psql(
    server: PostgresServer, subject: Subject, tmp_path: Path
) -> None:
    clock = ManualClock(AT)
    made = create(subject, tmp_path / "backups", Keep(), clock)
    assert [member.name for member in made.manifest.members] == ["journal.sql", "config/config.yaml"]
    assert made.manifest.masked == ("config/config.yaml",)
    books = verify(made.path).manifest.books
    assert (books.last_sequence, books.positions["SPY"].quantity) == (4, Decimal(30))
    assert books.balances["USD"].commission == Decimal("1.25")

    with pytest.raises(BackupRefused, match="psql --single-transaction"):
        restore_state(made.path, subject, tmp_path / "control.sock", clock, replace=True)
    out = restore_to(made.path, tmp_path / "out").journal
    again_url = server.create_database("again")
    server.psql("again", out.read_text())

    query = "SELECT seq, at, kind, md5(body) FROM facts ORDER BY seq"
    assert server.psql("again", query) == server.psql(str(make_url(subject.journal_url).database), query)
    clock.advance(timedelta(minutes=1))
    again = create(msgspec.structs.replace(subject, journal_url=again_url), tmp_path / "backups", Keep(), clock)
    assert again.manifest.books == books


def test_a_dump_that_is_cut_off_or_lacks_a_fact_is_damage(
    subject: Subject, server: PostgresServer, tmp_path: Path
) -> None:
    from trader.maintenance.backup.verify import require_books

    made = create(subject, tmp_path / "backups", Keep(), ManualClock(AT))
    out = restore_to(made.path, tmp_path / "out").journal
    lines = out.read_text().splitlines(keepends=True)
    first_row = next(number for number, line in enumerate(lines) if line.startswith("COPY public.facts")) + 1
    for damaged, said in (
        (lines[: len(lines) // 2], "cut off"),
        ([*lines[:first_row], *lines[first_row + 1 :]], "is missing|other books"),
        ([*lines[:first_row], "x\ty\n", *lines[first_row:]], "a row of the dump"),
    ):
        out.write_text("".join(damaged))
        with pytest.raises(BackupDamaged, match=said):
            require_books(out, made.manifest, "a backup")


def test_a_server_that_refuses_is_one_sentence_without_the_password(
    subject: Subject, server: PostgresServer, tmp_path: Path
) -> None:
    url = server.url("nosuch").replace("unused", "hunter2")
    with pytest.raises(BackupError, match="pg_dump of postgresql://") as refused:
        create(msgspec.structs.replace(subject, journal_url=url), tmp_path / "backups", Keep(), ManualClock(AT))
    assert "hunter2" not in str(refused.value)
    assert "\n" not in str(refused.value)


def test_without_pg_dump_it_says_what_to_install(
    subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BackupError, match="pg_dump is not there; install it"):
        create(subject, tmp_path / "backups", Keep(), ManualClock(AT))
