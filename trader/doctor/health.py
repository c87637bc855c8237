"""The running service's own words: ready, metrics, its journal."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from trader.doctor.model import Absent, Finding, NotVisible, failed, ok, unknown, warning
from trader.doctor.place import Place
from trader.doctor.words import age, amount

HTTP_OK: Final = 200
SQLITE: Final = "sqlite:///"
SESSION_METRIC: Final = "trader_session_open_timestamp_seconds"
SESSION_FILE: Final = "ibkr-session.prom"
TASK_SUCCESS: Final = "trader_task_last_success_timestamp_seconds"
TEXTFILE_SUFFIX: Final = ".prom"
TEXTFILES_MAX: Final = 200


def ready(place: Place) -> Finding:
    answered = place.exporter("/readyz")
    if answered is None:
        return failed(f"nobody answers at port {place.usable_settings().metrics.port}")
    if answered.status == HTTP_OK:
        return ok("ready")
    return failed(f"not ready: {_problems(answered.body)}")


def _problems(body: str) -> str:
    """Why, as ``/readyz`` says it: JSON with ``problems``, or lines."""
    try:
        told = json.loads(body)
    except ValueError:
        told = None
    problems = told.get("problems", []) if isinstance(told, dict) else body.splitlines()
    return "; ".join(str(problem).strip() for problem in problems) or "no reason given"


def metrics(place: Place) -> Finding:
    answered = place.exporter("/metrics")
    if answered is None or answered.status != HTTP_OK:
        why = "nobody answers" if answered is None else f"the answer is {answered.status}"
        return failed(f"no metrics at port {place.usable_settings().metrics.port}: {why}")
    series = sum(1 for line in answered.body.splitlines() if line and not line.startswith("#"))
    limit = place.bounds.series_max
    if series == 0:
        return failed("the answer has no series")
    if series > limit:
        return failed(f"{series:,} series, more than the {limit:,} that were promised")
    return ok(f"{series:,} series of at most {limit:,}")


def session_metrics(place: Place) -> Finding:
    """The calendar's file for node_exporter: without it no alert knows when the market is open."""
    path = place.site.textfiles / SESSION_FILE
    modified_at = place.host.state(path).modified_at
    old = place.host.now() - modified_at
    if SESSION_METRIC not in samples(place.host.read(path)):
        return failed(f"{path} has no {SESSION_METRIC}")
    if old.total_seconds() > place.bounds.calendar_age_max_s:
        return failed(f"{path} is {age(old)} old, and it is written every five minutes")
    return ok(f"{path}, {age(old)} old")


def samples(text: str) -> dict[str, float]:
    """The last value of each name, and of each name with its labels, in Prometheus's text format."""
    found: dict[str, float] = {}
    for line in text.splitlines():
        series, _, value = line.rpartition(" ")
        if not series or line.startswith("#"):
            continue
        try:
            found[series] = found[series.partition("{")[0]] = float(value)
        except ValueError:
            continue
    return found


def journal(place: Place) -> Finding:
    """The database of facts; read only."""
    url = place.usable_settings().journal.url
    if not url.startswith(SQLITE):
        return unknown(
            "the journal is not SQLite, its server looks after it", f"trader journal stats {place.site.options}"
        )
    path = Path(url.removeprefix(SQLITE).partition("?")[0])
    state = place.host.state(path)
    found = place.host.database(path)
    if found.verdict != "ok":
        return failed(f"{path} is damaged: {' '.join(found.verdict.split())}")
    if found.journal_mode != "wal":
        return failed(f"{path} has no write-ahead log (mode {found.journal_mode})")
    if state.mode & 0o077:
        return failed(f"others can read {path} (mode {state.mode:04o})", f"sudo chmod 600 {path}")
    size_bytes = sum(_size_bytes(place, file) for file in (path, path.with_name(f"{path.name}-wal")))
    return ok(f"{path}, {amount(size_bytes)}, sound, with a write-ahead log")


def _size_bytes(place: Place, path: Path) -> int:
    try:
        return place.host.state(path).size_bytes
    except Absent:
        return 0


def panic_drill(place: Place) -> Finding:
    """When emergency procedures were last tried, as the job that tries them publishes it."""
    return _task(place, "panic_drill", "panic drill", place.bounds.panic_drill_age_high_s)


def backup(place: Place) -> Finding:
    return _task(place, "backup", "backup", place.bounds.backup_age_high_s)


def _task(place: Place, task: str, words: str, age_high_s: float) -> Finding:
    last = _last_success(place, task)
    if last is None:
        return warning(f"no {words} is on record in {place.site.textfiles}")
    passed = place.host.now() - last
    if passed.total_seconds() > age_high_s:
        return warning(f"the last {words} was {age(passed)} ago")
    return ok(f"{age(passed)} ago")


def _last_success(place: Place, task: str) -> datetime | None:
    label = f'task="{task}"'
    moments = []
    for name in _textfiles(place):
        for series, value in samples(place.host.read(place.site.textfiles / name)).items():
            if series.startswith(TASK_SUCCESS) and label in series:
                moments.append(datetime.fromtimestamp(value, UTC))
    return max(moments, default=None)


def _textfiles(place: Place) -> list[str]:
    try:
        names = place.host.names(place.site.textfiles)
    except Absent as error:
        raise NotVisible(f"{error.path} is not there") from error
    return [name for name in names if name.endswith(TEXTFILE_SUFFIX)][:TEXTFILES_MAX]
