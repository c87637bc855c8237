"""Interactive Brokers' error codes and what each means for this service.

Rules: an error message is a hint. What became of an order is decided by its statuses and executions; a code
only says what to expect, and whether that is worth asking the broker about. The same code may be about an
order or about another request, and the two mean different things. An unlisted code is ``UNKNOWN``.

Source: IBKR's message code tables and what gateways were seen to send.
"""

from collections.abc import Iterable
from enum import StrEnum
from typing import Final

import msgspec

from trader.events import ErrorClass

# Request ids and order ids share one field of an error message, so requests get a range that orders never reach.
FIRST_REQUEST_ID: Final = 1_500_000_000

CLIENT_ID_IN_USE: Final = 326
UPSTREAM_LOST: Final = frozenset({1100, 2110})
UPSTREAM_RESTORED_DATA_LOST: Final = 1101
UPSTREAM_RESTORED: Final = 1102
FARM_BROKEN: Final = frozenset({2103, 2105, 2157})
FARM_CONNECTED: Final = frozenset({2104, 2106, 2158})
# "Inactive but should be available upon demand": a farm that nobody uses at the moment is not a broken one.
FARM_INACTIVE: Final = frozenset({2107, 2108})
# A data farm's subscriptions are silent after it came back; historical and definition farms have none.
MARKET_DATA_FARM_CONNECTED: Final = 2104
RESUBSCRIBE: Final = frozenset({10182, 10225})
SUBSCRIPTION_LOST: Final = frozenset({10182, 10225, 10197})
DELAYED_INSTEAD: Final = frozenset({10167})
NO_DEFINITION: Final = 200


class OrderEffect(StrEnum):
    """What a code says about the order that it names."""

    LIVE = "live"
    REJECTED = "rejected"
    CANCELLED = "cancelled"
    PROVISIONAL = "provisional"


class CodeMeaning(msgspec.Struct, frozen=True, gc=False):
    """``error_class`` when the code is not about an order; the two others when it is (None: never is)."""

    error_class: ErrorClass
    order_class: ErrorClass | None = None
    effect: OrderEffect | None = None


def _same(codes: Iterable[int], meaning: CodeMeaning) -> dict[int, CodeMeaning]:
    return dict.fromkeys(codes, meaning)


_NOTICE = CodeMeaning(ErrorClass.NOTICE)
_CONNECTIVITY = CodeMeaning(ErrorClass.CONNECTIVITY)
_MARKET_DATA = CodeMeaning(ErrorClass.MARKET_DATA)
_REQUEST_FAILED = CodeMeaning(ErrorClass.REQUEST_FAILED)
# The order keeps working whatever a client library makes of the message.
_LIVE = CodeMeaning(ErrorClass.NOTICE, ErrorClass.ORDER_LIVE, OrderEffect.LIVE)
_REJECTED = CodeMeaning(ErrorClass.REQUEST_FAILED, ErrorClass.ORDER_REJECTED, OrderEffect.REJECTED)
# A new order is refused, but the same code about a change leaves the original working: ask the broker.
_DOUBTFUL = CodeMeaning(ErrorClass.REQUEST_FAILED, ErrorClass.ORDER_REJECTED, OrderEffect.PROVISIONAL)
_CANCEL_REFUSED = CodeMeaning(ErrorClass.REQUEST_FAILED, ErrorClass.CANCEL_REFUSED, OrderEffect.PROVISIONAL)

TABLE: Final[dict[int, CodeMeaning]] = {
    # 100 over 50 messages a second: the message was dropped, an order in it was never seen.
    100: CodeMeaning(ErrorClass.PACING, ErrorClass.PACING, OrderEffect.PROVISIONAL),
    # 103 duplicate id, 104 change of a filled order, 105 change that does not match: the original stays.
    **_same((103, 104, 105), CodeMeaning(ErrorClass.REQUEST_FAILED, ErrorClass.ORDER_LIVE, OrderEffect.PROVISIONAL)),
    202: CodeMeaning(ErrorClass.NOTICE, ErrorClass.ORDER_CANCELLED, OrderEffect.CANCELLED),
    201: _REJECTED,
    # 110 price increment, 321 validation, 200 no definition, 434 size of zero, 460 no permission.
    **_same((107, 109, 110, 111, 113, 116, 117, 125, 129, 131, 132, 133, 134, 136, 144, 145, 147), _DOUBTFUL),
    **_same((152, 155, 156, 157, 163, 164, 200, 203, 300, 303, 321, 329, 387, 388, 389, 391, 392), _DOUBTFUL),
    **_same((412, 413, 416, 425, 427, 428, 434, 436, 437, 440, 443, 451, 460, 461, 463, 478), _DOUBTFUL),
    **_same((10006, 10015, 10020, 10052, 10268, 10289, 10318, 10329), _DOUBTFUL),
    # 399 "held until 09:30", 404 held for locate, 2109 outsideRth ignored, 10349 TIF preset, 10311 routing.
    **_same((399, 404, 481, 492, 2109, 10311, 10349), _LIVE),
    # 135 no such id, 161 not cancellable, 10147 not found, 10148 in a state that cannot be cancelled.
    **_same((135, 161, 10147, 10148), _CANCEL_REFUSED),
    # 101 line limit, 354/10089/10090/10167/10168/10186 not subscribed or delayed, 10197 competing session.
    **_same((101, 309, 316, 317, 354, 420, 430, 2119, 10089, 10090, 10167, 10168), _MARKET_DATA),
    **_same((10182, 10186, 10187, 10189, 10190, 10197, 10225), _MARKET_DATA),
    **_same((102, 106, 120, 162, 165, 166, 322, 323, 324, 330, 331, 332, 365, 366), _REQUEST_FAILED),
    **_same((10285, 10314, 10358), _REQUEST_FAILED),
    # 326 clientId in use, 1100-1102 upstream, 1300 port reset, 2103-2110 and 2157/2158 farms, 5xx client side.
    **_same((326, 501, 502, 503, 504, 505, 506, 507, 509, 1100, 1101, 1102, 1300), _CONNECTIVITY),
    **_same((2103, 2105, 2110, 2157), _CONNECTIVITY),
    **_same((2104, 2106, 2107, 2108, 2158), _NOTICE),  # farms that are well, or asleep until they are asked
    # 2100/2101 account subscription taken over, 2102-2169 warnings.
    **_same((2100, 2101, 2102, 2129, 2137, 2148, 2150, 2151, 2152, 2168, 2169), _NOTICE),
}

_UNKNOWN: Final = CodeMeaning(ErrorClass.UNKNOWN, ErrorClass.UNKNOWN, OrderEffect.PROVISIONAL)


def meaning_of(code: int) -> CodeMeaning:
    """What ``code`` means; unlisted codes are ``UNKNOWN`` and say nothing certain about an order."""
    return TABLE.get(code, _UNKNOWN)


def is_about_order(request_id: int) -> bool:
    """Whether an error's ``request_id`` names an order rather than a request or the connection."""
    return 0 < request_id < FIRST_REQUEST_ID


def classify(code: int, request_id: int) -> ErrorClass:
    """The class of error ``code`` that came for ``request_id`` (an order id, a request id or −1)."""
    meaning = meaning_of(code)
    if is_about_order(request_id) and meaning.order_class is not None:
        return meaning.order_class
    return meaning.error_class


def is_provisional(code: int) -> bool:
    """Whether an order that ``code`` speaks of may live all the same."""
    return meaning_of(code).effect is OrderEffect.PROVISIONAL


def farm_name(message: str) -> str:
    """The farm that a connectivity message names, after its last colon or (inactive ones) full stop; else ``unknown``.

    ``…farm connection is OK:usfarm.nj`` → ``usfarm.nj``; ``…available upon demand.ushmds`` → ``ushmds``.
    """
    tail = message.rsplit(":" if ":" in message else ".", 1)[-1].strip()
    return tail if tail and " " not in tail and len(tail) <= 32 else "unknown"
