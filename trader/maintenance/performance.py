"""Daily: how trading went: orders, fills, latencies, slippage, profit and loss, against the success metrics.

Rules: what the journal knows comes from the journal; only what it does not hold (decisions, requests, availability,
the value of open positions over time) is asked of Prometheus, and named as missing without it. A success metric that
was not met is a warning: alerts page, a report tells.
"""

from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from trader.contracts import ZERO
from trader.journal import JournalError
from trader.maintenance.context import Context
from trader.maintenance.folded import BOOK_FACTS, CONTRADICTIONS, contradicted, fold
from trader.maintenance.measures import OF_VERDICT, counted, quantile, share_within
from trader.maintenance.model import Chart, Column, Figure, Line, Outcome, Section, Table, Unit, worst
from trader.maintenance.sources import Unavailable
from trader.maintenance.trading import PERIOD_FACTS, BaseResult, Trading
from trader.maintenance.trading_measured import Measured, measure
from trader.maintenance.trading_targets import Row, success_metrics
from trader.success_metrics import ACK_THRESHOLD_S, FILL_RATE_OBJECTIVE, LATENCY_OBJECTIVE, Verdict

KEY: Final = "performance"
TITLE: Final = "Trading performance"


def run(context: Context) -> Section:
    """The period's trading; an unreadable journal is a failed section."""
    try:
        trading = read(context)
    except (JournalError, Unavailable) as error:
        return Section(key=KEY, title=TITLE, outcome=Outcome.FAILED, sentence=str(error), mend="trader journal stats")
    return section(trading, measure(context), context.settings.base_currency)


def read(context: Context) -> Trading:
    """Fold the journal up to the period, then follow the period; raises JournalError or Unavailable."""
    books = fold(context.settings.base_currency, context.facts_before(context.since, *BOOK_FACTS))
    try:
        return Trading(books).take_all(context.facts(*PERIOD_FACTS))
    except CONTRADICTIONS as error:
        raise contradicted(error) from error


# -- judgement


def section(trading: Trading, measured: Measured, currency: str) -> Section:
    """The whole section, from what was found."""
    result = trading.in_base()
    metrics = success_metrics(trading, measured, result, currency)
    missed = [row for row in metrics if row[3] is Verdict.BROKEN]
    outcomes = [OF_VERDICT[verdict] for *_, verdict in metrics if verdict is Verdict.BROKEN]
    if trading.commissions_missing:
        outcomes.append(Outcome.WARNING)
    return Section(
        key=KEY,
        title=TITLE,
        outcome=worst(outcomes),
        sentence=_sentence(trading, result, currency, [str(row[0]) for row in missed]),
        figures=(*_activity(trading), *_money(trading, result, currency)),
        tables=tuple(_tables(trading, metrics)),
        charts=tuple(_charts(trading, measured, currency)),
        notes=_notes(trading),
        missing=(*measured.missing, *_missing(trading, result)),
        mend="trader status" if missed else "",
    )


def _sentence(trading: Trading, result: BaseResult, currency: str, missed: list[str]) -> str:
    orders = trading.intended.total()
    if not orders and not trading.fills:
        said = "no order was sent"
    else:
        net = "net not known" if result.net is None else f"net {result.net:+,.2f} {currency}"
        said = f"{counted(orders, 'order')}, {counted(trading.fills, 'fill')}, {net}"
    return f"{said}; not met: {', '.join(missed)}" if missed else said


def _activity(trading: Trading) -> Iterator[Figure]:
    filled, eligible = trading.fill_rate()
    rate = filled / eligible if eligible else None
    yield Figure(label="Signals", value=trading.signals.total(), unit=Unit.COUNT)
    yield Figure(label="Orders sent", value=trading.intended.total(), unit=Unit.COUNT)
    yield Figure(label="Fills", value=trading.fills, unit=Unit.COUNT)
    yield _judged("Fill rate", rate, Unit.RATIO, "> 90 %", None if rate is None else rate > FILL_RATE_OBJECTIVE)
    share = share_within(trading.ack_s, ACK_THRESHOLD_S)
    ack = quantile(trading.ack_s, LATENCY_OBJECTIVE)
    met = None if share is None else share >= LATENCY_OBJECTIVE
    yield _judged("Order latency p99", ack, Unit.SECONDS, "< 2 s", met)
    yield Figure(label="Order latency p50", value=quantile(trading.ack_s, 0.5), unit=Unit.SECONDS)
    yield Figure(label="Time to a fill p50", value=quantile(trading.fill_s, 0.5), unit=Unit.SECONDS)
    yield Figure(label="Time to a fill p95", value=quantile(trading.fill_s, 0.95), unit=Unit.SECONDS)
    yield Figure(label="Slippage, mean by value", value=trading.slippage(), unit=Unit.RATIO)
    yield Figure(label="Slippage, worst fill", value=trading.worst_slippage(), unit=Unit.RATIO)


def _judged(label: str, value: float | Decimal | None, unit: Unit, bound: str, met: bool | None) -> Figure:
    return Figure(label=label, value=value, unit=unit, bound=bound, outcome=_outcome(met))


def _outcome(met: bool | None) -> Outcome:
    """What is not known is not met, and not missed."""
    return Outcome.UNKNOWN if met is None else Outcome.OK if met else Outcome.WARNING


def _money(trading: Trading, result: BaseResult, currency: str) -> Iterator[Figure]:
    costs = None if result.commission is None else -result.commission
    met = None if result.net is None or not trading.fills else result.net > ZERO
    for label, value in (("Realized", result.realized), ("Unrealized", result.unrealized), ("Gross", result.gross)):
        yield Figure(label=label, value=value, unit=Unit.MONEY, currency=currency)
    yield Figure(label="Costs", value=costs, unit=Unit.MONEY, currency=currency)
    yield Figure(
        label="Net", value=result.net, unit=Unit.MONEY, currency=currency, bound="> 0", outcome=_outcome(met)
    )  # fmt: skip
    missing = trading.commissions_missing
    yield Figure(
        label="Commissions missing", value=missing, unit=Unit.COUNT, bound="0",
        outcome=Outcome.WARNING if missing else Outcome.OK,
    )  # fmt: skip


# -- tables, charts, what is missing


def _tables(trading: Trading, metrics: tuple[Row, ...]) -> Iterator[Table]:
    columns = (Column("Success metric"), Column("Target"), Column("In this period"), Column("Verdict"))
    yield Table.of("Against the success metrics", columns, [(*row[:3], str(row[3])) for row in metrics])
    symbols = (
        Column("Symbol"), Column("Currency"), Column("Signals", Unit.COUNT), Column("Orders", Unit.COUNT),
        Column("Fills", Unit.COUNT), Column("Units", Unit.COUNT), Column("Turnover", Unit.MONEY),
        Column("Realized, gross", Unit.MONEY), Column("Costs", Unit.MONEY), Column("Realized, net", Unit.MONEY),
        Column("Slippage", Unit.RATIO), Column("Held after", Unit.COUNT),
    )  # fmt: skip
    yield Table.of("By symbol", symbols, _symbol_rows(trading))
    yield Table.of(
        "How orders ended", (Column("Outcome"), Column("Orders", Unit.COUNT)),
        [(outcome.value.replace("_", " "), number) for outcome, number in trading.outcomes().most_common()],
    )  # fmt: skip


def _symbol_rows(trading: Trading) -> Iterator[tuple[str | int | float | Decimal | None, ...]]:
    for row in trading.by_symbol():
        costs = None if row.missing else -row.commission
        net = None if costs is None else row.realized + costs
        yield (
            row.symbol, row.currency, row.signals, row.orders, row.fills, row.units, row.turnover, row.realized, costs,
            net, row.slippage_ratio, row.position,
        )  # fmt: skip


def _charts(trading: Trading, measured: Measured, currency: str) -> Iterator[Chart]:
    costs = "reported costs" if trading.commissions_missing else "costs"
    lines = [
        Line(f"realized, after {costs} ({unit})", tuple((at, float(net)) for at, net in points))
        for unit, points in sorted(trading.curves().items())
    ]
    if measured.equity:
        lines.append(Line(f"with open positions ({currency})", measured.equity))
    if lines:
        yield Chart(title="Net P&L after costs since the period began", unit=Unit.MONEY, lines=tuple(lines))


def _notes(trading: Trading) -> tuple[str, ...]:
    notes = ["Order latency is from the order's sending to the broker's first word, by the times in the journal."]
    unlike = _unlike(trading)
    return (*notes, unlike) if unlike else tuple(notes)


def _unlike(trading: Trading) -> str:
    """Where the sessions' own figures differ from the ledger's, which also has what came after the close."""
    own = next((item for item in trading.by_currency() if item.currency == trading.books.base_currency), None)
    told = [fact.realized for fact in trading.closed if fact.realized is not None]
    only_base = len([item for item in trading.by_currency() if item.realized or item.commission or not item.flat]) <= 1
    if own is None or not told or len(told) != len(trading.closed) or not only_base or sum(told, ZERO) == own.realized:
        return ""
    return f"The sessions' own figures say {sum(told, ZERO):+,.2f} realized; the ledger has what came after them too."


def _missing(trading: Trading, result: BaseResult) -> Iterator[str]:
    if trading.commissions_missing:
        fills = counted(trading.commissions_missing, "fill")
        yield f"costs and net: the broker has not reported the commission of {fills}"
    if result.unrealized is None:
        yield "unrealized and gross P&L: no session told what the positions held were worth when it closed"
    if result.realized is None:
        yield "realized P&L in the base currency: no session told it, and the journal has no exchange rates"
    if trading.intended and not trading.ack_s:
        yield "order latency: no order's first word of the broker is in the journal"
