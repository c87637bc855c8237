"""Market data as messages to clients: ticks, tick-by-tick, bars.

Rules: pure; prices keep the digits they came with; sizes are whole below version 163. Delayed data has tick
types of its own, in ``TickTypes``.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from enum import IntEnum
from typing import Final

import msgspec

from trader.simulator.bars import Bar
from trader.simulator.wire.codec import FieldValue, frame, price_text, size_text, text_frame
from trader.simulator.wire.times import day, stamp

DAY_S: Final = 86_400
CAN_AUTO_EXECUTE: Final = "1"


class TickTypes(msgspec.Struct, frozen=True):
    """The numbers under which ticks are sent."""

    bid: int
    bid_size: int
    ask: int
    ask_size: int
    last: int
    last_size: int
    high: int
    low: int
    volume: int
    close: int
    open: int
    last_timestamp: int


LIVE_TICKS: Final = TickTypes(1, 0, 2, 3, 4, 5, 6, 7, 8, 9, 14, 45)
DELAYED_TICKS: Final = TickTypes(66, 69, 67, 70, 68, 71, 72, 73, 74, 75, 76, 88)
TICK_HALTED: Final = 49


class TickByTick(IntEnum):
    LAST = 1
    ALL_LAST = 2
    BID_ASK = 3
    MIDPOINT = 4


TICK_BY_TICK_KINDS: Final = {
    "Last": TickByTick.LAST,
    "AllLast": TickByTick.ALL_LAST,
    "BidAsk": TickByTick.BID_ASK,
    "MidPoint": TickByTick.MIDPOINT,
}


def tick_price(request_id: int, tick_type: int, price: Decimal, size: Decimal, version: int, mask: str = "0") -> bytes:
    """A price and, where its type has one, its size."""
    fields = ["1", "6", str(request_id), str(tick_type), price_text(price), size_text(size, version), mask]
    return text_frame(fields)


def tick_size(request_id: int, tick_type: int, size: Decimal, version: int) -> bytes:
    return text_frame(["2", "6", str(request_id), str(tick_type), size_text(size, version)])


def tick_string(request_id: int, tick_type: int, value: str) -> bytes:
    return frame(46, 6, request_id, tick_type, value)


def tick_generic(request_id: int, tick_type: int, value: float) -> bytes:
    return frame(45, 6, request_id, tick_type, value)


def tick_request_parameters(request_id: int, min_tick: Decimal) -> bytes:
    return frame(81, request_id, min_tick, "9c0001", 3)


def market_data_type(request_id: int, data_type: int) -> bytes:
    return frame(58, 1, request_id, data_type)


def snapshot_end(request_id: int) -> bytes:
    return frame(57, 1, request_id)


def tick_bid_ask(
    request_id: int, seconds: int, bid: Decimal, ask: Decimal, bid_size: Decimal, ask_size: Decimal, version: int
) -> bytes:
    prices = [price_text(bid), price_text(ask), size_text(bid_size, version), size_text(ask_size, version)]
    return text_frame(["99", str(request_id), "3", str(seconds), *prices, "0"])


def tick_last(
    request_id: int, kind: TickByTick, seconds: int, price: Decimal, size: Decimal, exchange: str, version: int
) -> bytes:
    amounts = [price_text(price), size_text(size, version)]
    return text_frame(["99", str(request_id), str(int(kind)), str(seconds), *amounts, "0", exchange, ""])


def tick_midpoint(request_id: int, seconds: int, midpoint: Decimal) -> bytes:
    return text_frame(["99", str(request_id), "4", str(seconds), price_text(midpoint)])


def real_time_bar(request_id: int, bar: Bar, version: int) -> bytes:
    prices = [float(bar.open), float(bar.high), float(bar.low), float(bar.close)]
    volume = size_text(bar.volume, version)
    return frame(50, 3, request_id, int(bar.at.timestamp()), *prices, volume, float(bar.average), bar.count)


def bar_date(at: datetime, bar_size_s: int, date_format: int, version: int, zone: str) -> str:
    """The date of a bar: days as a date, else epoch seconds (format 2) or a time in the gateway's zone."""
    if bar_size_s >= DAY_S:
        return day(at, zone)
    return str(int(at.timestamp())) if date_format == 2 else stamp(at, version, zone)


def historical_data(
    request_id: int, bars: Sequence[tuple[str, Bar]], start: datetime, end: datetime, version: int, zone: str
) -> bytes:
    """All bars of one answer; each comes with its date as text."""
    fields: list[FieldValue] = [17, request_id, stamp(start, version, zone), stamp(end, version, zone), len(bars)]
    for date, bar in bars:
        fields += [date, float(bar.open), float(bar.high), float(bar.low), float(bar.close)]
        fields += [size_text(bar.volume, version), float(bar.average), bar.count]
    return frame(*fields)


def historical_update(request_id: int, date: str, bar: Bar, version: int) -> bytes:
    """The bar that is still growing; its fields come in an order of their own."""
    prices = [float(bar.open), float(bar.close), float(bar.high), float(bar.low), float(bar.average)]
    return frame(90, request_id, bar.count, date, *prices, size_text(bar.volume, version))


def head_timestamp(request_id: int, text: str) -> bytes:
    return frame(88, request_id, text)
