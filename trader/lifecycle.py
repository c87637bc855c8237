"""Why this run began, and whose journal it continues.

Rules: pure. A journal belongs to one mode and one account; continuing another's would make its books lie.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Final

import msgspec

from trader.contracts import TradingMode
from trader.events import DurableFact, ServiceStarted, ServiceStopped, StartReason

# Where nobody tells which boot this is, a host that came up this recently started the service by booting.
BOOT_WITHIN_S: Final = 300.0

# By systemd's $SERVICE_RESULT of the last run. None: the journal tells it better, because a run that ended by itself
# before it began to trade was no crash, and one that ended while it traded left no clean stop. What is not listed, be
# it of a later systemd, is a crash.
BY_RESULT: Final[dict[str, StartReason | None]] = {
    "": None,
    "success": None,
    "exit-code": None,
    "exec-condition": None,
    "watchdog": StartReason.WATCHDOG,
    "oom-kill": StartReason.OOM,
    "signal": StartReason.CRASH,
    "core-dump": StartReason.CRASH,
    "timeout": StartReason.CRASH,
    "protocol": StartReason.CRASH,
    "resources": StartReason.CRASH,
    "start-limit-hit": StartReason.CRASH,
}


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What the host tells about a start. ``boot_id`` and ``exit_result`` are empty where nobody tells them."""

    boot_id: str = ""
    exit_result: str = ""
    uptime_s: float | None = None


class WrongJournalError(Exception):
    """The journal is of another mode or account; one sentence."""


class History:
    """What the last run left behind."""

    def __init__(self) -> None:
        self.last_start: ServiceStarted | None = None
        self.last_stop: ServiceStopped | None = None

    def watch(self, facts: Iterable[DurableFact]) -> Iterator[DurableFact]:
        """Pass ``facts`` on, remembering the last start and stop among them."""
        for fact in facts:
            if isinstance(fact, ServiceStarted):
                self.last_start, self.last_stop = fact, None
            elif isinstance(fact, ServiceStopped):
                self.last_stop = fact
            yield fact

    def require_same_books(self, mode: TradingMode, account: str, journal_url: str) -> None:
        """Raise WrongJournalError when the journal was written in another mode or for another account."""
        last = self.last_start
        if last is None:
            return
        if last.mode is not mode:
            raise WrongJournalError(
                f"the journal {journal_url} is of mode {last.mode}, the configuration says {mode}; "
                "give each mode a journal of its own (journal.url)"
            )
        if last.account and account and last.account != account:
            raise WrongJournalError(
                f"the journal {journal_url} is of account {last.account}, the configuration says {account}; "
                "give each account a journal of its own (journal.url)"
            )

    def start_reason(self, version: str, config_hash: str, evidence: Evidence) -> StartReason:
        """Why this run begins, as far as the journal and the host tell; the first that has an answer counts."""
        last = self.last_start
        if last is None:
            return StartReason.DEPLOY
        if _booted(last, evidence):
            return StartReason.BOOT
        told = BY_RESULT.get(evidence.exit_result, StartReason.CRASH)
        if told is not None:
            return told
        if self.last_stop is None or not self.last_stop.clean:
            return StartReason.CRASH
        if (last.version, last.config_hash) != (version, config_hash):
            return StartReason.DEPLOY
        return StartReason.MANUAL


def _booted(last: ServiceStarted, evidence: Evidence) -> bool:
    """Whether the host booted since the last start."""
    if evidence.boot_id and last.boot_id:
        return evidence.boot_id != last.boot_id
    return evidence.uptime_s is not None and evidence.uptime_s < BOOT_WITHIN_S


def run_id(now: datetime) -> str:
    """A short name for a run, unique by its start to the microsecond; part of every order reference."""
    number, text = int(now.timestamp() * 1_000_000), ""
    while number:
        number, digit = divmod(number, 36)
        text = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + text
    return text
