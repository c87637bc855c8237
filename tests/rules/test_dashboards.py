"""The dashboards as files: they are current, Grafana can load them, and rules like grafana/dashboard-linter's hold.

The linter itself judges in test_dashboard_linter.py, on machines that can build it. The rules here need no program, and
say more: units that Grafana has, the variable of what $job does not select, metrics that exist. Exceptions are listed
with their reason.
"""

import json
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import promql_parser
import pytest
import yaml

from observability import dashboards
from observability.catalogue import CATALOGUE, Kind
from observability.dashboards.frame import PANELS_MAX, TAG, cleaned
from observability.dashboards.queries import PanelQuery, defaults, interpolate, queries_of
from observability.slo import SpecError
from trader.stack import Programs

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted((ROOT / "dashboards").glob("*.json"))
DOCUMENTS = {path.stem: json.loads(path.read_text()) for path in FILES}
UNITS = {
    unit
    for line in (Path(__file__).parent / "grafana_units.txt").read_text().splitlines()
    if not line.startswith("#")
    for unit in line.split()
}
VALUES = defaults(rate_interval="1m", range_="6h")
COUNTING = {"rate", "irate", "increase"}

# Made by the rules of alerts/rules from all traders or from the calendar: they have no target labels to select by.
WITHOUT_TARGET = {
    "trader:session_open",
    "trader:in_broker_reset",
    "trader:in_maintenance",
    "slo:objective_ratio",
    "ALERTS",
}
# About the machine, not about an exporter's job on it.
WITHOUT_JOB = {"unit:state", "unit:restarts_total", "unit:timer_last_trigger_seconds", "up"}
# Prometheus and Alertmanager watch every trader; their own targets are not what is selected.
MONITORING = ("prometheus_", "alertmanager_")
EXPORTERS = ("node_", "prometheus_", "alertmanager_", "up", "scrape_", "ALERTS")

BOARD = pytest.mark.parametrize("board", sorted(DOCUMENTS))


def panels(board: str) -> list[dict[str, Any]]:
    return [panel for panel in DOCUMENTS[board]["panels"] if panel["type"] != "row"]


def parsed(query: PanelQuery) -> Any:
    return promql_parser.parse(interpolate(query.expr, VALUES))


def walk(node: Any, parents: tuple[Any, ...] = ()) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """Every node of an expression with the nodes above it."""
    yield node, parents
    for name in ("lhs", "rhs", "expr", "param", "args", "vector_selector"):
        below = getattr(node, name, None)
        for child in below if isinstance(below, list) else [below]:
            if child is not None and not isinstance(child, str | float | int):
                yield from walk(child, (*parents, node))


def selectors(query: PanelQuery) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    for node, parents in walk(parsed(query)):
        if isinstance(node, promql_parser.VectorSelector):
            yield node, parents


def matchers(selector: Any) -> dict[str, str]:
    return {matcher.name: matcher.value for matcher in selector.matchers.matchers}


def raw_matchers(query: PanelQuery, metric: str) -> str:
    """The matchers of a metric as written, with the dashboard's variables."""
    start = query.expr.index(metric + "{") + len(metric)
    return query.expr[start : query.expr.index("}", start)]


@pytest.fixture(scope="module")
def built() -> dict[Path, str]:
    return dashboards.build(ROOT)


def test_the_stored_boards_are_what_is_built(built: dict[Path, str]) -> None:
    stored = {path.relative_to(ROOT): path.read_text() for path in FILES}
    assert stored == built, "run: trader generate"


def test_there_are_the_seven_boards_under_uids_that_last() -> None:
    assert sorted(DOCUMENTS) == [
        "trader-broker",
        "trader-host",
        "trader-latency",
        "trader-maintenance",
        "trader-overview",
        "trader-pnl",
        "trader-slo",
    ]
    assert all(document["uid"] == name for name, document in DOCUMENTS.items())


@BOARD
def test_grafanas_schema_knows_every_key(board: str) -> None:
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.cog.plugins import register_default_plugins
    from grafana_foundation_sdk.models.dashboard import Dashboard

    register_default_plugins()
    document = DOCUMENTS[board]
    again = json.loads(JSONEncoder().encode(Dashboard.from_json(json.loads(json.dumps(document)))))
    assert cleaned(again) == document


@BOARD
def test_nothing_is_stored_that_grafana_does_not_take(board: str) -> None:
    document = DOCUMENTS[board]
    assert not [link for link in document["links"] if "placement" in link]
    assert not [note for note in document["annotations"]["list"] if "placement" in note]
    assert not [name for variable in document["templating"]["list"] for name in variable if name.startswith("auto")]


@BOARD
def test_a_board_says_that_it_is_generated_and_cannot_be_edited(board: str) -> None:
    document = DOCUMENTS[board]
    assert document["editable"] is False
    assert "DO NOT EDIT" in document["description"]
    assert TAG in document["tags"]


@BOARD
def test_a_board_has_at_most_twenty_panels_that_do_not_overlap(board: str) -> None:
    assert 0 < len(panels(board)) <= PANELS_MAX
    taken: Counter[tuple[int, int]] = Counter()
    for panel in DOCUMENTS[board]["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        taken.update((x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"]))
    assert max(taken.values()) == 1


@BOARD
def test_the_ids_of_panels_are_unique_and_do_not_depend_on_their_order(board: str) -> None:
    document = json.loads(json.dumps(DOCUMENTS[board]))
    ids = {(panel["type"], panel["title"]): panel["id"] for panel in document["panels"]}
    assert len(set(ids.values())) == len(document["panels"])
    document["panels"].reverse()
    assert {(panel["type"], panel["title"]): panel["id"] for panel in cleaned(document)["panels"]} == ids


@BOARD
def test_links_between_the_boards_keep_time_and_variables(board: str) -> None:
    (link,) = DOCUMENTS[board]["links"]
    assert link["type"] == "dashboards"
    assert link["tags"] == [TAG]
    assert link["keepTime"]
    assert link["includeVars"]


@BOARD
def test_restarts_deploys_disconnects_and_halts_are_marked(board: str) -> None:
    notes = DOCUMENTS[board]["annotations"]["list"]
    assert {note["name"] for note in notes} == {"Restarts", "Deploys", "Disconnects", "Halts"}
    for note in notes:
        promql_parser.parse(interpolate(note["expr"], VALUES))
        assert note["datasource"]["uid"] == "${datasource}"


# -- the linter's rules


@BOARD
def test_the_data_source_is_a_variable_and_every_panel_uses_it(board: str) -> None:
    first = DOCUMENTS[board]["templating"]["list"][0]
    assert (first["type"], first["name"], first["label"], first["query"]) == (
        "datasource",
        "datasource",
        "Data source",
        "prometheus",
    )
    for panel in panels(board):
        assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}, panel["title"]
        assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])


@BOARD
def test_job_and_instance_are_variables_that_take_several_values(board: str) -> None:
    variables = {variable["name"]: variable for variable in DOCUMENTS[board]["templating"]["list"]}
    labels = {name: variables[name]["label"] for name in ("job", "instance")}
    assert labels == {"job": "Job", "instance": "Instance"}
    assert 'job=~"$job"' in variables["instance"]["definition"]
    for name in set(variables) - {"datasource"}:
        variable = variables[name]
        assert variable["multi"], name
        assert variable["includeAll"], name
        assert variable["allValue"] == ".+", name
        assert variable["current"]["value"] == "$__all", name
        assert variable["refresh"] == 2, f"{name} is not asked again when the time changes"
        assert variable["datasource"]["uid"] == "${datasource}", name


@BOARD
def test_every_variable_is_used(board: str) -> None:
    text = " ".join(query.expr for query in queries_of(DOCUMENTS[board]))
    for variable in DOCUMENTS[board]["templating"]["list"][1:]:
        assert f"${variable['name']}" in text, variable["name"]


@BOARD
def test_every_panel_has_a_title_a_description_a_unit_and_a_query(board: str) -> None:
    for panel in panels(board):
        assert panel["title"].strip()
        assert panel["description"].strip().endswith("."), panel["title"]
        assert panel["targets"], panel["title"]
        assert panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]
        for override in panel["fieldConfig"]["overrides"]:
            for one in override["properties"]:
                assert one["id"] != "unit" or one["value"] in UNITS, panel["title"]


@BOARD
def test_every_query_is_promql(board: str) -> None:
    for query in queries_of(DOCUMENTS[board]):
        assert parsed(query) is not None


def test_prometheus_itself_takes_every_query(tmp_path: Path, programs: Programs) -> None:
    queries = [query for document in DOCUMENTS.values() for query in queries_of(document)]
    rules = [
        {"record": f"dashboard:query:{place}", "expr": interpolate(query.expr, VALUES)}
        for place, query in enumerate(queries)
    ]
    file = tmp_path / "queries.yml"
    file.write_text(yaml.safe_dump({"groups": [{"name": "queries", "rules": rules}]}))
    done = subprocess.run(
        [str(programs.promtool), "check", "rules", str(file)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    assert f"{len(rules)} rules found" in done.stdout + done.stderr


@BOARD
def test_rates_are_over_the_rate_interval(board: str) -> None:
    for query in queries_of(DOCUMENTS[board]):
        for node, parents in selectors(query):
            if "rate" in {call.func.name for call in parents if isinstance(call, promql_parser.Call)}:
                matrix = parents[-1]
                assert isinstance(matrix, promql_parser.MatrixSelector)
                assert matrix.range.total_seconds() == 60, f"{query.panel}: {node.name}"


def counters() -> set[str]:
    names = {metric.name for metric in CATALOGUE if metric.kind is Kind.COUNTER}
    for metric in CATALOGUE:
        if metric.kind is Kind.HISTOGRAM:
            names |= {f"{metric.name}_{part}" for part in ("bucket", "sum", "count")}
    return names


@BOARD
def test_counters_appear_only_under_rate_or_increase(board: str) -> None:
    known = counters()
    for query in queries_of(DOCUMENTS[board]):
        for selector, parents in selectors(query):
            if selector.name in known or selector.name.endswith("_total"):
                assert isinstance(parents[-1], promql_parser.MatrixSelector), f"{query.panel}: {selector.name}"
                assert parents[-2].func.name in COUNTING, f"{query.panel}: {selector.name}"


@BOARD
def test_every_series_is_selected_by_job_and_instance(board: str) -> None:
    for query in queries_of(DOCUMENTS[board]):
        for selector, _ in selectors(query):
            name = selector.name
            if name in WITHOUT_TARGET or name.startswith(MONITORING):
                continue
            written = raw_matchers(query, name)
            assert 'instance=~"$instance"' in written, f"{query.panel}: {name}"
            if name not in WITHOUT_JOB or (name == "up" and "job=" in written):
                host = name.startswith("node_") or "$node_job" in written
                assert ('job=~"$node_job"' if host else 'job=~"$job"') in written, f"{query.panel}: {name}"


@BOARD
def test_every_series_is_one_that_something_exports_or_records(board: str) -> None:
    known = counters() | {metric.name for metric in CATALOGUE}
    known |= {metric.name for metric in textfile_metrics()}
    for path in (ROOT / "alerts/rules").glob("*.rules.yml"):
        for group in yaml.safe_load(path.read_text())["groups"]:
            known |= {rule["record"] for rule in group["rules"] if "record" in rule}
    for query in queries_of(DOCUMENTS[board]):
        for selector, _ in selectors(query):
            assert selector.name in known or selector.name.startswith(EXPORTERS), f"{query.panel}: {selector.name}"


def textfile_metrics() -> list[Any]:
    from observability.catalogue import textfile

    return [value for value in vars(textfile).values() if type(value).__name__ == "Metric"] + [
        metric
        for value in vars(textfile).values()
        if isinstance(value, tuple | list)
        for metric in value
        if hasattr(metric, "kind")
    ]


@BOARD
def test_latency_panels_of_the_trader_ask_for_exemplars(board: str) -> None:
    for query in queries_of(DOCUMENTS[board]):
        traced = (
            "trader_decision_duration_seconds",
            "trader_order_ack_duration_seconds",
            "trader_order_fill_duration_seconds",
        )
        if (
            query.kind == "timeseries"
            and "histogram_quantile(0.99" in query.expr
            and any(name in query.expr for name in traced)
        ):
            assert query.exemplars, query.panel


# -- thresholds


def copied_alerts(folder: Path) -> Path:
    shutil.copytree(ROOT / "alerts", folder / "alerts")
    return folder


def test_thresholds_follow_the_specification(tmp_path: Path) -> None:
    root = copied_alerts(tmp_path)
    spec = root / "alerts/slo.yaml"
    spec.write_text(spec.read_text().replace("below_ratio: 0.8", "below_ratio: 0.7"))
    assert dashboards.load_targets(root).resources == 0.7
    built = dashboards.build(root)
    changed = [path.stem for path, text in built.items() if json.loads(text) != DOCUMENTS[path.stem]]
    assert changed == ["trader-overview", "trader-slo"]


def test_thresholds_follow_the_symptom_alerts(tmp_path: Path) -> None:
    root = copied_alerts(tmp_path)
    rules = root / "alerts/rules/symptoms_risk.rules.yml"
    rules.write_text(
        rules.read_text().replace("trader_margin_cushion_ratio >= 0.1", "trader_margin_cushion_ratio >= 0.25")
    )
    assert dashboards.load_targets(root).margin_cushion == 0.25


def test_it_refuses_to_draw_a_threshold_that_no_alert_has(tmp_path: Path) -> None:
    root = copied_alerts(tmp_path)
    rules = root / "alerts/rules/symptoms_risk.rules.yml"
    rules.write_text(rules.read_text().replace("MarginCushionLow", "MarginCushionThin"))
    with pytest.raises(SpecError, match="MarginCushionLow"):
        dashboards.load_targets(root)


# -- provisioning


def test_grafana_finds_the_boards_and_a_data_source() -> None:
    folder = ROOT / "dashboards/provisioning"
    (provider,) = yaml.safe_load((folder / "dashboards/trader.yaml").read_text())["providers"]
    assert provider["type"] == "file"
    assert provider["options"]["path"] in (ROOT / "docs/dashboards.md").read_text()
    (source,) = yaml.safe_load((folder / "datasources/prometheus.yaml").read_text())["datasources"]
    assert source["type"] == "prometheus"
    shipped = yaml.safe_load((ROOT / "alerts/prometheus.yml").read_text())
    assert source["jsonData"]["timeInterval"] == shipped["global"]["scrape_interval"]


@BOARD
def test_there_is_a_picture_of_every_board(board: str) -> None:
    picture = ROOT / f"docs/images/dashboards/{board}.png"
    assert 10_000 < picture.stat().st_size < 300_000
    assert f"images/dashboards/{board}.png" in (ROOT / "docs/dashboards.md").read_text()
