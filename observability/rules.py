"""``alerts/slo.yaml`` to Prometheus rule files.

Rules: pure and repeatable, the same objectives give the same bytes. What is written by hand is left as it is, but
for the links to the runbooks, whose base is a setting of the objectives.
"""

import re
from collections.abc import Sequence
from typing import Any, Final

import yaml

from observability.promql import RuleGroup
from observability.rules_alerts import alerting_group
from observability.rules_recording import recording_groups
from observability.slo import Spec

HEADER: Final = "# DO NOT EDIT: made from alerts/slo.yaml by `trader generate`.\n"
RUNBOOK_LINE: Final = re.compile(
    r"^(?P<key>\s*runbook_url:\s*)(?P<quote>[\"']?)\S*?(?P<page>[A-Za-z0-9]+\.md)(?P=quote)$", re.M
)


class _Dumper(yaml.SafeDumper):
    """Writes text of several lines as a block."""


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _text)


def groups(spec: Spec) -> tuple[RuleGroup, ...]:
    """All rule groups, recording before alerting."""
    return (*recording_groups(spec), alerting_group(spec))


def render(spec: Spec) -> str:
    """The rule file of ``spec``."""
    return dump({"groups": [group.document() for group in groups(spec)]})


def dump(document: dict[str, Any], header: str = HEADER) -> str:
    """``document`` as YAML that a person can read."""
    return header + yaml.dump(document, Dumper=_Dumper, sort_keys=False, width=118, allow_unicode=True)


def with_runbooks(spec: Spec, text: str) -> str:
    """The rule file ``text``, written by hand, with every link to a runbook below the objectives' base."""
    base = spec.runbook_base.rstrip("/")
    return RUNBOOK_LINE.sub(lambda found: f"{found['key']}{found['quote']}{base}/{found['page']}{found['quote']}", text)


def recorded_names(chosen: Sequence[RuleGroup]) -> frozenset[str]:
    """The names of the series that ``chosen`` records."""
    return frozenset(rule["record"] for group in chosen for rule in group.document()["rules"] if "record" in rule)
