"""The engine over a recording: whole, repeatable, on the recorded time."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

from trader.clock import ManualClock
from trader.contracts import TradingMode
from trader.engine import Engine
from trader.events import (
    AnyFact,
    CommissionBooked,
    FillBooked,
    OrderIntended,
    ReconciliationFinished,
    ServiceStarted,
    SessionClosed,
    SessionOpened,
    SignalChanged,
    TradeReceived,
)
from trader.replay import ReplayError, ReplayResult, fold_orders, run_replay, summarize
from trader.session import SessionCalendar
from trader.settings import Settings
from trader.strategy.loader import load_strategy

OPEN = datetime(2013, 10, 7, 13, 30, tzinfo=UTC)
CLOSE = datetime(2013, 10, 7, 20, 0, tzinfo=UTC)


def of(kind: type[Any], facts: tuple[AnyFact, ...]) -> list[Any]:
    return [fact for fact in facts if isinstance(fact, kind)]


@pytest.fixture
def result(record: Callable[..., Path], make_settings: Callable[..., Settings]) -> ReplayResult:
    return run_replay([record()], make_settings())


def test_it_trades_a_recording_from_signal_to_commission(result: ReplayResult) -> None:
    signals, orders = of(SignalChanged, result.facts), of(OrderIntended, result.facts)
    fills, commissions = of(FillBooked, result.facts), of(CommissionBooked, result.facts)
    assert len(signals) >= 10
    assert len(orders) >= 10
    assert len(fills) == len(commissions) > 0
    assert {fact.symbol for fact in signals} == {"IBM", "SPY"}
    assert (result.quotes, result.rows) == (600, 600)
    assert result.trades == 150


def test_the_same_input_gives_the_same_facts(
    record: Callable[..., Path], make_settings: Callable[..., Settings]
) -> None:
    file, settings = record(), make_settings()
    first, second = run_replay([file], settings, seed=5), run_replay([file], settings, seed=5)
    encode = msgspec.json.Encoder().encode
    assert encode(first.facts) == encode(second.facts)
    assert first.equity == second.equity


def test_signals_depend_on_the_market_alone_and_fills_on_latency(
    record: Callable[..., Path], make_settings: Callable[..., Settings]
) -> None:
    file, settings = record(), make_settings()
    near, far = run_replay([file], settings), run_replay([file], settings, latency=timedelta(seconds=2))
    assert of(SignalChanged, near.facts) == of(SignalChanged, far.facts)
    assert [fact.at for fact in of(FillBooked, near.facts)] != [fact.at for fact in of(FillBooked, far.facts)]


def test_the_books_add_up(result: ReplayResult) -> None:
    costs = summarize(result).costs
    paid = sum((fact.line.amount for fact in of(CommissionBooked, result.facts)), Decimal(0))
    assert costs.commission == -paid < 0
    assert costs.gross is not None
    assert costs.net == costs.gross + costs.commission == result.snapshot.pnl_net_cumulative
    assert result.equity[-1].net == costs.net
    assert result.equity[-1].gross == costs.gross


def test_it_agrees_with_the_broker_before_it_trades(result: ReplayResult) -> None:
    kinds = [type(fact) for fact in result.facts]
    assert kinds[0] is ServiceStarted
    assert kinds.index(ReconciliationFinished) < kinds.index(OrderIntended)
    assert of(ReconciliationFinished, result.facts)[0].clean


def test_sessions_open_and_close_on_the_second_although_no_row_is_there(
    record: Callable[..., Path], make_settings: Callable[..., Settings]
) -> None:
    rows = [
        f"{at:%Y-%m-%dT%H:%M:%SZ},SPY,100.00,500,100.01,500,,"
        for at in (OPEN - timedelta(seconds=33), OPEN + timedelta(hours=1), CLOSE + timedelta(minutes=8))
    ]
    result = run_replay([record(rows=rows)], make_settings(symbols=["SPY"]))
    assert [fact.at for fact in of(SessionOpened, result.facts)] == [OPEN]
    assert [fact.at for fact in of(SessionClosed, result.facts)] == [CLOSE]


def test_days_follow_one_another_and_each_has_its_session(
    record: Callable[..., Path], make_settings: Callable[..., Settings]
) -> None:
    days = [
        record(f"day{index}.csv", start=OPEN + timedelta(days=index, minutes=20), seconds=200, symbols=["SPY"])
        for index in range(3)
    ]
    result = run_replay(list(reversed(days)), make_settings(symbols=["SPY"]))
    assert [fact.session for fact in of(SessionOpened, result.facts)] == ["2013-10-07", "2013-10-08", "2013-10-09"]
    assert summarize(result).sessions == 3
    assert len({fact.at.date() for fact in of(SignalChanged, result.facts)}) == 3


def test_nothing_is_carried_over_the_close(record: Callable[..., Path], make_settings: Callable[..., Settings]) -> None:
    file = record(start=CLOSE - timedelta(minutes=15), seconds=1_200)
    result = run_replay([file], make_settings())
    assert of(FillBooked, result.facts)
    assert summarize(result).open_positions == {}


def test_only_the_configured_instruments_are_traded(
    record: Callable[..., Path], make_settings: Callable[..., Settings]
) -> None:
    result = run_replay([record()], make_settings(symbols=["SPY"]))
    assert result.quotes == 300
    assert {fact.symbol for fact in of(SignalChanged, result.facts)} == {"SPY"}


def test_every_recorded_symbol_is_traded_without_a_configuration(record: Callable[..., Path]) -> None:
    result = run_replay([record(seconds=60, symbols=["SPY", "ZZZZ"])])
    assert [item.symbol for item in result.settings.instruments] == ["SPY", "ZZZZ"]
    assert set(result.prices) == {"SPY", "ZZZZ"}


def test_an_instrument_may_have_a_name_of_its_own(
    record: Callable[..., Path], make_settings: Callable[..., Settings]
) -> None:
    settings = make_settings(symbols=[{"symbol": "my-spy", "ib_symbol": "SPY"}])
    assert set(run_replay([record()], settings).prices) == {"my-spy"}


def test_a_live_configuration_is_replayed_without_its_account(
    record: Callable[..., Path], make_settings: Callable[..., Settings]
) -> None:
    settings = make_settings(mode="live", account="U7654321")
    result = run_replay([record(seconds=60)], settings)
    assert result.snapshot.mode is TradingMode.SIMULATED
    assert result.snapshot.account != "U7654321"


def test_a_schedule_comes_due_on_the_recorded_time(
    record: Callable[..., Path], make_settings: Callable[..., Settings]
) -> None:
    strategy = {
        "name": "target_weights",
        "capital": 50_000,
        "schedule": "2 10 * * mon-fri",
        "parameters": {"weights": {"SPY": 0.5}},
    }
    result = run_replay([record()], make_settings(strategy=strategy))
    (signal,) = of(SignalChanged, result.facts)
    assert signal.at.replace(microsecond=0) in (
        datetime(2013, 10, 7, 14, 1, 59, tzinfo=UTC),
        datetime(2013, 10, 7, 14, 2, 0, tzinfo=UTC),
    )
    assert [order.filled for order in fold_orders(result.facts)] == [signal.target]


def test_a_strategy_that_fails_is_told_and_does_not_end_the_replay(
    record: Callable[..., Path], make_settings: Callable[..., Settings], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "broken_strategy_for_replay.py").write_text(
        "class Broken:\n    name = 'broken'\n"
        "    def on_quote(self, quote, view):\n        raise RuntimeError('out of ideas')\n"
        "    def on_schedule(self, view):\n        return ()\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    settings = make_settings(strategy={"name": "broken_strategy_for_replay:Broken"})
    summary = summarize(run_replay([record(seconds=30)], settings))
    assert summary.strategy_failures == 1
    assert "out of ideas" in summary.last_strategy_failure


def test_prices_and_equity_are_sampled_on_virtual_time(result: ReplayResult) -> None:
    steps = [
        after.at - before.at for before, after in zip(result.prices["SPY"], result.prices["SPY"][1:], strict=False)
    ]
    assert set(steps) == {timedelta(seconds=15)}
    assert len(result.equity) in (5, 6)


def test_its_own_duration_is_measured_by_the_stopwatch_alone(record: Callable[..., Path]) -> None:
    result = run_replay([record(seconds=30)], stopwatch=ManualClock(OPEN))
    assert (result.wall_s, result.quotes_per_s) == (0.0, 0.0)


@pytest.mark.parametrize(
    ("line", "sentence"),
    [
        ("2013-10-07T14:00:01Z,SPY,abc,1,100,1,,", "line 3: bid 'abc' is not a number"),
        ("2013-10-07T13:00:01Z,SPY,100,1,101,1,,", "line 3: time 2013-10-07T13:00:01Z is before the row above"),
    ],
)
def test_a_bad_row_is_named_with_its_file_and_line(record: Callable[..., Path], line: str, sentence: str) -> None:
    file = record(rows=["2013-10-07T14:00:00Z,SPY,100,1,101,1,,", line])
    with pytest.raises(ReplayError, match=sentence) as raised:
        run_replay([file])
    assert str(file) in str(raised.value)


def test_a_file_that_does_not_exist_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ReplayError, match="there is no such file"):
        run_replay([tmp_path / "none.csv"])


def test_no_file_at_all_is_one_sentence() -> None:
    with pytest.raises(ReplayError, match="at least one recorded file"):
        run_replay([])


def test_an_instrument_that_is_not_recorded_is_named(
    record: Callable[..., Path], make_settings: Callable[..., Settings]
) -> None:
    with pytest.raises(ReplayError, match="trades TSLA, but the files hold only IBM, SPY"):
        run_replay([record(seconds=5)], make_settings(symbols=["SPY", "TSLA"]))


def test_a_time_that_the_calendar_does_not_know_is_refused(record: Callable[..., Path]) -> None:
    with pytest.raises(ReplayError, match="the calendar XNYS covers"):
        run_replay([record(start=datetime(1999, 1, 4, 15, 0, tzinfo=UTC), seconds=5)])


def test_a_strategy_that_does_not_exist_is_named(
    record: Callable[..., Path], make_settings: Callable[..., Settings]
) -> None:
    with pytest.raises(ReplayError, match="there is no strategy 'nonsense'"):
        run_replay([record(seconds=5)], make_settings(strategy={"name": "nonsense"}))


def test_a_schedule_that_is_none_is_named(record: Callable[..., Path], make_settings: Callable[..., Settings]) -> None:
    strategy = {"name": "target_weights", "schedule": "at noon", "parameters": {"weights": {"SPY": 0.5}}}
    with pytest.raises(ReplayError, match="'at noon'"):
        run_replay([record(seconds=5)], make_settings(strategy=strategy))


def test_trades_of_the_market_lead_to_nothing_and_may_be_left_out(make_settings: Callable[..., Settings]) -> None:
    """Replays do not tell the engine about them; when it begins to use them, this has to change."""
    settings = make_settings(symbols=["SPY"])
    instruments = {"SPY": settings.instruments[0].instrument()}
    calendar = SessionCalendar.load("XNYS")
    engine = Engine(settings, instruments, load_strategy(settings.strategy, ["SPY"]), calendar, ManualClock(OPEN), "r")
    step = engine.process(TradeReceived(at=OPEN, symbol="SPY", price=1.0, size=1.0, received_ns=0))
    assert (step.facts, step.commands) == ([], [])
