"""A run over the wire against a replay of the same data.

Rules: pure, facts in and a comparison out. Signals depend on market data alone, so they must agree one by
one for each strategy and instrument: target and price, in order. Fills may differ, by latency; what that
cost is counted for the quantity that both filled. Positive differences are to the wire run's disadvantage.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from itertools import zip_longest
from typing import Final, NamedTuple

import msgspec

from trader.contracts import ZERO, Side
from trader.events import AnyFact, SignalChanged
from trader.replay.orders import OrderRecord, fold_orders

# A wire run that ended before the data did may have missed what happened in its last moments.
END_GRACE: Final = timedelta(seconds=5)


class SignalPair(msgspec.Struct, frozen=True):
    """The ``number``-th signal (from 1) of one instrument in both runs; None where there is none."""

    symbol: str
    number: int
    wire: SignalChanged | None
    replay: SignalChanged | None

    @property
    def agrees(self) -> bool:
        wire, replay = self.wire, self.replay
        if wire is None or replay is None:
            return False
        return (wire.strategy, wire.target, wire.price) == (replay.strategy, replay.target, replay.price)

    @property
    def at(self) -> datetime:
        return min(signal.at for signal in (self.wire, self.replay) if signal is not None)


class OrderPair(msgspec.Struct, frozen=True):
    """One order in both runs; None where there is none.

    Orders pair by the signal they followed (its number in the instrument, from 1), their side, and their place
    among those, so that a retry in one run does not shift everything after it.
    """

    symbol: str
    number: int
    wire: OrderRecord | None
    replay: OrderRecord | None

    @property
    def quantity_difference(self) -> Decimal:
        """What the wire run filled more (negative: less), in units."""
        return _filled(self.wire) - _filled(self.replay)

    @property
    def time_difference_s(self) -> float | None:
        """How much later the wire run's first fill was, by the exchange's time; None unless both filled."""
        if self.wire is None or self.replay is None:
            return None
        wire, replay = self.wire.first_fill_at, self.replay.first_fill_at
        return (wire - replay).total_seconds() if wire and replay else None

    @property
    def price_difference(self) -> Decimal | None:
        """How much worse the wire run's average price was, a unit; None unless both filled."""
        if self.wire is None or self.replay is None:
            return None
        wire, replay = self.wire.average_price, self.replay.average_price
        return (wire - replay) * self.wire.terms.side.sign if wire is not None and replay is not None else None

    @property
    def latency_cost(self) -> Decimal:
        """What the worse price cost on the quantity that both filled, in the instrument's currency."""
        if self.wire is None or self.price_difference is None:
            return ZERO
        multiplier = next(iter(self.wire.executions.values())).instrument.multiplier
        return self.price_difference * min(_filled(self.wire), _filled(self.replay)) * multiplier

    @property
    def identical(self) -> bool:
        return not self.quantity_difference and not self.price_difference and not self.time_difference_s


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """``signals`` and ``orders`` are ordered by time. ``compared_until`` is None when all was compared.

    ``same_configuration`` is None when it is not known which one the run over the wire used.
    """

    signals: tuple[SignalPair, ...]
    orders: tuple[OrderPair, ...]
    compared_until: datetime | None
    same_configuration: bool | None = None

    @property
    def signals_agree(self) -> bool:
        """An empty comparison agrees on nothing."""
        return bool(self.signals) and all(pair.agrees for pair in self.signals)

    @property
    def first_difference(self) -> SignalPair | None:
        return next((pair for pair in self.signals if not pair.agrees), None)

    @property
    def latency_cost(self) -> Decimal:
        return sum((pair.latency_cost for pair in self.orders), ZERO)


def compare(wire: Sequence[AnyFact], replay: Sequence[AnyFact], wire_ended_at: datetime | None = None) -> Comparison:
    """Pair the signals and the orders of both runs.

    ``wire_ended_at``: the wire run saw nothing after it, so the replay is compared only up to then.
    """
    replay = _until(replay, wire, wire_ended_at)
    return Comparison(
        signals=_pair_signals(wire, replay),
        orders=_pair_orders(fold_orders(wire), fold_orders(replay)),
        compared_until=wire_ended_at,
    )


def _until(replay: Sequence[AnyFact], wire: Sequence[AnyFact], ended_at: datetime | None) -> Sequence[AnyFact]:
    """Drop what the wire run cannot have seen. In its last moments a signal counts if it made that one too."""
    if ended_at is None:
        return replay
    made = max((fact.at for fact in wire if isinstance(fact, SignalChanged)), default=ended_at)
    limit = max(min(made, ended_at), ended_at - END_GRACE)
    return [fact for fact in replay if fact.at <= limit]


def _pair_signals(wire: Iterable[AnyFact], replay: Iterable[AnyFact]) -> tuple[SignalPair, ...]:
    left, right = _signals_by_symbol(wire), _signals_by_symbol(replay)
    pairs = [
        SignalPair(symbol, number, ours, theirs)
        for symbol in sorted(left.keys() | right.keys())
        for number, (ours, theirs) in enumerate(zip_longest(left.get(symbol, ()), right.get(symbol, ())), start=1)
    ]
    return tuple(sorted(pairs, key=lambda pair: (pair.at, pair.symbol, pair.number)))


def _signals_by_symbol(facts: Iterable[AnyFact]) -> dict[str, list[SignalChanged]]:
    grouped: dict[str, list[SignalChanged]] = {}
    for fact in facts:
        if isinstance(fact, SignalChanged):
            grouped.setdefault(fact.symbol, []).append(fact)
    return grouped


def _pair_orders(wire: Iterable[OrderRecord], replay: Iterable[OrderRecord]) -> tuple[OrderPair, ...]:
    left, right = _orders_by_cause(wire), _orders_by_cause(replay)
    pairs = [
        OrderPair(key.symbol, key.signal_number, ours, theirs)
        for key in sorted(left.keys() | right.keys())
        for ours, theirs in zip_longest(left.get(key, ()), right.get(key, ()))
    ]
    return tuple(sorted(pairs, key=lambda pair: (_intended_at(pair), pair.symbol)))


class _Cause(NamedTuple):
    symbol: str
    signal_number: int
    side: Side


def _orders_by_cause(records: Iterable[OrderRecord]) -> dict[_Cause, list[OrderRecord]]:
    grouped: dict[_Cause, list[OrderRecord]] = {}
    for record in records:
        key = _Cause(record.terms.symbol, record.signal_number, record.terms.side)
        grouped.setdefault(key, []).append(record)
    return grouped


def _intended_at(pair: OrderPair) -> datetime:
    return min(record.intended_at for record in (pair.wire, pair.replay) if record is not None)


def _filled(record: OrderRecord | None) -> Decimal:
    return record.filled if record is not None else ZERO
