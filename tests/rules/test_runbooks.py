"""Every alert has a runbook that a person who was woken can follow: complete, linked, and without a wrong command."""

import re
import shlex
from collections.abc import Iterator
from functools import cache
from itertools import takewhile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.rules.rulebook import ALERTS, Rule, alerts
from trader.cli import app
from trader.drills.table import DRILLS
from trader.journal.codec import KINDS

RUNBOOKS = ALERTS / "runbooks"
INDEX = RUNBOOKS / "README.md"
SECTIONS = ("Meaning", "Impact", "First command", "Diagnosis", "Mitigation", "Drill")
CHECKS = range(3, 7)
SEVERITIES = ("page", "ticket", "none")
EVERY_ALERT = pytest.mark.parametrize("alert", sorted(alerts()))


def pages() -> dict[str, Path]:
    return {file.stem: file for file in RUNBOOKS.glob("*.md") if file != INDEX}


def sections(alert: str) -> dict[str, str]:
    """The text below each heading of the second level, in the page's order."""
    parts = re.split(r"^## (.+)$", pages()[alert].read_text(encoding="utf-8"), flags=re.M)
    return dict(zip(parts[1::2], (text.strip() for text in parts[2::2]), strict=True))


def first_commands(rules: tuple[Rule, ...]) -> set[str]:
    """As the annotations say; a label stands in capitals, since its value is in the alert."""
    found = (str(rule.document["annotations"]["first_command"]) for rule in rules)
    return {re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda label: label[1].upper(), command) for command in found}


def commands_of_the_trader(text: str) -> Iterator[str]:
    """What stands as code and begins with the program's name."""
    blocks = re.findall(r"^```sh\n(.*?)^```", text, flags=re.M | re.S)
    spans = re.findall(r"`([^`\n]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))
    lines = [line.strip() for block in blocks for line in block.splitlines()] + spans
    return (line for line in lines if line.startswith("trader ") and not line.startswith("trader …"))


@cache
def help_of(words: tuple[str, ...]) -> str:
    """What `trader WORDS --help` prints; fails when there is no such command."""
    result = CliRunner().invoke(app, [*words, "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    assert result.exit_code == 0, f"trader {' '.join(words)}: {result.output}"
    return result.output


def unknown_options(line: str) -> set[str]:
    """Options in ``line`` that its command does not have; nothing is run."""
    arguments = shlex.split(line)[1:]
    words = tuple(takewhile(lambda word: not word.startswith("-"), arguments))
    options = {word for word in arguments if re.fullmatch(r"-[a-z]|--[a-z-]+", word)}
    known = set(re.findall(r"(?<![\w-])(--?[a-z][a-z-]*)", help_of(words)))
    return options - known


def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:
    assert set(pages()) == set(alerts())


@EVERY_ALERT
def test_the_link_comes_from_the_name_and_works_from_disk(alert: str) -> None:
    for rule in alerts()[alert]:
        link = str(rule.document["annotations"]["runbook_url"])
        assert link.rpartition("/")[2] == f"{alert}.md"
        assert "://" in link or (rule.file.parent / link).resolve() == pages()[alert]


@EVERY_ALERT
def test_a_runbook_has_every_section_in_order_and_none_is_empty(alert: str) -> None:
    found = sections(alert)
    assert tuple(found) == SECTIONS
    assert all(found.values())
    assert len(re.findall(r"^- ", found["Diagnosis"], flags=re.M)) in CHECKS
    assert re.search(r"^1\. ", found["Mitigation"], flags=re.M)
    assert re.search(r"^Do not ", found["Mitigation"], flags=re.M)


@EVERY_ALERT
def test_the_first_command_is_the_one_that_the_alert_names(alert: str) -> None:
    block = re.search(r"^```sh\n(.*?)^```", sections(alert)["First command"], flags=re.M | re.S)
    assert block is not None
    assert set(block[1].splitlines()) == first_commands(alerts()[alert])


@EVERY_ALERT
def test_the_drill_is_the_one_that_there_is(alert: str) -> None:
    text = sections(alert)["Drill"]
    drilled = alert in {drill.alert for drill in DRILLS}
    assert (f"`trader drill page --alert {alert}`" in text) is drilled
    assert text.startswith("By promtool only: ") is not drilled


@pytest.mark.parametrize("page", sorted(RUNBOOKS.glob("*.md")), ids=lambda page: page.stem)
def test_every_command_of_the_trader_exists_and_every_link_leads_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for line in commands_of_the_trader(text):
        assert not unknown_options(line), line
        assert set(re.findall(r"-k (\w+)", line)) <= KINDS, line
    for link in re.findall(r"\]\(([^)]+)\)", text):
        assert "://" in link or (page.parent / link).exists(), link


@EVERY_ALERT
def test_the_index_names_every_alert_with_its_severities(alert: str) -> None:
    severities = {rule.document["labels"]["severity"] for rule in alerts()[alert]}
    policy = any(rule.document["labels"].get("policy") == "true" for rule in alerts()[alert])
    told = " / ".join(name for name in SEVERITIES if name in severities) + (" + policy" if policy else "")
    assert f"\n| [{alert}]({alert}.md) | {told} | " in INDEX.read_text(encoding="utf-8")
