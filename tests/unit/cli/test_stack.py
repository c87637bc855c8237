"""What `trader stack` shows, and what it refuses before it starts anything."""

import io
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner

from trader.cli import app
from trader.cli.stack_view import ALERTS_SHOWN, alerts_table, change_lines
from trader.stack import RuleAlert

AT = datetime(2026, 1, 5, 15, tzinfo=UTC)


def alert(name: str, state: str = "firing", severity: str = "page", instance: str = "a") -> RuleAlert:
    labels = {"alertname": name, "severity": severity, "instance": instance}
    return RuleAlert(name, state, labels, {"summary": f"{name} of {instance}"}, AT)


def by_labels(*alerts: RuleAlert) -> dict[tuple[tuple[str, str], ...], RuleAlert]:
    return {tuple(sorted(item.labels.items())): item for item in alerts}


def shown(*alerts: RuleAlert) -> list[str]:
    text = io.StringIO()
    Console(width=120, file=text).print(alerts_table(alerts))
    return text.getvalue().splitlines()


def test_a_change_of_an_alert_is_one_line() -> None:
    pending, firing = by_labels(alert("A", "pending")), by_labels(alert("A"), alert("B", severity="ticket"))
    assert change_lines({}, pending) == ["pending  page   A: A of a"]
    assert change_lines(pending, firing) == ["firing   page   A: A of a", "firing   ticket B: B of a"]
    assert change_lines(firing, firing) == []
    assert change_lines(firing, {}) == ["over     page   A: A of a", "over     ticket B: B of a"]


def test_the_loudest_alert_stands_first_and_the_heartbeat_is_none() -> None:
    lines = shown(
        alert("Watchdog", severity="none"), alert("Waits", "pending"), alert("Small", severity="ticket"), alert("Loud")
    )
    assert [line.split()[0] for line in lines[1:]] == ["Loud", "Small", "Waits"]


def test_without_alerts_it_says_so() -> None:
    assert shown(alert("Watchdog", severity="none")) == ["no alert is pending or fires"]


def test_a_storm_of_alerts_does_not_fill_the_screen() -> None:
    lines = shown(*(alert("A", instance=str(number)) for number in range(ALERTS_SHOWN + 7)))
    assert len(lines) == 1 + ALERTS_SHOWN + 1
    assert lines[-1].split() == ["and", "7", "more"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["stack", "--demo", "--trader", "127.0.0.1:1"], "choose one of --demo and --trader"),
        (["stack", "--config", "absent.yaml"], "absent.yaml: there is no such file"),
        (["demo", "--stack", "--speed", "5"], "leave out --market and --speed"),
    ],
)
def test_options_that_exclude_each_other_are_one_sentence(arguments: list[str], sentence: str) -> None:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert sentence in result.stderr


def test_an_unknown_calendar_is_one_sentence(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["stack", "--calendar", "XXXX", "--duration", "1", "--folder", str(tmp_path)])
    assert result.exit_code == 2
    assert "there is no calendar 'XXXX'" in result.stderr or "on PATH" in result.stderr
