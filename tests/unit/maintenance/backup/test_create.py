"""A backup is made as a whole or not at all, of one moment, without a secret, while the journal is written."""

import errno
import os
import resource
import signal
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest

from trader.clock import ManualClock, SystemClock
from trader.maintenance.backup import BackupBusy, BackupDamaged, BackupError, Keep, create, disk, entries, verify

STEPS_MAX = 2_000


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} - {".lock"}


def test_it_holds_the_journal_the_configuration_and_the_books(place: Any, by_sql: Any, by_books: Any) -> None:
    made = place.back_up()

    assert made.path.name == "20260302T220100Z-simulated-DU7.tar.gz"
    with tarfile.open(made.path) as archive:
        assert archive.getnames() == ["manifest.json", "journal.db", "config/config.yaml"]
        content = archive.extractfile("config/config.yaml").read()  # type: ignore[union-attr]
    assert content == place.config.read_bytes()
    assert by_books(made.manifest.books) == by_sql(place.journal)
    assert len(made.manifest.books.open_orders) == 1


def test_others_cannot_read_it_and_sha256sum_agrees(place: Any) -> None:
    made = place.back_up()
    assert made.path.stat().st_mode & 0o777 == 0o600
    assert place.backups.stat().st_mode & 0o777 == 0o700
    checked = subprocess.run(
        ["sha256sum", "--check", f"{made.path.name}.sha256"],
        cwd=place.backups, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert checked.returncode == 0, checked.stderr


WRITER = """
import sys
from pathlib import Path
from trader.clock import SystemClock
from trader.journal import Journal

url, stop = sys.argv[1], Path(sys.argv[2])
clock = SystemClock()
with Journal.open(url) as journal:
    fact = next(fact for number, fact in journal.read(kinds=["SessionOpened"]))
    while not stop.exists():
        begun_ns = clock.monotonic_ns()
        journal.append([fact])
        print(begun_ns, clock.monotonic_ns(), flush=True)
"""


def test_it_is_of_one_moment_while_the_journal_is_written_and_keeps_nobody_from_writing(
    place: Any, by_sql: Any, by_books: Any, measured: Callable[..., None], tmp_path: Path
) -> None:
    place.trade(3_000)
    stop, clock = tmp_path / "stop", SystemClock()
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, place.subject.journal_url, str(stop)], stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout is not None
        lines = [writer.stdout.readline() for _ in range(300)]
        begun_ns = clock.monotonic_ns()
        try:
            reader = threading.Thread(target=lambda: lines.extend(writer.stdout))  # type: ignore[arg-type]
            reader.start()
            made = place.back_up()
            ended_ns = clock.monotonic_ns()
        finally:
            stop.touch()
            reader.join()
    assert writer.returncode == 0
    appends = [(int(first), int(last)) for first, last in (line.split() for line in lines)]
    meanwhile = [last - first for first, last in appends if begun_ns < first and last < ended_ns]
    before = [last - first for first, last in appends if last < begun_ns]

    assert meanwhile
    assert verify(made.path).manifest.books == made.manifest.books
    told, live = by_books(made.manifest.books), by_sql(place.journal)
    assert told["last"] < live["last"]
    for part in ("positions", "cash", "commission"):
        assert told[part] == live[part]
    measured("journal", place.journal.stat().st_size / 1e6, "MB")
    measured("facts appended while it was backed up", len(meanwhile), "")
    for name, waits in (("before", before), ("meanwhile", meanwhile)):
        measured(f"p99 of an append {name}", sorted(waits)[len(waits) * 99 // 100] / 1e6, "ms")
        measured(f"longest append {name}", max(waits) / 1e6, "ms")


SECRETS = {
    "a password in the journal's address": "journal: {url: 'postgresql://me:hunter2@host/books'}\n",
    "a key among the strategy's parameters": "strategy:\n  parameters:\n    api_key: hunter2   # mine\n",
    "a key in flow style": "strategy: {parameters: {broker_token: hunter2, window: 5}}\n",
    "a key in quotes": "strategy: {parameters: {'secret': \"hunter2 hunter2\"}}\n",
    "a key over several lines": "strategy:\n  parameters:\n    password: |\n      hunter2\n      hunter2\n",
    "a list of keys": "strategy:\n  parameters:\n    tokens:\n      - hunter2\n",
}


@pytest.mark.parametrize("name", SECRETS)
def test_no_secret_gets_into_it(place: Any, tmp_path: Path, name: str) -> None:
    token = tmp_path / "token"
    token.write_text("hunter2")
    place.config.write_text(f"instruments: [SPY]\npolicy: {{token_file: {token}}}\n{SECRETS[name]}")

    made = place.back_up()

    with tarfile.open(made.path) as archive:
        everything = b"".join(archive.extractfile(member).read() for member in archive)  # type: ignore[union-attr]
        kept = "config/config.yaml" in archive.getnames()
    assert b"hunter2" not in everything
    assert made.manifest.masked or made.manifest.lacks
    assert kept == bool(made.manifest.masked)


def test_a_file_that_the_configuration_names_and_that_is_not_there_is_said_and_the_books_are_kept(place: Any) -> None:
    missing = place.config.parent / "XLON.csv"
    place.subject = msgspec.structs.replace(place.subject, files=(place.config, missing))

    made = place.back_up()

    assert made.manifest.lacks == (f"{missing} is not in it: it is not there",)
    assert [member.name for member in made.manifest.members] == ["journal.db", "config/config.yaml"]


def test_a_disk_that_is_full_at_any_write_leaves_what_was_there(place: Any, full_disk: Any) -> None:
    older = place.back_up()
    before = names_in(place.backups)
    for step in count(1):
        assert step < STEPS_MAX
        said = ""
        try:
            with full_disk(step):
                made = place.back_up()
        except BackupError as error:
            said = str(error)
        if not said:
            break
        assert "no room is left" in said
        assert "\n" not in said
        assert names_in(place.backups) == before
    assert step > 5
    assert [entry.path for entry in entries(place.backups)] == [made.path, older.path]
    assert verify(older.path).manifest == older.manifest


def test_a_process_that_dies_at_any_step_leaves_whole_backups_only_and_the_next_run_sweeps(
    place: Any, dying: Any, by_sql: Any
) -> None:
    older = place.back_up()
    books = by_sql(place.journal)
    for step in count(1):
        assert step < STEPS_MAX
        made = None
        with dying(step) as died:
            made = place.back_up()
        there = entries(place.backups)
        assert older.path in [entry.path for entry in there]
        for entry in there:
            assert verify(entry.path).manifest.books.last_sequence == books["last"]
        assert by_sql(place.journal) == books
        if not died:
            break
    assert step > 20
    assert made is not None
    assert names_in(place.backups) == {name for e in there for name in (e.path.name, f"{e.path.name}.sha256")}


def test_a_copy_that_finds_no_room_is_one_sentence(place: Any) -> None:
    place.trade(2_000)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    heard = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    try:
        with pytest.raises(BackupError, match=r"cannot be written|cannot be copied") as refused:
            place.back_up()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, heard)
    assert "\n" not in str(refused.value)
    assert names_in(place.backups) == set()


def test_a_folder_that_may_not_be_written_is_one_sentence(place: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(disk, "mkdir", refuse)
    with pytest.raises(BackupError, match=r"backups cannot be written: this user may not") as refused:
        place.back_up()
    assert "\n" not in str(refused.value)


def test_a_file_in_the_place_of_the_folder_is_one_sentence(place: Any) -> None:
    place.backups.write_text("in the way")
    with pytest.raises(BackupError, match="a part of the path is no folder"):
        place.back_up()
    assert place.backups.read_text() == "in the way"


def test_the_folder_may_be_on_another_file_system(place: Any, request: pytest.FixtureRequest) -> None:
    elsewhere = Path("/dev/shm", f"backups-{os.getpid()}")
    if not elsewhere.parent.is_dir() or elsewhere.parent.stat().st_dev == place.journal.parent.stat().st_dev:
        pytest.skip("there is no second file system here")
    request.addfinalizer(lambda: disk.remove_tree(elsewhere))
    place.backups = elsewhere
    assert verify(place.back_up().path).manifest.books.last_sequence > 0


def test_two_at_once_are_one_and_a_clear_refusal(place: Any) -> None:
    disk.make_folder(place.backups)
    with (
        disk.FolderLock(place.backups),
        pytest.raises(BackupBusy, match=rf"process {os.getpid()} makes a backup in .* right now"),
    ):
        place.back_up()
    assert place.back_up().path.is_file()


def test_one_that_is_dated_later_than_now_is_told(place: Any) -> None:
    place.clock.advance(timedelta(days=400))
    ahead = place.back_up()
    place.clock = ManualClock(place.clock.now() - timedelta(days=400))
    made = place.back_up()
    assert made.ahead == (ahead.path.name,)
    assert {entry.path for entry in entries(place.backups)} == {ahead.path, made.path}


def test_a_second_one_of_the_same_second_is_refused_and_the_first_stays(place: Any) -> None:
    made = place.back_up()
    with pytest.raises(BackupError, match="made within the same second"):
        create(place.subject, place.backups, Keep(), place.clock)
    assert verify(made.path).manifest == made.manifest


def test_a_journal_that_is_not_there_or_damaged_makes_no_backup(place: Any) -> None:
    content = bytearray(place.journal.read_bytes())
    content[5_000:9_000] = os.urandom(4_000)
    place.journal.write_bytes(content)
    with pytest.raises(BackupDamaged) as refused:
        place.back_up()
    assert str(place.journal) in str(refused.value)

    place.journal.unlink()
    with pytest.raises(BackupError, match="there is no journal at"):
        place.back_up()
    assert names_in(place.backups) == set()
