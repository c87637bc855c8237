"""A journal that was cut, overwritten or flipped: said in sentences, never called whole, never written over."""

import os
import random
import re
import shutil
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.tools.journals import START, Database, halted, intended, reserved
from trader.clock import ManualClock
from trader.events import AnyDurableFact
from trader.journal import Journal, JournalDamaged, JournalError, JournalLocked, JournalReader, JournalTooNew
from trader.journal.codec import from_row
from trader.journal.errors import NotAJournal
from trader.journal.repair import repair
from trader.journal.verify import Verdict, verify

# For more of them: TRADER_TEST_FLIPS=5000 pytest tests/unit/journal/test_damage.py
FLIPS = int(os.environ.get("TRADER_TEST_FLIPS", "30"))
PAGE_BYTES = 4096
FRAME_BYTES = PAGE_BYTES + 24
FACTS: list[AnyDurableFact] = [
    fact for number in range(60) for fact in (reserved(number), halted(), intended(), intended())
]


class Copy:
    """A journal's files, to do harm to."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "journal.db"
        self.log = folder / "journal.db-wal"
        self.url = f"sqlite:///{self.path}"

    def content(self) -> dict[str, bytes]:
        content = {file.name: file.read_bytes() for file in (self.path, self.log) if file.exists()}
        return {name: what for name, what in content.items() if what}  # who reads may make an empty log

    def verify(self) -> Verdict:
        return verify(self.url, lambda fact: None)

    def repair(self) -> object:
        return repair(self.url, lambda: lambda fact: None, ManualClock(START))


def read(url: str) -> list[AnyDurableFact]:
    with JournalReader.open(url) as journal:
        return [fact for _, fact in journal.read()]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two folders: a journal that was closed, and one whose process was killed, with all its facts in the log."""
    folder = tmp_path_factory.mktemp("written")
    for name in ("closed", "killed"):
        (folder / name).mkdir()
    with Database(f"sqlite:///{folder}/live.db").open() as journal:
        for start in range(0, len(FACTS), 4):
            journal.append(FACTS[start : start + 4])
        for end in ("", "-wal"):
            shutil.copy(f"{folder}/live.db{end}", f"{folder}/killed/journal.db{end}")
    shutil.copy(folder / "live.db", folder / "closed/journal.db")
    return folder


@pytest.fixture
def copied(written: Path, tmp_path: Path) -> Callable[[str], Copy]:
    """A fresh copy of the closed or of the killed journal."""

    def make(name: str) -> Copy:
        shutil.rmtree(tmp_path / name, ignore_errors=True)
        shutil.copytree(written / name, tmp_path / name)
        return Copy(tmp_path / name)

    return make


def require_honest(copy: Copy, harm: str) -> None:
    """Who calls it whole is right; nobody raises anything but a sentence or writes into what is damaged."""
    before = copy.content()
    verdict = copy.verify()
    assert copy.content() == before, harm
    assert all("\n" not in problem for problem in verdict.problems), harm
    if verdict.ok:
        assert read(copy.url) == FACTS, harm
    else:
        with suppress(JournalError):
            facts = read(copy.url)
            assert facts == FACTS[: len(facts)], harm
    require_nothing_overwritten(copy, harm)


def require_nothing_overwritten(copy: Copy, harm: str) -> None:
    """A service goes on with a journal whose facts are right, and leaves any other as it is."""
    before = copy.content()
    try:
        with Journal.open(copy.url, "process", ManualClock(START)) as journal:
            facts = [fact for _, fact in journal.read()]
    except JournalDamaged as error:
        if error.sequence is None:
            assert copy.content() == before, harm
    except JournalError:
        assert copy.content() == before, harm
    else:
        assert facts == FACTS[: len(facts)], harm


@pytest.mark.parametrize("name", ["closed", "killed"])
def test_a_whole_journal_is_called_whole(copied: Callable[[str], Copy], name: str) -> None:
    copy = copied(name)
    verdict = copy.verify()
    assert (verdict.problems, verdict.tail, verdict.facts, verdict.unsealed) == ([], "", len(FACTS), 0)
    assert verdict.ok


@pytest.mark.parametrize("name", ["closed", "killed"])
def test_a_journal_with_a_flipped_bit_is_never_called_whole_unless_every_fact_is(
    copied: Callable[[str], Copy], name: str, seed: int
) -> None:
    chance = random.Random(seed)
    seen_ok = 0
    for _ in range(FLIPS):
        copy = copied(name)
        file = copy.log if name == "killed" else copy.path
        content = bytearray(file.read_bytes())
        place, bit = chance.randrange(len(content)), chance.randrange(8)
        content[place] ^= 1 << bit
        file.write_bytes(content)
        require_honest(copy, f"bit {bit} of byte {place} of {file.name}")
        seen_ok += copy.verify().ok
    assert seen_ok < FLIPS / 2


def test_the_head_of_each_page_is_guarded_too(copied: Callable[[str], Copy], seed: int) -> None:
    chance = random.Random(seed)
    pages = copied("closed").path.stat().st_size // PAGE_BYTES
    for page in range(pages):
        copy = copied("closed")
        content = bytearray(copy.path.read_bytes())
        place = page * PAGE_BYTES + chance.randrange(100 if page == 0 else 16)
        content[place] ^= 1 << chance.randrange(8)
        copy.path.write_bytes(content)
        require_honest(copy, f"byte {place}")


def test_a_table_whose_definition_is_no_text_any_more_is_damage(copied: Callable[[str], Copy]) -> None:
    copy = copied("closed")
    copy.path.write_bytes(copy.path.read_bytes().replace(b"CREATE TABLE facts", b"CREATE TABL\xcf facts"))
    assert any("cannot be read" in problem for problem in copy.verify().problems)
    for opened in (Journal.open, JournalReader.open):
        with pytest.raises(JournalDamaged, match="cannot be read"):
            opened(copy.url)


def test_a_journal_that_is_cut_off_is_never_called_whole(copied: Callable[[str], Copy]) -> None:
    size = copied("closed").path.stat().st_size
    for end in range(0, size, PAGE_BYTES):
        copy = copied("closed")
        with copy.path.open("rb+") as file:
            file.truncate(end)
        assert not copy.verify().ok
        require_honest(copy, f"cut off at {end}")


def test_a_log_that_is_cut_off_inside_a_step_has_the_steps_before_it_and_says_so(
    copied: Callable[[str], Copy], seed: int
) -> None:
    """A log cut off between two steps is a journal of less: nothing in it tells, but the broker does."""
    chance = random.Random(seed)
    size = copied("killed").log.stat().st_size
    for end in (*range(33, size, 5 * FRAME_BYTES), *(chance.randrange(33, size) for _ in range(20))):
        copy = copied("killed")
        with copy.log.open("rb+") as file:
            file.truncate(end)
        verdict = copy.verify()
        assert (end - 32) % FRAME_BYTES == 0 or not verdict.ok, end
        assert verdict.facts % 4 == 0 or verdict.problems, end
        require_nothing_overwritten(copy, f"cut off at {end}")


def test_a_step_that_was_lost_in_the_middle_of_the_log_keeps_the_service_from_writing_over_the_rest(
    copied: Callable[[str], Copy],
) -> None:
    copy = copied("killed")
    content = bytearray(copy.log.read_bytes())
    content[len(content) // 2] ^= 1
    copy.log.write_bytes(content)
    before = copy.content()
    with pytest.raises(JournalDamaged, match=r"frame \d+ of its log is not whole, .* type: trader journal verify"):
        Journal.open(copy.url)
    assert copy.content() == before
    assert "steps were written after it" in copy.verify().problems[0]


def test_a_row_that_was_changed_is_found_though_it_reads_well(database: Database) -> None:
    with database.open() as journal:
        journal.append([reserved(1), reserved(2), reserved(3)])
    assert database.edit("UPDATE facts SET body = replace(body, ':2,', ':7,') WHERE seq = 2") == 1
    verdict = verify(database.url, lambda fact: None)
    assert (verdict.ok, verdict.facts) == (False, 1)
    assert "fact 2 of" in verdict.problems[0]
    assert "checksum differs" in verdict.problems[0]


@pytest.mark.parametrize("body", [None, 7, 1.5, b"{}", "", "{"])
def test_a_row_that_holds_no_fact_is_damage_whatever_it_holds(body: Any) -> None:
    with pytest.raises(JournalDamaged, match="fact 3 of here cannot be understood"):
        from_row(3, body, "here")


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        ("DELETE FROM facts WHERE seq = 2", "fact 2 of .* is missing: 3 stands in its place"),
        ("UPDATE facts SET kind = 'FillBooked' WHERE seq = 2", "filed as another kind"),
        ("UPDATE facts SET at = '2026' WHERE seq = 2", "filed as another kind or time"),
        ("UPDATE facts SET body = (SELECT body FROM facts WHERE seq = 3) WHERE seq = 2", "checksum differs"),
        ("UPDATE facts SET body = 'gone' WHERE seq = 2", "cannot be understood"),
        ("DELETE FROM meta WHERE key = 'schema_version'", "does not say its version"),
        ("UPDATE meta SET value = '99' WHERE key = 'schema_version'", "has version 99"),
    ],
)
def test_verify_names_what_is_wrong_on_either_database(database: Database, harm: str, said: str) -> None:
    with database.open() as journal:
        journal.append([reserved(1), reserved(2), reserved(3)])
    assert database.edit(harm) == 1
    (problem, *_) = verify(database.url, lambda fact: None).problems
    assert re.search(said, problem), problem


def test_facts_that_contradict_each_other_are_named(database: Database) -> None:
    with database.open() as journal:
        journal.append([reserved(1), reserved(2)])

    def fold(fact: AnyDurableFact) -> None:
        if fact == reserved(2):
            raise KeyError("r-2")

    verdict = verify(database.url, fold)
    assert (verdict.facts, verdict.ok) == (1, False)
    assert "fact 2 of" in verdict.problems[0]
    assert "contradicts those before it" in verdict.problems[0]


def test_facts_of_a_release_without_checksums_are_read_and_counted(database: Database) -> None:
    with database.open() as journal:
        journal.append([reserved(1), reserved(2)])
    body = '{"type":"OrderIdsReserved","at":"2026-03-02T14:30:00Z","next_order_id":1}'
    assert database.edit(f"UPDATE facts SET body = '{body}' WHERE seq = 1") == 1
    verdict = verify(database.url, lambda fact: None)
    assert (verdict.ok, verdict.facts, verdict.unsealed) == (True, 2, 1)


# -- repair


def test_a_repair_keeps_a_copy_and_saves_what_is_whole_up_to_the_damage(copied: Callable[[str], Copy]) -> None:
    copy = copied("killed")
    content = bytearray(copy.log.read_bytes())
    content[len(content) // 2] ^= 1
    copy.log.write_bytes(content)
    before = copy.content()

    done = copy.repair()

    kept = Path(done.kept)  # type: ignore[attr-defined]
    assert {file.name: file.read_bytes() for file in kept.iterdir() if not file.name.endswith("-shm")} == before
    verdict = copy.verify()
    assert verdict.ok
    assert 0 < verdict.facts == done.facts < len(FACTS)  # type: ignore[attr-defined]
    assert read(copy.url) == FACTS[: verdict.facts]
    with Journal.open(copy.url, "process", ManualClock(START)) as journal:
        journal.append([reserved(99)])
    assert read(copy.url) == [*FACTS[: verdict.facts], reserved(99)]
    with pytest.raises(JournalError, match="there is nothing to repair"):
        copy.repair()


def test_a_repair_of_any_damage_ends_whole_or_changes_nothing(copied: Callable[[str], Copy], seed: int) -> None:
    chance = random.Random(seed)
    for name in ("closed", "killed") * 8:
        copy = copied(name)
        file = copy.log if name == "killed" else copy.path
        content = bytearray(file.read_bytes())
        start = chance.randrange(len(content))
        content[start : start + PAGE_BYTES] = chance.randbytes(len(content[start : start + PAGE_BYTES]))
        file.write_bytes(content)
        before = copy.content()
        try:
            copy.repair()
        except JournalError:
            assert copy.content() == before, start
        else:
            facts = read(copy.url)
            assert copy.verify().ok, start
            assert facts == FACTS[: len(facts)], start


def test_a_repair_is_refused_while_a_service_has_the_journal(file: Database) -> None:
    with file.open(), pytest.raises(JournalLocked, match="in use by process"):
        repair(file.url, lambda: lambda fact: None, ManualClock(START))


def test_a_repair_leaves_what_is_not_ours_or_of_a_later_release(file: Database, path: Path) -> None:
    file.open().close()
    file.edit("UPDATE meta SET value = '99' WHERE key = 'schema_version'")
    with pytest.raises(JournalTooNew):
        repair(file.url, lambda: lambda fact: None, ManualClock(START))
    for statement in ("DROP TABLE facts", "DROP TABLE meta", "CREATE TABLE recipes (name TEXT)"):
        file.edit(statement)
    with pytest.raises(NotAJournal):
        repair(file.url, lambda: lambda fact: None, ManualClock(START))
    assert [each.name for each in path.parent.glob("*damaged*")] == []


def test_a_database_server_is_not_repaired_from_here(postgres_url: str) -> None:
    with pytest.raises(JournalError, match="the server's administrator"):
        repair(postgres_url, lambda: lambda fact: None, ManualClock(START))


def test_a_repair_without_room_for_the_copy_changes_nothing(
    copied: Callable[[str], Copy], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device", "journal.db")

    copy = copied("closed")
    with copy.path.open("rb+") as file:
        file.truncate(5 * PAGE_BYTES)
    before = copy.content()
    monkeypatch.setattr(shutil, "copy2", refuse)
    with pytest.raises(JournalError, match="No space left on device"):
        copy.repair()
    assert copy.content() == before
