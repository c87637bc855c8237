"""What the host tells about this start: which boot it is in, and how the last run ended.

Rules: systemd tells through two variables of the unit, ``$TRADER_BOOT_ID`` and ``$TRADER_EXIT_RECORD``, the file that
its ``ExecStopPost=`` wrote. Without systemd both are silent. A record that cannot be read is said and is no reason
not to start.
"""

import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

logger = logging.getLogger(__name__)

RECORD_MAX_BYTES: Final = 4_096


class ExitRecord(msgspec.Struct, frozen=True):
    """How systemd saw the last run end: ``$SERVICE_RESULT``, ``$EXIT_CODE`` and ``$EXIT_STATUS``."""

    result: str = ""
    exit_code: str = ""
    exit_status: str = ""


def boot_id(environment: Mapping[str, str] = os.environ) -> str:
    """The id of the host's boot; empty where nobody tells it."""
    return environment.get("TRADER_BOOT_ID", "")


def exit_record(environment: Mapping[str, str] = os.environ) -> ExitRecord:
    """How the last run ended; empty where there is no record, or none that can be read."""
    file = _record_file(environment)
    if file is None:
        return ExitRecord()
    try:
        with file.open("rb") as stream:
            return msgspec.json.decode(stream.read(RECORD_MAX_BYTES), type=ExitRecord)
    except FileNotFoundError:
        return ExitRecord()
    except (OSError, msgspec.DecodeError) as error:
        logger.warning("%s does not tell how the last run ended (%s); the journal is asked alone", file, error)
        return ExitRecord()


def forget_exit(environment: Mapping[str, str] = os.environ) -> None:
    """Remove the record, once what it tells is in the journal."""
    file = _record_file(environment)
    if file is None:
        return
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        logger.warning("%s cannot be removed (%s); the next start may read it again", file, error.strerror)


def _record_file(environment: Mapping[str, str]) -> Path | None:
    path = environment.get("TRADER_EXIT_RECORD", "")
    return Path(path) if path else None
