"""The market data subscriptions: which instrument asks under which request id, and what became of it.

Rules: a request id is used once; a subscription that is made again gets a new one, so that late messages of
the old one are recognised and ignored. A subscription is news when its status changes.
"""

from collections.abc import Callable, Iterable
from enum import StrEnum

from trader.contracts import Instrument, SecurityType
from trader.events import SubscriptionStatus

OnChanged = Callable[[str, SubscriptionStatus, int, str], None]


class Feed(StrEnum):
    """What a request subscribes to: whole quotes, trades alone, or each quote with the exchange's time."""

    QUOTES = "quotes"
    TRADES = "trades"
    TICK_BY_TICK = "tick_by_tick"


class Subscription:
    """One request of one instrument. ``confirmed`` once the broker has said anything but an error."""

    __slots__ = ("confirmed", "feed", "request_id", "started_ns", "symbol")

    def __init__(self, symbol: str, feed: Feed, request_id: int, started_ns: int) -> None:
        self.symbol = symbol
        self.feed = feed
        self.request_id = request_id
        self.started_ns = started_ns
        self.confirmed = False


class Subscriptions:
    """The subscriptions of one connection; ``on_changed(symbol, status, code, message)``."""

    def __init__(self, on_changed: OnChanged) -> None:
        self._on_changed = on_changed
        self._by_id: dict[int, Subscription] = {}
        self._status: dict[str, SubscriptionStatus] = {}

    def add(self, symbol: str, feed: Feed, request_id: int, started_ns: int) -> None:
        self._by_id[request_id] = Subscription(symbol, feed, request_id, started_ns)

    def get(self, request_id: int) -> Subscription | None:
        return self._by_id.get(request_id)

    def take(self, symbol: str) -> list[Subscription]:
        """Remove and return the subscriptions of ``symbol``."""
        taken = [item for item in self._by_id.values() if item.symbol == symbol]
        for item in taken:
            del self._by_id[item.request_id]
        return taken

    def confirm(self, request_id: int) -> Subscription | None:
        """The broker answers this one; returns it the first time."""
        found = self._by_id.get(request_id)
        if found is None or found.confirmed:
            return None
        found.confirmed = True
        self._set(found.symbol, SubscriptionStatus.SUBSCRIBED, 0, "")
        return found

    def fail(self, request_id: int, status: SubscriptionStatus, code: int, message: str) -> Subscription | None:
        """The broker refuses or ends this one; returns it when it is known."""
        found = self._by_id.get(request_id)
        if found is not None:
            found.confirmed = False
            self._set(found.symbol, status, code, message)
        return found

    def lost(self) -> list[str]:
        """The symbols whose data ended and may come back."""
        return [symbol for symbol, status in self._status.items() if status is SubscriptionStatus.LOST]

    def _set(self, symbol: str, status: SubscriptionStatus, code: int, message: str) -> None:
        if self._status.get(symbol) is not status:
            self._status[symbol] = status
            self._on_changed(symbol, status, code, message)


def served_by(farm: str, instruments: Iterable[Instrument]) -> tuple[str, ...]:
    """The symbols whose data comes from ``farm``; all of them when its name says nothing about that."""
    items = list(instruments)
    name = farm.lower()
    if "cash" in name:
        kinds = {SecurityType.CASH}
    elif "fut" in name:
        kinds = {SecurityType.FUTURE}
    elif name.startswith(("usfarm", "eufarm", "hfarm", "jfarm")):
        kinds = {SecurityType.STOCK}
    else:
        return tuple(item.symbol for item in items)
    return tuple(item.symbol for item in items if item.security_type in kinds)
