"""What an operator types: status, positions, orders, halt, resume, health."""

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec
import pytest
import typer
from typer.testing import CliRunner, Result

from trader.cli import control_commands, health, reload, status
from trader.control import ControlServer
from trader.control_messages import (
    Command,
    ControlError,
    HealthReport,
    NoServiceError,
    Request,
    Response,
    answer_question,
    health_of,
    unknown_command,
)
from trader.health import check_health
from trader.settings import InstrumentSettings, MetricsSettings, PanicSettings, Settings
from trader.snapshot import Snapshot

Make = Callable[..., Snapshot]
Handler = Callable[[Request], Response]
Serve = Callable[[Handler], None]


@pytest.fixture
def folder() -> Iterator[Path]:
    # pytest's own folders can be longer than the 107 bytes that a socket's path may have.
    with TemporaryDirectory() as made:
        yield Path(made)


@pytest.fixture
def config(folder: Path) -> Path:
    path = folder / "config.yaml"
    path.write_text(
        "instruments: [SPY]\n"
        f"control: {{socket: {folder}/control.sock}}\n"
        f"panic: {{flag: {folder}/panic.flag}}\n"
        "metrics: {port: 0}\n"
    )
    return path


@pytest.fixture
def serve(folder: Path) -> Iterator[Serve]:
    """Run a control server with the given handler in a loop of its own, as a service would."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    servers: list[ControlServer] = []

    def start(handler: Handler) -> None:
        servers.append(ControlServer(folder / "control.sock", handler))
        asyncio.run_coroutine_threadsafe(servers[-1].start(), loop).result(10)

    thread.start()
    yield start
    for server in servers:
        asyncio.run_coroutine_threadsafe(server.close(), loop).result(10)
    loop.call_soon_threadsafe(loop.stop)
    thread.join(60)
    loop.close()


def run(config: Path, *arguments: str) -> Result:
    app = typer.Typer()
    for module in (status, control_commands, health, reload):
        module.register(app)
    return CliRunner().invoke(app, [*arguments, "--config", str(config)], env={"COLUMNS": "100", "TERM": "dumb"})


def answering(snapshot: Snapshot) -> Handler:
    return lambda request: answer_question(request, snapshot) or unknown_command(request)


def test_status_draws_the_running_service(config: Path, serve: Serve, make_snapshot: Make) -> None:
    serve(answering(make_snapshot()))
    result = run(config, "status")
    assert result.exit_code == 0
    assert "ACTIVE · ready" in result.output


def test_status_positions_and_orders_are_also_json(config: Path, serve: Serve, make_snapshot: Make) -> None:
    serve(answering(make_snapshot()))
    whole = run(config, "status", "--json").output
    assert msgspec.json.decode(whole, type=Snapshot) == make_snapshot()
    assert [line["symbol"] for line in json.loads(run(config, "positions", "--json").output)] == ["SPY", "BAC"]
    assert json.loads(run(config, "orders", "--json").output)[0]["state"] == "working"


def test_positions_and_orders_are_tables(config: Path, serve: Serve, make_snapshot: Make) -> None:
    serve(answering(make_snapshot()))
    assert "-1,500" in run(config, "positions").output
    assert "40 / 100" in run(config, "orders").output


@pytest.mark.parametrize("command", ["status", "positions", "orders", "halt", "resume", "health", "reload"])
def test_without_a_service_every_command_says_so_and_fails(config: Path, command: str) -> None:
    result = run(config, command)
    assert result.exit_code == 1
    assert result.output.startswith("no service is running")
    assert result.output.count("\n") == 1


def test_a_configuration_that_cannot_be_read_is_one_message(folder: Path) -> None:
    result = run(folder / "nowhere.yaml", "status")
    assert result.exit_code == 2
    assert "nowhere.yaml" in result.output
    assert "Traceback" not in result.output


@pytest.mark.parametrize("command", ["status", "health", "halt", "resume"])
def test_a_mistake_elsewhere_in_the_configuration_is_said_and_keeps_nobody_out(
    config: Path, serve: Serve, make_snapshot: Make, command: str
) -> None:
    serve(lambda request: answer_question(request, make_snapshot()) or Response.success())
    config.write_text(config.read_text() + "risk: {max_open_orders: many}\n")
    result = run(config, command)
    assert result.exit_code == 0
    assert "risk.max_open_orders: must be a whole number" in result.stderr


@pytest.mark.parametrize("mistake", ["contrl: {socket: x}\n", "mode: live\ncontrol2: 3\n"])
def test_a_mistake_that_may_be_about_the_service_asked_is_refused(config: Path, serve: Serve, mistake: str) -> None:
    config.write_text(config.read_text() + mistake)
    assert run(config, "halt").exit_code == 2


def test_halt_hands_the_reason_over(config: Path, serve: Serve) -> None:
    requests: list[Request] = []

    def handler(request: Request) -> Response:
        requests.append(request)
        return Response.success()

    serve(handler)
    result = run(config, "halt", "--reason", "a look at the book")
    assert result.exit_code == 0
    assert "trade again with: trader resume" in result.output
    assert requests == [Request(Command.HALT, {"reason": "a look at the book"})]


def test_resume_hands_the_acceptance_over_and_shows_the_services_words(config: Path, serve: Serve) -> None:
    serve(lambda request: Response.success(f"resumed, positions accepted: {request.flag('accept_positions')}"))
    assert run(config, "resume").output == "resumed, positions accepted: False\n"
    assert run(config, "resume", "--accept-positions").output == "resumed, positions accepted: True\n"


def test_resume_leaves_the_flag_to_a_running_service(config: Path, folder: Path, serve: Serve) -> None:
    (folder / "panic.flag").touch()
    serve(lambda request: Response.success())
    assert run(config, "resume").exit_code == 0
    assert (folder / "panic.flag").exists()


def test_resume_without_a_service_lowers_the_flag_and_says_what_is_left_to_do(config: Path, folder: Path) -> None:
    (folder / "panic.flag").touch()
    result = run(config, "resume")
    assert result.exit_code == 1
    assert not (folder / "panic.flag").exists()
    assert "was removed, but trading is not resumed" in result.output
    assert "start it, then type: trader resume" in result.output


def test_a_refusal_is_shown_as_it_is(config: Path, serve: Serve) -> None:
    serve(lambda request: Response.failure("positions differ: SPY ours 100, the broker's 200"))
    result = run(config, "resume")
    assert (result.exit_code, result.output) == (1, "positions differ: SPY ours 100, the broker's 200\n")


def test_health_is_an_exit_code_and_one_line(config: Path, serve: Serve, make_snapshot: Make) -> None:
    serve(answering(make_snapshot()))
    result = run(config, "health")
    assert (result.exit_code, result.output) == (0, "ready, active, session open, last tick 0.3 s ago\n")


def test_health_is_also_json(config: Path, serve: Serve, make_snapshot: Make) -> None:
    serve(answering(make_snapshot()))
    result = run(config, "health", "--json")
    assert result.exit_code == 0
    assert json.loads(result.output)["last_tick_age_s"] == 0.3


def test_out_of_session_no_tick_is_waited_for(make_snapshot: Make) -> None:
    report = health_of(make_snapshot(session_open=False))
    assert report == HealthReport(True, "ready, active, session closed")


def test_a_reload_says_what_changed(config: Path, serve: Serve) -> None:
    serve(
        lambda request: Response.success(
            ("risk.max_open_orders", "stop.flatten") if request.command == "reload" else ()
        )
    )
    result = run(config, "reload")
    assert (result.exit_code, result.output) == (0, "reloaded: risk.max_open_orders, stop.flatten\n")


def test_a_reload_that_changes_nothing_says_so(config: Path, serve: Serve) -> None:
    serve(lambda request: Response.success([]))
    assert run(config, "reload").output == "reloaded: nothing changed\n"


def test_a_refused_reload_shows_every_problem_once(config: Path, serve: Serve) -> None:
    config.write_text(config.read_text() + "risk: {max_open_orders: many}\n")
    serve(lambda request: Response.failure("the configuration was not reloaded:\nrisk: one\nmode: two"))
    result = run(config, "reload")
    assert result.exit_code == 1
    assert result.output.splitlines() == [
        "the configuration was not reloaded:",
        "risk: one",
        "mode: two",
        "the old configuration stays in force",
    ]


@pytest.mark.parametrize("command", ["status", "halt", "health", "reload"])
def test_the_environment_names_the_configuration(config: Path, monkeypatch: pytest.MonkeyPatch, command: str) -> None:
    monkeypatch.setenv("TRADER_CONFIG", str(config))
    app = typer.Typer()
    for module in (status, control_commands, health, reload):
        module.register(app)
    result = CliRunner().invoke(app, [command])
    assert f"nobody listens at {config.parent}/control.sock" in result.output


def test_health_says_why_not(config: Path, serve: Serve, make_snapshot: Make) -> None:
    serve(answering(make_snapshot(ready=False, problems=("the gateway refuses the connection",))))
    result = run(config, "health")
    assert (result.exit_code, result.output) == (1, "the gateway refuses the connection\n")


def test_a_raised_panic_flag_is_never_healthy(config: Path, folder: Path, serve: Serve, make_snapshot: Make) -> None:
    serve(answering(make_snapshot()))
    (folder / "panic.flag").touch()
    result = run(config, "health")
    assert result.exit_code == 1
    assert "panic flag" in result.output


# -- /readyz, when nobody listens on the socket


def settings(folder: Path, port: int) -> Settings:
    return Settings(
        instruments=(InstrumentSettings(symbol="SPY"),),
        panic=PanicSettings(flag=folder / "panic.flag"),
        metrics=MetricsSettings(port=port),
    )


def nobody(command: str) -> Response:
    raise NoServiceError("no service is running")


@pytest.fixture
def readyz() -> Iterator[Callable[[int, str], int]]:
    servers: list[HTTPServer] = []

    def start(status: int, body: str) -> int:
        class Answer(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status if self.path == "/readyz" else 404)
                self.end_headers()
                self.wfile.write(body.encode())

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 (the base class's name)
                """Tests print nothing."""

        server = HTTPServer(("127.0.0.1", 0), Answer)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        return server.server_port

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


ANSWERS = [
    (200, "ready\n", HealthReport(True, "ready")),
    (503, "books are not reconciled\nno quotes\n", HealthReport(False, "books are not reconciled; no quotes")),
    (503, "", HealthReport(False, "/readyz says 503")),
]


@pytest.mark.parametrize(("status", "body", "expected"), ANSWERS)
def test_readyz_is_asked_when_nobody_listens(
    folder: Path, readyz: Callable[[int, str], int], status: int, body: str, expected: HealthReport
) -> None:
    assert check_health(settings(folder, readyz(status, body)), nobody) == expected


def test_no_answer_anywhere_is_not_healthy(folder: Path) -> None:
    assert check_health(settings(folder, 0), nobody) == HealthReport(False, "no service is running")


def test_a_service_that_is_stuck_is_not_healthy_whatever_readyz_says(
    folder: Path, readyz: Callable[[int, str], int]
) -> None:
    def stuck(command: str) -> Response:
        raise ControlError("the service did not answer within 5 s")

    assert not check_health(settings(folder, readyz(200, "ready")), stuck).ready
