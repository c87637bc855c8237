"""What ``trader status`` draws, as text."""

import io
from collections.abc import Callable
from decimal import Decimal

import pytest
from rich.console import Console

from trader.cli.formats import ago, amount, compact, price, quantity, signed, span
from trader.cli.views import status_view
from trader.contracts import TradingMode, TradingState
from trader.snapshot import Snapshot

Make = Callable[..., Snapshot]


def draw(snapshot: Snapshot, width: int = 100) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    with console.capture() as captured:
        console.print(status_view(snapshot))
    return captured.get()


@pytest.mark.parametrize("width", [80, 100, 120, 200])
def test_nothing_is_cut_off_from_eighty_columns_on(make_snapshot: Make, width: int) -> None:
    drawn = draw(make_snapshot(), width)
    assert "…" not in drawn
    assert max(len(line) for line in drawn.splitlines()) <= width


def test_a_long_account_does_not_shorten_the_line_of_the_session(make_snapshot: Make) -> None:
    drawn = draw(make_snapshot(account="DU1234567890 (paper)", strategy="opening_range"), 80)
    assert "session open, closes in 3 h 07 min" in drawn
    assert "…" not in drawn


def test_a_wide_terminal_gets_two_panels_side_by_side(make_snapshot: Make) -> None:
    assert any("Connection" in line and "P&L today" in line for line in draw(make_snapshot(), 100).splitlines())
    assert not any("Connection" in line and "P&L today" in line for line in draw(make_snapshot(), 80).splitlines())


def test_it_shows_state_account_session_positions_orders_and_profit(make_snapshot: Make) -> None:
    drawn = draw(make_snapshot())
    for words in (
        "ACTIVE · ready",
        "SIMULATED",
        "DU1234567 · mean_reversion",
        "session open, closes in 3 h 07 min",
        "up 2 h 04 min",
        "client 1, protocol 178",
        "+171.58",
        "54,414 of 200,000",
        "-1,500",
        "40 / 100",
        "fill rate",
        "95.0 % (38 of 40 orders)",
    ):
        assert words in drawn


def test_it_says_why_the_service_may_not_trade(make_snapshot: Make) -> None:
    drawn = draw(
        make_snapshot(
            ready=False,
            problems=("the gateway refuses the connection",),
            trading_state=TradingState.HALTED,
            state_reason="an operator halted it",
            orders_unknown=2,
            previous_exit_clean=False,
        )
    )
    for words in (
        "HALTED · not ready",
        "an operator halted it",
        "! the gateway refuses the connection",
        "! 2 orders whose state",
        "! the previous run did not end cleanly",
    ):
        assert words in drawn


def test_an_empty_book_is_flat_only_when_the_broker_has_said_so(make_snapshot: Make) -> None:
    assert "flat" in draw(make_snapshot(positions=()))
    unsure = draw(make_snapshot(positions=(), connection__reconciled=False))
    assert "flat" not in unsure
    assert "what the broker holds is not known yet" in unsure


def test_what_is_not_known_is_a_dash(make_snapshot: Make) -> None:
    drawn = draw(make_snapshot(pnl_base__realized=None, risk__equity=None, session_elapsed_s=None))
    (net,) = [line for line in drawn.splitlines() if " net  " in line]
    assert "–" in net
    assert "– " in next(line for line in drawn.splitlines() if "availability" in line)


def test_it_marks_broken_metrics_without_colour(make_snapshot: Make) -> None:
    drawn = draw(make_snapshot(activity__orders_eligible_filled=1))
    assert "✗   fill rate" in drawn


@pytest.mark.parametrize("mode", list(TradingMode))
@pytest.mark.parametrize("state", list(TradingState))
def test_every_mode_and_state_can_be_drawn(make_snapshot: Make, mode: TradingMode, state: TradingState) -> None:
    drawn = draw(make_snapshot(mode=mode, trading_state=state))
    assert mode.value.upper() in drawn
    assert state.value.replace("_", " ").upper() in drawn


@pytest.mark.parametrize(
    ("session", "words"),
    [
        ({"session_open": True, "session_closes_at": None}, "session open, never closes"),
        ({"session_open": False}, "session closed, opens in 20 h 37 min"),
        ({"session_open": False, "session_next_opens_at": None}, "session closed"),
    ],
)
def test_it_counts_down_to_the_next_session(make_snapshot: Make, session: dict[str, object], words: str) -> None:
    assert words in draw(make_snapshot(**session))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(-3, "0 s"), (42, "42 s"), (185, "3 min 05 s"), (7_440, "2 h 04 min"), (284_400, "3 d 07 h")],
)
def test_durations_read_well(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_figures_read_well(make_snapshot: Make) -> None:
    now = make_snapshot().at
    assert ago(None, now) == "never"
    assert ago(now, now) == "just now"
    assert signed(Decimal("1234.5")).plain == "+1,234.50"
    assert signed(Decimal("-0.004")).plain == "-0.00"
    assert signed(Decimal(0)).plain == "0.00"
    assert amount(None).plain == "–"
    assert quantity(Decimal("1500.00")) == "1,500"
    assert quantity(Decimal("0.5")) == "0.5"
    assert price(1.08245).plain == "1.08245"
    assert price(Decimal("182.5")).plain == "182.50"
    assert compact(Decimal(12_500_000)) == "12.50 M"
