"""What the pages about the deployment say is there, is there.

Rules: as in test_documentation.py, only what can be looked up is checked: commands and their options, the installer's
options, units, paths of the shipped files, values of the unit, the checklist, configurations.
"""

import re
import textwrap
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer import Context
from typer.main import get_command

from trader.cli import COMMANDS, app
from trader.doctor import CHECKS
from trader.settings_file import load_settings

ROOT = Path(__file__).resolve().parent.parent.parent
PAGES = [*sorted((ROOT / "docs").glob("deployment*.md")), ROOT / "docs" / "gateway.md"]
SYSTEMD = ROOT / "systemd"
COMMAND = re.compile(r"(?:sudo )?\btrader(?: @\w+)?((?: [a-z]+)+)((?: --?[a-z-]+[^`\n|#;&]*)?)")
BLOCK = re.compile(r"^( *)(?:\d+\. )?```(\w*)\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)
SPAN = re.compile(r"`([^`\n]+\n?[^`\n]*)`")
SETTING = re.compile(r"([A-Z]\w+)=([^ ]*)")
OF_OTHERS = frozenset({"SystemMaxUse", "Requires", "ExecPaths"})


def read(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def blocks(text: str, language: str) -> Iterator[str]:
    return (textwrap.dedent(body) for _, found, body in BLOCK.findall(text) if found == language)


def spans(text: str) -> list[str]:
    """The code inside of sentences and tables."""
    return [" ".join(span.split()) for span in SPAN.findall(BLOCK.sub("", text))]


def commands(text: str) -> Iterator[tuple[list[str], list[str]]]:
    """Each `trader` command that is written as one: its words, its options."""
    lines = [line for body in blocks(text, "sh") for line in body.splitlines()]
    for part in [*spans(text), *lines]:
        for words, options in COMMAND.findall(part.partition(" #")[0].replace("…", "")):
            if part.startswith(("trader", "sudo trader")) or "sudo trader" in part:
                yield words.split(), re.findall(r"(--[a-z-]+)", options)


def options_of(words: list[str]) -> set[str] | None:
    """The options of the command that ``words`` begin with; None when there is no such command."""
    if words[0] not in COMMANDS:
        return None
    group: Any = get_command(app)
    command = group.get_command(Context(group), words[0])
    for word in words[1:]:
        command = getattr(command, "commands", {}).get(word, command)
    return {name for parameter in command.params for name in parameter.opts}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_trader_exists_with_its_options(page: Path) -> None:
    missing = []
    for words, options in commands(read(page)):
        known = options_of(words)
        if known is None or set(options) - known:
            missing.append((words, options))
    assert not missing


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_option_of_the_scripts_exists(page: Path) -> None:
    for script, source in (
        ("install.sh", SYSTEMD / "install" / "options.sh"),
        ("health_check.sh", ROOT / "scripts" / "health_check.sh"),
    ):
        written = {
            option
            for line in read(page).splitlines()
            for call in re.findall(rf"{re.escape(script)}([^`#|]*)", line)
            for option in re.findall(r" (--[a-z-]+)", call)
        }
        known = set(re.findall(r"--[a-z-]+", read(source)))
        assert written <= known, script


def test_every_option_of_the_installer_that_matters_to_a_stranger_is_described() -> None:
    text = read(ROOT / "docs" / "deployment.md")
    for option in ("dry-run", "simulator", "instance", "wheels", "no-start", "even-in-session", "uninstall", "purge"):
        assert f"--{option}" in text


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_unit_that_is_named_is_shipped(page: Path) -> None:
    shipped = {path.name for path in SYSTEMD.glob("ibkr-*")}
    stems = {name.partition(".")[0].rstrip("@") for name in shipped}
    named = set(re.findall(r"\b(ibkr-[a-z]+)(@[a-z-]*)?(\.(?:service|timer|path))?", read(page)))
    for stem, instance, suffix in named:
        assert stem in stems, stem
        if suffix:
            assert f"{stem}{'@' if instance else ''}{suffix}" in shipped
        elif instance:
            assert any(name.startswith(f"{stem}@") for name in shipped)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_path_of_the_shipped_files_is_where_it_is_said_to_be(page: Path) -> None:
    for name in re.findall(r"current/share/drop-ins/([a-z.-]+[a-z])", read(page)):
        assert (SYSTEMD / name).is_file()
    for name in re.findall(r"(?<![/\w.])((?:systemd|scripts|alerts|trader/data)/[\w./-]*\w)", read(page)):
        assert (ROOT / name).exists(), name


def test_the_values_that_are_said_to_be_set_are_the_units() -> None:
    units = "\n".join(read(path) for path in SYSTEMD.glob("ibkr-trading.*"))
    units += "".join(read(path) for path in SYSTEMD.glob("restart-*.conf"))
    for span in spans(read(ROOT / "docs" / "deployment-plan.md")):
        found = SETTING.fullmatch(span)
        if found is None or found[1] in OF_OTHERS:
            continue
        assert re.search(rf"^{found[1]}=.*{re.escape(found[2])}", units, re.MULTILINE), span


def test_the_drop_in_for_a_smaller_host_changes_what_the_unit_sets() -> None:
    unit = read(SYSTEMD / "ibkr-trading.service")
    (drop_in,) = [body for body in blocks(read(ROOT / "docs" / "deployment.md"), "ini") if "[Service]" in body]
    for key in re.findall(r"^(\w+)=", drop_in, re.MULTILINE):
        assert f"\n{key}=" in unit


def test_the_checklist_shows_every_check_of_the_doctor_under_its_item() -> None:
    table = read(ROOT / "docs" / "deployment-plan.md").partition("## The checklist")[2].partition("\n## ")[0]
    rows = dict(re.findall(r"^\| ([^|]+) \| ([^|]+) \|$", table, re.MULTILINE))
    for item, checks in groupby(CHECKS, key=lambda check: check.item):
        assert rows[item.lower()].split(", ") == [check.title for check in checks]


def test_the_way_to_paper_changes_the_deployed_configuration_to_one_that_can_be_used(tmp_path: Path) -> None:
    (change,) = blocks(read(ROOT / "docs" / "deployment.md"), "yaml")
    config = yaml.safe_load(read(SYSTEMD / "config.yaml"))
    for key, value in yaml.safe_load(change).items():
        assert key in config, key
        config[key] = {**config[key], **value} if isinstance(value, dict) else value
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    settings = load_settings(file)
    assert (settings.mode, settings.account) == ("paper", "DU7654321")
    assert settings.gateway.port == 4002
    assert settings.strategy.name == "observe"
    assert settings.session.flatten_before_close_s > 0


def test_the_gateways_files_are_those_that_its_unit_waits_for() -> None:
    page = read(ROOT / "docs" / "gateway.md")
    waits_for = re.findall(r"^ConditionPathExists=(.*)$", read(SYSTEMD / "ibkr-gateway.service"), re.MULTILINE)
    made_by = {"/opt/ibc/scripts/ibcstart.sh": "-d /opt/ibc", "/usr/bin/xvfb-run": "apt install xvfb"}
    assert not [path for path in waits_for if made_by.get(path, path) not in page]
