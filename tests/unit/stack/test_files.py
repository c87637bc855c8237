"""Rendering the shipped files for one run: only addresses, tokens and intervals change."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from trader.stack import ALERTS_FOLDER, StackError
from trader.stack.files import copy_rules, duration, read_yaml, render_alertmanager, render_prometheus, seconds_of

PROMETHEUS = read_yaml(ALERTS_FOLDER / "prometheus.yml")
ALERTMANAGER = read_yaml(ALERTS_FOLDER / "alertmanager.yml")
TARGETS: dict[str, list[dict[str, Any]]] = {
    "trader": [{"targets": ["127.0.0.1:1"]}, {"targets": ["127.0.0.1:2"], "labels": {"instance": "other"}}],
    "alertmanager": [{"targets": ["127.0.0.1:3"]}],
    "node": [],
    "standin": [{"targets": ["127.0.0.1:4"], "labels": {"instance": "s"}}],
}


def rendered(**changes: Any) -> dict[str, Any]:
    return render_prometheus(PROMETHEUS, TARGETS, changes.get("scrape_s"), changes.get("evaluation_s"))


def test_a_job_gets_the_targets_of_this_run_and_keeps_its_limits_and_labels() -> None:
    jobs = {job["job_name"]: job for job in rendered()["scrape_configs"]}
    assert set(jobs) == {"trader", "alertmanager", "standin"}
    assert jobs["trader"]["sample_limit"] == 1500
    assert jobs["trader"]["static_configs"] == [
        {"targets": ["127.0.0.1:1"], "labels": {"instance": "localhost"}},
        {"targets": ["127.0.0.1:2"], "labels": {"instance": "other"}},
    ]
    assert rendered()["alerting"]["alertmanagers"] == [{"static_configs": [{"targets": ["127.0.0.1:3"]}]}]
    assert rendered()["rule_files"] == PROMETHEUS["rule_files"]


def test_intervals_are_the_shipped_ones_unless_others_are_given() -> None:
    assert rendered()["global"] == PROMETHEUS["global"]
    assert rendered(scrape_s=1.0, evaluation_s=0.5)["global"] == {
        "scrape_interval": "1000ms", "scrape_timeout": "1000ms", "evaluation_interval": "500ms",
    }  # fmt: skip
    assert rendered(scrape_s=60.0)["global"]["scrape_timeout"] == "10000ms"


def test_receivers_get_the_addresses_of_this_run_and_routes_and_inhibitions_stay_as_shipped(tmp_path: Path) -> None:
    token = tmp_path / "token"
    content = render_alertmanager(ALERTMANAGER, {"page": "http://here/page", "dead-man": "http://here/dm"}, token)
    receivers = {receiver["name"]: receiver for receiver in content["receivers"]}
    assert set(receivers) == {"nobody", "page", "ticket", "policy", "dead-man"}
    assert receivers["ticket"] == {"name": "ticket"}
    assert receivers["page"]["webhook_configs"] == [
        {
            "url": "http://here/page",
            "send_resolved": True,
            "http_config": {"authorization": {"credentials_file": str(token)}},
        }
    ]
    assert receivers["dead-man"]["webhook_configs"][0]["send_resolved"] is False
    assert content["route"] == ALERTMANAGER["route"]
    assert content["inhibit_rules"] == ALERTMANAGER["inhibit_rules"]


def test_timing_replaces_only_what_a_route_sets() -> None:
    content = render_alertmanager(ALERTMANAGER, {}, Path("token"), {"group_wait": 0.0, "repeat_interval": 2.0})
    route = content["route"]
    assert (route["group_wait"], route["group_interval"], route["repeat_interval"]) == ("0ms", "30m", "2000ms")
    ticket = route["routes"][-1]
    assert ticket == ALERTMANAGER["route"]["routes"][-1]


RULES = """
groups:
  - name: one
    interval: 30s
    rules:
      - {record: "a:b", expr: up}
      - {alert: A, expr: up == 0, for: 2m, keep_firing_for: 1h30m}
"""


def test_rules_are_copied_as_they_are_unless_they_are_to_be_quicker(tmp_path: Path) -> None:
    (tmp_path / "one.rules.yml").write_text(RULES)
    copy_rules(tmp_path, tmp_path / "same", 1.0, None)
    assert (tmp_path / "same" / "one.rules.yml").read_text() == RULES
    copy_rules(tmp_path, tmp_path / "quick", 0.01, 1.0)
    group = yaml.safe_load((tmp_path / "quick" / "one.rules.yml").read_text())["groups"][0]
    assert "interval" not in group
    assert group["rules"][1] == {"alert": "A", "expr": "up == 0", "for": "1200ms", "keep_firing_for": "54000ms"}


def test_a_folder_without_rules_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"has no \*\.rules\.yml; type: trader generate"):
        copy_rules(tmp_path, tmp_path / "out", 1.0, None)


@pytest.mark.parametrize(
    ("text", "problem"), [("a: [", "is not YAML"), ("- a", "has to be a mapping"), (None, "cannot be read")]
)
def test_a_file_that_cannot_be_used_is_one_sentence(tmp_path: Path, text: str | None, problem: str) -> None:
    file = tmp_path / "file.yml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(StackError, match=problem):
        read_yaml(file)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0s", 0), ("0", 0), ("15s", 15), ("1h30m", 5400), ("250ms", 0.25), ("1d", 86_400), ("2w", 1_209_600)],
)
def test_durations_are_read_as_prometheus_reads_them(text: str, seconds: float) -> None:
    assert seconds_of(text) == seconds
    assert seconds_of(duration(seconds)) == seconds


@pytest.mark.parametrize("text", ["5", "h", "1x", "1h 30m", "-1s", ""])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(StackError, match="is not a duration"):
        seconds_of(text)
