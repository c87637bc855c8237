"""Errors of the day: equal news is one kind, counted, whatever a line is made of."""

import itertools
import json
import random
import re
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from observability.describe import describe
from observability.logs import REPEATS_TOLD
from tests.unit.maintenance.days import DAY, FakeLogs, context, figure, table
from trader.events import BrokerErrorReceived, ErrorClass
from trader.maintenance import errors
from trader.maintenance.model import Outcome, Section
from trader.maintenance.sources import JournalctlLogs, LogLine, log_line

UNIT = "ibkr-trading.service"
MORNING = DAY + timedelta(hours=14)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def entry(message: Any, *, second: int = 0, priority: str = "6", unit: str = UNIT, **more: Any) -> bytes:
    """A line of ``journalctl --output=json``."""
    micros = (MORNING + timedelta(seconds=second) - EPOCH) // timedelta(microseconds=1)
    fields = {"__REALTIME_TIMESTAMP": str(micros), "PRIORITY": priority, "_SYSTEMD_UNIT": unit, "MESSAGE": message}
    return json.dumps({**fields, **more}).encode() + b"\n"


def ours(level: str, message: str, second: int = 0, **fields: Any) -> bytes:
    """A line as the service writes it."""
    numbers = {"CRITICAL": "2", "ERROR": "3", "WARNING": "4", "INFO": "6"}
    body = json.dumps({"time": "…", "level": level, "logger": "trader.facts", "message": message, **fields})
    return entry(body, second=second, priority=numbers[level])


def lines_of(*raw: bytes) -> list[LogLine]:
    return [line for line in map(log_line, raw) if line is not None]


def looked(tmp_path: Path, *raw: bytes) -> Section:
    return errors.run(context(tmp_path, logs=FakeLogs(lines_of(*raw))))


def kinds(section: Section) -> list[tuple[Any, ...]]:
    """Level, code, message and count of each kind, in order."""
    return [(row[0], row[2], row[3], row[4]) for row in table(section, "Errors and warnings").rows]


def test_equal_news_is_one_kind_with_its_count_and_its_times(tmp_path: Path) -> None:
    section = looked(
        tmp_path,
        ours("INFO", "ready"),
        ours("ERROR", "order ibt-ab12-7 was rejected: 201 no margin for 100 at 168.04", 5, code=201),
        ours("ERROR", "order ibt-ab12-91 was rejected: 201 no margin for 2,500 at 99.5", 65, code=201),
        ours("WARNING", "no heartbeat from the gateway for 7.5 s", 70),
    )
    assert kinds(section) == [
        ("error", "201", "order ORDER was rejected: # no margin for # at #", 2),
        ("warning", "", "no heartbeat from the gateway for # s", 1),
    ]
    row = table(section, "Errors and warnings").rows[0]
    assert (row[1], row[5], row[6]) == (UNIT, MORNING + timedelta(seconds=5), MORNING + timedelta(seconds=65))
    assert row[7] == "order ibt-ab12-7 was rejected: 201 no margin for 100 at 168.04"
    assert section.outcome is Outcome.WARNING
    assert section.sentence == "2 errors, 1 warning, of 2 kinds"
    assert figure(section, "Lines read").value == 4


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("data farm usfarm lost after 3 s", "data farm usfarm lost after 12.75 s"),
        ("execution 0000e0d5.5f3c1a5f.01.01 is booked", "execution 0001f4e8.6530bd3a.01.02 is booked"),
        ("run 1b4e28ba-2fa1-11d2-883f-0016d3cca427 began", "run 6fa459ea-ee8a-3ca4-894e-db77e160355e began"),
        ("config_hash 72841e227950", "config_hash e695312c4ee2"),
        ("due 2013-10-08T14:00:05Z", "due 2014-01-01 09:30:00.5+00:00"),
        ("at 14:00:05.123 it stopped", "at 9:30 it stopped"),
        ("net -1,234.50 USD", "net +7 USD"),
        ("address 0x7f3c in use", "address 0xdeadbeef in use"),
        ("two\tlines\nof   text 1", "two lines of text 2"),
    ],
)
def test_numbers_references_and_times_make_no_other_news(one: str, other: str) -> None:
    assert errors.masked(errors.clean(one)) == errors.masked(errors.clean(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("data farm usfarm lost", "data farm ushmds lost"),
        ("position SPY differs", "position IBM differs"),
        ("decade facade", "deface accede"),
    ],
)
def test_words_make_other_news(one: str, other: str) -> None:
    assert errors.masked(errors.clean(one)) != errors.masked(errors.clean(other))


def test_codes_and_units_tell_equal_words_apart(tmp_path: Path) -> None:
    section = looked(
        tmp_path,
        ours("ERROR", "broker message 201: no", code=201),
        ours("ERROR", "broker message 202: no", code=202),
        entry("broker message 202: no", priority="3", unit="ibkr-gateway.service"),
    )
    assert [row[:3] for row in table(section, "Errors and warnings").rows] == [
        ("error", UNIT, "201"), ("error", UNIT, "202"), ("error", "ibkr-gateway.service", ""),
    ]  # fmt: skip


def test_what_the_service_says_of_the_broker_is_grouped_by_its_code(tmp_path: Path) -> None:
    said = []
    for number, code in enumerate((201, 201, 10_147)):
        described = describe(
            BrokerErrorReceived(
                at=MORNING, request_id=number, code=code, message="refused", error_class=ErrorClass.ORDER_REJECTED
            )
        )
        assert described is not None
        said.append(ours("ERROR", described.message, number, code=described.fields["code"]))
    assert [(code, count) for _, code, _, count in kinds(looked(tmp_path, *said))] == [("201", 2), ("10147", 1)]


def test_lines_that_the_service_left_out_are_counted(tmp_path: Path) -> None:
    told = [ours("WARNING", "bad tick", number) for number in range(REPEATS_TOLD)]
    section = looked(tmp_path, *told, ours("WARNING", "bad tick", 60, left_out=1_234))
    assert kinds(section) == [("warning", "", "bad tick", REPEATS_TOLD + 1 + 1_234)]


def test_a_days_counts_are_those_of_its_raw_lines(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    raw = [
        ours(
            chance.choice(["CRITICAL", "ERROR", "WARNING", "INFO"]),
            f"{chance.choice(['one', 'two', 'three'])} failed after {chance.randrange(10**6)} ms",
            number,
        )
        for number in range(2_000)
    ]
    section = looked(tmp_path, *raw)
    wanted: Counter[tuple[str, str]] = Counter()
    for line in raw:
        body = json.loads(json.loads(line)["MESSAGE"])
        if body["level"] != "INFO":
            wanted[body["level"].lower(), re.sub(r"\d+", "#", body["message"])] += 1
    assert {(level, message): count for level, _, message, count in kinds(section)} == dict(wanted)
    totals = Counter(json.loads(json.loads(line)["MESSAGE"])["level"] for line in raw)
    for label, level in (("Critical", "CRITICAL"), ("Errors", "ERROR"), ("Warnings", "WARNING")):
        assert figure(section, label).value == totals[level]
    levels = [level for level, *_ in kinds(section)]
    assert levels == sorted(levels, key=["critical", "error", "warning"].index)


def test_the_level_in_a_line_counts_more_than_the_journals_priority(tmp_path: Path) -> None:
    body = json.dumps({"level": "ERROR", "message": "lost"})
    quiet = json.dumps({"level": "INFO", "message": "fine"})
    section = looked(tmp_path, entry(body, priority="6"), entry(quiet, priority="3"))
    assert kinds(section) == [("error", "", "lost", 1)]


def test_systemds_words_on_a_unit_are_that_units(tmp_path: Path) -> None:
    section = looked(
        tmp_path,
        entry("ibkr-trading.service: Main process exited, code=killed", priority="4", unit="init.scope", UNIT=UNIT),
    )
    assert table(section, "Errors and warnings").rows[0][1] == UNIT


HOSTILE = (
    b"not JSON at all\n",
    b"{}\n",
    b"[1, 2]\n",
    b"null\n",
    b'{"__REALTIME_TIMESTAMP": "soon", "MESSAGE": "x", "PRIORITY": "0"}\n',
    b'{"__REALTIME_TIMESTAMP": "99999999999999999999999", "MESSAGE": "x"}\n',
    b'{"__REALTIME_TIMESTAMP": "1", "MESSAGE"\n',
    b"\xff\xfe\x00\n",
    b"\n",
)


def test_what_is_no_entry_is_passed_over(tmp_path: Path) -> None:
    section = looked(tmp_path, *HOSTILE, ours("ERROR", "a real one"))
    assert kinds(section) == [("error", "", "a real one", 1)]


@pytest.mark.parametrize(
    "message",
    [
        "x" * 5_000_000,
        "7" * 1_000_000,
        "a1" * 500_000,
        "1:" * 500_000,
        "-" * 100_000 + "1" * 100_000,
        "ibt-" * 100_000,
        "0000." * 100_000,
        "\x00\x1b[31mred\x1b[0m\r\n\t\u202eesrever\u2028 " * 10_000,
        "{" * 100_000,
        '{"level": "ERROR", "message": ' * 1_000,
        '{"level": ["ERROR"], "message": {"a": 1}, "code": {"b": [2]}, "left_out": true}',
        '{"level": "ERROR", "message": null, "code": "' + "9" * 10_000 + '", "left_out": -5}',
        '{"level": "ERROR", "left_out": 1e400}',
        '{"level": "ERROR", "left_out": 99999999999999999999}',
        [114, 97, 119, 255, 0, 10],
        [],
        ["two", "values"],
        None,
        {"an": "object"},
        "",
        " \t ",
    ],
    ids=lambda message: repr(message)[:24],
)
def test_a_hostile_line_is_counted_cut_and_on_one_line(tmp_path: Path, message: Any) -> None:
    section = looked(tmp_path, entry(message, priority="3"))
    (row,) = table(section, "Errors and warnings").rows
    assert isinstance(row[4], int)
    assert 1 <= row[4] <= errors.COUNT_MAX + 1
    for value in row:
        if isinstance(value, str):
            assert len(value) <= 2 * errors.MESSAGE_MAX_CHARACTERS
            assert not errors.CONTROL.search(value)
    assert section.outcome is Outcome.WARNING


def test_a_flood_of_different_news_is_bounded_and_said(tmp_path: Path) -> None:
    letters = "abcdefghijklmnopqrst"
    words = (f"{''.join(three)} failed" for three in itertools.product(letters, repeat=3))
    section = looked(tmp_path, *(ours("ERROR", word) for word in words))
    found = table(section, "Errors and warnings")
    assert len(found.rows) == errors.SHOWN_MAX
    assert found.total == errors.GROUPS_MAX + 1
    assert figure(section, "Errors").value == 8_000
    assert found.rows[0][3] == errors.NEW_NEWS
    assert found.rows[0][4] == 8_000 - errors.GROUPS_MAX
    assert len(section.notes) == 2


def test_a_quiet_day_has_neither(tmp_path: Path) -> None:
    section = looked(tmp_path, ours("INFO", "ready"))
    assert section.outcome is Outcome.OK
    assert section.sentence == "no error and no warning in 1 line"
    assert section.tables == ()
    assert figure(section, "Errors").value == 0


def test_warnings_alone_are_no_reason_to_worry(tmp_path: Path) -> None:
    assert looked(tmp_path, ours("WARNING", "slow")).outcome is Outcome.OK


def test_a_journal_that_breaks_off_is_unknown_and_counts_nothing(tmp_path: Path) -> None:
    logs = FakeLogs(lines_of(ours("ERROR", "seen before it broke off")), reason="journalctl: the journal is corrupt")
    section = errors.run(context(tmp_path, logs=logs))
    assert section.outcome is Outcome.UNKNOWN
    assert section.figures == ()
    assert section.tables == ()
    assert section.missing == ("errors and warnings: journalctl: the journal is corrupt",)


REFUSED = "Hint: You are currently not seeing messages from other users and the system."


def test_a_journal_that_may_not_be_read_is_unknown_with_what_mends_it(tmp_path: Path) -> None:
    program = tmp_path / "journalctl"
    program.write_text(f"#!/bin/sh\necho '{REFUSED}' >&2\n")
    program.chmod(0o755)
    section = errors.run(context(tmp_path, logs=JournalctlLogs(str(program))))
    assert section.outcome is Outcome.UNKNOWN
    assert section.sentence == "the errors of the day are not known"
    assert section.mend == 'sudo usermod --append --groups systemd-journal "$USER"'
    assert "group systemd-journal" in section.missing[0]


def test_a_host_without_journalctl_is_unknown(tmp_path: Path) -> None:
    section = errors.run(context(tmp_path, logs=JournalctlLogs(str(tmp_path / "nothing"))))
    assert section.outcome is Outcome.UNKNOWN
    assert "not installed" in section.missing[0]
