"""What can go wrong with a backup, by what follows from it. The text of each is one sentence for the operator."""

import errno
from pathlib import Path
from typing import Final

REASONS: Final = {
    errno.ENOSPC: "no room is left on its disk; free some",
    errno.EDQUOT: "the quota of this user is used up; free some",
    errno.EFBIG: "a file may not grow so large here; raise the limit (ulimit -f)",
    errno.EACCES: "this user may not; run this as the user of the service, or grant it",
    errno.EPERM: "this user may not; run this as the user of the service, or grant it",
    errno.EROFS: "its file system is read-only; name another folder",
    errno.ENOENT: "it is not there",
    errno.ENOTDIR: "a part of the path is no folder",
    errno.ELOOP: "it is a link, which is not followed",
    errno.EIO: "its disk failed; check the disk",
}


class BackupError(Exception):
    """What was asked did not come true; everything that was there before is as it was."""


class BackupRefused(BackupError):
    """What was asked cannot be done as things are, or not without saying so explicitly."""


class BackupBusy(BackupError):
    """Another run works on the same folder."""


class BackupDamaged(BackupError):
    """A backup is not what it was made as."""


def reason(error: OSError) -> str:
    """Why the system refused, and what helps."""
    return REASONS.get(error.errno or 0, error.strerror or str(error))


def unwritable(path: Path, error: OSError) -> BackupError:
    """The sentence for a file or folder that cannot be written."""
    return BackupError(f"{path} cannot be written: {reason(error)}")


def unreadable(path: Path, error: OSError) -> BackupError:
    """The sentence for a file or folder that cannot be read."""
    return BackupError(f"{path} cannot be read: {reason(error)}")
