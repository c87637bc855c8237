"""The file of objectives: what is refused, and how it is said."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from observability.rules_alerts import alert_names
from observability.slo import Spec, SpecError, load, parse
from observability.slo_gates import error_ratio_at

FILE = Path(__file__).parents[3] / "alerts" / "slo.yaml"


def changed(*path: Any, value: Any) -> str:
    """The objectives with one value replaced."""
    document = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    inside = document
    for key in path[:-1]:
        inside = inside[key]
    inside[path[-1]] = value
    return yaml.safe_dump(document)


def refusal(*path: Any, value: Any) -> str:
    with pytest.raises(SpecError) as caught:
        parse(changed(*path, value=value))
    return str(caught.value)


@pytest.fixture
def spec() -> Spec:
    return load(FILE)


def test_the_shipped_objectives_are_accepted(spec: Spec) -> None:
    assert list(spec.slos) == [
        "availability", "error_rate", "decision_latency", "order_latency", "fill_rate", "restarts", "resources",
        "net_pnl",
    ]  # fmt: skip
    assert spec.objectives()["availability"] == 0.999


def test_the_budget_of_availability_is_eight_minutes_of_session_time(spec: Spec) -> None:
    allowed_s = float(error_ratio_at(1, spec.objectives()["availability"])) * spec.budget_session_seconds
    assert allowed_s / 60 == pytest.approx(8.19)


def test_it_refuses_a_burn_alert_that_cannot_fire() -> None:
    said = refusal("slos", "error_rate", "objective", value=0.9)
    assert "burn.fast.pairs.0: cannot fire for error_rate" in said
    assert "needs 144% errors" in said
    assert "Wilson" in said


def test_it_refuses_a_factor_that_needs_every_event_to_be_bad() -> None:
    assert "cannot fire for decision_latency" in refusal("burn", "fast", "pairs", 0, "factor", value=100)


@pytest.mark.parametrize("slo", ["decision_latency", "order_latency"])
def test_it_refuses_a_latency_threshold_that_is_no_bucket(slo: str) -> None:
    said = refusal("slos", slo, "threshold_s", value=0.34)
    assert f"slos.{slo}.threshold_s" in said
    assert "has no bucket at 0.34 s; its bounds are" in said


@pytest.mark.parametrize(
    ("selector", "reason"),
    [
        ("trader_fills_total", "there is no metric trader_fills_total"),
        ('trader_orders_final_total{symbol="SPY"}', "has no label symbol"),
        ('trader_orders_final_total{outcome="fild"}', "selects nothing"),
        ('trader_orders_final_total{outcome=~"filled|lost"}', "outcome is never lost"),
        ("trader_orders_open", "is a gauge, and only counters can be counted"),
        ("increase(trader_orders_final_total[1d])", "is not a metric with matchers"),
        ("trader_orders_final_total{outcome=filled}", "is not a matcher"),
        (5, "is not text"),
    ],
)
def test_it_refuses_a_selector_that_nothing_can_match(selector: Any, reason: str) -> None:
    assert reason in refusal("slos", "fill_rate", "good", value=[selector])


def test_it_refuses_two_counters_of_which_one_would_hide_the_other() -> None:
    both = ["trader_broker_pacing_waits_total", "trader_broker_decode_failures_total"]
    assert "have the same labels" in refusal("slos", "error_rate", "bad", value=both)


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        (("burn", "fast", "pairs", 0, "short"), "1h", "must be shorter than the long one"),
        (("burn", "fast", "pairs", 0, "short"), "5 minutes", "is not a duration such as"),
        (("burn", "fast", "pairs", 0, "short"), "0s", "must be longer than nothing"),
        (("burn", "fast", "pairs", 0, "short"), "30s", "holds fewer than 4 evaluations"),
        (("burn", "slow", "pairs", 1, "long"), "30d", "must be shorter than the budget's, 30d"),
        (("slos", "fill_rate", "windows"), ["1d"], "must contain the budget's window, 30d"),
        (("slos", "fill_rate", "windows"), ["30d", "60d"], "is longer than the budget's window"),
        (("session", "sessions_per_budget"), 200, "more session time than the budget's window"),
        (("coverage", "min_session"), "2d", "would never be judged"),
        (("long_evaluation_interval",), "5m", "leaves gaps"),
    ],
)
def test_it_refuses_windows_that_do_not_work(path: tuple[Any, ...], value: Any, reason: str) -> None:
    assert reason in refusal(*path, value=value)


@pytest.mark.parametrize(
    ("path", "value", "reason"),
    [
        (
            ("slos", "availability", "objective"),
            1,
            "availability.time_slices.objective: Input should be less than 1",
        ),
        (("slos", "availability", "goal"), 0.9, "slos.availability.time_slices.goal: Extra inputs are not permitted"),
        (("slos", "availability", "planned_halts"), ["lunch"], "lunch is no reason of trader_halted"),
        (("slos", "availability", "kind"), "magic", "slos.availability"),
        (("slos", "fill_rate", "severity"), "page", "a page on few events needs z of 2.33 or more, not 1.645"),
        (("slos", "fill_rate", "alert"), "fill rate", "slos.fill_rate.few_events.alert"),
        (("slos", "order_latency", "min_events"), 1, "slos.order_latency.min_events: 1 events cannot break"),
        (("slos", "resources", "resources", "cpu", "rate_window"), None, "is a counter and needs a rate_window"),
        (("slos", "resources", "resources", "fds", "rate_window"), "5m", "is a gauge and takes no rate_window"),
        (("slos", "resources", "resources", "fds", "limit"), "process_cpu_seconds_total", "is no gauge"),
        (("slos", "decision_latency", "histogram"), "trader_orders_open", "is no histogram"),
        (("slos", "net_pnl", "cumulative"), "trader_orders_final_total", "is no gauge"),
        (("target", "labels"), ["job"], "target.labels: must contain instance"),
        (("target", "selector"), "job=trader", "target.selector"),
    ],
)
def test_it_says_which_key_is_wrong_and_why(path: tuple[Any, ...], value: Any, reason: str) -> None:
    assert reason in refusal(*path, value=value)


def test_it_names_every_problem_at_once() -> None:
    document = yaml.safe_load(FILE.read_text(encoding="utf-8"))
    document["slos"]["decision_latency"]["threshold_s"] = 0.34
    document["slos"]["error_rate"]["objective"] = 0.9
    with pytest.raises(SpecError) as caught:
        parse(yaml.safe_dump(document), "mine.yaml")
    lines = str(caught.value).splitlines()
    assert len(lines) == 2
    assert all(line.startswith("mine.yaml: ") for line in lines)


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (lambda file: None, "cannot be read"),
        (lambda file: file.write_text("slos: [", encoding="utf-8"), "is not YAML"),
        (lambda file: file.write_bytes(b"\xff"), "cannot be read"),
        (lambda file: file.write_text("#" * 200_000, encoding="utf-8"), "is larger than"),
        (lambda file: file.write_text("", encoding="utf-8"), "valid dictionary"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused_by_name(
    tmp_path: Path, prepare: Callable[[Path], Any], reason: str
) -> None:
    file = tmp_path / "slo.yaml"
    prepare(file)
    with pytest.raises(SpecError, match=reason) as caught:
        load(file)
    assert str(file) in str(caught.value)


def test_another_objective_brings_other_thresholds() -> None:
    from observability.rules import render

    text = render(parse(changed("slos", "error_rate", "objective", value=0.995)))
    assert 'slo:error_ratio:1h{slo="error_rate"} > 0.072' in text


def test_another_calendar_is_asked_for_everywhere() -> None:
    from observability.rules import render

    text = render(parse(changed("session", "calendar", value="CMES")))
    assert "max(trader:session_open)" not in text
    assert 'max(trader:session_open{calendar="CMES"})' in text


def test_the_names_of_the_alerts_are_each_told_once(spec: Spec) -> None:
    names = alert_names(spec)
    assert len(names) == len(set(names)) == 7
