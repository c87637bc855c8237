"""An order's message is byte for byte what ib_async's encoder writes."""

from decimal import Decimal
from typing import Any

import pytest
from ib_async.client import Client

from trader.contracts import Instrument, OrderType, SecurityType, Side, TimeInForce
from trader.events import OrderTerms
from trader.gateway.ib import order_messages
from trader.gateway.ib.order_messages import OrderMessages
from trader.gateway.ib.shapes import contract_of, order_of

STOCK = Instrument("AAPL", con_id=265598)
FUTURE = Instrument(
    "ESZ6", SecurityType.FUTURE, "CME", expiry="202612", ib_symbol="ES", multiplier=Decimal(50), con_id=495512563
)
ANY_OTHER = Instrument("100% \\ odd", SecurityType.OTHER, "SMART", con_id=7)
ORDERS = {
    "a limit order": {"order_type": OrderType.LIMIT, "limit_price": Decimal("101.01")},
    "a market order": {"order_type": OrderType.MARKET},
    "a stop order": {"order_type": OrderType.STOP, "stop_price": Decimal("99.5")},
    "a stop limit order": {
        "order_type": OrderType.STOP_LIMIT,
        "stop_price": Decimal("99.5"),
        "limit_price": Decimal("1E+2"),
    },
    "an order until cancelled": {"order_type": OrderType.MARKET, "time_in_force": TimeInForce.GTC},
    "an order outside of regular hours": {"order_type": OrderType.MARKET, "outside_rth": True},
}


class Written(Client):
    """ib_async's encoder as it is."""

    def __init__(self, version: int) -> None:
        super().__init__(None)
        self.version, self.messages = version, []

    def isConnected(self) -> bool:  # noqa: N802
        return True

    def serverVersion(self) -> int:  # noqa: N802
        return self.version

    def sendMsg(self, msg: str) -> None:  # noqa: N802
        self.messages.append(msg.encode())


def terms_of(side: Side, quantity: str, given: dict[str, Any]) -> OrderTerms:
    return OrderTerms(symbol="AAPL", side=side, quantity=Decimal(quantity), **given)


@pytest.mark.parametrize("version", [157, 176, 178])
@pytest.mark.parametrize("instrument", [STOCK, FUTURE, ANY_OTHER], ids=lambda item: item.symbol)
@pytest.mark.parametrize("kind", ORDERS)
def test_a_message_is_what_the_encoder_would_have_written(kind, instrument, version):
    messages, encoder = OrderMessages(version, "DU1"), Written(version)
    for number, (side, quantity) in enumerate([(Side.BUY, "100"), (Side.SELL, "7"), (Side.BUY, "0.5")], start=5):
        terms, reference = terms_of(side, quantity, ORDERS[kind]), f"ibt-20260105-{number} 100%"
        encoder.placeOrder(number, contract_of(instrument), order_of(terms, reference, "DU1"))
        assert messages.place(number, instrument, terms, reference) == encoder.messages[-1]


def test_a_contract_that_was_qualified_in_the_meantime_is_another_kind():
    messages, terms = OrderMessages(178, "DU1"), terms_of(Side.BUY, "1", ORDERS["a market order"])
    before = messages.place(1, Instrument("AAPL"), terms, "r")
    assert messages.place(1, STOCK, terms, "r") != before


def test_it_remembers_a_limited_number_of_kinds(monkeypatch):
    monkeypatch.setattr(order_messages, "KINDS_MAX", 2)
    messages, terms = OrderMessages(178, "DU1"), terms_of(Side.BUY, "1", ORDERS["a market order"])
    written = [messages.place(1, Instrument(name), terms, "r") for name in ("A", "B", "C", "A")]
    assert written[0] == written[3]
