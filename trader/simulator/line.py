"""The market of one contract as the exchange sees it: quote, day figures, what is left of displayed size.

Rules: a displayed size is used up by fills until the next quote of that side; a price that is not positive
or a size of 0 means that there is no quote. This is the hot path: one ``update`` for each market event.
"""

from datetime import datetime
from decimal import Decimal

import msgspec

from trader.contracts import ZERO, SecurityType
from trader.simulator.bars import BarHistory
from trader.simulator.contract_book import market_key
from trader.simulator.model import ListedContract, MarketEvent
from trader.simulator.orders import WorkingOrder

TWO = Decimal(2)


class BookTop(msgspec.Struct, frozen=True, kw_only=True):
    """Best quote and day figures; a price is None before there was one. ``close`` is the previous day's."""

    bid: Decimal | None
    bid_size: Decimal
    ask: Decimal | None
    ask_size: Decimal
    last: Decimal | None
    last_size: Decimal
    volume: Decimal
    open: Decimal | None
    high: Decimal | None
    low: Decimal | None
    close: Decimal | None
    at: datetime | None


class MarketLine:
    """One contract's market and the live orders that wait in it, oldest first."""

    __slots__ = (
        "ask",
        "ask_left",
        "ask_size",
        "at",
        "bid",
        "bid_left",
        "bid_size",
        "close",
        "con_id",
        "contract",
        "high",
        "history",
        "key",
        "last",
        "last_size",
        "low",
        "open",
        "orders",
        "volume",
    )

    def __init__(self, contract: ListedContract, history_bars: int) -> None:
        self.contract = contract
        self.con_id = contract.con_id
        self.key = market_key(contract)
        self.bid: Decimal | None = None
        self.bid_size = ZERO
        self.bid_left = ZERO
        self.ask: Decimal | None = None
        self.ask_size = ZERO
        self.ask_left = ZERO
        self.last: Decimal | None = None
        self.last_size = ZERO
        self.volume = ZERO
        self.open: Decimal | None = None
        self.high: Decimal | None = None
        self.low: Decimal | None = None
        self.close: Decimal | None = None
        self.at: datetime | None = None
        self.orders: list[WorkingOrder] = []
        self.history = BarHistory(history_bars) if history_bars else None

    def update(self, event: MarketEvent) -> None:
        self.at = event.at
        bid = event.bid
        if bid is not None:
            self.bid = bid
            if event.bid_size is not None:
                self.bid_size = event.bid_size
            self.bid_left = self.bid_size if bid > 0 else ZERO
        ask = event.ask
        if ask is not None:
            self.ask = ask
            if event.ask_size is not None:
                self.ask_size = event.ask_size
            self.ask_left = self.ask_size if ask > 0 else ZERO
        if event.last is not None:
            self._trade(event.last, event.last_size or ZERO)
        if self.history is not None:
            self.history.add(event)

    def _trade(self, price: Decimal, size: Decimal) -> None:
        self.last = price
        self.last_size = size
        self.volume += size
        if self.open is None or self.high is None or self.low is None:
            self.open = self.high = self.low = price
        elif price > self.high:
            self.high = price
        elif price < self.low:
            self.low = price

    def start_day(self) -> None:
        """Begin a new day: yesterday's last price becomes the close, the day's figures start over."""
        self.close = self.last if self.last is not None else self.close
        self.volume = ZERO
        self.open = self.high = self.low = None

    @property
    def mark(self) -> Decimal | None:
        """What one unit is worth: the middle of the quote, else the last trade, else not known."""
        if self.bid is not None and self.ask is not None and self.bid > 0 and self.ask > 0:
            return (self.bid + self.ask) / TWO
        return self.last

    @property
    def triggers_on_quotes(self) -> bool:
        """Currencies have no trades to trigger stops; a stock that never traded has none either."""
        return self.contract.security_type is SecurityType.CASH or self.last is None

    def top(self) -> BookTop:
        return BookTop(
            bid=self.bid,
            bid_size=self.bid_size,
            ask=self.ask,
            ask_size=self.ask_size,
            last=self.last,
            last_size=self.last_size,
            volume=self.volume,
            open=self.open,
            high=self.high,
            low=self.low,
            close=self.close,
            at=self.at,
        )
