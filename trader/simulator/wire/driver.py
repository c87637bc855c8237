"""Moves simulated time: market events when they are due, the exchange's clock, bars, and what clients follow.

Rules: nothing happens while the clock stands. Events are applied in small batches with the loop's other work
in between, so that an order is never kept waiting by a burst; when the market is behind the clock, batches
follow one another without a pause. When the market has ended the clock runs on and prices stay.
"""

import asyncio
import logging
from collections.abc import Iterator
from typing import Final

from trader.simulator.market import MarketSource
from trader.simulator.model import MarketEvent
from trader.simulator.wire.gateway import SimulatedGateway
from trader.simulator.wire.options import ClockStart

log = logging.getLogger(__name__)

BATCH_EVENTS: Final = 64
IDLE_MIN_S: Final = 0.002
IDLE_MAX_S: Final = 0.05
# From the last subscription of those that come in a row until the clock starts to run.
SUBSCRIPTION_GRACE_S: Final = 0.3


class MarketDriver:
    """One task: ``run`` until cancelled, or until the market has ended when the options say so."""

    def __init__(self, gateway: SimulatedGateway, market: MarketSource) -> None:
        self._gateway = gateway
        self._events: Iterator[MarketEvent] = market.events()
        self._pending: MarketEvent | None = None
        self._ended = False
        self._run_at_s: float | None = None
        self._account_due_s = 0.0
        self._figures_due_s = 0.0
        self._loop = asyncio.get_running_loop()
        gateway.on_market_asked = self._market_asked
        gateway.catch_up = self._catch_up

    @property
    def ended(self) -> bool:
        """Whether the market has no more events."""
        return self._ended

    async def run(self) -> None:
        """Drive; returns at the market's end if that is wanted, else never."""
        if self._gateway.options.clock_start is ClockStart.LISTENING:
            self._start_clock()
        self._pending = next(self._events, None)
        while not (self._ended and self._gateway.options.exit_at_end):
            await asyncio.sleep(self._step())

    def _step(self) -> float:
        """Do what is due; returns how long in real seconds nothing else will be."""
        now_s = self._loop.time()
        if not self._gateway.clock.running:
            self._start_if_asked(now_s)
            self._follow_ups(now_s)
            return IDLE_MAX_S
        if self._apply_due(now_s):
            return 0.0
        self._catch_up()
        self._follow_ups(now_s)
        if self._pending is None:
            return IDLE_MAX_S
        until_s = self._gateway.clock.real_seconds_until(self._pending.at, self._loop.time())
        return min(IDLE_MAX_S, max(IDLE_MIN_S, until_s))

    def _catch_up(self) -> None:
        """Move the exchange to the clock's time, but not past market events that are still due."""
        present = self._gateway.clock.at(self._loop.time())
        if self._pending is None or present < self._pending.at:
            self._gateway.exchange.advance_to(present)

    def _apply_due(self, now_s: float) -> bool:
        """Apply one batch of events that are due; True when there are more."""
        exchange = self._gateway.exchange
        target = self._gateway.clock.at(now_s)
        for _ in range(BATCH_EVENTS):
            if self._pending is None or self._pending.at > target:
                break
            exchange.apply(self._pending)
            self._pending = next(self._events, None)
        else:
            self._follow_ups(now_s)
            return True
        if self._pending is None and not self._ended:
            self._ended = True
            log.info("the market has ended at %s; its last prices stay", exchange.now.isoformat())
        return False

    def _follow_ups(self, now_s: float) -> None:
        gateway = self._gateway
        gateway.bar_feed.advance(gateway.exchange.now)
        if now_s >= self._figures_due_s:
            self._figures_due_s = now_s + gateway.options.pnl_refresh_s
            gateway.refresh_figures()
        if now_s >= self._account_due_s:
            self._account_due_s = now_s + gateway.options.account_refresh_s
            gateway.refresh_account()

    def _market_asked(self) -> None:
        if not self._gateway.clock.running:
            self._run_at_s = self._loop.time() + SUBSCRIPTION_GRACE_S

    def _start_if_asked(self, now_s: float) -> None:
        if self._run_at_s is not None and now_s >= self._run_at_s:
            self._start_clock()

    def _start_clock(self) -> None:
        """Let time run, and tell clients at once that it does."""
        self._gateway.clock.run(self._loop.time())
        self._account_due_s = 0.0
