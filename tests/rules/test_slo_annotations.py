"""What a page about a budget says, as Prometheus fills it in."""

from pathlib import Path

import yaml

from observability.rules import groups
from observability.slo import load
from tests.rules.rulebook import ALERTS, run_promtool

# 20 % of 1,000 decisions a minute were late for half an hour: a burn rate of 20 that has spent 20 budgets.
SERIES = {
    'trader_decision_duration_seconds_count{job="trader",instance="here"}': "0+1000x30",
    'trader_decision_duration_seconds_bucket{le="0.35",job="trader",instance="here"}': "0+800x30",
    'trader_session_open_timestamp_seconds{calendar="XNYS"}': "0x30",
    'trader_session_close_timestamp_seconds{calendar="XNYS"}': "100000x30",
    'trader_session_elapsed_before_seconds{calendar="XNYS"}': "0x30",
}
DESCRIPTION = (
    "20% of measurements against 0.35 s were bad in the last 1h (limit 14.4 %), and still are in the last 5m. "
    "Budget left: -1900%. At the rate of the last 1h it lasts 0s of session time."
)


def test_a_page_tells_what_is_bad_how_much_is_left_and_how_long_it_lasts(tmp_path: Path) -> None:
    expected = {
        "exp_labels": {
            "severity": "page", "group": "slo", "slo": "decision_latency", "window": "1h", "job": "trader",
            "instance": "here",
        },
        "exp_annotations": {
            "summary": "Decision latency of here burns its error budget more than 14.4 times too fast",
            "description": DESCRIPTION,
            "first_command": "trader slo",
            "runbook_url": "../runbooks/SLOBurnFast.md",
        },
    }  # fmt: skip
    second = {**expected, "exp_labels": {**expected["exp_labels"], "window": "6h"}}
    second["exp_annotations"] = {
        **expected["exp_annotations"],
        "summary": "Decision latency of here burns its error budget more than 6 times too fast",
        "description": DESCRIPTION.replace("in the last 1h (limit 14.4 %)", "in the last 6h (limit 6 %)").replace(
            "in the last 5m", "in the last 30m"
        ),
    }
    test = {
        "rule_files": [str(ALERTS / "rules" / name) for name in ("names.rules.yml", "slo.rules.yml")],
        "evaluation_interval": "1m",
        "group_eval_order": ["names_session", *(group.name for group in groups(load(ALERTS / "slo.yaml")))],
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in SERIES.items()],
                "alert_rule_test": [{"eval_time": "30m", "alertname": "SLOBurnFast", "exp_alerts": [expected, second]}],
            }
        ],
    }
    file = tmp_path / "annotations.test.yml"
    file.write_text(yaml.safe_dump(test), encoding="utf-8")
    code, output = run_promtool("test", "rules", file)
    assert code == 0, output
