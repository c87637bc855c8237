"""A replay as the plain values of a report. Pure; words and figures only, the page draws them."""

from collections.abc import Sequence
from decimal import Decimal
from zoneinfo import ZoneInfo

import yaml

from trader.contracts import ZERO, OrderType
from trader.events import SignalChanged
from trader.replay.orders import OrderRecord, fold_orders
from trader.replay.result import ReplayResult
from trader.replay.summary import ReplaySummary
from trader.report import words
from trader.report.model import Figure, FillMark, MetricRow, OrderRow, ReportData, SymbolRow, Tone
from trader.settings_file import effective_settings
from trader.success_metrics import Verdict

TIME_ZONES = {"XNYS": "America/New_York", "XNAS": "America/New_York", "CMES": "America/Chicago"}
TONES = {Verdict.OK: Tone.GOOD, Verdict.BROKEN: Tone.BAD, Verdict.UNKNOWN: Tone.UNKNOWN}
ORDER_TYPES = {
    OrderType.MARKET: "market",
    OrderType.LIMIT: "limit",
    OrderType.STOP: "stop",
    OrderType.STOP_LIMIT: "stop limit",
    OrderType.TRAIL: "trail",
}
HOW_IT_FILLS = (
    "Orders met the recorded quotes, up to the size displayed, and did not move the market; "
    "in a real market the same orders would have filled at least a little worse."
)


def report_data(result: ReplayResult, summary: ReplaySummary) -> ReportData:
    """Everything the page shows about ``result``."""
    zone_name = TIME_ZONES.get(result.settings.session.calendar, "UTC")
    orders = fold_orders(result.facts)
    period = words.period(result.started_at, result.ended_at, ZoneInfo(zone_name))
    return ReportData(
        title=f"Replay of {period}",
        subtitle=_subtitle(result, summary),
        started_at=result.started_at,
        ended_at=result.ended_at,
        currency=summary.currency,
        time_zone=zone_name,
        figures=_figures(summary, ZoneInfo(zone_name)),
        equity=result.equity,
        prices=result.prices,
        fills=_fills(orders),
        orders=tuple(_order_row(order) for order in orders),
        symbols=_symbols(result, orders),
        costs=summary.costs,
        metrics=tuple(MetricRow(item.name, item.target, item.value, TONES[item.verdict]) for item in summary.metrics),
        refusals=summary.refusals,
        notes=_notes(summary),
        settings_text=yaml.safe_dump(effective_settings(result.settings), sort_keys=False, allow_unicode=True),
    )


def _subtitle(result: ReplayResult, summary: ReplaySummary) -> str:
    symbols = ", ".join(item.symbol for item in result.settings.instruments)
    sessions = f"{summary.sessions} session{'' if summary.sessions == 1 else 's'}"
    return f"{summary.strategy} on {symbols}: {sessions}, {words.count(summary.quotes)} quotes"


def _notes(summary: ReplaySummary) -> tuple[str, ...]:
    notes = [HOW_IT_FILLS]
    if summary.strategy_failures:
        notes.insert(0, f"The strategy failed {summary.strategy_failures} times: {summary.last_strategy_failure}")
    return tuple(notes)


def _figures(summary: ReplaySummary, zone: ZoneInfo) -> tuple[Figure, ...]:
    costs, currency, drawdown = summary.costs, summary.currency, summary.max_drawdown
    refused = sum(row.count for row in summary.refusals)
    fill_note = f"{summary.orders_filled} of {summary.orders} orders filled completely"
    turnover = f"on {words.money(summary.turnover)} traded" if summary.turnover else ""
    return (
        Figure("Net", words.money(costs.net, signed=True), currency, "after all costs", _tone(costs.net)),
        Figure("Gross", words.money(costs.gross, signed=True), currency, "before costs"),
        Figure("Commissions", words.money(costs.commission), currency, turnover),
        Figure(
            "Deepest drawdown",
            words.money(drawdown.amount if drawdown else None),
            currency,
            f"at {words.moment(drawdown.at, zone)}" if drawdown and drawdown.amount else "",
        ),
        Figure("Signals", words.count(summary.signals)),
        Figure("Orders", words.count(summary.orders), note=f"{words.count(refused)} refused by risk"),
        Figure("Fills", words.count(summary.fills), note=f"{words.quantity(summary.units)} units"),
        Figure("Fill rate", words.share(summary.fill_rate), note=fill_note),
    )


def _tone(amount: Decimal | None) -> Tone:
    if amount is None:
        return Tone.UNKNOWN
    return Tone.GOOD if amount > ZERO else Tone.BAD if amount < ZERO else Tone.PLAIN


def _fills(orders: Sequence[OrderRecord]) -> tuple[FillMark, ...]:
    marks = [
        FillMark(
            at=line.executed_at,
            symbol=line.instrument.symbol,
            side=line.side,
            quantity=line.quantity,
            price=line.price,
            commission=order.commissions[key].amount if key in order.commissions else None,
            order_ref=order.order_ref,
        )
        for order in orders
        for key, line in order.executions.items()
    ]
    return tuple(sorted(marks, key=lambda mark: mark.at))


def _order_row(order: OrderRecord) -> OrderRow:
    return OrderRow(
        at=order.intended_at,
        order_ref=order.order_ref,
        symbol=order.terms.symbol,
        side=order.terms.side,
        quantity=order.terms.quantity,
        order_type=ORDER_TYPES[order.terms.order_type],
        limit_price=order.terms.limit_price,
        filled=order.filled,
        average_price=order.average_price,
        commission=order.commission if order.executions else None,
        slippage_ratio=order.slippage_ratio,
        outcome=order.state.value.replace("_", " "),
        reason=order.cancel_reason.value.replace("_", " ") if order.cancel_reason else order.detail_of_end,
    )


def _symbols(result: ReplayResult, orders: Sequence[OrderRecord]) -> tuple[SymbolRow, ...]:
    signals = [fact.symbol for fact in result.facts if isinstance(fact, SignalChanged)]
    held = {item.symbol: item.quantity for item in result.snapshot.positions}
    return tuple(
        _symbol_row(item.symbol, signals.count(item.symbol), held.get(item.symbol, ZERO), orders)
        for item in result.settings.instruments
    )


def _symbol_row(symbol: str, signals: int, position: Decimal, orders: Sequence[OrderRecord]) -> SymbolRow:
    own = [order for order in orders if order.terms.symbol == symbol]
    paid = [order.commission for order in own]
    return SymbolRow(
        symbol=symbol,
        signals=signals,
        orders=len(own),
        fills=sum(len(order.executions) for order in own),
        units=sum((order.filled for order in own), ZERO),
        turnover=sum((order.turnover for order in own), ZERO),
        commission=None if None in paid else -sum((amount for amount in paid if amount is not None), ZERO),
        position=position,
    )
