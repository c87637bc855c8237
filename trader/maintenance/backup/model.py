"""What a backup says of itself: its name, its manifest, and the books as they were at its last fact.

Rules: pure. A manifest of a later format is refused; an amount is a Decimal, by value and not by its digits.
"""

import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Final

import msgspec

from trader.contracts import TradingMode
from trader.maintenance.backup.errors import BackupDamaged, BackupError

FORMAT: Final = 1
SUFFIX: Final = ".tar.gz"
CHECKSUM_SUFFIX: Final = ".sha256"
MANIFEST: Final = "manifest.json"
SQLITE_MEMBER: Final = "journal.db"
POSTGRES_MEMBER: Final = "journal.sql"
CONFIG_FOLDER: Final = "config/"
MANIFEST_MAX_BYTES: Final = 16_000_000
MEMBERS_MAX: Final = 16

TIME_FORMAT: Final = "%Y%m%dT%H%M%SZ"
NAME: Final = re.compile(r"(?P<at>\d{8}T\d{6}Z)-(?P<mode>simulated|paper|live)-(?P<account>[A-Za-z0-9]{1,32})\.tar\.gz")
NO_ACCOUNT: Final = "unnamed"


class BackupName(msgspec.Struct, frozen=True):
    """``<UTC time>-<mode>-<account>.tar.gz``; the time is that of the host, to the second."""

    at: datetime
    mode: TradingMode
    account: str

    @classmethod
    def of(cls, at: datetime, mode: TradingMode, account: str) -> "BackupName":
        """The name for a backup that is made at ``at``; what of an account cannot be in a name is left out."""
        letters = re.sub(r"[^A-Za-z0-9]", "", account)[:32]
        return cls(at.astimezone(UTC).replace(microsecond=0), mode, letters or NO_ACCOUNT)

    @classmethod
    def parse(cls, name: str) -> "BackupName":
        """The parts of a file's name; raises BackupError when it is not that of a backup."""
        match = NAME.fullmatch(name)
        if match is None:
            raise BackupError(f"{name} is not the name of a backup; those look like 20260302T220000Z-paper-DU1{SUFFIX}")
        try:
            at = datetime.strptime(match["at"], TIME_FORMAT).replace(tzinfo=UTC)
        except ValueError:
            raise BackupError(f"{name} is not the name of a backup: {match['at']} is no time") from None
        return cls(at, TradingMode(match["mode"]), match["account"])

    def __str__(self) -> str:
        return f"{self.at.strftime(TIME_FORMAT)}-{self.mode}-{self.account}{SUFFIX}"


class Position(msgspec.Struct, frozen=True):
    """What is held of one instrument; ``cost`` is signed and without multiplier, ``realized`` is gross."""

    quantity: Decimal
    cost: Decimal
    realized: Decimal


class Balance(msgspec.Struct, frozen=True):
    """Of one currency since the books began: gross realized P&L, and commissions, which are positive here."""

    realized: Decimal
    commission: Decimal


class OpenOrder(msgspec.Struct, frozen=True):
    """An order that was not final."""

    symbol: str
    state: str
    quantity: Decimal
    filled: Decimal


class Books(msgspec.Struct, frozen=True, kw_only=True):
    """What the facts up to ``last_sequence`` come to; positions by symbol, balances by currency, orders by reference.

    ``mode`` and ``account`` are those of the last start, None and empty before one. ``last_kind`` and ``last_at`` are
    those of the last fact, and tell apart journals that parted after a restore.
    """

    base_currency: str
    mode: TradingMode | None
    account: str
    last_sequence: int
    last_kind: str
    last_at: datetime | None
    facts: dict[str, int]
    fills: int
    trading_state: str
    positions: dict[str, Position]
    balances: dict[str, Balance]
    open_orders: dict[str, OpenOrder]


class Member(msgspec.Struct, frozen=True):
    """One file of the archive but the manifest itself."""

    name: str
    size_bytes: int
    sha256: str


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """The first member of the archive. ``version`` and ``config_hash`` are those of whoever made the backup.

    ``lacks`` says in sentences what belongs to it and could not be had; ``masked`` names the files in which secrets
    were replaced.
    """

    format: int
    made_at: datetime
    host: str
    version: str
    mode: TradingMode
    account: str
    config_hash: str
    books: Books
    members: tuple[Member, ...]
    lacks: tuple[str, ...] = ()
    masked: tuple[str, ...] = ()

    @property
    def journal(self) -> Member:
        """The member that holds the facts."""
        return next(member for member in self.members if member.name in (SQLITE_MEMBER, POSTGRES_MEMBER))

    @property
    def is_sqlite(self) -> bool:
        return self.journal.name == SQLITE_MEMBER


class _Format(msgspec.Struct):
    format: int


def decode_manifest(content: bytes, where: Path) -> Manifest:
    """The manifest in ``content``; raises BackupDamaged, or BackupError for one of a later release."""
    try:
        found = msgspec.json.decode(content, type=_Format).format
        if found > FORMAT:
            raise BackupError(f"{where} has format {found} and this program knows {FORMAT}; use the later release")
        manifest = msgspec.json.decode(content, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BackupDamaged(f"{where} is damaged: its manifest cannot be understood ({error})") from error
    journals = [member for member in manifest.members if member.name in (SQLITE_MEMBER, POSTGRES_MEMBER)]
    names = {member.name for member in manifest.members}
    if (
        len(manifest.members) > MEMBERS_MAX
        or len(journals) != 1
        or len(names) != len(manifest.members)
        or not all(map(_is_allowed, names))
    ):
        raise BackupDamaged(f"{where} is damaged: its manifest does not list one journal and its configuration")
    return manifest


def _is_allowed(name: str) -> bool:
    """Whether a member may have ``name``: the journal, or a plain file of the configuration."""
    if name in (SQLITE_MEMBER, POSTGRES_MEMBER):
        return True
    inner = name.removeprefix(CONFIG_FOLDER)
    return name.startswith(CONFIG_FOLDER) and inner not in ("", ".", "..") and not re.search(r"[/\\\0]", inner)


def checksum_file(backup: Path) -> Path:
    """Where the checksum of ``backup`` is."""
    return backup.with_name(backup.name + CHECKSUM_SUFFIX)
