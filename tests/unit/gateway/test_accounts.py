"""The right account, the right kind of gateway."""

from typing import Any

import pytest

from trader.contracts import TradingMode
from trader.events import DisconnectReason
from trader.gateway.accounts import check_kind, choose_account
from trader.gateway.link import LinkFailure
from trader.settings import Settings


def settings(**values: Any) -> Settings:
    return Settings(instruments=("AAPL",), **values)


@pytest.mark.parametrize(
    ("config", "managed", "account"),
    [
        ({"mode": "paper"}, ("DU1",), "DU1"),
        ({"mode": "paper", "account": "DU2"}, ("DU1", "DU2"), "DU2"),
        ({"mode": "live", "account": "U1"}, ("U1",), "U1"),
        ({"mode": "simulated"}, ("SIM",), "SIM"),
    ],
)
def test_it_takes_the_account_that_is_meant(config: dict[str, Any], managed: tuple[str, ...], account: str) -> None:
    assert choose_account(settings(**config), managed) == account


@pytest.mark.parametrize(
    ("config", "managed", "sentence"),
    [
        ({"mode": "paper"}, ("U1",), "mode is paper but the gateway's account U1 is a live one"),
        ({"mode": "paper", "account": "DU3"}, ("DU1", "DU2"), "account DU3 is not managed by this gateway"),
        ({"mode": "paper"}, ("DU1", "DU2"), "several accounts .DU1, DU2.; name one"),
        ({"mode": "live", "account": "U1"}, ("DU1",), "account U1 is not managed"),
    ],
)
def test_it_refuses_any_other_for_good(config: dict[str, Any], managed: tuple[str, ...], sentence: str) -> None:
    with pytest.raises(LinkFailure, match=sentence) as failure:
        choose_account(settings(**config), managed)
    assert failure.value.fatal
    assert failure.value.reason is DisconnectReason.WRONG_ACCOUNT


@pytest.mark.parametrize("mode", list(TradingMode))
@pytest.mark.parametrize("simulated", [True, False])
def test_a_simulated_mode_meets_simulated_gateways_only_and_they_meet_no_other(
    mode: TradingMode, simulated: bool
) -> None:
    if (mode is TradingMode.SIMULATED) == simulated:
        check_kind(mode, "127.0.0.1", 4002, simulated=simulated)
        return
    with pytest.raises(LinkFailure, match=r"127\.0\.0\.1:4002") as failure:
        check_kind(mode, "127.0.0.1", 4002, simulated=simulated)
    assert failure.value.fatal
    assert failure.value.reason is DisconnectReason.WRONG_GATEWAY
