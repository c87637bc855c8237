"""The shipped rules at another speed: every wait in them divided by one factor, so that a drill takes seconds.

Rules: what is divided is `for`, `keep_firing_for`, every range and offset of a selector, and every number that an age
(`time() - …`) is compared with. Nothing else is touched: names, labels, thresholds and operators stay as shipped.
Nothing becomes shorter than the floors below, which leave room for a scrape and an evaluation each second. Windows of
symptoms also have a ceiling, so that what happened leaves even a window of a day within a drill.
"""

import re
from pathlib import Path
from typing import Any, Final

import msgspec

from trader.stack.errors import StackError
from trader.stack.files import read_yaml, seconds_of, write_yaml

DURATION: Final = r"(?:\d+(?:ms|[smhdwy]))+"
RANGE: Final = re.compile(rf"\[({DURATION})(?::({DURATION})?)?\]")
OFFSET: Final = re.compile(rf"\boffset (-?)({DURATION})")
# What follows time() up to the comparison, with parentheses up to two deep taken whole.
AGE: Final = re.compile(
    r"(time\(\)(?:[^<>=!()]|\((?:[^()]|\([^()]*\))*\)|\))*?)(\s*(?:[<>]=?|==|!=) )(-?\d+(?:\.\d+)?)\b(?!\s*\*)"
)
SYMPTOMS: Final = "symptoms_"
# Hundreds of rules over long windows: once a second they would take the machine from the drills.
BUDGETS: Final = "slo"
BUDGETS_INTERVAL: Final = "5s"
HOLDS: Final = ("for", "keep_firing_for")


class TimeScale(msgspec.Struct, frozen=True, kw_only=True):
    """``factor`` is shipped seconds per drilled second; the floors are in drilled seconds."""

    factor: float
    window_floor_s: float = 5.0
    window_ceiling_s: float = 90.0
    hold_floor_s: float = 2.0
    age_floor_s: float = 5.0

    def window_s(self, seconds: float) -> float:
        """A selector's range or offset."""
        if self.factor == 1:
            return seconds
        return min(seconds, max(seconds / self.factor, self.window_floor_s), self.window_ceiling_s)

    def hold_s(self, seconds: float) -> float:
        """A ``for`` or a ``keep_firing_for``."""
        return min(seconds, max(seconds / self.factor, self.hold_floor_s))

    def age_s(self, seconds: float) -> float:
        """What an age is compared with; 0 stays 0 and a sign stays."""
        length = abs(seconds)
        scaled = min(length, max(length / self.factor, self.age_floor_s))
        return scaled if seconds >= 0 else -scaled


def scaled_rules(shipped: Path, folder: Path, scale: TimeScale) -> None:
    """Write every ``*.rules.yml`` of ``shipped`` to ``folder`` at ``scale``; raises StackError."""
    folder.mkdir(parents=True, exist_ok=True)
    sources = sorted(shipped.glob("*.rules.yml"))
    if not sources:
        raise StackError(f"{shipped}: has no *.rules.yml; type: trader generate")
    # The windows of a burn rate only mean something beside each other: they get no ceiling.
    budgets = msgspec.structs.replace(scale, window_ceiling_s=float("inf"))
    for source in sources:
        content = read_yaml(source)
        used = scale if source.name.startswith(SYMPTOMS) else budgets
        for group in content.get("groups") or []:
            if source.name.startswith(BUDGETS):
                group["interval"] = BUDGETS_INTERVAL
            else:
                group.pop("interval", None)
            group["rules"] = [scaled_rule(rule, used) for rule in group.get("rules") or []]
        write_yaml(folder / source.name, content)


def scaled_rule(rule: dict[str, Any], scale: TimeScale) -> dict[str, Any]:
    """One rule at ``scale``."""
    made = {**rule, "expr": scaled_expression(str(rule["expr"]), scale)}
    for key in HOLDS:
        if key in rule:
            made[key] = _duration(scale.hold_s(seconds_of(str(rule[key]))))
    return made


def scaled_expression(expression: str, scale: TimeScale) -> str:
    """One expression at ``scale``."""

    def window(match: re.Match[str]) -> str:
        length = _duration(scale.window_s(seconds_of(match[1])))
        if ":" not in match[0]:
            return f"[{length}]"
        return f"[{length}:{_duration(max(1.0, seconds_of(match[2]) / scale.factor)) if match[2] else ''}]"

    def offset(match: re.Match[str]) -> str:
        return f"offset {match[1]}{_duration(scale.window_s(seconds_of(match[2])))}"

    def age(match: re.Match[str]) -> str:
        return f"{match[1]}{match[2]}{scale.age_s(float(match[3])):g}"

    return AGE.sub(age, OFFSET.sub(offset, RANGE.sub(window, expression)))


def hold_of(rules: Path, alert: str, severity: str) -> float:
    """The longest ``for`` in seconds of the rules of ``alert`` with ``severity``; raises StackError without any."""
    return max(_lengths(rules, alert, severity, "for"))


def keep_of(rules: Path, alert: str, severity: str) -> float:
    """The longest ``keep_firing_for`` in seconds of these rules; raises StackError without any."""
    return max(_lengths(rules, alert, severity, "keep_firing_for"))


def _lengths(rules: Path, alert: str, severity: str, key: str) -> list[float]:
    lengths = [
        seconds_of(str(rule.get(key, "0s")))
        for source in sorted(rules.glob("*.rules.yml"))
        for group in read_yaml(source).get("groups") or []
        for rule in group.get("rules") or []
        if rule.get("alert") == alert and rule.get("labels", {}).get("severity") == severity
    ]
    if not lengths:
        raise StackError(f"{rules}: has no alert {alert} of severity {severity}")
    return lengths


def _duration(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms" if seconds % 1 else f"{round(seconds)}s"
