"""Names of instruments, as others know them."""

import pytest

from trader.contracts import Instrument, SecurityType


@pytest.mark.parametrize(
    ("instrument", "name"),
    [
        (Instrument("SPY"), "SPY"),
        (Instrument("BRK", ib_symbol="BRK B"), "BRK B"),
        (Instrument("ES", SecurityType.FUTURE, expiry="202603"), "ESH6"),
        (Instrument("near", SecurityType.FUTURE, expiry="20261218", ib_symbol="ES"), "ESZ6"),
        (Instrument("EUR.USD", SecurityType.CASH), "EUR.USD"),
        (Instrument("euro", SecurityType.CASH, ib_symbol="EUR"), "EUR.USD"),
    ],
)
def test_a_recorded_market_knows_an_instrument_by_one_name(instrument: Instrument, name: str) -> None:
    assert instrument.market_name == name
