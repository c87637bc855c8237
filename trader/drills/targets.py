"""What Prometheus scrapes during drills, told by files that it watches.

Rules: Prometheus's configuration is not loaded again, because for seconds after that it knows no Alertmanager and drops
what fires.
"""

import json
from pathlib import Path
from typing import Any, Final

JOBS: Final = ("trader", "node")


class Targets:
    """The targets of the jobs that change while drills run; ``folder`` is where their files are."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._addresses: dict[str, dict[str, str]] = {job: {} for job in JOBS}
        folder.mkdir(parents=True, exist_ok=True)
        for job in JOBS:
            self._write(job)

    def add(self, job: str, instance: str, address: str) -> None:
        """Have ``address`` scraped under ``instance``."""
        self._addresses[job][instance] = address
        self._write(job)

    def remove(self, job: str, instance: str) -> None:
        """Have it scraped no more; its series end at once."""
        if self._addresses[job].pop(instance, None) is not None:
            self._write(job)

    def read_by(self, prometheus: dict[str, Any]) -> dict[str, Any]:
        """A configuration of Prometheus whose jobs watch these files."""
        jobs = [dict(job) for job in prometheus["scrape_configs"]]
        for job in jobs:
            if job["job_name"] in JOBS:
                job["file_sd_configs"] = [{"files": [str(self._file(job["job_name"]))], "refresh_interval": "5s"}]
        return {**prometheus, "scrape_configs": jobs}

    def _file(self, job: str) -> Path:
        return self._folder / f"{job}.json"

    def _write(self, job: str) -> None:
        entries = [
            {"targets": [address], "labels": {"instance": instance}}
            for instance, address in self._addresses[job].items()
        ]
        part = self._folder / f"{job}.part"
        part.write_text(json.dumps(entries))
        part.replace(self._file(job))
