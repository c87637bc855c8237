"""What is asked of Prometheus: expressions that it takes, with the answers that their series should give."""

import subprocess
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.unit.maintenance.days import CLOSE, FakeMetrics, context, replayed, write
from trader.maintenance import books, performance, resources
from trader.maintenance.trading_measured import ALL, BAD, DECISIONS
from trader.stack import Programs

TIMEOUT_S = 60


def asked(tmp_path: Path) -> list[str]:
    """Every expression of the daily tasks, with a Prometheus that has an answer to each."""
    write(tmp_path, replayed())
    metrics = FakeMetrics(instant={"": 1.0}, ranges={"": [(CLOSE - timedelta(hours=1), 1.0)]})
    for task in (performance, resources, books):
        task.run(context(tmp_path, metrics=metrics))
    return sorted(set(metrics.asked))


def promtool(programs: Programs, folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    program = str(programs.promtool)
    return subprocess.run(
        [program, *command], capture_output=True, text=True, timeout=TIMEOUT_S, check=False, cwd=folder
    )


def test_prometheus_takes_every_expression(programs: Programs, tmp_path: Path) -> None:
    expressions = asked(tmp_path)
    assert len(expressions) > 15
    rules = [{"record": f"asked:{number}", "expr": expression} for number, expression in enumerate(expressions)]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "asked", "rules": rules}]}))
    checked = promtool(programs, tmp_path, "check", "rules", "rules.yml")
    assert checked.returncode == 0, checked.stderr


LABELS = 'job="trader",instance="localhost"'
SERIES = {
    # A thousand requests in 100 minutes, of which ten failed; a hundred orders, of which two were rejected.
    f'trader_broker_requests_total{{{LABELS},outcome="ok"}}': "0+9.9x100",
    f'trader_broker_requests_total{{{LABELS},outcome="timeout"}}': "0+0.1x100",
    f'trader_decisions_total{{{LABELS},outcome="enter"}}': "0+9x100",
    f"trader_orders_submitted_total{{{LABELS}}}": "0+1x100",
    f'trader_orders_final_total{{{LABELS},outcome="rejected",eligible="true"}}': "0+0.02x100",
    f'trader_orders_final_total{{{LABELS},outcome="filled",eligible="true"}}': "0+0.98x100",
    f"{DECISIONS}_count{{{LABELS}}}": "0+10x100",
    f'{DECISIONS}_bucket{{{LABELS},le="0.3"}}': "0+9x100",
    f'{DECISIONS}_bucket{{{LABELS},le="0.35"}}': "0+9.95x100",
    f'{DECISIONS}_bucket{{{LABELS},le="+Inf"}}': "0+10x100",
    f"slo:session_elapsed_seconds_total{{{LABELS}}}": "0+60x100",
    f'slo:slice_bad_seconds{{{LABELS},slo="availability"}}': "15 0x99",
    f"trader_unit_cpu_usage_seconds_total{{{LABELS}}}": "0+30x100",
    f"process_open_fds{{{LABELS}}}": "50 90 50x98",
}


def increases(metrics: tuple[str, ...], span: str) -> str:
    return " or ".join(f"increase({metric}[{span}])" for metric in metrics)


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        (f"sum by (instance) ({increases(ALL, '100m')})", 2_000.0),
        (f"sum by (instance) ({increases(BAD, '100m')})", 12.0),
        (f'sum by (instance) (increase({DECISIONS}_count{{job="trader"}}[100m]))', 1_000.0),
        ("max by (instance) (increase(slo:session_elapsed_seconds_total[100m]))", 6_000.0),
        ('max_over_time(rate(trader_unit_cpu_usage_seconds_total{job="trader"}[5m])[10m:60s])', 0.5),
        ('max_over_time(process_open_fds{job="trader"}[100m])', 90.0),
    ],
    ids=["all", "bad", "decisions", "session", "CPU", "files"],
)
def test_its_answers_are_what_the_series_say(programs: Programs, tmp_path: Path, expression: str, value: float) -> None:
    everything = (
        "\n".join(asked(tmp_path))
        .replace("86400s", "100m")
        .replace("[60s:60s]", "[10m:60s]")
        .replace("[60s]", "[100m]")
    )
    assert expression in everything
    labels = '{instance="localhost"}' if " by " in expression else f"{{{LABELS}}}"
    case: dict[str, Any] = {
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": name, "values": values} for name, values in SERIES.items()],
                "promql_expr_test": [
                    {
                        "expr": f"round({expression}, 0.5)",
                        "eval_time": "100m",
                        "exp_samples": [{"labels": labels, "value": value}],
                    }
                ],
            }
        ],
    }
    (tmp_path / "test.yml").write_text(yaml.safe_dump(case))
    tested = promtool(programs, tmp_path, "test", "rules", "test.yml")
    assert tested.returncode == 0, tested.stdout + tested.stderr
