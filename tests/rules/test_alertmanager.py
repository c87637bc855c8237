"""Alertmanager's configuration: accepted by every release, and every alert goes where it should."""

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from trader.stack import ALERTS_FOLDER, Program, Programs

CONFIG = ALERTS_FOLDER / "alertmanager.yml"
RULES = sorted((ALERTS_FOLDER / "rules").glob("*.rules.yml"))

# Who is told, by what an alert carries. A receiver that hears of it in addition comes first, as in the routes.
ROUTES = [
    ({"alertname": "BrokerDisconnected", "severity": "page", "group": "broker"}, ["page"]),
    ({"alertname": "BrokerDisconnected", "severity": "ticket", "group": "broker"}, ["ticket"]),
    ({"alertname": "TradingWhileHalted", "severity": "page", "group": "risk"}, ["page"]),
    ({"alertname": "MarketDataStale", "severity": "page", "group": "market_data"}, ["page"]),
    ({"alertname": "OrderRejectsBurst", "severity": "page", "group": "orders"}, ["page"]),
    ({"alertname": "SLOBurnFast", "severity": "page", "group": "slo", "slo": "availability"}, ["page"]),
    ({"alertname": "SLOBurnSlow", "severity": "ticket", "group": "slo", "slo": "availability"}, ["ticket"]),
    ({"alertname": "SLOBudgetExhausted", "severity": "ticket", "policy": "true"}, ["policy", "ticket"]),
    ({"alertname": "NetPnLNegative", "severity": "ticket", "policy": "true", "slo": "net_pnl"}, ["policy", "ticket"]),
    ({"alertname": "PolicyPage", "severity": "page", "policy": "true"}, ["policy", "page"]),
    ({"alertname": "Watchdog", "severity": "none", "group": "monitoring"}, ["dead-man", "policy"]),
    ({"alertname": "MaintenanceDeclared", "severity": "none", "group": "systemd"}, ["nobody"]),
    ({"alertname": "OfAnotherTeam"}, ["ticket"]),
    ({"alertname": "Misspelt", "severity": "pgae"}, ["ticket"]),
]  # fmt: skip


def config() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load(CONFIG.read_text())
    return content


def alert_rules() -> list[dict[str, Any]]:
    groups = [group for file in RULES for group in yaml.safe_load(file.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


def amtool(programs: Programs, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([programs.amtool, *arguments], capture_output=True, text=True, timeout=60, check=False)


def receivers(programs: Programs, labels: dict[str, str]) -> list[str]:
    """Who Alertmanager would tell."""
    said = amtool(
        programs, "config", "routes", "test", f"--config.file={CONFIG}", *(f"{k}={v}" for k, v in labels.items())
    )
    assert said.returncode == 0, said.stderr
    return said.stdout.strip().split(",")


def test_every_release_of_amtool_accepts_the_configuration(programs_of_release: Programs) -> None:
    said = amtool(programs_of_release, "check-config", str(CONFIG))
    assert said.returncode == 0, said.stdout + said.stderr
    assert "SUCCESS" in said.stdout


@pytest.mark.parametrize(
    ("labels", "expected"), ROUTES, ids=lambda value: value.get("alertname") if isinstance(value, dict) else ""
)
def test_an_alert_reaches_its_receivers(programs: Programs, labels: dict[str, str], expected: list[str]) -> None:
    assert receivers(programs, labels) == expected


def test_every_alert_of_the_rules_reaches_the_receiver_of_its_severity(programs: Programs) -> None:
    own = {"page": ["page"], "ticket": ["ticket"], "none": ["nobody"]}
    wanted = {}
    for rule in alert_rules():
        labels = {"alertname": rule["alert"], **rule["labels"]}
        expected = own[labels["severity"]]
        if labels.get("policy") == "true":
            expected = ["policy", *expected]
        wanted[tuple(labels.items())] = ["dead-man", "policy"] if rule["alert"] == "Watchdog" else expected
    told = {labels: receivers(programs, dict(labels)) for labels in wanted}
    assert len(wanted) > 60
    assert told == wanted


def test_only_tickets_wait_for_office_hours() -> None:
    def walk(route: dict[str, Any]) -> list[dict[str, Any]]:
        return [route, *(child for item in route.get("routes", []) for child in walk(item))]

    timed = [
        route
        for route in walk(config()["route"])
        if route.get("active_time_intervals") or route.get("mute_time_intervals")
    ]
    assert [route["receiver"] for route in timed] == ["ticket"]


def test_no_secret_stands_in_the_file() -> None:
    text = CONFIG.read_text()
    commented = re.sub(r"^(\s*)# ?", r"\1", text, flags=re.MULTILINE)
    for words in (text, commented):
        assert not re.search(r"\b(auth_password|api_url|credentials|bearer_token|password):", words)
    hooks = [hook for receiver in config()["receivers"] for hook in receiver.get("webhook_configs", [])]
    assert len(hooks) == 4
    assert all(Path(hook["http_config"]["authorization"]["credentials_file"]).is_absolute() for hook in hooks)


def test_the_dead_man_is_not_told_that_the_heartbeat_ended() -> None:
    by_name = {receiver["name"]: receiver for receiver in config()["receivers"]}
    assert [hook["send_resolved"] for hook in by_name["dead-man"]["webhook_configs"]] == [False]
    assert all(
        hook["send_resolved"] for name in ("page", "ticket", "policy") for hook in by_name[name]["webhook_configs"]
    )


# The settings of every example, with the release that has each: 0.25 brought the last of them.
EXAMPLES = ("email_configs", "slack_configs")


def test_the_commented_receivers_are_accepted_when_they_are_uncommented(
    programs_of_release: Programs, tmp_path: Path
) -> None:
    lines, inside = [], False
    for line in CONFIG.read_text().splitlines():
        if any(f"# {example}:" in line for example in EXAMPLES):
            inside = True
        elif not line.startswith("    # ") or line.startswith("    # By"):
            inside = False
        lines.append(re.sub(r"^    # ", "    ", line) if inside else line)
    file = tmp_path / "alertmanager.yml"
    file.write_text("\n".join(lines))
    uncommented = {receiver["name"]: set(receiver) for receiver in yaml.safe_load(file.read_text())["receivers"]}
    assert uncommented["page"] >= set(EXAMPLES)
    said = amtool(programs_of_release, "check-config", str(file))
    assert said.returncode == 0, said.stdout + said.stderr
    assert programs_of_release.version(Program.AMTOOL) >= (0, 25)
