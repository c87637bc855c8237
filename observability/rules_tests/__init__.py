"""Objectives to promtool's unit tests of the rules that are made from them.

Rules: every alert has cases that fire, that stay silent, and on both sides of its boundary; all follow from the
numbers in the objectives, so a changed objective brings changed tests.
"""

from observability.rules import dump, groups
from observability.rules_tests import availability, burn, few, judgements
from observability.rules_tests.series import Case, Scenario, test_file
from observability.slo import Spec


def scenarios(spec: Spec) -> dict[str, list[Scenario]]:
    """Every test file's scenarios by its name."""
    return {name: found for part in (burn, availability, few, judgements) for name, found in part.scenarios(spec)}


def render(spec: Spec) -> dict[str, str]:
    """Every test file's text by its name."""
    made = groups(spec)
    return {name: dump(test_file(found, made)) for name, found in scenarios(spec).items()}


__all__ = ["Case", "Scenario", "render", "scenarios"]
