"""Each check of the deployment checklist: right on a healthy host, and telling what is wrong on one that is not."""

import pytest

from tests.unit.doctor import scenarios_deployment, scenarios_post, scenarios_pre
from tests.unit.doctor.changes import OK
from tests.unit.doctor.fake_host import healthy, place_of, result_of
from trader.doctor import CHECKS, Verdict, examine

SCENARIOS = scenarios_pre.SCENARIOS | scenarios_deployment.SCENARIOS | scenarios_post.SCENARIOS


@pytest.mark.parametrize("unified", [True, False], ids=["cgroup-v2", "cgroup-v1"])
@pytest.mark.parametrize("version", [252, 257])
@pytest.mark.parametrize("instance", ["", "second"], ids=["plain", "instance"])
def test_a_healthy_host_passes_every_check(version: int, unified: bool, instance: str) -> None:
    host = healthy(version=version, unified=unified, instance=instance)
    report = examine(place_of(host, instance))
    assert [(result.key, result.seen) for result in report.results if result.verdict is not Verdict.OK] == []
    assert len(report.results) == len(CHECKS)


@pytest.mark.parametrize("name", SCENARIOS)
def test_what_is_wrong_is_seen_and_has_its_mend(name: str) -> None:
    scenario = SCENARIOS[name]
    host = healthy()
    scenario.change(host)
    result = result_of(host, scenario.check)
    assert result.verdict is scenario.verdict, result
    assert scenario.seen in result.seen, result.seen
    assert scenario.mend in result.mend, result.mend
    assert bool(result.mend) is bool(scenario.mend), result.mend


def test_every_check_has_a_scenario_in_which_it_is_not_ok() -> None:
    seen = {scenario.check for scenario in SCENARIOS.values() if scenario.verdict is not OK}
    only_told = {"drop_ins", "time_zone"}
    assert {check.key for check in CHECKS} - seen == only_told
