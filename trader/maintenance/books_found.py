"""What the books are compared with: the running service, the broker's word in the journal, the account's values.

Rules: reads only; what cannot be had is None with a reason in ``missing``. The broker repeats executions of its own day
only, which ends at midnight in New York: what was not asked for by then cannot be made up for.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Final, NamedTuple
from zoneinfo import ZoneInfo

from trader.control import ControlClient
from trader.control_messages import Command, ControlError
from trader.events import (
    AnyDurableFact,
    DurableFact,
    FillBooked,
    MismatchFound,
    OrderAdopted,
    OrderIntended,
    ReconciliationFinished,
)
from trader.maintenance.context import Context
from trader.maintenance.folded import BOOK_FACTS, CONTRADICTIONS, contradicted, fold
from trader.maintenance.measures import one_value
from trader.maintenance.sources import Unavailable
from trader.maintenance.trading import PERIOD_FACTS, Trading
from trader.snapshot import Snapshot

BROKER_ZONE: Final = ZoneInfo("America/New_York")
EQUITY: Final = 'max by (instance) (trader_equity{job="trader"})'
CUMULATIVE: Final = 'max by (instance) (trader_pnl_net_cumulative_base{job="trader"})'
KINDS: Final[tuple[type[DurableFact], ...]] = (*PERIOD_FACTS, ReconciliationFinished, MismatchFound)


class Growth(NamedTuple):
    """What the account and our books grew by over the period, in the base currency, as the service measured it."""

    equity_before: float
    equity_after: float
    ours: float

    @property
    def unexplained(self) -> float:
        """What the account gained and our books did not."""
        return self.equity_after - self.equity_before - self.ours


@dataclass
class Found:
    """Everything that was found.

    ``trading`` is folded until ``now``, so it has what came after the period too; ``traded`` is only about the time
    until the broker's day was over.
    """

    trading: Trading
    now: datetime
    closed_at: datetime | None = None
    traded: bool = False
    reconciliations: list[ReconciliationFinished] = field(default_factory=list)
    mismatches: list[MismatchFound] = field(default_factory=list)
    adopted: list[OrderAdopted] = field(default_factory=list)
    snapshot: Snapshot | None = None
    growth: Growth | None = None
    missing: list[str] = field(default_factory=list)

    @property
    def last(self) -> ReconciliationFinished | None:
        return self.reconciliations[-1] if self.reconciliations else None

    @property
    def last_clean(self) -> ReconciliationFinished | None:
        return next((fact for fact in reversed(self.reconciliations) if fact.clean), None)

    @property
    def deadline(self) -> datetime | None:
        """Until when the broker tells the executions of the day that ``closed_at`` is in."""
        return None if self.closed_at is None else midnight_after(self.closed_at)

    @property
    def compared_at(self) -> datetime | None:
        """When all executions were first compared after the close and before the deadline; None when they were not."""
        if self.closed_at is None or self.deadline is None:
            return None
        moments = (fact.at for fact in self.reconciliations if fact.clean)
        return next((at for at in moments if self.closed_at <= at < self.deadline), None)

    def theirs(self, symbol: str, ours: Decimal) -> Decimal | None:
        """The broker's position by the last comparison; None when there was none, or something was filled since."""
        last = self.last
        if last is None or last.unanswered or (self.trading.last_fill_at and self.trading.last_fill_at > last.at):
            return None
        if last.clean:
            return ours
        said = next((fact.theirs for fact in reversed(self.mismatches) if fact.subject == symbol), None)
        return ours if said is None else Decimal(said)


def midnight_after(moment: datetime) -> datetime:
    """The end of the broker's day that ``moment`` is in, UTC."""
    day = moment.astimezone(BROKER_ZONE).date() + timedelta(days=1)
    return datetime.combine(day, time(0), BROKER_ZONE).astimezone(UTC)


def read(context: Context) -> Found:
    """Everything that can be had; raises JournalError or Unavailable when the journal cannot be read."""
    books = fold(context.settings.base_currency, context.facts_before(context.since, *BOOK_FACTS))
    session = context.session
    found = Found(Trading(books), context.clock.now(), closed_at=session.closes_at if session else None)
    try:
        for fact in context.facts(*KINDS, until=found.now):
            found.trading.take(fact)
            _keep(found, fact)
    except CONTRADICTIONS as error:
        raise contradicted(error) from error
    _ask_service(context, found)
    _ask_prometheus(context, found)
    return found


def _keep(found: Found, fact: AnyDurableFact) -> None:
    match fact:
        case OrderIntended() | FillBooked():
            moment = fact.at if isinstance(fact, OrderIntended) else fact.line.executed_at
            found.traded |= found.deadline is None or moment < found.deadline
        case ReconciliationFinished():
            found.reconciliations.append(fact)
        case MismatchFound():
            found.mismatches.append(fact)
        case OrderAdopted():
            found.adopted.append(fact)
        case _:
            pass


def _ask_service(context: Context, found: Found) -> None:
    try:
        answer = ControlClient(context.settings.control.socket).call(Command.STATUS)
        found.snapshot = answer.value(Snapshot)
    except ControlError as error:
        found.missing.append(f"the running service's books and the broker's account values: {error}")


def _ask_prometheus(context: Context, found: Found) -> None:
    try:
        equity = [one_value(context, EQUITY, at) for at in (context.since, context.until)]
        ours = [one_value(context, CUMULATIVE, at) for at in (context.since, context.until)]
    except Unavailable as error:
        found.missing.append(f"the account's growth against the books': {error}")
        return
    if equity[0] is None or equity[1] is None or ours[0] is None or ours[1] is None:
        found.missing.append("the account's growth against the books': Prometheus has not both ends of the period")
        return
    found.growth = Growth(equity[0], equity[1], ours[1] - ours[0])
