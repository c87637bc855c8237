"""The audit of files: what others may write or read, and what runs with another's rights, in all folders of ours.

Rules: pure judgements of what was looked at. What could not be seen makes a check not known, with the command that
shows it to root; what was seen to be wrong fails all the same.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from trader.doctor.model import Absent, Finding, NotVisible, failed, unknown, worst
from trader.doctor.place import Place
from trader.doctor.words import some
from trader.maintenance.plain import plain, quoted
from trader.maintenance.walk import Entry, Walk, walk

CONFIGURATION: Final = Path("/etc/ibkr-trading")
GATEWAY_HOME: Final = Path("/var/lib/ibgateway")
OTHERS_WRITE: Final = 0o002
OTHERS_ANY: Final = 0o007
SETUID_SETGID: Final = 0o6000
UNIT_WRITERS: Final = 0o022
OURS: Final = "ibkr-"


def roots_of(place: Place) -> tuple[Path, ...]:
    """The folders of ours, whichever unit uses them."""
    site = place.site
    return (site.base, site.prefix, CONFIGURATION, site.textfiles, GATEWAY_HOME)


def world_writable(place: Place) -> Finding:
    """Files and folders that everybody may write."""

    def is_wrong(entry: Entry) -> bool:
        return entry.state.kind != "link" and bool(entry.state.mode & OTHERS_WRITE)

    return _everywhere(place, is_wrong, "everybody may write", "chmod o-w", "-perm -o+w -not -type l")


def setuid_files(place: Place) -> Finding:
    """Files that run as their owner or group; folders may hand their group down."""

    def is_wrong(entry: Entry) -> bool:
        return entry.state.kind == "file" and bool(entry.state.mode & SETUID_SETGID)

    return _everywhere(place, is_wrong, "set-uid or set-gid", "chmod ug-s", "-type f -perm /6000")


def _everywhere(
    place: Place, is_wrong: Callable[[Entry], bool], words: str, mend: str, search: str
) -> Finding:  # fmt: skip
    findings: list[Finding] = []
    looked_at = 0
    for root in roots_of(place):
        try:
            found = walk(place, root)
        except Absent:
            continue
        except NotVisible:
            found = Walk((), (root,), False)
        looked_at += len(found.entries)
        findings += judge(found, root, is_wrong, (words, mend, search))
    return worst(findings, f"none among {looked_at:,} files and folders")


def judge(found: Walk, root: Path, is_wrong: Callable[[Entry], bool], words: tuple[str, str, str]) -> list[Finding]:
    """What is wrong below ``root``; ``words`` are what is wrong, what mends it, and what finds it."""
    what, mend, search = words
    findings = []
    bad = [entry.path for entry in found.entries if is_wrong(entry)]
    if bad:
        findings.append(failed(f"{what}: {_named(bad)}", f"sudo {mend} {quoted(bad[0])}"))
    if not found.is_whole:
        command = f"sudo find {quoted(root)} -xdev {search}"
        why = f"may not be looked at: {_named(found.unseen)}" if found.unseen else f"{plain(root)} has too many files"
        findings.append(unknown(why, command))
    return findings


def _named(paths: Sequence[Path]) -> str:
    return some([plain(path) for path in paths])


def private_files(place: Place) -> Finding:
    """The journal, backups and logs belong to the service's user, and nobody outside its group sees them."""
    user = place.site.user

    def is_wrong(entry: Entry) -> bool:
        state = entry.state
        return state.kind != "link" and (bool(state.mode & OTHERS_ANY) or state.owner not in (user, "root"))

    roots = [place.site.state, place.site.base / "logs"]
    try:
        roots.append(place.usable_settings().maintenance.backups_folder)
    except NotVisible as error:
        return unknown(f"where the backups are is not known: {error}", f"sudo trader check {place.site.config}")
    findings: list[Finding] = []
    for root in roots:
        try:
            found = walk(place, root)
        except Absent:
            continue
        except NotVisible:
            found = Walk((), (root,), False)
        words = (
            "not the service's own, or open to others",
            f"chmod -R o= {quoted(root)}; sudo chown {user}:{user}",
            "-ls",
        )
        findings += judge(found, root, is_wrong, words)
    return worst(findings, f"{len(roots)} folders: {user}'s, closed to others")


def unit_files(place: Place) -> Finding:
    """Units and drop-ins of ours are root's, and nobody else writes them: whoever does runs as anybody."""
    folder = place.site.unit_folder
    paths = [folder / name for name in place.host.names(folder) if name.startswith(OURS)]
    entries: list[Entry] = []
    for path in paths:
        try:
            entries += walk(place, path).entries
        except Absent:
            continue
    bad = [
        entry.path for entry in entries
        if entry.state.kind != "link" and (entry.state.owner != "root" or entry.state.mode & UNIT_WRITERS)
    ]  # fmt: skip
    mend = f"sudo chown root:root {quoted(bad[0])} && sudo chmod go-w {quoted(bad[0])}" if bad else ""
    return worst(
        [failed(f"not root's alone: {_named(bad)}", mend)] if bad else [], f"{len(entries)} files, root's alone"
    )
