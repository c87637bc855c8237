"""Keeps an exchange's state in a file between runs.

Rules: a file is replaced as a whole or not at all; one that cannot be understood is refused, never repaired.
"""

import json
import os
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from trader.simulator.exchange import Exchange
from trader.simulator.wire.options import ServerRefused

MAX_STATE_BYTES: Final = 256 * 1024 * 1024


def read_state(path: Path) -> dict[str, Any] | None:
    """What the file holds; None when there is no file yet. Raises ServerRefused when it is damaged."""
    try:
        if path.stat().st_size > MAX_STATE_BYTES:
            raise ServerRefused(f"the state file {path} is larger than {MAX_STATE_BYTES} bytes; remove or replace it")
        state = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise ServerRefused(f"the state file {path} cannot be read: {error.strerror or error}") from None
    except (ValueError, RecursionError) as error:
        raise ServerRefused(f"the state file {path} is damaged ({error}); remove or replace it") from None
    if not isinstance(state, dict):
        raise ServerRefused(f"the state file {path} is damaged (no object); remove or replace it")
    return state


def state_time(state: dict[str, Any]) -> datetime | None:
    """When the state was saved, in simulated time; None when it does not say."""
    try:
        moment = datetime.fromisoformat(str(state.get("at", "")))
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None


def restore(exchange: Exchange, state: dict[str, Any], path: Path) -> None:
    """Give an exchange the state of an earlier one. Raises ServerRefused when it does not fit."""
    try:
        exchange.load_state(state)
    except (ValueError, KeyError, TypeError) as error:
        raise ServerRefused(f"the state file {path} does not fit: {error}; remove or replace it") from None


def save_state(exchange: Exchange, path: Path) -> None:
    """Write the state and put it in place of the old one. Raises ServerRefused when that fails."""
    part = path.with_name(path.name + ".part")
    try:
        with part.open("w", encoding="utf-8") as file:
            json.dump(exchange.dump_state(), file)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        raise ServerRefused(f"the state file {path} cannot be written: {error.strerror or error}") from None
