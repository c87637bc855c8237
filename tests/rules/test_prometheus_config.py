"""Prometheus's configuration and the rules: accepted without a warning, and run, by every release."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from observability.catalogue import SERIES_LIMIT, max_series
from trader.stack import ALERTS_FOLDER, Program, Programs, Stack, StackOptions
from trader.stack.files import read_yaml

CONFIG = ALERTS_FOLDER / "prometheus.yml"
RULES = sorted((ALERTS_FOLDER / "rules").glob("*.rules.yml"))
WARNINGS = ("warn", "error", "deprecat")


def promtool(programs: Programs, *arguments: str) -> str:
    said = subprocess.run([programs.promtool, *arguments], capture_output=True, text=True, timeout=120, check=False)
    output = said.stdout + said.stderr
    assert said.returncode == 0, output
    return output


def jobs() -> dict[str, dict[str, Any]]:
    return {job["job_name"]: job for job in read_yaml(CONFIG)["scrape_configs"]}


def test_promtool_accepts_the_configuration_with_its_rules(programs_of_release: Programs) -> None:
    output = promtool(programs_of_release, "check", "config", "--lint=all", "--lint-fatal", str(CONFIG))
    assert f"{len(RULES)} rule files found" in output
    assert not [line for line in output.splitlines() if any(word in line.lower() for word in WARNINGS)], output


def test_promtool_accepts_every_rule_file_without_a_warning(programs_of_release: Programs) -> None:
    assert RULES
    output = promtool(programs_of_release, "check", "rules", "--lint=all", "--lint-fatal", *map(str, RULES))
    assert output.count("SUCCESS") == len(RULES)
    assert not [line for line in output.splitlines() if any(word in line.lower() for word in WARNINGS)], output


def test_every_job_has_a_sample_limit_and_names_its_machine() -> None:
    assert set(jobs()) == {"trader", "node", "prometheus", "alertmanager"}
    for job in jobs().values():
        assert job["sample_limit"] > 0
        assert [set(entry["labels"]) for entry in job["static_configs"]] == [{"instance"}]


def test_the_trader_is_limited_to_the_series_that_its_catalogue_allows() -> None:
    assert jobs()["trader"]["sample_limit"] == SERIES_LIMIT
    assert max_series() <= SERIES_LIMIT


def test_a_scrape_is_never_slower_than_the_scrapes_follow_each_other() -> None:
    scheduling = read_yaml(CONFIG)["global"]
    assert (
        scheduling["scrape_interval"]
        == scheduling["evaluation_interval"]
        == read_yaml(ALERTS_FOLDER / "slo.yaml")["evaluation_interval"]
    )


def test_the_commented_remote_write_is_accepted_when_it_is_uncommented(programs: Programs, tmp_path: Path) -> None:
    text = CONFIG.read_text()
    begin = text.index("# remote_write:")
    uncommented = "\n".join(line.removeprefix("# ") for line in text[begin:].splitlines())
    token = tmp_path / "token"
    token.write_text("a token")
    (tmp_path / "prometheus.yml").write_text(
        (text[:begin] + uncommented).replace("/etc/prometheus/remote-write-token", str(token))
    )
    assert "remote_write" in read_yaml(tmp_path / "prometheus.yml")
    promtool(programs, "check", "config", str(tmp_path / "prometheus.yml"))


@pytest.mark.e2e
async def test_every_release_runs_the_rules_without_a_warning(programs_of_release: Programs, tmp_path: Path) -> None:
    options = StackOptions(
        folder=tmp_path, programs=programs_of_release, calendar="always", scrape_interval_s=1, evaluation_interval_s=1
    )
    async with Stack(options) as stack:
        await stack.wait_until_scraped()

        async def evaluated() -> list[dict[str, Any]]:
            rules = [rule for group in await stack.client.rules() for rule in group["rules"]]
            return rules if rules and all(rule["health"] != "unknown" for rule in rules) else []

        rules = await stack.wait_for(evaluated, "an evaluation of every rule", 60)
        failing = {rule["name"]: rule.get("lastError") for rule in rules if rule["health"] != "ok"}
        said = stack.prometheus.log_end()
        version = (await stack.query("prometheus_build_info"))[0].labels["version"]
    assert not failing
    assert len(rules) > 100
    assert not said
    assert tuple(int(part) for part in version.split(".")[:2]) == programs_of_release.version(Program.PROMETHEUS)
