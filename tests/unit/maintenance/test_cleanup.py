"""Cleaning up: what is old or too much goes, what must not go stays, whatever somebody has put in its way."""

import os
import stat
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.doctor.changes import program
from tests.unit.doctor.fake_host import NOW
from tests.unit.maintenance.months import context_of, figure, installed, table
from trader.maintenance import cleanup, ground
from trader.maintenance.context import Context
from trader.maintenance.ground import Deletion, Found, Ground, Refused, delete, survey
from trader.maintenance.model import Kind, Outcome, Section
from trader.maintenance.surplus import NEWEST_KEPT, SETTLED, Limits, Reason, choose

DAY = timedelta(days=1)
KEEP = {"maintenance": {"log_days": 30}}


def write(path: Path, age: timedelta, size: int = 10) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * size)
    moment = (NOW - age).timestamp()
    os.utime(path, (moment, moment))
    return path


def newest(folder: Path) -> list[Path]:
    """Files that are kept whatever their age, so that the others can go."""
    return [write(folder / f"new-{number}.log", DAY) for number in range(NEWEST_KEPT)]


def cleaned(context: Context) -> Section:
    return cleanup.run(context)


@pytest.fixture
def context(tmp_path: Path) -> Context:
    newest(tmp_path / "logs")
    return context_of(tmp_path, kind=Kind.WEEKLY, **KEEP)


def test_it_deletes_logs_that_are_old_and_lists_them_with_their_sizes(context: Context, tmp_path: Path) -> None:
    old = write(tmp_path / "logs" / "drills" / "2025" / "gateway.log", 31 * DAY, 1234)
    young = write(tmp_path / "logs" / "trader.log", 29 * DAY)
    section = cleaned(context)
    assert not old.exists()
    assert young.exists()
    assert section.outcome is Outcome.OK
    assert table(section, "Files deleted").rows == ((str(old), 1234, NOW - 31 * DAY, str(Reason.AGE)),)
    assert figure(section, "Size of what was deleted").value == 1234
    assert not (tmp_path / "logs" / "drills").exists(), "folders that became empty go too"


def test_a_dry_run_lists_what_it_would_delete_and_deletes_nothing(context: Context, tmp_path: Path) -> None:
    old = write(tmp_path / "logs" / "old.log", 31 * DAY, 99)
    before = sorted(tmp_path.rglob("*"))
    section = cleaned(replace(context, dry_run=True))
    assert sorted(tmp_path.rglob("*")) == before
    assert table(section, "Files would be deleted").rows[0][0] == str(old)
    assert "one file of 99 B would be deleted" in section.sentence
    assert figure(section, "Size of what would be deleted").value == 99
    looked_at = [path for path in (tmp_path / "logs").rglob("*") if path.is_file()]
    (logs,) = [row for row in table(section, "Folders").rows if row[0] == "Logs"]
    assert logs[1:6] == (str(tmp_path / "logs"), len(looked_at), sum(p.stat().st_size for p in looked_at), 1, 99)


def test_above_the_size_the_oldest_go_first(tmp_path: Path) -> None:
    logs = tmp_path / "logs"
    newest(logs)
    files = [write(logs / f"{age}.log", age * DAY, 600_000) for age in (4, 3, 2)]
    context = context_of(tmp_path, maintenance={"log_max_bytes": 1_000_000})
    section = cleaned(context)
    assert [file.exists() for file in files] == [False, False, True]
    assert {row[3] for row in table(section, "Files deleted").rows} == {str(Reason.SIZE)}


def test_what_stays_too_large_is_told(tmp_path: Path) -> None:
    for number in range(NEWEST_KEPT):
        write(tmp_path / "logs" / f"{number}.log", 40 * DAY, 1_000_000)
    section = cleaned(context_of(tmp_path, maintenance={"log_max_bytes": 1_000_000}))
    assert section.outcome is Outcome.WARNING
    assert any("still holds 3.0 MB" in note for note in section.notes)


def test_reports_backups_the_journal_and_the_flag_stay_however_old(context: Context, tmp_path: Path) -> None:
    age = 900 * DAY
    kept = [
        write(tmp_path / "logs" / "reports" / "daily" / "old.json", age),
        write(tmp_path / "logs" / "backups" / "old.tar.gz", age),
        write(tmp_path / "logs" / "state" / "journal.db", age),
        write(tmp_path / "logs" / "state" / "other.log", age),
        write(tmp_path / "logs" / "journal.db-wal", age),
        write(tmp_path / "logs" / "panic.flag", age),
        write(tmp_path / "logs" / "config.yaml", age),
    ]
    inside = replace(
        context,
        config_file=tmp_path / "logs" / "config.yaml",
        folders=replace(context.folders, backups=tmp_path / "logs" / "backups"),
        settings=context.settings.model_copy(
            update={
                "journal": context.settings.journal.model_copy(
                    update={"url": f"sqlite:///{tmp_path}/logs/state/journal.db"}
                ),
                "panic": context.settings.panic.model_copy(update={"flag": tmp_path / "logs" / "panic.flag"}),
            }
        ),
    )
    # The configuration's own folder is never cleaned, so here it has to be another.
    section = cleaned(inside)
    assert all(path.exists() for path in kept)
    assert any("holds what is never cleaned up" in text for text in section.missing)
    apart = replace(inside, config_file=tmp_path / "config" / "config.yaml")
    gone = write(tmp_path / "logs" / "gone.log", age)
    (tmp_path / "logs" / "config.yaml").unlink()
    assert cleaned(apart).outcome is Outcome.OK
    assert not gone.exists()
    assert all(path.exists() for path in kept[:-1])


def test_a_hard_link_to_the_journal_is_the_journal(context: Context, tmp_path: Path) -> None:
    journal = write(tmp_path / "state" / "journal.db", 900 * DAY)
    link = tmp_path / "logs" / "innocent.log"
    link.hardlink_to(journal)
    cleaned(context)
    assert link.exists()


def test_links_are_neither_followed_nor_deleted(context: Context, tmp_path: Path) -> None:
    outside = write(tmp_path / "outside" / "precious.log", 900 * DAY)
    (tmp_path / "logs" / "folder").symlink_to(outside.parent)
    link = tmp_path / "logs" / "file.log"
    link.symlink_to(outside)
    os.utime(link, (0, 0), follow_symlinks=False)
    cleaned(context)
    assert outside.exists()
    assert link.is_symlink()


def test_a_logs_folder_that_is_a_link_is_refused(tmp_path: Path) -> None:
    outside = write(tmp_path / "outside" / "precious.log", 900 * DAY)
    (tmp_path / "logs").symlink_to(outside.parent)
    section = cleaned(context_of(tmp_path, **KEEP))
    assert outside.exists()
    assert section.outcome is Outcome.WARNING
    assert any("it is a link" in text for text in section.missing)


def test_a_folder_that_is_not_there_is_no_fault(tmp_path: Path) -> None:
    section = cleaned(context_of(tmp_path, **KEEP))
    assert section.outcome is Outcome.OK
    assert any("is not there" in text for text in section.missing)


def test_names_with_line_breaks_and_bytes_that_are_no_text_are_deleted_and_told(
    context: Context, tmp_path: Path
) -> None:
    hostile = [write(tmp_path / "logs" / name, 40 * DAY) for name in ("a\nb; rm -rf .log", "\x1b[31mred.log")]
    raw = os.fsencode(tmp_path / "logs") + b"/\xff\xfe.log"
    descriptor = os.open(raw, os.O_CREAT | os.O_WRONLY)
    os.close(descriptor)
    os.utime(raw, (0, 0))
    section = cleaned(context)
    assert not any(path.exists() for path in hostile)
    assert not os.path.exists(raw)
    names = [str(row[0]) for row in table(section, "Files deleted").rows]
    assert len(names) == 3
    assert all(name.isprintable() and name.encode() for name in names), names


def test_a_file_that_vanishes_meanwhile_is_no_problem(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = write(tmp_path / "logs" / "old.log", 40 * DAY)

    def vanish(root: Path, protected: frozenset[tuple[int, int]]) -> Ground:
        found = survey(root, protected)
        old.unlink()
        return found

    monkeypatch.setattr(cleanup, "survey", vanish)
    section = cleaned(context)
    assert section.outcome is Outcome.OK
    assert figure(section, "Files deleted").value == 0


def test_a_file_that_was_replaced_meanwhile_stays(tmp_path: Path) -> None:
    old = write(tmp_path / "old.log", 40 * DAY)
    [found] = survey(tmp_path, frozenset()).files
    old.unlink()
    write(old, 0 * DAY)
    assert delete(tmp_path, found) is Deletion.REPLACED
    assert old.exists()


def test_a_folder_that_became_a_link_meanwhile_is_not_gone_through(tmp_path: Path) -> None:
    file = write(tmp_path / "root" / "folder" / "old.log", 40 * DAY)
    [found] = survey(tmp_path / "root", frozenset()).files
    file.parent.rename(tmp_path / "elsewhere")
    (tmp_path / "root" / "folder").symlink_to(tmp_path / "elsewhere")
    assert delete(tmp_path / "root", found) is Deletion.REPLACED
    assert (tmp_path / "elsewhere" / "old.log").exists()


def test_a_file_that_may_not_be_deleted_is_told_and_the_others_go(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stuck, other = (write(tmp_path / "logs" / name, 40 * DAY) for name in ("a-stuck.log", "b.log"))

    def refuse(root: Path, file: Found) -> Deletion:
        if file.name == stuck.name:
            raise PermissionError(13, "Permission denied")
        return delete(root, file)

    monkeypatch.setattr(cleanup, "delete", refuse)
    section = cleaned(context)
    assert section.outcome is Outcome.WARNING
    assert "a-stuck.log cannot be deleted (Permission denied)" in section.sentence
    assert not other.exists()


def test_only_recordings_are_deleted_from_their_folder(tmp_path: Path) -> None:
    folder = tmp_path / "recordings"
    old = [write(folder / f"market-2025-01-0{day}.csv.gz", 400 * DAY) for day in (1, 2)]
    new = [write(folder / f"market-2026-03-0{day}.csv.gz", day * DAY) for day in (1, 2, 3)]
    notes = write(folder / "notes.txt", 900 * DAY)
    below = write(folder / "kept" / "market-2025-01-01.csv.gz", 900 * DAY)
    section = cleaned(context_of(tmp_path, recorder={"directory": folder}))
    assert [path.exists() for path in old] == [False, False]
    assert all(path.exists() for path in (*new, notes, below))
    assert figure(section, "Files deleted").value == 2


def test_while_the_clock_is_wrong_nothing_is_deleted_for_its_age(tmp_path: Path) -> None:
    newest(tmp_path / "logs")
    old = write(tmp_path / "logs" / "old.log", 40 * DAY)
    unsynchronised = program("timedatectl", "show", output="NTP=yes\nNTPSynchronized=no\n")
    section = cleaned(context_of(tmp_path, installed(unsynchronised), **KEEP))
    assert old.exists()
    assert section.outcome is Outcome.WARNING
    assert "clock is not synchronised" in section.notes[0]


def test_more_files_than_are_looked_at_are_told(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ground, "FILES_MAX", 2)
    section = cleaned(context)
    assert section.outcome is Outcome.WARNING
    assert any("more files than are looked at" in note for note in section.notes)


def test_other_kinds_of_files_stay(context: Context, tmp_path: Path) -> None:
    pipe = tmp_path / "logs" / "pipe.log"
    os.mkfifo(pipe)
    os.utime(pipe, (0, 0))
    cleaned(context)
    assert stat.S_ISFIFO(pipe.stat().st_mode)


def test_a_protected_folder_is_refused_as_a_whole(tmp_path: Path) -> None:
    identity = ground.identity_of(tmp_path)
    assert identity is not None
    with pytest.raises(Refused, match="never cleaned up"):
        survey(tmp_path, frozenset({identity}))


FILES = st.lists(
    st.tuples(
        st.sampled_from(("logs", "logs/a", "logs/a/b", "logs/reports", "state", "backups", "outside")),
        st.text(st.characters(exclude_characters="/\0", exclude_categories=("Cs",)), min_size=1, max_size=12).filter(
            lambda name: name not in (".", "..") and len(name.encode()) < 200
        ),
        st.integers(-5, 400),
        st.integers(0, 3_000),
    ),
    max_size=25,
)


@settings(max_examples=30)
@given(files=FILES, log_days=st.integers(1, 300), keeps_journal_in_logs=st.booleans())
def test_whatever_lies_there_only_old_logs_go_and_the_newest_stay(
    tmp_path_factory: pytest.TempPathFactory,
    files: list[tuple[str, str, int, int]],
    log_days: int,
    keeps_journal_in_logs: bool,
) -> None:
    base = tmp_path_factory.mktemp("any")
    ages: dict[Path, int] = {}
    for folder, name, age, size in files:
        path = base / folder / name
        if not path.is_dir():
            write(path, age * DAY, size)
            ages[path] = age
    if keeps_journal_in_logs:
        ages[write(base / "logs" / "journal.db", 999 * DAY)] = 999
    (base / "logs").mkdir(exist_ok=True)
    (base / "outside").mkdir(exist_ok=True)
    if not (base / "logs" / "link").exists():
        (base / "logs" / "link").symlink_to(base / "outside")
    before = {path for path in base.rglob("*") if path.is_file() and not path.is_symlink()}
    cleanup.run(context_of(base, kind=Kind.WEEKLY, maintenance={"log_days": log_days}))
    gone = {path for path in before if not path.exists()}
    logs = [path for path in ages if path.is_relative_to(base / "logs") and not _is_kept(base, path)]
    youngest = sorted(logs, key=lambda path: ages[path])[:NEWEST_KEPT]
    assert gone <= {path for path in logs if ages[path] > log_days}
    assert len([path for path in gone if ages[path] < ages[youngest[-1]]]) == 0 if youngest else not gone
    assert len(logs) - len(gone) >= min(NEWEST_KEPT, len(logs))


def _is_kept(base: Path, path: Path) -> bool:
    return path.is_relative_to(base / "logs" / "reports") or path.name.startswith("journal.db")


@given(
    ages=st.lists(st.tuples(st.integers(0, 1_000), st.integers(0, 1_000)), max_size=40),
    keep=st.none() | st.integers(0, 900),
    most=st.none() | st.integers(0, 20_000),
)
def test_the_choice_keeps_the_newest_and_goes_no_further_than_it_must(
    ages: list[tuple[int, int]], keep: int | None, most: int | None
) -> None:
    now = NOW.timestamp()
    files = [Found((f"{number}",), size, now - age * 3_600, (1, number)) for number, (age, size) in enumerate(ages)]
    limits = Limits(None if keep is None else timedelta(hours=keep), most)
    chosen = choose(files, limits, now)
    gone = {item.file for item in chosen}
    assert len(gone) == len(chosen)
    stay = sorted(set(files) - gone, key=lambda file: file.modified_s)
    assert len(stay) >= min(NEWEST_KEPT, len(files))
    assert all(now - file.modified_s >= SETTLED.total_seconds() for file in gone)
    by_size = [item.file for item in chosen if item.reason is Reason.SIZE]
    left = sum(file.size_bytes for file in stay)
    if by_size:
        assert most is not None
        assert left + by_size[-1].size_bytes > most, "the last one that went had to go"
    if keep is not None:
        old = [file for file in stay if now - file.modified_s > keep * 3_600]
        assert all(
            file in sorted(files, key=lambda one: (one.modified_s, one.parts))[-NEWEST_KEPT:]
            or now - file.modified_s < SETTLED.total_seconds()
            for file in old
        )
