"""The report as a whole: what is not visible, what is shown to people and to programs, and the exit code."""

import io
import json
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from tests.unit.doctor.fake_host import RELEASE, FakeHost, healthy, place_of
from trader.cli import app
from trader.cli import doctor as command
from trader.cli.doctor import mend_lines, report_view, summary_line
from trader.doctor import CHECKS, Place, Report, SiteError, Stage, Verdict, examine, site_of
from trader.doctor.model import Check
from trader.doctor.site import instance_of
from trader.settings_file import load_settings

CHECK_KEYS = {"key", "stage", "item", "title", "verdict", "seen", "mend"}
ITEMS = (
    "System requirements met", "Dependencies installed", "User accounts created", "Directories created",
    "Permissions set", "Service file installed", "Configuration files copied", "Service enabled", "Service started",
    "Status verified", "Health checks passing", "Performance metrics collected", "Logs monitored",
    "Emergency procedures tested", "Documentation updated",
)  # fmt: skip


def text_of(report: Report, width: int = 120) -> str:
    console = Console(width=width, record=True, file=io.StringIO(), highlight=False)
    for part in report_view(report):
        console.print(part)
    for line in mend_lines(report):
        console.print(line, soft_wrap=True, markup=False)
    console.print(summary_line(report))
    return console.export_text()


def test_the_table_has_every_item_of_the_checklist_in_its_order() -> None:
    assert tuple(dict.fromkeys(check.item for check in CHECKS)) == ITEMS
    assert len({check.key for check in CHECKS}) == len(CHECKS)
    assert [check.stage for check in CHECKS] == sorted((check.stage for check in CHECKS), key=list(Stage).index)


def test_what_root_alone_can_see_is_not_known_to_others_and_says_how_to_see_it() -> None:
    host = healthy()
    host.is_root = False
    results = {result.key: result for result in examine(place_of(host)).results}
    unknown = {key for key, result in results.items() if result.verdict is not Verdict.OK}
    assert unknown == {"secrets", "log"}
    for key in unknown:
        assert results[key].verdict is Verdict.UNKNOWN
        assert results[key].seen.endswith("run it with sudo")
        assert results[key].mend.endswith("trader doctor")


def test_without_systemd_nothing_of_it_is_known_and_the_rest_is() -> None:
    host = healthy()
    host.booted = False
    results = {result.key: result for result in examine(place_of(host)).results}
    for key in ("enabled", "active", "restarts", "limits", "enforced", "panic_path", "calendar_timer", "exposure"):
        assert results[key].verdict is Verdict.UNKNOWN
        assert "systemd does not run this host" in results[key].seen
    assert results["disk"].verdict is Verdict.OK


def test_a_bare_host_is_told_to_install_and_nothing_is_ok_by_absence() -> None:
    host = FakeHost(booted=False)
    report = examine(place_of(host))
    fine = {result.key for result in report.results if result.verdict is Verdict.OK}
    assert fine == {"panic_flag"}
    assert any(result.mend == "sudo systemd/install.sh" for result in report.results)


def test_a_service_that_is_not_installed_fails_once_and_its_rest_is_not_known() -> None:
    host = healthy()
    host.units = {}
    results = {result.key: result for result in examine(place_of(host)).results}
    assert results["active"].verdict is Verdict.FAILED
    assert {results[key].verdict for key in ("enabled", "restarts", "limits", "enforced")} == {Verdict.UNKNOWN}


@pytest.mark.parametrize(("line", "verdict"), [("risks: {}", Verdict.OK), ("metrics: {port: x}", Verdict.UNKNOWN)])
def test_a_mistake_in_the_configuration_hides_only_what_it_is_about(
    tmp_path: Path, line: str, verdict: Verdict
) -> None:
    host = healthy()
    file = tmp_path / "config.yaml"
    file.write_text(f"instruments: [SPY]\n{line}\n")
    place = Place(host, site_of(host), load=lambda path: load_settings(file))
    results = {result.key: result for result in examine(place).results}
    assert results["configuration"].verdict is Verdict.FAILED
    assert results["configuration"].seen.startswith("a problem: ")
    assert results["ready"].verdict is verdict


@pytest.mark.parametrize("error", [ValueError("x"), KeyError("x"), IndexError("x"), TypeError("x")])
def test_an_answer_in_another_form_is_not_understood_and_ends_nothing(error: Exception) -> None:
    def look(place: Place) -> None:
        raise error

    check = Check("odd", Stage.PRE, "item", "odd", look, "true")  # type: ignore[arg-type]
    result = examine(place_of(healthy()), checks=[check]).results[0]
    assert result.verdict is Verdict.UNKNOWN
    assert "not understood" in result.seen


def test_the_paths_are_those_that_were_installed() -> None:
    host = healthy()
    host.put(Path("/etc/ibkr-trading/installed"), "USER=desk\nPREFIX=/srv/ibkr\nBASE=/x\n")
    unit = Path("/etc/systemd/system/ibkr-trading.service")
    host.put(unit, host.read(unit).replace("User=trader", "User=desk").replace("/opt/ibkr-trading", "/srv/ibkr"))
    site = site_of(host)
    assert (site.user, str(site.prefix), str(site.current)) == ("desk", "/srv/ibkr", "/srv/ibkr/current")


def test_an_instance_has_units_and_folders_of_its_own() -> None:
    site = site_of(healthy(), "second")
    assert (site.unit, site.unit_file) == ("ibkr-trading@second.service", "ibkr-trading@.service")
    assert site.panic_path == "ibkr-panic@second.path"
    assert site.base.parts[-2:] == ("instances", "second")
    assert str(site.config).endswith("/instances/second/config/config.yaml")
    assert instance_of(str(site.config)) == "second"
    assert instance_of("config.yaml") == ""


def test_a_name_that_no_instance_can_have_is_refused() -> None:
    with pytest.raises(SiteError, match="no name of an instance"):
        site_of(FakeHost(), "../x")


def test_people_see_every_check_and_the_commands_unbroken_with_failures_last() -> None:
    host = healthy()
    host.units["ibkr-trading.service"]["UnitFileState"] = "disabled"
    host.files.pop(RELEASE / "share/alerts/runbooks/UnitFailed.md")
    host.urls.pop("http://127.0.0.1:9464/metrics")
    text = text_of(examine(place_of(host)), width=80)
    assert "✗ failed     starts at boot" in text
    assert "\n    sudo systemctl enable ibkr-trading.service\n" in text
    health = f"\n    sudo trader health --config {site_of(host).config}\n"
    assert health in text  # longer than the terminal is wide, and still one line
    summary = f"ibkr-trading.service: 3 failed, 0 warnings, 0 not known, {len(CHECKS) - 3} ok"
    assert text.rstrip().endswith(summary)


def test_nothing_is_said_by_colour_alone() -> None:
    host = healthy()
    host.units["ibkr-trading.service"]["NRestarts"] = "1"
    text = text_of(examine(place_of(host)))
    assert "! warning    restarts" in text
    assert "✓ ok         systemd" in text
    assert "1 warning," in text


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., "object"]:
    def run_on(host: FakeHost, *arguments: str) -> object:
        monkeypatch.setattr(command, "LinuxHost", lambda: host)
        monkeypatch.setattr(command, "Place", lambda host, site, options: place_of(host, site.instance))
        return CliRunner().invoke(app, ["doctor", *arguments])

    return run_on


def test_the_exit_code_is_0_when_nothing_failed_and_1_when_something_did(run: Callable[..., object]) -> None:
    host = healthy()
    host.units["ibkr-trading.service"]["NRestarts"] = "1"
    assert run(host).exit_code == 0  # type: ignore[attr-defined]
    host.units["ibkr-trading.service"]["ActiveState"] = "failed"
    assert run(host).exit_code == 1  # type: ignore[attr-defined]
    assert run(host, "--stage", "pre").exit_code == 0  # type: ignore[attr-defined]


def test_the_exit_code_is_2_for_what_cannot_be_looked_at(run: Callable[..., object]) -> None:
    result = run(healthy(), "--instance", "Not A Name")
    assert result.exit_code == 2  # type: ignore[attr-defined]
    assert run(healthy(), "--stage", "later").exit_code == 2  # type: ignore[attr-defined]


def test_programs_get_every_check_of_the_stage_with_the_same_keys(run: Callable[..., object]) -> None:
    result = run(healthy(), "--json", "--stage", "post")
    told = json.loads(result.stdout)  # type: ignore[attr-defined]
    assert set(told) == {"at", "unit", "root", "counts", "checks"}
    assert told["counts"] == {"ok": len(told["checks"]), "warning": 0, "failed": 0, "not known": 0}
    assert all(set(check) == CHECK_KEYS for check in told["checks"])
    assert {check["stage"] for check in told["checks"]} == {"post"}
    assert [check["key"] for check in told["checks"]] == [check.key for check in CHECKS if check.stage is Stage.POST]
