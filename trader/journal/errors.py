"""What can go wrong with a journal, by kind. The text of each is one sentence for the operator."""


class JournalError(Exception):
    """The journal cannot be used as asked; nothing was written."""


class JournalLocked(JournalError):
    """Another process writes to this journal."""


class JournalDamaged(JournalError):
    """The file is not a journal, or not a whole one. ``sequence`` is the fact's, where one is to blame."""

    def __init__(self, message: str, sequence: int | None = None) -> None:
        super().__init__(message)
        self.sequence = sequence


class NotAJournal(JournalDamaged):
    """It is a database, of something else."""


class JournalFull(JournalError):
    """There is no room left on the disk."""


class JournalReadOnly(JournalError):
    """The journal may be read but not written."""


class JournalUnavailable(JournalError):
    """The journal cannot be reached: a missing file, a bad address, a failing disk."""


class JournalReplaced(JournalError):
    """What was opened again is another journal than the one that was lost."""


class JournalAddressError(JournalUnavailable):
    """The setting is no journal's address."""


class JournalTooNew(JournalError):
    """The journal was written by a later version of the product."""
