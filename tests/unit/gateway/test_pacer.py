"""The pacer: what goes first, what waits, what is given back."""

from datetime import UTC, datetime
from random import Random

import pytest

from trader.clock import ManualClock
from trader.events import RequestKind
from trader.gateway.pacer import QUEUE_MAX, Message, Pacer, Priority
from trader.gateway.timers import ManualTimers

START = datetime(2013, 10, 7, 13, 30, tzinfo=UTC)


class Bench:
    """A pacer with what it sent, when, and what it gave back."""

    def __init__(self, messages_per_s: int = 10) -> None:
        self.clock = ManualClock(START)
        self.timers = ManualTimers(self.clock)
        self.sent: list[tuple[int, str]] = []
        self.dropped: list[tuple[str, str]] = []
        self.waited: list[tuple[RequestKind, float]] = []
        self.pacer = Pacer(messages_per_s, self.clock, self.timers, lambda *waited: self.waited.append(waited))

    def submit(self, priority: Priority, name: str, kind: RequestKind = RequestKind.PLACE_ORDER) -> None:
        self.pacer.submit(
            Message(
                priority,
                kind,
                send=lambda: self.sent.append((self.clock.monotonic_ns(), name)),
                drop=lambda reason: self.dropped.append((name, reason)),
            )
        )

    def names(self) -> list[str]:
        return [name for _, name in self.sent]


def test_it_sends_at_once_while_there_is_room() -> None:
    bench = Bench()
    for number in range(10):
        bench.submit(Priority.NEW, str(number))
    assert len(bench.sent) == 10
    assert bench.waited == []


def test_it_makes_the_next_message_wait_until_the_first_is_a_second_old() -> None:
    bench = Bench()
    for number in range(11):
        bench.submit(Priority.NEW, str(number))
    bench.timers.advance(0.999)
    assert len(bench.sent) == 10
    bench.timers.advance(0.002)
    assert bench.names()[-1] == "10"
    ((kind, waited_s),) = bench.waited
    assert kind is RequestKind.PLACE_ORDER
    assert waited_s == pytest.approx(1.0, abs=0.01)


def test_it_sends_a_cancel_before_a_reduction_before_a_new_order_before_data() -> None:
    bench = Bench()
    for number in range(10):
        bench.submit(Priority.NEW, str(number))
    for priority in (Priority.DATA, Priority.NEW, Priority.REDUCE, Priority.CANCEL):
        bench.submit(priority, priority.name)
    bench.timers.advance(2.5)
    assert bench.names()[10:] == ["CANCEL", "REDUCE", "NEW", "DATA"]


def test_it_keeps_room_for_a_cancel_beside_a_burst_of_data() -> None:
    bench = Bench()
    for number in range(50):
        bench.submit(Priority.DATA, str(number), RequestKind.MARKET_DATA)
    assert len(bench.sent) == 8
    bench.submit(Priority.CANCEL, "cancel")
    assert bench.names()[-1] == "cancel"


def test_it_keeps_the_order_of_messages_of_one_priority() -> None:
    bench = Bench()
    for number in range(35):
        bench.submit(Priority.CANCEL, str(number))
    bench.timers.advance(5)
    assert bench.names() == [str(number) for number in range(35)]


def test_it_gives_a_message_back_when_its_queue_is_full() -> None:
    bench = Bench(1)
    for number in range(QUEUE_MAX + 2):
        bench.submit(Priority.NEW, str(number))
    assert [name for name, _ in bench.dropped] == [str(QUEUE_MAX + 1)]
    assert "waiting already" in bench.dropped[0][1]


def test_it_gives_every_waiting_message_back_and_sends_none_of_them_later() -> None:
    bench = Bench(1)
    for number in range(4):
        bench.submit(Priority.NEW, str(number))
    bench.pacer.drop_all("link lost")
    bench.timers.advance(10)
    assert bench.names() == ["0"]
    assert bench.dropped == [("1", "link lost"), ("2", "link lost"), ("3", "link lost")]
    assert bench.pacer.waiting() == 0


def test_it_counts_a_message_that_went_past_the_queues() -> None:
    bench = Bench(2)
    bench.pacer.spend()
    bench.submit(Priority.NEW, "first")
    bench.submit(Priority.NEW, "second")
    assert bench.names() == ["first"]


def test_it_never_sends_more_than_the_limit_in_any_second() -> None:
    seed = Random().randrange(2**32)
    rng = Random(seed)
    bench = Bench(45)
    for _ in range(400):
        for number in range(rng.randrange(0, 12)):
            bench.submit(rng.choice(list(Priority)), str(number))
        bench.timers.advance(rng.random() * 0.2)
    times = [sent_ns for sent_ns, _ in bench.sent]
    for index, sent_ns in enumerate(times[45:]):
        assert sent_ns - times[index] >= 1_000_000_000, f"seed {seed}"
