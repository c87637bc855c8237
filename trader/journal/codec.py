"""Facts as rows: the kind is the class name, the body is JSON with decimals as strings.

Rules: a body ends in a member ``crc``, the CRC-32 of the rest of it, begun with the sequence number; so a row that was
changed or moved is noticed when it is read. Releases that do not know it ignore it, as they do any unknown member; a
body of theirs has none, and is believed.
"""

import zlib
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


CRC_CHARS = len(',"crc":"00000000"}')


def _sealed(sequence: int, body: bytes) -> str:
    return f'{body[:-1].decode()},"crc":"{zlib.crc32(body, sequence & 0xFFFFFFFF):08x}"}}'


def is_sealed(body: str) -> bool:
    """Whether ``body`` says its checksum."""
    return body[-CRC_CHARS:].startswith(',"crc":"')


def to_row(sequence: int, fact: DurableFact) -> dict[str, Any]:
    return {
        "seq": sequence,
        "at": timestamp(fact.at),
        "kind": type(fact).__name__,
        "body": _sealed(sequence, _encode(fact)),
    }


def from_row(sequence: int, body: str, where: str) -> AnyDurableFact:
    """The fact in a row; raises JournalDamaged with its sequence number."""
    try:
        if is_sealed(body):
            bare = f"{body[:-CRC_CHARS]}}}"
            if _sealed(sequence, bare.encode()) != body:
                raise ValueError("it is not what was written: its checksum differs")
        return _decoder.decode(body)
    except (msgspec.DecodeError, ValueError, TypeError) as error:
        raise JournalDamaged(
            f"fact {sequence} of {where} cannot be understood ({error}); type: trader journal verify",
            sequence,
        ) from error
