"""Which backups are kept, which is meant, and that nothing else is ever deleted."""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest

from trader.contracts import TradingMode
from trader.maintenance.backup import BackupError, Keep, entries, find
from trader.maintenance.backup.folder import of_books, prune, sweep
from trader.maintenance.backup.model import BackupName, checksum_file

FIRST = datetime(2025, 1, 1, 21, 30, tzinfo=UTC)


def put(folder: Path, at: datetime, account: str = "DU7", mode: TradingMode = TradingMode.PAPER) -> Path:
    path = folder / str(BackupName.of(at, mode, account))
    path.write_bytes(b"x")
    checksum_file(path).write_text("checksum")
    return path


def days(path: Path) -> list[date]:
    return [entry.name.at.date() for entry in entries(path)]


def sound(_: Path) -> bool:
    return True


def test_a_year_of_days_is_thinned_out_to_days_weeks_and_months(tmp_path: Path) -> None:
    keep = Keep(newest=1, daily=7, weekly=4, monthly=6)
    for day in range(365):
        made = put(tmp_path, FIRST + timedelta(days=day))
        prune(tmp_path, keep, made, sound)

    # The last seven days, the Sundays of four weeks (the last one is under way), the last days of six months.
    assert days(tmp_path) == [
        date(2025, 12, 31), date(2025, 12, 30), date(2025, 12, 29), date(2025, 12, 28), date(2025, 12, 27),
        date(2025, 12, 26), date(2025, 12, 25), date(2025, 12, 21), date(2025, 12, 14), date(2025, 11, 30),
        date(2025, 10, 31), date(2025, 9, 30), date(2025, 8, 31), date(2025, 7, 31),
    ]  # fmt: skip
    assert len(list(tmp_path.glob("*.sha256"))) == len(days(tmp_path))


def test_of_one_day_the_newest_few_are_kept(tmp_path: Path) -> None:
    made = [put(tmp_path, FIRST + timedelta(minutes=minute)) for minute in range(6)]
    gone = prune(tmp_path, Keep(newest=3, daily=1, weekly=0, monthly=0), made[-1], sound)
    assert [entry.path for entry in entries(tmp_path)] == [made[5], made[4], made[3]]
    assert gone == tuple(path.name for path in reversed(made[:3]))


def test_the_newest_one_that_is_sound_is_never_deleted(tmp_path: Path) -> None:
    made = [put(tmp_path, FIRST + timedelta(days=day)) for day in range(10)]
    only_sound = made[2]
    prune(tmp_path, Keep(newest=1, daily=2, weekly=0, monthly=0), made[-1], lambda path: path == only_sound)
    assert only_sound.exists()
    assert [entry.path for entry in entries(tmp_path)] == [made[9], made[8], only_sound]


def test_what_was_just_made_stays_also_when_the_clock_went_back(tmp_path: Path) -> None:
    for day in range(1, 10):
        put(tmp_path, FIRST + timedelta(days=day))
    made = put(tmp_path, FIRST)
    prune(tmp_path, Keep(newest=1, daily=2, weekly=0, monthly=0), made, sound)
    assert made.exists()


def test_other_books_and_other_files_are_left_alone(tmp_path: Path) -> None:
    others = [
        put(tmp_path, FIRST, account="DU8"),
        put(tmp_path, FIRST, mode=TradingMode.LIVE),
        tmp_path / "journal.db",
        tmp_path / "20250101T213000Z-paper-DU7.tar.gz.old",
        tmp_path / "notes.tar.gz",
    ]
    for path in others[2:]:
        path.write_bytes(b"mine")
    for day in range(1, 30):
        made = put(tmp_path, FIRST + timedelta(days=day))
    prune(tmp_path, Keep(newest=1, daily=1, weekly=0, monthly=0), made, sound)
    sweep(tmp_path)
    assert all(path.exists() for path in others)
    assert len(of_books(entries(tmp_path), TradingMode.PAPER, "DU7")) == 1


def test_what_broken_off_runs_left_is_swept(tmp_path: Path) -> None:
    kept = put(tmp_path, FIRST)
    name = str(BackupName.of(FIRST + timedelta(days=1), TradingMode.PAPER, "DU7"))
    (tmp_path / f".{name}.part").write_bytes(b"half")
    (tmp_path / f".{name}.sha256.part").write_bytes(b"half")
    (tmp_path / f"{name}.sha256").write_bytes(b"alone")
    (tmp_path / ".staging.part").mkdir()
    (tmp_path / ".staging.part" / "journal.db").write_bytes(b"half")
    sweep(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [kept.name, f"{kept.name}.sha256"]


def test_a_backup_is_meant_by_its_name_its_path_or_as_the_newest(tmp_path: Path) -> None:
    older, newer = put(tmp_path, FIRST), put(tmp_path, FIRST + timedelta(days=1))
    assert find(tmp_path, "newest") == newer
    assert find(tmp_path, older.name) == older
    put(tmp_path, FIRST + timedelta(days=2), account="DU8")
    put(tmp_path, FIRST + timedelta(days=3), mode=TradingMode.LIVE)
    assert find(tmp_path, "newest", TradingMode.PAPER, "DU7") == newer
    assert find(Path("/nowhere"), str(older)) == older
    with pytest.raises(BackupError, match="there is no backup nosuch"):
        find(tmp_path, "nosuch")
    with pytest.raises(BackupError, match="there is no backup in"):
        find(tmp_path / "none", "newest")


def test_an_account_with_other_signs_makes_a_name_all_the_same() -> None:
    assert BackupName.of(FIRST, TradingMode.LIVE, "U-12/3").account == "U123"
    assert BackupName.of(FIRST, TradingMode.LIVE, "").account == "unnamed"
    assert BackupName.parse("20250101T213000Z-live-U123.tar.gz") == BackupName(FIRST, TradingMode.LIVE, "U123")
    for wrong in ("20251301T213000Z-live-U1.tar.gz", "20250101T213000Z-dead-U1.tar.gz", "x", "../x"):
        with pytest.raises(BackupError, match="is not the name of a backup"):
            BackupName.parse(wrong)
