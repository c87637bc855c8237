"""The two exporters of systemd's units on a booted systemd: they tell the same under the names that the rules join.

Rules: whatever ``alerts/rules/names.rules.yml`` joins is compared, so that either exporter gives the same ``unit:*``.
Skipped where systemd cannot be booted or systemd_exporter cannot be built; with TRADER_LAB=1 the former fails.
"""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.lab.container import Bind
from tests.lab.errors import LabUnavailable
from tests.lab.host import is_required
from tests.lab.lab import Lab
from tests.lab.release import RELEASES, Release
from tests.rules.foreign_metrics import FOREIGN
from tests.rules.rulebook import rules
from tests.tools.go_programs import GoProgram
from trader.stack import Programs

pytestmark = pytest.mark.systemd

UNITS = {
    "ibkr-runs.service": "[Service]\nExecStart=/bin/sleep infinity\n",
    "ibkr-fails.service": "[Service]\nExecStart=/bin/false\n",
    "ibkr-again.service": (
        "[Service]\nExecStart=/bin/sh -c 'test -e /run/again && exec sleep infinity; touch /run/again; exit 1'\n"
        "Restart=on-failure\nRestartSec=0\n"
    ),
    "ibkr-once.service": "[Service]\nType=oneshot\nExecStart=/bin/true\n",
    "ibkr-once.timer": "[Timer]\nOnActiveSec=0\nOnUnitActiveSec=1d\nAccuracySec=1ms\n",
    "ibkr-never.timer": "[Timer]\nOnCalendar=2099-01-01\nUnit=ibkr-once.service\n",
}
# The exporters as alerts/prometheus.yml says, straight to systemd, because a bare machine has no D-Bus.
COMMANDS = {
    "systemd": (
        "/opt/systemd_exporter", "--web.listen-address=127.0.0.1:9558", "--systemd.collector.private",
        "--systemd.collector.enable-restart-count", "--systemd.collector.unit-include=ibkr-.+",
    ),
    "node_systemd": (
        "/opt/node_exporter", "--web.listen-address=127.0.0.1:9100", "--collector.disable-defaults",
        "--collector.systemd", "--collector.systemd.private", "--collector.systemd.enable-restarts-metrics",
        "--collector.systemd.unit-include=ibkr-.+",
    ),
}  # fmt: skip
PORTS = {"systemd": 9558, "node_systemd": 9100}
GET = "import sys, urllib.request; sys.stdout.write(urllib.request.urlopen(sys.argv[1], timeout=10).read().decode())"
# For each recorded name: what each exporter calls it.
JOINED = {
    rule.name: re.findall(r"\b(?:node_)?systemd_\w+", str(rule.document["expr"]))
    for rule in rules()
    if rule.name.startswith("unit:")
}


@pytest.fixture(scope="module", params=RELEASES.values(), ids=lambda release: release.id)
def lab(request: pytest.FixtureRequest, programs: Programs, go_program: Callable[[GoProgram], Path]) -> Iterator[Lab]:
    """A machine with units in every state and both exporters."""
    release: Release = request.param
    binds = [
        Bind(go_program(GoProgram.SYSTEMD_EXPORTER), "/opt/systemd_exporter"),
        Bind(programs.node_exporter, "/opt/node_exporter"),
    ]
    try:
        booted = Lab.boot(release, binds=binds)
    except LabUnavailable as error:
        if is_required():
            pytest.fail(f"{release} must be booted (TRADER_LAB=1) and cannot: {error}")
        pytest.skip(f"{release}: {error}")
    with booted:
        settle(booted)
        yield booted


SETTLED = {
    "ibkr-runs.service": {"ActiveState": "active"},
    "ibkr-fails.service": {"ActiveState": "failed"},
    "ibkr-again.service": {"ActiveState": "active", "NRestarts": "1"},
    "ibkr-once.service": {"ActiveState": "inactive", "ExecMainCode": "1"},  # 1: it has exited
    "ibkr-once.timer": {"ActiveState": "active"},
    "ibkr-never.timer": {"ActiveState": "active"},
}


def settle(lab: Lab) -> None:
    """Starts the units and the exporters, and waits until nothing changes any more."""
    for name, text in UNITS.items():
        lab.write(f"/etc/systemd/system/{name}", text)
    lab.systemctl("daemon-reload")
    lab.systemctl("start", "--no-block", *(name for name in UNITS if name != "ibkr-once.service"))

    def states() -> dict[str, dict[str, str]]:
        return {name: lab.show(name, *wanted) for name, wanted in SETTLED.items()}

    lab.wait_until(lambda: states() == SETTLED, f"the units as {SETTLED}")
    for exporter, command in COMMANDS.items():
        lab.run(["systemd-run", "--quiet", f"--unit={exporter}", *command])


def told(lab: Lab, exporter: str) -> dict[str, tuple[str, dict[tuple[tuple[str, str], ...], float]]]:
    """Each family that ``exporter`` tells of units: its kind, and its samples by their labels."""
    url = f"http://127.0.0.1:{PORTS[exporter]}/metrics"
    page = lab.wait_until(lambda: lab.run(["python3", "-c", GET, url], check=False).stdout, url)
    families: dict[str, tuple[str, dict[tuple[tuple[str, str], ...], float]]] = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            samples = families.setdefault(sample.name, (family.type, {}))[1]
            samples[tuple(sorted(sample.labels.items()))] = sample.value
    return families


def test_both_exporters_have_the_names_kinds_and_labels_that_the_rules_know(lab: Lab) -> None:
    families = told(lab, "systemd") | told(lab, "node_systemd")
    for names in JOINED.values():
        for name in names:
            kind, samples = families[name]
            assert (kind, {tuple(label for label, _ in labels) for labels in samples}) == (
                FOREIGN[name][0],
                {tuple(sorted(FOREIGN[name][1]))},
            ), name


def test_both_exporters_give_every_joined_series_the_same_value(lab: Lab) -> None:
    assert set(JOINED) == {"unit:state", "unit:restarts_total", "unit:timer_last_trigger_seconds"}
    node, systemd = told(lab, "node_systemd"), told(lab, "systemd")
    for recorded, (nodes, systemds) in JOINED.items():
        one, other = (
            {tuple(pair for pair in labels if pair[0] != "type"): value for labels, value in samples.items()}
            for samples in (node[nodes][1], systemd[systemds][1])
        )
        assert one == other, recorded
        assert {dict(labels)["name"] for labels in one} <= set(UNITS), recorded
    restarts = node["node_systemd_service_restart_total"][1]
    assert restarts[(("name", "ibkr-again.service"),)] == 1
    triggers = systemd["systemd_timer_last_trigger_seconds"][1]
    assert triggers[(("name", "ibkr-once.timer"),)] > 0
    assert triggers[(("name", "ibkr-never.timer"),)] == 0
