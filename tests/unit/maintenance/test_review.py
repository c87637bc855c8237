"""The weekly review: the weeks' figures computed again from the journal's raw rows, and gaps where there is no data."""

import dataclasses
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import pytest

from tests.unit.maintenance.days import DeadMetrics, context, figure, raw, replayed, rows, write
from trader.contracts import TradingMode
from trader.maintenance import history, performance, review
from trader.maintenance.context import Context, Period
from trader.maintenance.folded import fold
from trader.maintenance.model import JobReport, Kind, Outcome, Section, TaskRun
from trader.maintenance.review_weeks import WEEKS, follow, read_days, read_weeks, spans_until
from trader.settings import MaintenanceSettings

# The first traded day lies in the week before, the second one in the last week.
UNTIL = datetime(2013, 10, 15, tzinfo=UTC)
MIDDLE = UNTIL - timedelta(days=7)
BEGIN = MIDDLE - timedelta(days=7)
NOTHING = Section(key=performance.KEY, title=performance.TITLE, outcome=Outcome.FAILED, sentence="nothing")


def weekly(tmp_path: Path, until: datetime = UNTIL) -> Context:
    day = context(tmp_path, metrics=DeadMetrics())
    settings = day.settings.model_copy(update={"maintenance": MaintenanceSettings(reports_folder=tmp_path / "reports")})
    period = Period(until - timedelta(days=7), until, f"{until - timedelta(days=1):%Y-%m-%d}")
    return dataclasses.replace(day, kind=Kind.WEEKLY, period=period, settings=settings)


@pytest.fixture
def journal(tmp_path: Path) -> Path:
    return write(tmp_path, replayed())


def commissions(path: Path, since: datetime, until: datetime) -> Decimal:
    return sum((Decimal(body["line"]["amount"]) for body in raw(path, "CommissionBooked", since, until)), Decimal(0))


def cash(path: Path, since: datetime, until: datetime) -> Decimal:
    """What fills took in less what they paid; of a week that begins and ends flat that is its gross profit."""
    total = Decimal(0)
    for body in raw(path, "FillBooked", since, until):
        line = body["line"]
        amount = Decimal(line["quantity"]) * Decimal(line["price"]) * Decimal(line["instrument"]["multiplier"])
        total += -amount if line["side"] == "BUY" else amount
    return total


def test_each_weeks_figures_are_those_of_the_raw_rows(journal: Path, tmp_path: Path) -> None:
    found = read_weeks(weekly(tmp_path))
    assert [week is None for week in found.weeks] == [True] * (WEEKS - 2) + [False, False]
    for week, (since, until) in zip(found.known, ((BEGIN, MIDDLE), (MIDDLE, UNTIL)), strict=True):
        assert (week.since, week.until) == (since, until)
        assert week.orders == len(raw(journal, "OrderIntended", since, until)) > 0
        assert week.fills == len({body["line"]["exec_id"] for body in raw(journal, "FillBooked", since, until)}) > 0
        assert week.costs == -commissions(journal, since, until)
        assert week.gross == cash(journal, since, until)
        assert week.net == week.gross - commissions(journal, since, until)
        assert week.sessions == len(raw(journal, "SessionClosed", since, until)) == 1
        assert week.planned_starts + week.unplanned_starts == len(raw(journal, "ServiceStarted", since, until))


def test_the_section_shows_the_last_week_and_judges_it(journal: Path, tmp_path: Path) -> None:
    found = review.run(weekly(tmp_path))
    week = read_weeks(weekly(tmp_path)).known[-1]
    assert figure(found, "Net").value == week.net
    assert figure(found, "Orders").value == week.orders
    assert figure(found, "Fill rate").value == week.fill_rate
    assert figure(found, "Net").outcome is (Outcome.OK if week.net and week.net > 0 else Outcome.WARNING)
    table = rows(found, "By week (USD)")
    assert table["2013-10-14"]["Net"] == week.net
    assert table["2013-10-07"]["Orders"] == len(raw(journal, "OrderIntended", BEGIN, MIDDLE))
    assert [chart.title for chart in found.charts] == [title for title, *_ in review.CHARTS]


def test_the_charts_have_the_success_metrics_bounds(journal: Path, tmp_path: Path) -> None:
    bounds = {chart.title: chart.bound for chart in review.run(weekly(tmp_path)).charts}
    assert bounds["Fill rate by week"] == 0.9
    assert bounds["Order latency by week"] == 2.0
    assert bounds["P&L by week"] == 0.0


def test_a_week_without_data_is_a_gap_and_no_zero(journal: Path, tmp_path: Path) -> None:
    found = review.run(weekly(tmp_path, UNTIL + timedelta(days=7)))
    assert found.outcome is Outcome.UNKNOWN
    assert "nothing of the last week" in found.sentence
    assert figure(found, "Net").value is None
    assert figure(found, "Orders").value is None
    assert figure(found, "Fill rate").outcome is Outcome.UNKNOWN
    for chart in found.charts:
        for line in chart.lines:
            assert line.points[-1] == (UNTIL + timedelta(days=7), None)
    last = rows(found, "By week (USD)")["2013-10-21"]
    assert all(value is None for title, value in last.items() if title != "Week to")
    assert any("2013-10-21" in sentence for sentence in found.missing)


def test_a_week_in_which_nothing_was_traded_has_zeros_and_no_ratios(tmp_path: Path) -> None:
    quiet = [fact for fact in replayed() if type(fact).__name__ in ("ServiceStarted", "SessionOpened")]
    write(tmp_path, quiet)
    found = read_weeks(weekly(tmp_path)).known
    assert [(week.orders, week.fills, week.fill_rate, week.ack_p50_s) for week in found] == [(0, 0, None, None)] * len(
        found
    )
    assert found


def test_an_empty_journal_is_not_known(tmp_path: Path) -> None:
    write(tmp_path, [])
    found = review.run(weekly(tmp_path))
    assert found.outcome is Outcome.UNKNOWN
    assert found.charts == ()
    assert all(item.value is None for item in found.figures)


def test_a_journal_that_is_not_there_fails_the_section(tmp_path: Path) -> None:
    assert review.run(weekly(tmp_path)).outcome is Outcome.FAILED


def test_a_damaged_journal_fails_the_section(journal: Path, tmp_path: Path) -> None:
    with closing(sqlite3.connect(journal)) as connection, connection:
        connection.execute("UPDATE facts SET body = '{' WHERE kind = 'FillBooked'")
    assert review.run(weekly(tmp_path)).outcome is Outcome.FAILED


def test_the_weeks_together_are_the_whole(journal: Path, tmp_path: Path) -> None:
    """The books go on from week to week: nothing is counted twice or lost between two."""
    whole = follow(fold("USD", ()), [(BEGIN, UNTIL)], [weekly(tmp_path).facts(since=BEGIN, until=UNTIL)]).known[0]
    parts = read_weeks(weekly(tmp_path)).known
    assert sum(week.fills for week in parts) == whole.fills
    assert sum((week.net for week in parts if week.net is not None), Decimal(0)) == whole.net


def test_weeks_follow_each_other_without_gap_or_overlap() -> None:
    spans = spans_until(UNTIL)
    assert len(spans) == WEEKS
    assert spans[-1][1] == UNTIL
    assert all(before[1] == after[0] for before, after in pairwise(spans))


def report(section: Section, until: datetime, started_at: datetime) -> JobReport:
    run = TaskRun(task=performance.KEY, section=section, started_at=started_at, duration_s=1.0)
    return JobReport(
        kind=Kind.DAILY, started_at=started_at, finished_at=started_at + timedelta(minutes=1),
        since=until - timedelta(days=1), until=until, mode=TradingMode.SIMULATED, account="", host="host", version="1",
        dry_run=False, outcome=section.outcome, runs=(run,), label=f"{until:%Y-%m-%d}",
    )  # fmt: skip


def test_days_are_counted_by_their_newest_report(journal: Path, tmp_path: Path) -> None:
    section = performance.run(context(tmp_path))
    day = datetime(2013, 10, 8, 20, 5, tzinfo=UTC)
    folder = tmp_path / "reports"
    history.write_report(folder, report(NOTHING, day, day + timedelta(hours=1)))
    history.write_report(folder, report(section, day, day + timedelta(hours=2)))

    found = read_days(folder, spans_until(UNTIL))

    assert [days.reported for days in found] == [0] * (WEEKS - 1) + [1]
    expected = {str(row[0]): str(row[3]) for row in section.tables[0].rows}
    assert {metric: dict(verdicts) for metric, verdicts in found[-1].verdicts.items()} == {
        metric: {verdict: 1} for metric, verdict in expected.items()
    }
    assert found[-1].not_met == ("broken" in expected.values())
    table = rows(review.run(weekly(tmp_path)), "By the daily reports of these weeks")
    assert {name: row["Days met"] for name, row in table.items()} == {
        name: int(verdict == "ok") for name, verdict in expected.items()
    }


def test_what_is_no_report_is_passed_over(tmp_path: Path) -> None:
    folder = tmp_path / "reports" / "daily"
    folder.mkdir(parents=True)
    (folder / "2013-10-08_20131008T210000Z.json").write_text("{")
    assert [days.reported for days in read_days(tmp_path / "reports", spans_until(UNTIL))] == [0] * WEEKS
