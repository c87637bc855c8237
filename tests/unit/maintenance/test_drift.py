"""Configuration drift, on the doctor's fake host: what differs is told with its diff and its command."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.doctor.fake_host import CURRENT, ROOT, UNIT_FOLDER, FakeHost, healthy, loaded_rules, place_of
from tests.unit.maintenance.days import context, figure, rows, table
from trader.maintenance import drift
from trader.maintenance.drift_compared import LINES_SHOWN
from trader.maintenance.model import Outcome, Section

SHARE = CURRENT / "share"
UNIT = UNIT_FOLDER / "ibkr-trading.service"
CONFIG = Path("/home/trader/secure/trader/IBKR_trading/config/config.yaml")
RULES = Path("/etc/prometheus/rules")
RULE_FILE = "symptoms_systemd.rules.yml"


@pytest.fixture
def host() -> FakeHost:
    """The healthy host, with the monitoring's files where Debian has them."""
    from tests.unit.doctor.fake_host import add_prometheus

    host = healthy()
    host.put(SHARE / "config.yaml", "mode: simulated\ninstruments: [SPY]\n")
    host.put(CONFIG, "mode: simulated\ninstruments: [SPY]\n", group="trader", mode=0o640)
    for name in ("prometheus.yml", "alertmanager.yml"):
        text = (ROOT / "alerts" / name).read_text(encoding="utf-8")
        host.put(SHARE / "alerts" / name, text)
        host.put(Path("/etc/prometheus") / name, text)
    groups = [{**group, "file": str(RULES / Path(group["file"]).name)} for group in loaded_rules(host)]
    for path, file in list(host.files.items()):
        if path.name.endswith(".rules.yml"):
            host.put(RULES / path.name, file.text)
    add_prometheus(host, groups)
    return host


def found(host: FakeHost, tmp_path: Path) -> Section:
    return drift.run(replace(context(tmp_path), place=place_of(host)))


def diff_of(section: Section, path: Path) -> list[str]:
    return [str(row[1]) for row in table(section, "Differences: - shipped, + installed").rows if row[0] == str(path)]


def edit(host: FakeHost, path: Path, before: str, after: str) -> None:
    text = host.read(path)
    assert before in text
    host.put(path, text.replace(before, after, 1))


def test_an_installation_as_shipped_has_no_drift(host: FakeHost, tmp_path: Path) -> None:
    section = found(host, tmp_path)
    assert (section.outcome, section.missing, section.tables, section.mend) == (Outcome.OK, (), (), "")
    assert "none drifted" in section.sentence
    compared = figure(section, "Compared").value
    assert isinstance(compared, int)
    assert compared > len(list((ROOT / "alerts" / "rules").glob("*.rules.yml")))
    assert figure(section, "Drifted").value == figure(section, "Changed by hand, as may be").value == 0


DRIFTS: dict[str, tuple[Callable[[FakeHost], None], Path, str, str]] = {
    "a unit": (
        lambda host: edit(host, UNIT, "WatchdogSec=10s", "WatchdogSec=99s"),
        UNIT, "+WatchdogSec=99s", "sudo systemd/install.sh",
    ),
    "a helper": (
        lambda host: host.put(Path("/usr/local/bin/trader"), "#!/bin/sh\nexec something\n"),
        Path("/usr/local/bin/trader"), "+exec something", "sudo systemd/install.sh",
    ),
    "the drop-in of restart delays": (
        lambda host: host.put(UNIT_FOLDER / "ibkr-trading.service.d" / "10-restart.conf", "[Service]\nRestartSec=1h\n"),
        UNIT_FOLDER / "ibkr-trading.service.d" / "10-restart.conf", "+RestartSec=1h", "daemon-reload",
    ),
    "a rule": (
        lambda host: edit(host, RULES / RULE_FILE, "for: 2m", "for: 2h"),
        RULES / RULE_FILE, "+        for: 2h", "sudo systemctl reload prometheus",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DRIFTS)
def test_what_drifted_is_told_with_its_diff_and_its_command(name: str, host: FakeHost, tmp_path: Path) -> None:
    change, path, line, mend = DRIFTS[name]
    change(host)
    section = found(host, tmp_path)
    assert section.outcome is Outcome.WARNING
    assert f"{path} differs" in section.sentence
    assert figure(section, "Drifted").value == len(section.sentence.split("; "))
    assert line in diff_of(section, path)
    assert mend in section.mend


def test_comments_do_not_count(host: FakeHost, tmp_path: Path) -> None:
    host.put(UNIT, f"# mine\n\n{host.read(UNIT)}")
    assert found(host, tmp_path).outcome is Outcome.OK


def test_a_unit_that_is_not_installed_is_drift(host: FakeHost, tmp_path: Path) -> None:
    del host.files[UNIT_FOLDER / "ibkr-calendar.timer"]
    section = found(host, tmp_path)
    assert section.outcome is Outcome.WARNING
    row = rows(section, "Files that are not as shipped")["unit"]
    assert row["State"] == "is not installed"


def test_rules_that_prometheus_has_not_loaded_are_drift(host: FakeHost, tmp_path: Path) -> None:
    from tests.unit.doctor.fake_host import add_prometheus

    add_prometheus(host, [{**g, "file": str(RULES / Path(g["file"]).name)} for g in loaded_rules(host)
                          if RULE_FILE not in g["file"]])  # fmt: skip
    section = found(host, tmp_path)
    assert section.outcome is Outcome.WARNING
    assert f"{RULES / RULE_FILE} is not installed" in section.sentence
    assert "sudo install -D" in section.mend


def test_units_that_systemd_has_not_read_again_are_drift(host: FakeHost, tmp_path: Path) -> None:
    host.units["ibkr-trading.service"]["NeedDaemonReload"] = "yes"
    section = found(host, tmp_path)
    assert section.outcome is Outcome.WARNING
    assert section.mend == "sudo systemctl daemon-reload"
    assert "changed since systemd read it" in section.sentence


def test_a_person_may_change_the_configuration_and_it_is_told_without_secrets(host: FakeHost, tmp_path: Path) -> None:
    host.put(
        CONFIG,
        "mode: live\ninstruments: [SPY, AAPL]\npolicy: {token: geheim}\n"
        "journal: {url: 'postgresql://trader:hunter2@db/books'}\n",
    )
    section = found(host, tmp_path)
    assert section.outcome is Outcome.OK
    lines = diff_of(section, CONFIG)
    assert "-mode: simulated" in lines
    assert "+mode: live" in lines
    assert "+instruments[1]: AAPL" in lines
    assert not [line for line in lines if "geheim" in line or "hunter2" in line]
    assert rows(section, "Files that are not as shipped")["configuration"]["State"] == "changed by hand"


def test_of_the_monitorings_own_files_only_keys_are_told(host: FakeHost, tmp_path: Path) -> None:
    path = Path("/etc/prometheus/alertmanager.yml")
    host.put(path, "route: {receiver: me}\nreceivers: [{name: me, webhook_configs: [{url: 'https://x/secret'}]}]\n")
    section = found(host, tmp_path)
    assert section.outcome is Outcome.OK
    lines = diff_of(section, path)
    assert "+receivers[0].webhook_configs[0].url" in lines
    assert not [line for line in lines if "secret" in line]


def test_a_further_drop_in_is_told_and_is_no_drift(host: FakeHost, tmp_path: Path) -> None:
    path = UNIT_FOLDER / "ibkr-trading.service.d" / "50-mine.conf"
    host.put(path, "[Service]\nNice=-5\n")
    section = found(host, tmp_path)
    assert section.outcome is Outcome.OK
    assert diff_of(section, path) == ["+[Service]", "+Nice=-5"]


def test_without_prometheus_its_rules_are_missing_and_the_rest_is_compared(host: FakeHost, tmp_path: Path) -> None:
    host.urls.clear()
    section = found(host, tmp_path)
    assert section.outcome is Outcome.UNKNOWN
    assert any(sentence.startswith("rules: ") for sentence in section.missing)
    assert section.figures[0].value


def test_a_file_that_may_not_be_read_is_missing(host: FakeHost, tmp_path: Path) -> None:
    host.is_root = False
    host.closed.add(Path("/etc/prometheus"))
    section = found(host, tmp_path)
    assert section.outcome is Outcome.UNKNOWN
    assert any("may not be looked at" in sentence for sentence in section.missing)


def test_a_long_diff_is_cut_and_says_so(host: FakeHost, tmp_path: Path) -> None:
    host.put(UNIT, "\n".join(f"Environment=A{number}=1" for number in range(500)))
    section = found(host, tmp_path)
    lines = diff_of(section, UNIT)
    assert len(lines) == LINES_SHOWN + 1
    assert lines[-1].endswith("more lines")


def test_damaged_yaml_is_missing_and_no_traceback(host: FakeHost, tmp_path: Path) -> None:
    host.put(CONFIG, "mode: [\n")
    section = found(host, tmp_path)
    assert section.outcome is Outcome.UNKNOWN
    assert any("is no YAML" in sentence for sentence in section.missing)
