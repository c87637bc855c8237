"""Frames, fields and numbers: what arrives in any pieces is read, what is not the protocol is refused."""

import itertools
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trader.simulator.wire.codec import (
    MAX_FRAME_BYTES,
    UNSET_DOUBLE,
    BadRequest,
    FieldCursor,
    FrameReader,
    ProtocolError,
    frame,
    parse_hello,
    price_text,
    size_text,
    text,
)

PLAIN = st.text(st.characters(min_codepoint=32, max_codepoint=126))


def greet(versions: str) -> bytes:
    return b"API\0" + len(versions).to_bytes(4, "big") + versions.encode()


@given(messages=st.lists(st.lists(PLAIN, min_size=1, max_size=5), max_size=5), cuts=st.lists(st.integers(0, 400)))
def test_a_stream_cut_anywhere_gives_the_same_messages(messages, cuts):
    stream = greet("v100..178") + b"".join(frame(*fields) for fields in messages)
    edges = [0, *sorted(cut % (len(stream) + 1) for cut in cuts), len(stream)]
    reader, hello, seen = FrameReader(), None, []
    for start, end in itertools.pairwise(edges):
        reader.feed(stream[start:end])
        hello = hello or reader.hello()
        if hello is not None:
            seen += list(reader.frames())
    assert (hello.low, hello.high) == (100, 178)
    assert seen == messages


@given(st.binary(max_size=200))
def test_no_bytes_whatever_do_more_than_end_their_own_connection(data):
    reader = FrameReader()
    reader.feed(data)
    try:
        if reader.hello() is not None:
            list(reader.frames())
    except ProtocolError:
        pass


def test_a_frame_above_the_limit_is_refused_before_it_arrives():
    reader = FrameReader()
    reader.feed((MAX_FRAME_BYTES + 1).to_bytes(4, "big"))
    with pytest.raises(ProtocolError, match="above the limit"):
        list(reader.frames())


VERSIONS = {
    "v100..187": 178,
    "v157..178": 178,
    "v157..176": 176,
    "v100..157": 157,
    "v100..158": 157,
    "v100..151 +PACEAPI": 151,
    "v178": 178,
    "v38..100": None,
    "v179..220": None,
    "v158..158": None,
}


@pytest.mark.parametrize(("hello", "version"), VERSIONS.items())
def test_the_highest_common_version_is_spoken_and_158_never(hello, version):
    assert parse_hello(hello).version() == version


@pytest.mark.parametrize("hello", ["", "hello", "v", "v1..", "vx..y"])
def test_a_handshake_without_versions_is_refused(hello):
    with pytest.raises(ProtocolError):
        parse_hello(hello)


FIELDS = [
    (None, ""),
    (True, "1"),
    (False, "0"),
    (7, "7"),
    (0.1, "0.1"),
    (float("inf"), UNSET_DOUBLE),
    (float("nan"), UNSET_DOUBLE),
    (Decimal("1.500"), "1.5"),
    (Decimal("1E+3"), "1000"),
    (Decimal("100"), "100"),
    (Decimal("0.00005"), "0.00005"),
    ("a\0b", "a b"),
]


@pytest.mark.parametrize(("value", "written"), FIELDS)
def test_each_kind_of_value_has_its_text(value, written):
    assert text(value) == written


def test_sizes_are_whole_for_old_readers_and_exact_for_new_ones():
    assert (size_text(Decimal("100.5"), 157), size_text(Decimal("100.50"), 163)) == ("100", "100.5")


def test_a_price_that_is_no_number_is_sent_as_such():
    assert price_text(Decimal("NaN")) == "NaN"


def test_text_beyond_ascii_is_escaped():
    assert frame("é")[4:] == b"\\xe9\0"


NUMBERS = [
    ("", None),
    (UNSET_DOUBLE, None),
    ("1.7976931348623157e+308", None),
    ("Infinity", None),
    ("0.5", Decimal("0.5")),
]


@pytest.mark.parametrize(("field", "number"), NUMBERS)
def test_an_unset_number_is_none(field, number):
    assert FieldCursor([field]).number() == number


@pytest.mark.parametrize(
    "read", [lambda c: c.number(), lambda c: c.integer(), lambda c: c.take(2), lambda c: c.count()]
)
def test_a_field_that_is_not_what_it_should_be_is_a_bad_request(read):
    with pytest.raises(BadRequest):
        read(FieldCursor(["x"]))


def test_a_count_beyond_the_message_is_a_bad_request():
    with pytest.raises(BadRequest, match="5 items are announced"):
        FieldCursor(["5", "only"]).count()
