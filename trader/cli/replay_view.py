"""A replay and a comparison as tables a person likes to look at, and as plain values for programs.

Pure: results in, rich renderables or JSON values out. Nothing is said by colour alone.
"""

from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from trader.cli.formats import NOT_KNOWN, quantity, signed
from trader.cli.views import VERDICT_MARKS
from trader.events import SignalChanged
from trader.replay.compare import Comparison, OrderPair, SignalPair
from trader.replay.orders import OrderRecord
from trader.replay.summary import ReplaySummary
from trader.report import words

ROWS_MAX = 40


def summary_view(summary: ReplaySummary) -> RenderableType:
    """Speed, activity, money, refusals and success metrics of one replay."""
    return Group(*_summary_parts(summary))


def _summary_parts(summary: ReplaySummary) -> Iterator[RenderableType]:
    yield Text(f"Replay of {_files_text(summary.files)}", "bold")
    yield Text("")
    grid = Table.grid(padding=(0, 5))
    grid.add_row(_activity(summary), _money(summary))
    yield grid
    if summary.refusals:
        yield _titled("Refused by risk", _refusals(summary))
    yield _titled("Success metrics", _metrics(summary))
    if summary.strategy_failures:
        message = f"The strategy failed {summary.strategy_failures} times, last: {summary.last_strategy_failure}"
        yield Text(message, "bold red")


def _files_text(files: tuple[str, ...]) -> str:
    names = [Path(name).name for name in files]
    return names[0] if len(names) == 1 else f"{len(names)} files, {names[0]} to {names[-1]}"


def _activity(summary: ReplaySummary) -> Table:
    lines = _lines()
    lines.add_row("from", f"{summary.started_at:%Y-%m-%d %H:%M} UTC")
    lines.add_row("to", f"{summary.ended_at:%Y-%m-%d %H:%M} UTC")
    lines.add_row("quotes", f"{summary.quotes:,}")
    lines.add_row("replayed in", f"{summary.wall_s:.2f} s, {summary.quotes_per_s:,.0f} quotes/s")
    lines.add_row("sessions", f"{summary.sessions:,}")
    lines.add_row("signals", f"{summary.signals:,}")
    lines.add_row("orders", f"{summary.orders:,}, {summary.orders_filled:,} filled completely")
    lines.add_row("fills", f"{summary.fills:,}, {quantity(summary.units)} units")
    lines.add_row("fill rate", NOT_KNOWN if summary.fill_rate is None else f"{summary.fill_rate:.1%}")
    lines.add_row("refused", f"{sum(row.count for row in summary.refusals):,}")
    return lines


def _money(summary: ReplaySummary) -> Table:
    costs, drawdown = summary.costs, summary.max_drawdown
    lines = Table.grid(padding=(0, 2))
    lines.add_column(style="dim")
    lines.add_column(justify="right")
    lines.add_column(style="dim")
    lines.add_row("gross", signed(costs.gross), summary.currency)
    lines.add_row("commissions", signed(costs.commission), summary.currency)
    lines.add_row("net", signed(costs.net, "bold"), summary.currency)
    lines.add_row("deepest drawdown", signed(drawdown.amount if drawdown else None), summary.currency)
    lines.add_row("traded", f"{summary.turnover:,.0f}", summary.currency)
    held = ", ".join(f"{symbol} {quantity(amount)}" for symbol, amount in summary.open_positions.items())
    lines.add_row("held at the end", held or "nothing", "")
    return lines


def _refusals(summary: ReplaySummary) -> Table:
    table = _table("rule", "count:r", "latest")
    for row in summary.refusals:
        table.add_row(row.rule.replace("_", " "), f"{row.count:,}", Text(row.example, "dim"))
    return table


def _metrics(summary: ReplaySummary) -> Table:
    table = _table("", "metric", "measured", "target")
    for metric in summary.metrics:
        mark, style = VERDICT_MARKS[metric.verdict]
        table.add_row(Text(mark, style), metric.name, metric.value, Text(metric.target, "dim"))
    return table


def comparison_view(comparison: Comparison) -> RenderableType:
    """Whether the signals agree, and by how much the fills differ."""
    return Group(*_comparison_parts(comparison))


def _comparison_parts(comparison: Comparison) -> Iterator[RenderableType]:
    yield Text("The run over the wire against the replay", "bold")
    if comparison.compared_until is not None:
        yield Text(f"compared until {comparison.compared_until:%Y-%m-%d %H:%M:%S} UTC, when the run ended", "dim")
    yield Text("")
    yield _verdict(comparison)
    if comparison.same_configuration is False and not comparison.signals_agree:
        yield Text("  the run used another configuration than this replay: name that one with --config", "yellow")
    if comparison.orders:
        yield _titled("Orders, wire against replay", _order_table(comparison))
        yield _totals(comparison)


def _verdict(comparison: Comparison) -> Text:
    count = len(comparison.signals)
    if comparison.signals_agree:
        return Text.assemble(("✓ ", "green"), f"all {count:,} signals agree: strategy, symbol, target, price, order")
    first = comparison.first_difference
    if first is None:
        return Text.assemble(("✗ ", "bold red"), "neither run signalled anything, so nothing was compared")
    agreed = sum(1 for pair in comparison.signals if pair.agrees)
    text = f"{agreed:,} of {count:,} signals agree; the first that does not: {difference_text(first)}"
    return Text.assemble(("✗ ", "bold red"), text)


def difference_text(pair: SignalPair) -> str:
    """One signal as both runs made it."""
    name = f"{pair.symbol} signal {pair.number} at {pair.at:%Y-%m-%d %H:%M:%S} UTC"
    return f"{name}, wire {_signal_text(pair.wire)}, replay {_signal_text(pair.replay)}"


def _signal_text(signal: SignalChanged | None) -> str:
    if signal is None:
        return "has none"
    return f"wants {words.quantity(signal.target, signed=True)} at {words.price(signal.price)} ({signal.strategy})"


def _order_table(comparison: Comparison) -> Table:
    """Those that differ most first when there are too many to show."""
    table = _table("UTC", "symbol", "side", "filled:r", "price:r", "later, s:r", "worse:r", "cost:r")
    shown = sorted(range(len(comparison.orders)), key=lambda index: _weight(comparison.orders[index]), reverse=True)
    pairs = [comparison.orders[index] for index in sorted(shown[:ROWS_MAX])]
    days = {_order_of(pair).intended_at.date() for pair in pairs}
    form = "%H:%M:%S" if len(days) == 1 else "%m-%d %H:%M:%S"
    for pair in pairs:
        table.add_row(*_order_cells(pair, form))
    return table


def _order_of(pair: OrderPair) -> OrderRecord:
    order = pair.wire or pair.replay
    assert order is not None, "a pair has at least one order"
    return order


def _weight(pair: OrderPair) -> tuple[bool, Decimal, Decimal]:
    return not pair.identical, abs(pair.latency_cost), abs(pair.quantity_difference)


def _order_cells(pair: OrderPair, time_form: str) -> Iterator[RenderableType]:
    order = _order_of(pair)
    yield order.intended_at.strftime(time_form)
    yield Text(pair.symbol, "bold")
    yield Text(order.terms.side.value.lower(), "green" if order.terms.side.sign > 0 else "red")
    yield _both(_filled_text(pair.wire), _filled_text(pair.replay))
    yield _both(_price_text(pair.wire), _price_text(pair.replay))
    yield NOT_KNOWN if pair.time_difference_s is None else f"{pair.time_difference_s:+.0f}"
    yield NOT_KNOWN if pair.price_difference is None else _worse_text(pair.price_difference)
    yield signed(-pair.latency_cost)


def _both(wire: str, replay: str) -> Text:
    return Text(wire, "dim") if wire == replay else Text(f"{wire} / {replay}", "yellow")


def _worse_text(difference: Decimal) -> str:
    return f"{difference:+.4f}" if round(difference, 4) else "0"


def _filled_text(order: OrderRecord | None) -> str:
    return "none" if order is None else quantity(order.filled)


def _price_text(order: OrderRecord | None) -> str:
    return NOT_KNOWN if order is None else words.price(order.average_price)


def _totals(comparison: Comparison) -> Table:
    orders = comparison.orders
    lines = _lines()
    hidden = max(0, len(orders) - ROWS_MAX)
    same = sum(1 for pair in orders if pair.identical)
    lines.add_row("orders", f"{len(orders):,}, {same:,} filled alike" + (f", {hidden:,} not shown" if hidden else ""))
    alone = sum(1 for pair in orders if pair.wire is None or pair.replay is None)
    if alone:
        lines.add_row("in one run only", f"{alone:,}")
    lines.add_row("filled, wire − replay", f"{sum((pair.quantity_difference for pair in orders), Decimal(0)):+,} units")
    lines.add_row("latency cost", Text.assemble(signed(-comparison.latency_cost), " in the instruments' currencies"))
    return lines


def summary_values(summary: ReplaySummary) -> dict[str, Any]:
    """The summary for ``--json``; amounts are strings."""
    values = msgspec.to_builtins(summary)
    assert isinstance(values, dict)
    return values


def comparison_values(comparison: Comparison) -> dict[str, Any]:
    """The comparison for ``--json``; amounts are strings, differences as in ``compare``."""
    first = comparison.first_difference
    return {
        "signals_agree": comparison.signals_agree,
        "signals": len(comparison.signals),
        "first_difference": None if first is None else difference_text(first),
        "compared_until": None if comparison.compared_until is None else comparison.compared_until.isoformat(),
        "same_configuration": comparison.same_configuration,
        "latency_cost": str(comparison.latency_cost),
        "orders": [_pair_values(pair) for pair in comparison.orders],
    }


def _pair_values(pair: OrderPair) -> dict[str, Any]:
    return {
        "symbol": pair.symbol,
        "signal": pair.number,
        "wire": None if pair.wire is None else pair.wire.order_ref,
        "replay": None if pair.replay is None else pair.replay.order_ref,
        "quantity_difference": str(pair.quantity_difference),
        "time_difference_s": pair.time_difference_s,
        "price_difference": None if pair.price_difference is None else str(pair.price_difference),
        "latency_cost": str(pair.latency_cost),
    }


def _titled(title: str, content: RenderableType) -> RenderableType:
    return Group(Text(""), Text(title, "bold"), content)


def _lines() -> Table:
    lines = Table.grid(padding=(0, 2))
    lines.add_column(style="dim")
    lines.add_column()
    return lines


def _table(*columns: str) -> Table:
    """``name:r`` is right-aligned."""
    table = Table(box=None, padding=(0, 1), header_style="dim", pad_edge=False)
    for column in columns:
        name, _, right = column.partition(":")
        table.add_column(name, justify="right" if right else "left", no_wrap=not name.startswith("latest"))
    return table
