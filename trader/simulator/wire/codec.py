"""Frames, fields and numbers of the TWS socket protocol.

Rules: a frame is a 4-byte big-endian length and NUL-terminated text fields. Text leaves as 7-bit ASCII, what
lies beyond is escaped. An unset double is ``1.7976931348623157E308``, an unset integer ``2147483647``; both
come in as None. Sizes are integer text below version 163 because old readers end on ``100.0``. Everything
that arrives is bounded: a frame above ``MAX_FRAME_BYTES`` is a reason to hang up, never to allocate.
"""

import math
import struct
from collections.abc import Iterator
from decimal import Decimal, InvalidOperation
from typing import Final

MAX_FRAME_BYTES: Final = 1_000_000
MAX_HELLO_BYTES: Final = 4_096
MAX_FIELD_COUNT: Final = 20_000

UNSET_DOUBLE: Final = "1.7976931348623157E308"
UNSET_INTEGER: Final = "2147483647"

VERSION_MIN: Final = 145
VERSION_MAX: Final = 178
# Libraries disagree on whether openOrder carries a duration at exactly this version.
VERSION_DISPUTED: Final = 158

PRICE_MANAGEMENT: Final = 151
STOCK_TYPE: Final = 152
DISCRETIONARY_LIMIT: Final = 148
DURATION: Final = 158
POST_TO_ATS: Final = 160
AUTO_CANCEL_PARENT: Final = 162
FRACTIONAL_SIZES: Final = 163
SIZE_RULES: Final = 164
ADVANCED_REJECT: Final = 166
MANUAL_ORDER_TIME: Final = 169
PEG_OFFSETS: Final = 170
ZONED_TIMES: Final = 174
ISSUER_ID: Final = 176
NO_FA_PROFILE: Final = 177
PRICE_REVISION: Final = 178

_LENGTH: Final = struct.Struct(">I")
_GREETING: Final = b"API\0"

FieldValue = str | int | float | bool | Decimal | None


class ProtocolError(Exception):
    """What a peer sent is not this protocol, or beyond its limits; the connection cannot go on."""


class BadRequest(Exception):
    """One message does not say what it should; the connection goes on."""


def text(value: FieldValue) -> str:
    """One field as the protocol writes it. None is empty; floats that are not finite are unset."""
    match value:
        case str():
            return value.replace("\0", " ")
        case None:
            return ""
        case bool():
            return "1" if value else "0"
        case float():
            return repr(value) if math.isfinite(value) else UNSET_DOUBLE
        case Decimal():
            return decimal_text(value)
        case _:
            return str(value)


def decimal_text(value: Decimal) -> str:
    """Plain digits without exponent or trailing zeros; unset when not a number."""
    if not value.is_finite():
        return UNSET_DOUBLE
    plain = format(value, "f")
    return plain.rstrip("0").rstrip(".") if "." in plain else plain


def price_text(price: Decimal) -> str:
    """A quoted price; one that is not a number goes out as such, for clients to cope with."""
    return decimal_text(price) if price.is_finite() else "NaN"


def size_text(size: Decimal, version: int) -> str:
    """A quantity, as whole units for the readers below version 163."""
    return str(int(size)) if version < FRACTIONAL_SIZES else decimal_text(size)


def frame(*fields: FieldValue) -> bytes:
    """One message on the wire."""
    payload = ("\0".join([text(field) for field in fields]) + "\0").encode("ascii", "backslashreplace")
    return _LENGTH.pack(len(payload)) + payload


def text_frame(fields: list[str]) -> bytes:
    """One message out of fields that are ASCII text already: the hot path of market data."""
    payload = ("\0".join(fields) + "\0").encode("ascii")
    return _LENGTH.pack(len(payload)) + payload


class Hello:
    """The client's first words: the protocol versions it speaks and its options."""

    def __init__(self, low: int, high: int, options: str) -> None:
        self.low = low
        self.high = high
        self.options = options

    def version(self) -> int | None:
        """The version to speak with this client, None when there is none in common."""
        version = min(self.high, VERSION_MAX)
        if version == VERSION_DISPUTED:
            version -= 1
        return version if version >= max(self.low, VERSION_MIN) else None


def parse_hello(payload: str) -> Hello:
    """``vMIN..MAX[ options]`` or ``vVERSION``; ProtocolError for anything else."""
    versions, _, options = payload.rstrip("\0").partition(" ")
    low, dots, high = versions.removeprefix("v").partition("..")
    try:
        return Hello(int(low), int(high if dots else low), options)
    except ValueError:
        raise ProtocolError(f"the handshake {payload[:80]!r} names no range of versions") from None


class FrameReader:
    """Cuts a stream of bytes, however split, into the handshake and then lists of fields.

    ``feed`` bytes, take ``hello`` until it is there, then iterate ``frames``.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def hello(self) -> Hello | None:
        """The handshake, None while it is incomplete."""
        if bytes(self._buffer[:4]) != _GREETING[: len(self._buffer)]:
            raise ProtocolError(f"the stream starts with {bytes(self._buffer[:8])!r}, not with the API greeting")
        payload = self._take(len(_GREETING), MAX_HELLO_BYTES)
        return None if payload is None else parse_hello(payload.decode("ascii", "backslashreplace"))

    def frames(self) -> Iterator[list[str]]:
        """Every complete message that has arrived."""
        while (payload := self._take(0, MAX_FRAME_BYTES)) is not None:
            fields = payload.decode("utf-8", "backslashreplace").split("\0", MAX_FIELD_COUNT)
            if not fields[-1]:
                fields.pop()
            yield fields

    def _take(self, offset: int, limit_bytes: int) -> bytes | None:
        start = offset + _LENGTH.size
        if len(self._buffer) < start:
            return None
        (length,) = _LENGTH.unpack_from(self._buffer, offset)
        if length > limit_bytes:
            raise ProtocolError(f"a message of {length} bytes is above the limit of {limit_bytes}")
        if len(self._buffer) < start + length:
            return None
        payload = bytes(self._buffer[start : start + length])
        del self._buffer[: start + length]
        return payload


class FieldCursor:
    """Reads the fields of one message in order; BadRequest names what is missing or malformed."""

    def __init__(self, fields: list[str], position: int = 0) -> None:
        self._fields = fields
        self._position = position

    @property
    def remaining(self) -> int:
        return len(self._fields) - self._position

    def skip(self, count: int = 1) -> None:
        self.take(count)

    def take(self, count: int) -> list[str]:
        """The next ``count`` fields."""
        if count < 0 or count > self.remaining:
            raise BadRequest(f"the message ends before field {self._position + count}")
        taken = self._fields[self._position : self._position + count]
        self._position += count
        return taken

    def string(self, default: str | None = None) -> str:
        """The next field; ``default`` when the message has ended and a default is given."""
        if default is not None and not self.remaining:
            return default
        return self.take(1)[0]

    def integer(self, default: int = 0) -> int:
        """A whole number; ``default`` for an empty or absent field."""
        field = self.string("")
        if field in ("", UNSET_INTEGER):
            return default
        try:
            return int(float(field))
        except (ValueError, OverflowError):
            raise BadRequest(f"{field[:40]!r} in field {self._position} is not a whole number") from None

    def count(self) -> int:
        """How many items follow, limited by what the message can hold."""
        count = self.integer()
        if not 0 <= count <= self.remaining:
            raise BadRequest(f"{count} items are announced and {self.remaining} fields are left")
        return count

    def flag(self) -> bool:
        return self.string("").lower() in ("1", "true")

    def number(self) -> Decimal | None:
        """A decimal number; None when empty or unset."""
        field = self.string("")
        return parse_number(field, self._position)


def parse_number(field: str, position: int = 0) -> Decimal | None:
    """A decimal number, None for empty or unset text; BadRequest when it is none."""
    if not field:
        return None
    try:
        value = Decimal(field)
    except InvalidOperation:
        raise BadRequest(f"{field[:40]!r} in field {position} is not a number") from None
    return value if value.is_finite() and abs(value) < Decimal("1e300") else None
