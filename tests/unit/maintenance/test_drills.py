"""The weekly drills' section, and what is published of them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import msgspec
import pytest

from tests.unit.maintenance.days import rows
from trader.drills.emergency import EMERGENCIES, EmergencyResult
from trader.drills.model import DrillResult
from trader.maintenance import metrics
from trader.maintenance.context import Context
from trader.maintenance.drill_metrics import FILE, NotRecorded, gauges, panic_parts, record_drills
from trader.maintenance.drills import PAGES, run, section
from trader.maintenance.lock import JobLock
from trader.maintenance.model import Kind, Outcome
from trader.settings import MaintenanceSettings
from trader.textfile import render

NOW = datetime(2026, 11, 22, 6, 0, tzinfo=UTC)
GOOD = tuple(
    EmergencyResult(
        name=drill.name, title=drill.title, bound_s=drill.bound_s, panic=drill.panic, duration_s=drill.bound_s
    )
    for drill in EMERGENCIES
)
PAGE = DrillResult(
    alert="BrokerDisconnected", severity="page", fault="stopped", on="service", page_s=3.0, resolve_s=2.0
)


class FixedClock:
    def now(self) -> datetime:
        return NOW

    def monotonic_ns(self) -> int:
        return 0


def changed(name: str, **changes: Any) -> tuple[EmergencyResult, ...]:
    return tuple(msgspec.structs.replace(result, **changes) if result.name == name else result for result in GOOD)


def lines(held: tuple[EmergencyResult, ...]) -> list[str]:
    return [line for line in render(gauges(held)).splitlines() if not line.startswith("#")]


def test_a_drill_at_its_bound_meets_it_and_one_above_does_not() -> None:
    first = GOOD[0]
    assert first.met
    assert not msgspec.structs.replace(first, duration_s=first.bound_s + 0.01).met
    assert not msgspec.structs.replace(first, duration_s=None).met


def test_it_is_ok_when_all_ended_well_and_a_page_came() -> None:
    found = section(GOOD, [PAGE], [])
    assert found.outcome is Outcome.OK
    assert [(figure.value, figure.outcome) for figure in found.figures] == [
        *((drill.bound_s, Outcome.OK) for drill in EMERGENCIES),
        (1, Outcome.OK),
    ]
    assert [(part.task, part.outcome) for part in found.parts] == [
        ("panic_drill", Outcome.OK),
        ("page_drill", Outcome.OK),
    ]


def test_without_a_stack_the_page_drill_is_missing_and_no_part() -> None:
    found = section(GOOD, [], ["the page drill: not installed on this host: prometheus"])
    assert found.outcome is Outcome.UNKNOWN
    assert found.missing == ("the page drill: not installed on this host: prometheus",)
    assert [part.task for part in found.parts] == ["panic_drill"]


def test_an_unmet_bound_fails_and_names_the_command() -> None:
    late = changed("stop_under_load", duration_s=31.0, problem="took 31.0 s, and may take 30 s")
    found = section(late, [PAGE], [])
    assert found.outcome is Outcome.FAILED
    assert "took 31.0 s" in found.sentence
    assert found.mend == "trader drill emergency"
    assert found.parts[0].outcome is Outcome.OK


def test_a_page_that_did_not_come_fails_its_part_only() -> None:
    found = section(GOOD, [msgspec.structs.replace(PAGE, problem="no page within 20 s")], [])
    assert found.outcome is Outcome.FAILED
    assert found.mend == "trader drill page"
    assert {part.task: part.outcome for part in found.parts} == {
        "panic_drill": Outcome.OK,
        "page_drill": Outcome.FAILED,
    }


PANICS: dict[str, tuple[tuple[EmergencyResult, ...], list[tuple[Outcome, float | None]]]] = {
    "both ended well": (GOOD, [(Outcome.OK, 30.0)]),
    "one is late": (changed("panic_service_down", duration_s=16.0), [(Outcome.FAILED, 31.0)]),
    "one did not end well": (changed("panic_service_up", duration_s=None), [(Outcome.FAILED, None)]),
    "one was not tried": (changed("panic_service_up", duration_s=None, tried=False), []),
    "another failed": (changed("gateway_loss", duration_s=None), [(Outcome.OK, 30.0)]),
    "one only": (GOOD[:1], []),
}


@pytest.mark.parametrize("name", PANICS)
def test_the_panic_drill_counts_when_panic_was_held_both_ways(name: str) -> None:
    held, expected = PANICS[name]
    assert [(part.outcome, part.duration_s) for part in panic_parts(held)] == expected


def test_a_drill_that_did_not_end_well_has_its_bound_only_and_one_not_tried_nothing() -> None:
    held = changed("gateway_loss", duration_s=None)
    held = tuple(
        msgspec.structs.replace(item, tried=False, duration_s=None) if item.name == "gateway_return" else item
        for item in held
    )
    found = lines(held)
    assert 'trader_drill_bound_seconds{drill="gateway_loss"} 10.0' in found
    assert not [line for line in found if "gateway_return" in line]
    assert not [line for line in found if line.startswith("trader_drill_duration") and "gateway_loss" in line]
    assert 'trader_drill_duration_seconds{drill="panic_service_up"} 15.0' in found


def test_a_dry_run_holds_nothing() -> None:
    found = run(cast("Context", SimpleNamespace(dry_run=True)))
    assert found.outcome is Outcome.OK
    assert found.parts == ()
    assert rows(found, "Emergency drills") == {
        drill.title: {"Drill": drill.title, "Took": None, "May take": drill.bound_s, "Verdict": "not held"}
        for drill in EMERGENCIES
    }
    assert "holds no drill" in found.sentence


def test_the_pages_of_the_weekly_drill_exist() -> None:
    from trader.drills.table import DRILLS

    assert set(PAGES) <= {drill.name for drill in DRILLS}


@pytest.fixture
def kept(tmp_path: Path) -> MaintenanceSettings:
    (tmp_path / "textfile").mkdir()
    return MaintenanceSettings(work_folder=tmp_path / "work", textfile_folder=tmp_path / "textfile")


def test_a_persons_drill_is_published_and_recorded(kept: MaintenanceSettings) -> None:
    said = record_drills(kept, GOOD, FixedClock())
    assert "the panic drill is recorded as held" in said
    records, note = metrics.read_records(kept.work_folder, NOW)
    assert note == ""
    assert records["panic_drill"] == metrics.TaskRecord(last_run=NOW, last_success=NOW, duration_s=30.0, exit_code=0)
    assert kept.textfile_folder is not None
    assert (kept.textfile_folder / FILE).read_text() == render(gauges(GOOD))
    assert "panic_drill" in metrics.textfile_of(kept.textfile_folder, Kind.WEEKLY).read_text()


def test_a_failed_panic_drill_keeps_the_last_success(kept: MaintenanceSettings) -> None:
    before = NOW - timedelta(days=7)
    kept.work_folder.mkdir()
    known = {"panic_drill": metrics.TaskRecord(last_run=before, last_success=before, duration_s=5.0)}
    metrics.write_records(kept.work_folder, known)
    record_drills(kept, changed("panic_service_up", duration_s=None), FixedClock())
    records, _ = metrics.read_records(kept.work_folder, NOW)
    assert records["panic_drill"].last_success == before
    assert records["panic_drill"].exit_code == 1


def test_some_drills_only_are_not_recorded(kept: MaintenanceSettings) -> None:
    assert record_drills(kept, GOOD[:2], FixedClock()) == ["not recorded: only all drills together are"]
    assert kept.textfile_folder is not None
    assert list(kept.textfile_folder.iterdir()) == []


def test_nothing_is_recorded_while_a_job_runs(kept: MaintenanceSettings) -> None:
    with (
        JobLock(kept.work_folder / "running.lock", "weekly maintenance since 06:00"),
        pytest.raises(NotRecorded, match="weekly maintenance since 06:00 runs"),
    ):
        record_drills(kept, GOOD, FixedClock())
