"""The journal: the durable facts, in order, append-only, and what the engine's state is rebuilt from.

Rules: ``append`` is one transaction, and when it returns the facts survive any crash of the process; facts
are never changed or removed; one process writes, any number read. What cannot be written or read is a
``JournalError`` whose text is one sentence: what, where, what to do.
"""

from trader.journal.api import Durability, Journal, JournalReader, require_address
from trader.journal.errors import (
    JournalAddressError,
    JournalDamaged,
    JournalError,
    JournalFull,
    JournalLocked,
    JournalReadOnly,
    JournalReplaced,
    JournalTooNew,
    JournalUnavailable,
)
from trader.journal.memory import MemoryJournal, NullJournal
from trader.journal.patient import PatientJournal

__all__ = [
    "Durability",
    "Journal",
    "JournalAddressError",
    "JournalDamaged",
    "JournalError",
    "JournalFull",
    "JournalLocked",
    "JournalReadOnly",
    "JournalReader",
    "JournalReplaced",
    "JournalTooNew",
    "JournalUnavailable",
    "MemoryJournal",
    "NullJournal",
    "PatientJournal",
    "require_address",
]
