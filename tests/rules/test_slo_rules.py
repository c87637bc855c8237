"""The rules that are made of the objectives: valid, current, and about series that exist."""

import re
from pathlib import Path

import promql_parser
import pytest
import yaml

from observability import rules
from observability.generate import ARTIFACTS, stale
from observability.rules_alerts import alert_names
from observability.rules_tests import scenarios
from observability.rules_tests.few import most_good_that_fires
from observability.selectors import METRICS, Matcher, Selector, metric_called, require_known
from observability.slo import Spec, load
from tests.rules.lean import run_unit_tests
from tests.rules.rulebook import ALERTS, ROOT, run_promtool, uses

SPEC = load(ALERTS / "slo.yaml")
GENERATED = yaml.safe_load((ALERTS / "rules" / "slo.rules.yml").read_text(encoding="utf-8"))
NAMES = yaml.safe_load((ALERTS / "rules" / "names.rules.yml").read_text(encoding="utf-8"))
RULES = [rule for document in (NAMES, GENERATED) for group in document["groups"] for rule in group["rules"]]
RECORDED = {rule["record"] for rule in RULES if "record" in rule}
OTHER_EXPORTERS = re.compile(r"up|(node_)?systemd_(unit_state|service_restart_total|timer_last_trigger_seconds)")
ALERT_NAMES = {
    "SLOBurnFast", "SLOBurnSlow", "SLOBudgetExhausted", "SLOUnmeasured", "FillRateBelowObjective",
    "OrderLatencyAboveObjective", "NetPnLNegative",
}  # fmt: skip


@pytest.fixture(scope="module")
def spec() -> Spec:
    return SPEC


@pytest.mark.parametrize("artifact", ARTIFACTS, ids=lambda artifact: artifact.name)
def test_what_is_generated_is_current(artifact: object) -> None:
    render = artifact.render  # type: ignore[attr-defined] # parametrized values are not typed
    assert list(stale(ROOT, render(ROOT))) == [], "run: trader generate"


@pytest.mark.parametrize("name", ["slo.rules.yml", "names.rules.yml"])
def test_promtool_finds_nothing_wrong_with_the_rules(name: str) -> None:
    code, output = run_promtool("check", "rules", "--lint=all", "--lint-fatal", f"rules/{name}")
    assert code == 0, output


@pytest.mark.parametrize("name", sorted(scenarios(SPEC)))
def test_the_generated_rules_pass_their_tests(name: str, tmp_path: Path) -> None:
    code, output = run_unit_tests(ALERTS / "tests" / name, tmp_path)
    assert code == 0, output


def test_the_generated_alerts_are_those_of_the_success_metrics(spec: Spec) -> None:
    assert set(alert_names(spec)) == ALERT_NAMES


@pytest.mark.parametrize("alert", sorted(ALERT_NAMES))
def test_every_generated_alert_has_a_case_that_fires_and_one_that_is_silent(alert: str) -> None:
    answers = {
        case.fires
        for found in scenarios(SPEC).values()
        for scenario in found
        for case in scenario.cases
        if f'alertname="{alert}"' in case.query
    }
    assert answers == {True, False}


@pytest.mark.parametrize("rule", [rule for rule in RULES if "alert" in rule], ids=lambda rule: str(rule["alert"]))
def test_an_alert_says_what_broke_what_to_type_and_where_to_read(rule: dict[str, dict[str, str]]) -> None:
    assert set(rule["annotations"]) == {"summary", "description", "first_command", "runbook_url"}
    assert rule["annotations"]["runbook_url"].endswith(f"/{rule['alert']}.md")
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["labels"]["group"] == "slo"


@pytest.mark.parametrize("rule", [rule for rule in RULES if str(rule.get("alert")).startswith("SLOBurn")], ids=str)
def test_a_burning_budget_says_how_much_is_left_and_how_long_it_lasts(rule: dict[str, dict[str, str]]) -> None:
    description = rule["annotations"]["description"]
    assert "slo:budget_remaining_ratio" in description
    assert "slo:budget_exhaustion_seconds" in description


@pytest.mark.parametrize("expr", sorted({rule["expr"] for rule in RULES}))
def test_every_series_in_a_rule_is_recorded_or_exported(expr: str) -> None:
    promql_parser.parse(expr)
    for use in uses(expr):
        if use.metric in RECORDED or OTHER_EXPORTERS.fullmatch(use.metric):
            continue
        metric_called(use.metric)
        if use.metric in METRICS:
            matchers = tuple(Matcher(*matcher) for matcher in use.matchers)
            require_known(Selector(use.metric, matchers), *SPEC.target.labels)


@pytest.mark.parametrize("expr", sorted(rule["expr"] for rule in RULES if "_bucket" in rule["expr"]))
def test_every_bucket_in_a_rule_is_one_that_the_exporter_spells_that_way(expr: str) -> None:
    found = re.findall(r'(\w+)_bucket\{le="([^"]+)"\}', expr)
    assert found
    for histogram, bound in found:
        assert bound in {str(float(bucket)) for bucket in METRICS[histogram].buckets}


def test_no_ratio_divides_by_nothing() -> None:
    dividing = [rule["expr"] for rule in RULES if "/ (slo:total" in rule["expr"] or "/ on" in rule["expr"]]
    assert dividing
    for expr in dividing:
        assert "> 0)" in expr or "slo:error_budget_ratio" in expr


@pytest.mark.parametrize(("total", "most_good"), [(20, 15), (100, 85), (420, 367)])
def test_the_fill_rate_is_broken_only_when_it_is_not_bad_luck(spec: Spec, total: int, most_good: int) -> None:
    assert most_good_that_fires(spec.few()["fill_rate"], total) == most_good


@pytest.mark.parametrize(("window", "case"), [("1d", "15of20"), ("7d", "85of100"), ("30d", "367of420")])
def test_prometheus_agrees_on_the_number_that_is_not_bad_luck(window: str, case: str) -> None:
    (scenario,) = scenarios(SPEC)[f"slo_few_{window}.test.yml"]
    assert {item.name: item.fires for item in scenario.cases}[f"fill_rate-{window}-{case}"]


def test_the_links_of_rules_written_by_hand_follow_the_setting(spec: Spec) -> None:
    elsewhere = spec.model_copy(update={"runbook_base": "https://example.org/runbooks/"})
    text = 'annotations:\n  summary: "what"\n  runbook_url: ../runbooks/HostDown.md\n'
    assert "runbook_url: https://example.org/runbooks/HostDown.md\n" in rules.with_runbooks(elsewhere, text)


def test_the_same_objectives_give_the_same_bytes(spec: Spec) -> None:
    assert rules.render(spec) == rules.render(load(Path(ALERTS / "slo.yaml")))
