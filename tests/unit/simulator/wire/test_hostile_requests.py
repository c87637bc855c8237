"""Requests that fuzzing found to fail inside a handler, where they should have been refused in the broker's words."""

import pytest

from trader.simulator.wire.codec import BadRequest
from trader.simulator.wire.handle_bars import _bar_size_s, _duration_s


@pytest.mark.parametrize("amount", ["²", "٣", "9" * 5_000])
def test_a_duration_is_a_few_plain_digits(amount: str) -> None:
    with pytest.raises(BadRequest):
        _duration_s(f"{amount} D")
    with pytest.raises(BadRequest):
        _bar_size_s(f"{amount} mins")
