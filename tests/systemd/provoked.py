"""A strategy that does as a file says, so that a test can make the installed trader trade, hang or eat memory.

Rules: runs in the machine under test, which finds it by PYTHONPATH; it imports nothing of the tests. The file is read
at every quote; one that cannot be read wants nothing.
"""

import json
import sys
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from threading import Event
from typing import Any

from trader.contracts import Quote
from trader.strategy.api import MarketView, Target

BLOCKS = "the strategy blocks"
EATS = "the strategy eats memory"
BITE_BYTES = 2**22


class Provoked:
    """``file`` is an object of ``quantity``, ``flips``, ``blocks`` and ``eats``; what is missing is off.

    ``quantity`` is wanted in every symbol; with ``flips`` its sign changes at every quote of the symbol.
    """

    name = "provoked"

    def __init__(self, file: str) -> None:
        self._file = Path(file)
        self._eaten: list[bytes] = []

    def on_quote(self, quote: Quote, view: MarketView) -> Iterable[Target]:
        """What the file wants, now."""
        wanted = self._wanted()
        if wanted.get("blocks"):
            self._block()
        if wanted.get("eats"):
            self._eat()
        quantity = Decimal(wanted.get("quantity", 0))
        if wanted.get("flips") and view.targets.get(quote.symbol) == quantity:
            quantity = -quantity
        return [Target(quote.symbol, quantity, "a test wants it")]

    def on_schedule(self, view: MarketView) -> Iterable[Target]:
        """Nothing is scheduled."""
        return []

    def _wanted(self) -> dict[str, Any]:
        try:
            return dict(json.loads(self._file.read_text(encoding="utf-8")))
        except (OSError, ValueError):
            return {}

    def _block(self) -> None:
        _say(BLOCKS)
        Event().wait()

    def _eat(self) -> None:
        _say(EATS)
        while True:
            self._eaten.append(b"\1" * BITE_BYTES)


def _say(text: str) -> None:
    sys.stderr.write(f"<5>{text}\n")
    sys.stderr.flush()
