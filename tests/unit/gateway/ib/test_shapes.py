"""Our orders and instruments in the broker's shapes."""

from decimal import Decimal

import pytest

from trader.contracts import Instrument, OrderType, SecurityType, Side, TimeInForce
from trader.events import OrderTerms
from trader.gateway.ib.shapes import contract_of, order_of

INSTRUMENTS = [
    (Instrument(symbol="AAPL", primary_exchange="NASDAQ", con_id=7), ("STK", "AAPL", "SMART", "NASDAQ", "", "")),
    (
        Instrument(symbol="EUR.USD", ib_symbol="EUR", security_type=SecurityType.CASH, exchange="IDEALPRO"),
        ("CASH", "EUR", "IDEALPRO", "", "", ""),
    ),
    (
        Instrument(
            symbol="ES", security_type=SecurityType.FUTURE, exchange="CME", expiry="202512", multiplier=Decimal(50)
        ),
        ("FUT", "ES", "CME", "", "202512", "50"),
    ),
    (
        Instrument(symbol="AAPL 131018C500", security_type=SecurityType.OTHER, con_id=5001, multiplier=Decimal(100)),
        ("", "", "SMART", "", "", ""),
    ),
]


@pytest.mark.parametrize(("instrument", "expected"), INSTRUMENTS)
def test_a_contract_names_what_the_broker_needs(instrument: Instrument, expected: tuple[str, ...]) -> None:
    made = contract_of(instrument)
    shape = (made.secType, made.symbol, made.exchange, made.primaryExchange, made.lastTradeDateOrContractMonth)
    assert (*shape, made.multiplier) == expected
    assert made.conId == instrument.con_id


def test_an_order_says_everything_that_a_preset_could_change() -> None:
    terms = OrderTerms(
        symbol="AAPL",
        side=Side.SELL,
        quantity=Decimal("1E+2"),
        order_type=OrderType.STOP_LIMIT,
        limit_price=Decimal("10.50"),
        stop_price=Decimal("10.60"),
        time_in_force=TimeInForce.GTC,
        outside_rth=True,
    )
    order = order_of(terms, "ref-1", "DU1")
    assert (order.action, order.orderType, order.tif, order.orderRef) == ("SELL", "STP LMT", "GTC", "ref-1")
    assert (order.account, order.outsideRth) == ("DU1", True)
    assert [str(value) for value in (order.totalQuantity, order.lmtPrice, order.auxPrice)] == ["100", "10.50", "10.60"]
