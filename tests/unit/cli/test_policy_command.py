"""``trader policy``: shown in words, overridden with an end and a reason."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import msgspec
import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner, Result

from trader.cli import policy
from trader.cli.policy import policy_view, seconds_of
from trader.cli.views import policy_text
from trader.control import ControlServer
from trader.control_messages import ControlError, Request, Response, answer_question
from trader.events import PolicyState
from trader.snapshot import PolicyView, Snapshot

Make = Callable[..., Snapshot]


class Desk:
    """A service's end of the control socket: answers with a snapshot, keeps what it was told."""

    def __init__(self, folder: Path, snapshot: Snapshot) -> None:
        self.config = folder / "config.yaml"
        self.config.write_text(f"instruments: [SPY]\ncontrol: {{socket: {folder}/control.sock}}\n")
        self.requests: list[dict[str, Any]] = []
        self.snapshot = snapshot
        self.answer: str | None = None
        self.server = ControlServer(folder / "control.sock", self.handle)

    def handle(self, request: Request) -> Response:
        question = answer_question(request, self.snapshot)
        if question is not None:
            return question
        if request.number("for_s") > 86_400:
            raise ControlError("an override may last 86400 s at most (policy.override_max_s)")
        self.requests.append(request.arguments)
        return Response.success(self.answer)

    def run(self, *arguments: str) -> Result:
        app = typer.Typer()
        policy.register(app)
        command = [*arguments, "--config", str(self.config)]
        return CliRunner().invoke(app, command, env={"COLUMNS": "100", "TERM": "dumb"})


@pytest.fixture
def desk(make_snapshot: Make) -> Iterator[Desk]:
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    # pytest's own folders can be longer than the 107 bytes that a socket's path may have.
    with TemporaryDirectory() as folder:
        made = Desk(Path(folder), make_snapshot())
        asyncio.run_coroutine_threadsafe(made.server.start(), loop).result(10)
        yield made
        asyncio.run_coroutine_threadsafe(made.server.close(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(60)
    loop.close()


def stopped(snapshot: Snapshot, **changes: Any) -> Snapshot:
    view = PolicyView(
        states={"error_rate": PolicyState.NO_NEW_ENTRIES, "net_pnl": PolicyState.OK},
        alerts=("SLOBudgetExhausted (error_rate)",),
        heard_at=snapshot.at - timedelta(seconds=30),
    )
    return msgspec.structs.replace(snapshot, policy=msgspec.structs.replace(view, **changes))


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1_800), ("2h", 7_200), ("1h30m", 5_400), ("1d", 86_400)]
)
def test_a_duration_is_read_as_people_write_it(text: str, seconds: int) -> None:
    assert seconds_of(text) == seconds


@pytest.mark.parametrize("text", ["", "2", "h", "2 h", "-1h", "2hours", "0m"])
def test_what_is_no_duration_is_one_sentence(desk: Desk, text: str) -> None:
    result = desk.run("policy", "override", f"--for={text}", "--reason", "x")
    assert result.exit_code == 1
    assert len(result.output.strip().splitlines()) == 1
    assert desk.requests == []


def test_an_override_is_told_to_the_service(desk: Desk) -> None:
    result = desk.run("policy", "override", "--for", "2h", "--reason", "known cause")
    assert result.exit_code == 0
    assert desk.requests == [{"for_s": 7_200, "reason": "known cause"}]
    assert "set aside for 2h" in result.output


def test_an_override_needs_a_reason(desk: Desk) -> None:
    assert desk.run("policy", "override", "--for", "2h").exit_code != 0
    result = desk.run("policy", "override", "--for", "2h", "--reason", " ")
    assert result.exit_code == 1
    assert "needs a reason" in result.output


def test_the_services_refusal_is_passed_on(desk: Desk) -> None:
    result = desk.run("policy", "override", "--for", "30d", "--reason", "x")
    assert result.exit_code == 1
    assert "policy.override_max_s" in result.output


def test_an_override_is_ended_by_restore(desk: Desk) -> None:
    desk.answer = "only exits are allowed: budget policy: SLOBudgetExhausted (error_rate)"
    result = desk.run("policy", "restore")
    assert desk.requests == [{"for_s": 0, "reason": "an operator asked for it"}]
    assert desk.answer in result.output


def test_it_shows_what_stops_entries_and_when_it_was_told(desk: Desk) -> None:
    desk.snapshot = stopped(desk.snapshot)
    result = desk.run("policy", "show")
    assert result.exit_code == 0
    for words in ("no new entries: error_rate", "fires: SLOBudgetExhausted (error_rate)", "last heard: 30 s ago",
                  "off: policy.token_file is not set"):  # fmt: skip
        assert words in result.output


def test_it_gives_json_when_asked_to(desk: Desk) -> None:
    desk.snapshot = stopped(desk.snapshot)
    result = desk.run("policy", "show", "--json")
    assert msgspec.json.decode(result.output)["states"] == {"error_rate": 2, "net_pnl": 0}


def test_without_a_service_it_is_one_sentence(desk: Desk) -> None:
    desk.config.write_text("instruments: [SPY]\ncontrol: {socket: nobody.sock}\n")
    for command in (("show",), ("override", "--for", "1h", "--reason", "x"), ("restore",)):
        result = desk.run("policy", *command)
        assert result.exit_code == 1
        assert "no service is running" in result.output


def test_the_status_says_it_in_a_few_words(make_snapshot: Make) -> None:
    snapshot = make_snapshot()
    until = snapshot.at + timedelta(hours=2)
    assert policy_text(snapshot).plain == "ok"
    assert policy_text(stopped(snapshot)).plain == "no new entries: error_rate"
    overridden = stopped(snapshot, override_until=until)
    assert policy_text(overridden).plain == "overridden for 2 h 00 min (no new entries: error_rate)"
    assert policy_text(stopped(snapshot, states={"net_pnl": PolicyState.CAUTION})).plain == "caution: net_pnl"


def test_nothing_heard_is_said(make_snapshot: Make) -> None:
    console = Console(width=100)
    with console.capture() as output:
        console.print(policy_view(make_snapshot()))
    assert "Alertmanager last heard: never" in output.get()
