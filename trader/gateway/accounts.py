"""Is this the account, and the kind of gateway, that the configuration means?

Rules: checked at every connect, before anything else is asked, and a wrong answer is never tried again:
money must not move in an account that nobody named. IB's paper accounts begin with D. A simulated gateway
says that it is one in its account values, so mode ``simulated`` cannot reach a real one by a wrong port,
nor a real mode a simulated one.
"""

from collections.abc import Sequence
from typing import Final

from trader.contracts import TradingMode
from trader.events import DisconnectReason
from trader.gateway.link import LinkFailure
from trader.settings import Settings

SIMULATOR_TIME: Final = "SimulatorTime"
SIMULATOR_SPEED: Final = "SimulatorSpeed"


def choose_account(settings: Settings, managed: Sequence[str]) -> str:
    """The account to trade; raises a fatal LinkFailure when none of ``managed`` fits the configuration."""
    listed = ", ".join(managed)
    if settings.account and settings.account not in managed:
        raise _wrong(f"account {settings.account} is not managed by this gateway, which has {listed}; check account")
    if not settings.account and len(managed) != 1:
        raise _wrong(f"the gateway manages several accounts ({listed}); name one of them in account")
    account = settings.account or managed[0]
    paper = account.startswith("D")
    if settings.mode is TradingMode.PAPER and not paper:
        raise _wrong(f"mode is paper but the gateway's account {account} is a live one (paper accounts begin with D)")
    if settings.mode is TradingMode.LIVE and paper:
        raise _wrong(f"mode is live but the gateway's account {account} is a paper one")
    return account


def check_kind(mode: TradingMode, host: str, port: int, *, simulated: bool) -> None:
    """Raise a fatal LinkFailure when a simulated mode meets a real gateway, or the other way round."""
    if (mode is TradingMode.SIMULATED) == simulated:
        return
    is_a, fix = ("a simulated", "simulated") if simulated else ("not a simulated", "paper or live")
    raise LinkFailure(
        DisconnectReason.WRONG_GATEWAY,
        f"mode is {mode} but what answers at {host}:{port} is {is_a} gateway; set mode {fix}, or the right port",
        fatal=True,
    )


def _wrong(detail: str) -> LinkFailure:
    return LinkFailure(DisconnectReason.WRONG_ACCOUNT, detail, fatal=True)
