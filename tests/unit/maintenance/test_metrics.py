"""The jobs' metrics: those of the catalogue, one file a kind, and nothing of a task that never ran but its limit."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from observability.catalogue.textfile import JOBS, MAX_TASKS
from trader.maintenance import metrics
from trader.maintenance.metrics import TaskRecord, gauges, read_records, write_metrics, write_records
from trader.maintenance.model import Kind
from trader.maintenance.tasks import TASKS, tasks_of

NOW = datetime(2026, 11, 20, 22, 15, tzinfo=UTC)
RECORDS = {
    "health": TaskRecord(last_run=NOW, last_success=NOW, duration_s=1.5),
    "backup": TaskRecord(last_run=NOW, exit_code=1),
}


def test_names_texts_and_labels_are_those_of_the_catalogue() -> None:
    catalogued = {metric.name: metric for metric in JOBS.metrics}
    for gauge in gauges(Kind.DAILY, RECORDS, (NOW, NOW)):
        metric = catalogued[gauge.name]
        assert gauge.help == metric.help
        labels = {label.name for label in metric.labels}
        assert all(set(sample.labels) == labels for sample in gauge.samples)
        assert gauge.samples


def test_there_are_no_more_tasks_than_the_catalogue_allows() -> None:
    names = [name for tasks in TASKS.values() for task in tasks for name in (task.name, *task.parts)]
    assert len(names) == len(set(names)) <= MAX_TASKS


def test_each_kind_has_a_file_of_its_own_and_only_its_tasks(tmp_path: Path) -> None:
    for kind in Kind:
        write_metrics(tmp_path, kind, RECORDS, None)
    assert {path.name for path in tmp_path.iterdir()} == {f"ibkr-maintenance-{kind}.prom" for kind in Kind}
    weekly = (tmp_path / "ibkr-maintenance-weekly.prom").read_text()
    assert 'task="health"' not in weekly
    assert all(f'max_staleness_seconds{{task="{task.name}"}}' in weekly for task in tasks_of(Kind.WEEKLY))
    assert "last_run" not in weekly


def test_what_was_kept_is_read_again(tmp_path: Path) -> None:
    write_records(tmp_path, RECORDS)
    assert read_records(tmp_path, NOW) == (RECORDS, "")
    assert (tmp_path / metrics.RECORD).stat().st_mode & 0o077 == 0


def test_nothing_kept_is_no_problem(tmp_path: Path) -> None:
    assert read_records(tmp_path, NOW) == ({}, "")


@pytest.mark.parametrize("content", [b"", b"[]", b'{"health": 3}', b'{"health": {"last_run": "yesterday"}}', b"\xff"])
def test_what_cannot_be_read_is_not_known_and_told(tmp_path: Path, content: bytes) -> None:
    (tmp_path / metrics.RECORD).write_bytes(content)
    records, note = read_records(tmp_path, NOW)
    assert records == {}
    assert "what earlier runs achieved is not known" in note


def test_a_success_in_the_future_is_forgotten_and_told(tmp_path: Path) -> None:
    write_records(tmp_path, {**RECORDS, "errors": TaskRecord(last_run=NOW + timedelta(days=1))})
    records, note = read_records(tmp_path, NOW)
    assert records == RECORDS
    assert note.startswith("errors ran in the future by this clock")
