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


SEAL_CHARS = len(',"crc":"00000000"}')


def _seal(sequence: int, body: bytes) -> bytes:
    """What takes the place of the brace that ends ``body``."""
    return b',"crc":"%08x"}' % zlib.crc32(body, sequence & 0xFFFFFFFF)


def is_sealed(body: str) -> bool:
    """Whether ``body`` says its checksum."""
    return body.startswith(',"crc":"', -SEAL_CHARS)


def to_row(sequence: int, fact: DurableFact) -> dict[str, Any]:
    body = _encode(fact)
    return {
        "seq": sequence,
        "at": timestamp(fact.at),
        "kind": type(fact).__name__,
        "body": (body[:-1] + _seal(sequence, body)).decode(),
    }


def from_row(sequence: int, body: str, where: str) -> AnyDurableFact:
    """The fact in a row; raises JournalDamaged with its sequence number."""
    try:
        written = bytes(body, "utf-8")  # which refuses what is no text, as a damaged row may hold
        if is_sealed(body) and _seal(sequence, written[:-SEAL_CHARS] + b"}") != written[-SEAL_CHARS:]:
            raise ValueError("it is not what was written: its checksum differs")
        return _decoder.decode(written)
    except (msgspec.DecodeError, ValueError, TypeError) as error:
        raise JournalDamaged(
            f"fact {sequence} of {where} cannot be understood ({error}); type: trader journal verify",
            sequence,
        ) from error
