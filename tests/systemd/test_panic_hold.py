"""A panic flag that stays up for longer than a minute, with nobody else there to look after the account.

Rules: a module of its own, because it is all waiting, and a machine that waits disturbs nobody.
"""

from collections.abc import Callable
from typing import Final

from tests.lab.lab import Lab
from tests.systemd.account import Account

Measured = Callable[[str, float, str], None]

LOOKS_AGAIN_WITHIN_S: Final = 75.0


def test_the_panic_holds_the_account_flat_and_is_not_started_again(installed: Lab, measured: Measured) -> None:
    account = Account(installed)
    account.systemctl("stop")
    raised_us = account.raise_flag()
    account.await_unit(account.panic, "active")
    before, cursor = account.panic_units(), account.lab.cursor()
    assert account.buy_by_hand() == "Filled"
    (closed,) = account.lab.wait_until(
        lambda: account.lab.journal(account.panic, "PRIORITY=3", after=cursor), "the closing", LOOKS_AGAIN_WITHIN_S
    )
    assert "positions came back" in closed["MESSAGE"]
    assert account.is_flat()
    assert account.panic_units() == before
    measured("flag held by one run", (int(closed["__MONOTONIC_TIMESTAMP"]) - raised_us) / 1e6, "s")
