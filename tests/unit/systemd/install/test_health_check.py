"""The health script, with a stand-in for systemctl and a small server in the service's place."""

import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.unit.systemd.install.staging import PATH, ROOT, Done, run

HEALTH_CHECK = ROOT / "scripts" / "health_check.sh"
MEBI = 1 << 20
UNLIMITED = "18446744073709551615"


class Service:
    """What the script sees of a service: a unit's properties, a configuration, a session, and answers over HTTP."""

    def __init__(self, folder: Path, port: int, answers: dict[str, tuple[int, str]]) -> None:
        self.base, self.stubs, self.port, self.answers = folder / "base", folder / "stubs", port, answers
        self.properties = {"ActiveState": "active", "MemoryCurrent": str(100 * MEBI), "MemoryMax": str(200 * MEBI)}
        self.sessions = folder / "ibkr-session.prom"
        self.now = int(time.time())  # the script compares with the host's own clock
        self.stubs.mkdir()
        self.configure(port)
        self.session(self.now - 3_600, self.now + 3_600)
        self.tick(self.now)

    def configure(self, port: int, folder: str = "config") -> None:
        text = f"session:\n  calendar: XNYS # here\nmarket_data:\n  stale_after_s: 15\nmetrics:\n  port: {port}\n"
        (self.base / folder).mkdir(parents=True, exist_ok=True)
        (self.base / folder / "config.yaml").write_text(text + "panic:\n  flag: ../panic.flag\n")

    def session(self, opens: int, closes: int) -> None:
        lines = {"open": opens, "close": closes}
        self.sessions.write_text(
            "".join(f'trader_session_{key}_timestamp_seconds{{calendar="XNYS"}} {at}.0\n' for key, at in lines.items())
        )

    def tick(self, at: int) -> None:
        self.answers["/metrics"] = (200, f"trader_market_data_last_tick_timestamp_seconds {at}.25\n")

    def check(self, *arguments: str) -> Done:
        cases = "".join(f"  --property={key}) echo '{value}' ;;\n" for key, value in self.properties.items())
        stub = self.stubs / "systemctl"
        stub.write_text(f'#!/bin/sh\necho "$4" >>{self.stubs}/asked\ncase "$2" in\n{cases}esac\n')
        stub.chmod(0o755)
        options = ("--base", str(self.base), *arguments)
        return run(HEALTH_CHECK, *options, PATH=f"{self.stubs}:{PATH}", IBKR_SESSION_METRICS=str(self.sessions))


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    answers: dict[str, tuple[int, str]] = {"/readyz": (200, '{"ready": true}')}

    class Answers(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body = answers.get(self.path, (404, ""))
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield Service(tmp_path, server.server_port, answers)
    server.shutdown()
    thread.join()
    server.server_close()


def failures(done: Done) -> list[str]:
    return [line[8:20].strip() for line in done.stdout.splitlines() if line.startswith("FAILED")]


def test_a_healthy_service_passes_every_check_in_a_line_each(service: Service) -> None:
    done = service.check()
    assert (done.returncode, done.stderr, failures(done)) == (0, "", [])
    assert done.stdout.count("\n") == 5
    assert "100 MB of 200 MB, 50 %" in done.stdout


def test_it_says_nothing_of_a_healthy_service_when_it_is_to_be_quiet(service: Service) -> None:
    done = service.check("--quiet")
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("state", ["inactive", "failed", "activating", "deactivating", ""])
def test_a_unit_that_is_not_active_fails(service: Service, state: str) -> None:
    service.properties["ActiveState"] = state
    done = service.check()
    assert (done.returncode, failures(done)) == (1, ["service"])


def test_a_raised_panic_flag_fails(service: Service) -> None:
    (service.base / "panic.flag").touch()
    done = service.check()
    assert (done.returncode, failures(done)) == (1, ["panic flag"])


def test_a_configuration_that_cannot_be_read_is_not_taken_for_a_flag_that_is_down(service: Service) -> None:
    (service.base / "config" / "config.yaml").unlink()
    done = service.check()
    assert done.returncode == 1
    assert "panic flag" in failures(done)


@pytest.mark.parametrize(
    ("used", "limits", "failed"),
    [
        (159, {"MemoryMax": str(200 * MEBI)}, []),
        (160, {"MemoryMax": str(200 * MEBI)}, ["memory"]),
        (160, {"MemoryMax": "infinity"}, []),
        (160, {"MemoryMax": UNLIMITED}, []),
        (160, {"MemoryMax": "infinity", "EffectiveMemoryMax": str(200 * MEBI)}, ["memory"]),
        (160, {"MemoryMax": UNLIMITED, "MemoryLimit": str(200 * MEBI)}, ["memory"]),
    ],
)
def test_memory_is_compared_with_the_limit_that_holds(
    service: Service, used: int, limits: dict[str, str], failed: list[str]
) -> None:
    service.properties.update({"MemoryCurrent": str(used * MEBI), **limits})
    assert failures(service.check()) == failed


@pytest.mark.parametrize("value", ["[not set]", UNLIMITED, ""])
def test_a_use_of_memory_that_is_not_known_fails(service: Service, value: str) -> None:
    service.properties["MemoryCurrent"] = value
    assert failures(service.check()) == ["memory"]


def test_a_service_that_is_not_ready_fails_with_its_own_word(service: Service) -> None:
    service.answers["/readyz"] = (503, '{"ready": false, "problems": ["not connected"]}')
    done = service.check()
    assert failures(done) == ["readiness"]
    assert "not connected" in done.stdout


def test_nobody_at_the_metrics_port_fails(service: Service) -> None:
    service.configure(1)
    assert failures(service.check()) == ["readiness", "market data"]


@pytest.mark.parametrize(
    ("opens", "closes", "ticked", "failed"),
    [
        (-3_600, 3_600, -5, []),
        (-3_600, 3_600, -60, ["market data"]),
        (-1, 3_600, -60, []),  # just opened: the first tick is not due yet
        (3_600, 7_200, -60, []),  # closed
        (-7_200, -3_600, 0, ["market data"]),  # nobody publishes sessions any more
    ],
)
def test_the_age_of_the_last_tick_counts_in_session_only(
    service: Service, opens: int, closes: int, ticked: int, failed: list[str]
) -> None:
    service.session(service.now + opens, service.now + closes)
    service.tick(service.now + ticked)
    assert failures(service.check()) == failed


def test_a_session_that_is_not_known_fails(service: Service) -> None:
    service.sessions.unlink()
    assert failures(service.check()) == ["market data"]


def test_an_instance_is_looked_at_in_its_own_folder(service: Service) -> None:
    service.configure(service.port, "instances/second/config")
    (service.base / "panic.flag").touch()
    done = service.check("--instance", "second")
    assert (done.returncode, failures(done)) == (0, [])
    assert set((service.stubs / "asked").read_text().split()) == {"ibkr-trading@second.service"}


@pytest.mark.parametrize("arguments", [["--loud"], ["--instance"], ["--instance", "../x"]])
def test_a_wrong_option_is_one_sentence(service: Service, arguments: list[str]) -> None:
    done = service.check(*arguments)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
