"""Which kind of database an address means."""

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from trader.journal.backend import Backend
from trader.journal.errors import JournalAddressError
from trader.journal.postgres import PostgresBackend
from trader.journal.sqlite import SqliteBackend


def backend_for(url: str) -> Backend:
    """The backend for a journal's URL; raises JournalUnavailable when there is none."""
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise JournalAddressError(
            f"{url!r} is not a journal's address; write sqlite:///path/to/journal.db or postgresql+psycopg://…"
        ) from error
    if parsed.get_backend_name() == "sqlite":
        return SqliteBackend(parsed)
    if parsed.get_backend_name() == "postgresql":
        return PostgresBackend(parsed)
    raise JournalAddressError(f"a journal cannot be kept in {parsed.get_backend_name()}; use sqlite or postgresql")
