"""Bars that grow while a client listens: five-second bars, and historical data kept up to date.

Rules: both are settled at every boundary of five simulated seconds, from the exchange's own history. A
five-second bar without news repeats the last close with volume 0, once there was one.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Final

import msgspec

from trader.simulator.bars import Bar, What
from trader.simulator.exchange import Exchange
from trader.simulator.model import ListedContract
from trader.simulator.wire import encode_market as encode

if TYPE_CHECKING:
    from trader.simulator.wire.session import Session

STEP_S: Final = 5
STEPS_AT_ONCE_MAX: Final = 2_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_STEP: Final = timedelta(seconds=STEP_S)


class BarSubscription(msgspec.Struct, eq=False):
    """One client's bars. ``real_time`` sends every bar once, else the newest is sent whenever it changed."""

    request_id: int
    contract: ListedContract
    what: What
    bar_size_s: int
    real_time: bool
    date_format: int = 1
    silent: bool = False
    last: Bar | None = None


class BarFeed:
    """All growing bars of all clients; ``advance`` when simulated time has passed."""

    def __init__(self, exchange: Exchange, zone: str) -> None:
        self._exchange = exchange
        self._zone = zone
        self._subscriptions: dict[tuple[Session, int], BarSubscription] = {}
        self._settled = exchange.now
        self.paused = False

    def __len__(self) -> int:
        return len(self._subscriptions)

    def add(self, session: "Session", subscription: BarSubscription) -> bool:
        """Subscribe; False when the client uses that request id already."""
        key = (session, subscription.request_id)
        if key in self._subscriptions:
            return False
        if not self._subscriptions:
            self._settled = self._exchange.now
        self._subscriptions[key] = subscription
        return True

    def remove(self, session: "Session", request_id: int) -> bool:
        """Unsubscribe; False when there is nothing under that id."""
        return self._subscriptions.pop((session, request_id), None) is not None

    def forget(self, session: "Session") -> None:
        """Drop everything of a client that has gone."""
        for key in [key for key in self._subscriptions if key[0] is session]:
            del self._subscriptions[key]

    def silence(self) -> None:
        """Leave every present subscription registered and dead."""
        for subscription in self._subscriptions.values():
            subscription.silent = True

    def advance(self, now: datetime) -> None:
        """Send what every boundary passed since the last call brings."""
        if not self._subscriptions:
            return
        for boundary in self._boundaries(now):
            for (session, _), subscription in list(self._subscriptions.items()):
                data = self._render(session, subscription, boundary)
                if data and not self.paused and not subscription.silent:
                    session.write(data)

    def _boundaries(self, now: datetime) -> Iterator[datetime]:
        step = (self._settled - _EPOCH) // _STEP + 1
        last = (now - _EPOCH) // _STEP
        for number in range(max(step, last - STEPS_AT_ONCE_MAX), last + 1):
            self._settled = _EPOCH + number * _STEP
            yield self._settled

    def _render(self, session: "Session", item: BarSubscription, boundary: datetime) -> bytes:
        if item.real_time:
            bar = self._five_seconds(item, boundary)
            return encode.real_time_bar(item.request_id, bar, session.version) if bar else b""
        bar = self._newest(item, boundary)
        if bar is None or bar == item.last:
            return b""
        item.last = bar
        date = encode.bar_date(bar.at, item.bar_size_s, item.date_format, session.version, self._zone)
        return encode.historical_update(item.request_id, date, bar, session.version)

    def _five_seconds(self, item: BarSubscription, boundary: datetime) -> Bar | None:
        bars = self._exchange.bars(item.contract.con_id, boundary, STEP_S, STEP_S, item.what)
        if bars:
            item.last = bars[-1]
        elif item.last is not None:
            close = item.last.close
            flat = {"open": close, "high": close, "low": close, "average": close, "volume": Decimal(0), "count": 0}
            item.last = msgspec.structs.replace(item.last, at=boundary - _STEP, **flat)
        return item.last

    def _newest(self, item: BarSubscription, boundary: datetime) -> Bar | None:
        """The bar that the moment just before ``boundary`` falls into."""
        size = timedelta(seconds=item.bar_size_s)
        into = (boundary - _EPOCH - timedelta(microseconds=1)) % size
        duration_s = (into + timedelta(microseconds=1)).total_seconds()
        bars = self._exchange.bars(item.contract.con_id, boundary, duration_s, item.bar_size_s, item.what)
        return bars[-1] if bars else None
