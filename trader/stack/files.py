"""The shipped configuration files, rendered for one run: this run's ports, folders and intervals, nothing else.

Rules: jobs, limits, routes, matchers and inhibitions stay exactly as shipped, because what a drill proves has to be
what a user gets. What is replaced is listed here: targets by job, webhook URLs by receiver, tokens, intervals.
"""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from trader.stack.errors import StackError

FILE_MAX_BYTES: Final = 1_000_000
SCRAPE_TIMEOUT_MAX_S: Final = 10.0


def read_yaml(path: Path) -> dict[str, Any]:
    """The mapping in ``path``; raises StackError."""
    try:
        if path.stat().st_size > FILE_MAX_BYTES:
            raise StackError(f"{path}: is larger than {FILE_MAX_BYTES} bytes")
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise StackError(f"{path}: cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise StackError(f"{path}: is not YAML: {' '.join(str(error).split())}") from error
    if not isinstance(content, dict):
        raise StackError(f"{path}: has to be a mapping")
    return content


def write_yaml(path: Path, content: Mapping[str, Any]) -> None:
    """Write ``content`` so that a reader sees the old file or the new one."""
    part = path.with_name(path.name + ".part")
    part.write_text(yaml.safe_dump(dict(content), sort_keys=False, width=200), encoding="utf-8")
    part.replace(path)


def duration(seconds: float) -> str:
    """A duration as Prometheus writes it."""
    return f"{round(seconds * 1000)}ms"


def render_prometheus(
    shipped: Mapping[str, Any], targets: Mapping[str, list[dict[str, Any]]], scrape_s: float | None,
    evaluation_s: float | None,
) -> dict[str, Any]:  # fmt: skip
    """``prometheus.yml`` with ``targets`` by job; a job without any is left out, one not shipped is added.

    A target is an entry of static_configs. The intervals are the shipped ones where None.
    """
    content = dict(shipped)
    scheduling = dict(shipped.get("global", {}))
    if scrape_s is not None:
        scheduling["scrape_interval"] = duration(scrape_s)
        scheduling["scrape_timeout"] = duration(min(scrape_s, SCRAPE_TIMEOUT_MAX_S))
    if evaluation_s is not None:
        scheduling["evaluation_interval"] = duration(evaluation_s)
    content["global"] = scheduling
    jobs = {job["job_name"]: dict(job) for job in shipped.get("scrape_configs", [])}
    content["scrape_configs"] = [
        {**jobs.get(name, {"job_name": name}), "static_configs": _with_labels(jobs.get(name), entries)}
        for name, entries in targets.items()
        if entries
    ]
    alertmanagers = [{"static_configs": [{"targets": _addresses(targets.get("alertmanager", []))}]}]
    content["alerting"] = {"alertmanagers": alertmanagers}
    return content


def _with_labels(job: Mapping[str, Any] | None, entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """``entries``, with the shipped target labels where an entry names none."""
    shipped = ((job or {}).get("static_configs") or [{}])[0].get("labels", {})
    return [{"targets": entry["targets"], "labels": entry.get("labels", shipped)} for entry in entries]


def _addresses(entries: list[dict[str, Any]]) -> list[str]:
    return [target for entry in entries for target in entry["targets"]]


def render_alertmanager(
    shipped: Mapping[str, Any], urls: Mapping[str, str], token_file: Path, timing_s: Mapping[str, float] | None = None
) -> dict[str, Any]:
    """``alertmanager.yml`` with each receiver's webhook at ``urls[receiver]``, or none where that is missing.

    ``timing_s`` replaces ``group_wait``, ``group_interval`` and ``repeat_interval`` of every route that sets them.
    """
    content = dict(shipped)
    content["receivers"] = [_receiver(item["name"], item, urls, token_file) for item in shipped.get("receivers", [])]
    if timing_s:
        content["route"] = _timed(shipped["route"], timing_s)
    return content


def _receiver(name: str, shipped: Mapping[str, Any], urls: Mapping[str, str], token_file: Path) -> dict[str, Any]:
    if name not in urls:
        return {"name": name}
    hooks = [
        {**hook, "url": urls[name], "http_config": {"authorization": {"credentials_file": str(token_file)}}}
        for hook in shipped.get("webhook_configs", [])
    ]
    return {"name": name, "webhook_configs": hooks}


def _timed(route: Mapping[str, Any], timing_s: Mapping[str, float]) -> dict[str, Any]:
    content = dict(route)
    for key, seconds in timing_s.items():
        if key in content:
            content[key] = duration(seconds)
    if "routes" in content:
        content["routes"] = [_timed(child, timing_s) for child in content["routes"]]
    return content


def copy_rules(shipped: Path, folder: Path, hold_ratio: float, evaluation_s: float | None) -> None:
    """Copy ``*.rules.yml``; a ``hold_ratio`` below 1 shortens ``for`` and ``keep_firing_for``.

    With ``evaluation_s`` the groups' own intervals give way to it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sources = sorted(shipped.glob("*.rules.yml"))
    if not sources:
        raise StackError(f"{shipped}: has no *.rules.yml; type: trader generate")
    for source in sources:
        if hold_ratio == 1.0 and evaluation_s is None:
            shutil.copyfile(source, folder / source.name)
        else:
            content = read_yaml(source)
            for group in content.get("groups") or []:
                _hasten(group, hold_ratio, evaluation_s)
            write_yaml(folder / source.name, content)


def _hasten(group: dict[str, Any], hold_ratio: float, evaluation_s: float | None) -> None:
    if evaluation_s is not None:
        group.pop("interval", None)
    for rule in group.get("rules", []):
        for key in ("for", "keep_firing_for"):
            if key in rule:
                rule[key] = duration(seconds_of(str(rule[key])) * hold_ratio)


UNITS_S: Final = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0, "y": 31536000.0}
PART: Final = re.compile(r"(\d+)(ms|[smhdwy])")
WHOLE: Final = re.compile(rf"(?:{PART.pattern})+|0")


def seconds_of(text: str) -> float:
    """The seconds of a duration such as ``1h30m``; raises StackError."""
    if not WHOLE.fullmatch(text):
        raise StackError(f"{text!r} is not a duration such as 1h30m")
    return sum(int(number) * UNITS_S[unit] for number, unit in PART.findall(text))
