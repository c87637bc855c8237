"""Where time goes: every figure recomputed by hand, and nothing made up where nobody measured."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path

import pytest

from tests.unit.maintenance import days
from tests.unit.maintenance.months import SINCE, Answers, Silent, context_of, figure, row, table
from trader.contracts import Instrument, OrderType, Side
from trader.events import (
    Approved,
    DurableFact,
    ExecutionLine,
    FillBooked,
    Intent,
    OrderIntended,
    OrderState,
    OrderStateChanged,
    OrderTerms,
    OrderTrigger,
)
from trader.maintenance import optimization
from trader.maintenance.model import Outcome
from trader.maintenance.order_stages import DECISIONS, OPEN_MAX, ORDERS, SLOWEST, Stage, Stages

MS = timedelta(milliseconds=1)
MS_NS = 1_000_000
BEGIN = SINCE + timedelta(days=3)


def intended(
    ref: str, at: datetime, decision_ms: float = 2, risk_ms: float = 1, *, asked: bool = True
) -> OrderIntended:
    terms = OrderTerms(symbol="SPY", side=Side.BUY, quantity=Decimal(1), order_type=OrderType.LIMIT)
    intent = Intent(terms=terms, strategy="s", reason="r", reference_price=1.0, decided_ns=1_000)
    asked_ns = 1_000 + int(decision_ms * MS_NS)
    risk_ns = (asked_ns, asked_ns + int(risk_ms * MS_NS)) if asked else ()
    return OrderIntended(
        at=at, order_ref=ref, order_id=1, approved=Approved(intent=intent, reduces=False), risk_ns=risk_ns
    )


def changed(ref: str, at: datetime, new: OrderState, old: OrderState = OrderState.INTENDED) -> OrderStateChanged:
    return OrderStateChanged(at=at, order_ref=ref, old=old, new=new, trigger=OrderTrigger.SENT)


def filled(ref: str, at: datetime, duration_s: float | None) -> FillBooked:
    line = ExecutionLine(
        exec_id=f"{ref}.1", order_id=1, perm_id=1, client_id=1, order_ref=ref, instrument=Instrument("SPY"),
        side=Side.BUY, quantity=Decimal(1), price=Decimal(1), executed_at=at,
    )  # fmt: skip
    return FillBooked(
        at=at, order_ref=ref, line=line, corrects=None, replaced_quantity=Decimal(0), slippage_ratio=None,
        fill_duration_s=duration_s,
    )  # fmt: skip


def order(ref: str, number: int, submit_ms: float, ack_ms: float) -> Iterator[DurableFact]:
    """An order with its facts; ``number`` minutes after the begin."""
    at = BEGIN + timedelta(minutes=number)
    sent_at = at + submit_ms * MS
    yield intended(ref, at, decision_ms=number + 1)
    yield changed(ref, sent_at, OrderState.SENT)
    yield changed(ref, sent_at + ack_ms * MS, OrderState.WORKING, OrderState.SENT)
    yield filled(ref, sent_at + 500 * MS, 0.5)
    yield changed(ref, sent_at + 500 * MS, OrderState.FILLED, OrderState.WORKING)


MONTH = [fact for number in range(4) for fact in order(f"r-{number}", number, 1 + number, 100)]


def test_the_stages_of_orders_are_recomputed_from_the_journal(tmp_path: Path) -> None:
    section = optimization.run(context_of(tmp_path, facts=MONTH))
    # Decisions of 1, 2, 3 and 4 ms, risk of 1 ms, hand-overs of 1 to 4 ms, words of the broker after 100 ms.
    shares = {Stage.DECISION: 10, Stage.RISK: 4, Stage.SUBMIT: 10, Stage.ACK: 400}
    for stage, total_ms in shares.items():
        told = row(section, "Stages of an order", stage)
        assert told[1] == 4
        assert told[2] == pytest.approx(total_ms / 1_000)
        assert told[3] == pytest.approx(total_ms / 424)
    assert row(section, "Stages of an order", Stage.SUBMIT)[4:] == pytest.approx((0.002, 0.004, 0.004, 0.004))
    fill = row(section, "Stages of an order", Stage.FILL)
    assert fill[3] is None, "a fill is the market's and no share of the way"
    assert section.sentence.startswith("94% of an order's time until the broker's word goes into ack")


def test_the_slowest_are_told_with_their_references(tmp_path: Path) -> None:
    section = optimization.run(context_of(tmp_path, facts=MONTH))
    assert [told[0] for told in table(section, "Slowest orders").rows] == ["r-3", "r-2", "r-1", "r-0"]
    first = table(section, "Slowest decisions").rows[0]
    assert first[:3] == ("r-3", "SPY", BEGIN + timedelta(minutes=3))
    assert first[3:] == pytest.approx((0.005, 0.004, 0.001))


def test_only_the_slowest_are_kept_and_orders_without_end_are_bounded() -> None:
    stages = Stages().take(intended(f"r-{n}", BEGIN, decision_ms=n % 1_000) for n in range(OPEN_MAX + 500))
    assert len(stages.slowest(*DECISIONS)) == SLOWEST
    assert {found.stages[Stage.DECISION] for found in stages.slowest(*DECISIONS)} <= {0.998, 0.999}
    assert stages.slowest(*ORDERS) == []


def test_a_clock_that_was_set_back_measures_nothing() -> None:
    facts = [intended("r", BEGIN), changed("r", BEGIN - MS, OrderState.SENT)]
    stages = Stages().take(facts)
    assert not stages.durations[Stage.SUBMIT]


def test_an_order_that_risk_was_not_asked_about_has_no_decision() -> None:
    stages = Stages().take([intended("r", BEGIN, asked=False), changed("r", BEGIN + MS, OrderState.SENT)])
    assert [timing.stage for timing in stages.timings()] == [Stage.SUBMIT]


def test_only_the_first_word_of_the_broker_counts() -> None:
    facts = [
        intended("r", BEGIN), changed("r", BEGIN + MS, OrderState.SENT),
        changed("r", BEGIN + 3 * MS, OrderState.WORKING), changed("r", BEGIN + 9 * MS, OrderState.CANCELLED),
        filled("r", BEGIN + 9 * MS, None), filled("other", BEGIN, 0.25),
    ]  # fmt: skip
    stages = Stages().take(facts)
    assert list(stages.durations[Stage.ACK]) == [0.002]
    assert list(stages.durations[Stage.FILL]) == [0.25]


def test_a_replayed_journal_gives_as_many_orders_as_its_rows_say() -> None:
    facts = list(days.replay().facts)
    sent = {fact.order_ref for fact in facts if isinstance(fact, OrderStateChanged) and fact.new is OrderState.SENT}
    stages = Stages().take(facts)
    assert len(stages.durations[Stage.SUBMIT]) == len(sent) > 0


# -- Prometheus

HERE = {"instance": "here"}
PROMETHEUS = {
    "trader_decision_duration_seconds_count": [(HERE, 1_000.0)],
    "trader_decision_duration_seconds_sum": [(HERE, 2.5)],
    "histogram_quantile(0.5, sum by (instance, le) (increase(trader_decision": [(HERE, 0.002)],
    "histogram_quantile(0.95, sum by (instance, le) (increase(trader_decision": [(HERE, 0.005)],
    "histogram_quantile(0.99, sum by (instance, le) (increase(trader_decision": [(HERE, 0.4)],
    "trader_order_ack_duration_seconds_count": [(HERE, 0.0)],
    "trader_order_fill_duration_seconds_count": [(HERE, float("nan"))],
    "avg_over_time(prometheus_rule_group_last": [({"rule_group": "/etc/x.yml;orders"}, 0.01)],
    "max_over_time(prometheus_rule_group_last": [
        ({"rule_group": "/etc/x.yml;orders"}, 9.0), ({"rule_group": "/etc/x.yml;host"}, 0.1),
    ],
    "prometheus_rule_group_interval": [
        ({"rule_group": "/etc/x.yml;orders"}, 15.0), ({"rule_group": "/etc/x.yml;host"}, 15.0),
    ],
    "iterations_missed": [({"rule_group": "/etc/x.yml;orders"}, 2.0)],
    "prometheus_rule_group_rules": [({"rule_group": "/etc/x.yml;orders"}, 12.0)],
    "max by (instance) (max_over_time(scrape_samples_scraped": [({"instance": "here:9464"}, 1_501.0)],
    "max_over_time(scrape_samples_scraped": [({"job": "trader", "instance": "here:9464"}, 1_501.0)],
    "avg_over_time(scrape_duration": [({"job": "trader", "instance": "here:9464"}, 0.02)],
    "max_over_time(scrape_duration": [({"job": "trader", "instance": "here:9464"}, 1.5)],
}  # fmt: skip


def test_the_histograms_of_the_month_are_told_with_their_objectives(tmp_path: Path) -> None:
    answers = Answers(by_text=PROMETHEUS)
    section = optimization.run(context_of(tmp_path, metrics=answers, facts=MONTH))
    assert row(section, "service's histograms", "decision: tick to decision") == (
        "decision: tick to decision", 1_000, 2.5, 0.002, 0.005, 0.4, 0.35,
    )  # fmt: skip
    late = figure(section, "p99 of decision")
    assert (late.value, late.outcome, late.bound) == (0.4, Outcome.WARNING, "≤ 0.35 s")
    assert section.sentence.startswith("p99 of decision")
    assert any("[2419200s]" in asked for asked in answers.asked), "February has 28 days"


def test_a_histogram_that_counted_nothing_is_missing(tmp_path: Path) -> None:
    section = optimization.run(context_of(tmp_path, metrics=Answers(by_text=PROMETHEUS)))
    told = "\n".join(section.missing)
    assert "trader_order_ack_duration_seconds: nothing was counted" in told
    assert "trader_order_fill_duration_seconds: nothing was counted" in told
    assert "trader_event_loop_lag_seconds: nothing was counted" in told
    assert [told[0] for told in table(section, "service's histograms").rows] == ["decision: tick to decision"]


def test_rule_evaluation_scrapes_and_the_series_budget_are_told(tmp_path: Path) -> None:
    section = optimization.run(context_of(tmp_path, metrics=Answers(by_text=PROMETHEUS)))
    assert row(section, "Rule evaluation", "orders") == ("orders", 12.0, 0.01, 9.0, 15.0, 2.0)
    assert row(section, "Rule evaluation", "host") == ("host", None, None, 0.1, 15.0, None)
    assert row(section, "Scrapes", "trader") == ("trader", "here:9464", 0.02, 1.5, 1_501.0)
    assert figure(section, "Slowest rule evaluation (orders)").value == 9.0
    assert figure(section, "Rule evaluations skipped").outcome is Outcome.WARNING
    budget = figure(section, "Series of here:9464")
    assert (budget.value, budget.bound, budget.outcome) == (1_501, "≤ 1,500", Outcome.WARNING)
    assert section.notes == (
        "Rules took more than half of their interval, or were skipped: orders.",
        "Scrapes took longer than 1 s: trader here:9464.",
    )


def test_without_prometheus_the_journals_figures_stand_and_the_others_are_named(tmp_path: Path) -> None:
    section = optimization.run(context_of(tmp_path, metrics=Silent(), facts=MONTH))
    assert section.outcome is Outcome.OK
    assert section.figures == ()
    told = "\n".join(section.missing)
    for words in ("trader_decision_duration_seconds", "rule evaluation", "scrapes", "series an instance exports"):
        assert f"{words}: nobody answers" in told
    assert table(section, "Stages of an order").total == len(Stage)


def test_without_a_journal_and_without_prometheus_nothing_is_known(tmp_path: Path) -> None:
    section = optimization.run(context_of(tmp_path, metrics=Silent()))
    assert section.outcome is Outcome.UNKNOWN
    assert section.sentence == "no stage was measured in this time"
    assert any("from the journal" in text for text in section.missing)
    assert section.tables == ()


def test_several_traders_are_nobodys_figure(tmp_path: Path) -> None:
    two = Answers(by_text={"_count": [({"instance": "a"}, 1.0), ({"instance": "b"}, 1.0)]})
    section = optimization.run(context_of(tmp_path, metrics=two, facts=MONTH))
    assert any("several traders" in text for text in section.missing)
