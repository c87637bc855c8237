"""What a report is made of: plain values, whoever gathered them.

Rules: nothing here is computed from another field, and nothing is formatted; ``None`` is "not known" and is
shown as such. Amounts are in ``currency``, costs negative, so that gross plus costs is the net. Times are
aware; the page shows them in ``time_zone``.
"""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum

import msgspec

from trader.contracts import Side


class Tone(StrEnum):
    """How a figure is to be read."""

    PLAIN = "plain"
    GOOD = "good"
    BAD = "bad"
    UNKNOWN = "unknown"


class Figure(msgspec.Struct, frozen=True):
    """One headline number, already worded; ``unit`` stands behind it, ``note`` is the small print under it."""

    label: str
    value: str
    unit: str = ""
    note: str = ""
    tone: Tone = Tone.PLAIN


class EquityPoint(msgspec.Struct, frozen=True, gc=False):
    """Profit and loss since the start of the period, before and after costs."""

    at: datetime
    gross: Decimal | None
    net: Decimal | None


class PricePoint(msgspec.Struct, frozen=True, gc=False):
    """The middle of the market."""

    at: datetime
    price: float


class FillMark(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One execution. ``commission`` is None until the broker reported it."""

    at: datetime
    symbol: str
    side: Side
    quantity: Decimal
    price: Decimal
    commission: Decimal | None
    order_ref: str


class OrderRow(msgspec.Struct, frozen=True, kw_only=True):
    """One order with what became of it; ``slippage_ratio`` is paid above the price of the decision, over it."""

    at: datetime
    order_ref: str
    symbol: str
    side: Side
    quantity: Decimal
    order_type: str
    limit_price: Decimal | None
    filled: Decimal
    average_price: Decimal | None
    commission: Decimal | None
    slippage_ratio: float | None
    outcome: str
    reason: str


class SymbolRow(msgspec.Struct, frozen=True, kw_only=True):
    """The activity in one instrument. ``turnover`` is the value bought and sold."""

    symbol: str
    signals: int
    orders: int
    fills: int
    units: Decimal
    turnover: Decimal
    commission: Decimal | None
    position: Decimal


class MetricRow(msgspec.Struct, frozen=True):
    """One success metric against its target, in words."""

    name: str
    target: str
    value: str
    tone: Tone


class RefusalRow(msgspec.Struct, frozen=True):
    """How often one risk rule refused, and its latest detail."""

    rule: str
    count: int
    example: str


class CostSummary(msgspec.Struct, frozen=True):
    gross: Decimal | None
    commission: Decimal | None
    fees: Decimal | None
    net: Decimal | None


class ReportData(msgspec.Struct, frozen=True, kw_only=True):
    """All of one page."""

    title: str
    subtitle: str
    started_at: datetime
    ended_at: datetime
    currency: str
    time_zone: str = "UTC"
    figures: tuple[Figure, ...] = ()
    equity: tuple[EquityPoint, ...] = ()
    prices: dict[str, tuple[PricePoint, ...]] = {}
    fills: tuple[FillMark, ...] = ()
    orders: tuple[OrderRow, ...] = ()
    symbols: tuple[SymbolRow, ...] = ()
    costs: CostSummary | None = None
    metrics: tuple[MetricRow, ...] = ()
    refusals: tuple[RefusalRow, ...] = ()
    notes: tuple[str, ...] = ()
    settings_text: str = ""
