"""Requests that wait for their End message: answered, refused, timed out or dropped, once."""

from datetime import UTC, datetime

import pytest

from trader.clock import ManualClock
from trader.events import RequestKind, RequestOutcome
from trader.gateway.requests import RequestFailed, Requests
from trader.gateway.timers import ManualTimers

KIND = RequestKind.POSITIONS


class Bench:
    def __init__(self) -> None:
        self.clock = ManualClock(datetime(2013, 10, 7, 13, 30, tzinfo=UTC))
        self.timers = ManualTimers(self.clock)
        self.finished: list[tuple[RequestKind, RequestOutcome, float]] = []
        self.requests = Requests(self.clock, self.timers, 15.0, lambda *done: self.finished.append(done))


async def test_an_answer_is_its_rows_in_order_with_the_last_word_on_each() -> None:
    bench = Bench()
    request = bench.requests.start(KIND, KIND)
    for key, row in (("a", 1), ("b", 2), ("a", 3)):
        assert bench.requests.add(KIND, key, row)
    bench.timers.advance(2)
    bench.requests.end(KIND)
    assert await request.future == [3, 2]
    assert bench.finished == [(KIND, RequestOutcome.OK, 2.0)]


async def test_no_rows_are_an_answer_too() -> None:
    bench = Bench()
    request = bench.requests.start(KIND, KIND)
    bench.requests.end(KIND)
    assert await request.future == []


async def test_silence_is_not_an_empty_answer() -> None:
    bench = Bench()
    request = bench.requests.start(KIND, KIND)
    bench.requests.add(KIND, "a", 1)
    bench.timers.advance(15)
    with pytest.raises(RequestFailed, match="no answer to positions within 15 s"):
        await request.future
    assert bench.finished == [(KIND, RequestOutcome.TIMEOUT, 15.0)]


async def test_a_row_that_was_lost_spoils_the_whole_answer() -> None:
    bench = Bench()
    request = bench.requests.start(KIND, KIND)
    bench.requests.add(KIND, "a", 1)
    bench.requests.spoil(KIND, "a row could not be understood")
    bench.requests.end(KIND)
    with pytest.raises(RequestFailed, match="could not be understood"):
        await request.future
    assert [outcome for _, outcome, _ in bench.finished] == [RequestOutcome.ERROR]


async def test_a_refusal_carries_the_brokers_code() -> None:
    bench = Bench()
    request = bench.requests.start(5, RequestKind.CONTRACT_DETAILS)
    assert bench.requests.refuse(5, 200, "no such contract")
    with pytest.raises(RequestFailed) as failure:
        await request.future
    assert failure.value.code == 200
    assert not bench.requests.refuse(5, 200, "no such contract")


async def test_a_lost_link_drops_every_request() -> None:
    bench = Bench()
    requests = [bench.requests.start(key, RequestKind.EXECUTIONS) for key in (1, 2)]
    bench.requests.drop_all("the link was lost")
    for request in requests:
        with pytest.raises(RequestFailed, match="the link was lost"):
            await request.future
    bench.timers.advance(60)
    assert [outcome for _, outcome, _ in bench.finished] == [RequestOutcome.DROPPED] * 2


async def test_a_request_is_finished_once_whatever_comes_after() -> None:
    bench = Bench()
    request = bench.requests.start(KIND, KIND)
    bench.requests.end(KIND)
    bench.requests.end(KIND)
    bench.requests.drop(KIND, "late")
    bench.timers.advance(60)
    assert await request.future == []
    assert len(bench.finished) == 1


async def test_a_row_that_nobody_asked_for_is_said_to_be_one() -> None:
    assert not Bench().requests.add(KIND, "a", 1)


async def test_two_requests_of_one_key_cannot_be_told_apart() -> None:
    bench = Bench()
    bench.requests.start(KIND, KIND)
    with pytest.raises(ValueError, match="under way"):
        bench.requests.start(KIND, KIND)
