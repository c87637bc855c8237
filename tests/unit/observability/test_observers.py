"""Observers are isolated from each other and from whoever publishes."""

import logging
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from observability.catalogue import core
from observability.families import counters, new_registry
from observability.observers import MAX_OBSERVERS, Observe, Observers
from trader.clock import ManualClock
from trader.events import AnyFact, HaltRequested


@pytest.fixture
def registry() -> CollectorRegistry:
    return new_registry()


@pytest.fixture
def attach(registry: CollectorRegistry, clock: ManualClock) -> Callable[..., Observers]:
    failures = counters(core.OBSERVER_FAILURES, registry)

    def make(*observers: tuple[str, Observe]) -> Observers:
        return Observers(observers, failures, clock)

    return make


def fail(fact: AnyFact) -> None:
    raise RuntimeError("out of ink")


def test_an_observer_that_fails_is_counted_and_the_others_are_told(
    attach: Callable[..., Observers], registry: CollectorRegistry, make_fact: Callable[..., Any]
) -> None:
    told: list[AnyFact] = []
    observers = attach(("logs", fail), ("traces", told.append))
    facts = [make_fact(HaltRequested), make_fact(HaltRequested)]
    observers.publish(facts)
    assert told == facts
    assert registry.get_sample_value("trader_observer_failures_total", {"observer": "logs"}) == 2
    assert registry.get_sample_value("trader_observer_failures_total", {"observer": "traces"}) == 0


def test_an_observer_that_failed_stays_attached(
    attach: Callable[..., Observers], make_fact: Callable[..., Any]
) -> None:
    told: list[AnyFact] = []

    def fail_once(fact: AnyFact) -> None:
        told.append(fact)
        if len(told) == 1:
            raise RuntimeError("once")

    observers = attach(("logs", fail_once))
    observers.publish([make_fact(HaltRequested)])
    observers.publish([make_fact(HaltRequested)])
    assert len(told) == 2


def test_failures_are_logged_at_most_once_a_minute_with_how_many_there_were(
    attach: Callable[..., Observers],
    clock: ManualClock,
    make_fact: Callable[..., Any],
    caplog: pytest.LogCaptureFixture,
) -> None:
    observers = attach(("logs", fail))
    observers.publish([make_fact(HaltRequested)] * 100)
    clock.advance(timedelta(seconds=61))
    observers.publish([make_fact(HaltRequested)])
    messages = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(messages) == 2
    assert "observer logs failed on HaltRequested (1 since" in messages[0]
    assert "(100 since" in messages[1]


def test_an_observer_with_a_name_of_its_own_is_counted_as_other(
    attach: Callable[..., Observers], registry: CollectorRegistry, make_fact: Callable[..., Any]
) -> None:
    attach(("mine", fail)).publish([make_fact(HaltRequested)])
    assert registry.get_sample_value("trader_observer_failures_total", {"observer": "other"}) == 1


def test_there_is_a_limit_on_observers(attach: Callable[..., Observers]) -> None:
    with pytest.raises(ValueError, match="one too many"):
        attach(*[(str(number), fail) for number in range(MAX_OBSERVERS + 1)])


def test_a_tap_that_raises_is_counted_and_never_reaches_the_caller(
    attach: Callable[..., Observers], registry: CollectorRegistry, make_fact: Callable[..., Any]
) -> None:
    attach().tap("recorder", fail)(make_fact(HaltRequested))
    assert registry.get_sample_value("trader_observer_failures_total", {"observer": "recorder"}) == 1
