"""Facts as rows: the kind is the class name, the body is JSON with decimals as strings."""

from datetime import UTC, datetime
from typing import Any, get_args

import msgspec

from trader.events import AnyDurableFact, DurableFact
from trader.journal.errors import JournalDamaged

KINDS: frozenset[str] = frozenset(kind.__name__ for kind in get_args(AnyDurableFact))

_encode = msgspec.json.Encoder().encode
_decoder: msgspec.json.Decoder[AnyDurableFact] = msgspec.json.Decoder(AnyDurableFact)


def timestamp(moment: datetime) -> str:
    """``moment`` as UTC text that sorts like time; ValueError when it has no time zone."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone")
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def to_row(sequence: int, fact: DurableFact) -> dict[str, Any]:
    return {
        "seq": sequence,
        "at": timestamp(fact.at),
        "kind": type(fact).__name__,
        "body": _encode(fact).decode(),
    }


def from_row(sequence: int, body: str, where: str) -> AnyDurableFact:
    """The fact in a row; raises JournalDamaged with its sequence number."""
    try:
        return _decoder.decode(body)
    except (msgspec.DecodeError, ValueError, TypeError) as error:
        raise JournalDamaged(
            f"fact {sequence} of {where} cannot be understood ({error}); restore the journal from a backup",
            sequence,
        ) from error
