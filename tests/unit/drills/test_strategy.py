"""The strategy that does as a file says."""

import os
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest

from trader.contracts import Quote
from trader.drills.strategy import Steered
from trader.strategy.api import MarketView

NOW = datetime(2026, 3, 2, 15, 0, tzinfo=UTC)
QUOTE = Quote("SPY", 10.0, 100.0, 10.01, 100.0, NOW)
VIEW = MarketView(at=NOW, quotes={}, instruments={}, targets={}, session_closes_at=None, capital=Decimal(1000))


def steer(file: Path, text: str, at_ns: int) -> None:
    file.write_text(text)
    os.utime(file, ns=(at_ns, at_ns))


def test_it_wants_what_the_file_says_and_follows_a_change(tmp_path: Path) -> None:
    file = tmp_path / "steering.json"
    strategy = Steered(str(file))
    assert [target.quantity for target in strategy.on_quote(QUOTE, VIEW)] == [0]
    steer(file, '{"quantity": 100}', 1)
    assert [target.quantity for target in strategy.on_quote(QUOTE, VIEW)] == [100]
    steer(file, "nonsense", 2)
    assert [target.quantity for target in strategy.on_quote(QUOTE, VIEW)] == [100]


def test_it_fails_when_it_should(tmp_path: Path) -> None:
    file = tmp_path / "steering.json"
    steer(file, '{"fails": true}', 1)
    with pytest.raises(RuntimeError, match="drill"):
        Steered(str(file)).on_quote(QUOTE, VIEW)
    assert list(Steered(str(file)).on_schedule(VIEW)) == []


def test_it_turns_when_it_should(tmp_path: Path) -> None:
    file = tmp_path / "steering.json"
    steer(file, '{"quantity": 100, "turn_every": 2}', 1)
    strategy = Steered(str(file))
    wanted = [target.quantity for _ in range(8) for target in strategy.on_quote(QUOTE, VIEW)]
    assert wanted == [100, 0, 0, 100, 100, 0, 0, 100]
