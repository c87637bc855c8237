"""What happens in one simulated world, as data, and what came of it.

Rules: frozen values only. ``at_s`` and durations are seconds of simulated time, counted from the world's start. A
point is a moment at which the process can die: around a journal write, around a send, around what it receives.
"""

from datetime import datetime
from enum import StrEnum
from typing import TypeAlias

import msgspec

from trader.settings import Settings
from trader.simulator.fault_options import Faults

ACCOUNT = "DU1234567"


class SimulationError(Exception):
    """The simulation cannot be run as asked; one sentence."""


class Point(StrEnum):
    """Where the process can die."""

    BEFORE_JOURNAL = "before a journal write"
    AFTER_JOURNAL = "after a journal write"
    BEFORE_SEND = "before a send"
    AFTER_SEND = "after a send"
    BEFORE_RECEIVE = "before it takes what it received"
    AFTER_RECEIVE = "after it took what it received"


class Answer(StrEnum):
    """What becomes of a request to the broker."""

    GIVEN = "given"
    REFUSED = "refused"
    SILENT = "silent"


class Topic(StrEnum):
    """The four questions of a reconciliation."""

    POSITIONS = "positions"
    OPEN_ORDERS = "open orders"
    COMPLETED_ORDERS = "completed orders"
    EXECUTIONS = "executions"


# -- what happens besides the faults of reports and of the link


class _Action(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    at_s: float


class Kill(_Action, frozen=True):
    """The process is killed, and started again after ``down_s``; ``boot``: the host's monotonic clock begins anew."""

    down_s: float
    boot: bool = False


class Stop(_Action, frozen=True):
    """The service is asked to stop, ends by itself, and is started again after ``down_s``."""

    down_s: float


class ClockStep(_Action, frozen=True):
    """The host's clock jumps by ``by_s``."""

    by_s: float


class Panic(_Action, frozen=True):
    """The panic flag is raised."""


class Halt(_Action, frozen=True):
    """An operator halts."""


class ReduceOnly(_Action, frozen=True):
    """An operator allows exits only."""


class Resume(_Action, frozen=True):
    """An operator resumes; refused while a panic is flattening, as the control socket refuses it."""

    accept_positions: bool = False


class Reload(_Action, frozen=True):
    """The configuration is read again, with other limits."""

    max_order_quantity: int
    cancel_after_s: float


class RequestsFail(_Action, frozen=True):
    """For ``duration_s`` the broker answers these questions with a refusal, or not at all."""

    duration_s: float
    topics: tuple[Topic, ...]
    answer: Answer


class ForeignOrder(_Action, frozen=True):
    """Somebody else trades on the account: a market order of another client."""

    symbol: str
    quantity: int


class ForeignCancel(_Action, frozen=True):
    """A person cancels the service's orders on the gateway's screen."""


class Ghost(_Action, frozen=True):
    """The broker makes two living orders of one: a copy of a living order of ours, under its reference."""


class DiskFull(_Action, frozen=True):
    """For ``duration_s`` the journal takes nothing."""

    duration_s: float


Action: TypeAlias = (
    Kill
    | Stop
    | ClockStep
    | Panic
    | Halt
    | ReduceOnly
    | Resume
    | Reload
    | RequestsFail
    | ForeignOrder
    | ForeignCancel
    | Ghost
    | DiskFull
)


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """One world. Faults and actions end at ``duration_s``; then it is calm, for ``calm_s`` at most.

    ``up_s`` and ``down_s`` are a message's way to the broker and back. ``losing_ratio`` of what is on its way when a
    connection breaks is lost, ``queued_ratio`` of the orders wait for the pacer first. ``deaths`` are the numbers of
    the points at which the process dies, and ``death_down_s`` is how long it is away then; soon after a death at
    ``last_point`` it is calm, whatever else was to come. ``scripted``: the strategy is the simulation's own, and wants
    something else every ``target_period_s``. In ``disturbed_symbol`` somebody else trades too.
    """

    seed: int
    settings: Settings
    scripted: bool
    start: datetime
    duration_s: float
    calm_s: float
    beat_s: float
    quote_interval_s: float
    target_period_s: float
    up_s: float
    down_s: float
    losing_ratio: float
    queued_ratio: float
    faults: Faults
    actions: tuple[Action, ...]
    deaths: tuple[int, ...] = ()
    death_down_s: float = 2.0
    last_point: int | None = None
    disturbed_symbol: str = ""


class Violation(msgspec.Struct, frozen=True, kw_only=True):
    """An invariant that does not hold. ``crash_point`` is the point at which the process was made to die, or None."""

    seed: int
    crash_point: int | None
    invariant: str
    at_s: float
    detail: str


class WorldResult(msgspec.Struct, frozen=True, kw_only=True):
    """What came of one world. ``points`` are the kinds of the points passed, by number."""

    seed: int
    violation: Violation | None
    history_hash: str
    events: int
    orders: int
    fills: int
    deaths: int
    starts: int
    simulated_s: float
    points: tuple[Point, ...]
