"""How the benchmark of the rules makes many instances and a past out of one scrape, and what it concludes."""

from itertools import pairwise

import pytest

from benchmarks.evaluation import CYCLE_S, Evaluated, shares_of_a_cycle
from benchmarks.history import STEP_S, exposed, looked_back_on, samples_text, spans
from benchmarks.instances import InstanceServer, MovingScrape, units_text
from benchmarks.rules import extremes, goals
from trader.stack import Sample

SCRAPE = """# HELP ticks_total Ticks
# TYPE ticks_total counter
ticks_total 100.0
wait_seconds_sum{kind="a b"} 2.5
wait_seconds_bucket{le="0.5"} 10.0
last_tick_timestamp_seconds 1000.0
oldest_unacknowledged_timestamp_seconds 0.0
trader_session_close_timestamp_seconds{calendar="XNYS"} 5000.0
equity{currency="USD"} 1.5e+06
"""


def evaluated(instances: int, past_days: float, time_ms: float) -> Evaluated:
    groups_ms = {name: [time_ms, time_ms] for name in shares_of_a_cycle()}
    return Evaluated(
        instances=instances, past_days=past_days, groups_ms=groups_ms, firing=(), looked_back_on=(),
        series={"scraped from the trader": 400, "recorded by rules": 200, "scraped from node_exporter": 900},
    )  # fmt: skip


def test_counts_and_times_go_on_and_the_rest_stays() -> None:
    moved = MovingScrape(SCRAPE, age_s=10, scraped_s=1_000).at(1_005)
    assert moved == (
        "# HELP ticks_total Ticks\n# TYPE ticks_total counter\nticks_total 150\n"
        'wait_seconds_sum{kind="a b"} 3.75\nwait_seconds_bucket{le="0.5"} 15\n'
        "last_tick_timestamp_seconds 1005\noldest_unacknowledged_timestamp_seconds 0.0\n"
        'trader_session_close_timestamp_seconds{calendar="XNYS"} 5000.0\nequity{currency="USD"} 1.5e+06\n'
    )


def test_every_instance_is_a_target_of_its_own() -> None:
    targets = InstanceServer().targets("trader", 3)
    assert [target["labels"]["instance"] for target in targets] == ["host000", "host001", "host002"]


def test_units_that_are_made_up_are_well() -> None:
    lines = units_text(["ibkr-trading.service", "ibkr-calendar.timer"], 7.0).splitlines()
    assert 'node_systemd_unit_state{name="ibkr-trading.service",state="active",type="service"} 1' in lines
    assert sum(line.endswith(" 1") for line in lines) == 2
    assert 'node_systemd_timer_last_trigger_seconds{name="ibkr-calendar.timer"} 7.0' in lines


def test_a_past_is_of_what_rules_read_over_days() -> None:
    text = 'increase(a_total{kind=~"x|y"}[30d]) / rate(b_total[5m]) + last_over_time(slo:c:sum[1d]) offset 1d'
    assert looked_back_on([text]) == {'a_total{kind=~"x|y"}', "slo:c:sum"}


@pytest.mark.parametrize("days", [0.5, 3, 10])
def test_the_parts_of_a_past_meet(days: float) -> None:
    begin_s, end_s = 1_000_000, 1_000_000 + int(days * 86_400)
    parts = list(spans(begin_s, end_s))
    assert (parts[0][0], parts[-1][1]) == (begin_s, end_s)
    assert all(before[1] == after[0] for before, after in pairwise(parts))


def test_counters_have_risen_to_what_they_are_and_others_have_stood() -> None:
    counter = Sample({"__name__": "a_total", "job": "trader"}, 5.0)
    name = exposed(counter.labels)
    assert name == 'a_total{job="trader"}'
    values = [float(line.split()[1]) for line in samples_text(name, counter, 0, 4 * STEP_S, 4 * STEP_S).splitlines()]
    assert [after - before for before, after in pairwise(values)] == [STEP_S] * 3
    gauge = Sample({"__name__": "a_ratio"}, 0.5)
    assert samples_text("a_ratio{}", gauge, 0, 2 * STEP_S, 60) == f"a_ratio{{}} 0.5 0\na_ratio{{}} 0.5 {STEP_S}\n"


def test_a_group_counts_by_how_often_it_is_evaluated() -> None:
    shares = shares_of_a_cycle()
    assert shares["slo_windows"] == 1
    assert shares["slo_long_windows"] < 1
    assert evaluated(1, 0, 2.0).cycles_ms == pytest.approx([2.0 * sum(shares.values())] * 2)
    assert CYCLE_S == 15


def test_the_goals_are_for_one_of_many_and_for_a_long_past() -> None:
    found = [evaluated(1, 0, 9.0), evaluated(100, 0, 9.0), evaluated(1, 30, 9.0)]
    many, past, series = goals(found)
    assert many.met
    assert not past.met
    assert "one evaluation of" in past.why
    assert (series.met, series.measured) == (True, "600")
    assert extremes(found[:1]) == found[:1]
