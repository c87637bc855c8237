"""Every alert has a drill, or a reason why not."""

from collections import Counter

import pytest

from trader.drills.table import DRILLS, NOT_DRILLED, drills_of
from trader.stack import ALERTS_FOLDER
from trader.stack.files import read_yaml

SHIPPED = {
    (rule["alert"], rule["labels"]["severity"])
    for source in (ALERTS_FOLDER / "rules").glob("*.rules.yml")
    for group in read_yaml(source)["groups"]
    for rule in group["rules"]
    if "alert" in rule
}


def test_every_alert_is_drilled_or_has_a_reason_why_not() -> None:
    drilled = {drill.alert for drill in DRILLS}
    assert drilled | set(NOT_DRILLED) == {alert for alert, _ in SHIPPED}
    assert not drilled & set(NOT_DRILLED)


def test_every_severity_of_a_drilled_alert_has_its_drill() -> None:
    drills = {(drill.alert, drill.severity) for drill in DRILLS}
    assert drills == {pair for pair in SHIPPED if pair[0] not in NOT_DRILLED}
    assert max(Counter(drill.name for drill in DRILLS).values()) == 1


def test_drills_are_chosen_by_their_alerts() -> None:
    assert {drill.severity for drill in drills_of(["DiskLow"])} == {"page", "ticket"}
    assert len(drills_of([])) == len(DRILLS)
    with pytest.raises(KeyError, match="NoSuchAlert"):
        drills_of(["NoSuchAlert"])
