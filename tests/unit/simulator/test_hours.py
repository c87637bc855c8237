"""Regular hours, the open, the close and the end of orders."""

from datetime import UTC, date, datetime, time

import pytest

from trader.contracts import SecurityType
from trader.simulator.hours import ALWAYS_OPEN, US_STOCK_HOURS, TradingHours

OPEN = datetime(2013, 10, 7, 13, 30, tzinfo=UTC)
CLOSE = datetime(2013, 10, 7, 20, 0, tzinfo=UTC)


def utc(day, hour, minute=0):
    return datetime(2013, 10, day, hour, minute, tzinfo=UTC)


@pytest.fixture
def early(make_floor):
    """A floor with US stock hours, half an hour before the open."""
    floor = make_floor(start=utc(7, 13), hours=US_STOCK_HOURS)
    floor.quote(100, "100.02")
    return floor


def test_an_order_before_the_open_is_held_and_said_so_with_399(early):
    early.buy(100)
    [message] = [report.message for report in early.reports if getattr(report, "code", 0) == 399]
    assert "BUY 100 SPY ARCA" in message
    assert message.endswith("until 2013-10-07 09:30:00 America/New_York.")
    assert early.heard() == ["error 1 399", "order 1 PreSubmitted 0+100"]
    early.quote(100, "100.02")
    assert early.position() == 0


def test_a_held_order_is_submitted_at_the_open_and_trades_with_the_next_quote(early):
    early.buy(100)
    early.heard()
    early.exchange.advance_to(OPEN)
    assert early.heard() == ["order 1 Submitted 0+100"]
    early.quote(100, "100.02")
    assert early.position() == 100


def test_a_limit_order_outside_regular_hours_trades_before_the_open(early):
    early.buy(100, "LMT", "100.02", outside_rth=True)
    assert early.position() == 100


def test_a_market_order_may_not_and_is_told_so_with_2109(early):
    early.buy(100, outside_rth=True)
    assert early.heard() == ["error 1 2109", "error 1 399", "order 1 PreSubmitted 0+100"]


def test_a_held_limit_order_modified_to_trade_outside_hours_trades(early):
    early.buy(100, "LMT", "100.02")
    early.buy(100, "LMT", "100.02", order_id=1, outside_rth=True)
    assert early.position() == 100


def test_a_day_order_ends_at_the_close_and_a_gtc_order_stays(make_floor):
    floor = make_floor(start=utc(7, 15), hours=US_STOCK_HOURS)
    floor.quote(100, "100.02")
    floor.buy(100, "LMT", 99)
    floor.buy(100, "LMT", 99, tif="GTC")
    floor.buy(100, "LMT", 99, outside_rth=True)
    floor.heard()
    floor.exchange.advance_to(CLOSE)
    assert floor.heard() == ["status 1 Cancelled 0+100", "error 1 202"]
    floor.exchange.advance_to(utc(8, 0))
    assert floor.heard() == ["status 3 Cancelled 0+100", "error 3 202"]
    floor.exchange.advance_to(utc(8, 14))
    floor.quote(ask=99)
    assert floor.position() == 100


def test_a_gtc_order_does_not_trade_in_the_evening(make_floor):
    floor = make_floor(start=utc(7, 19, 59), hours=US_STOCK_HOURS)
    floor.buy(100, "LMT", 99, tif="GTC")
    floor.exchange.advance_to(utc(7, 21))
    floor.quote(98, "98.50")
    assert floor.position() == 0


def test_a_day_order_after_the_close_is_for_the_next_session(make_floor):
    floor = make_floor(start=utc(7, 21), hours=US_STOCK_HOURS)
    floor.buy(100, "LMT", 99)
    floor.exchange.advance_to(utc(8, 14))
    assert floor.status(1) == "Submitted"
    floor.exchange.advance_to(utc(8, 20))
    assert floor.exchange.open_orders() == ()


def test_one_late_event_passes_everything_that_happened_before_it(early):
    early.buy(100, "LMT", 99)
    early.heard()
    early.quote(98, "98.50", after_s=86_400)
    assert early.heard() == ["order 1 Submitted 0+100", "status 1 Cancelled 0+100", "error 1 202"]
    assert early.position() == 0


def test_an_always_open_market_ends_day_orders_at_midnight_of_new_york(floor):
    floor.buy(100, "LMT", 99)
    floor.exchange.advance_to(datetime(2026, 1, 6, 4, 59, tzinfo=UTC))
    assert floor.status(1) == "Submitted"
    floor.exchange.advance_to(datetime(2026, 1, 6, 5, 0, tzinfo=UTC))
    assert floor.exchange.open_orders() == ()


def test_futures_know_no_stock_hours(make_floor):
    floor = make_floor(start=datetime(2026, 1, 5, 3, tzinfo=UTC), hours=US_STOCK_HOURS)
    floor.quote(6000, "6000.25", 10, "ESH6")
    floor.buy(1, key="ESH6")
    assert floor.position("ESH6") == 1
    floor.buy(1, "LMT", 5000, key="ESH6")
    floor.exchange.advance_to(datetime(2026, 1, 5, 22, tzinfo=UTC))
    assert floor.status(2) == "Cancelled"


def test_time_never_goes_back(floor):
    now = floor.exchange.now
    floor.exchange.advance_to(datetime(2020, 1, 1, tzinfo=UTC))
    assert floor.exchange.now == now
    floor.quote(101, "101.02", after_s=-3600)
    assert floor.exchange.now == now


@pytest.mark.parametrize(
    ("moment", "regular", "extended"),
    [
        (utc(7, 13, 29), False, True),
        (OPEN, True, True),
        (utc(7, 19, 59), True, True),
        (CLOSE, False, True),
        (utc(8, 0), False, False),
        (utc(7, 7, 59), False, False),
        (utc(6, 15), False, False),
    ],
)
def test_hours_are_open_from_the_open_up_to_the_close(moment, regular, extended):
    assert US_STOCK_HOURS.is_regular(moment) is regular
    assert US_STOCK_HOURS.is_extended(moment) is extended
    assert ALWAYS_OPEN.is_regular(moment)


def test_hours_skip_weekends_and_holidays_and_know_half_days():
    hours = TradingHours(holidays=frozenset({date(2013, 10, 7)}), closes_early={date(2013, 10, 8): time(13)})
    assert hours.next_open(utc(4, 20)) == utc(8, 13, 30)
    assert hours.day_order_expiry(utc(8, 14), SecurityType.STOCK, False) == utc(8, 17)
    assert not hours.is_regular(utc(8, 17))


def test_hours_follow_daylight_saving():
    assert US_STOCK_HOURS.next_open(datetime(2013, 11, 2, tzinfo=UTC)) == datetime(2013, 11, 4, 14, 30, tzinfo=UTC)


def test_a_calendar_without_sessions_is_refused():
    never = TradingHours(holidays=frozenset(date(2013, 10, day) for day in range(1, 32)))
    with pytest.raises(ValueError, match="too many holidays"):
        never.next_open(utc(1, 0))
