"""Folders and files: there, their owner's, and closed to whom they do not concern."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from trader.doctor.host import FileState
from trader.doctor.model import Absent, Finding, failed, worst
from trader.doctor.place import Place

OTHERS_WRITE = 0o022
SECRET_MODE = 0o600
CONFIG_MODE = 0o640
FILES_MAX = 1_000
MENDED_ONE_BY_ONE_MAX = 2
INSTALL = "sudo systemd/install.sh"


class Wanted(NamedTuple):
    """A folder as it has to be: at most the bits of ``mode``; an empty owner or group may be anybody."""

    path: Path
    owner: str
    group: str
    mode: int


def wanted_folders(place: Place) -> tuple[Wanted, ...]:
    """The folders of an installation; the table that the check goes through."""
    site, user = place.site, place.site.user
    own = (
        Wanted(site.base, user, user, 0o750),
        Wanted(site.config.parent, "root", user, 0o750),
        Wanted(site.state, user, user, 0o750),
        Wanted(site.base / "logs", user, user, 0o750),
        Wanted(site.secrets, "root", "root", 0o700),
        Wanted(site.textfiles, "root", user, 0o2775),
    )
    return own if site.instance else (*own, Wanted(site.base / "scripts", "root", "", 0o755))


def folders(place: Place) -> Finding:
    wanted = wanted_folders(place)
    findings = [item for want in wanted for item in _of_folder(place, want)]
    found = worst(findings, f"{len(wanted)} folders as agreed")
    return found if len(findings) <= MENDED_ONE_BY_ONE_MAX else found._replace(mend=INSTALL)


def _of_folder(place: Place, want: Wanted) -> Iterator[Finding]:
    owner, group = want.owner or "root", want.group or "root"
    mend = f"sudo install -d -o {owner} -g {group} -m {want.mode:04o} {want.path}"
    try:
        found = place.host.state(want.path)
    except Absent:
        yield failed(f"{want.path} is not there", mend)
        return
    if found.kind != "folder":
        yield failed(f"{want.path} is no folder but a {found.kind}", f"ls -ld {want.path}")
        return
    wrong = _differs(found, want)
    if wrong:
        yield failed(f"{want.path} {wrong}", mend)


def _differs(found: FileState, want: Wanted) -> str:
    if want.owner and found.owner != want.owner:
        return f"is {found.owner}'s, not {want.owner}'s"
    if want.group and found.group != want.group:
        return f"has the group {found.group}, not {want.group}"
    if found.mode & ~want.mode & 0o777:
        return f"has the mode {found.mode:04o}, at most {want.mode:04o}"
    if want.owner == "root" and want.group and want.mode & 0o070 & ~found.mode:
        return f"is closed to its group (mode {found.mode:04o}, not {want.mode:04o})"
    return ""


def release_is_read_only(place: Place) -> Finding:
    """The service must not be able to change the program that it is."""
    release = place.host.resolve(place.site.current)
    paths = [place.site.prefix, release.parent, release, *(release / name for name in place.host.names(release))]
    findings = []
    for path in paths:
        state = place.host.state(path)
        if state.kind == "link":
            continue
        if state.owner != "root" or state.mode & OTHERS_WRITE:
            mend = f"sudo chown -R root:root {release} && sudo chmod -R go-w {release}"
            findings.append(failed(f"{path} is {state.owner}'s with mode {state.mode:04o}", mend))
    return worst(findings, f"{release} belongs to root, nobody else writes")


def config_files(place: Place) -> Finding:
    folder, user = place.site.config.parent, place.site.user
    findings = []
    place.host.state(place.site.config)
    names = place.host.names(folder)[:FILES_MAX]
    for name in names:
        path = folder / name
        state = place.host.state(path)
        if state.kind != "file":
            continue
        if state.owner != "root" or state.group != user or state.mode & ~CONFIG_MODE or not state.mode & 0o040:
            findings.append(
                failed(
                    f"{path} is {state.owner}:{state.group} {state.mode:04o}, not root:{user} {CONFIG_MODE:04o}",
                    f"sudo chown root:{user} {path} && sudo chmod {CONFIG_MODE:o} {path}",
                )
            )
    return worst(findings, f"{place.site.config} and what is beside it: root:{user}, closed to others")


def secrets(place: Place) -> Finding:
    folder = place.site.secrets
    findings = []
    names = place.host.names(folder)[:FILES_MAX]
    if place.site.token.name not in names:
        findings.append(failed(f"{place.site.token} is not there: the service cannot start"))
    for name in names:
        path = folder / name
        state = place.host.state(path)
        if (state.owner, state.group) != ("root", "root") or state.mode & ~SECRET_MODE:
            findings.append(
                failed(
                    f"{path} is {state.owner}:{state.group} {state.mode:04o}, not root:root {SECRET_MODE:04o}",
                    f"sudo chown root:root {path} && sudo chmod {SECRET_MODE:o} {path}",
                )
            )
        elif state.size_bytes == 0:
            findings.append(failed(f"{path} is empty"))
    return worst(findings, f"{len(names)} in {folder}, root's alone")
