"""Small recordings that a mean-reversion strategy trades, written where a test wants them."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from trader.settings import Settings
from trader.simulator.recorded import COLUMNS

IN_SESSION = datetime(2013, 10, 7, 14, 0, tzinfo=UTC)
PARAMETERS = {"window": 10, "sample_interval_s": 1.0, "entry_score": 1.5, "exit_score": 0.2, "min_edge_ratio": 0.0001}


def spiky_rows(start: datetime, seconds: int, symbols: Sequence[str] = ("SPY", "IBM")) -> Iterable[str]:
    """A quote a second for each symbol around 100; every half minute it jumps away for five seconds."""
    for second in range(seconds):
        at = (start + timedelta(seconds=second)).isoformat().replace("+00:00", "Z")
        for offset, symbol in enumerate(sorted(symbols)):
            phase = (second + 7 * offset) % 60
            cents = 10_000 + second % 3 + (40 if 25 <= phase < 30 else -40 if phase >= 55 else 0)
            last = f"{cents / 100:.2f},100" if second % 4 == 0 else ","
            yield f"{at},{symbol},{cents / 100:.2f},500,{(cents + 1) / 100:.2f},500,{last}"


@pytest.fixture
def record(tmp_path: Path) -> Callable[..., Path]:
    """Write a recording and return its path."""

    def write(
        name: str = "day.csv",
        start: datetime = IN_SESSION,
        seconds: int = 300,
        symbols: Sequence[str] = ("SPY", "IBM"),
        rows: Iterable[str] | None = None,
    ) -> Path:
        path = tmp_path / name
        lines = spiky_rows(start, seconds, symbols) if rows is None else rows
        path.write_text("\n".join([",".join(COLUMNS), *lines]) + "\n")
        return path

    return write


@pytest.fixture
def make_settings() -> Callable[..., Settings]:
    """Settings that trade the small recordings; keyword arguments replace whole sections."""

    def make(symbols: Sequence[str] = ("IBM", "SPY"), **sections: Any) -> Settings:
        strategy = {"name": "mean_reversion", "capital": 50_000, "parameters": PARAMETERS}
        return Settings.model_validate({"instruments": list(symbols), "strategy": strategy, **sections})

    return make
