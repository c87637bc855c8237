"""One self-contained HTML page about a period of trading: replay, demo and maintenance draw with it."""

from trader.report.model import (
    CostSummary,
    EquityPoint,
    Figure,
    FillMark,
    MetricRow,
    OrderRow,
    PricePoint,
    RefusalRow,
    ReportData,
    SymbolRow,
    Tone,
)
from trader.report.page import ReportError, render_page, write_report

__all__ = [
    "CostSummary",
    "EquityPoint",
    "Figure",
    "FillMark",
    "MetricRow",
    "OrderRow",
    "PricePoint",
    "RefusalRow",
    "ReportData",
    "ReportError",
    "SymbolRow",
    "Tone",
    "render_page",
    "write_report",
]
