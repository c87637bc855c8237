"""Why a run begins, and whose journal it continues."""

from collections.abc import Sequence
from datetime import UTC, datetime

import pytest

from trader.contracts import TradingMode
from trader.events import DurableFact, ServiceStarted, ServiceStopped, StartReason
from trader.lifecycle import History, WrongJournalError, run_id

NOW = datetime(2026, 1, 5, 15, tzinfo=UTC)
STARTED = ServiceStarted(
    at=NOW,
    run_id="a",
    reason=StartReason.DEPLOY,
    previous_exit_clean=True,
    version="1",
    mode=TradingMode.PAPER,
    account="DU1",
    config_hash="h",
)
STOPPED = ServiceStopped(at=NOW, run_id="a", reason="stopped", clean=True)
STOPPED_DIRTY = ServiceStopped(at=NOW, run_id="a", reason="orders still working", clean=False)


def history(*facts: DurableFact) -> History:
    seen = History()
    assert list(seen.watch(facts)) == list(facts)
    return seen


@pytest.mark.parametrize(
    ("facts", "version", "uptime_s", "reason"),
    [
        ((), "1", None, StartReason.DEPLOY),
        ((STARTED, STOPPED), "1", None, StartReason.MANUAL),
        ((STARTED, STOPPED), "2", None, StartReason.DEPLOY),
        ((STARTED, STOPPED), "1", 299.0, StartReason.BOOT),
        ((STARTED, STOPPED), "1", 300.0, StartReason.MANUAL),
        ((STARTED,), "1", None, StartReason.CRASH),
        ((STARTED, STOPPED_DIRTY), "1", None, StartReason.CRASH),
        ((STARTED, STOPPED, STARTED), "1", None, StartReason.CRASH),
    ],
)
def test_the_reason_of_a_start_follows_from_how_the_last_run_ended(
    facts: Sequence[DurableFact], version: str, uptime_s: float | None, reason: StartReason
) -> None:
    assert history(*facts).start_reason(version, "h", uptime_s) is reason


def test_a_journal_of_another_mode_is_refused() -> None:
    with pytest.raises(WrongJournalError, match="is of mode paper, the configuration says live"):
        history(STARTED).require_same_books(TradingMode.LIVE, "U1", "sqlite:///j.db")


def test_a_journal_of_another_account_is_refused() -> None:
    with pytest.raises(WrongJournalError, match="is of account DU1, the configuration says DU2"):
        history(STARTED).require_same_books(TradingMode.PAPER, "DU2", "sqlite:///j.db")


@pytest.mark.parametrize("account", ["DU1", ""])
def test_the_same_books_and_an_empty_journal_are_continued(account: str) -> None:
    history(STARTED).require_same_books(TradingMode.PAPER, account, "sqlite:///j.db")
    history().require_same_books(TradingMode.LIVE, "U1", "sqlite:///j.db")


def test_run_ids_differ_by_the_microsecond_and_stay_short() -> None:
    first, second = run_id(NOW), run_id(NOW.replace(microsecond=1))
    assert first != second
    assert len(first) <= 11
