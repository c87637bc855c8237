"""The countdown to the broker's next login: by the table, by the service, and how the last one went."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.unit.doctor.changes import answer, silent
from tests.unit.doctor.fake_host import FakeHost
from tests.unit.maintenance.months import context_of, figure, installed
from trader.events import DurableFact, ReconciliationFinished
from trader.maintenance import reauth
from trader.maintenance.model import Kind, Outcome, Section

# Sunday 01:00 in New York is 06:00 UTC in winter, and 05:00 in summer, which begins on 2026-03-08.
DUE = datetime(2026, 3, 1, 6, 0, tzinfo=UTC)
LAST = datetime(2026, 2, 22, 6, 0, tzinfo=UTC)
MONDAY_OPEN = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)
METRICS = "9464/metrics"


def agreed(at: datetime, *, clean: bool = True) -> ReconciliationFinished:
    return ReconciliationFinished(at=at, clean=clean, unanswered=(), mismatches={}, duration_s=0.1)


FACTS = (agreed(LAST - timedelta(minutes=5)), agreed(LAST + timedelta(hours=3), clean=False),
         agreed(LAST + timedelta(hours=4)), agreed(LAST + timedelta(hours=5)))  # fmt: skip


def counted(
    tmp_path: Path, left: timedelta, *, host: FakeHost | None = None, facts: tuple[DurableFact, ...] = FACTS,
    mode: str = "paper", **configured: Any,
) -> Section:  # fmt: skip
    host = host or installed(answer(METRICS, 200, f"{reauth.METRIC} {DUE.timestamp()}\n"))
    context = context_of(tmp_path, host, kind=Kind.WEEKLY, now=DUE - left, facts=facts, mode=mode, **configured)
    return reauth.run(context)


def test_it_counts_down_and_says_until_when_there_is_time(tmp_path: Path) -> None:
    section = counted(tmp_path, timedelta(days=2))
    assert section.outcome is Outcome.OK
    assert figure(section, "The login ends in").value == 2 * 86_400
    assert figure(section, "A person has to log in after").value == DUE
    assert figure(section, "before the session that opens").value == MONDAY_OPEN
    assert figure(section, "Time for it").value == (MONDAY_OPEN - DUE).total_seconds()
    assert section.missing == ()


@pytest.mark.parametrize(
    ("left", "outcome"), [(timedelta(hours=25), Outcome.OK), (timedelta(hours=23), Outcome.WARNING)]
)
def test_within_a_day_it_is_a_warning_as_the_alert_is(left: timedelta, outcome: Outcome, tmp_path: Path) -> None:
    section = counted(tmp_path, left)
    assert section.outcome is outcome
    assert bool(section.mend) is (outcome is Outcome.WARNING)


def test_the_simulated_gateway_needs_no_login(tmp_path: Path) -> None:
    section = counted(tmp_path, timedelta(hours=1), mode="simulated")
    assert section.outcome is Outcome.OK
    assert "simulated gateway needs no login" in section.notes[0]


def test_the_last_login_is_told_by_the_first_clean_agreement_after_it(tmp_path: Path) -> None:
    section = counted(tmp_path, timedelta(days=2))
    assert figure(section, "The login before ended").value == LAST
    assert figure(section, "Books agreed").value == 4 * 3_600


def test_books_that_never_agreed_since_are_a_warning(tmp_path: Path) -> None:
    section = counted(tmp_path, timedelta(days=2), facts=FACTS[:2])
    assert figure(section, "Books agreed").value == "not yet"
    assert section.outcome is Outcome.WARNING
    assert "Books agreed" in section.sentence


def test_a_journal_that_cannot_be_read_is_missing(tmp_path: Path) -> None:
    section = counted(tmp_path, timedelta(days=2), facts=())
    assert any("whether the last login was in time" in text for text in section.missing)
    assert not [item for item in section.figures if "Books agreed" in item.label]


def test_a_service_that_goes_by_another_time_is_a_warning(tmp_path: Path) -> None:
    later = DUE + timedelta(hours=1)
    host = installed(answer(METRICS, 200, f"{reauth.METRIC} {later.timestamp()}\n"))
    section = counted(tmp_path, timedelta(days=2), host=host)
    assert figure(section, "The service and its alert go by").outcome is Outcome.WARNING


@pytest.mark.parametrize("value", ["NaN", "0", "1e300", "-1"])
def test_a_moment_that_is_none_is_missing(value: str, tmp_path: Path) -> None:
    section = counted(tmp_path, timedelta(days=2), host=installed(answer(METRICS, 200, f"{reauth.METRIC} {value}\n")))
    assert any("what the service publishes" in text for text in section.missing)


def test_a_service_that_does_not_answer_is_missing(tmp_path: Path) -> None:
    section = counted(tmp_path, timedelta(days=2), host=installed(silent(METRICS)))
    assert section.outcome is Outcome.OK
    assert section.missing == ("what the service publishes of it: it does not answer",)


def test_a_table_that_cannot_be_read_is_not_known(tmp_path: Path) -> None:
    (tmp_path / "windows.yaml").write_text("source: [")
    section = counted(tmp_path, timedelta(days=2), session={"broker_windows_file": tmp_path / "windows.yaml"})
    assert section.outcome is Outcome.UNKNOWN
    assert "is not YAML" in section.sentence


def test_a_calendar_that_has_expired_is_missing(tmp_path: Path) -> None:
    context = context_of(tmp_path, kind=Kind.WEEKLY, now=datetime(2100, 1, 1, tzinfo=UTC), mode="paper")
    section = reauth.run(context)
    assert any("the session until which" in text for text in section.missing)
    assert figure(section, "Table of the broker's windows").outcome is Outcome.WARNING


def test_summer_time_moves_the_moment_with_new_york(tmp_path: Path) -> None:
    context = context_of(tmp_path, kind=Kind.WEEKLY, now=datetime(2026, 3, 14, tzinfo=UTC), mode="paper")
    section = reauth.run(context)
    assert figure(section, "A person has to log in after").value == datetime(2026, 3, 15, 5, 0, tzinfo=UTC)
    # The week before the change is an hour longer; its login is found all the same.
    [ended] = [item for item in reauth.run(context_of(tmp_path, facts=FACTS, mode="paper",
               now=datetime(2026, 3, 8, 5, 30, tzinfo=UTC))).figures if "before ended" in item.label]  # fmt: skip
    assert ended.value == DUE
