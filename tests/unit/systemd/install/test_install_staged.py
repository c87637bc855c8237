"""What the installer puts where, staged into a folder."""

import re
from pathlib import Path

import pytest

from tests.unit.systemd.install.staging import ROOT, Stage, make_wheel, run, tree

BASE = "home/trader/secure/trader/IBKR_trading"
UNITS = "etc/systemd/system"
MODES = {
    f"{BASE}/config": 0o750,
    f"{BASE}/config/config.yaml": 0o640,
    f"{BASE}/state": 0o700,
    f"{BASE}/scripts/health_check.sh": 0o755,
    "etc/ibkr-trading/secrets": 0o700,
    "etc/ibkr-trading/secrets/policy-token": 0o600,
    "etc/sysusers.d/ibkr-trading.conf": 0o644,
    "etc/tmpfiles.d/ibkr-trading.conf": 0o644,
    f"{UNITS}/ibkr-trading.service": 0o644,
    f"{UNITS}/ibkr-trading.service.d/10-restart.conf": 0o644,
    f"{UNITS}/ibkr-trading@.service.d/10-restart.conf": 0o644,
    "usr/local/bin/trader": 0o755,
    "opt/ibkr-trading/current/libexec/backoff": 0o755,
    "opt/ibkr-trading/current/share/config.yaml": 0o644,
}


def release(staged: Path) -> Path:
    return staged / "opt/ibkr-trading" / (staged / "opt/ibkr-trading/current").readlink()


def test_it_puts_everything_in_its_place_with_its_mode_and_lets_others_change_nothing(
    stage: Stage, staged: Path
) -> None:
    done = stage()
    assert (done.returncode, done.stderr) == (0, "")
    assert {path: (staged / path).stat().st_mode & 0o7777 for path in MODES} == MODES
    files = [path for path in release(staged).rglob("*") if not path.is_symlink()]
    assert [path for path in files if path.stat().st_mode & 0o022] == []
    assert [path for path in files if not path.stat().st_mode & 0o004] == []
    compiled = {path.name.partition(".")[0] for path in files if path.suffix == ".pyc"}
    assert {"__init__", "__main__"} <= compiled
    assert_it_does_not_know_where_it_was_staged(staged)


def assert_it_does_not_know_where_it_was_staged(staged: Path) -> None:
    program = release(staged) / "bin/trader"
    assert program.read_text().startswith(f"#!/opt/ibkr-trading/releases/{release(staged).name}/bin/python\n")
    texts = [path for path in staged.rglob("*") if path.is_file() and not path.is_symlink()]
    assert [path for path in texts if str(staged).encode() in path.read_bytes()] == []


def test_a_second_run_changes_nothing(stage: Stage, staged: Path) -> None:
    stage("--simulator", "--instance", "second")
    before = tree(staged)
    done = stage("--simulator", "--instance", "second")
    assert done.returncode == 0
    assert "nothing had to be changed" in done.stdout
    assert tree(staged) == before


def test_the_configuration_of_the_host_is_kept_and_a_new_default_is_put_beside_it(
    stage: Stage, staged: Path, shipped: Path
) -> None:
    stage(installer=shipped)
    config = staged / BASE / "config/config.yaml"
    config.write_text("mode: paper\n")
    stage(installer=shipped)
    assert not config.with_name("config.yaml.new").exists()
    template = shipped.parent / "config.yaml"
    template.write_text(template.read_text() + "# more\n")
    stage(installer=shipped)
    assert config.read_text() == "mode: paper\n"
    assert config.with_name("config.yaml.new").read_text().endswith("# more\n")


@pytest.mark.usefixtures("released")
def test_the_secret_is_made_once_and_never_shown(stage: Stage, staged: Path) -> None:
    said = stage().stdout
    token = staged / "etc/ibkr-trading/secrets/policy-token"
    first = token.read_text()
    said += stage().stdout
    assert re.fullmatch("[0-9a-f]{64}", first)
    assert token.read_text() == first
    assert first not in said


def test_an_upgrade_puts_the_new_release_beside_the_old_ones_and_keeps_three(
    stage: Stage, staged: Path, wheels: Path
) -> None:
    made = []
    for version in ("0.1", "0.2", "0.3", "0.4"):
        make_wheel(wheels, version)
        assert stage().returncode == 0
        made.append(release(staged).name)
    assert [name.partition("-")[0] for name in made] == ["0.1", "0.2", "0.3", "0.4"]
    assert sorted(path.name for path in release(staged).parent.iterdir()) == made[1:]
    assert (staged / "opt/ibkr-trading/previous").readlink() == Path("releases") / made[2]
    assert all((release(staged).parent / name / "bin/trader").exists() for name in made[1:])


def test_a_release_that_was_not_finished_is_made_anew(stage: Stage, staged: Path) -> None:
    stage()
    (release(staged) / ".complete").unlink()
    (release(staged) / "bin/trader").unlink()
    stage()
    assert (release(staged) / "bin/trader").exists()


def test_another_user_and_prefix_stand_in_everything_that_names_them(stage: Stage, staged: Path) -> None:
    user = "quant"
    stage("--user", user, "--prefix", "/srv/ibkr")
    base, unit = f"/home/{user}/secure/trader/IBKR_trading", (staged / UNITS / "ibkr-trading.service").read_text()
    assert "\nUser=quant\nGroup=quant\n" in unit
    assert f"ExecStart=/srv/ibkr/current/bin/trader run --config {base}/config/config.yaml\n" in unit
    settings = [
        line
        for folder in (staged / "etc", staged / "usr")
        for file in folder.rglob("*")
        if file.is_file()
        for line in file.read_text().splitlines()
        if not line.startswith("#") and "echo" not in line
    ]
    named = re.compile(r"/opt/ibkr-trading\b|/home/trader\b|(?:^|[=\s:])trader(?=\s|$)")
    assert [line for line in settings if named.search(line)] == []


def test_an_installation_goes_on_with_its_own_user_and_prefix(stage: Stage, staged: Path) -> None:
    stage("--user", "quant", "--prefix", "/srv/ibkr")
    assert "nothing had to be changed" in stage().stdout
    refused = stage("--user", "trader")
    assert refused.returncode == 2
    assert "the installed service has quant" in refused.stderr


@pytest.mark.usefixtures("released")
@pytest.mark.parametrize(("version", "key"), [("257", "RestartSteps=2"), ("252", "backoff %n 10 40"), ("", "backoff")])
def test_the_restart_delays_are_those_that_the_roots_systemd_understands(
    stage: Stage, staged: Path, version: str, key: str
) -> None:
    library = staged / "usr/lib/x86_64-linux-gnu/systemd" / f"libsystemd-shared-{version}.so"
    if version:
        library.parent.mkdir(parents=True)
        library.touch()
    stage()
    assert key in (staged / UNITS / "ibkr-trading.service.d/10-restart.conf").read_text()


@pytest.mark.usefixtures("released")
def test_each_instance_gets_ids_ports_and_a_simulated_gateway_of_its_own(stage: Stage, staged: Path) -> None:
    done = stage("--simulator", "--instance", "second", "--instance", "third")
    assert done.returncode == 0
    found = [staged / BASE / folder / "config/config.yaml" for folder in ("", "instances/second", "instances/third")]
    texts = [file.read_text() for file in found]
    for key in ("client_id", "panic_client_id", "socket"):
        assert len({re.search(rf"(?m)^  {key}: (\S+)", text)[1] for text in texts}) == 3  # type: ignore[index]
    ports = [tuple(re.findall(r"(?m)^  port: (\d+)", text)) for text in texts]
    assert len({port for pair in ports for port in pair}) == 6
    unit = (staged / UNITS / "ibkr-simulator-second.service").read_text()
    assert f"--port {ports[1][0]} " in unit
    assert "StateDirectory=ibkr-simulator-second\n" in unit
    calendar = (staged / UNITS / "ibkr-calendar.service.d/10-instances.conf").read_text()
    assert calendar.count(" --config ") == 3


@pytest.mark.usefixtures("released")
def test_a_new_instance_leaves_the_others_alone(stage: Stage, staged: Path) -> None:
    stage("--instance", "second")
    second = staged / BASE / "instances/second/config/config.yaml"
    before = second.read_text()
    stage("--instance", "third")
    assert second.read_text() == before
    assert (staged / BASE / "instances/third/state").is_dir()


def test_the_command_refuses_a_name_that_no_instance_has() -> None:
    refused = run(ROOT / "systemd" / "wrapper.sh", "@No", "status")
    assert (refused.returncode, refused.stderr) == (2, "trader: @No is not an instance; write @ and its name\n")
