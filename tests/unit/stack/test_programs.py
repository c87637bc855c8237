"""Finding the programs: PATH first when it is recent enough, else the distribution's packages, unpacked once."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from trader.stack import Program, ProgramsMissing, Release, find_programs
from trader.stack.programs import version_of
from trader.stack.relocate import ABSOLUTE, RELATIVE, relocate_alertmanager, working_folder

RECENT = {
    "prometheus": "2.45.1", "promtool": "2.45.1", "prometheus-alertmanager": "0.26.0", "amtool": "0.26.0",
    "prometheus-node-exporter": "1.7.0",
}  # fmt: skip


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def program(folder: Path, name: str, version: str) -> Path:
    return script(folder / name, f"echo '{name}, version {version} (branch: debian/sid, revision: {version}-1)'")


def installed(folder: Path, **changes: str) -> str:
    for name, version in {**RECENT, **{key.replace("_", "-"): value for key, value in changes.items()}}.items():
        program(folder, name, version)
    return str(folder)


@pytest.fixture
def apt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of stand-ins for apt-get and dpkg-deb; what they were asked is in `asked`."""
    folder = tmp_path / "apt"
    made = tmp_path / "made"
    installed(made)
    script(
        folder / "apt-get",
        f'echo "$@" >> {folder}/asked\ncase "$*" in *download*promtool*) exit 100;; *download*) : > some.deb;; esac',
    )
    script(folder / "dpkg-deb", f"mkdir -p $3/usr/bin && cp {made}/* $3/usr/bin/")
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


def test_programs_on_the_path_are_taken(tmp_path: Path) -> None:
    found = find_programs(tmp_path / "tools", search_path=installed(tmp_path / "bin"))
    assert found.alertmanager == tmp_path / "bin" / "prometheus-alertmanager"
    assert found.version(Program.PROMETHEUS) == (2, 45)
    assert not (tmp_path / "tools").exists()


def test_what_the_path_lacks_is_unpacked_beside_the_checkout(tmp_path: Path, apt: Path) -> None:
    path = installed(tmp_path / "bin")
    (tmp_path / "bin" / "amtool").unlink()
    found = find_programs(tmp_path / "tools", search_path=path)
    assert found.prometheus == tmp_path / "bin" / "prometheus"
    assert found.amtool == tmp_path / "tools" / "root" / "usr" / "bin" / "amtool"
    asked = (apt / "asked").read_text()
    assert "install" not in asked
    assert f"Dir::Cache={tmp_path}/tools/" in asked


def test_nothing_is_downloaded_when_only_what_is_there_may_be_taken(tmp_path: Path, apt: Path) -> None:
    with pytest.raises(ProgramsMissing, match="not installed on this host: prometheus, promtool"):
        find_programs(tmp_path / "tools", search_path="", download=False)
    assert not (apt / "asked").exists()


def test_a_program_on_the_path_that_is_too_old_is_not_taken(tmp_path: Path, apt: Path) -> None:
    path = installed(tmp_path / "bin", prometheus="2.31.2")
    found = find_programs(tmp_path / "tools", search_path=path)
    assert found.prometheus == tmp_path / "tools" / "root" / "usr" / "bin" / "prometheus"
    assert found.promtool == tmp_path / "bin" / "promtool"


def test_a_distribution_whose_package_is_too_old_is_one_sentence(tmp_path: Path, apt: Path) -> None:
    installed(tmp_path / "made", prometheus="2.31.2")
    with pytest.raises(ProgramsMissing, match=r"prometheus 2\.42 or newer is needed .* has 2\.31\.2; put a newer one"):
        find_programs(tmp_path / "tools", search_path="")


def test_a_failing_download_is_one_sentence_with_the_words_of_apt(tmp_path: Path, apt: Path) -> None:
    script(apt / "apt-get", "echo 'Reading lists'; echo 'E: Unable to fetch some archives' >&2; exit 100")
    with pytest.raises(ProgramsMissing) as caught:
        find_programs(tmp_path / "tools", search_path="")
    assert str(caught.value).endswith("because the list of packages cannot be had: E: Unable to fetch some archives")
    assert sorted(path.name for path in (tmp_path / "tools").iterdir()) == [".lock"]


def test_a_machine_without_apt_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ProgramsMissing, match=r"there is no apt-get on this machine; put prometheus, .* on PATH"):
        find_programs(tmp_path / "tools")


def test_another_release_needs_the_key_that_signs_it(tmp_path: Path, apt: Path) -> None:
    with pytest.raises(ProgramsMissing, match="the packages of trixie cannot be verified"):
        find_programs(tmp_path / "tools", release=Release("trixie", keyring=tmp_path / "none.gpg"))


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path, apt: Path) -> None:
    (tmp_path / "tools").write_text("in the way")
    with pytest.raises(ProgramsMissing, match="cannot be unpacked in"):
        find_programs(tmp_path / "tools", search_path="")


def test_parallel_processes_unpack_once(tmp_path: Path, apt: Path) -> None:
    code = "import sys; from pathlib import Path; from trader.stack import find_programs\n"
    code += "print(find_programs(Path(sys.argv[1]), search_path='').prometheus)"

    def find(_: int) -> str:
        command = [sys.executable, "-c", code, str(tmp_path / "tools")]
        said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True, env=dict(os.environ))
        return said.stdout

    with ThreadPoolExecutor(4) as pool:
        assert len(set(pool.map(find, range(4)))) == 1
    asked = (apt / "asked").read_text().splitlines()
    assert len([line for line in asked if "download prometheus prometheus-alertmanager" in line]) == 1


def test_a_program_that_does_not_run_has_no_version(tmp_path: Path) -> None:
    assert version_of(script(tmp_path / "broken", "exit 1")) is None
    assert version_of(script(tmp_path / "silent", "true")) is None
    assert version_of(tmp_path / "absent") is None


def test_an_unpacked_alertmanager_gets_its_templates_relative_to_the_tree(tmp_path: Path) -> None:
    packaged = tmp_path / "usr" / "bin" / "prometheus-alertmanager"
    packaged.parent.mkdir(parents=True)
    packaged.write_bytes(b"code" + ABSOLUTE + b"/ui/" + ABSOLUTE)
    templates = tmp_path / "usr" / "share" / "prometheus" / "alertmanager"
    templates.mkdir(parents=True)
    (templates / "default.tmpl").touch()

    relocate_alertmanager(tmp_path)

    relocated = packaged.with_name("alertmanager")
    assert relocated.read_bytes() == b"code" + RELATIVE + b"/ui/" + RELATIVE
    assert packaged.read_bytes() == b"code" + ABSOLUTE + b"/ui/" + ABSOLUTE
    assert os.access(relocated, os.X_OK)
    assert (tmp_path / RELATIVE.decode()).is_dir()
    assert working_folder(relocated) == tmp_path
    assert working_folder(packaged) is None
