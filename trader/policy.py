"""The budget policy: from Alertmanager's word to whether positions may be opened. Pure.

Rules: an alert that stops entries (``policy.stop_alerts``) means no new entries, every other policy alert caution.
Silence changes nothing. An alert is taken back only on a word that can be trusted: one that came while the success
metrics were measured, since alerts also end when Prometheus dies. Taken back otherwise it is *held*: it counts until
the metrics have been measured for ``policy.confirm_resolved_s``, or until it fires and is taken back again. An alert
whose end was never told is let go when the heartbeat is heard and the alert is not, for ``policy.forget_after_s``. An
operator's override sets all of it aside until it expires. What is remembered across restarts changes by durable
facts alone.
"""

from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum
from typing import Final

from trader.clock import NANOSECONDS_PER_SECOND
from trader.events import (
    AlertLine,
    DurableFact,
    PolicyAlert,
    PolicyAlertsReceived,
    PolicyChanged,
    PolicyOverridden,
    PolicyState,
)
from trader.settings import PolicySettings

MAX_ALERTS: Final = 256
POLICY: Final = "policy"


class Standing(StrEnum):
    """How an alert stands with the policy."""

    ABSENT = "absent"
    FIRING = "firing"
    HELD = "held"


class Word(StrEnum):
    """What can be said of an alert."""

    FIRES = "fires"
    RESOLVED = "resolved"
    RESOLVED_UNMEASURED = "resolved_unmeasured"
    CONFIRMED = "confirmed"
    FORGOTTEN = "forgotten"


TRANSITIONS: Final[dict[Word, dict[Standing, Standing]]] = {
    Word.FIRES: dict.fromkeys(Standing, Standing.FIRING),
    Word.RESOLVED: dict.fromkeys(Standing, Standing.ABSENT),
    Word.FORGOTTEN: dict.fromkeys(Standing, Standing.ABSENT),
    Word.RESOLVED_UNMEASURED: {
        Standing.ABSENT: Standing.ABSENT, Standing.FIRING: Standing.HELD, Standing.HELD: Standing.HELD,
    },
    Word.CONFIRMED: {
        Standing.ABSENT: Standing.ABSENT, Standing.FIRING: Standing.FIRING, Standing.HELD: Standing.ABSENT,
    },
}  # fmt: skip


def standing_of(alert: PolicyAlert | None) -> Standing:
    if alert is None:
        return Standing.ABSENT
    return Standing.HELD if alert.held else Standing.FIRING


class BudgetPolicy:
    """What the alerts of each success metric come to, and for how long an operator has set that aside."""

    def __init__(self) -> None:
        # durable
        self.alerts: dict[str, dict[str, PolicyAlert]] = {}
        self.override_until: datetime | None = None
        self.override_reason = ""
        # volatile
        self.heard_at: datetime | None = None
        self._heartbeat: bool | None = None
        self._scraped_ns: int | None = None
        self._measured_since_ns: int | None = None
        self._told_ns: dict[str, int] = {}

    def apply(self, fact: DurableFact) -> None:
        match fact:
            case PolicyChanged():
                self.alerts[fact.slo] = {alert.key: alert for alert in fact.alerts}
            case PolicyOverridden():
                self.override_until, self.override_reason = fact.until, fact.reason
            case _:
                pass

    # -- asking

    def state(self, slo: str) -> PolicyState:
        """What the alerts of ``slo`` come to, whether overridden or not."""
        return _highest(self.alerts.get(slo, {}))

    def states(self) -> dict[str, PolicyState]:
        """The success metrics that an alert was ever told of."""
        return {slo: self.state(slo) for slo in self.alerts}

    @property
    def overridden(self) -> bool:
        return self.override_until is not None

    def stops_entries(self) -> bool:
        return not self.overridden and PolicyState.NO_NEW_ENTRIES in self.states().values()

    def reason(self) -> str:
        """Why no position may be opened, in words."""
        stops = [
            f"{alert.name} ({slo})" for slo, alerts in sorted(self.alerts.items())
            for alert in alerts.values() if alert.state is PolicyState.NO_NEW_ENTRIES
        ]  # fmt: skip
        return f"budget policy: {', '.join(dict.fromkeys(stops))}"

    # -- being told

    def scraped(self, settings: PolicySettings, now_ns: int) -> None:
        """The success metrics were read, at a monotonic time."""
        if not self.measured(settings, now_ns):
            self._measured_since_ns = now_ns
        self._scraped_ns = now_ns

    def measured(self, settings: PolicySettings, now_ns: int) -> bool:
        """Whether the metrics were read lately, so that what is said of them means something."""
        last_ns = self._scraped_ns
        scraped = last_ns is not None and now_ns - last_ns <= _nanoseconds(settings.measured_within_s)
        return scraped and self._heartbeat is not False

    def hear(self, settings: PolicySettings, event: PolicyAlertsReceived) -> list[PolicyChanged]:
        """What one message of Alertmanager changes."""
        self.heard_at = event.at
        if event.heartbeat is not None:
            self._listen(event.heartbeat, event.monotonic_ns)
        measured = self.measured(settings, event.monotonic_ns)
        self._told_ns.update((line.key, event.monotonic_ns) for line in event.alerts)
        return self._changes(settings, event.at, [(line, _word(line, measured)) for line in event.alerts])

    def confirm(self, settings: PolicySettings, at: datetime, now_ns: int) -> list[PolicyChanged]:
        """Let go of what is held or was forgotten, once the metrics have been measured for long enough."""
        since_ns = self._measured_since_ns
        if since_ns is None or not self.alerts or not self.measured(settings, now_ns):
            return []
        return self._changes(settings, at, list(self._over(settings, now_ns, since_ns)))

    def _listen(self, heartbeat: bool, now_ns: int) -> None:
        """A heartbeat that comes back is the beginning of a new time in which the metrics are measured."""
        if heartbeat and not self._heartbeat:
            self._measured_since_ns = now_ns
        self._heartbeat = heartbeat

    def _over(self, settings: PolicySettings, now_ns: int, since_ns: int) -> Iterator[tuple[AlertLine, Word]]:
        for slo, alerts in self.alerts.items():
            for key, alert in alerts.items():
                line = AlertLine(key=key, name=alert.name, slo=slo, firing=False)
                quiet_ns = now_ns - max(since_ns, self._told_ns.get(key, since_ns))
                if alert.held and quiet_ns >= _nanoseconds(settings.confirm_resolved_s):
                    yield line, Word.CONFIRMED
                elif self._heartbeat and quiet_ns >= _nanoseconds(settings.forget_after_s):
                    yield line, Word.FORGOTTEN

    def expired(self, at: datetime) -> PolicyOverridden | None:
        """The end of an override whose time has come."""
        if self.override_until is None or at < self.override_until:
            return None
        return PolicyOverridden(at=at, source=POLICY, reason="the override expired", until=None)

    def _changes(
        self, settings: PolicySettings, at: datetime, words: list[tuple[AlertLine, Word]]
    ) -> list[PolicyChanged]:
        """One fact for every success metric whose alerts changed. Alerts beyond ``MAX_ALERTS`` are not taken."""
        after = {slo: dict(alerts) for slo, alerts in self.alerts.items()}
        for line, word in words:
            alerts = after.setdefault(line.slo, {})
            before = standing_of(alerts.get(line.key))
            standing = TRANSITIONS[word][before]
            if standing is Standing.ABSENT:
                alerts.pop(line.key, None)
                self._told_ns.pop(line.key, None)
            elif before is not standing and (before is not Standing.ABSENT or _count(after) < MAX_ALERTS):
                alerts[line.key] = PolicyAlert(
                    key=line.key, name=line.name, state=_state(settings, line.name), held=standing is Standing.HELD
                )
        return list(_facts(self.alerts, after, at))


def _facts(
    before: dict[str, dict[str, PolicyAlert]], after: dict[str, dict[str, PolicyAlert]], at: datetime
) -> Iterator[PolicyChanged]:
    for slo, alerts in after.items():
        earlier = before.get(slo, {})
        if alerts != earlier:
            yield PolicyChanged(
                at=at, slo=slo, old=_highest(earlier), new=_highest(alerts), alerts=tuple(alerts.values())
            )


def _highest(alerts: dict[str, PolicyAlert]) -> PolicyState:
    return max((alert.state for alert in alerts.values()), default=PolicyState.OK)


def _word(line: AlertLine, measured: bool) -> Word:
    if line.firing:
        return Word.FIRES
    return Word.RESOLVED if measured else Word.RESOLVED_UNMEASURED


def _state(settings: PolicySettings, name: str) -> PolicyState:
    return PolicyState.NO_NEW_ENTRIES if name in settings.stop_alerts else PolicyState.CAUTION


def _count(alerts: dict[str, dict[str, PolicyAlert]]) -> int:
    return sum(len(of_slo) for of_slo in alerts.values())


def _nanoseconds(seconds: float) -> int:
    return int(seconds * NANOSECONDS_PER_SECOND)
