"""The report as one HTML file that needs nothing else: no network, no second file.

Rules: every text from outside is escaped here or in ``tables``; a content security policy forbids any
request; plotly.js is inlined once. Where plotly was taken out of the environment there is one
sentence, not a traceback.
"""

import json
from html import escape
from pathlib import Path
from types import ModuleType
from typing import Any, Final
from zoneinfo import ZoneInfo

from trader.report import tables, words
from trader.report.document import document
from trader.report.model import ReportData

SYMBOL_CHARTS_MAX: Final = 12


class ReportError(Exception):
    """The report cannot be drawn or written; the message says what to do."""


def write_report(data: ReportData, path: Path) -> None:
    """Write the page to ``path``; raises ReportError with one sentence when that cannot be done."""
    page = render_page(data)
    try:
        path.write_text(page, encoding="utf-8")
    except OSError as error:
        raise ReportError(f"cannot write the report to {path}: {error.strerror or error}") from error


def render_page(data: ReportData) -> str:
    """The whole page. Raises ReportError when plotly is not installed."""
    charts = _charts()
    zone = ZoneInfo(data.time_zone)
    figures: dict[str, Any] = {}
    sections = [
        _heading(data, zone),
        tables.figure_cards(data.figures),
        _notes(data.notes),
        _equity(data, zone, charts, figures),
        _columns(_costs(data, charts, figures), _metrics(data)),
        _prices(data, zone, charts, figures),
        _section("By instrument", tables.symbols(data.symbols, data.currency), bool(data.symbols)),
        _section("Orders", tables.orders(data.orders, zone), bool(data.orders)),
        _section("Fills", tables.fills(data.fills, zone), bool(data.fills)),
        _section("Refused by risk", tables.refusals(data.refusals), bool(data.refusals)),
        _settings(data.settings_text),
    ]
    return document(data.title, "\n".join(filter(None, sections)), figures)


def _charts() -> ModuleType:
    try:
        from trader.report import charts  # plotly is an optional extra
    except ImportError as error:
        if (error.name or "").partition(".")[0] != "plotly":
            raise
        raise ReportError(
            "a report needs plotly, which is not installed; type: pip install 'ibkr-trading[report]'"
        ) from error
    return charts


def _chart(name: str, figure: Any, figures: dict[str, Any], label: str) -> str:
    figures[name] = json.loads(figure.to_json())
    height = int(figure.layout.height)
    return f'<div class="chart" id="{name}" style="height:{height}px" role="img" aria-label="{escape(label)}"></div>'


def _heading(data: ReportData, zone: ZoneInfo) -> str:
    span = f"{words.moment(data.started_at, zone)} to {words.moment(data.ended_at, zone)}"
    small = f"{span}, times in {data.time_zone}, amounts in {data.currency}"
    return (
        f"<header><h1>{escape(data.title)}</h1><p>{escape(data.subtitle)}</p>"
        f'<p class="small">{escape(small)}</p></header>'
    )


def _notes(notes: tuple[str, ...]) -> str:
    return "".join(f'<p class="note">{escape(note)}</p>' for note in notes)


def _section(title: str, content: str, shown: bool = True) -> str:
    return f"<section><h2>{escape(title)}</h2>{content}</section>" if shown else ""


def _columns(*parts: str) -> str:
    shown = [part for part in parts if part]
    return f'<div class="columns">{"".join(shown)}</div>' if shown else ""


def _equity(data: ReportData, zone: ZoneInfo, charts: ModuleType, figures: dict[str, Any]) -> str:
    if not any(point.net is not None for point in data.equity):
        return _section("Profit and loss", '<p class="empty">Not known: no net figure in this period.</p>')
    figure = charts.equity_figure(data.equity, zone, data.currency)
    return _section("Profit and loss", _chart("equity", figure, figures, "Profit and loss with drawdown"))


def _costs(data: ReportData, charts: ModuleType, figures: dict[str, Any]) -> str:
    if data.costs is None:
        return ""
    figure = charts.cost_figure(data.costs, data.currency)
    if figure is None:
        return _section("From gross to net", '<p class="empty">Not known: a cost is still to be reported.</p>')
    return _section("From gross to net", _chart("costs", figure, figures, "Gross, costs and net"))


def _metrics(data: ReportData) -> str:
    return _section("Success metrics", tables.metrics(data.metrics), bool(data.metrics))


def _prices(data: ReportData, zone: ZoneInfo, charts: ModuleType, figures: dict[str, Any]) -> str:
    """The busiest instruments first, a bounded number of them."""
    by_symbol = {symbol: [fill for fill in data.fills if fill.symbol == symbol] for symbol in data.prices}
    busiest = sorted(by_symbol, key=lambda symbol: (-len(by_symbol[symbol]), symbol))
    shown = busiest[:SYMBOL_CHARTS_MAX]
    if not shown:
        return ""
    charts_html = []
    for index, symbol in enumerate(shown):
        figure = charts.price_figure(data.prices[symbol], by_symbol[symbol], zone)
        label = f"Price of {symbol} with fills"
        title = f"<h3>{escape(symbol)}</h3><span>{words.count(len(by_symbol[symbol]))} fills</span>"
        charts_html.append(
            f"<figure><figcaption>{title}</figcaption>{_chart(f'price-{index}', figure, figures, label)}</figure>"
        )
    more = len(busiest) - len(shown)
    rest = f'<p class="small">{more} more instruments are not drawn.</p>' if more else ""
    legend = '<p class="legend"><span class="buy">▲</span> bought <span class="sell">▼</span> sold</p>'
    return _section("Fills on price", f'{legend}<div class="grid">{"".join(charts_html)}</div>{rest}')


def _settings(text: str) -> str:
    if not text:
        return ""
    return f"<section><details><summary>Settings used</summary><pre>{escape(text)}</pre></details></section>"
