"""The report's charts, as plotly figures.

Rules: pure, data in and figures out. A series is thinned before it is drawn, keeping the extremes of each
stretch, so that no peak or trough disappears. Colours of data are fixed and readable on light and on dark;
colours of paper, grid and text come from one of two templates, which the page switches.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta, tzinfo
from decimal import Decimal
from itertools import accumulate, pairwise
from typing import Final, TypeVar

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from trader.contracts import Side
from trader.report import words
from trader.report.model import CostSummary, EquityPoint, FillMark, PricePoint
from trader.report.style import BLUE, GREEN, GREY, RED

POINTS_MAX: Final = 2_000
MARKS_MAX: Final = 2_000
CROWDED: Final = 120
GAP_SHOWN_MAX: Final = timedelta(hours=1)
TICK_STEPS: Final = tuple(
    timedelta(seconds=seconds) for seconds in (1, 5, 15, 60, 300, 900, 1_800, 3_600, 7_200, 14_400, 28_800, 86_400)
)

T = TypeVar("T")


def thin(points: Sequence[T], values: Sequence[float], limit: int = POINTS_MAX) -> list[T]:
    """At most ``limit`` of ``points``: the lowest and the highest of each stretch, and both ends, in order."""
    if len(points) <= limit:
        return list(points)
    stretches = max(1, (limit - 2) // 2)
    kept = {0, len(points) - 1}
    for index in range(stretches):
        span = range(index * len(points) // stretches, (index + 1) * len(points) // stretches)
        kept.add(min(span, key=values.__getitem__))
        kept.add(max(span, key=values.__getitem__))
    return [points[index] for index in sorted(kept)]


def drawdowns(values: Sequence[Decimal]) -> list[Decimal]:
    """How far each value is below the highest so far, never positive; the start counts as zero."""
    peaks = list(accumulate(values, max, initial=Decimal(0)))[1:]
    return [value - peak for value, peak in zip(values, peaks, strict=True)]


def equity_figure(points: Sequence[EquityPoint], zone: tzinfo, currency: str) -> go.Figure:
    """Profit and loss after costs, before costs, and the drawdown of the former below them."""
    known = [(point.at, point.net, point.gross) for point in points if point.net is not None]
    nets = [net for _, net, _ in known]
    rows = [(at, net, gross, down) for (at, net, gross), down in zip(known, drawdowns(nets), strict=True)]
    rows = thin(rows, [float(net) for net in nets])
    times = [_local(row[0], zone) for row in rows]
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, row_heights=[0.72, 0.28], vertical_spacing=0.07)
    figure.add_scatter(
        x=times, y=[_number(row[2]) for row in rows], name="Before costs", mode="lines",
        line={"color": GREY, "width": 1.25, "dash": "dot"}, hovertemplate="%{y:,.2f}", row=1, col=1,
    )  # fmt: skip
    figure.add_scatter(
        x=times, y=[_number(row[1]) for row in rows], name="After costs", mode="lines",
        line={"color": BLUE, "width": 2}, hovertemplate="%{y:,.2f}", row=1, col=1,
    )  # fmt: skip
    figure.add_scatter(
        x=times, y=[_number(row[3]) for row in rows], name="Drawdown", mode="lines", fill="tozeroy",
        line={"color": RED, "width": 1}, fillcolor="rgba(214,69,69,0.18)", hovertemplate="%{y:,.2f}",
        showlegend=False, row=2, col=1,
    )  # fmt: skip
    figure.update_yaxes(title_text=f"P&L, {currency}", zeroline=True, tickformat=",", row=1, col=1)
    figure.update_yaxes(title_text="Drawdown", nticks=4, tickformat=",", row=2, col=1)
    return _dressed(_on_time(figure, times), height=430, top=28)


def price_figure(points: Sequence[PricePoint], fills: Sequence[FillMark], zone: tzinfo) -> go.Figure:
    """The middle of one market, with what was bought (▲) and sold (▼) at the price paid."""
    kept = thin(points, [point.price for point in points])
    times = [_local(point.at, zone) for point in kept]
    figure = go.Figure()
    figure.add_scatter(
        x=times, y=[point.price for point in kept], name="Mid", mode="lines",
        line={"color": GREY, "width": 1.1}, hovertemplate="%{y:,.3f}<extra>mid</extra>", showlegend=False,
    )  # fmt: skip
    size = 9 if len(fills) <= CROWDED else 6
    for side, symbol, color, name in (
        (Side.BUY, "triangle-up", GREEN, "Bought"),
        (Side.SELL, "triangle-down", RED, "Sold"),
    ):
        marks = [fill for fill in fills if fill.side is side][:MARKS_MAX]
        figure.add_scatter(
            x=[_local(fill.at, zone) for fill in marks], y=[float(fill.price) for fill in marks],
            name=name, mode="markers", showlegend=False, text=[_fill_text(fill) for fill in marks],
            marker={"symbol": symbol, "size": size, "color": color, "line": {"width": 0}, "opacity": 0.85},
            hovertemplate="%{text}<extra></extra>",
        )  # fmt: skip
    figure.update_yaxes(tickformat=",.2f", nticks=6)
    figure.update_layout(hovermode="closest")
    return _dressed(_on_time(figure, times, compact=True), height=250)


def cost_figure(costs: CostSummary, currency: str) -> go.Figure | None:
    """From gross to net as a waterfall; None when a part of it is not known."""
    steps = [("Gross", costs.gross, "absolute"), ("Commission", costs.commission, "relative")]
    if costs.fees:
        steps.append(("Fees", costs.fees, "relative"))
    if costs.net is None or any(amount is None for _, amount, _ in steps):
        return None
    steps.append(("Net", costs.net, "total"))
    amounts = [amount for _, amount, _ in steps if amount is not None]
    figure = go.Figure(
        go.Waterfall(
            x=[name for name, _, _ in steps], y=[float(amount) for amount in amounts],
            measure=[measure for _, _, measure in steps],
            text=[words.money(amount, signed=True) for amount in amounts], textposition="outside",
            increasing={"marker": {"color": GREEN}}, decreasing={"marker": {"color": RED}},
            totals={"marker": {"color": BLUE}}, connector={"line": {"color": GREY, "width": 1, "dash": "dot"}},
            hovertemplate="%{x}: %{text}<extra></extra>", width=0.55, cliponaxis=False,
        )
    )  # fmt: skip
    figure.update_yaxes(title_text=currency, zeroline=True, tickformat=",")
    figure.update_layout(showlegend=False, hovermode="closest")
    return _dressed(figure, height=300, top=24)


def _dressed(figure: go.Figure, height: int, top: int = 10) -> go.Figure:
    figure.update_layout(
        height=height,
        margin={"l": 64, "r": 16, "t": top, "b": 32},
        legend={"orientation": "h", "x": 1, "xanchor": "right", "y": 1.0, "yanchor": "bottom"},
        template=None,
    )
    if figure.layout.hovermode is None:
        figure.update_layout(hovermode="x unified")
    return figure


def _on_time(figure: go.Figure, times: Sequence[datetime], compact: bool = False) -> go.Figure:
    """The time axis: nights and weekends cut out, ticks at the start of each day and at whole hours."""
    ticks = _ticks(times, most=6 if compact else 12)
    cut = timedelta(minutes=1)
    breaks = [{"bounds": [(before + cut).isoformat(), (after - cut).isoformat()]} for before, after in _gaps(times)]
    figure.update_xaxes(
        rangebreaks=breaks, tickmode="array", tickangle=0,
        tickvals=[at for at, _ in ticks], ticktext=[text for _, text in ticks],
    )  # fmt: skip
    return figure


def _gaps(times: Sequence[datetime]) -> list[tuple[datetime, datetime]]:
    return [(before, after) for before, after in pairwise(times) if after - before > GAP_SHOWN_MAX]


def _ticks(times: Sequence[datetime], most: int) -> list[tuple[datetime, str]]:
    """At most about ``most`` ticks; the coarsest grid of hours that has more than days alone, else days."""
    if not times:
        return []
    starts = [times[0], *(after for _, after in _gaps(times))]
    ends = [*(before for before, _ in _gaps(times)), times[-1]]
    if len(starts) == 1:
        return _hours(starts[0], ends[0], most)
    stride = -(-len(starts) // most)
    days = [(start, f"{start:%a} {start.day} {start:%b}") for start in starts[::stride]]
    if 2 * len(starts) > most:
        return days
    noons = [_whole_hour(start + (end - start) / 2) for start, end in zip(starts, ends, strict=True)]
    return sorted(days + [(noon, f"{noon:%H:%M}") for noon in noons])


def _hours(start: datetime, end: datetime, most: int) -> list[tuple[datetime, str]]:
    """Ticks of one unbroken stretch, on the finest round step that keeps their number down."""
    span = end - start
    step = next((size for size in TICK_STEPS if span / size <= most), TICK_STEPS[-1])
    midnight = start.replace(hour=0, minute=0, second=0, microsecond=0)
    first = midnight + -(-(start - midnight) // step) * step
    steps = min(most, int((end - first) / step)) if first <= end else -1
    moments = [first + index * step for index in range(steps + 1)]
    form = "%H:%M:%S" if step < timedelta(minutes=1) else "%H:%M"
    return [(at, at.strftime(form)) for at in moments]


def _whole_hour(at: datetime) -> datetime:
    return (at + timedelta(minutes=30)).replace(minute=0, second=0, microsecond=0)


def _local(at: datetime, zone: tzinfo) -> datetime:
    """The wall clock of ``zone``; plotly draws naive times as they are."""
    return at.astimezone(zone).replace(tzinfo=None)


def _number(amount: Decimal | None) -> float | None:
    return None if amount is None else round(float(amount), 4)


def _fill_text(fill: FillMark) -> str:
    verb = "Bought" if fill.side is Side.BUY else "Sold"
    return (
        f"<b>{verb} {words.quantity(fill.quantity)} at {words.price(fill.price)}</b><br>"
        f"commission {words.money(fill.commission)}<br>{fill.order_ref}"
    )
