"""Makes a whole journal of a damaged file: a copy first, then what is readable up to the first damage.

Rules: nothing is changed before a copy of the journal and its log is on the disk, and the file is replaced in one
rename by a journal that was verified. Refused while a service holds the lock, for a journal that is whole, is of a
later release or is none, and where not one fact can be saved. A database server's files are its administrator's.
"""

import os
import shutil
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from trader.clock import Clock
from trader.events import AnyDurableFact
from trader.journal.api import Journal
from trader.journal.backends import backend_for
from trader.journal.database import require_journal
from trader.journal.errors import (
    JournalDamaged,
    JournalError,
    JournalReadOnly,
    JournalTooNew,
    JournalUnavailable,
    NotAJournal,
)
from trader.journal.lock import FileLock
from trader.journal.verify import Fold, Verdict, connection_to, file_of, verify, whole_facts

BATCH_FACTS: Final = 1_000
LOGS: Final = ("-wal", "-shm")


class Repaired(msgspec.Struct, frozen=True, kw_only=True):
    """``kept`` is the folder of the copy, ``problems`` what was wrong, ``lost_after`` the last saved fact's time."""

    journal: str
    kept: str
    facts: int
    lost_after: datetime
    problems: list[str]


def repair(url: str, new_fold: Callable[[], Fold], clock: Clock) -> Repaired:
    """Salvage the journal at ``url``; ``new_fold`` begins the books anew. Raises JournalError, with nothing changed."""
    path = file_of(url)
    if path is None:
        raise JournalUnavailable(
            f"{backend_for(url).where} is not a file that can be repaired here: stop the service, have the server's "
            "administrator recover the database or bring a backup back with psql (docs/backups.md), then start again"
        )
    if not path.is_file():
        raise JournalUnavailable(f"there is no journal at {path}; check journal.url")
    lock = FileLock(path)
    try:
        verdict = verify(url, new_fold(), is_locked=True)
        _require_ours(url, verdict)
        kept = _keep(path, clock)
        saved = _salvage(kept / path.name, path.with_name(f"{path.name}.repaired"), new_fold, clock)
        _replace(path, path.with_name(f"{path.name}.repaired"))
    except OSError as error:
        raise JournalReadOnly(f"{path} cannot be repaired ({error.strerror}: {error.filename})") from error
    finally:
        lock.release()
    assert saved.last_at is not None
    return Repaired(
        journal=str(path), kept=str(kept), facts=saved.facts, lost_after=saved.last_at, problems=_lost(verdict)
    )


def _lost(verdict: Verdict) -> list[str]:
    return [*verdict.problems, *([f"{verdict.tail}, as a crash leaves them"] if verdict.tail else [])]


def _require_ours(url: str, verdict: Verdict) -> None:
    """Raise for a journal that is whole, or that this program has no business with."""
    if verdict.ok:
        raise JournalError(
            f"the journal {verdict.journal} is whole ({verdict.facts} facts): there is nothing to repair"
        )
    backend = backend_for(url)
    try:
        require_journal(backend, connection_to(backend)).close()
    except (JournalTooNew, NotAJournal):
        raise
    except JournalError:
        pass  # that is what is to be repaired


def _keep(path: Path, clock: Clock) -> Path:
    """A folder with a copy of the journal and its log, on the disk."""
    folder = path.with_name(f"{path.name}.damaged-{clock.now().astimezone(UTC):%Y%m%dT%H%M%S}Z")
    folder.mkdir(mode=0o700)
    for name in (path.name, f"{path.name}-wal"):
        if path.with_name(name).exists():
            shutil.copy2(path.with_name(name), folder / name)
            _sync(folder / name)
    _sync(folder)
    _sync(folder.parent)
    return folder


def _salvage(copy: Path, target: Path, new_fold: Callable[[], Fold], clock: Clock) -> Verdict:
    """Write what is whole in ``copy`` to the new journal ``target``; raises JournalError where that is nothing."""
    _remove(target)
    facts = _readable(copy, new_fold())
    if not facts:
        raise JournalDamaged(
            f"not one fact of {copy.name} can be saved; bring a backup back (trader backup restore), or move the file "
            f"away to begin with the broker's positions; a copy is in {copy.parent}"
        )
    url = f"sqlite:///{target}"
    with Journal.open(url, "power", clock) as journal:
        for start in range(0, len(facts), BATCH_FACTS):
            journal.append(facts[start : start + BATCH_FACTS])
    written = verify(url, new_fold())
    if not written.ok or written.facts != len(facts):
        _remove(target)
        raise JournalDamaged(f"what was saved of {copy.name} is not whole ({'; '.join(written.problems)})")
    return written


def _readable(copy: Path, fold: Fold) -> list[AnyDurableFact]:
    backend = backend_for(f"sqlite:///{copy}")
    facts: list[AnyDurableFact] = []
    with (
        suppress(JournalError),
        closing(connection_to(backend)) as connection,
        closing(whole_facts(connection, backend, Verdict(journal=copy.name))) as whole,
    ):
        for fact in whole:
            try:
                fold(fact)
            except Exception:  # noqa: BLE001 - a fact that contradicts those before it is where the damage begins
                break
            facts.append(fact)
    return facts


def _replace(path: Path, repaired: Path) -> None:
    """Put ``repaired`` in the place of ``path``, whose log would be taken for the new file's: it goes first."""
    _sync(repaired)
    for log in LOGS:
        path.with_name(path.name + log).unlink(missing_ok=True)
    repaired.replace(path)
    _sync(path.parent)
    _remove(repaired)


def _remove(path: Path) -> None:
    for end in ("", *LOGS, ".lock"):
        path.with_name(path.name + end).unlink(missing_ok=True)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
