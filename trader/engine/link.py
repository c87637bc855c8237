"""What is known of the link to the broker: socket, upstream, farms, account, and whether we agree with it.

Rules: the socket to the gateway, the gateway's way to IB and the data farms are three things. Whatever
breaks the first two takes "reconciled" away; only a complete and clean answer gives it back.
"""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal, InvalidOperation

from trader.clock import NANOSECONDS_PER_SECOND
from trader.events import AccountValue

# Asking again for what was not answered: this soon, then twice as long each time, at most this long.
RECONCILE_RETRY_S = 1.0
RECONCILE_RETRY_MAX_S = 30.0


@dataclass(slots=True)
class Link:
    """The link as the engine knows it; volatile, because a new connection tells all of it again."""

    connected: bool = False
    upstream: bool = False
    reconciled: bool = False
    reconcile_problem: str = "not reconciled yet"
    client_id: int | None = None
    account: str = ""
    server_version: int | None = None
    last_heartbeat_at: datetime | None = None
    clock_offset_s: float | None = None
    farms: dict[str, bool] = field(default_factory=dict)
    values: dict[tuple[str, str], Decimal] = field(default_factory=dict)
    rates: dict[str, Decimal] = field(default_factory=dict)
    suspected: tuple[object, ...] = ()
    told: tuple[object, ...] = ()
    accept_positions: bool = False
    asked_ns: int | None = None
    next_ask_ns: int | None = None
    believed_from_ns: int = 0
    retry_s: float = RECONCILE_RETRY_S
    executions_at: datetime | None = None
    executions_ns: int = 0
    day_ends_at: datetime | None = None
    last_call_ns: int | None = None

    @property
    def usable(self) -> bool:
        """Whether an order handed over now would reach IB."""
        return self.connected and self.upstream

    def lose_agreement(self, problem: str) -> None:
        self.reconciled = False
        self.reconcile_problem = problem
        self.suspected = ()
        self.retry_s = RECONCILE_RETRY_S

    def plan_question(self, now_ns: int, wait_s: float) -> None:
        """Ask the broker for everything in ``wait_s`` seconds, or sooner when that is already planned."""
        due_ns = now_ns + int(wait_s * NANOSECONDS_PER_SECOND)
        self.next_ask_ns = due_ns if self.next_ask_ns is None else min(self.next_ask_ns, due_ns)

    def back_off(self) -> float:
        """Seconds until the next question; doubles with every call up to the maximum."""
        wait_s = self.retry_s
        self.retry_s = min(self.retry_s * 2, RECONCILE_RETRY_MAX_S)
        return wait_s

    def take_values(self, values: tuple[AccountValue, ...]) -> None:
        """Keep the numeric account values; text and unset numbers are not values."""
        for item in values:
            try:
                number = Decimal(item.value)
            except InvalidOperation:
                continue
            if not number.is_finite() or abs(number) > Decimal("1e300"):
                continue
            self.values[item.tag, item.currency] = number
            if item.tag == "ExchangeRate" and item.currency not in ("", "BASE"):
                self.rates[item.currency] = number

    def value(self, tag: str, currency: str) -> Decimal | None:
        return self.values.get((tag, currency), self.values.get((tag, "")))
