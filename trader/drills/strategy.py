"""A strategy that does as a file says, so that a drill can make a running service trade, hurry, dawdle or fail.

Rules: for drills only. It is not pure, as a strategy should be: the file is read again whenever it changes.
"""

import time
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Final

import msgspec

from trader.contracts import Quote
from trader.strategy.api import MarketView, Target

FILE_MAX_BYTES: Final = 10_000


class Steering(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``quantity`` is wanted in every symbol. Every ``slow_every``-th decision takes ``slow_s`` longer.

    With ``turn_every`` it is wanted for so many decisions, then nothing for as many, and so on.
    """

    quantity: int = 0
    turn_every: int = 0
    slow_s: float = 0.0
    slow_every: int = 1
    fails: bool = False


class Steered:
    """Wants what ``file`` says; ``symbol`` is what it trades, or several with commas between them."""

    name = "steered"

    def __init__(self, file: str, symbol: str = "SPY") -> None:
        self._file = Path(file)
        self._symbols = tuple(symbol.split(","))
        self._steering = Steering()
        self._changed_ns = 0
        self._decisions = 0

    def on_quote(self, quote: Quote, view: MarketView) -> Iterable[Target]:
        """One decision, as the file wants it."""
        self._read()
        steering = self._steering
        if steering.fails:
            raise RuntimeError("the drill wants this strategy to fail")
        self._decisions += 1
        if steering.slow_s and self._decisions % steering.slow_every == 0:
            time.sleep(steering.slow_s)
        rests = bool(steering.turn_every) and self._decisions // steering.turn_every % 2 == 1
        wanted = Decimal(0 if rests else steering.quantity)
        return [Target(symbol, wanted, "the drill wants it") for symbol in self._symbols]

    def on_schedule(self, view: MarketView) -> Iterable[Target]:
        """Nothing is scheduled."""
        return []

    def _read(self) -> None:
        """Take the file when it changed; one that cannot be read changes nothing."""
        try:
            changed_ns = self._file.stat().st_mtime_ns
            if changed_ns == self._changed_ns:
                return
            self._changed_ns = changed_ns
            self._steering = msgspec.json.decode(self._file.read_bytes()[:FILE_MAX_BYTES], type=Steering)
        except (OSError, msgspec.DecodeError):
            return
