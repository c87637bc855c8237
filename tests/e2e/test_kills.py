"""SIGKILL at random moments, on real processes: a handful here, as many as one wants with ``trader drill kills``."""

from pathlib import Path

import pytest

from trader.drills.kills import KillOptions, KillResult, play_kills

pytestmark = pytest.mark.e2e

# A seed that also kills into a start and takes the port away.
SEED = 16
KILLS = 5


async def test_nothing_is_lost_or_doubled_however_often_the_service_is_killed(tmp_path: Path) -> None:
    results: list[KillResult] = []
    report = await play_kills(KillOptions(folder=tmp_path, kills=KILLS, seed=SEED), results.append)
    assert report.problems == ()
    assert (report.lost, report.doubled) == (0, 0)
    assert report.kills == KILLS
    assert report.executions >= KILLS
    assert any(result.starting for result in results)
    assert report.port_returns > 0
