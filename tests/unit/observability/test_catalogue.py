"""The catalogue: complete, bounded, and what is emitted."""

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import generate_latest
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families

from observability.catalogue import CATALOGUE, OTHER, SERIES_LIMIT, Kind, Metric, broker, max_series
from observability.catalogue.document import DOCUMENT, render_markdown
from observability.collectors import BuildInfo
from observability.stack import ObservabilityStack, build
from trader.clock import ManualClock
from trader.events import ErrorClass, ReloadFinished
from trader.gateway.codes import meaning_of
from trader.settings import Settings
from trader.snapshot import Snapshot

ROOT = Path(__file__).parents[3]
NAME = re.compile(r"(trader|process)_[a-z][a-z0-9_]*")
SUFFIXES = {Kind.HISTOGRAM: ("_bucket", "_sum", "_count"), Kind.COUNTER: ("",), Kind.GAUGE: ("",)}


@pytest.fixture
def fed(
    settings: Settings,
    snapshot: Snapshot,
    clock: ManualClock,
    every_fact: list[Any],
    make_fact: Callable[..., Any],
    cgroup_v2_root: Path,
) -> ObservabilityStack:
    """A stack that was told one of every fact and whose loop came round once."""
    stack = build(settings, lambda: snapshot, clock, BuildInfo("1.2.3", "abc", "def"), root=cgroup_v2_root)
    stack.observers.publish(every_fact)
    stack.observers.publish([make_fact(ReloadFinished, problems=())])
    stack._monitor.expect_in(0.1)
    stack._monitor.observe_tick()
    return stack


@pytest.fixture
def samples(fed: ObservabilityStack) -> list[tuple[str, dict[str, str]]]:
    text = generate_latest(fed.registry).decode()
    return [(s.name, s.labels) for family in text_string_to_metric_families(text) for s in family.samples]


def owner_of(sample: str) -> Metric | None:
    """The metric that a sample of this name belongs to."""
    return next((m for m in CATALOGUE for suffix in SUFFIXES[m.kind] if m.name + suffix == sample), None)


def test_all_series_together_stay_below_the_limit() -> None:
    assert max_series() <= SERIES_LIMIT


def test_every_name_is_listed_once_and_well_formed() -> None:
    names = [metric.name for metric in CATALOGUE]
    assert len(names) == len(set(names))
    for metric in CATALOGUE:
        assert NAME.fullmatch(metric.name), metric.name
        assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER), metric.name
        assert metric.help.endswith("."), metric.name


def test_no_label_names_a_symbol_an_order_an_account_or_a_job() -> None:
    labels = {label.name for metric in CATALOGUE for label in metric.labels}
    assert labels.isdisjoint({"symbol", "order_ref", "order_id", "account", "job", "instance"})


def test_every_label_is_bounded() -> None:
    assert all(0 < label.max_values <= 30 for metric in CATALOGUE for label in metric.labels)


def test_every_histogram_has_rising_buckets() -> None:
    for metric in CATALOGUE:
        assert bool(metric.buckets) == (metric.kind is Kind.HISTOGRAM), metric.name
        assert list(metric.buckets) == sorted(set(metric.buckets)), metric.name


@pytest.mark.parametrize(
    ("name", "threshold"), [("trader_decision_duration_seconds", 0.35), ("trader_order_ack_duration_seconds", 2.0)]
)
def test_a_latency_objective_has_a_bucket_at_exactly_its_threshold(name: str, threshold: float) -> None:
    assert threshold in next(metric for metric in CATALOGUE if metric.name == name).buckets


def test_every_metric_of_the_catalogue_is_emitted(samples: list[tuple[str, dict[str, str]]]) -> None:
    emitted = {owner.name for name, _ in samples if (owner := owner_of(name)) is not None}
    assert {metric.name for metric in CATALOGUE} - emitted == set()


def test_nothing_is_emitted_that_is_not_in_the_catalogue(samples: list[tuple[str, dict[str, str]]]) -> None:
    for name, labels in samples:
        metric = owner_of(name)
        assert metric is not None, name
        assert set(labels) - {"le"} == set(metric.label_names), name
        for label in metric.labels:
            assert label.is_open or labels[label.name] in label.values, (name, labels)


def test_the_whole_scrape_is_valid_openmetrics(fed: ObservabilityStack) -> None:
    text = generate_openmetrics(fed.registry).decode()
    assert len(list(parse_openmetrics(text))) == len(CATALOGUE)


def test_no_metric_has_more_series_than_the_catalogue_says(samples: list[tuple[str, dict[str, str]]]) -> None:
    counts: dict[str, int] = {}
    for name, _ in samples:
        metric = owner_of(name)
        assert metric is not None
        counts[metric.name] = counts.get(metric.name, 0) + 1
    limits = {metric.name: metric.max_series for metric in CATALOGUE}
    assert {name for name, count in counts.items() if count > limits[name]} == set()


def test_a_closed_label_set_exists_from_the_start(
    settings: Settings, snapshot: Snapshot, clock: ManualClock, tmp_path: Path
) -> None:
    stack = build(settings, lambda: snapshot, clock, BuildInfo("1"), root=tmp_path)
    for metric in CATALOGUE:
        if metric.kind is Kind.COUNTER and metric.source == "facts" and metric.known_label_sets():
            for values in metric.known_label_sets():
                labels = dict(zip(metric.label_names, values, strict=True))
                assert stack.registry.get_sample_value(metric.name, labels) == 0.0, (metric.name, labels)


def test_known_error_codes_are_at_most_25_and_in_the_class_that_the_gateway_gives_them() -> None:
    pairs = [(c, code) for c, code in broker.ERROR_SETS if code != OTHER]
    assert len({code for _, code in pairs}) <= 25
    for error_class, code in pairs:
        if int(code) in broker.GOOD_NEWS:
            assert error_class == ErrorClass.NOTICE
            continue
        meaning = meaning_of(int(code))
        assert ErrorClass(error_class) in (meaning.error_class, meaning.order_class), code


def test_good_news_is_about_connectivity_and_never_about_an_order() -> None:
    for code in broker.GOOD_NEWS:
        meaning = meaning_of(code)
        assert (meaning.error_class, meaning.order_class) == (ErrorClass.CONNECTIVITY, None), code


def test_the_written_catalogue_is_current() -> None:
    assert (ROOT / DOCUMENT).read_text() == render_markdown(), f"write it again: trader metrics --markdown > {DOCUMENT}"


def test_the_written_catalogue_lists_every_metric_and_says_that_it_is_generated() -> None:
    text = render_markdown()
    assert "DO NOT EDIT" in text
    assert lists_all(text, (metric.name for metric in CATALOGUE))


def lists_all(text: str, names: Iterable[str]) -> bool:
    return all(f"`{name}`" in text for name in names)
