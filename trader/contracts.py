"""Value types: instruments, sides, order vocabulary, quotes, money.

Rules: money and quantities of orders, fills and books are ``Decimal``; market data prices and sizes are
``float``, because they are observations that features are computed from and never amounts that are owed.
A price crosses from float to Decimal in one place, ``Instrument.round_price``.
"""

from datetime import datetime
from decimal import ROUND_CEILING, ROUND_FLOOR, ROUND_HALF_EVEN, Decimal
from enum import StrEnum
from typing import Final

import msgspec

ZERO: Final = Decimal(0)
ONE: Final = Decimal(1)
FUTURES_MONTHS: Final = "FGHJKMNQUVXZ"


class Side(StrEnum):
    BUY = "BUY"
    SELL = "SELL"

    @property
    def sign(self) -> int:
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> "Side":
        return Side.SELL if self is Side.BUY else Side.BUY


class SecurityType(StrEnum):
    """``OTHER`` is anything else that an account may hold: shown, and closed by its con_id, never configured."""

    STOCK = "STK"
    FUTURE = "FUT"
    CASH = "CASH"
    OTHER = "OTHER"


class OrderType(StrEnum):
    """IB's own codes for the order types the service and the simulator know."""

    MARKET = "MKT"
    LIMIT = "LMT"
    STOP = "STP"
    STOP_LIMIT = "STP LMT"
    TRAIL = "TRAIL"


class TimeInForce(StrEnum):
    DAY = "DAY"
    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"


class TradingMode(StrEnum):
    LIVE = "live"
    PAPER = "paper"
    SIMULATED = "simulated"


class TradingState(StrEnum):
    """What the service may do. ``reduce_only`` allows exits; ``halted`` cancels only; ``panic`` flattens."""

    ACTIVE = "active"
    REDUCE_ONLY = "reduce_only"
    HALTED = "halted"
    PANIC = "panic"


class Instrument(msgspec.Struct, frozen=True, gc=False):
    """One tradable thing. ``symbol`` is the service's own key and unique in a configuration.

    ``ib_symbol`` is what IB calls it where that differs from the key (``EUR`` for the key ``EUR.USD``);
    empty means the same. ``con_id`` is 0 until the broker has qualified it. ``expiry`` is YYYYMM[DD].
    """

    symbol: str
    security_type: SecurityType = SecurityType.STOCK
    exchange: str = "SMART"
    primary_exchange: str = ""
    currency: str = "USD"
    expiry: str = ""
    ib_symbol: str = ""
    multiplier: Decimal = ONE
    tick_size: Decimal = Decimal("0.01")
    con_id: int = 0

    @property
    def market_name(self) -> str:
        """What a recorded market calls it: a stock's symbol, ``ESH6`` for a future, ``EUR.USD`` for currencies."""
        root = self.ib_symbol or self.symbol
        if self.security_type is SecurityType.CASH:
            return f"{root.partition('.')[0]}.{self.currency}"
        if self.security_type is SecurityType.FUTURE:
            return f"{root}{FUTURES_MONTHS[int(self.expiry[4:6]) - 1]}{self.expiry[3]}"
        return root

    def round_price(self, price: float | Decimal, side: Side | None = None) -> Decimal:
        """``price`` on the instrument's tick grid: down for a buy, up for a sell, else to the nearest."""
        rounding = {None: ROUND_HALF_EVEN, Side.BUY: ROUND_FLOOR, Side.SELL: ROUND_CEILING}[side]
        exact = price if isinstance(price, Decimal) else Decimal(repr(price))
        return (exact / self.tick_size).quantize(ONE, rounding=rounding) * self.tick_size


class Quote(msgspec.Struct, frozen=True, gc=False):
    """The best bid and ask of one instrument, as last seen. Prices in its currency, sizes in units."""

    symbol: str
    bid: float
    bid_size: float
    ask: float
    ask_size: float
    at: datetime

    @property
    def mid(self) -> float:
        return (self.bid + self.ask) / 2.0

    def touch(self, side: Side) -> float:
        """The price that an order of ``side`` meets: the ask for a buy, the bid for a sell."""
        return self.ask if side is Side.BUY else self.bid


class Commission(msgspec.Struct, frozen=True, gc=False):
    """A cost of one execution, positive when paid. ``None`` anywhere means: not reported yet."""

    amount: Decimal
    currency: str
