"""The shipped rules at another speed."""

from pathlib import Path

import promql_parser
import pytest

from trader.drills.scale import TimeScale, hold_of, keep_of, scaled_expression, scaled_rule, scaled_rules
from trader.stack import ALERTS_FOLDER, StackError
from trader.stack.files import read_yaml

MINUTE_TO_SECOND = TimeScale(factor=60)


@pytest.mark.parametrize(
    ("shipped", "drilled"),
    [
        ("min_over_time(a[10m]) == 0", "min_over_time(a[10s]) == 0"),
        ("max_over_time(a[1m]) == 0", "max_over_time(a[5s]) == 0"),
        ("rate(a[6h])", "rate(a[90s])"),
        ("a offset 10m", "a offset 10s"),
        ("max_over_time((a > 0)[10m:1m])", "max_over_time((a > 0)[10s:1s])"),
        ("time() - a > 600", "time() - a > 10"),
        ("time() - (a != 0) > 600", "time() - (a != 0) > 10"),
        ("time() - max(a{b=\"c\"}) <= 60", "time() - max(a{b=\"c\"}) <= 5"),
        ("min(a) - time() <= 900 and min(a) - time() > 0", "min(a) - time() <= 15 and min(a) - time() > 0"),
        ("max(a) - time() > -43200", "max(a) - time() > -720"),
    ],
)  # fmt: skip
def test_waits_are_divided(shipped: str, drilled: str) -> None:
    assert scaled_expression(shipped, MINUTE_TO_SECOND) == drilled


@pytest.mark.parametrize(
    "expression", ["a / b >= 0.8", "round(a) >= 3", 'a{state=~"x|y"} == 1', "(max(a) <= bool time())", "a[3s] > 2"]
)
def test_everything_else_stays_as_shipped(expression: str) -> None:
    assert scaled_expression(expression, MINUTE_TO_SECOND) == expression


def test_a_factor_of_one_changes_nothing() -> None:
    rule = {"alert": "A", "expr": "rate(a[1d]) > 0 and time() - b > 900", "for": "15m", "keep_firing_for": "5m"}
    made = scaled_rule(rule, TimeScale(factor=1))
    assert made["expr"] == "rate(a[86400s]) > 0 and time() - b > 900"
    assert (made["for"], made["keep_firing_for"]) == ("900s", "300s")


def test_holds_become_no_shorter_than_the_floor() -> None:
    made = scaled_rule({"alert": "A", "expr": "a > 0", "for": "10m", "keep_firing_for": "1m"}, MINUTE_TO_SECOND)
    assert (made["for"], made["keep_firing_for"]) == ("10s", "2s")


def test_every_shipped_rule_is_still_an_expression_with_its_labels(tmp_path: Path) -> None:
    scaled_rules(ALERTS_FOLDER / "rules", tmp_path, MINUTE_TO_SECOND)
    for source in (ALERTS_FOLDER / "rules").glob("*.rules.yml"):
        shipped = [rule for group in read_yaml(source)["groups"] for rule in group["rules"]]
        drilled = [rule for group in read_yaml(tmp_path / source.name)["groups"] for rule in group["rules"]]
        assert [rule.get("labels") for rule in drilled] == [rule.get("labels") for rule in shipped]
        for rule in drilled:
            promql_parser.parse(rule["expr"])


def test_the_budgets_windows_keep_their_order(tmp_path: Path) -> None:
    scaled_rules(ALERTS_FOLDER / "rules", tmp_path, MINUTE_TO_SECOND)
    text = (tmp_path / "slo.rules.yml").read_text()
    assert "[60s]" in text
    assert "[43200s]" in text


def test_the_holds_of_an_alert_are_those_of_its_severity(tmp_path: Path) -> None:
    (tmp_path / "a.rules.yml").write_text(
        "groups:\n- name: g\n  rules:\n"
        "  - {alert: A, expr: a, for: 2m, labels: {severity: page}}\n"
        "  - {alert: A, expr: a, for: 5m, keep_firing_for: 1m, labels: {severity: ticket}}\n"
    )
    assert hold_of(tmp_path, "A", "page") == 120
    assert keep_of(tmp_path, "A", "ticket") == 60
    with pytest.raises(StackError, match="no alert B of severity page"):
        hold_of(tmp_path, "B", "page")


def test_a_folder_without_rules_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"no \*\.rules\.yml"):
        scaled_rules(tmp_path, tmp_path / "out", MINUTE_TO_SECOND)
