"""``trader generate`` and ``trader calendar textfile`` as they are typed."""

import shutil
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from trader.cli import calendar, generate

ROOT = Path(__file__).parents[3]


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    generate.register(app)
    calendar.register(app)
    app.callback()(lambda: None)
    return app


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout with everything that is generated, and what it is generated from."""
    for folder in ("alerts", "dashboards", "docs", "systemd"):
        shutil.copytree(ROOT / folder, tmp_path / folder, ignore=shutil.ignore_patterns("node_modules", "*.png"))
    return tmp_path


def test_a_checkout_that_is_current_stays_as_it_is(app: typer.Typer, checkout: Path) -> None:
    result = CliRunner().invoke(app, ["generate", "--check", "--root", str(checkout)])
    assert (result.exit_code, result.stdout) == (0, "all generated files are current\n")


def test_a_check_names_what_is_not_current_and_writes_nothing(app: typer.Typer, checkout: Path) -> None:
    rules = checkout / "alerts" / "rules" / "slo.rules.yml"
    (checkout / "docs" / "metrics.md").unlink()
    edited = rules.read_text(encoding="utf-8").replace("> 0.0144", "> 0.5")
    rules.write_text(edited, encoding="utf-8")
    result = CliRunner().invoke(app, ["generate", "--check", "--root", str(checkout)])
    assert result.exit_code == 1
    assert "alerts/rules/slo.rules.yml: not current" in result.stdout
    assert '-      slo:error_ratio:1h{slo="availability"} > 0.5' in result.stdout
    assert "docs/metrics.md: not current\ndoes not exist" in result.stdout
    assert "2 generated files are not current; run: trader generate" in result.stderr
    assert rules.read_text(encoding="utf-8") == edited


def test_it_writes_what_is_not_current(app: typer.Typer, checkout: Path) -> None:
    rules = checkout / "alerts" / "rules" / "slo.rules.yml"
    rules.unlink()
    result = CliRunner().invoke(app, ["generate", "--root", str(checkout)])
    assert (result.exit_code, result.stdout) == (0, "alerts/rules/slo.rules.yml: written\ndoes not exist\n")
    assert rules.read_text(encoding="utf-8") == (ROOT / "alerts" / "rules" / "slo.rules.yml").read_text(
        encoding="utf-8"
    )


def test_another_base_of_the_runbooks_reaches_every_alert(app: typer.Typer, checkout: Path) -> None:
    spec = checkout / "alerts" / "slo.yaml"
    text = spec.read_text(encoding="utf-8")
    spec.write_text(text.replace("runbook_base: ../runbooks", "runbook_base: https://example.org/r"), encoding="utf-8")
    assert CliRunner().invoke(app, ["generate", "--root", str(checkout)]).exit_code == 0
    for file in (checkout / "alerts" / "rules").glob("*.rules.yml"):
        links = [line for line in file.read_text(encoding="utf-8").splitlines() if "runbook_url:" in line]
        assert all("https://example.org/r/" in link for link in links), file.name


def test_objectives_that_cannot_work_generate_nothing(app: typer.Typer, checkout: Path) -> None:
    spec = checkout / "alerts" / "slo.yaml"
    spec.write_text(
        spec.read_text(encoding="utf-8").replace("threshold_s: 0.35", "threshold_s: 0.34"), encoding="utf-8"
    )
    result = CliRunner().invoke(app, ["generate", "--root", str(checkout)])
    assert result.exit_code == 2
    assert "has no bucket at 0.34 s" in result.stderr


def test_a_folder_that_is_no_checkout_is_refused(app: typer.Typer, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["generate", "--root", str(tmp_path)])
    assert result.exit_code == 2
    assert "run this in a checkout" in result.stderr


def test_it_publishes_the_session_for_the_textfile_collector(app: typer.Typer, tmp_path: Path) -> None:
    file = tmp_path / "session.prom"
    result = CliRunner().invoke(app, ["calendar", "textfile", "--out", str(file)])
    assert (result.exit_code, result.output) == (0, "")
    assert 'trader_session_open_timestamp_seconds{calendar="XNYS"} ' in file.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--calendar", "XMARS"], "there is no calendar 'XMARS'"),
        (["--region", "moon"], "no broker windows for the region 'moon'"),
        (["--out", "session.txt"], "names end in .prom"),
        (["--config", "config.yaml", "--calendar", "XNYS"], "leave the other options out"),
        (["--config", "missing.yaml"], "missing.yaml"),
    ],
)
def test_what_cannot_be_published_is_said_in_a_sentence(
    app: typer.Typer, tmp_path: Path, options: list[str], reason: str
) -> None:
    result = CliRunner().invoke(app, ["calendar", "textfile", "--out", str(tmp_path / "session.prom"), *options])
    assert result.exit_code == 2
    assert reason in result.stderr
    assert not list(tmp_path.iterdir())


def test_it_publishes_the_sessions_of_every_configuration_once(app: typer.Typer, tmp_path: Path) -> None:
    files = [written(tmp_path, name, calendar) for name, calendar in (("a", "XNYS"), ("b", "CMES"), ("c", "XNYS"))]
    out = tmp_path / "session.prom"
    options = [part for file in files for part in ("--config", str(file))]
    result = CliRunner().invoke(app, ["calendar", "textfile", "--out", str(out), *options])
    assert (result.exit_code, result.output) == (0, "")
    text = out.read_text(encoding="utf-8")
    opens = [line for line in text.splitlines() if line.startswith("trader_session_open_timestamp_seconds{")]
    assert [line.partition(" ")[0].partition("=")[2] for line in opens] == ['"CMES"}', '"XNYS"}']
    assert len([line for line in text.splitlines() if line.startswith("trader_broker_reset_start")]) == 1


def test_a_configuration_that_is_wrong_elsewhere_still_tells_the_session(app: typer.Typer, tmp_path: Path) -> None:
    file = written(tmp_path, "a", "XNYS", "risk: {max_order_quantity: many}\n")
    result = CliRunner().invoke(app, ["calendar", "textfile", "--out", str(tmp_path / "s.prom"), "--config", str(file)])
    assert (result.exit_code, result.output) == (0, "")


def test_two_regions_are_refused_because_one_metric_cannot_tell_both(app: typer.Typer, tmp_path: Path) -> None:
    files = [written(tmp_path, name, "XNYS", region=name) for name in ("europe", "asia_pacific")]
    options = [part for file in files for part in ("--config", str(file))]
    result = CliRunner().invoke(app, ["calendar", "textfile", "--out", str(tmp_path / "s.prom"), *options])
    assert result.exit_code == 2
    assert "asia_pacific, europe" in result.stderr


def written(folder: Path, name: str, calendar: str, more: str = "", region: str = "north_america") -> Path:
    """A configuration with this session."""
    file = folder / f"{name}.yaml"
    file.write_text(f"instruments: [SPY]\nsession: {{calendar: {calendar}, broker_region: {region}}}\n{more}")
    return file
