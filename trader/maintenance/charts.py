"""A report's charts, as the plain values that plotly.js draws.

Rules: pure. A line is thinned before it is drawn, keeping the extremes of each stretch; where a value is not known the
line is broken. Times are UTC, like all of the report's.
"""

import math
from datetime import UTC, datetime
from typing import Any, Final

from trader.maintenance.model import Chart, Line, Unit
from trader.maintenance.show import BYTE_STEPS
from trader.report.style import GREY, LINES

POINTS_MAX: Final = 1_500
LINES_MAX: Final = len(LINES)
HEIGHT_PX: Final = 300
FORMATS: Final = {
    Unit.RATIO: ".1~%",
    Unit.COUNT: ",.3~f",
    Unit.MONEY: ",.2f",
    Unit.SECONDS: "~s",
    Unit.BYTES: "~s",
}
SUFFIXES: Final = {Unit.SECONDS: "s", Unit.BYTES: BYTE_STEPS[0]}


def figure_of(chart: Chart) -> dict[str, Any]:
    """``data`` and ``layout`` of ``chart``; at most ``LINES_MAX`` lines are drawn."""
    shown = chart.lines[:LINES_MAX]
    traces = [_trace(line, colour, chart.unit) for line, colour in zip(shown, LINES, strict=False)]
    axis: dict[str, Any] = {
        "tickformat": FORMATS.get(chart.unit, ""), "ticksuffix": SUFFIXES.get(chart.unit, ""), "rangemode": "tozero",
        "zeroline": True, "automargin": True, "nticks": 7,
    }  # fmt: skip
    layout: dict[str, Any] = {
        "height": HEIGHT_PX, "margin": {"l": 64, "r": 16, "t": 28, "b": 32}, "hovermode": "x unified",
        "showlegend": len(shown) > 1 or chart.bound is not None or chart.unit is Unit.MONEY,
        "legend": {"orientation": "h", "x": 1, "xanchor": "right", "y": 1.0, "yanchor": "bottom"},
        "xaxis": {"type": "date", "tickangle": 0, "nticks": 9}, "yaxis": axis,
    }  # fmt: skip
    if chart.bound is not None:
        traces.append(_bound(chart, chart.bound))
    return {"data": traces, "layout": layout}


def _trace(line: Line, colour: str, unit: Unit) -> dict[str, Any]:
    points = thinned(line)
    single = sum(value is not None for _, value in points) < 3
    return {
        "type": "scatter", "mode": "lines+markers" if single or len(points) <= 60 else "lines", "name": line.name,
        "x": [_time(at) for at, _ in points], "y": [value for _, value in points],
        "line": {"color": colour, "width": 2}, "marker": {"size": 5, "color": colour}, "connectgaps": False,
        "hovertemplate": f"%{{y:{FORMATS.get(unit, '')}}}{SUFFIXES.get(unit, '')}",
    }  # fmt: skip


def _bound(chart: Chart, bound: float) -> dict[str, Any]:
    moments = [at for line in chart.lines for at, _ in line.points]
    ends = [_time(min(moments)), _time(max(moments))] if moments else []
    return {
        "type": "scatter", "mode": "lines", "name": "bound", "x": ends, "y": [bound] * len(ends),
        "line": {"color": GREY, "width": 1.5, "dash": "dash"}, "hoverinfo": "skip",
    }  # fmt: skip


def thinned(line: Line, limit: int = POINTS_MAX) -> list[tuple[datetime, float | None]]:
    """At most about ``limit`` points: of each stretch the lowest, the highest and one that is not known."""
    points = [(at, value if value is not None and math.isfinite(value) else None) for at, value in line.points]
    if len(points) <= limit:
        return points
    stretches = max(1, (limit - 2) // 3)
    kept = {0, len(points) - 1}
    for index in range(stretches):
        span = range(index * len(points) // stretches, (index + 1) * len(points) // stretches)
        known = [(value, place) for place in span if (value := points[place][1]) is not None]
        if known:
            kept |= {min(known)[1], max(known)[1]}
        kept |= set([place for place in span if points[place][1] is None][:1])
    return [points[place] for place in sorted(kept)]


def _time(at: datetime) -> str:
    """plotly draws naive times as they are."""
    return at.astimezone(UTC).replace(tzinfo=None).isoformat(timespec="milliseconds")
