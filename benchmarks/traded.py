"""The metrics of a service that has traded: its own engine and observers, after some sessions of the soak.

Rules: nothing is invented but the values of the catalogue's open labels (currencies, data farms, strategies), which
are filled up to their limits, so that every series that the catalogue allows and the soak can reach is there.
"""

from collections.abc import Callable, Iterator, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Final, NamedTuple

from msgspec.structs import replace
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric as Family
from prometheus_client.registry import Collector

from observability.catalogue import market_data, orders, risk
from observability.collectors import BuildInfo
from observability.stack import build
from trader.clock import ManualClock, SystemClock
from trader.drills.soak import WARM_UP, SoakOptions, play_soak
from trader.events import AnyFact
from trader.settings import Settings
from trader.snapshot import PnlView, Snapshot

SESSIONS: Final = WARM_UP + 2
"""The fewest that the soak plays."""
QUOTES_PER_S: Final = 10.0
TURN_S: Final = 15.0


class _Everything:
    """The soak's snapshot, with as many currencies, farms and strategies as the catalogue lets through."""

    def __init__(self, snapshot: Callable[[], Snapshot]) -> None:
        self._snapshot = snapshot

    def __call__(self) -> Snapshot:
        now = self._snapshot()
        farms = {f"farm{number}": True for number in range(market_data.MAX_FARMS)}
        holds = {f"strategy{number}": 1 for number in range(orders.DECISIONS.labels[0].at_most)}
        currencies = tuple(_pnl(f"C{number:02}") for number in range(risk.MAX_CURRENCIES))
        return replace(
            now,
            connection=replace(now.connection, farms=farms),
            pnl_by_currency=currencies,
            activity=replace(now.activity, holds={**now.activity.holds, **holds}),
        )


def _pnl(currency: str) -> PnlView:
    amount = Decimal("12.34")
    return PnlView(
        currency=currency, realized=amount, unrealized=amount, commission=-amount, fees=-amount, commissions_missing=0
    )


class Traded(NamedTuple):
    registry: CollectorRegistry
    snapshot: Callable[[], Snapshot]


def traded(folder: Path, session_s: float, seed: int) -> Traded:
    """What the observers of a soak of ``session_s`` a session have to show, and what they read."""
    found: list[Traded] = []

    def watching(
        settings: Settings, snapshot: Callable[[], Snapshot], _clock: ManualClock
    ) -> tuple[Callable[[Sequence[AnyFact]], None], Callable[[], int]]:
        everything = _Everything(snapshot)
        stack = build(settings, everything, SystemClock(), BuildInfo("benchmark", "benchmark", "none"))
        found.append(Traded(stack.registry, everything))
        return stack.observers.publish, lambda: 0

    options = SoakOptions(
        folder=folder, sessions=SESSIONS, quotes_per_s=QUOTES_PER_S, turn_s=TURN_S, session_s=session_s, seed=seed
    )
    play_soak(options, watching, lambda _sample: None)
    return found[0]


class Manifold(Collector):
    """A registry's families with every sample ``times`` times, told apart by one more label: families of that size."""

    def __init__(self, registry: CollectorRegistry, times: int) -> None:
        self._registry = registry
        self._labels = [{"part": f"part{number}"} for number in range(times)]

    def collect(self) -> Iterator[Family]:
        for family in self._registry.collect():
            family.samples = [
                sample._replace(labels={**sample.labels, **more}) for more in self._labels for sample in family.samples
            ]
            yield family


def manifold(registry: CollectorRegistry, times: int) -> CollectorRegistry:
    """A registry of ``times`` the series of ``registry``."""
    result = CollectorRegistry(auto_describe=False)
    result.register(Manifold(registry, times))
    return result
