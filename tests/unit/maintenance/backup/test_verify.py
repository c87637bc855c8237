"""Damage of every kind is found, and said in one sentence; what is whole is found to be whole."""

import gzip
import hashlib
import io
import json
import random
import sqlite3
import tarfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from trader.maintenance.backup import BackupDamaged, BackupError, verify
from trader.maintenance.backup.model import checksum_file

Change = Callable[[Path, Path], None]


@pytest.fixture
def made(place: Any) -> Path:
    """A backup, with another one beside it that has other books."""
    place.back_up()
    place.trade()
    path: Path = place.back_up().path
    return path


def seal(backup: Path) -> None:
    """Write the checksum anew, as whoever changes a backup on purpose would."""
    digest = hashlib.sha256(backup.read_bytes()).hexdigest()
    checksum_file(backup).write_text(f"{digest}  {backup.name}\n")


def flip(backup: Path, position: int) -> None:
    content = bytearray(backup.read_bytes())
    content[position] ^= 0x40
    backup.write_bytes(content)


def cut(backup: Path, length: int) -> None:
    backup.write_bytes(backup.read_bytes()[:length])


def members_of(backup: Path) -> dict[str, bytes]:
    with tarfile.open(backup) as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]


def pack(backup: Path, members: dict[str, bytes]) -> None:
    """Put an archive of ``members`` and its true checksum in the place of ``backup``."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in members.items():
            header = tarfile.TarInfo(name)
            header.size = len(content)
            archive.addfile(header, io.BytesIO(content))
    backup.write_bytes(packed.getvalue())
    seal(backup)


def repack(backup: Path, change: Callable[[dict[str, bytes]], None]) -> None:
    members = members_of(backup)
    change(members)
    pack(backup, members)


def rewrite(backup: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change the manifest, and seal everything again."""

    def into(members: dict[str, bytes]) -> None:
        manifest = json.loads(members["manifest.json"])
        change(manifest)
        members["manifest.json"] = json.dumps(manifest).encode()

    repack(backup, into)


def forge(backup: Path, statement: str) -> None:
    """Change the journal inside, and make every checksum agree."""

    def into(members: dict[str, bytes]) -> None:
        copy = backup.with_name("forged.db")
        copy.write_bytes(members["journal.db"])
        with closing(sqlite3.connect(copy)) as database, database:
            database.execute(statement)
        members["journal.db"] = copy.read_bytes()
        copy.unlink()
        manifest = json.loads(members["manifest.json"])
        manifest["members"][0] |= {
            "size_bytes": len(members["journal.db"]),
            "sha256": hashlib.sha256(members["journal.db"]).hexdigest(),
        }
        members["manifest.json"] = json.dumps(manifest).encode()

    repack(backup, into)


def other_of(backup: Path) -> Path:
    return next(path for path in backup.parent.glob("*.tar.gz") if path != backup)


def swap_manifest(backup: Path) -> None:
    other = members_of(other_of(backup))["manifest.json"]
    repack(backup, lambda members: members.update({"manifest.json": other}))


DAMAGE: dict[str, Callable[[Path], None]] = {
    "a byte of the header": lambda backup: flip(backup, 1),
    "a byte in the middle": lambda backup: flip(backup, backup.stat().st_size // 2),
    "the last byte": lambda backup: flip(backup, backup.stat().st_size - 1),
    "gzip's own checksum": lambda backup: flip(backup, backup.stat().st_size - 6),
    "a byte more": lambda backup: backup.write_bytes(backup.read_bytes() + b"\0"),
    "the last byte missing": lambda backup: cut(backup, backup.stat().st_size - 1),
    "half of it": lambda backup: cut(backup, backup.stat().st_size // 2),
    "nothing of it": lambda backup: cut(backup, 0),
    "the checksum": lambda backup: flip(checksum_file(backup), 3),
    "the checksum's name": lambda backup: flip(checksum_file(backup), 70),
    "the checksum cut off": lambda backup: cut(checksum_file(backup), 40),
    "no checksum": lambda backup: checksum_file(backup).unlink(),
    "another backup's checksum": lambda b: checksum_file(b).write_bytes(checksum_file(other_of(b)).read_bytes()),
    "another backup under its name": lambda b: (b.write_bytes(other_of(b).read_bytes()), seal(b))[-1],
}
SEALED_DAMAGE: dict[str, Callable[[Path], None]] = {
    "a byte of the header": lambda backup: (flip(backup, 1), seal(backup))[-1],
    "a byte in the middle": lambda backup: (flip(backup, backup.stat().st_size // 2), seal(backup))[-1],
    "gzip's own checksum": lambda backup: (flip(backup, backup.stat().st_size - 6), seal(backup))[-1],
    "the last byte missing": lambda backup: (cut(backup, backup.stat().st_size - 1), seal(backup))[-1],
    "half of it": lambda backup: (cut(backup, backup.stat().st_size // 2), seal(backup))[-1],
    "nothing of it": lambda backup: (cut(backup, 0), seal(backup))[-1],
    "another backup's manifest": swap_manifest,
    "no manifest": lambda backup: repack(backup, lambda members: members.pop("manifest.json") and None),
    "a manifest that is none": lambda b: repack(b, lambda members: members.update({"manifest.json": b"{}"})),
    "a manifest that is not UTF-8": lambda b: repack(b, lambda m: m.update({"manifest.json": b'{"format": "\xff"}'})),
    "a member missing": lambda backup: repack(backup, lambda members: members.pop("config/config.yaml") and None),
    "a member more": lambda backup: repack(backup, lambda members: members.update({"config/more.yaml": b"x"})),
    "another journal": lambda b: repack(b, lambda m: m.update({"journal.db": members_of(other_of(b))["journal.db"]})),
    "another configuration": lambda b: repack(b, lambda m: m.update({"config/config.yaml": b"mode: live\n"})),
    "another position said": lambda b: rewrite(b, lambda m: first(m["books"]["positions"]).update(quantity="7")),
    "another balance said": lambda b: rewrite(b, lambda m: m["books"]["balances"]["USD"].update(commission="0")),
    "another count said": lambda b: rewrite(b, lambda m: m["books"]["facts"].update(FillBooked=1)),
    "an open order not said": lambda b: rewrite(b, lambda m: m["books"]["open_orders"].clear()),
    "an earlier last fact said": lambda b: rewrite(b, lambda m: m["books"].update(last_sequence=1)),
    "another account said": lambda b: rewrite(b, lambda m: m.update(account="DU8")),
    "a member outside said": lambda b: rewrite(b, lambda m: m["members"][1].update(name="config/../../etc/passwd")),
    "a fact taken out": lambda b: forge(b, "DELETE FROM facts WHERE seq = 9"),
    "the last fact taken out": lambda b: forge(b, "DELETE FROM facts WHERE seq = (SELECT max(seq) FROM facts)"),
    "a fact filed as another": lambda b: forge(b, "UPDATE facts SET kind = 'SessionOpened' WHERE seq = 5"),
    "a fact moved in time": lambda b: forge(b, "UPDATE facts SET at = '2020' WHERE seq = 5"),
    "a fact that is none": lambda b: forge(b, "UPDATE facts SET body = '{' WHERE seq = 5"),
    "a fill booked twice": lambda b: forge(
        b,
        "UPDATE facts SET (at, kind, body) = (SELECT at, kind, body FROM facts WHERE kind = 'FillBooked' LIMIT 1)"
        " WHERE seq = (SELECT max(seq) FROM facts WHERE kind = 'FillBooked')",
    ),
    "a table missing": lambda b: forge(b, "DROP TABLE meta"),
    "no version": lambda b: forge(b, "DELETE FROM meta WHERE key = 'schema_version'"),
}


def first(mapping: dict[str, Any]) -> Any:
    return next(iter(mapping.values()))


def refused(backup: Path) -> str:
    with pytest.raises(BackupDamaged) as found:
        verify(backup)
    sentence = str(found.value)
    assert "\n" not in sentence
    assert backup.name in sentence
    return sentence


def test_a_whole_backup_is_found_to_be_whole(made: Path) -> None:
    assert verify(made).manifest.books.last_sequence > 0
    assert verify(other_of(made)).manifest.books.last_sequence > 0


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_found_and_said_in_one_sentence(made: Path, name: str) -> None:
    DAMAGE[name](made)
    refused(made)


@pytest.mark.parametrize("name", SEALED_DAMAGE)
def test_damage_is_found_behind_a_checksum_that_was_made_to_agree(made: Path, name: str) -> None:
    SEALED_DAMAGE[name](made)
    refused(made)


def test_any_byte_that_is_changed_is_found(made: Path, seed: int) -> None:
    rng, content = random.Random(seed), made.read_bytes()
    for position in [0, len(content) - 1, *(rng.randrange(len(content)) for _ in range(100))]:
        changed = bytearray(content)
        changed[position] ^= 1 << rng.randrange(8)
        made.write_bytes(changed)
        refused(made)


def test_any_byte_that_is_changed_inside_of_the_journal_is_found_by_the_manifests_checksum(
    made: Path, seed: int
) -> None:
    rng, members = random.Random(seed), members_of(made)
    for _ in range(10):
        changed = bytearray(members["journal.db"])
        changed[rng.randrange(len(changed))] ^= 0x01
        pack(made, {**members, "journal.db": bytes(changed)})
        assert "does not have the checksum of its manifest" in refused(made)


def test_what_a_later_release_made_is_refused_as_that(made: Path) -> None:
    rewrite(made, lambda manifest: manifest.update(format=2))
    with pytest.raises(BackupError, match="format 2 and this program knows 1; use the later release"):
        verify(made)


def test_a_journal_of_a_later_release_is_refused_as_that(made: Path) -> None:
    forge(made, "UPDATE meta SET value = '99' WHERE key = 'schema_version'")
    with pytest.raises(BackupError, match="version 99"):
        verify(made)


def test_what_has_not_the_name_of_a_backup_is_refused(made: Path) -> None:
    other = made.rename(made.with_name("books.tar.gz"))
    with pytest.raises(BackupError, match="is not the name of a backup"):
        verify(other)


def test_an_archive_that_grows_when_it_is_unpacked_is_not_followed(made: Path) -> None:
    members = members_of(made)
    bomb = gzip.compress(b"\0" * 1_000_000)
    pack(made, {**members, "config/config.yaml": bomb * 10})
    refused(made)


def test_verifying_leaves_nothing_behind(made: Path, tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    before = {path: path.stat().st_mtime_ns for path in made.parent.iterdir()}
    verify(made, scratch)
    assert list(scratch.iterdir()) == []
    assert {path: path.stat().st_mtime_ns for path in made.parent.iterdir()} == before
