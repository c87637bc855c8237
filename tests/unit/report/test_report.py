"""The report's page: complete, self-contained, escaped, bounded."""

import re
import sys
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from trader.contracts import Side
from trader.report import (
    CostSummary,
    EquityPoint,
    Figure,
    FillMark,
    MetricRow,
    OrderRow,
    PricePoint,
    RefusalRow,
    ReportData,
    ReportError,
    Tone,
    render_page,
    tables,
    words,
    write_report,
)

AT = datetime(2013, 10, 7, 14, 0, tzinfo=UTC)
NEW_YORK = ZoneInfo("America/New_York")


def at(minutes: float) -> datetime:
    return AT + timedelta(minutes=minutes)


def fill(minutes: float, symbol: str = "SPY", side: Side = Side.BUY) -> FillMark:
    return FillMark(
        at=at(minutes), symbol=symbol, side=side, quantity=Decimal(100), price=Decimal("168.01"),
        commission=Decimal("1.00"), order_ref=f"ref-{minutes}",
    )  # fmt: skip


def order(index: int, reason: str = "") -> OrderRow:
    return OrderRow(
        at=at(index), order_ref=f"order-{index}", symbol="SPY", side=Side.SELL, quantity=Decimal(100),
        order_type="limit", limit_price=Decimal("168.01"), filled=Decimal(0), average_price=None, commission=None,
        slippage_ratio=None, outcome="rejected", reason=reason,
    )  # fmt: skip


def full_data(**changes: object) -> ReportData:
    values: dict[str, object] = {
        "title": "Replay of a <day>",
        "subtitle": "mean_reversion & co",
        "started_at": AT,
        "ended_at": at(60),
        "currency": "USD",
        "time_zone": "America/New_York",
        "figures": (Figure("Net", "−1.00", "USD", "after costs", Tone.BAD),),
        "equity": tuple(EquityPoint(at(i), Decimal(i % 7), Decimal(i % 7 - 1)) for i in range(60)),
        "prices": {"SPY": tuple(PricePoint(at(i), 168.0 + i % 3) for i in range(60))},
        "fills": (fill(3), fill(9, side=Side.SELL)),
        "orders": (order(1, "</script><b>no</b>"),),
        "costs": CostSummary(Decimal(10), Decimal(-2), Decimal(0), Decimal(8)),
        "metrics": (MetricRow("fill rate", "> 90 %", "95.0 %", Tone.GOOD),),
        "refusals": (RefusalRow("stale_quote", 3, "SPY: 16 s old"),),
        "settings_text": "mode: simulated\n",
    }
    return ReportData(**{**values, **changes})  # type: ignore[arg-type]


def shell(page: str) -> str:
    """The page without the drawing library."""
    longest = max(re.findall(r"<script>.*?</script>", page, re.DOTALL), key=len)
    return page.replace(longest, "")


@pytest.fixture(autouse=True)
def _plotly() -> None:
    pytest.importorskip("plotly")


def test_a_page_holds_every_part() -> None:
    page = shell(render_page(full_data()))
    for part in ("Profit and loss", "From gross to net", "Success metrics", "Fills on price", "Orders", "Fills"):
        assert f"<h2>{part}</h2>" in page
    for part in ("stale quote", "mode: simulated", "2013-10-07 10:03:00", "times in America/New_York"):
        assert part in page


def test_a_page_needs_no_network() -> None:
    page = shell(render_page(full_data()))
    assert "default-src &#x27;none&#x27;" in page
    assert not re.search(r"""(src|href)\s*=|@import|url\(""", page)
    assert "http://" not in page
    assert "https://" not in page


def test_the_drawing_library_is_there_once() -> None:
    page = render_page(full_data())
    assert page.count("plotly.js v") == 1


def test_what_comes_from_outside_is_escaped() -> None:
    page = shell(render_page(full_data()))
    assert "Replay of a &lt;day&gt;" in page
    assert "<b>no</b>" not in page
    assert "mean_reversion &amp; co" in page


def test_tables_are_bounded_and_say_so() -> None:
    page = tables.orders([order(index) for index in range(tables.ROWS_MAX + 20)], NEW_YORK)
    assert page.count("<tr>") == tables.ROWS_MAX + 1
    assert "The first 500 of 520 orders." in page


def test_nothing_at_all_is_a_page_too() -> None:
    page = render_page(ReportData(title="Empty", subtitle="", started_at=AT, ended_at=AT, currency="USD"))
    assert "Not known: no net figure" in page


def test_an_unknown_cost_is_said_and_not_drawn_as_zero() -> None:
    page = shell(render_page(full_data(costs=CostSummary(None, None, Decimal(0), Decimal(8)))))
    assert "a cost is still to be reported" in page


def test_only_the_busiest_instruments_are_drawn() -> None:
    prices = {f"S{index:02d}": (PricePoint(AT, 1.0), PricePoint(at(1), 2.0)) for index in range(20)}
    page = shell(render_page(full_data(prices=prices, fills=(fill(1, "S19"),))))
    assert page.count("<figure>") == 12
    assert page.index("<h3>S19</h3>") < page.index("<h3>S00</h3>")
    assert "8 more instruments are not drawn" in page


def test_it_says_how_to_install_what_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "trader.report.charts", raising=False)
    monkeypatch.delattr("trader.report.charts", raising=False)
    monkeypatch.setitem(sys.modules, "plotly", None)
    monkeypatch.setitem(sys.modules, "plotly.graph_objects", None)
    with pytest.raises(ReportError, match=r"pip install 'ibkr-trading\[report\]'"):
        render_page(full_data())


def test_a_file_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="cannot write the report to"):
        write_report(full_data(), tmp_path / "no" / "out.html")


def test_thinning_keeps_both_ends_and_every_extreme() -> None:
    from trader.report.charts import thin

    values = [0.0] * 10_000
    values[4_321], values[7_777] = 9.0, -9.0
    kept = thin(list(range(10_000)), values, limit=200)
    assert len(kept) <= 200
    assert {0, 4_321, 7_777, 9_999} <= set(kept)
    assert kept == sorted(kept)


def test_a_drawdown_is_the_fall_from_the_highest_so_far_and_the_start_is_zero() -> None:
    from trader.report.charts import drawdowns

    values = [Decimal(value) for value in (-2, 5, 3, 6, 1)]
    assert drawdowns(values) == [-2, 0, -2, 0, -5]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (words.money(Decimal("-1234.5"), "USD"), "−1,234.50 USD"),
        (words.money(Decimal("0.001"), signed=True), "0.00"),
        (words.money(None, "USD"), "—"),
        (words.quantity(Decimal("1500.50"), signed=True), "+1,500.5"),
        (words.price(Decimal("1.10005")), "1.10005"),
        (words.price(168.0), "168.00"),
        (words.share(0.9833), "98.3 %"),
        (words.basis_points(-0.000123), "−1.2"),
        (words.period(AT, AT + timedelta(days=2), NEW_YORK), "7–9 October 2013"),
        (words.period(AT, AT + timedelta(days=40), NEW_YORK), "7 October – 16 November 2013"),
    ],
)
def test_figures_read_as_people_write_them(text: str, expected: str) -> None:
    assert text == expected
