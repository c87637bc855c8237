"""``trader check`` and ``trader calendar`` as they are typed."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from trader.cli import calendar, check
from trader.session import SessionCalendar

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def app() -> typer.Typer:
    app = typer.Typer()
    check.register(app)
    calendar.register(app)
    return app


def test_it_prints_the_settings_in_force_of_a_good_file(app: typer.Typer) -> None:
    result = CliRunner().invoke(app, ["check", str(ROOT / "config.example.yaml")])
    assert result.exit_code == 0
    assert "OK (config hash " in result.output
    assert "max_order_notional: '50000'" in result.output


def test_it_masks_what_is_secret_in_the_settings_in_force(app: typer.Typer, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("instruments: [AAPL]\njournal: {url: 'postgresql://trader:hunter2@db/books'}\n")
    result = CliRunner().invoke(app, ["check", str(file)])
    assert result.exit_code == 0
    assert "trader:********@db/books" in result.output
    assert "hunter2" not in result.output


def test_a_wrong_value_does_not_hide_a_part_that_is_not_there(app: typer.Typer, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(
        "mode: live\n"
        "instruments: [AAPL]\n"
        "session: {calendar: NYSE, flatten_before_close_s: soon}\n"
        "strategy: {name: nonsense, schedule_time_zone: 3}\n"
        "journal: {url: 'mysql://books'}\n"
    )
    result = CliRunner().invoke(app, ["check", str(file)])
    assert result.exit_code == 2
    assert [line.split(": ")[1] for line in result.output.splitlines()[1:]] == [
        "account",
        "session.calendar",
        "session.flatten_before_close_s",
        "strategy.name",
        "strategy.schedule_time_zone",
        "journal.url",
    ]


def test_it_names_each_part_that_is_not_there(app: typer.Typer, tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text(
        "instruments: [AAPL]\n"
        "session: {calendar: NYSE, broker_region: mars}\n"
        "strategy: {name: nonsense, schedule: often, schedule_time_zone: Gotham}\n"
        "tracing: {otlp_token_file: missing}\n"
    )
    result = CliRunner().invoke(app, ["check", str(file)])
    assert result.exit_code == 2
    assert "6 problems" in result.output
    for words in (":2: session.calendar: there is no", ":2: session.broker_region: there are no"):
        assert words in result.output
    for words in (
        ":3: strategy.name: there is no",
        ":3: strategy.schedule: 'often'",
        "'Gotham' is not a time zone",
        ":4: tracing.otlp_token_file",
    ):
        assert words in result.output


def test_it_asks_for_the_file_when_none_is_named(app: typer.Typer) -> None:
    result = CliRunner().invoke(app, ["check"])
    assert result.exit_code == 2
    assert "trader check config.yaml" in result.output


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # pandas warns about what exchange_calendars does
def test_it_extracts_a_calendar_that_the_service_can_read(app: typer.Typer, tmp_path: Path) -> None:
    out = tmp_path / "XLON.csv"
    arguments = ["--calendar", "XLON", "--out", str(out), "--from", "2024-01-01", "--to", "2024-12-31"]
    result = CliRunner().invoke(app, ["calendar", "extract", *arguments])
    assert result.exit_code == 0, result.output
    london = SessionCalendar.load("XLON", out)
    assert london.valid_until is not None
    assert f"{london.valid_until:%Y-%m-%d %H:%M}" == "2024-12-31 12:30"
    assert not list(tmp_path.glob("*.part"))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--calendar", "XNYY"], "knows no calendar 'XNYY'; similar: "),
        (["--calendar", "XNYS", "--from", "2024-01-02", "--to", "2024-01-01"], "must be before the last day"),
    ],
)
def test_it_refuses_an_extraction_that_makes_no_sense(
    app: typer.Typer, tmp_path: Path, arguments: list[str], words: str
) -> None:
    result = CliRunner().invoke(app, ["calendar", "extract", *arguments, "--out", str(tmp_path / "x.csv")])
    assert result.exit_code == 2
    assert words in result.output
    assert not (tmp_path / "x.csv").exists()


def test_it_shows_the_next_sessions_of_a_calendar(app: typer.Typer) -> None:
    result = CliRunner().invoke(app, ["calendar", "show", "--calendar", "always", "--sessions", "2"])
    assert result.exit_code == 0
    assert "never ends" in result.output


def test_a_credential_that_only_the_service_sees_is_said_and_is_no_problem(
    app: typer.Typer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    file = tmp_path / "config.yaml"
    file.write_text("instruments: [AAPL]\npolicy: {token_file: 'credential:policy-token'}\n")
    result = CliRunner().invoke(app, ["check", str(file)])
    assert result.exit_code == 0
    assert "policy.token_file: a credential cannot be looked up from here" in result.stderr
    assert "credential:policy-token" in result.stdout


def test_a_credential_that_is_not_passed_is_a_problem_where_credentials_are(
    app: typer.Typer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    file = tmp_path / "config.yaml"
    file.write_text("instruments: [AAPL]\npolicy: {token_file: 'credential:policy-token'}\n")
    result = CliRunner().invoke(app, ["check", str(file)])
    assert result.exit_code == 2
    assert f"{file}:2: policy.token_file: credential:policy-token: systemd passed no credential" in result.output


def test_the_environment_names_the_file(app: typer.Typer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("instruments: [AAPL]\n")
    monkeypatch.setenv("TRADER_CONFIG", str(file))
    assert f"# {file}: OK" in CliRunner().invoke(app, ["check"]).output
