"""What the lab does before it boots anything: judging the machine, waiting, and keeping its folder in order."""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.lab import host
from tests.lab.errors import LabError, LabUnavailable, TimedOut
from tests.lab.folders import being_made, fingerprint, forget_old, lab_folder, remove_tree, scratch
from tests.lab.lab import Lab
from tests.lab.records import Process
from tests.lab.release import RELEASES, SYSTEMD_252, SYSTEMD_257, Release
from tests.lab.waiting import wait_until


@pytest.fixture(autouse=True)
def _machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine that can run the lab, as far as these tests look: root, Debian 12, all programs."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in (*host.PROGRAMS, *host.PROGRAMS_TO_MAKE_A_SYSTEM, *host.PROGRAMS_OF_A_SYSTEM):
        if not name.startswith("/"):
            make_program(programs / name)
    make_program(programs / "findmnt", "echo ext4")
    about = tmp_path / "os-release"
    about.write_text('ID=debian\nVERSION_CODENAME=bookworm\nPRETTY_NAME="Debian"\n')
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(host, "OS_RELEASE", about)
    monkeypatch.setattr(host, "PROGRAMS_OF_A_SYSTEM", {"ip": "iproute2"})
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setenv("TRADER_LAB_DIR", str(tmp_path / "lab"))
    monkeypatch.delenv("TRADER_LAB", raising=False)
    monkeypatch.delenv("CI", raising=False)
    host._reason_against.cache_clear()
    yield
    host._reason_against.cache_clear()


def make_program(path: Path, script: str = "") -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.mark.parametrize("release", RELEASES.values(), ids=lambda release: release.id)
def test_a_machine_that_has_everything_can_run_the_lab(release: Release) -> None:
    host.require(release)


def test_the_lab_says_that_it_needs_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(LabUnavailable, match="needs root"):
        host.require(SYSTEMD_252)


def test_the_lab_can_be_turned_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRADER_LAB", "0")
    with pytest.raises(LabUnavailable, match="turned off by TRADER_LAB=0"):
        host.require(SYSTEMD_257)


def test_a_folder_that_cannot_be_an_upper_layer_is_refused(tmp_path: Path) -> None:
    make_program(tmp_path / "bin/findmnt", "echo overlay")
    with pytest.raises(LabUnavailable, match=r"is on overlay.*TRADER_LAB_DIR=FOLDER"):
        host.require(SYSTEMD_252)


def test_a_missing_program_is_named_with_its_package(tmp_path: Path) -> None:
    (tmp_path / "bin/systemd-nspawn").unlink()
    with pytest.raises(LabUnavailable, match=r"systemd-nspawn not found; type: apt-get install systemd-container"):
        host.require(SYSTEMD_252)


def test_packages_are_installed_where_it_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = tmp_path / "bin"
    (programs / "systemd-nspawn").unlink()
    (programs / "mmdebstrap").unlink()
    # Like the real one, it knows no package before its first update.
    make_program(
        programs / "apt-get",
        f"""
echo "$*" >> {tmp_path}/asked
case "$1" in
  update) : > {tmp_path}/updated ;;
  install) [ -e {tmp_path}/updated ] || exit 100
    for name in systemd-nspawn mmdebstrap; do echo '#!/bin/sh' > {programs}/$name; done
    /bin/chmod 755 {programs}/* ;;
esac""",
    )
    monkeypatch.setenv("TRADER_LAB", "1")
    host.require(SYSTEMD_257)
    asked = (tmp_path / "asked").read_text().splitlines()
    install = "install -y -qq --no-install-recommends mmdebstrap systemd-container"
    assert asked == [install, "update -qq", install]


@pytest.mark.parametrize(
    ("about", "release"),
    [
        ("ID=debian\nVERSION_CODENAME=bookworm\n", SYSTEMD_252),
        ('ID=debian\nVERSION_CODENAME="trixie"\n', SYSTEMD_257),
        ("ID=debian\nVERSION_CODENAME=bullseye\n", None),
        ("ID=ubuntu\nVERSION_CODENAME=noble\n", None),
        ("", None),
    ],
)
def test_the_hosts_own_system_is_told_by_its_os_release(about: str, release: Release | None, tmp_path: Path) -> None:
    (tmp_path / "os-release").write_text(about)
    assert host.host_release() == release


def test_a_condition_is_asked_until_it_holds() -> None:
    answers = iter((0, None, "", "here"))
    assert wait_until(lambda: next(answers), "it", poll_s=0) == "here"


def test_a_condition_is_asked_once_more_after_the_deadline() -> None:
    answers = iter(("late",))
    assert wait_until(lambda: next(answers), "it", timeout_s=0) == "late"
    with pytest.raises(TimedOut, match=r"the tide did not come within 0 s; the last answer was \[\]"):
        wait_until(list, "the tide", timeout_s=0)


def test_a_folder_appears_whole_or_not_at_all() -> None:
    target = lab_folder() / "made"
    with pytest.raises(FileNotFoundError), being_made(target) as draft:
        (draft / "half/of/it").touch()
    assert list(lab_folder().iterdir()) == []
    with being_made(target) as draft:
        (draft / "whole").touch()
    assert [path.name for path in lab_folder().rglob("*")] == ["made", "whole"]


def test_a_scratch_folder_is_gone_afterwards() -> None:
    with scratch("trial") as folder:
        (folder / "file").touch()
    assert list(lab_folder().iterdir()) == []


def test_only_the_newest_and_what_is_used_is_kept() -> None:
    names_and_ages_h = {"new": 0.0, "fresh": 0.5, "second": 0.9, "old-but-kept": 40.0, "old": 41.0}
    for name, age_h in names_and_ages_h.items():
        (lab_folder() / f"thing-{name}").mkdir()
        os.utime(lab_folder() / f"thing-{name}", (1e9 - age_h * 3600, 1e9 - age_h * 3600))
    forget_old("thing-*", keep=frozenset({lab_folder() / "thing-old-but-kept"}), at_most=2)
    assert {path.name for path in lab_folder().glob("thing-*")} == {f"thing-{name}" for name in names_and_ages_h} - {
        "thing-old"
    }


def test_a_fingerprint_tells_where_one_part_ends() -> None:
    assert fingerprint(["ab", "c"]) != fingerprint(["a", "bc"])
    assert fingerprint(["ab"]) == fingerprint([b"ab"])


def test_what_is_not_there_can_be_removed(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "nowhere")
    remove_tree(link)
    remove_tree(tmp_path / "nowhere")
    assert not link.is_symlink()


def test_another_process_with_the_same_pid_is_another_process() -> None:
    me = Process.me()
    assert me.is_alive()
    assert Process(me.pid, me.started - 1).is_gone()


@pytest.mark.parametrize("name", ["", "Lab", "-lab", "a.b", "a/b", "a" * 41])
def test_a_lab_cannot_have_just_any_name(name: str) -> None:
    with pytest.raises(LabError, match="cannot be called"):
        Lab.require_name(name)


def test_a_folder_that_two_delete_at_once_is_deleted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "lab-1"
    (folder / "below").mkdir(parents=True)
    delete = shutil.rmtree

    def beside_another(path: Path) -> None:
        """The other one was quicker with what is below."""
        if (path / "below").exists():
            (path / "below").rmdir()
            raise FileNotFoundError(2, "No such file or directory", "below")
        delete(path)

    monkeypatch.setattr(shutil, "rmtree", beside_another)
    remove_tree(folder)
    assert not folder.exists()
