"""Whether the unit tests of the alerts notice a rule that is wrong."""

import os
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.rules.mutants import EQUIVALENT, Mutant, changed_expressions, mutants_of, survivors
from tests.rules.rulebook import alerts

LOGICAL_PROCESSORS = os.cpu_count() or 1


def test_every_mutant_of_every_alert_is_killed_by_its_unit_tests(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made = {alert: mutants_of(alert, found) for alert, found in alerts().items()}

    def surviving(alert: str) -> list[Mutant]:
        return survivors(alert, alerts()[alert], made[alert], tmp_path / alert)

    # The longest first, so that the last ones do not wait for it alone.
    order = sorted(made, key=lambda alert: -len(made[alert]))
    with ThreadPoolExecutor(LOGICAL_PROCESSORS) as pool:
        alive = [mutant for found in pool.map(surviving, order) for mutant in found]
    count = sum(map(len, made.values()))
    kinds = Counter(mutant.kind for mutants in made.values() for mutant in mutants)
    with capsys.disabled():
        by_kind = ", ".join(f"{number} × {kind}" for kind, number in kinds.most_common())
        print(f"\nmutants of {len(made)} alerts: {count} made ({by_kind}), {count - len(alive)} killed")
    assert not alive, "unit tests do not notice:\n" + "\n".join(map(str, alive))


@pytest.mark.parametrize(("alert", "kind", "part", "reason"), EQUIVALENT)
def test_what_is_left_out_as_equivalent_would_be_made_otherwise(alert: str, kind: str, part: str, reason: str) -> None:
    assert reason
    changed = [change for rule in alerts()[alert] for change in changed_expressions(rule.expr)]
    assert any(kind == made and part in " ".join(expr.split()) for made, _, expr in changed)
