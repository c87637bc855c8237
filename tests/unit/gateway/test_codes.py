"""The error codes: what each means, about an order and otherwise."""

import pytest

from trader.events import ErrorClass
from trader.gateway.codes import (
    FIRST_REQUEST_ID,
    TABLE,
    OrderEffect,
    classify,
    farm_name,
    is_about_order,
    meaning_of,
)

ORDER_ID = 17
REQUEST_ID = FIRST_REQUEST_ID + 3
CONNECTION = -1


@pytest.mark.parametrize("code", [399, 404, 2109, 10349, 10311])
def test_a_message_about_an_order_that_works_on_says_that_it_lives(code: int) -> None:
    assert classify(code, ORDER_ID) is ErrorClass.ORDER_LIVE
    assert meaning_of(code).effect is OrderEffect.LIVE


@pytest.mark.parametrize("code", [10147, 10148, 161, 135])
def test_a_refused_cancel_does_not_cancel(code: int) -> None:
    assert classify(code, ORDER_ID) is ErrorClass.CANCEL_REFUSED
    assert meaning_of(code).effect is OrderEffect.PROVISIONAL


@pytest.mark.parametrize("code", [103, 104, 105])
def test_a_duplicate_or_a_change_that_does_not_fit_leaves_the_original_working(code: int) -> None:
    assert classify(code, ORDER_ID) is ErrorClass.ORDER_LIVE


@pytest.mark.parametrize("code", [110, 321, 200, 434, 460, 463, 451, 10289])
def test_a_refusal_that_may_be_about_a_change_is_provisional(code: int) -> None:
    assert classify(code, ORDER_ID) is ErrorClass.ORDER_REJECTED
    assert meaning_of(code).effect is OrderEffect.PROVISIONAL


def test_a_rejection_and_a_cancellation_are_what_they_say() -> None:
    assert classify(201, ORDER_ID) is ErrorClass.ORDER_REJECTED
    assert meaning_of(201).effect is OrderEffect.REJECTED
    assert classify(202, ORDER_ID) is ErrorClass.ORDER_CANCELLED
    assert meaning_of(202).effect is OrderEffect.CANCELLED


def test_the_same_code_about_another_request_is_no_word_about_an_order() -> None:
    assert classify(200, REQUEST_ID) is ErrorClass.REQUEST_FAILED
    assert classify(321, REQUEST_ID) is ErrorClass.REQUEST_FAILED


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        (100, ErrorClass.PACING),
        (354, ErrorClass.MARKET_DATA),
        (10197, ErrorClass.MARKET_DATA),
        (1100, ErrorClass.CONNECTIVITY),
        (2103, ErrorClass.CONNECTIVITY),
        (2104, ErrorClass.NOTICE),
        (2107, ErrorClass.NOTICE),
        (326, ErrorClass.CONNECTIVITY),
        (2100, ErrorClass.NOTICE),
    ],
)
def test_codes_without_an_order_have_their_class(code: int, expected: ErrorClass) -> None:
    assert classify(code, CONNECTION) is expected


def test_an_unlisted_code_is_unknown_and_nothing_is_concluded_from_it() -> None:
    assert classify(99_999, ORDER_ID) is ErrorClass.UNKNOWN
    assert meaning_of(99_999).effect is OrderEffect.PROVISIONAL


def test_only_a_rejection_and_a_cancellation_are_final_words() -> None:
    final = {code for code, meaning in TABLE.items() if meaning.effect in (OrderEffect.REJECTED, OrderEffect.CANCELLED)}
    assert final == {201, 202}


def test_order_ids_and_request_ids_do_not_mix() -> None:
    assert is_about_order(1)
    assert is_about_order(FIRST_REQUEST_ID - 1)
    assert not is_about_order(FIRST_REQUEST_ID)
    assert not is_about_order(CONNECTION)
    assert not is_about_order(0)


@pytest.mark.parametrize(
    ("message", "farm"),
    [
        ("Market data farm connection is OK:usfarm", "usfarm"),
        ("HMDS data farm connection is inactive but should be available upon demand.ushmds", "ushmds"),
        ("Market data farm connection is broken:usfarm.nj", "usfarm.nj"),
        ("Connectivity is somehow different", "unknown"),
        ("", "unknown"),
    ],
)
def test_the_farm_is_read_from_the_message(message: str, farm: str) -> None:
    assert farm_name(message) == farm
