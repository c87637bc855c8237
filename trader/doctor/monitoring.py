"""What watches the service: Prometheus, Alertmanager, the rules they have loaded, and a runbook for each alert.

Rules: they may be on another host or not wanted at all, so that nobody answers is not known; that they answer and
do not watch this service is what fails.
"""

import json
from collections import Counter
from pathlib import Path
from typing import Any, Final

import yaml

from trader.doctor.model import Absent, Finding, NotVisible, failed, ok, unknown, warning, worst
from trader.doctor.place import Place
from trader.doctor.words import some

RULE_SUFFIX: Final = ".rules.yml"
HTTP_OK: Final = 200

Rule = tuple[str, str]
"""The group's name and the rule's."""


def prometheus(place: Place) -> Finding:
    """It is there, and the service is one of its targets that answer."""
    targets = _asked(place, "/api/v1/targets?state=active")["activeTargets"]
    port = place.usable_settings().metrics.port
    ours = [target for target in targets if target.get("scrapeUrl", "").endswith(f":{port}/metrics")]
    if not ours:
        return failed(f"{place.options.prometheus} does not scrape port {port}")
    down = [f"{target['scrapeUrl']}: {target.get('lastError') or target['health']}" for target in ours]
    down = [text for text, target in zip(down, ours, strict=True) if target["health"] == "down"]
    if down:
        return failed(f"it cannot scrape {some(down)}", "trader health")
    return ok(f"{place.options.prometheus} scrapes port {port}")


def _asked(place: Place, path: str) -> dict[str, Any]:
    url = place.options.prometheus.rstrip("/") + path
    answered = place.once(url, lambda: place.host.get(url))
    if answered is None:
        raise NotVisible(f"nobody answers at {place.options.prometheus} (one elsewhere is named by --prometheus)")
    found = json_of(answered.body) if answered.status == HTTP_OK else None
    if found is None or not isinstance(found.get("data"), dict):
        raise NotVisible(f"{url} does not answer as a Prometheus does (status {answered.status})")
    data: dict[str, Any] = found["data"]
    return data


def json_of(text: str) -> dict[str, Any] | None:
    try:
        found = json.loads(text)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def alertmanager(place: Place) -> Finding:
    url = f"{place.options.alertmanager.rstrip('/')}/api/v2/status"
    answered = place.once(url, lambda: place.host.get(url))
    if answered is not None and answered.status == HTTP_OK and json_of(answered.body) is not None:
        return ok(place.options.alertmanager)
    if answered is not None:
        raise NotVisible(f"{url} does not answer as an Alertmanager does (status {answered.status})")
    why = f"nobody answers at {place.options.alertmanager}"
    if place.usable_settings().policy.token_file is not None:
        return warning(f"{why}, and policy.token_file waits for its word on the budgets")
    raise NotVisible(f"{why} (one elsewhere is named by --alertmanager)")


def rules(place: Place) -> Finding:
    """The rules that this release ships against those that Prometheus has loaded."""
    groups = _asked(place, "/api/v1/rules")["groups"]
    shipped_folder = place.site.share / "alerts" / "rules"
    texts = _shipped(place, shipped_folder)
    shipped = Counter(rule for text in texts.values() for rule in rules_in(text))
    loaded = Counter((group["name"], rule["name"]) for group in groups for rule in group["rules"])
    missing = sorted({name for _, name in (shipped - loaded)})
    findings = []
    if missing:
        findings.append(failed(f"not loaded: {some(missing)}"))
    for path in sorted({str(group.get("file", "")) for group in groups}):
        text = texts.get(Path(path).name)
        if text is not None and _other_text(place, Path(path), text):
            findings.append(failed(f"{path} is not the shipped one", f"diff {shipped_folder / Path(path).name} {path}"))
    return worst(findings, f"{sum(shipped.values())} rules of {len(texts)} files, loaded as shipped")


def rule_pairs(place: Place) -> tuple[list[tuple[Path, Path]], list[str]]:
    """The shipped files of rules that Prometheus has loaded, each with where it did, and those that it has not.

    Raises NotVisible.
    """
    groups = _asked(place, "/api/v1/rules")["groups"]
    folder = place.site.share / "alerts" / "rules"
    loaded = {Path(str(group.get("file", ""))).name: Path(str(group["file"])) for group in groups if group.get("file")}
    names = sorted(_shipped(place, folder))
    return [(folder / name, loaded[name]) for name in names if name in loaded], [n for n in names if n not in loaded]


def _shipped(place: Place, folder: Path) -> dict[str, str]:
    names = [name for name in place.host.names(folder) if name.endswith(RULE_SUFFIX)]
    if not names:
        raise Absent(folder / f"*{RULE_SUFFIX}")
    return {name: place.host.read(folder / name) for name in names}


def rules_in(text: str) -> list[Rule]:
    """Group and name of every rule in a file of rules."""
    content = yaml.safe_load(text) or {}
    return [
        (group["name"], rule.get("alert") or rule.get("record", ""))
        for group in content.get("groups", [])
        for rule in group.get("rules", [])
    ]


def _other_text(place: Place, path: Path, text: str) -> bool:
    try:
        return place.host.read(path) != text
    except (Absent, NotVisible):
        return False  # it is not ours to see; the names were compared


def runbooks(place: Place) -> Finding:
    """The documentation that a page leads to, on this host."""
    alerts = place.site.share / "alerts"
    names = set()
    for text in _shipped(place, alerts / "rules").values():
        for group in (yaml.safe_load(text) or {}).get("groups", []):
            names |= {rule["alert"] for rule in group.get("rules", []) if "alert" in rule}
    there = {Path(name).stem for name in place.host.names(alerts / "runbooks")}
    missing = sorted(names - there)
    if missing:
        return failed(f"no runbook for {some(missing)}")
    if not names:
        return unknown(f"{alerts / 'rules'} has no alert")
    return ok(f"{len(names)} alerts, each with its page in {alerts / 'runbooks'}")
