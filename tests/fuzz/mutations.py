"""Making good input bad: fields, payloads, streams of frames, and text, each a function of a random source alone.

Rules: nothing here knows what it is used on. Most of the input stays as it was, so that what is bad gets far.
"""

import struct
from collections.abc import Callable, Sequence
from random import Random

NASTY_FIELDS = (
    "", "0", "-1", "1", "2147483647", "-2147483648", "9223372036854775808", "1e400", "-1e400", "nan", "NaN", "inf",
    "-Infinity", "1.7976931348623157E308", "1e299", "-1e299", "1e-400", "1E+40", "0.1000000000000000055511151231257827",
    "sNaN", "1_000", "٣", "²", "0x10", " 1", "true", "BUY", "SLD", "Filled", "Submitted", "Cancelled", "STK", "FUT",
    "AAPL", "USD", "20131007 09:31:02 Nowhere/City", "99991231 23:59:59 UTC", "00010101 00:00:00 Asia/Tokyo",
    "20130230 00:00:00 UTC", "9" * 400, "9" * 5_000, "x" * 70_000, "\N{GRINNING FACE}", "\ud7ff", "\x01\x1b[2J", "%s%n",
    "{}", "../../etc", "DU1234567", "U7654321", "SimulatorTime", "2262-04-12T00:00:00Z", "9999-12-31T23:59:59Z",
)  # fmt: skip
NASTY_BYTES = (b"\xff\xfe", b"\xc3", b"\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\0", b"\0" * 50, b"\r\n", b"\x1f")
NASTY_LENGTHS = (0, 1, 2**31 - 1, 2**31, 2**32 - 1, 16_777_215, 16_777_216, 65_536)
LENGTH = struct.Struct(">I")


def framed(payload: bytes) -> bytes:
    return LENGTH.pack(len(payload)) + payload


def fields_of(payload: bytes) -> list[str]:
    return payload.decode(errors="backslashreplace").split("\0")[:-1]


def payload_of(fields: Sequence[str]) -> bytes:
    return ("".join(f"{field}\0" for field in fields)).encode(errors="backslashreplace")


def bent_field(rng: Random, field: str) -> str:
    """One field, made something else."""
    roll = rng.randrange(8)
    if roll < 4:
        return rng.choice(NASTY_FIELDS)
    if roll == 4 and field:
        place = rng.randrange(len(field))
        return field[:place] + chr(rng.choice((rng.randrange(32, 127), rng.randrange(1, 0x2FF)))) + field[place + 1 :]
    if roll == 5:
        return field * rng.choice((2, 3, 40))
    if roll == 6:
        return "-" + field
    return str(rng.choice((-1, 1)) * rng.randrange(10 ** rng.randrange(1, 25)))


def _drop(rng: Random, fields: list[str], others: Sequence[bytes]) -> None:
    start = rng.randrange(len(fields))
    del fields[start : start + rng.choice((1, 1, 2, 10))]


def _repeat(rng: Random, fields: list[str], others: Sequence[bytes]) -> None:
    start = rng.randrange(len(fields))
    fields[start:start] = fields[start : start + rng.choice((1, 2, 8))]


def _bend(rng: Random, fields: list[str], others: Sequence[bytes]) -> None:
    for _ in range(rng.choice((1, 1, 1, 2, 5))):
        place = rng.randrange(len(fields))
        fields[place] = bent_field(rng, fields[place])


def _swap(rng: Random, fields: list[str], others: Sequence[bytes]) -> None:
    first, second = rng.randrange(len(fields)), rng.randrange(len(fields))
    fields[first], fields[second] = fields[second], fields[first]


def _cut(rng: Random, fields: list[str], others: Sequence[bytes]) -> None:
    del fields[rng.randrange(len(fields)) :]


def _splice(rng: Random, fields: list[str], others: Sequence[bytes]) -> None:
    fields[rng.randrange(len(fields)) :] = fields_of(rng.choice(others))[rng.randrange(3) :]


def _rename(rng: Random, fields: list[str], others: Sequence[bytes]) -> None:
    fields[0] = str(rng.choice((rng.randrange(112), rng.randrange(-5, 300))))


def _swell(rng: Random, fields: list[str], others: Sequence[bytes]) -> None:
    fields += [rng.choice(NASTY_FIELDS[:12])] * rng.choice((1, 5, 300, 30_000))


FIELD_MUTATIONS: tuple[Callable[[Random, list[str], Sequence[bytes]], None], ...] = (
    _bend, _bend, _bend, _drop, _repeat, _swap, _cut, _splice, _rename, _swell,
)  # fmt: skip


def bad_payload(rng: Random, payload: bytes, others: Sequence[bytes]) -> bytes:
    """One message like ``payload``, with something wrong in its fields or its bytes."""
    roll = rng.randrange(10)
    if roll == 0:
        return rng.randbytes(rng.choice((0, 1, 3, 20, 500)))
    if roll == 1 and payload:
        return bad_bytes(rng, payload)
    fields = fields_of(payload)
    for _ in range(rng.choice((1, 1, 2))):
        if fields:
            rng.choice(FIELD_MUTATIONS)(rng, fields, others)
    return payload_of(fields)


def bad_bytes(rng: Random, data: bytes) -> bytes:
    """``data`` with bytes changed, put in, taken out or repeated."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 8))):
        place = rng.randrange(len(changed) + 1)
        match rng.randrange(5):
            case 0 if place < len(changed):
                changed[place] ^= 1 << rng.randrange(8)
            case 1:
                changed[place:place] = rng.choice(NASTY_BYTES)
            case 2:
                del changed[place : place + rng.choice((1, 4, 30))]
            case 3:
                changed[place:place] = changed[place : place + rng.choice((1, 8, 60))]
            case _:
                del changed[place:]
    return bytes(changed)


def bad_stream(rng: Random, payloads: Sequence[bytes]) -> bytes:
    """Frames one after the other: repeated, out of order, bad, and now and then under a length that lies."""
    chosen = [rng.choice(payloads) for _ in range(rng.randrange(1, 12))]
    out = bytearray()
    for payload in chosen:
        out += framed(bad_payload(rng, payload, payloads) if rng.random() < 0.5 else payload)
    if rng.random() < 0.3:
        place = rng.randrange(len(out) + 1)
        out[place:place] = LENGTH.pack(rng.choice(NASTY_LENGTHS))
    return bytes(out) if rng.random() < 0.6 else bad_bytes(rng, bytes(out))


def pieces(rng: Random, data: bytes) -> list[bytes]:
    """``data`` as it may arrive: in one read, in a few, or byte by byte."""
    if len(data) < 2_000 and rng.random() < 0.1:
        return [data[place : place + 1] for place in range(len(data))]
    cuts = sorted(rng.randrange(len(data) + 1) for _ in range(rng.randrange(6)))
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True)]
