"""The daily backup and the monthly restore, as the jobs run them."""

import random
import shutil
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from trader.clock import ManualClock
from trader.contracts import TradingMode
from trader.events import CommissionBooked, CommissionLine, ServiceStarted, StartReason
from trader.journal import Journal
from trader.maintenance import backup_task, backup_verification, metrics
from trader.maintenance.backup import entries
from trader.maintenance.model import Outcome, Section, TaskRun
from trader.settings_file import load_settings

START = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)


class Jobs:
    """What the tasks are given, over a state of their own."""

    def __init__(self, folder: Path) -> None:
        self.clock = ManualClock(START)
        self.config = folder / "config.yaml"
        self.config.write_text("mode: simulated\naccount: DU7\ninstruments: [SPY]\n")
        self.settings = load_settings(self.config)
        self.journal = folder / "state" / "journal.db"
        self.folders = SimpleNamespace(backups=folder / "backups", scratch=folder / "scratch")
        self.day = 0

    def context(self, dry_run: bool = False) -> Any:
        return SimpleNamespace(
            settings=self.settings, config_file=self.config, clock=self.clock, folders=self.folders, dry_run=dry_run
        )

    def trade(self) -> None:
        """A day passes, with facts in it."""
        self.clock.advance(timedelta(days=1))
        self.day += 1
        at = self.clock.now()
        started = ServiceStarted(
            at=at, run_id="r", reason=StartReason.MANUAL, previous_exit_clean=True, version="0.1.0",
            mode=TradingMode.SIMULATED, account="DU7", config_hash="abc",
        )  # fmt: skip
        cost = CommissionLine(exec_id=f"{self.day}.01", amount=Decimal(self.day), currency="USD")
        with Journal.open(self.settings.journal.url) as journal:
            journal.append([started, CommissionBooked(at=at, line=cost)])

    def daily(self) -> Any:
        self.trade()
        return backup_task.run(self.context())


@pytest.fixture
def jobs(tmp_path: Path) -> Jobs:
    return Jobs(tmp_path)


def figure(section: Any, label: str) -> Any:
    return next(figure.value for figure in section.figures if figure.label == label)


def table(section: Any, title: str) -> list[Any]:
    return next(list(table.rows) for table in section.tables if table.title == title)


def test_the_daily_job_makes_a_backup_and_says_what_it_holds(jobs: Jobs) -> None:
    section = jobs.daily()
    (made,) = entries(jobs.folders.backups)
    assert section.outcome is Outcome.OK, section.sentence
    assert (figure(section, "Facts"), figure(section, "Size")) == (2, made.size_bytes)
    assert section.tables[0].rows[0][0] == made.path.name


def test_it_keeps_as_many_as_the_configuration_says(jobs: Jobs) -> None:
    jobs.config.write_text(
        jobs.config.read_text() + "maintenance: {daily_backups: 4, weekly_backups: 0, monthly_backups: 0}\n"
    )
    jobs.settings = load_settings(jobs.config)
    for _ in range(6):
        section = jobs.daily()
    assert len(entries(jobs.folders.backups)) == 4
    assert len([note for note in section.notes if note.startswith("removed as older")]) == 1


def test_a_backup_that_fails_is_a_failed_section_with_the_command_that_tries_again(jobs: Jobs) -> None:
    section = backup_task.run(jobs.context())
    assert section.outcome is Outcome.FAILED
    assert "there is no journal at" in section.sentence
    assert section.mend == "trader backup create"


def test_what_a_backup_lacks_is_missing_and_a_warning(jobs: Jobs) -> None:
    jobs.config.write_text(jobs.config.read_text() + "session: {calendar_file: none.csv}\n")
    jobs.settings = load_settings(jobs.config)
    section = jobs.daily()
    assert section.outcome is Outcome.WARNING
    assert "none.csv is not in it" in section.missing[0]


def test_a_dry_run_makes_and_restores_nothing(jobs: Jobs) -> None:
    jobs.trade()
    assert backup_task.run(jobs.context(dry_run=True)).outcome is Outcome.OK
    assert not jobs.folders.backups.exists()
    made = jobs.daily()
    section = backup_task.run(jobs.context(dry_run=True))
    (path,) = jobs.folders.backups.glob("2*.tar.gz")
    assert table(section, "Backups") == [(path.name, jobs.clock.now(), path.stat().st_size, "there")]
    assert table(made, "Backups") == table(section, "Backups")
    assert backup_verification.run(jobs.context(dry_run=True)).outcome is Outcome.OK
    assert not jobs.folders.scratch.exists()


def test_the_monthly_job_restores_the_newest_and_an_older_one_and_finds_the_books_of_those_days(jobs: Jobs) -> None:
    for _ in range(5):
        jobs.daily()
    jobs.trade()

    section = backup_verification.run(jobs.context())

    assert section.outcome is Outcome.OK, section.sentence
    rows = section.tables[0].rows
    newest, *older = [entry.path.name for entry in entries(jobs.folders.backups)]
    assert rows[0][0] == newest
    assert rows[1][0] in older
    assert rows[0][2] == 10
    seed = int(figure(section, "Seed of the choice"))
    chosen = backup_verification.choose(entries(jobs.folders.backups), seed)
    assert [entry.path.name for entry in chosen] == [row[0] for row in rows]
    assert list(jobs.folders.scratch.iterdir()) == []


def test_every_older_one_is_tried_in_the_long_run(jobs: Jobs, seed: int) -> None:
    for _ in range(4):
        jobs.daily()
    there, rng = entries(jobs.folders.backups), random.Random(seed)
    tried = {backup_verification.choose(there, rng.randrange(2**32))[1].path for _ in range(200)}
    assert tried == {entry.path for entry in there[1:]}


def test_backups_of_other_books_are_none_of_these(jobs: Jobs) -> None:
    jobs.daily()
    for path in list(jobs.folders.backups.glob("2*")):
        path.rename(path.with_name(path.name.replace("DU7", "DU8")))
    assert "there is no backup of these books" in backup_verification.run(jobs.context()).sentence


def recorded(jobs: Jobs, outcome: Outcome) -> None:
    """What the daily job keeps of its run."""
    now = jobs.clock.now()
    section = Section(key="backup", title="Backup", outcome=outcome, sentence="")
    run = TaskRun(task="backup", section=section, started_at=now, duration_s=1.0)
    metrics.write_records(jobs.settings.maintenance.work_folder, metrics.updated(metrics.NO_RECORDS, [run]))


@pytest.mark.parametrize("tried", [False, True])
def test_before_the_first_backup_its_absence_is_a_warning_with_what_to_type(jobs: Jobs, tried: bool) -> None:
    jobs.trade()
    if tried:
        recorded(jobs, Outcome.FAILED)
    section = backup_verification.run(jobs.context())
    assert section.outcome is Outcome.WARNING
    assert "there is no backup of these books" in section.sentence
    assert section.mend == "trader backup create"


def test_that_no_backup_is_there_fails_once_the_daily_job_has_made_one(jobs: Jobs) -> None:
    jobs.daily()
    recorded(jobs, Outcome.OK)
    shutil.rmtree(jobs.folders.backups)
    section = backup_verification.run(jobs.context())
    assert section.outcome is Outcome.FAILED
    assert "the daily job made one at 2026-03-03 14:30 UTC: it was moved or deleted since" in section.sentence
    assert section.mend == "trader backup create"


def test_whether_a_backup_was_ever_made_is_not_guessed_from_a_broken_record(jobs: Jobs) -> None:
    work = jobs.settings.maintenance.work_folder
    work.mkdir(parents=True)
    (work / "tasks.json").write_text("{")
    section = backup_verification.run(jobs.context())
    assert section.outcome is Outcome.WARNING
    assert "what earlier runs achieved is not known" in section.missing[0]


def test_a_damaged_backup_fails_the_job_and_is_named(jobs: Jobs) -> None:
    jobs.daily()
    jobs.daily()
    newest = entries(jobs.folders.backups)[0].path
    newest.write_bytes(newest.read_bytes()[:-7])
    section = backup_verification.run(jobs.context())
    assert section.outcome is Outcome.FAILED
    assert newest.name in section.sentence
    assert section.mend == "trader backup verify --all"
    assert figure(section, "Restored and compared") == 1


def test_a_live_journal_that_was_changed_is_found_by_comparing_with_the_backup(jobs: Jobs) -> None:
    jobs.daily()
    with closing(sqlite3.connect(jobs.journal)) as database, database:
        database.execute("""UPDATE facts SET body = replace(body, '"amount":"1"', '"amount":"9"') WHERE seq = 2""")
        assert database.total_changes == 1
    section = backup_verification.run(jobs.context())
    assert section.outcome is Outcome.FAILED
    assert "the live journal is not: fact 2 of" in section.sentence
    with closing(sqlite3.connect(jobs.journal)) as database, database:
        # As a release without checksums would have written it.
        database.execute("UPDATE facts SET body = substr(body, 1, length(body) - 18) || '}' WHERE seq = 2")
    section = backup_verification.run(jobs.context())
    assert section.outcome is Outcome.FAILED
    assert "other books at the same fact: balance USD" in section.sentence


def test_a_journal_that_was_restored_from_an_earlier_point_has_another_history_which_is_a_warning(jobs: Jobs) -> None:
    jobs.daily()
    saved = jobs.journal.read_bytes()
    jobs.daily()
    shutil.rmtree(jobs.journal.parent)
    jobs.journal.parent.mkdir()
    jobs.journal.write_bytes(saved)
    jobs.trade()
    section = backup_verification.run(jobs.context())
    assert section.outcome is Outcome.WARNING
    assert "another fact 4: it was restored from an earlier point since" in section.sentence


def test_a_live_journal_that_cannot_be_read_is_said_and_the_backups_are_verified_all_the_same(jobs: Jobs) -> None:
    jobs.daily()
    shutil.rmtree(jobs.journal.parent)
    section = backup_verification.run(jobs.context())
    assert section.outcome is Outcome.UNKNOWN
    assert "cannot be read" in section.missing[0]
