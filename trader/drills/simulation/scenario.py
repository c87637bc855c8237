"""From a seed to a scenario.

Rules: pure; nothing but the seed and the configuration decides. Each world has some kinds of trouble and not others,
because faults that always come together hide one another.
"""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final

from trader.contracts import TradingMode
from trader.drills.simulation.model import (
    ACCOUNT,
    Action,
    Answer,
    ClockStep,
    DiskFull,
    ForeignCancel,
    ForeignOrder,
    Ghost,
    Halt,
    Kill,
    Panic,
    ReduceOnly,
    Reload,
    RequestsFail,
    Resume,
    Scenario,
    Stop,
    Topic,
)
from trader.session import SessionCalendar
from trader.settings import Settings
from trader.simulator.fault_options import Faults, LinkFault

SYMBOLS: Final = ("SPY", "BAC", "IBM")
DISTURBED: Final = "IBM"
SCRIPTED_S: Final = 80.0
CALM_S: Final = 150.0
ONE_DAY: Final = timedelta(days=1)
# A Wednesday in the session of New York, and the moments at which a day ends for the books and for the broker.
MIDDAY: Final = datetime(2026, 1, 7, 15, 0, tzinfo=UTC)
SESSION_ENDS: Final = datetime(2026, 1, 8, 0, 0, tzinfo=UTC)
BROKERS_DAY_ENDS: Final = datetime(2026, 1, 8, 5, 0, tzinfo=UTC)


def scenario_of(seed: int, settings: Settings | None = None, duration_s: float = SCRIPTED_S) -> Scenario:
    """The world of ``seed``; with ``settings`` their strategy trades their instruments, under their limits."""
    random = Random(f"scenario {seed}")
    scripted = settings is None
    chosen = _scripted_settings(random) if settings is None else _virtual(settings)
    disturbed = DISTURBED if scripted and random.random() < 0.3 else ""
    return Scenario(
        seed=seed,
        settings=chosen,
        scripted=scripted,
        start=_start(random, chosen, duration_s),
        duration_s=duration_s,
        calm_s=CALM_S,
        beat_s=random.choice((0.25, 0.5, 1.0)),
        quote_interval_s=random.choice((0.5, 1.0, 2.0)),
        target_period_s=random.choice((3.0, 7.0, 15.0)),
        up_s=random.choice((0.001, 0.02, 0.2)),
        down_s=random.choice((0.001, 0.02, 0.2)),
        losing_ratio=random.choice((0.0, 0.5, 1.0)),
        queued_ratio=random.choice((0.0, 0.0, 0.3)),
        faults=_faults(random, seed, duration_s),
        actions=_actions(random, duration_s, disturbed),
        deaths=tuple(sorted(random.sample(range(20, 1_500), random.choice((0, 0, 1, 2, 4))))),
        death_down_s=random.choice((0.5, 2.0, 6.0)),
        disturbed_symbol=disturbed,
    )


def _virtual(settings: Settings) -> Settings:
    """A world is simulated whatever the configuration says, and touches no account."""
    return settings.model_copy(update={"mode": TradingMode.SIMULATED, "account": ACCOUNT})


def _scripted_settings(random: Random) -> Settings:
    return Settings.model_validate(
        {
            "account": ACCOUNT,
            "instruments": SYMBOLS,
            "gateway": {"request_timeout_s": 5, "reconcile_interval_s": random.choice((15, 60))},
            "market_data": {"stale_after_s": 15},
            "execution": {
                "order_type": random.choice(("LMT", "LMT", "LMT", "MKT")),
                "time_in_force": random.choice(("DAY", "DAY", "GTC", "IOC")),
                "cross_ticks": random.choice((1, 0, -1, -3)),
                "cancel_after_s": random.choice((3, 10)),
                "ack_timeout_s": random.choice((2, 5)),
                "retry_after_s": random.choice((0.5, 2)),
            },
            "risk": {
                "max_order_quantity": random.choice((150, 1_000)),
                "max_order_notional": 60_000,
                "max_position_notional": 60_000,
                "max_gross_exposure": random.choice((80_000, 200_000)),
                "max_orders_per_minute": random.choice((6, 60)),
                "max_open_orders": random.choice((1, 20)),
                "daily_loss_limit": random.choice((50, 5_000)),
            },
            "session": {"calendar": "always", "flatten_before_close_s": 0, "no_entries_before_close_s": 0},
            "stop": {"flatten": random.random() < 0.3, "timeout_s": 5},
        }
    )


def _start(random: Random, settings: Settings, duration_s: float) -> datetime:
    """Mostly in the middle of a session; sometimes so that one ends, or the broker's day does, in the world."""
    before = timedelta(seconds=duration_s * random.random())
    kind = random.random()
    if settings.session.calendar == "always":
        if kind < 0.85:
            return MIDDAY + timedelta(minutes=random.randrange(240))
        return (SESSION_ENDS if kind < 0.95 else BROKERS_DAY_ENDS) - before
    calendar = SessionCalendar.load(settings.session.calendar, settings.session.calendar_file)
    session = calendar.current_or_next(MIDDAY + random.randrange(20) * ONE_DAY)
    if kind < 0.2:
        return session.closes_at - before
    latest_s = (session.closes_at - session.opens_at).total_seconds() - duration_s - CALM_S
    return session.opens_at + timedelta(seconds=max(0.0, latest_s * random.random()))


# -- faults of reports and of the link


def _faults(random: Random, seed: int, duration_s: float) -> Faults:
    options: dict[str, Any] = {}
    for trouble in FAULTS:
        if random.random() < 0.3:
            options |= trouble(random)
    return Faults(seed=seed, link=_link_faults(random, duration_s), **options)


FAULTS: Final[tuple[Callable[[Random], dict[str, Any]], ...]] = (
    lambda r: {"duplicate_status_ratio": 0.5},
    lambda r: {"no_callback_ratio": r.choice((0.1, 0.5))},
    lambda r: {"late_ack_ratio": 0.5, "ack_delay_s": r.choice((0.5, 3.0, 8.0))},
    lambda r: {"report_delay_s": r.choice((0.1, 1.5))},
    lambda r: {"execution_delay_ratio": 0.5, "execution_delay_s": r.choice((0.5, 4.0))},
    lambda r: {"commission_missing_ratio": 0.5},
    lambda r: {"commission_late_ratio": 0.5, "commission_delay_s": 4.0},
    lambda r: {"commission_first_ratio": 0.5},
    lambda r: {"commission_unset_ratio": 0.5},
    lambda r: {"correction_ratio": 0.4, "correction_delay_s": r.choice((0.3, 3.0)), "correction_ticks": 2},
    lambda r: {"reject_ratio": 0.2, "reject_price_ratio": 0.1, "reject_invalid_ratio": 0.1},
    lambda r: {"cancel_refused_ratio": 0.3},
    lambda r: {"order_message_ratio": 0.5, "order_message_codes": (10349, 399, 404, 2109, 161)},
    lambda r: {"bad_quote_ratio": 0.1},
)


def _link_faults(random: Random, duration_s: float) -> tuple[LinkFault, ...]:
    kinds = [kind for kind in LINK if random.random() < 0.3]
    if not kinds:
        return ()
    made = [LINK[random.choice(kinds)](random, random.uniform(0, duration_s)) for _ in range(random.randrange(1, 5))]
    return tuple(sorted(made, key=lambda fault: fault.at_s))


LINK: Final[dict[str, Callable[[Random, float], LinkFault]]] = {
    "disconnect": lambda r, at: LinkFault(kind="disconnect", at_s=at, duration_s=r.choice((0.0, 2.0, 12.0))),
    "stall": lambda r, at: LinkFault(kind="stall", at_s=at, duration_s=r.choice((1.0, 6.0, 20.0))),
    "upstream_lost": lambda r, at: LinkFault(
        kind="upstream_lost", at_s=at, duration_s=r.choice((0.5, 5.0, 15.0)), data_lost=r.random() < 0.5
    ),
    "nightly_reset": lambda r, at: LinkFault(kind="nightly_reset", at_s=at, duration_s=12.0, repeat_s=5.0),
    "farm_flap": lambda r, at: LinkFault(kind="farm_flap", at_s=at, duration_s=3.0),
    "competing_session": lambda r, at: LinkFault(kind="competing_session", at_s=at, duration_s=5.0),
    "restart": lambda r, at: LinkFault(
        kind="restart",
        at_s=at,
        duration_s=r.choice((1.0, 8.0)),
        roll_back_ids=r.choice((0, 3, 1_000)),
        vanish_window_s=r.choice((0.0, 1.0, 10.0)),
    ),
    "handshake_326": lambda r, at: LinkFault(kind="handshake_326", at_s=at, duration_s=5.0),
    "pacing": lambda r, at: LinkFault(kind="pacing", at_s=at),
}


# -- what happens to the process, the host and the account


def _actions(random: Random, duration_s: float, disturbed: str) -> tuple[Action, ...]:
    made: list[Action] = []
    for share, most, make in ACTIONS:
        if random.random() < share:
            made += [make(random, random.uniform(0, duration_s)) for _ in range(random.randint(1, most))]
    if disturbed:
        times = [random.uniform(0, duration_s) for _ in range(random.randint(1, 4))]
        made += [ForeignOrder(at_s=at, symbol=disturbed, quantity=random.choice((-30, 10, 25))) for at in times]
    return tuple(sorted(made, key=lambda action: action.at_s))


# How often a world has them, how many at most, and one of them at a time.
ACTIONS: Final[tuple[tuple[float, int, Callable[[Random, float], Action]], ...]] = (
    (0.35, 3, lambda r, at: Kill(at_s=at, down_s=r.choice((0.2, 2.0, 10.0)), boot=r.random() < 0.3)),
    (0.2, 2, lambda r, at: Stop(at_s=at, down_s=r.choice((0.5, 5.0)))),
    (0.2, 2, lambda r, at: ClockStep(at_s=at, by_s=r.choice((-3_600.0, -30.0, -0.4, 0.4, 30.0, 3_600.0)))),
    (0.15, 1, lambda r, at: Panic(at_s=at)),
    (0.15, 2, lambda r, at: Halt(at_s=at)),
    (0.1, 1, lambda r, at: ReduceOnly(at_s=at)),
    (0.4, 3, lambda r, at: Resume(at_s=at)),
    (
        0.15,
        2,
        lambda r, at: Reload(
            at_s=at, max_order_quantity=r.choice((20, 300, 1_000)), cancel_after_s=r.choice((2.0, 20.0))
        ),
    ),
    (
        0.3,
        3,
        lambda r, at: RequestsFail(
            at_s=at,
            duration_s=r.choice((1.0, 8.0, 20.0)),
            topics=tuple(topic for topic in Topic if r.random() < 0.5) or (Topic.POSITIONS,),
            answer=r.choice((Answer.REFUSED, Answer.SILENT)),
        ),
    ),
    (0.1, 2, lambda r, at: ForeignCancel(at_s=at)),
    (0.25, 3, lambda r, at: Ghost(at_s=at)),
    (0.1, 1, lambda r, at: DiskFull(at_s=at, duration_s=r.choice((1.0, 6.0)))),
)
