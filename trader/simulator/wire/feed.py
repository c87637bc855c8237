"""Market data subscriptions, and one market event as the messages each of them receives.

Rules: everything that one market event means to one client leaves in a single write. A subscription's first
answer is the current state; after that it is told what changed. A silent subscription is still registered
and receives nothing until it is made again: what a farm that broke and came back leaves behind.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import TYPE_CHECKING, Final, Protocol

from trader.simulator.line import BookTop
from trader.simulator.model import ListedContract, MarketEvent
from trader.simulator.wire import encode_market as encode
from trader.simulator.wire.encode_market import DELAYED_TICKS, LIVE_TICKS, TickByTick

if TYPE_CHECKING:
    from trader.simulator.wire.session import Session

ZERO: Final = Decimal(0)
# The protocol's way of saying that there is no quote.
NO_PRICE: Final = Decimal(-1)
DELAYED: Final = frozenset({3, 4})


class Line:
    """What is known of one contract's market while anybody listens."""

    __slots__ = ("ask", "ask_size", "bid", "bid_size", "subscriptions")

    def __init__(self, top: BookTop | None) -> None:
        self.bid = top.bid if top else None
        self.bid_size = top.bid_size if top else ZERO
        self.ask = top.ask if top else None
        self.ask_size = top.ask_size if top else ZERO
        self.subscriptions: dict[Session, list[Subscription]] = {}

    def update(self, event: MarketEvent) -> None:
        if event.bid is not None:
            self.bid = event.bid
            self.bid_size = self.bid_size if event.bid_size is None else event.bid_size
        if event.ask is not None:
            self.ask = event.ask
            self.ask_size = self.ask_size if event.ask_size is None else event.ask_size


class Subscription(Protocol):
    """Turns market events into one client's messages."""

    request_id: int
    contract: ListedContract
    silent: bool

    def render(self, event: MarketEvent, line: Line, seconds: int) -> Iterable[bytes]:
        """The messages for one event, after ``line`` has taken it in; none when it says nothing new."""
        ...


class StreamingData:
    """reqMktData: prices and sizes that changed, trades, volume."""

    def __init__(self, request_id: int, contract: ListedContract, version: int, data_type: int) -> None:
        self.request_id = request_id
        self.contract = contract
        self.silent = False
        self._version = version
        self._types = DELAYED_TICKS if data_type in DELAYED else LIVE_TICKS
        self._data_type = data_type
        self._sides: dict[int, tuple[Decimal, Decimal]] = {}
        self._volume = ZERO
        self._seconds = 0

    def opening(self, top: BookTop | None) -> Iterable[bytes]:
        """The first answer: parameters, then everything that is known."""
        yield encode.tick_request_parameters(self.request_id, self.contract.tick_size)
        yield encode.market_data_type(self.request_id, self._data_type)
        if top is None:
            return
        types = self._types
        self._volume = top.volume
        yield from self._side(types.bid, types.bid_size, top.bid or NO_PRICE, top.bid_size)
        yield from self._side(types.ask, types.ask_size, top.ask or NO_PRICE, top.ask_size)
        if top.last is not None:
            yield from self._side(types.last, types.last_size, top.last, top.last_size)
        yield encode.tick_size(self.request_id, types.volume, top.volume, self._version)
        if top.at is not None:
            yield encode.tick_string(self.request_id, types.last_timestamp, str(int(top.at.timestamp())))
        day = ((types.open, top.open), (types.high, top.high), (types.low, top.low), (types.close, top.close))
        for tick_type, price in day:
            if price is not None:
                yield encode.tick_price(self.request_id, tick_type, price, ZERO, self._version)
        yield encode.tick_generic(self.request_id, encode.TICK_HALTED, 0.0)

    def render(self, event: MarketEvent, line: Line, seconds: int) -> Iterable[bytes]:
        types = self._types
        if event.bid is not None:
            yield from self._side(types.bid, types.bid_size, event.bid, line.bid_size)
        if event.ask is not None:
            yield from self._side(types.ask, types.ask_size, event.ask, line.ask_size)
        if event.last is not None:
            yield from self._trade(event.last, event.last_size or ZERO, seconds)

    def _trade(self, price: Decimal, size: Decimal, seconds: int) -> Iterable[bytes]:
        types = self._types
        if seconds != self._seconds:
            self._seconds = seconds
            yield encode.tick_string(self.request_id, types.last_timestamp, str(seconds))
        self._volume += size
        yield encode.tick_price(self.request_id, types.last, price, size, self._version)
        yield encode.tick_size(self.request_id, types.last_size, size, self._version)
        yield encode.tick_size(self.request_id, types.volume, self._volume, self._version)

    def _side(self, price_type: int, size_type: int, price: Decimal, size: Decimal) -> Iterable[bytes]:
        """A price tick when the price changed, then its size; the size alone when only that changed."""
        known = self._sides.get(price_type)
        if known == (price, size):
            return
        self._sides[price_type] = (price, size)
        if known is None or known[0] != price:
            mask = "0" if price_type == self._types.last else encode.CAN_AUTO_EXECUTE
            yield encode.tick_price(self.request_id, price_type, price, size, self._version, mask)
        yield encode.tick_size(self.request_id, size_type, size, self._version)


class TickByTickData:
    """reqTickByTickData: one message for each quote or trade."""

    def __init__(self, request_id: int, contract: ListedContract, version: int, kind: TickByTick) -> None:
        self.request_id = request_id
        self.contract = contract
        self.silent = False
        self._version = version
        self._kind = kind
        self._exchange = contract.primary_exchange or contract.exchange

    def render(self, event: MarketEvent, line: Line, seconds: int) -> Iterable[bytes]:
        quoted = event.bid is not None or event.ask is not None
        bid, ask = line.bid or NO_PRICE, line.ask or NO_PRICE
        match self._kind:
            case TickByTick.BID_ASK if quoted:
                sizes = (line.bid_size, line.ask_size)
                yield encode.tick_bid_ask(self.request_id, seconds, bid, ask, *sizes, self._version)
            case TickByTick.MIDPOINT if quoted and _is_price(bid) and _is_price(ask):
                yield encode.tick_midpoint(self.request_id, seconds, (bid + ask) / 2)
            case TickByTick.LAST | TickByTick.ALL_LAST if event.last is not None:
                trade = (event.last, event.last_size or ZERO, self._exchange)
                yield encode.tick_last(self.request_id, self._kind, seconds, *trade, self._version)
            case _:
                return


def _is_price(price: Decimal) -> bool:
    return price.is_finite() and price > 0


class MarketFeed:
    """All subscriptions of all clients, by contract."""

    def __init__(self) -> None:
        self._lines: dict[int, Line] = {}
        self.paused = False

    def add(self, session: "Session", subscription: Subscription, top: BookTop | None) -> None:
        """Subscribe; ``top`` is the contract's market now."""
        line = self._lines.setdefault(subscription.contract.con_id, Line(top))
        line.subscriptions.setdefault(session, []).append(subscription)

    def remove(self, session: "Session", subscription: Subscription) -> None:
        con_id = subscription.contract.con_id
        line = self._lines[con_id]
        own = line.subscriptions[session]
        own.remove(subscription)
        if not own:
            del line.subscriptions[session]
        if not line.subscriptions:
            del self._lines[con_id]

    def silence(self) -> None:
        """Leave every present subscription registered and dead."""
        for line in self._lines.values():
            for own in line.subscriptions.values():
                for subscription in own:
                    subscription.silent = True

    def publish(self, con_id: int, event: MarketEvent) -> None:
        """Tell every subscriber of the contract, each in one write."""
        line = self._lines.get(con_id)
        if line is None:
            return
        line.update(event)
        if self.paused:
            return
        seconds = int(event.at.timestamp())
        for session, own in list(line.subscriptions.items()):
            frames = [part for item in own if not item.silent for part in item.render(event, line, seconds)]
            if frames:
                session.write(b"".join(frames))
