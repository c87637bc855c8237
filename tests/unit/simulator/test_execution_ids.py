"""Ids of executions: no two runs of a simulated gateway share one, and yet a seed decides what goes wrong."""

from typing import Any

from trader.simulator.executions import fill_id, repeatable_id
from trader.simulator.faults import FaultInjector, Faults


def executions(make_floor: Any, run_number: int) -> list[Any]:
    floor = make_floor(run_number=run_number)
    floor.quote(100, 101)
    for _ in range(40):
        floor.buy(1)
    return list(floor.exchange.executions())


def test_two_runs_with_the_same_seed_give_no_execution_the_same_id(make_floor: Any) -> None:
    first, second = executions(make_floor, 1_700_000_000), executions(make_floor, 1_700_000_001)
    assert len({item.exec_id for item in (*first, *second)}) == 80
    assert {fill_id(item.exec_id) for item in first}.isdisjoint(fill_id(item.exec_id) for item in second)
    assert [repeatable_id(item.exec_id) for item in first] == [repeatable_id(item.exec_id) for item in second]


def test_the_same_executions_are_corrected_in_every_run_of_a_seed(make_floor: Any) -> None:
    corrected = [
        [
            number
            for number, item in enumerate(executions(make_floor, run_number))
            if FaultInjector(Faults(seed=3, correction_ratio=0.5)).correction(item) is not None
        ]
        for run_number in (0, 12_345)
    ]
    assert corrected[0] == corrected[1]
    assert 0 < len(corrected[0]) < 40
