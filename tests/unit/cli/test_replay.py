"""``trader replay`` and ``trader compare``: what they print, and how they exit."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner, Result

from trader.cli import app
from trader.events import DurableFact, SignalChanged
from trader.journal import Journal
from trader.replay import run_replay
from trader.settings_file import load_settings

START = datetime(2013, 10, 7, 14, 0, tzinfo=UTC)
CONFIG = """
instruments: [SPY]
strategy:
  name: mean_reversion
  capital: 50000
  parameters: {window: 10, sample_interval_s: 1.0, entry_score: 1.5, exit_score: 0.2, min_edge_ratio: 0.0001}
"""


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    path = tmp_path / "day.csv"
    rows = ["time,symbol,bid,bid_size,ask,ask_size,last,last_size"]
    for second in range(300):
        cents = 10_000 + second % 3 + (40 if second % 60 in range(25, 30) else -40 if second % 60 >= 55 else 0)
        moment = (START + timedelta(seconds=second)).isoformat()
        rows.append(f"{moment},SPY,{cents / 100:.2f},500,{(cents + 1) / 100:.2f},500,,")
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "config.yaml"
    path.write_text(CONFIG)
    return path


@pytest.fixture
def journal_of(tmp_path: Path, recording: Path, config: Path) -> Callable[..., Path]:
    """A journal as a run over the wire would have left it: orders take a second; ``spoil`` changes a fact."""

    def write(spoil: Callable[[DurableFact], DurableFact] = lambda fact: fact) -> Path:
        facts = run_replay([recording], load_settings(config), latency=timedelta(seconds=1)).facts
        path = tmp_path / "journal.db"
        with Journal.open(f"sqlite:///{path}") as journal:
            journal.append([spoil(fact) for fact in facts if isinstance(fact, DurableFact)])
        return path

    return write


def another_target(fact: DurableFact) -> DurableFact:
    return msgspec.structs.replace(fact, target=fact.target + 1) if isinstance(fact, SignalChanged) else fact


def test_it_prints_what_came_of_a_replay(recording: Path, config: Path) -> None:
    result = invoke("replay", recording, "--config", config)
    assert result.exit_code == 0, result.output
    for word in ("quotes", "signals", "fill rate", "commissions", "net", "deepest drawdown", "Success metrics"):
        assert word in result.output


def test_json_holds_the_same_for_programs(recording: Path, config: Path) -> None:
    values = json.loads(invoke("replay", recording, "--config", config, "--json").output)
    assert values["quotes"] == 300
    assert values["signals"] > 0
    assert values["costs"]["commission"].startswith("-")
    assert values["comparison"] is None


def test_a_report_is_written(recording: Path, config: Path, tmp_path: Path) -> None:
    pytest.importorskip("plotly")
    result = invoke("replay", recording, "--config", config, "--report", tmp_path / "out.html")
    assert result.exit_code == 0, result.output
    page = (tmp_path / "out.html").read_text()
    assert "Replay of 7 October 2013" in page
    assert "Refused" in page or "Orders" in page


def test_agreeing_signals_exit_with_zero(recording: Path, config: Path, journal_of: Callable[..., Path]) -> None:
    result = invoke("replay", recording, "--config", config, "--against", journal_of())
    assert result.exit_code == 0, result.output
    assert "signals agree" in result.output
    assert "latency cost" in result.output


def test_disagreeing_signals_exit_with_one_and_show_the_first(
    recording: Path, config: Path, journal_of: Callable[..., Path]
) -> None:
    result = invoke("compare", journal_of(another_target), recording, "--config", config)
    assert result.exit_code == 1
    assert "the first that does not: SPY signal 1 at 2013-10-07" in " ".join(result.output.split())


def test_another_configuration_is_offered_as_the_reason(
    recording: Path, config: Path, journal_of: Callable[..., Path]
) -> None:
    journal = journal_of(another_target)
    config.write_text(CONFIG.replace("50000", "60000"))
    assert "another configuration" in invoke("compare", journal, recording, "--config", config).output


def test_a_comparison_is_json_too(recording: Path, config: Path, journal_of: Callable[..., Path]) -> None:
    values = json.loads(invoke("compare", journal_of(), recording, "--config", config, "--json").output)
    assert values["signals_agree"] is True
    assert values["same_configuration"] is True
    assert values["orders"][0]["time_difference_s"] == 1.0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("replay", "nowhere.csv"), "nowhere.csv: there is no such file"),
        (("replay", "{recording}", "--config", "nowhere.yaml"), "nowhere.yaml"),
        (("replay", "{recording}", "--against", "nowhere.db"), "nowhere.db: there is no such journal"),
        (("compare", "{recording}", "{recording}"), "journal"),
        (("replay", "{recording}", "--report", "{recording}/out.html"), "cannot write the report"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_two(
    recording: Path, arguments: tuple[str, ...], sentence: str
) -> None:
    result = invoke(*(argument.format(recording=recording) for argument in arguments))
    assert result.exit_code == 2, result.output
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr


def test_a_journal_of_another_day_is_refused(
    recording: Path, config: Path, journal_of: Callable[..., Path], tmp_path: Path
) -> None:
    journal = journal_of()
    other = tmp_path / "other.csv"
    other.write_text(recording.read_text().replace("2013-10-07", "2013-10-08"))
    result = invoke("compare", journal, other, "--config", config)
    assert result.exit_code == 2
    assert "holds no run between 2013-10-08" in result.stderr
