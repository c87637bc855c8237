"""Hours with holidays and half days."""

from datetime import UTC, date, datetime, time

import pytest

from trader.contracts import SecurityType
from trader.session.table import Session
from trader.simulator.calendar_hours import us_stock_hours, with_sessions
from trader.simulator.hours import US_STOCK_HOURS


@pytest.mark.parametrize("day", [date(2013, 11, 28), date(2013, 12, 25), date(2012, 10, 29), date(2013, 10, 5)])
def test_us_stocks_do_not_trade_on_holidays(day):
    assert not us_stock_hours().is_session(day)


def test_us_stocks_close_early_on_half_days():
    after_thanksgiving = datetime(2013, 11, 29, 15, tzinfo=UTC)
    assert us_stock_hours().day_order_expiry(after_thanksgiving, SecurityType.STOCK, False).hour == 18
    assert us_stock_hours().closes_early[date(2013, 11, 29)] == time(13)


def test_an_ordinary_day_is_as_without_the_calendar():
    moment = datetime(2013, 10, 7, 15, tzinfo=UTC)
    assert us_stock_hours().is_session(date(2013, 10, 7))
    assert us_stock_hours().next_change(moment) == US_STOCK_HOURS.next_change(moment)


def test_beyond_the_calendar_every_weekday_is_a_session():
    day = datetime(2013, 10, 8, 13, 30, tzinfo=UTC)
    hours = with_sessions(US_STOCK_HOURS, (Session("2013-10-08", day, day.replace(hour=20)),))
    assert hours.is_session(date(2013, 10, 7))
    assert hours.is_session(date(2013, 10, 9))
    assert hours.holidays == frozenset()
