"""The host's journal and Prometheus: what is read from them, and why it cannot be."""

import json
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from trader.maintenance import sources
from trader.maintenance.sources import (
    JournalctlLogs,
    LogsUnavailable,
    NoMetrics,
    PrometheusMetrics,
    PrometheusUnavailable,
    log_line,
    sqlite_file,
)

SINCE = datetime(2026, 11, 20, 21, 5, tzinfo=UTC)
UNTIL = SINCE + timedelta(days=1)


def entry(offset_s: float = 1.0, **fields: object) -> str:
    moment = int((SINCE + timedelta(seconds=offset_s)).timestamp() * 1_000_000)
    return json.dumps({"__REALTIME_TIMESTAMP": str(moment), "_SYSTEMD_UNIT": "ibkr-trading.service", **fields})


def journalctl(folder: Path, output: str, error: str = "", code: int = 0) -> JournalctlLogs:
    """A journalctl that says ``output``, and keeps its arguments."""
    (folder / "out").write_text(output)
    (folder / "err").write_text(error)
    program = folder / "journalctl"
    program.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$@" >{folder}/arguments\ncat {folder}/out\ncat {folder}/err >&2\nexit {code}\n'
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return JournalctlLogs(str(program))


def test_a_json_line_of_the_service_is_taken_apart(tmp_path: Path) -> None:
    message = json.dumps({"level": "ERROR", "message": "order rejected", "fact": "BrokerErrorReceived", "code": 201})
    logs = journalctl(tmp_path, entry(MESSAGE=message, PRIORITY="3") + "\n")
    (line,) = logs.lines(SINCE, UNTIL, ("ibkr-*",))
    assert (line.at, line.unit, line.priority) == (SINCE + timedelta(seconds=1), "ibkr-trading.service", 3)
    assert (line.message, line.fields["code"]) == ("order rejected", 201)


def test_it_asks_for_the_period_and_the_units(tmp_path: Path) -> None:
    list(journalctl(tmp_path, "").lines(SINCE, UNTIL, ("ibkr-trading.service", "ibkr-panic.service")))
    asked = (tmp_path / "arguments").read_text().split()
    assert f"--since=@{SINCE.timestamp():.6f}" in asked
    assert f"--until=@{UNTIL.timestamp():.6f}" in asked
    assert {"--unit=ibkr-trading.service", "--unit=ibkr-panic.service", "--output=json"} <= set(asked)


def test_a_line_at_the_end_of_the_period_belongs_to_the_next_one(tmp_path: Path) -> None:
    logs = journalctl(tmp_path, entry(86_399.5, MESSAGE="a") + "\n" + entry(86_400, MESSAGE="b") + "\n")
    assert [line.message for line in logs.lines(SINCE, UNTIL, ())] == ["a"]


def test_systemds_own_words_are_about_the_unit_that_they_name() -> None:
    line = log_line(
        entry(MESSAGE="Failed with result 'oom-kill'.", UNIT="ibkr-trading.service", MESSAGE_ID="d9b3").encode()
    )
    assert line is not None
    assert (line.unit, line.from_systemd, line.message_id, line.priority) == ("ibkr-trading.service", True, "d9b3", 6)


def test_text_that_is_not_utf8_is_read_all_the_same() -> None:
    line = log_line(entry(MESSAGE=[104, 105, 255]).encode())
    assert line is not None
    assert line.message == "hi\N{REPLACEMENT CHARACTER}"


@pytest.mark.parametrize("message", ["{not json", '{"a": ', "[1, 2]", "plain", None, ["a", "b"]])
def test_a_message_of_any_form_is_a_line(message: object) -> None:
    line = log_line(entry(MESSAGE=message).encode())
    assert line is not None
    assert line.fields == {}


@pytest.mark.parametrize("raw", [b"", b"-- No entries --", b"{}", b'{"__REALTIME_TIMESTAMP": "x"}', b"[]", b"null"])
def test_what_is_no_entry_is_passed_over(raw: bytes) -> None:
    assert log_line(raw) is None


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ("Hint: You are currently not seeing messages from other users and the system.\n", 0),
        ("No journal files were opened due to insufficient permissions.\n", 1),
    ],
)
def test_a_journal_that_may_not_be_read_is_not_an_empty_one(tmp_path: Path, said: str, code: int) -> None:
    logs = journalctl(tmp_path, entry(MESSAGE="mine") + "\n", said, code)
    with pytest.raises(LogsUnavailable, match="add the user to the group systemd-journal"):
        list(logs.lines(SINCE, UNTIL, ()))


def test_a_journalctl_that_fails_is_told_in_its_own_words(tmp_path: Path) -> None:
    logs = journalctl(tmp_path, "", "Failed to open files: Bad message\n", 1)
    with pytest.raises(LogsUnavailable, match="Failed to open files: Bad message"):
        list(logs.lines(SINCE, UNTIL, ()))


def test_a_journal_without_a_matching_unit_is_not_an_empty_one(tmp_path: Path) -> None:
    logs = journalctl(tmp_path, "", "Failed to add filter for units: No data available\n", 1)
    with pytest.raises(LogsUnavailable, match="no such unit: none of ours has written to it yet, or this user may not"):
        list(logs.lines(SINCE, UNTIL, ()))


def test_a_host_without_journalctl_says_so(tmp_path: Path) -> None:
    with pytest.raises(LogsUnavailable, match="is not installed"):
        list(JournalctlLogs(str(tmp_path / "nothing")).lines(SINCE, UNTIL, ()))


def test_more_lines_than_the_limit_are_no_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "LINES_MAX", 2)
    logs = journalctl(tmp_path, (entry(MESSAGE="m") + "\n") * 3)
    with pytest.raises(LogsUnavailable, match="more than 2 lines"):
        list(logs.lines(SINCE, UNTIL, ()))


def test_who_stops_reading_leaves_no_process_behind(tmp_path: Path) -> None:
    logs = journalctl(tmp_path, (entry(MESSAGE="m") + "\n") * 1_000)
    lines = logs.lines(SINCE, UNTIL, ())
    next(lines)
    lines.close()  # type: ignore[attr-defined]


def test_without_a_prometheus_the_reason_names_the_setting() -> None:
    with pytest.raises(PrometheusUnavailable, match=r"maintenance\.prometheus_url"):
        NoMetrics().query("up", SINCE)


def test_a_prometheus_that_is_not_there_is_a_reason(unused_tcp_port: int) -> None:
    with pytest.raises(PrometheusUnavailable, match="no answer"):
        PrometheusMetrics(f"http://127.0.0.1:{unused_tcp_port}").query("up", SINCE)


@pytest.fixture
def unused_tcp_port() -> int:
    """A port that was free a moment ago."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_range_of_more_points_than_prometheus_gives_is_not_asked_for() -> None:
    with pytest.raises(PrometheusUnavailable, match="86,400 points"):
        PrometheusMetrics("http://127.0.0.1:1").query_range("up", SINCE, UNTIL, 1.0)


@pytest.mark.parametrize(
    ("url", "file"),
    [
        ("sqlite:////a/b.db", Path("/a/b.db")),
        ("sqlite:////a/b.db?timeout=3", Path("/a/b.db")),
        ("sqlite://", None),
        ("sqlite:///:memory:", None),
        ("postgresql+psycopg://u@h/n", None),
    ],
)
def test_only_a_journal_in_sqlite_has_a_file(url: str, file: Path | None) -> None:
    assert sqlite_file(url) == file
