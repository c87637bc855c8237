"""The wire's text, and what it means."""

from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from random import Random
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from trader.contracts import Side
from trader.events import BrokerOrderStatus
from trader.gateway import translate
from trader.gateway.translate import Untranslatable

OPENING = datetime(2013, 10, 7, 13, 31, 2, tzinfo=UTC)
NEW_YORK = ZoneInfo("America/New_York")


@pytest.mark.parametrize("text", ["", "1.7976931348623157E308", "1.7976931348623157e+308", "nan", "NaN", "inf", "-inf"])
def test_a_number_that_is_not_set_is_unknown_and_not_zero(text: str) -> None:
    assert translate.amount(text) is None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("100", "100"),
        ("100.0", "100"),
        ("5.50", "5.5"),
        ("0", "0"),
        ("-3.25", "-3.25"),
        ("1E+2", "100"),
        ("0.1", "0.1"),
    ],
)
def test_a_number_keeps_its_decimal_value_and_loses_its_trailing_zeros(text: str, expected: str) -> None:
    assert str(translate.amount(text)) == expected


@given(st.decimals(allow_nan=False, allow_infinity=False, places=6, min_value=-(10**9), max_value=10**9))
def test_no_amount_changes_on_its_way(value: Decimal) -> None:
    assert translate.amount(str(value)) == value


def test_a_float_that_a_decoder_made_keeps_its_shortest_decimal() -> None:
    assert translate.amount_of_float(0.1) == Decimal("0.1")
    assert translate.amount_of_float(1.7976931348623157e308) is None
    assert translate.amount_of_float(None) is None


def test_a_text_that_is_no_number_is_refused_with_what_it_was() -> None:
    with pytest.raises(Untranslatable, match="'abc' is not a number"):
        translate.amount("abc")


def test_an_unset_order_id_is_zero() -> None:
    assert translate.whole("2147483647") == 0
    assert translate.whole("") == 0
    assert translate.whole("-1") == -1


@pytest.mark.parametrize(
    ("text", "server_zone"),
    [
        ("20131007 09:31:02 US/Eastern", None),
        ("20131007 09:31:02 America/New_York", None),
        ("20131007  09:31:02 US/Eastern", None),
        ("20131007 15:31:02 Europe/Berlin", None),
        ("20131007 15:31:02 MET", None),
        ("20131007 21:31:02 Asia/Hong_Kong", None),
        ("20131007 19:01:02 Asia/Kolkata", None),
        ("20131007-13:31:02", None),
        ("20131007-13:31:02", NEW_YORK),
        ("20131007 09:31:02", NEW_YORK),
        ("20131007  09:31:02", NEW_YORK),
        ("20131007 13:31:02 UTC", NEW_YORK),
        ("1381152662", None),
    ],
)
def test_an_executions_time_is_understood_in_both_formats_and_any_zone(text: str, server_zone: tzinfo | None) -> None:
    assert translate.execution_time(text, server_zone) == OPENING


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("20131007 09:31:02", "names no time zone"),
        ("20131007 09:31:02 Middle/Earth", "'Middle/Earth' is not a time zone"),
        ("20131007 09:31:02 ../../etc/passwd", "is not a time zone"),
        ("yesterday", "is not an execution's time"),
        ("", "is not an execution's time"),
        ("20131307 09:31:02 UTC", "is not an execution's time"),
    ],
)
def test_a_time_that_cannot_be_understood_says_why(text: str, why: str) -> None:
    with pytest.raises(Untranslatable, match=why):
        translate.execution_time(text, None)


def test_an_executions_time_raises_nothing_else_whatever_it_is() -> None:
    seed = Random().randrange(2**32)
    rng = Random(seed)
    for _ in range(2_000):
        text = "".join(rng.choice("0123456789 :-/ABCz") for _ in range(rng.randrange(30)))
        try:
            assert translate.execution_time(text, NEW_YORK).tzinfo is UTC, f"seed {seed}: {text!r}"
        except Untranslatable:
            continue


@pytest.mark.parametrize(
    ("text", "zone"),
    [
        ("20131007 09:31:02 EST", "America/New_York"),
        ("20131007 09:31:02 EDT", "America/New_York"),
        ("20131007 09:31:02 Europe/Zurich", "Europe/Zurich"),
        ("20131007 09:31:02 GMT", "GMT"),
    ],
)
def test_the_gateways_own_zone_is_read_from_its_greeting(text: str, zone: str) -> None:
    assert translate.handshake_zone(text) == ZoneInfo(zone)


@pytest.mark.parametrize("text", ["", "20131007 09:31:02", "20131007 09:31:02 Mitteleuropäische Zeit"])
def test_a_greeting_without_a_known_zone_names_none(text: str) -> None:
    assert translate.handshake_zone(text) is None


def test_an_order_status_is_read_field_by_field() -> None:
    fields = ["3", "12", "PreSubmitted", "40.0", "60", "10.5", "1700000001", "0", "10.5", "1", "trigger", "0"]
    fact = translate.status_fact(fields, OPENING, 7)
    assert (fact.order_id, fact.perm_id, fact.client_id) == (12, 1_700_000_001, 1)
    assert (fact.filled, fact.remaining, fact.status) == (40, 60, BrokerOrderStatus.PRE_SUBMITTED)
    assert (fact.why_held, fact.received_ns) == ("trigger", 7)


def test_an_unknown_order_status_is_refused() -> None:
    with pytest.raises(Untranslatable, match="'Perhaps' is not an order status"):
        translate.order_status("Perhaps")


@pytest.mark.parametrize("text", ["", "1.7976931348623157E308", "-1", "-1.0", "nan"])
def test_a_commission_that_the_broker_does_not_know_is_not_a_free_trade(text: str) -> None:
    with pytest.raises(Untranslatable, match="not known yet"):
        translate.commission_line(["59", "1", "0001.01", text, "USD", "0", "0", ""])


def test_a_commissions_unset_profit_is_unknown() -> None:
    line = translate.commission_line(["59", "1", "0001.01", "1.25", "USD", "1.7976931348623157E308", "", ""])
    assert line.amount == Decimal("1.25")
    assert line.realized_pnl is None


def test_a_rebate_is_a_negative_commission() -> None:
    assert translate.commission_line(["59", "1", "0001.01", "-0.35", "USD", "", "", ""]).amount == Decimal("-0.35")


@pytest.mark.parametrize(
    ("text", "side"), [("BOT", Side.BUY), ("SLD", Side.SELL), ("BUY", Side.BUY), ("SELL", Side.SELL)]
)
def test_a_side_is_known_by_both_its_words(text: str, side: Side) -> None:
    assert translate.side(text) is side


@pytest.mark.parametrize("text", ["1_000", "٣", "²", "0x10", "1e", "--1"])
def test_a_number_is_only_what_the_broker_would_write(text: str) -> None:
    with pytest.raises(Untranslatable):
        translate.amount(text)
    with pytest.raises(Untranslatable):
        translate.whole(text)


@pytest.mark.parametrize("text", ["170141183460469231731687303715884105727", "1e299", "-1e15"])
def test_what_nothing_real_comes_near_is_not_set(text: str) -> None:
    assert translate.amount(text) is None


def test_the_noise_of_a_float_is_cut_so_that_sums_stay_exact() -> None:
    assert translate.amount("0.1000000000000000055511151231257827") == Decimal("0.1")


@pytest.mark.parametrize("text", ["9223372036854775808", "9" * 5_000])
def test_an_id_has_at_most_64_bits_because_nothing_larger_can_be_kept(text: str) -> None:
    with pytest.raises(Untranslatable, match="is not a whole number"):
        translate.whole(text)


def test_an_order_id_that_would_use_up_all_others_is_refused() -> None:
    assert translate.order_id("2147483646") == 2147483646
    with pytest.raises(Untranslatable, match="'2147483648' is not an order id"):
        translate.order_id("2147483648")


def test_what_cannot_be_understood_is_quoted_in_short() -> None:
    with pytest.raises(Untranslatable) as refused:
        translate.amount("x" * 100_000)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("text", ["00010101 00:00:00 Asia/Tokyo", "99991231 23:59:59 US/Pacific"])
def test_a_time_at_the_end_of_the_calendar_is_refused_like_any_other_nonsense(text: str) -> None:
    with pytest.raises(Untranslatable, match="is not an execution's time"):
        translate.execution_time(text, None)
