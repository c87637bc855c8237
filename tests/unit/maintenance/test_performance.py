"""Trading performance: every figure is computed again from the journal's raw rows, without the product's books."""

import dataclasses
from collections import defaultdict
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from tests.unit.maintenance.days import (
    CLOSE,
    DAY,
    SINCE,
    UNTIL,
    DeadMetrics,
    FakeMetrics,
    context,
    figure,
    raw,
    replayed,
    rows,
    write,
)
from trader.events import (
    AnyDurableFact,
    CommissionBooked,
    DurableFact,
    FillBooked,
    ServiceStarted,
    SessionClosed,
    SessionOpened,
    StartReason,
)
from trader.maintenance import performance, trading_measured
from trader.maintenance.model import Outcome, Section
from trader.success_metrics import METRICS

ROOT = Path(__file__).resolve().parents[3]
FINAL = {"filled", "cancelled", "rejected", "not_sent", "vanished"}
# Quick; late answers; and later than the quotes stay, so that most orders are cancelled unfilled.
LATENCIES_MS = (300, 2_600, 6_000)


def moment(body: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(body["at"])


def signed_cash(path: Path, since: datetime, until: datetime) -> dict[str, Decimal]:
    """What fills took in and paid out, by symbol; of a flat instrument that is its gross profit."""
    cash: dict[str, Decimal] = defaultdict(Decimal)
    for body in raw(path, "FillBooked", since, until):
        line = body["line"]
        amount = Decimal(line["quantity"]) * Decimal(line["price"]) * Decimal(line["instrument"]["multiplier"])
        cash[line["instrument"]["symbol"]] += -amount if line["side"] == "BUY" else amount
    return cash


def costs(path: Path) -> Decimal:
    return sum((Decimal(body["line"]["amount"]) for body in raw(path, "CommissionBooked")), Decimal())


@pytest.fixture(params=LATENCIES_MS, ids=lambda latency: f"{latency}ms")
def day(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Section]:
    """The journal's file, and the section of its second day."""
    path = write(tmp_path, replayed(request.param))
    return path, performance.run(context(tmp_path))


Day = tuple[Path, Section]


def test_the_period_is_the_day_between_two_closes(tmp_path: Path) -> None:
    period = context(tmp_path).period
    assert (period.since, period.until, period.label) == (SINCE, UNTIL, "2013-10-08")


def test_it_counts_signals_orders_and_fills(day: Day) -> None:
    path, section = day
    assert figure(section, "Signals").value == len(raw(path, "SignalChanged")) > 0
    assert figure(section, "Orders sent").value == len(raw(path, "OrderIntended")) > 0
    assert figure(section, "Fills").value == len(raw(path, "FillBooked"))


def test_profit_and_loss_is_what_fills_took_in_and_paid_out(day: Day) -> None:
    path, section = day
    gross, paid = sum(signed_cash(path, SINCE, UNTIL).values(), Decimal()), costs(path)
    assert figure(section, "Realized").value == figure(section, "Gross").value == gross
    assert figure(section, "Unrealized").value == 0  # nothing is held over night
    assert figure(section, "Costs").value == -paid
    assert figure(section, "Net").value == gross - paid


def test_symbols_add_up_to_the_day(day: Day) -> None:
    path, section = day
    cash = signed_cash(path, SINCE, UNTIL)
    found = rows(section, "By symbol")
    assert {symbol: row["Realized, gross"] for symbol, row in found.items() if row["Fills"]} == dict(cash)
    assert sum(row["Costs"] for row in found.values()) == -costs(path)  # type: ignore[misc, arg-type]
    for symbol, row in found.items():
        bodies = [item["line"] for item in raw(path, "FillBooked") if item["line"]["instrument"]["symbol"] == symbol]
        assert row["Fills"] == len(bodies)
        assert row["Units"] == sum((Decimal(line["quantity"]) for line in bodies), Decimal())
        worth = [Decimal(line["quantity"]) * Decimal(line["price"]) for line in bodies]
        assert row["Turnover"] == sum(worth, Decimal())
        assert row["Held after"] == 0


def ends(path: Path) -> dict[str, list[dict[str, Any]]]:
    """The changes of state of the day by order, of orders that ended in it."""
    changes = defaultdict(list)
    for body in raw(path, "OrderStateChanged"):
        changes[body["order_ref"]].append(body)
    return {ref: bodies for ref, bodies in changes.items() if bodies[-1]["new"] in FINAL}


def test_the_fill_rate_is_filled_of_what_reached_the_broker(day: Day) -> None:
    path, section = day
    cancelled_by_us = {
        body["order_ref"]
        for body in raw(path, "CancelIntended")
        if body["reason"] in ("halt", "panic", "shutdown", "duplicate")
    }
    quantities = {
        body["order_ref"]: Decimal(body["approved"]["intent"]["terms"]["quantity"])
        for body in raw(path, "OrderIntended")
    }
    filled: dict[str, Decimal] = defaultdict(Decimal)
    for body in raw(path, "FillBooked"):
        filled[body["order_ref"]] += Decimal(body["line"]["quantity"])
    eligible = [
        ref
        for ref, bodies in ends(path).items()
        if ref not in cancelled_by_us
        and (
            bodies[-1]["new"] in ("rejected", "cancelled")
            or any(
                body["trigger"] in ("acknowledged", "found_open", "partly_filled", "fully_filled") for body in bodies
            )
        )
    ]
    good = [ref for ref in eligible if filled[ref] >= quantities[ref]]
    assert figure(section, "Fill rate").value == len(good) / len(eligible)
    ended = {row["Outcome"]: row["Orders"] for row in rows(section, "How orders ended").values()}
    assert sum(ended.values()) == len(ends(path))  # type: ignore[arg-type]
    assert ended.get("filled", 0) == len(good)


def test_orders_that_come_too_late_are_not_filled(tmp_path: Path) -> None:
    """So that the tests above see more than a rate of one."""
    write(tmp_path, replayed(LATENCIES_MS[-1]))
    section = performance.run(context(tmp_path))
    rate = figure(section, "Fill rate")
    assert isinstance(rate.value, float)
    assert 0 < rate.value < 0.5
    assert rate.outcome is Outcome.WARNING
    assert section.outcome is Outcome.WARNING
    assert "fill rate" in section.sentence


def test_order_latency_is_from_sending_to_the_first_word(day: Day) -> None:
    path, section = day
    sent: dict[str, datetime] = {}
    waited = []
    for body in raw(path, "OrderStateChanged"):
        ref = body["order_ref"]
        if body["trigger"] == "sent":
            sent[ref] = moment(body)
        elif ref in sent:
            waited.append((moment(body) - sent.pop(ref)).total_seconds())
    waited.sort()
    assert len(waited) > 20
    p99 = waited[max(-(-99 * len(waited) // 100), 1) - 1]
    assert figure(section, "Order latency p99").value == p99
    late = sum(1 for value in waited if value > 2.0) / len(waited) > 0.01
    assert (figure(section, "Order latency p99").outcome is Outcome.WARNING) == late
    assert rows(section, "Against the success metrics")["order latency p99"]["Verdict"] == ("broken" if late else "ok")


def test_slippage_is_what_was_paid_above_the_prices_decided_on(day: Day) -> None:
    path, section = day
    reference = {
        body["order_ref"]: body["approved"]["intent"]["reference_price"] for body in raw(path, "OrderIntended")
    }
    cost = value = 0.0
    ratios = []
    for body in raw(path, "FillBooked"):
        line, decided = body["line"], reference[body["order_ref"]]
        sign = 1 if line["side"] == "BUY" else -1
        above = (float(line["price"]) - decided) * sign
        cost += above * float(line["quantity"])
        value += decided * float(line["quantity"])
        ratios.append(above / decided)
    assert figure(section, "Slippage, mean by value").value == pytest.approx(cost / value)
    assert figure(section, "Slippage, worst fill").value == pytest.approx(max(ratios))


def test_the_curve_ends_at_the_net_of_the_day(day: Day) -> None:
    path, section = day
    (chart,) = section.charts
    (line,) = chart.lines
    moments = [at for at, _ in line.points]
    assert moments == sorted(moments)
    assert all(SINCE <= at < UNTIL for at in moments)
    assert line.points[0] == (datetime.fromisoformat(raw(path, "SessionOpened")[0]["opened_at"]), 0.0)
    net = sum(signed_cash(path, SINCE, UNTIL).values(), Decimal()) - costs(path)
    assert line.points[-1][1] == pytest.approx(float(net))


def test_without_prometheus_it_names_what_it_could_not_get(tmp_path: Path) -> None:
    write(tmp_path, replayed())
    for metrics, reason in ((None, "no Prometheus is configured"), (DeadMetrics(), "no answer")):
        section = performance.run(context(tmp_path, metrics=metrics))
        named = [text.partition(":")[0] for text in section.missing]
        assert named == ["availability", "error rate", "decision latency", "net P&L with open positions over time"]
        assert all(reason in text for text in section.missing)
        verdicts = rows(section, "Against the success metrics")
        for name in ("availability", "error rate", "decision latency p99"):
            assert verdicts[name]["Verdict"] == "unknown"
            assert verdicts[name]["In this period"] == "not measured yet"


def measured_day(**changes: float) -> FakeMetrics:
    instant = {
        "slo:session_elapsed_seconds_total": 23_400.0,
        "slo:slice_bad_seconds": 15.0,
        "slo:slice_measured_seconds": 23_400.0,
        # The bad ones are asked for after all of them, and name their outcomes.
        'outcome="error"': 1.0,
        "trader_broker_requests_total": 5_000.0,
        "histogram_quantile": 0.012,
        "_count{": 1_000.0,
        'le="0.35"': 998.0,
    }
    curve = [(CLOSE - timedelta(minutes=5 - number), 100.0 + number) for number in range(5)]
    return FakeMetrics(instant={**instant, **changes}, ranges={"trader_pnl_net_cumulative_base": curve})


def test_what_prometheus_measured_is_judged_by_the_success_metrics(tmp_path: Path) -> None:
    write(tmp_path, replayed())
    section = performance.run(context(tmp_path, metrics=measured_day()))
    found = {
        name: (row["In this period"], row["Verdict"])
        for name, row in rows(section, "Against the success metrics").items()
    }
    assert found["availability"] == ("99.94 %", "ok")
    assert found["error rate"] == ("0.020 %", "ok")
    assert found["decision latency p99"] == ("12 ms over 1,000 decisions", "ok")
    assert section.missing == ()
    assert section.outcome is Outcome.OK
    equity = section.charts[0].lines[-1]
    assert [value for _, value in equity.points] == [0.0, 1.0, 2.0, 3.0, 4.0]


def test_time_that_nobody_measured_is_not_available(tmp_path: Path) -> None:
    write(tmp_path, replayed())
    section = performance.run(context(tmp_path, metrics=measured_day(**{"slo:slice_measured_seconds": 11_700.0})))
    row = rows(section, "Against the success metrics")["availability"]
    assert (row["In this period"], row["Verdict"]) == ("50.00 %", "broken")
    assert section.outcome is Outcome.WARNING
    assert "not met: availability" in section.sentence


def test_figures_of_several_traders_are_nobodys(tmp_path: Path) -> None:
    write(tmp_path, replayed())
    metrics = dataclasses.replace(measured_day(), instances=("a", "b"))
    section = performance.run(context(tmp_path, metrics=metrics))
    assert len(section.missing) == 4
    assert all("several traders" in text for text in section.missing)


def test_the_questions_are_those_of_the_objectives() -> None:
    slos = yaml.safe_load((ROOT / "alerts" / "slo.yaml").read_text())["slos"]
    without_job = [
        selector.replace('job="trader",', "").replace('{job="trader"}', "") for selector in trading_measured.BAD
    ]
    assert without_job == slos["error_rate"]["bad"]
    assert [item.removesuffix('{job="trader"}') for item in trading_measured.ALL] == slos["error_rate"]["total"]
    assert slos["decision_latency"]["histogram"] == trading_measured.DECISIONS
    assert slos["net_pnl"]["cumulative"] == trading_measured.CUMULATIVE.removesuffix('{job="trader"}')


def quiet_day() -> list[DurableFact]:
    """A service that ran and did nothing."""
    started = next(fact for fact in replayed() if isinstance(fact, ServiceStarted))
    opened = [fact for fact in replayed() if isinstance(fact, SessionOpened)]
    return [started, *opened]


def test_a_day_without_trades_has_zeros_and_no_verdict_on_them(tmp_path: Path) -> None:
    write(tmp_path, quiet_day())
    section = performance.run(context(tmp_path))
    assert section.sentence == "no order was sent"
    assert section.outcome is Outcome.OK
    assert figure(section, "Orders sent").value == 0
    assert figure(section, "Fill rate").value is None
    assert figure(section, "Order latency p99").value is None
    assert figure(section, "Net").value == 0
    verdicts = rows(section, "Against the success metrics")
    assert {verdicts[name]["Verdict"] for name in ("fill rate", "order latency p99", "net P&L after costs")} == {
        "unknown"
    }
    assert section.charts == ()


def test_an_empty_day_after_a_traded_one_has_nothing_of_it(tmp_path: Path) -> None:
    write(tmp_path, [fact for fact in replayed() if fact.at < SINCE])
    section = performance.run(context(tmp_path))
    assert figure(section, "Fills").value == 0
    assert figure(section, "Net").value == 0
    assert rows(section, "By symbol") == {}


def test_a_missing_commission_makes_costs_and_net_unknown_and_not_smaller(tmp_path: Path) -> None:
    facts = list(replayed())
    left_out = [fact for fact in facts if isinstance(fact, CommissionBooked) and fact.at >= DAY][:3]
    write(tmp_path, [fact for fact in facts if fact not in left_out])
    section = performance.run(context(tmp_path))
    assert figure(section, "Costs").value is None
    assert figure(section, "Net").value is None
    assert figure(section, "Gross").value is not None
    assert figure(section, "Commissions missing").value == 3
    assert any("commission of 3 fills" in text for text in section.missing)
    assert section.outcome is Outcome.WARNING
    assert "net not known" in section.sentence
    symbols = {
        fact.line.instrument.symbol
        for fact in facts
        if isinstance(fact, FillBooked) and fact.line.exec_id in {item.line.exec_id for item in left_out}
    }
    for symbol, row in rows(section, "By symbol").items():
        assert (row["Costs"] is None) == (symbol in symbols)


def test_a_corrected_fill_counts_once_and_as_corrected(tmp_path: Path) -> None:
    facts: list[AnyDurableFact] = list(replayed())
    fill = [fact for fact in facts if isinstance(fact, FillBooked) and fact.at >= DAY][-1]
    line = msgspec.structs.replace(fill.line, exec_id=fill.line.exec_id[:-2] + "02", price=fill.line.price + 1)
    corrected = msgspec.structs.replace(
        fill, at=fill.at + timedelta(seconds=5), line=line, corrects=fill.line.exec_id,
        replaced_quantity=fill.line.quantity,
    )  # fmt: skip
    (tmp_path / "a").mkdir()
    write(tmp_path / "a", facts)
    before = performance.run(context(tmp_path / "a"))
    (tmp_path / "b").mkdir()
    write(tmp_path / "b", [*facts, corrected])
    after = performance.run(context(tmp_path / "b"))
    assert figure(after, "Fills").value == figure(before, "Fills").value
    change = -fill.line.side.sign * fill.line.quantity
    assert figure(after, "Realized").value == figure(before, "Realized").value + change  # type: ignore[operator]
    assert figure(after, "Costs").value == figure(before, "Costs").value


def test_a_position_held_over_night_needs_the_sessions_own_word(tmp_path: Path) -> None:
    """The day's last fill is taken away, so that something is held when it ends."""
    facts = list(replayed())
    last = [fact for fact in facts if isinstance(fact, FillBooked)][-1]
    kept = [fact for fact in facts if fact.at < last.at or isinstance(fact, SessionClosed)]
    told = [
        msgspec.structs.replace(fact, unrealized=Decimal("12.50")) if isinstance(fact, SessionClosed) else fact
        for fact in kept
    ]
    write(tmp_path, told)
    section = performance.run(context(tmp_path))
    assert figure(section, "Unrealized").value == Decimal("12.50")
    realized = figure(section, "Realized").value
    assert isinstance(realized, Decimal)
    assert figure(section, "Gross").value == realized + Decimal("12.50")


def test_a_position_without_that_word_has_no_gross(tmp_path: Path) -> None:
    facts = list(replayed())
    last = [fact for fact in facts if isinstance(fact, FillBooked)][-1]
    write(tmp_path, [fact for fact in facts if fact.at < last.at])
    section = performance.run(context(tmp_path))
    assert figure(section, "Unrealized").value is None
    assert figure(section, "Gross").value is None
    assert figure(section, "Net").value is None
    assert any(text.startswith("unrealized and gross P&L") for text in section.missing)


def test_an_unplanned_start_breaks_its_success_metric(tmp_path: Path) -> None:
    started = next(fact for fact in replayed() if isinstance(fact, ServiceStarted))
    crash = msgspec.structs.replace(started, at=DAY + timedelta(hours=13), reason=StartReason.CRASH)
    write(tmp_path, [*replayed(), crash])
    row = rows(performance.run(context(tmp_path)), "Against the success metrics")["restarts today"]
    assert (row["In this period"], row["Verdict"]) == ("1 unplanned of 1 start", "broken")


def test_names_and_targets_are_those_of_the_success_metrics(tmp_path: Path) -> None:
    write(tmp_path, quiet_day())
    found = rows(performance.run(context(tmp_path)), "Against the success metrics")
    assert [(name, row["Target"]) for name, row in found.items()] == [
        (name, target) for name, target, _ in METRICS if name != "resource usage"
    ]


def test_a_journal_that_is_not_there_is_a_failed_section(tmp_path: Path) -> None:
    section = performance.run(context(tmp_path))
    assert section.outcome is Outcome.FAILED
    assert "journal" in section.sentence


def test_facts_that_contradict_each_other_are_a_failed_section(tmp_path: Path) -> None:
    fill = next(fact for fact in replayed() if isinstance(fact, FillBooked) and fact.at >= DAY)
    write(tmp_path, [*replayed(), fill])
    section = performance.run(context(tmp_path))
    assert section.outcome is Outcome.FAILED
    assert "contradict" in section.sentence
