"""The link's table, its backoff, its heartbeat, and IB's servers beside it."""

from itertools import product
from random import Random

import pytest

from trader.events import DisconnectReason
from trader.gateway.link import (
    CLIENT_ID_ATTEMPTS_MAX,
    TRANSITIONS,
    Heartbeat,
    Link,
    LinkEvent,
    LinkState,
    UnlistedTransition,
    Upstream,
    UpstreamChange,
)

SECOND_NS = 1_000_000_000


class NoJitter(Random):
    def random(self) -> float:
        return 0.0


def link_in(state: LinkState) -> Link:
    link = Link(30.0, NoJitter())
    link.state = state
    return link


@pytest.mark.parametrize(("state", "event"), list(product(LinkState, LinkEvent)))
def test_every_pair_of_state_and_event_moves_by_the_table_or_raises_and_changes_nothing(
    state: LinkState, event: LinkEvent
) -> None:
    link = link_in(state)
    if (state, event) in TRANSITIONS:
        assert link.handle(event) is TRANSITIONS[state, event]
    else:
        with pytest.raises(UnlistedTransition):
            link.handle(event)
        assert link.state is state


def test_every_state_can_be_closed() -> None:
    assert all((state, LinkEvent.CLOSED) in TRANSITIONS for state in LinkState)


def test_it_waits_one_two_four_seconds_and_never_longer_than_the_cap() -> None:
    link = Link(30.0, NoJitter())
    waits = []
    for _ in range(8):
        link.handle(LinkEvent.ATTEMPTED)
        link.handle(LinkEvent.FAILED)
        waits.append(link.retry_in_s())
    assert waits == [1, 2, 4, 8, 16, 30, 30, 30]


def test_it_shortens_each_wait_by_a_random_part() -> None:
    seed = Random().randrange(2**32)
    link = Link(30.0, Random(seed))
    waits = [link.retry_in_s() for _ in range(100)]
    assert all(0.8 <= wait <= 1.0 for wait in waits), f"seed {seed}"
    assert len(set(waits)) > 90, f"seed {seed}"


def test_it_starts_over_with_short_waits_after_it_was_up() -> None:
    link = Link(30.0, NoJitter())
    for _ in range(5):
        link.handle(LinkEvent.ATTEMPTED)
        link.handle(LinkEvent.FAILED)
    for event in (LinkEvent.ATTEMPTED, LinkEvent.HANDSHAKEN, LinkEvent.STARTED, LinkEvent.LOST):
        link.handle(event)
    assert link.attempts == 0
    assert link.retry_in_s() == 1.0


def test_it_gives_up_on_a_client_id_that_stays_busy() -> None:
    link = Link(30.0, NoJitter())
    verdicts = [link.gives_up_on(DisconnectReason.CLIENT_ID_BUSY) for _ in range(CLIENT_ID_ATTEMPTS_MAX)]
    assert verdicts == [False] * (CLIENT_ID_ATTEMPTS_MAX - 1) + [True]


def test_it_never_gives_up_on_a_gateway_that_is_away() -> None:
    link = Link(30.0, NoJitter())
    assert not any(link.gives_up_on(DisconnectReason.REFUSED) for _ in range(1_000))


def test_a_probe_is_due_after_the_interval_and_not_again_before_its_answer() -> None:
    heartbeat = Heartbeat(5.0, 10.0)
    heartbeat.start(0)
    assert not heartbeat.probe_due(4 * SECOND_NS)
    assert heartbeat.probe_due(5 * SECOND_NS)
    assert not heartbeat.probe_due(11 * SECOND_NS)
    assert heartbeat.answered(12 * SECOND_NS) == 7.0
    assert heartbeat.probe_due(12 * SECOND_NS)


def test_an_answer_that_nobody_waits_for_says_nothing() -> None:
    heartbeat = Heartbeat(5.0, 10.0)
    heartbeat.start(0)
    assert heartbeat.answered(SECOND_NS) is None


def test_a_silent_link_is_dead_fifteen_seconds_after_its_last_answer() -> None:
    heartbeat = Heartbeat(5.0, 10.0)
    heartbeat.start(0)
    assert heartbeat.probe_due(5 * SECOND_NS)
    assert not heartbeat.dead(15 * SECOND_NS - 1)
    assert heartbeat.dead(15 * SECOND_NS)


def test_a_long_interval_does_not_delay_the_verdict() -> None:
    heartbeat = Heartbeat(3_600.0, 10.0)
    heartbeat.start(0)
    assert heartbeat.wake_in_s(0) == pytest.approx(5.0)


def test_a_missing_answer_is_told_once_an_interval() -> None:
    heartbeat = Heartbeat(2.0, 10.0)
    heartbeat.start(0)
    assert heartbeat.probe_due(2 * SECOND_NS)
    told = [heartbeat.missed_s(tenth * SECOND_NS // 10) for tenth in range(20, 121)]
    assert [silent_s for silent_s in told if silent_s is not None] == [2.0, 4.0, 6.0, 8.0, 10.0]


def test_losing_the_brokers_servers_is_told_once_and_their_return_every_time() -> None:
    upstream = Upstream()
    codes = (1100, 1100, 1102, 1100, 1101, 1101, 2104, 2110)
    assert [upstream.handle(code) for code in codes] == [
        UpstreamChange(connected=False),
        None,
        UpstreamChange(connected=True, data_lost=False),
        UpstreamChange(connected=False),
        UpstreamChange(connected=True, data_lost=True),
        UpstreamChange(connected=True, data_lost=True),
        None,
        UpstreamChange(connected=False),
    ]


def test_a_farm_is_news_when_its_state_changes() -> None:
    upstream = Upstream()
    assert upstream.farm_changed("usfarm", connected=True)
    assert not upstream.farm_changed("usfarm", connected=True)
    assert upstream.farm_changed("usfarm", connected=False)
    assert upstream.connected
