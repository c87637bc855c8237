"""The budget policy: what it makes of each word of Alertmanager, and of silence."""

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from trader.events import AlertLine, PolicyAlertsReceived, PolicyOverridden, PolicyState
from trader.policy import MAX_ALERTS, TRANSITIONS, BudgetPolicy, Standing, Word
from trader.settings import PolicySettings

NOW = datetime(2026, 3, 2, 15, 30, tzinfo=UTC)
S = 1_000_000_000
GONE = "SLOBudgetExhausted"


class Hearing:
    """A policy, its settings and a clock that the test moves; every change is applied, as the engine does."""

    def __init__(self, **settings: Any) -> None:
        self.settings = PolicySettings(**settings)
        self.policy = BudgetPolicy()
        self.seconds = 0
        self.told: list[Any] = []

    def at(self) -> datetime:
        return NOW + timedelta(seconds=self.seconds)

    def apply(self, facts: list[Any]) -> None:
        for fact in facts:
            self.policy.apply(fact)
        self.told += facts

    def hear(self, *lines: AlertLine, heartbeat: bool | None = None) -> None:
        event = PolicyAlertsReceived(at=self.at(), alerts=lines, heartbeat=heartbeat, monotonic_ns=self.seconds * S)
        self.apply(self.policy.hear(self.settings, event))

    def scrape_for(self, seconds: int, heartbeat: bool | None = None) -> None:
        """Time passes, with a scrape every 15 s; and a heartbeat, if wanted."""
        for _ in range(0, seconds, 15):
            self.seconds += 15
            self.policy.scraped(self.settings, self.seconds * S)
            if heartbeat is not None:
                self.hear(heartbeat=heartbeat)
            self.look()

    def wait(self, seconds: int) -> None:
        """Time passes, and nobody scrapes."""
        self.seconds += seconds
        self.look()

    def look(self) -> None:
        self.apply(self.policy.confirm(self.settings, self.at(), self.seconds * S))


def alert(name: str = GONE, slo: str = "availability", firing: bool = True, key: str = "") -> AlertLine:
    return AlertLine(key=key or f"{name}/{slo}", name=name, slo=slo, firing=firing)


def over(name: str = GONE, slo: str = "availability") -> AlertLine:
    return alert(name, slo, firing=False)


@pytest.fixture
def hearing() -> Hearing:
    made = Hearing()
    made.scrape_for(30)
    return made


def test_every_word_has_an_answer_for_every_standing() -> None:
    assert set(TRANSITIONS) == set(Word)
    assert all(set(row) == set(Standing) for row in TRANSITIONS.values())


def test_nothing_told_is_nothing_wrong(hearing: Hearing) -> None:
    assert hearing.policy.states() == {}
    assert not hearing.policy.stops_entries()


def test_an_exhausted_budget_stops_entries_until_it_is_taken_back(hearing: Hearing) -> None:
    hearing.hear(alert())
    assert hearing.policy.state("availability") is PolicyState.NO_NEW_ENTRIES
    assert hearing.policy.stops_entries()
    assert hearing.policy.reason() == "budget policy: SLOBudgetExhausted (availability)"
    hearing.hear(over())
    assert hearing.policy.state("availability") is PolicyState.OK
    assert not hearing.policy.stops_entries()


def test_another_policy_alert_is_caution_only(hearing: Hearing) -> None:
    hearing.hear(alert("SLOBurnFast"))
    assert hearing.policy.state("availability") is PolicyState.CAUTION
    assert not hearing.policy.stops_entries()


def test_the_worse_of_two_alerts_counts(hearing: Hearing) -> None:
    hearing.hear(alert("SLOBurnFast"), alert())
    hearing.hear(over())
    assert hearing.policy.state("availability") is PolicyState.CAUTION


def test_two_alerts_of_one_name_are_two(hearing: Hearing) -> None:
    hearing.hear(alert("NetPnLNegative", "net_pnl", key="usd"), alert("NetPnLNegative", "net_pnl", key="eur"))
    hearing.hear(alert("NetPnLNegative", "net_pnl", key="usd", firing=False))
    assert hearing.policy.stops_entries()


def test_success_metrics_do_not_answer_for_each_other(hearing: Hearing) -> None:
    hearing.hear(alert(slo="error_rate"), alert(slo="fill_rate"))
    hearing.hear(over(slo="error_rate"))
    assert hearing.policy.states() == {"error_rate": PolicyState.OK, "fill_rate": PolicyState.NO_NEW_ENTRIES}


def test_the_same_word_again_is_no_news(hearing: Hearing) -> None:
    hearing.hear(alert())
    hearing.told.clear()
    hearing.hear(alert())
    hearing.hear(over(slo="restarts"))
    assert hearing.told == []


def test_silence_changes_nothing(hearing: Hearing) -> None:
    hearing.hear(alert())
    hearing.wait(1_000_000)
    assert hearing.policy.stops_entries()


def test_an_alert_that_ends_while_nothing_is_measured_is_held(hearing: Hearing) -> None:
    hearing.hear(alert())
    hearing.wait(240)
    hearing.hear(over())
    assert hearing.policy.stops_entries()
    assert hearing.told[-1].alerts[0].held


def test_an_alert_that_ends_together_with_the_heartbeat_is_held(hearing: Hearing) -> None:
    hearing.hear(alert(), heartbeat=True)
    hearing.hear(over(), heartbeat=False)
    assert hearing.policy.stops_entries()
    hearing.scrape_for(3_600)
    assert hearing.policy.stops_entries()
    hearing.scrape_for(1_000, heartbeat=True)
    assert not hearing.policy.stops_entries()


def test_what_is_held_is_let_go_once_the_metrics_were_measured_for_long_enough(hearing: Hearing) -> None:
    hearing.hear(alert())
    hearing.wait(240)
    hearing.hear(over())
    hearing.scrape_for(900)
    assert hearing.policy.stops_entries()
    hearing.scrape_for(15)
    assert not hearing.policy.stops_entries()


def test_a_gap_in_the_scrapes_begins_the_wait_again(hearing: Hearing) -> None:
    hearing.hear(alert())
    hearing.wait(240)
    hearing.hear(over())
    hearing.scrape_for(600)
    hearing.wait(240)
    hearing.scrape_for(600)
    assert hearing.policy.stops_entries()


def test_what_is_held_and_fires_again_needs_a_new_end(hearing: Hearing) -> None:
    hearing.hear(alert())
    hearing.wait(240)
    hearing.hear(over())
    hearing.scrape_for(600)
    hearing.hear(alert())
    hearing.scrape_for(3_600)
    assert hearing.policy.stops_entries()
    hearing.hear(over())
    assert not hearing.policy.stops_entries()


def test_an_end_that_was_never_told_is_noticed_by_the_heartbeat_without_the_alert() -> None:
    hearing = Hearing(forget_after_s=3_600)
    hearing.scrape_for(30)
    hearing.hear(alert(), heartbeat=True)
    hearing.scrape_for(3_500, heartbeat=True)
    assert hearing.policy.stops_entries()
    hearing.scrape_for(200, heartbeat=True)
    assert not hearing.policy.stops_entries()


def test_without_a_heartbeat_nothing_is_forgotten() -> None:
    hearing = Hearing(forget_after_s=3_600)
    hearing.hear(alert())
    hearing.scrape_for(10_000)
    assert hearing.policy.stops_entries()


def test_an_override_lasts_until_its_end(hearing: Hearing) -> None:
    hearing.hear(alert())
    until = NOW + timedelta(hours=2)
    hearing.apply([PolicyOverridden(at=NOW, source="operator", reason="known cause", until=until)])
    assert not hearing.policy.stops_entries()
    assert hearing.policy.state("availability") is PolicyState.NO_NEW_ENTRIES
    assert hearing.policy.expired(until - timedelta(seconds=1)) is None
    end = hearing.policy.expired(until)
    assert end is not None
    hearing.apply([end])
    assert hearing.policy.stops_entries()
    assert hearing.policy.expired(until) is None


def test_the_facts_rebuild_the_policy(hearing: Hearing) -> None:
    hearing.hear(alert(), alert("SLOBurnFast", "error_rate"))
    hearing.wait(240)
    hearing.hear(over())
    hearing.apply([PolicyOverridden(at=NOW, source="operator", reason="r", until=NOW)])
    again = BudgetPolicy()
    for fact in hearing.told:
        again.apply(fact)
    assert (again.alerts, again.override_until) == (hearing.policy.alerts, hearing.policy.override_until)


def test_there_is_a_limit_on_alerts(hearing: Hearing) -> None:
    hearing.hear(*(alert("SLOBurnFast", key=str(number)) for number in range(MAX_ALERTS + 50)))
    assert len(hearing.policy.alerts["availability"]) == MAX_ALERTS
    hearing.hear(alert(key="one more"))
    assert len(hearing.policy.alerts["availability"]) == MAX_ALERTS


def test_after_any_words_the_facts_alone_rebuild_what_is_remembered(seed: int) -> None:
    chance = random.Random(seed)
    names, slos = ("SLOBudgetExhausted", "SLOBurnFast"), ("availability", "error_rate")
    hearing, again = Hearing(confirm_resolved_s=60, forget_after_s=600), BudgetPolicy()
    for _ in range(2_000):
        match chance.randrange(5):
            case 0:
                hearing.wait(chance.randrange(200))
            case 1:
                hearing.scrape_for(chance.randrange(100))
            case 2:
                hearing.hear(heartbeat=chance.random() < 0.8)
            case _:
                told = [
                    alert(chance.choice(names), chance.choice(slos), chance.random() < 0.5)
                    for _ in range(chance.randrange(4))
                ]
                hearing.hear(*told)
        for fact in hearing.told:
            again.apply(fact)
        hearing.told.clear()
        assert again.alerts == hearing.policy.alerts
        assert again.stops_entries() == hearing.policy.stops_entries()
    for name in names:
        for slo in slos:
            hearing.hear(over(name, slo), heartbeat=True)
    hearing.scrape_for(120, heartbeat=True)
    assert not any(hearing.policy.states().values())
