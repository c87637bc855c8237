"""The archive: a tar compressed by gzip, the manifest first.

Rules: gzip, because the standard library of every Python that this runs on and every rescue system read it (``tar
xzf``), and nothing else has to stay alive for as long as backups are kept; zstd comes with Python 3.14 only. Reading
trusts nothing: names, sizes and checksums are those of the manifest, or it is damage.
"""

import gzip
import hashlib
import io
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Final, cast

import msgspec

from trader.maintenance.backup.disk import CHUNK_BYTES, OWNER_ONLY, Writer, make_folder
from trader.maintenance.backup.errors import BackupDamaged, unreadable
from trader.maintenance.backup.model import MANIFEST, MANIFEST_MAX_BYTES, Manifest, Member, decode_manifest

# Level 6 makes a journal a tenth of it, at some 90 MB/s; 9 is hardly smaller and takes three times as long.
COMPRESSION: Final = 6
UNREADABLE: Final = (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile, ValueError, OverflowError)


def member_of(name: str, file: Path) -> Member:
    """The entry of the manifest for ``file``; raises BackupError when it cannot be read."""
    digest, size = hashlib.sha256(), 0
    try:
        with file.open("rb") as source:
            while chunk := source.read(CHUNK_BYTES):
                digest.update(chunk)
                size += len(chunk)
    except OSError as error:
        raise unreadable(file, error) from error
    return Member(name, size, digest.hexdigest())


def write_archive(writer: Writer, manifest: Manifest, folder: Path) -> None:
    """Write ``manifest`` and its members, which lie in ``folder`` under their names; raises BackupError."""
    with (
        gzip.GzipFile(
            filename="", mode="wb", compresslevel=COMPRESSION, fileobj=cast(IO[bytes], writer), mtime=0
        ) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        content = manifest_text(manifest)
        archive.addfile(_header(MANIFEST, len(content), manifest), io.BytesIO(content))
        for member in manifest.members:
            try:
                source = (folder / member.name).open("rb")
            except OSError as error:
                raise unreadable(folder / member.name, error) from error
            with source:
                archive.addfile(_header(member.name, member.size_bytes, manifest), source)


def manifest_text(manifest: Manifest) -> bytes:
    """``manifest`` as JSON that a person can read."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def _header(name: str, size_bytes: int, manifest: Manifest) -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.size, header.mode, header.mtime = size_bytes, OWNER_ONLY, int(manifest.made_at.timestamp())
    return header


def read_manifest(file: Path) -> Manifest:
    """The manifest of the archive ``file``, which is as far as it is read; raises BackupError."""
    with _opened(file) as (_, archive):
        return _manifest(file, archive)


def extract(file: Path, folder: Path) -> Manifest:
    """Write every member of ``file`` into ``folder`` and compare it with the manifest; raises BackupError.

    What was written before damage was found is left to the caller.
    """
    with _opened(file) as (packed, archive):
        manifest = _manifest(file, archive)
        expected = {member.name: member for member in manifest.members}
        while (header := archive.next()) is not None:
            member = expected.pop(header.name, None)
            if member is None or not header.isreg() or header.size != member.size_bytes:
                raise BackupDamaged(f"{file} is damaged: its manifest does not know its member {header.name!r:.80}")
            _extract_member(file, archive, header, member, folder)
        if expected:
            raise BackupDamaged(f"{file} is damaged: {min(expected)} is missing from it")
        while packed.read(CHUNK_BYTES):  # to the end, where gzip's own checksum is
            pass
    return manifest


def _extract_member(
    file: Path, archive: tarfile.TarFile, header: tarfile.TarInfo, member: Member, folder: Path
) -> None:
    target = folder / member.name
    make_folder(target.parent)
    source = archive.extractfile(header)
    assert source is not None
    with Writer(target) as writer:
        while chunk := source.read(CHUNK_BYTES):
            writer.write(chunk)
        writer.sync()
    if (writer.size_bytes, writer.sha256) != (member.size_bytes, member.sha256):
        raise BackupDamaged(f"{file} is damaged: {member.name} in it does not have the checksum of its manifest")


def _manifest(file: Path, archive: tarfile.TarFile) -> Manifest:
    header = archive.next()
    if header is None or header.name != MANIFEST or not header.isreg() or header.size > MANIFEST_MAX_BYTES:
        raise BackupDamaged(f"{file} is damaged: it does not begin with a manifest")
    source = archive.extractfile(header)
    assert source is not None
    return decode_manifest(source.read(), file)


@contextmanager
def _opened(file: Path) -> Iterator[tuple[gzip.GzipFile, tarfile.TarFile]]:
    try:
        source = file.open("rb")
    except OSError as error:
        raise unreadable(file, error) from error
    with source:
        try:
            with gzip.GzipFile(fileobj=source, mode="rb") as packed, tarfile.open(fileobj=packed, mode="r|") as archive:
                yield packed, archive
        except UNREADABLE as error:
            raise BackupDamaged(f"{file} is damaged: it is no whole archive ({error})") from error
        except OSError as error:
            raise unreadable(file, error) from error
