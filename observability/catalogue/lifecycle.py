"""Lifecycle: starts and how the run before this one ended. Both come from the journal and survive restarts."""

from typing import Final

from observability.catalogue.record import Group, Label, Source
from trader.events import StartReason

GROUP: Final = Group("lifecycle")

STARTS: Final = GROUP.counter(
    "trader_starts_total",
    "Starts of the service, by reason; persisted.",
    Label("reason", tuple(StartReason)),
    source=Source.SNAPSHOT,
)
PREVIOUS_EXIT_CLEAN: Final = GROUP.gauge(
    "trader_previous_exit_clean", "1 when the run before this one ended as it should, else 0."
)
