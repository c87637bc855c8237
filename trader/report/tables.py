"""The report's tables and cards, as HTML. Rules: everything is escaped; rows are bounded, and say so."""

from collections.abc import Iterable, Sequence
from datetime import tzinfo
from html import escape
from typing import Final, NamedTuple

from trader.report import words
from trader.report.model import Figure, FillMark, MetricRow, OrderRow, RefusalRow, SymbolRow

ROWS_MAX: Final = 500


class Cell(NamedTuple):
    """One cell: what is shown, what it sorts by when that differs, and its class."""

    text: str
    key: object = None
    css: str = ""


class Column(NamedTuple):
    title: str
    numeric: bool = False


def figure_cards(figures: Sequence[Figure]) -> str:
    cards = (
        f'<div class="card {figure.tone}"><dt>{escape(figure.label)}</dt>'
        f'<dd>{escape(figure.value)}{_unit(figure.unit)}</dd><dd class="small">{escape(figure.note)}</dd></div>'
        for figure in figures
    )
    return f'<dl class="cards">{"".join(cards)}</dl>' if figures else ""


def _unit(unit: str) -> str:
    return f" <small>{escape(unit)}</small>" if unit else ""


def orders(rows: Sequence[OrderRow], zone: tzinfo) -> str:
    columns = (
        Column("Time"), Column("Symbol"), Column("Side"), Column("Quantity", True), Column("Type"),
        Column("Limit", True), Column("Filled", True), Column("Average", True), Column("Slippage, bp", True),
        Column("Commission", True), Column("Outcome"), Column("Reference"),
    )  # fmt: skip
    return _bounded(columns, [_order_cells(row, zone) for row in rows[:ROWS_MAX]], len(rows), "orders")


def _order_cells(row: OrderRow, zone: tzinfo) -> list[Cell]:
    return [
        Cell(words.moment(row.at, zone), row.at.timestamp()),
        Cell(row.symbol),
        Cell(row.side.value, css=row.side.value.lower()),
        Cell(words.quantity(row.quantity), row.quantity),
        Cell(row.order_type),
        Cell(words.price(row.limit_price), row.limit_price),
        Cell(words.quantity(row.filled), row.filled),
        Cell(words.price(row.average_price), row.average_price),
        Cell(words.basis_points(row.slippage_ratio), row.slippage_ratio),
        Cell(words.money(row.commission), row.commission),
        Cell(row.outcome + (f": {row.reason}" if row.reason else "")),
        Cell(row.order_ref, css="ref"),
    ]


def fills(marks: Sequence[FillMark], zone: tzinfo) -> str:
    columns = (
        Column("Time"), Column("Symbol"), Column("Side"), Column("Quantity", True), Column("Price", True),
        Column("Commission", True), Column("Order"),
    )  # fmt: skip
    cells = [
        [
            Cell(words.moment(mark.at, zone), mark.at.timestamp()),
            Cell(mark.symbol),
            Cell(mark.side.value, css=mark.side.value.lower()),
            Cell(words.quantity(mark.quantity), mark.quantity),
            Cell(words.price(mark.price), mark.price),
            Cell(words.money(mark.commission), mark.commission),
            Cell(mark.order_ref, css="ref"),
        ]
        for mark in marks[:ROWS_MAX]
    ]
    return _bounded(columns, cells, len(marks), "fills")


def symbols(rows: Sequence[SymbolRow], currency: str) -> str:
    columns = (
        Column("Symbol"), Column("Signals", True), Column("Orders", True), Column("Fills", True),
        Column("Units traded", True), Column("Turnover", True), Column(f"Commission, {currency}", True),
        Column("Position at the end", True),
    )  # fmt: skip
    cells = [
        [
            Cell(row.symbol),
            Cell(words.count(row.signals), row.signals),
            Cell(words.count(row.orders), row.orders),
            Cell(words.count(row.fills), row.fills),
            Cell(words.quantity(row.units), row.units),
            Cell(words.money(row.turnover), row.turnover),
            Cell(words.money(row.commission), row.commission),
            Cell(words.quantity(row.position, signed=True), row.position),
        ]
        for row in rows[:ROWS_MAX]
    ]
    return _bounded(columns, cells, len(rows), "instruments")


def metrics(rows: Sequence[MetricRow]) -> str:
    columns = (Column("Metric"), Column("Measured"), Column("Target"))
    cells = [
        [Cell(row.name, css=f"verdict {row.tone}"), Cell(row.value, css=f"measured {row.tone}"), Cell(row.target)]
        for row in rows
    ]
    return _table(columns, cells, sortable=False)


def refusals(rows: Sequence[RefusalRow]) -> str:
    columns = (Column("Rule"), Column("Count", True), Column("Latest"))
    cells = [
        [Cell(row.rule.replace("_", " ")), Cell(words.count(row.count), row.count), Cell(row.example)] for row in rows
    ]
    return _bounded(columns, cells, len(rows), "rules")


def _bounded(columns: Sequence[Column], rows: Sequence[Sequence[Cell]], total: int, noun: str) -> str:
    left_out = f"The first {words.count(len(rows))} of {words.count(total)} {noun}." if total > len(rows) else ""
    note = f'<p class="small">{escape(left_out)}</p>' if left_out else ""
    return _table(columns, rows, sortable=len(rows) > 1) + note


def _table(columns: Sequence[Column], rows: Iterable[Sequence[Cell]], sortable: bool) -> str:
    heads = "".join(_head(column, sortable) for column in columns)
    body = "".join(
        f"<tr>{''.join(_cell(cell, column) for cell, column in zip(row, columns, strict=True))}</tr>" for row in rows
    )
    css = ' class="sortable"' if sortable else ""
    return f'<div class="scroll"><table{css}><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table></div>'


def _head(column: Column, sortable: bool) -> str:
    title = escape(column.title)
    content = f'<button type="button">{title}</button>' if sortable else title
    return f'<th scope="col"{_class("number" if column.numeric else "")}>{content}</th>'


def _cell(cell: Cell, column: Column) -> str:
    css = " ".join(filter(None, ("number" if column.numeric else "", cell.css)))
    key = f' data-key="{escape(str(cell.key))}"' if cell.key is not None else ""
    return f"<td{_class(css)}{key}>{escape(cell.text)}</td>"


def _class(css: str) -> str:
    return f' class="{escape(css)}"' if css else ""
