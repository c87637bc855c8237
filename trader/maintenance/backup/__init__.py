"""Backups of the books: made while the service trades, verified as soon as they are made, restored by moving aside.

Rules: a backup is one file and its checksum, and is there as a whole or not at all; it is written by nobody but
``create`` and removed by nobody but the retention, which keeps the newest one that verifies. A backup never holds a
secret. Live state is never deleted and never overwritten: a restore moves it aside. What goes wrong is a
``BackupError`` whose text is one sentence: what, where, what to do.
"""

from trader.maintenance.backup.create import Created, Subject, create
from trader.maintenance.backup.errors import BackupBusy, BackupDamaged, BackupError, BackupRefused
from trader.maintenance.backup.folder import Entry, Keep, entries, find
from trader.maintenance.backup.model import Books, Manifest
from trader.maintenance.backup.restore import Restored, restore_state, restore_to
from trader.maintenance.backup.verify import Verified, verify

__all__ = [
    "BackupBusy",
    "BackupDamaged",
    "BackupError",
    "BackupRefused",
    "Books",
    "Created",
    "Entry",
    "Keep",
    "Manifest",
    "Restored",
    "Subject",
    "Verified",
    "create",
    "entries",
    "find",
    "restore_state",
    "restore_to",
    "verify",
]
