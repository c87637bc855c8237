"""What the host tells about a start."""

import json
from pathlib import Path

import pytest

from trader.clock import SystemClock, booted_at_s, uptime_s
from trader.host import ExitRecord, boot_id, exit_record, forget_exit

RECORD = {"result": "watchdog", "exit_code": "killed", "exit_status": "ABRT"}


def environment(file: Path) -> dict[str, str]:
    return {"TRADER_EXIT_RECORD": str(file), "TRADER_BOOT_ID": "b1"}


def test_the_record_of_the_last_run_is_read_and_forgotten(tmp_path: Path) -> None:
    file = tmp_path / "last_exit.json"
    file.write_text(json.dumps(RECORD))

    assert exit_record(environment(file)) == ExitRecord("watchdog", "killed", "ABRT")
    forget_exit(environment(file))

    assert not file.exists()
    assert exit_record(environment(file)) == ExitRecord()
    forget_exit(environment(file))


def test_without_systemd_nothing_is_told() -> None:
    assert (boot_id({}), exit_record({})) == ("", ExitRecord())
    forget_exit({})


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"result": 7}', b"\xff\xfe", b'{"result": "' + b"x" * 9_000])
def test_a_record_that_cannot_be_read_is_said_and_tells_nothing(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "last_exit.json"
    file.write_bytes(content)

    assert exit_record(environment(file)) == ExitRecord()

    assert str(file) in caplog.text


def test_a_record_that_cannot_be_opened_or_removed_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert exit_record(environment(tmp_path)) == ExitRecord()
    forget_exit(environment(tmp_path))

    assert "does not tell how the last run ended" in caplog.text
    assert "cannot be removed" in caplog.text


def test_the_boot_is_the_one_that_the_unit_names() -> None:
    assert boot_id({"TRADER_BOOT_ID": "b1"}) == "b1"


def test_the_host_booted_before_now() -> None:
    assert uptime_s() > 0
    assert booted_at_s() < SystemClock().now().timestamp()
