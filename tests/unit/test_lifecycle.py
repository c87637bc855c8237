"""Why a run begins, and whose journal it continues."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec
import pytest

from trader.contracts import TradingMode
from trader.events import DurableFact, ServiceStarted, ServiceStopped, StartReason
from trader.lifecycle import Evidence, History, WrongJournalError, run_id

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
BOOT_1 = msgspec.structs.replace(STARTED, boot_id="1")
STOPPED = ServiceStopped(at=NOW, run_id="a", reason="stopped", clean=True)
STOPPED_DIRTY = ServiceStopped(at=NOW, run_id="a", reason="orders still working", clean=False)


def history(*facts: DurableFact) -> History:
    seen = History()
    assert list(seen.watch(facts)) == list(facts)
    return seen


@pytest.mark.parametrize(
    ("facts", "version", "evidence", "reason"),
    [
        # without systemd
        ((), "1", Evidence(), StartReason.DEPLOY),
        ((STARTED, STOPPED), "1", Evidence(), StartReason.MANUAL),
        ((STARTED, STOPPED), "2", Evidence(), StartReason.DEPLOY),
        ((STARTED, STOPPED), "1", Evidence(uptime_s=299.0), StartReason.BOOT),
        ((STARTED, STOPPED), "1", Evidence(uptime_s=300.0), StartReason.MANUAL),
        ((STARTED,), "1", Evidence(), StartReason.CRASH),
        ((STARTED, STOPPED_DIRTY), "1", Evidence(), StartReason.CRASH),
        ((STARTED, STOPPED, STARTED), "1", Evidence(), StartReason.CRASH),
        # by the host's boot
        ((BOOT_1, STOPPED), "1", Evidence(boot_id="2", uptime_s=9e9), StartReason.BOOT),
        ((BOOT_1,), "1", Evidence(boot_id="2", exit_result="watchdog"), StartReason.BOOT),
        ((BOOT_1, STOPPED), "1", Evidence(boot_id="1", uptime_s=1.0), StartReason.MANUAL),
        ((BOOT_1,), "1", Evidence(boot_id="1", uptime_s=1.0), StartReason.CRASH),
        ((STARTED, STOPPED), "1", Evidence(boot_id="1", uptime_s=1.0), StartReason.BOOT),
        # by systemd's record of the last run
        ((BOOT_1,), "1", Evidence(boot_id="1", exit_result="watchdog"), StartReason.WATCHDOG),
        ((BOOT_1,), "1", Evidence(boot_id="1", exit_result="oom-kill"), StartReason.OOM),
        ((BOOT_1,), "1", Evidence(boot_id="1", exit_result="signal"), StartReason.CRASH),
        ((BOOT_1,), "1", Evidence(boot_id="1", exit_result="core-dump"), StartReason.CRASH),
        ((BOOT_1, STOPPED), "2", Evidence(boot_id="1", exit_result="timeout"), StartReason.CRASH),
        ((BOOT_1, STOPPED), "1", Evidence(boot_id="1", exit_result="of-a-later-systemd"), StartReason.CRASH),
        ((BOOT_1,), "1", Evidence(boot_id="1", exit_result="exit-code"), StartReason.CRASH),
        ((BOOT_1,), "1", Evidence(boot_id="1", exit_result="success"), StartReason.CRASH),
        ((BOOT_1, STOPPED), "1", Evidence(boot_id="1", exit_result="success"), StartReason.MANUAL),
        ((BOOT_1, STOPPED), "2", Evidence(boot_id="1", exit_result="success"), StartReason.DEPLOY),
        # a start that was refused, such as by a mistake in the configuration, after a clean stop
        ((BOOT_1, STOPPED), "2", Evidence(boot_id="1", exit_result="exit-code"), StartReason.DEPLOY),
        ((), "1", Evidence(boot_id="1", exit_result="exit-code"), StartReason.DEPLOY),
    ],
)
def test_the_reason_of_a_start_follows_from_how_the_last_run_ended(
    facts: Sequence[DurableFact], version: str, evidence: Evidence, reason: StartReason
) -> None:
    assert history(*facts).start_reason(version, "h", evidence) is reason


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


def test_a_start_of_an_older_version_is_read_without_its_boot() -> None:
    written = json.loads(msgspec.json.encode(BOOT_1))
    del written["boot_id"]
    assert msgspec.convert(written, ServiceStarted) == STARTED
