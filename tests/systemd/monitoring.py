"""Prometheus and node_exporter in a machine under test, with the shipped files, and what they are asked.

Rules: the rules are the shipped ones, their waits divided as `trader drill page` divides them; of prometheus.yml only
the intervals are changed. node_exporter runs as a user without rights, as Debian's does, and asks systemd over D-Bus.
Times are Unix times of the machine.
"""

import json
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from tests.lab.container import Bind
from tests.lab.folders import ROOT
from tests.lab.lab import Lab
from tests.lab.network import http_get
from trader.drills.scale import TimeScale, scaled_rules
from trader.stack import Programs
from trader.stack.files import read_yaml, write_yaml

SHIPPED: Final = ROOT / "alerts"
FACTOR: Final = 60.0  # shipped seconds per second here
INTERVAL: Final = "1s"
FOLDER: Final = "/opt/monitoring"
TEXTFILES: Final = "/var/lib/prometheus/node-exporter"
PORT: Final = 9090
API: Final = "/api/v1"
NODE_EXPORTER: Final = (
    f"{FOLDER}/node_exporter", "--web.listen-address=127.0.0.1:9100",
    "--collector.systemd", "--collector.systemd.enable-restarts-metrics", "--collector.systemd.unit-include=ibkr-.+",
    f"--collector.textfile.directory={TEXTFILES}",
)  # fmt: skip
PROMETHEUS: Final = (
    f"{FOLDER}/prometheus", f"--config.file={FOLDER}/alerts/prometheus.yml",
    "--storage.tsdb.path=/var/lib/lab-prometheus",
    f"--web.listen-address=127.0.0.1:{PORT}", "--enable-feature=exemplar-storage", "--log.level=warn",
)  # fmt: skip


def binds_for_monitoring(programs: Programs, folder: Path, factor: float = FACTOR) -> tuple[Bind, ...]:
    """What the machine is booted with; the files are rendered into ``folder``, waits divided by ``factor``."""
    scaled_rules(SHIPPED / "rules", folder / "rules", TimeScale(factor=factor))
    shipped = read_yaml(SHIPPED / "prometheus.yml")
    intervals = dict.fromkeys(("scrape_interval", "scrape_timeout", "evaluation_interval"), INTERVAL)
    write_yaml(folder / "prometheus.yml", {**shipped, "global": {**shipped["global"], **intervals}})
    return (
        Bind(programs.node_exporter, f"{FOLDER}/node_exporter"),
        Bind(programs.prometheus, f"{FOLDER}/prometheus"),
        Bind(folder, f"{FOLDER}/alerts"),
    )


class Monitoring:
    """The two programs, started in ``lab``."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab

    def start(self) -> None:
        """Starts both; returns when Prometheus has the trader's and the exporter's metrics."""
        self.lab.run(["systemd-run", "--quiet", "--unit=lab-node-exporter", "--uid=nobody", *NODE_EXPORTER])
        self.lab.run(["systemd-run", "--quiet", "--unit=lab-prometheus", *PROMETHEUS])
        self.lab.wait_until(self._is_scraping, "the metrics of the trader and of the units", 60)

    def _is_scraping(self) -> bool:
        return self.values('up{job=~"trader|node"} == 1', "job").keys() == {"trader", "node"} and bool(
            self.values("unit:state", "name")
        )

    def now(self) -> float:
        return float(self.lab.run(["date", "+%s.%N"]).stdout)

    def query(self, expression: str) -> list[Any]:
        """The series of ``expression``; none while Prometheus does not answer."""
        try:
            _, said = http_get(self.lab.leader_pid, PORT, f"{API}/query?{urlencode({'query': expression})}")
        except (OSError, HTTPException):
            return []
        # Before it is ready it answers in words.
        answer = json.loads(said) if said.startswith("{") else {}
        assert answer.get("status", "success") == "success", answer
        return list(answer.get("data", {}).get("result", []))

    def values(self, expression: str, label: str) -> dict[str, float]:
        """The value of each series of ``expression``, by one of its labels."""
        return {series["metric"].get(label, ""): float(series["value"][1]) for series in self.query(expression)}

    def is_firing(self, labels: Mapping[str, str]) -> bool:
        return bool(self.query(_alert(labels)))

    def fired_from_to(self, labels: Mapping[str, str], since: float) -> tuple[float, float]:
        """When the alert was first and last seen firing, ``since`` or later."""
        series = self.query(f"{_alert(labels)}[15m]")
        times = sorted(float(time) for one in series for time, _ in one["values"] if float(time) >= since)
        assert times, f"{labels} did not fire"
        return times[0], times[-1]


def _alert(labels: Mapping[str, str]) -> str:
    chosen = ", ".join(f'{name}="{value}"' for name, value in labels.items())
    return f'ALERTS{{alertstate="firing", {chosen}}}'
