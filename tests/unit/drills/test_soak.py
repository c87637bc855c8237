"""A short week of trading on virtual time: nothing grows, and what would is seen."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from trader.cli.drill_soak import watching
from trader.clock import ManualClock
from trader.drills.soak import SoakOptions, SoakReport, play_soak
from trader.events import AnyFact
from trader.settings import Settings
from trader.snapshot import Snapshot

# A week of a minute a day at the open, and many orders in it.
SHORT = {"sessions": 5, "session_s": 60.0, "quotes_per_s": 15.0, "turn_s": 5.0}


@pytest.fixture(autouse=True)
def small_memories(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is kept up to a bound is full before it counts."""
    monkeypatch.setattr("observability.logs.MAX_REMEMBERED", 20)


def soak(folder: Path, make: Any = watching) -> SoakReport:
    return play_soak(SoakOptions(folder=folder, **SHORT), make, lambda sample: None)  # type: ignore[arg-type]


def test_memory_is_flat_over_a_week_and_what_is_kept_on_the_disk_is_bounded(tmp_path: Path) -> None:
    report = soak(tmp_path)
    assert report.orders > 300
    assert report.fills >= report.orders * 0.9
    assert report.scrapes > 50
    assert report.blocks.flat, report.blocks
    # keep_days is 2: the folder holds three days at most, however long the week was.
    days = {path.name[:10] for path in (tmp_path / "recordings").iterdir()}
    assert len(days) <= 3, days


def test_an_observer_that_keeps_what_it_hears_is_seen_to_grow(tmp_path: Path) -> None:
    kept: list[AnyFact] = []

    def hoarding(
        settings: Settings, snapshot: Callable[[], Snapshot], clock: ManualClock
    ) -> tuple[Callable[[Sequence[AnyFact]], None], Callable[[], int]]:
        publish, scrape = watching(settings, snapshot, clock)

        def publish_and_keep(facts: Sequence[AnyFact]) -> None:
            publish(facts)
            kept.extend(facts)

        return publish_and_keep, scrape

    report = soak(tmp_path, hoarding)
    assert not report.blocks.flat
