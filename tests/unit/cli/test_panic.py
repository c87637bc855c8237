"""``trader panic`` with a configuration that is not as it should be."""

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import typer
from typer.testing import CliRunner, Result

from trader.cli import panic

USABLE = "instruments: [SPY]\nmode: paper\naccount: DU1234567\ngateway: {port: 1, connect_timeout_s: 1}\n"


@pytest.fixture
def folder() -> Iterator[Path]:
    # pytest's own folders can be longer than the 107 bytes that a socket's path may have.
    with TemporaryDirectory() as made:
        yield Path(made)


def raise_flag(folder: Path, text: str) -> Result:
    return run(folder, text, "--flag-only")


def run(folder: Path, text: str, *options: str) -> Result:
    config = folder / "config.yaml"
    config.write_text(text)
    app = typer.Typer()
    panic.register(app)
    return CliRunner().invoke(app, ["--config", str(config), *options])


@pytest.mark.parametrize(
    "wrong",
    [
        "strategy: {nme: observe}\n",
        "risk: {max_open_orders: many}\n",
        "panic: {flg: elsewhere}\n",
        "metrics: {port: -1}\njournal: {durability: eternal}\n",
    ],
)
def test_a_mistake_in_what_a_panic_does_not_need_is_told_and_does_not_stop_it(folder: Path, wrong: str) -> None:
    result = raise_flag(folder, USABLE + wrong)
    assert result.exit_code == 0, result.output
    assert "config.yaml:5:" in result.stderr
    assert "the panic goes on" in result.stderr
    assert (folder / "panic.flag").exists()


@pytest.mark.parametrize(
    "text",
    [
        USABLE.replace("port: 1,", "prt: 4002,"),
        USABLE.replace("mode: paper", "mode: papre"),
        USABLE.replace("account: DU1234567", "acount: DU1234567"),
        "instruments: [SPY]\nmode: live\n",
        "instruments: [SPY\n",
        "",
    ],
)
def test_an_account_is_never_guessed(folder: Path, text: str) -> None:
    result = raise_flag(folder, text)
    assert result.exit_code == 2, result.output
    assert "NO PANIC RAISED" in result.stderr
    assert not (folder / "panic.flag").exists()


def test_a_raised_flag_is_not_said_to_be_down_when_the_account_is_not_known(folder: Path) -> None:
    (folder / "panic.flag").touch()
    result = run(folder, USABLE.replace("mode: paper", "mode: papre"), "--hold")
    assert result.exit_code == 2, result.output
    assert "NOT FLATTENED FROM HERE" in result.stderr
    assert "NO PANIC RAISED" not in result.stderr
    assert "config.yaml:2: mode" in result.stderr
    assert (folder / "panic.flag").exists()
