"""Market data subscriptions of one connection: made, remade, refused.

Rules: making one again never touches the order channel. A farm that came back, data that the broker says is
lost and a feed that asks for it are reasons to make subscriptions again; each gets a new request id.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

from trader.clock import NANOSECONDS_PER_SECOND, Clock
from trader.events import (
    AnyFact,
    ErrorClass,
    MarketDataMode,
    MarketDataModeReceived,
    RequestFinished,
    RequestKind,
    RequestOutcome,
    SubscriptionChangedReceived,
    SubscriptionStatus,
)
from trader.gateway import codes
from trader.gateway.ib.shapes import contract_of
from trader.gateway.instruments import InstrumentIndex
from trader.gateway.pacer import Message, Pacer, Priority
from trader.gateway.quotes import QuoteStream
from trader.gateway.subscriptions import Feed, Subscription, Subscriptions, served_by
from trader.gateway.timers import Timers
from trader.settings import MarketDataSettings

LIVE_TYPE: Final = 1
DELAYED_TYPE: Final = 3
# Asked for again after this long, so that a gateway that ends a subscription at once is not asked in a loop.
RESUBSCRIBE_DELAY_S: Final = 1.0
RETRY_LOST_S: Final = 60.0
FEEDS: Final = {"streaming": (Feed.QUOTES,), "tick_by_tick": (Feed.TICK_BY_TICK, Feed.TRADES)}


class MarketData:
    """``encoder`` is the connection's; ``next_id`` gives request ids."""

    def __init__(
        self,
        *,
        settings: MarketDataSettings,
        encoder: Any,
        pacer: Pacer,
        index: InstrumentIndex,
        clock: Clock,
        timers: Timers,
        deliver: Callable[[AnyFact], None],
        next_id: Callable[[], int],
    ) -> None:
        self.quotes = QuoteStream(
            deliver,
            self.confirm,
            allow_delayed=settings.allow_delayed,
            conflate=settings.conflate == "when_behind",
        )
        self._settings = settings
        self._encoder = encoder
        self._pacer = pacer
        self._index = index
        self._clock = clock
        self._timers = timers
        self._deliver = deliver
        self._next_id = next_id
        self._subscriptions = Subscriptions(self._changed)
        self._remaking: set[str] = set()
        self._retried_ns = clock.monotonic_ns()

    def choose_type(self) -> None:
        """Ask for live data, or for delayed where live is not subscribed and that is allowed."""
        wanted = DELAYED_TYPE if self._settings.allow_delayed else LIVE_TYPE
        self._submit(lambda: self._encoder.reqMarketDataType(wanted), lambda _: None)

    def subscribe(self, symbols: Iterable[str] = ()) -> None:
        """Subscribe anew to ``symbols``, or to every configured instrument."""
        for symbol in tuple(symbols) or tuple(item.symbol for item in self._index):
            self._cancel(symbol)
            for feed in FEEDS[self._settings.feed]:
                self._request(symbol, feed)

    def farm_restored(self, farm: str) -> None:
        """A market data farm is back: its subscriptions may stay silent for ever unless they are made again."""
        symbols = served_by(farm, self._index)
        if symbols:
            self.subscribe(symbols)

    def retry_lost(self) -> None:
        """Now and then ask again for what a competing session took."""
        now_ns = self._clock.monotonic_ns()
        if now_ns - self._retried_ns >= RETRY_LOST_S * NANOSECONDS_PER_SECOND:
            self._retried_ns = now_ns
            lost = self._subscriptions.lost()
            if lost:
                self.subscribe(lost)

    def confirm(self, request_id: int) -> None:
        """Something came for this request."""
        subscription = self._subscriptions.confirm(request_id)
        if subscription is not None:
            self._finished(subscription, RequestOutcome.OK)

    def error(self, request_id: int, code: int, message: str) -> bool:
        """An error for ``request_id``; False when that is not one of these subscriptions."""
        subscription = self._subscriptions.get(request_id)
        if subscription is None:
            return False
        if code in codes.DELAYED_INSTEAD:
            fact = MarketDataModeReceived(at=self._clock.now(), symbol=subscription.symbol, mode=MarketDataMode.DELAYED)
            self._deliver(fact)
        elif codes.classify(code, request_id) not in (ErrorClass.NOTICE, ErrorClass.CONNECTIVITY):
            self._fail(subscription, code, message)
        return True

    def _fail(self, subscription: Subscription, code: int, message: str) -> None:
        confirmed = subscription.confirmed
        status = SubscriptionStatus.LOST if code in codes.SUBSCRIPTION_LOST else SubscriptionStatus.REFUSED
        self._subscriptions.fail(subscription.request_id, status, code, message)
        self.quotes.forget_first(subscription.request_id)
        if not confirmed:
            self._finished(subscription, RequestOutcome.ERROR)
        if code in codes.RESUBSCRIBE and subscription.symbol not in self._remaking:
            self._remaking.add(subscription.symbol)
            self._timers.call_later(RESUBSCRIBE_DELAY_S, lambda: self._remake(subscription.symbol))

    def _remake(self, symbol: str) -> None:
        self._remaking.discard(symbol)
        self.subscribe((symbol,))

    def _request(self, symbol: str, feed: Feed) -> None:
        instrument = self._index.configured(symbol)
        if instrument is None:
            return
        request_id, contract = self._next_id(), contract_of(instrument)
        self._subscriptions.add(symbol, feed, request_id, self._clock.monotonic_ns())
        self.quotes.add(request_id, symbol, quotes=feed is not Feed.TRADES)
        if feed is Feed.TICK_BY_TICK:
            self._submit(
                lambda: self._encoder.reqTickByTickData(request_id, contract, "BidAsk", 0, False),
                lambda _: self._dropped(request_id),
            )
        else:
            self._submit(
                lambda: self._encoder.reqMktData(request_id, contract, "", False, False, []),
                lambda _: self._dropped(request_id),
            )

    def _cancel(self, symbol: str) -> None:
        for subscription in self._subscriptions.take(symbol):
            self.quotes.remove(subscription.request_id)
            by_tick = subscription.feed is Feed.TICK_BY_TICK
            cancel = self._encoder.cancelTickByTickData if by_tick else self._encoder.cancelMktData
            self._submit(partial(cancel, subscription.request_id), lambda _: None)

    def _submit(self, send: Callable[[], None], drop: Callable[[str], None]) -> None:
        def send_if_connected() -> None:
            if self._encoder.isConnected():
                send()
            else:
                drop("not connected")

        self._pacer.submit(Message(Priority.DATA, RequestKind.MARKET_DATA, send_if_connected, drop))

    def _dropped(self, request_id: int) -> None:
        subscription = self._subscriptions.get(request_id)
        if subscription is not None:
            self._finished(subscription, RequestOutcome.DROPPED)

    def _finished(self, subscription: Subscription, outcome: RequestOutcome) -> None:
        elapsed_ns = self._clock.monotonic_ns() - subscription.started_ns
        self._deliver(
            RequestFinished(
                at=self._clock.now(),
                kind=RequestKind.MARKET_DATA,
                outcome=outcome,
                duration_s=elapsed_ns / NANOSECONDS_PER_SECOND,
            )
        )

    def _changed(self, symbol: str, status: SubscriptionStatus, code: int, message: str) -> None:
        self._deliver(
            SubscriptionChangedReceived(at=self._clock.now(), symbol=symbol, status=status, code=code, message=message)
        )
