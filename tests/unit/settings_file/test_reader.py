"""Reading a configuration: every problem at once, with its line, and paths beside the file."""

from decimal import Decimal
from pathlib import Path

import pytest

from trader.contracts import OrderType, TradingMode
from trader.settings import Settings
from trader.settings_file import ConfigurationError, Problem, load_settings

ROOT = Path(__file__).resolve().parents[3]
MINIMAL = "instruments: [AAPL]\n"


def problems_of(tmp_path: Path, text: str) -> list[Problem]:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    with pytest.raises(ConfigurationError) as raised:
        load_settings(file)
    return list(raised.value.problems)


def load(tmp_path: Path, text: str) -> Settings:
    file = tmp_path / "config.yaml"
    file.write_text(text)
    return load_settings(file)


def test_it_fills_in_defaults_for_what_is_left_out(tmp_path: Path) -> None:
    settings = load(tmp_path, MINIMAL)
    assert settings.mode is TradingMode.SIMULATED
    assert settings.risk.max_order_notional == Decimal(50_000)
    assert settings.execution.order_type is OrderType.LIMIT
    assert [item.symbol for item in settings.instruments] == ["AAPL"]


def test_it_takes_relative_paths_from_the_folder_of_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "etc").mkdir()
    text = MINIMAL + "panic: {flag: p.flag}\nrecorder: {directory: ../rec}\ncontrol: {socket: /run/c.sock}\n"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "etc" / "config.yaml").write_text(text)
    settings = load_settings(Path("etc/config.yaml"))
    assert settings.panic.flag == tmp_path / "etc" / "p.flag"
    assert settings.recorder.directory == tmp_path / "rec"
    assert settings.control.socket == Path("/run/c.sock")
    assert settings.journal.url == f"sqlite:///{tmp_path}/etc/state/journal.db"


@pytest.mark.parametrize("url", ["sqlite:///:memory:", "postgresql://trader@db/books", "sqlite:////var/lib/j.db"])
def test_it_leaves_a_journal_that_is_no_relative_file_alone(tmp_path: Path, url: str) -> None:
    assert load(tmp_path, f"{MINIMAL}journal: {{url: '{url}'}}\n").journal.url == url


def test_it_reads_a_ticker_that_yaml_would_take_for_a_flag(tmp_path: Path) -> None:
    settings = load(tmp_path, "instruments:\n- ON\n- NO\n- Y\n")
    assert [item.symbol for item in settings.instruments] == ["ON", "NO", "Y"]


def test_it_does_not_call_a_list_empty_whose_items_are_wrong(tmp_path: Path) -> None:
    problems = problems_of(tmp_path, "instruments: [{symbol: [1]}]\n")
    assert [problem.key for problem in problems] == ["instruments[0].symbol"]


def test_it_names_every_problem_at_once_with_its_line(tmp_path: Path) -> None:
    text = """\
mode: live
acount: U123
gateway:
  host: 10.0.0.1
  port: true
  client_id: abc
  port: 99
instruments: [AAPL, 5, AAPL, {symbol: X, security_type: FUT, tick: 1}]
risk:
  max_order_notional: -5
  max_open_orders: 1.5
  daily_loss: 3
panic_client_id: 4
session: [1]
stop: {cancel_orders: 7}
"""
    expected = [
        (1, "account", "mode live needs the account to be named"),
        (2, "acount", "did you mean account?"),
        (4, "gateway.host", "not a loopback address"),
        (5, "gateway.port", "must not be true"),
        (6, "gateway.client_id", "must be a whole number, not 'abc'"),
        (7, "gateway.port", "is written twice (first in line 5)"),
        (8, "instruments", "AAPL is listed more than once"),
        (8, "instruments[1]", "must be a symbol (a number in quotes)"),
        (8, "instruments[3].tick", "did you mean instruments[3].tick_size?"),
        (8, "instruments[3]", "future X needs an expiry"),
        (10, "risk.max_order_notional", "must be greater than 0, not -5"),
        (11, "risk.max_open_orders", "must be a whole number, not 1.5"),
        (12, "risk.daily_loss", "did you mean risk.daily_loss_limit?"),
        (13, "panic_client_id", "did you mean gateway.panic_client_id?"),
        (14, "session", "must be a section of 'key: value' lines, not a list"),
        (15, "stop.cancel_orders", "must be true or false, not 7"),
    ]
    found = problems_of(tmp_path, text)
    for line, key, words in expected:
        assert any(p.line == line and p.key == key and words in p.text for p in found), (key, found)
    assert len(found) == len(expected)


def test_it_does_not_report_what_a_wrong_value_has_caused(tmp_path: Path) -> None:
    found = problems_of(tmp_path, MINIMAL + "gateway: {client_id: x, panic_client_id: 1}\n")
    assert [problem.key for problem in found] == ["gateway.client_id"]


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", None, "is empty; config.example.yaml"),
        ("# only a comment\n", None, "is empty"),
        ("- AAPL\n", 1, "must consist of 'key: value' lines"),
        ("mode: simulated\ninstruments: [AAPL\n", 3, "is not valid YAML"),
        ("mode: simulated\n\tinstruments: [A]\n", 2, "indent with spaces"),
        ("instruments: &a [*a]\n", 1, "contains itself"),
        ("instruments: [A]\nmode: \x00\n", None, "is not valid YAML"),
        ("instruments: " + "[" * 3000, None, "nests too deep"),
        ("mode: simulated\n", 1, "instruments: is missing"),
        ("instruments: []\n", 1, "must list at least 1"),
        (MINIMAL + "mode: live\naccount: DU1\n", 3, "mode is live but DU1 is a paper account"),
        (MINIMAL + "mode: paper\naccount: U1\n", 3, "mode is paper but U1 is not a paper account"),
        (MINIMAL + "mode: fast\n", 2, "must be live, paper or simulated, not 'fast'"),
        (MINIMAL + "base_currency: dollar\n", 2, "must look like ^[A-Z]{3}$"),
        (MINIMAL + "gateway: {client_id: 7, panic_client_id: 7}\n", 2, "must differ"),
        (MINIMAL + "gateway: {port: 70000}\n", 2, "must be at most 65535, not 70000"),
        (MINIMAL + "gateway:\n", 2, "must be a section of 'key: value' lines, not nothing"),
        (MINIMAL + "panic: {flag: 7}\n", 2, "must be the path of a file, not 7"),
        (MINIMAL + "? [a, b]\n: c\n", 2, "a key must be plain text"),
        (MINIMAL + f"control: {{socket: /run/{'x' * 120}}}\n", 2, "a Unix socket's path at most 107"),
        (MINIMAL + f"gateway: {{port: {'9' * 5000}}}\n", 2, "gateway.port: cannot be read"),
        (MINIMAL + "gateway: !!python/object:os.system {}\n", 2, "gateway: has the tag"),
        (MINIMAL + "account: !!python/name:os.system x\n", 2, "is not valid YAML"),
        (MINIMAL + "account: !!timestamp 2026-99-99\n", 2, "account: cannot be read"),
        (MINIMAL + "gateway: {password: hunter2}\n", 2, "unknown key; remove it"),
    ],
)
def test_it_says_in_one_sentence_what_is_wrong(tmp_path: Path, text: str, line: int | None, words: str) -> None:
    (problem,) = problems_of(tmp_path, text)
    assert words in str(problem)
    assert problem.line == line
    assert "hunter2" not in str(problem)


def test_it_says_that_the_file_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="there is no such file"):
        load_settings(tmp_path / "missing.yaml")


def test_it_refuses_what_is_not_text(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_bytes(b"mode: simulated\naccount: \xff\xfe\n")
    with pytest.raises(ConfigurationError, match="yaml:2: is not UTF-8"):
        load_settings(file)


def test_it_refuses_a_file_without_end(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_bytes(b"#" * 1_000_001)
    with pytest.raises(ConfigurationError, match="is larger than"):
        load_settings(file)


def test_it_reads_the_example_that_comes_along() -> None:
    settings = load_settings(ROOT / "config.example.yaml")
    assert settings.mode is TradingMode.SIMULATED


def test_it_has_every_key_in_the_example() -> None:
    from trader.settings_file.schema import keys

    text = (ROOT / "config.example.yaml").read_text()
    missing = [path for path, _ in keys() if f"{path[-1]}:" not in text]
    assert missing == []
