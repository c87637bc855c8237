"""``trader metrics`` as it is typed."""

import json

import pytest
import typer
from typer.testing import CliRunner

from observability.catalogue import CATALOGUE
from observability.catalogue.document import render_markdown
from trader.cli import metrics


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    metrics.register(app)
    app.callback()(lambda: None)
    return app


def test_it_prints_every_metric_whole(app: typer.Typer) -> None:
    result = CliRunner().invoke(app, ["metrics"])
    assert result.exit_code == 0
    assert all(metric.name in result.output for metric in CATALOGUE)
    assert f"{len(CATALOGUE)} metrics, at most" in result.output


def test_it_prints_json_for_programs(app: typer.Typer) -> None:
    rows = json.loads(CliRunner().invoke(app, ["metrics", "--json"]).output)
    by_name = {row["name"]: row for row in rows}
    assert 0.35 in by_name["trader_decision_duration_seconds"]["buckets"]
    assert by_name["trader_broker_reconnects_total"]["labels"] == {"outcome": ["connected", "failed"]}
    assert by_name["trader_decisions_total"]["labels"]["strategy"] == {"at_most": 4}


def test_it_prints_the_page_of_the_documentation(app: typer.Typer) -> None:
    assert CliRunner().invoke(app, ["metrics", "--markdown"]).output == render_markdown()


def test_it_refuses_two_forms_at_once(app: typer.Typer) -> None:
    result = CliRunner().invoke(app, ["metrics", "--markdown", "--json"])
    assert result.exit_code == 2
    assert "choose one" in result.output
