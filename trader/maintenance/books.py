"""Daily: our books against the broker's: positions, executions complete before midnight, commissions, account values.

Rules: the journal's books are the service's own ledger, folded again. A difference in positions has failed; what is
late, unknown or unexplained is a warning; what could not be compared is unknown and named.
"""

from collections.abc import Iterator
from typing import Final

from trader.contracts import ZERO
from trader.events import MismatchKind
from trader.journal import JournalError
from trader.maintenance.books_compared import Verdict, compare
from trader.maintenance.books_found import Found, read
from trader.maintenance.context import Context
from trader.maintenance.measures import counted
from trader.maintenance.model import Column, Figure, Outcome, Section, Table, Unit, Value, worst
from trader.maintenance.sources import Unavailable
from trader.settings import Settings

KEY: Final = "books"
TITLE: Final = "Books against the broker"


def run(context: Context) -> Section:
    """The books as they are now."""
    try:
        found = read(context)
    except (JournalError, Unavailable) as error:
        return Section(key=KEY, title=TITLE, outcome=Outcome.FAILED, sentence=str(error), mend="trader journal stats")
    return section(found, context.settings)


def section(found: Found, settings: Settings) -> Section:
    """The whole section, from what was found."""
    verdicts = tuple(compare(found, settings))
    bad = [item for item in verdicts if item.outcome is not Outcome.OK]
    worst_of = max(bad, key=lambda item: tuple(Outcome).index(item.outcome), default=None)
    return Section(
        key=KEY,
        title=TITLE,
        outcome=worst(item.outcome for item in verdicts),
        sentence=f"{worst_of.title}: {worst_of.seen}" if worst_of else "our books and the broker's agree",
        figures=tuple(_figures(found, settings.base_currency)),
        tables=tuple(_tables(found, verdicts)),
        notes=tuple(_notes(found)),
        missing=tuple(found.missing),
        mend=worst_of.mend if worst_of else "",
    )


# -- figures and tables


def _figures(found: Found, currency: str) -> Iterator[Figure]:
    clean = sum(fact.clean for fact in found.reconciliations)
    yield Figure(label="Comparisons with the broker", value=len(found.reconciliations), unit=Unit.COUNT)
    yield Figure(label="of them clean", value=clean, unit=Unit.COUNT)
    last_clean = found.last_clean
    yield Figure(label="Last clean", value=last_clean.at if last_clean else None, unit=Unit.MOMENT)
    yield Figure(label="Fills since the period began", value=found.trading.fills, unit=Unit.COUNT)
    missing = found.trading.commissions_missing
    yield Figure(
        label="Commissions missing", value=missing, unit=Unit.COUNT, bound="0",
        outcome=Outcome.WARNING if missing else Outcome.OK,
    )  # fmt: skip
    for item in found.trading.by_currency():
        yield Figure(label="Realized, gross", value=item.realized, unit=Unit.MONEY, currency=item.currency)
        yield Figure(label="Commissions reported", value=-item.commission, unit=Unit.MONEY, currency=item.currency)
    yield from _account_figures(found, currency)


def _account_figures(found: Found, currency: str) -> Iterator[Figure]:
    account = found.snapshot.broker_account if found.snapshot else None
    if account is None:
        return
    for label, value in (
        ("Account: net liquidation", account.net_liquidation),
        ("Account: cash", account.cash),
        ("Account: value of positions", account.gross_position_value),
        ("Account: unrealized", account.unrealized),
        ("Account: realized today", account.realized),
    ):
        if value is not None:
            yield Figure(label=label, value=value, unit=Unit.MONEY, currency=currency)


def _tables(found: Found, verdicts: tuple[Verdict, ...]) -> Iterator[Table]:
    yield Table.of(
        "Comparisons", (Column("Compared"), Column("Verdict"), Column("Seen")),
        [(item.title, str(item.outcome), item.seen) for item in verdicts],
    )  # fmt: skip
    columns = (
        Column("Symbol"), Column("Currency"), Column("Our books", Unit.COUNT), Column("Running service", Unit.COUNT),
        Column("Broker", Unit.COUNT),
    )  # fmt: skip
    yield Table.of("Positions", columns, _position_rows(found))
    yield from _news(found)


def _position_rows(found: Found) -> Iterator[tuple[Value, ...]]:
    running = {item.symbol: item.quantity for item in found.snapshot.positions} if found.snapshot else None
    traded = {row.symbol for row in found.trading.by_symbol()}
    subjects = {fact.subject for fact in found.mismatches if fact.kind is MismatchKind.POSITION}
    books = {book.instrument.symbol: book for book in found.trading.books.ledger.books()}
    for symbol in sorted((traded & books.keys()) | subjects | (running or {}).keys()):
        ours = found.trading.books.ledger.position(symbol)
        currency = books[symbol].instrument.currency if symbol in books else ""
        yield (
            symbol, currency, ours, None if running is None else running.get(symbol, ZERO),
            found.theirs(symbol, ours),
        )  # fmt: skip


def _news(found: Found) -> Iterator[Table]:
    if found.mismatches:
        yield Table.of(
            "Differences that were found",
            (Column("At", Unit.MOMENT), Column("Kind"), Column("Subject"), Column("Ours"), Column("The broker's")),
            [(fact.at, fact.kind.value, fact.subject, fact.ours, fact.theirs) for fact in found.mismatches],
        )
    unpaid = found.trading.unpaid
    if unpaid:
        yield Table.of(
            "Fills without a commission",
            (Column("Executed", Unit.MOMENT), Column("Symbol"), Column("Quantity", Unit.COUNT), Column("Execution")),
            [(line.executed_at, line.instrument.symbol, line.quantity, line.exec_id) for line in unpaid],
        )
    still_open = found.trading.books.orders.open()
    if still_open:
        yield Table.of(
            "Orders that are open",
            (Column("Intended", Unit.MOMENT), Column("Symbol"), Column("State"), Column("Order")),
            [(item.intended_at, item.symbol, item.state.value, item.order_ref) for item in still_open],
        )


def _notes(found: Found) -> Iterator[str]:
    unclean = [fact for fact in found.reconciliations if not fact.clean]
    if unclean:
        yield f"{counted(len(unclean), 'comparison')} with the broker did not end in agreement."
