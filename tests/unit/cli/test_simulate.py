"""``trader simulate``: what cannot be used is one sentence and exit code 2; a signal ends it cleanly."""

import asyncio
import gzip
import json
import os
import signal
import socket
import subprocess
import sys

import pytest
import typer
from typer.testing import CliRunner

from trader.cli import simulate

ROWS = (
    "time,symbol,bid,bid_size,ask,ask_size,last,last_size\n"
    "2013-10-07T13:30:00Z,SPY,167.50,100,167.51,200,,\n"
    "2013-10-07T13:30:01Z,SPY,167.51,100,167.52,200,167.52,50\n"
)
WAIT_S = 30


@pytest.fixture
def run():
    app = typer.Typer()
    app.callback()(lambda: None)
    simulate.register(app)
    return lambda *arguments: CliRunner().invoke(app, ["simulate", *map(str, arguments)])


@pytest.fixture
def file(tmp_path):
    """``file(name, text)`` writes a file and returns its path."""

    def write(name, text):
        path = tmp_path / name
        path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
        return path

    return write


REFUSED = {
    "another host": (("--host", "0.0.0.0"), "this machine only"),
    "no speed": (("--speed", "0"), "speed"),
    "no such port": (("--port", "70000"), "no port 70000"),
    "no such file": (("--market", "missing.csv"), "missing.csv"),
    "a mixture": (("--market", "synthetic", "--market", "missing.csv"), "exclude each other"),
    "no symbols": (("--symbols", ","), "--symbols"),
    "unknown hours": (("--hours", "lunch"), "--hours"),
    "unknown commission": (("--commission", "none"), "--commission"),
    "unknown start": (("--start-on", "tomorrow"), "--start-on"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_used_is_one_sentence_and_exit_code_2(run, name):
    arguments, words = REFUSED[name]
    result = run("--port", "0", *arguments)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert result.stderr.startswith("cannot simulate: ")
    assert words in result.stderr


DAMAGED = {
    "a market file": ("market.csv", ROWS.replace("167.52,50", "cheap,50"), "--market", "line 3"),
    "a fault file": ("faults.yaml", "disconect: 1\n", "--faults", "disconect"),
    "a state file": ("state.json", '{"at": ', "--state", "damaged"),
    "a foreign state file": ("state.json", "{}", "--state", "does not fit"),
    "a list as state": ("state.json", "[]", "--state", "damaged"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_named_with_what_is_wrong(run, file, name):
    filename, content, option, words = DAMAGED[name]
    path = file(filename, content)
    result = run("--port", "0", option, path)
    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert str(path) in result.stderr
    assert words in result.stderr


def test_a_port_in_use_is_said_before_anything_is_served(run):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        result = run("--port", other.getsockname()[1])
    assert result.exit_code == 2
    assert "is in use" in result.stderr


def test_a_recorded_market_ends_the_command_when_that_is_wanted(run, file):
    path = file("day.csv.gz", ROWS)
    result = run("--port", "0", "--market", path, "--speed", "1000", "--exit-at-end")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout.startswith("listening on 127.0.0.1:")


@pytest.mark.e2e
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_cleanly_and_saves_its_state(tmp_path, number):
    state = tmp_path / "state.json"
    program = (
        "import typer; from trader.cli import simulate; app = typer.Typer(); "
        "app.callback()(lambda: None); simulate.register(app); app()"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, "simulate", "--port", "0", "--state", str(state), stdout=subprocess.PIPE
    )
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), WAIT_S)
    assert line.startswith(b"listening on 127.0.0.1:")
    os.kill(process.pid, number)
    assert await asyncio.wait_for(process.wait(), WAIT_S) == 0
    assert json.loads(state.read_text())["version"] == 1
    assert [item.name for item in tmp_path.iterdir()] == ["state.json"]
