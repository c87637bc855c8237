"""What the report draws, sampled on virtual time: net P&L each minute, prices each quarter of one.

Rules: reads the engine's net and the quotes as they were delivered, changes nothing. A silence is
sampled once, not every minute.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import accumulate
from typing import Final

from trader.contracts import ZERO, Quote
from trader.events import AnyFact, CommissionBooked
from trader.ledger import base_exec_id
from trader.report.model import EquityPoint, PricePoint

EQUITY_STEP: Final = timedelta(minutes=1)
PRICE_STEP: Final = timedelta(seconds=15)


class Sampler:
    """``net`` is all days' P&L, None when it is not known; ``quotes`` is the live mapping of last quotes, by symbol."""

    def __init__(self, net: Callable[[], Decimal | None], quotes: Mapping[str, Quote]) -> None:
        self._read_net = net
        self._quotes = quotes
        self._net: list[tuple[datetime, Decimal | None]] = []
        self._prices: dict[str, list[PricePoint]] = {}
        self._next_equity: datetime | None = None
        self._next_price: datetime | None = None
        self._seen_at: datetime | None = None

    def sample(self, at: datetime) -> None:
        """Called with every timer; does something only when a step is over and data has come since."""
        if self._next_price is not None and at < self._next_price:
            return
        self._next_price = at + PRICE_STEP
        latest = max((quote.at for quote in self._quotes.values()), default=None)
        if latest is None or latest == self._seen_at:
            return
        self._seen_at = latest
        for symbol, quote in self._quotes.items():
            self._prices.setdefault(symbol, []).append(PricePoint(at, quote.mid))
        if self._next_equity is None or at >= self._next_equity:
            self._next_equity = at.replace(second=0, microsecond=0) + EQUITY_STEP
            self._take_net(at)

    def finish(self, at: datetime) -> None:
        """The last point of the curve is the end, whenever that is."""
        if self._net and self._net[-1][0] < at:
            self._take_net(at)

    def _take_net(self, at: datetime) -> None:
        self._net.append((at, self._read_net()))

    def prices(self) -> dict[str, tuple[PricePoint, ...]]:
        return {symbol: tuple(points) for symbol, points in sorted(self._prices.items())}

    def equity(self, facts: Iterable[AnyFact], base_currency: str) -> tuple[EquityPoint, ...]:
        """The curve before and after costs; before costs is not known once a cost is in another currency."""
        booked = [fact for fact in facts if isinstance(fact, CommissionBooked)]
        foreign_at = next((fact.at for fact in booked if fact.line.currency != base_currency), None)
        times = [fact.at for fact in booked]
        totals = [ZERO, *accumulate(_growth(booked))]
        return tuple(
            EquityPoint(at, _gross(net, totals[bisect_right(times, at)], bool(foreign_at and foreign_at <= at)), net)
            for at, net in self._net
        )


def _growth(booked: Iterable[CommissionBooked]) -> Iterator[Decimal]:
    """What each report adds to the costs; one for a corrected execution replaces the earlier one."""
    known: dict[str, Decimal] = {}
    for fact in booked:
        key = base_exec_id(fact.line.exec_id)
        yield fact.line.amount - known.get(key, ZERO)
        known[key] = fact.line.amount


def _gross(net: Decimal | None, costs: Decimal, foreign: bool) -> Decimal | None:
    return None if net is None or foreign else net + costs
