"""The line through samples of memory: growth from session to session, not within one."""

from datetime import UTC, datetime

import pytest

from trader.drills.memory import Sample, Slope, resident_bytes, slope_between_sessions

AT = datetime(2026, 1, 5, 15, 0, tzinfo=UTC)
LEVEL = 1_000_000


def samples(growth: int, noise: tuple[int, ...] = (0, 300, -200, 100, -100, 200, -300)) -> list[Sample]:
    """Five sessions of three samples; within each memory rises by 50,000 a sample."""
    return [
        Sample(
            session=session, part=part, at=AT, resident_bytes=0, orders=0,
            blocks=LEVEL + 50_000 * part + growth * session + noise[(3 * session + part) % len(noise)],
        )
        for session in range(1, 6)
        for part in range(1, 4)
    ]  # fmt: skip


def slope(growth: int) -> Slope:
    return slope_between_sessions(samples(growth), 2, lambda sample: sample.blocks, 2_000)


def test_what_rises_within_each_session_only_is_flat() -> None:
    assert slope(0).flat
    assert slope(0).samples == 9


def test_what_rises_from_session_to_session_is_seen() -> None:
    found = slope(10_000)
    assert not found.flat
    assert found.low < 10_000 < found.high
    assert found.per_session == pytest.approx(10_000, abs=300)


def test_what_rises_by_next_to_nothing_is_flat() -> None:
    assert slope(1_000).flat


def test_a_slope_needs_two_sessions() -> None:
    with pytest.raises(ValueError, match="needs two sessions after session 4"):
        slope_between_sessions(samples(0), 4, lambda sample: sample.blocks, 0)


def test_a_process_has_memory() -> None:
    assert resident_bytes() > 1_000_000
