"""A trading floor to play scenarios on: an exchange with its reports written down as short lines."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from trader.contracts import OrderType, Side, TimeInForce
from trader.simulator.contract_book import ContractBook
from trader.simulator.exchange import Exchange
from trader.simulator.model import (
    CommissionReported,
    ErrorReported,
    ExecutionReported,
    MarketEvent,
    OrderReported,
    OrderRequest,
    PositionReported,
    QuoteReported,
    Report,
    StatusReported,
)
from trader.simulator.options import ExchangeOptions

MONDAY_TEN = datetime(2026, 1, 5, 15, 0, tzinfo=UTC)
TYPES = {item.value: item for item in OrderType}


class Floor:
    """An exchange; prices and quantities are given as anything Decimal takes."""

    def __init__(self, start: datetime = MONDAY_TEN, seed: int = 1, **options: Any) -> None:
        self.reports: list[Report] = []
        self.book = ContractBook(("SPY", "ESH6", "EUR.USD", "USD.JPY", "ZZZ"))
        self.exchange = Exchange(self.book, ExchangeOptions(**options), start, seed, self.reports.append)
        self.next_id = 1

    def con_id(self, key: str) -> int:
        return self.book.by_key(key).con_id

    def quote(self, bid: Any = None, ask: Any = None, size: Any = 1000, key: str = "SPY", after_s: float = 1) -> None:
        self._apply(key, after_s, bid=bid, bid_size=bid and size, ask=ask, ask_size=ask and size)

    def trade(self, price: Any, size: Any = 100, key: str = "SPY", after_s: float = 1) -> None:
        self._apply(key, after_s, last=price, last_size=size)

    def _apply(self, key: str, after_s: float, **values: Any) -> None:
        numbers = {name: None if value is None else Decimal(str(value)) for name, value in values.items()}
        at = self.exchange.now + timedelta(seconds=after_s)
        self.exchange.apply(MarketEvent(at=at, symbol=key, **numbers))

    def place(self, side: Side, quantity: Any, kind: str, limit: Any = None, aux: Any = None, **more: Any) -> int:
        """Place an order of client 1, by default under the next id; returns its id."""
        order_id = more.pop("order_id", self.next_id)
        self.next_id = max(self.next_id, order_id + 1)
        request = OrderRequest(
            client_id=more.pop("client_id", 1),
            order_id=order_id,
            con_id=more.pop("con_id", None) or self.con_id(more.pop("key", "SPY")),
            side=side,
            quantity=Decimal(str(quantity)),
            order_type=TYPES[kind],
            limit_price=None if limit is None else Decimal(str(limit)),
            aux_price=None if aux is None else Decimal(str(aux)),
            time_in_force=TimeInForce(more.pop("tif", "DAY")),
            **more,
        )
        self.exchange.place(request)
        return order_id

    def buy(self, quantity: Any, kind: str = "MKT", *args: Any, **more: Any) -> int:
        return self.place(Side.BUY, quantity, kind, *args, **more)

    def sell(self, quantity: Any, kind: str = "MKT", *args: Any, **more: Any) -> int:
        return self.place(Side.SELL, quantity, kind, *args, **more)

    def heard(self) -> list[str]:
        """The reports since the last call, as lines, without quotes."""
        lines = [line_of(report) for report in self.reports if not isinstance(report, QuoteReported)]
        self.reports.clear()
        return lines

    def position(self, key: str = "SPY") -> Decimal:
        return self.exchange.pnl_single(self.con_id(key)).quantity

    def status(self, order_id: int, client_id: int = 1) -> str:
        """The status of an order among all that are open or completed today."""
        every = (*self.exchange.open_orders(), *self.exchange.completed_orders())
        [view] = [item for item in every if (item.request.client_id, item.request.order_id) == (client_id, order_id)]
        return view.status

    def value(self, tag: str, currency: str = "USD") -> Decimal:
        [text] = [value for name, value, unit in self.exchange.account_values() if (name, unit) == (tag, currency)]
        return Decimal(text)


def line_of(report: Report) -> str:
    match report:
        case OrderReported(order) | StatusReported(order):
            word = "order" if isinstance(report, OrderReported) else "status"
            held = f" ({order.why_held})" if order.why_held else ""
            return f"{word} {order.request.order_id} {order.status} {order.filled:f}+{order.remaining:f}{held}"
        case ExecutionReported(item):
            return f"execution {item.order.request.order_id} {item.side} {item.quantity:f}@{item.price:f}"
        case CommissionReported():
            realized = "" if report.realized is None else f" realized {report.realized:.2f}"
            return f"commission {report.amount:.2f}{realized}"
        case PositionReported(position):
            return f"position {position.quantity:f}"
        case ErrorReported():
            return f"error {report.request_id} {report.code}"
    raise AssertionError(report)


@pytest.fixture(scope="session")
def make_floor() -> Callable[..., Floor]:
    return Floor


@pytest.fixture
def floor() -> Floor:
    """A floor with SPY quoted 100.00 / 100.02, 1,000 shares each."""
    made = Floor()
    made.quote(100, "100.02")
    return made
