"""From a quote to an order: strategy, plan, risk, intent.

Rules: a strategy that raises, answers nonsense or takes too long is suspended, and only exits are allowed from
then on. A decision's time is monotonic, so that nothing of it depends on virtual time: a replay never suspends for
it. A target that could not be reached is tried again with growing pauses. An order's intent is a durable fact of
the same step, so it is in the journal before its command leaves.
"""

from collections.abc import Callable, Iterable
from datetime import datetime
from decimal import Decimal

from trader import risk
from trader.clock import NANOSECONDS_PER_SECOND
from trader.contracts import ZERO, Instrument, TradingState
from trader.engine.core import Core, Step
from trader.engine.order_flow import RETRY_PAUSE_MAX_S, cancel, delay_next_order
from trader.engine.sessions import closes_within, follow, in_flatten_window, session_of
from trader.events import (
    Approved,
    BadTickDropped,
    DecisionMade,
    DecisionOutcome,
    DuplicateOrderBlocked,
    Intent,
    IntentRefused,
    OrderIntended,
    OrderTerms,
    PlaceOrder,
    QuoteReceived,
    RiskRule,
    ScheduleFired,
    SignalChanged,
    StartReason,
    StrategyFailed,
    TradingStateChanged,
)
from trader.execution import Cancel, Wanted, plan
from trader.orders import CLOSING_REFERENCES, PANIC
from trader.session import Session
from trader.strategy.api import MarketView, Target

OUTCOME_OF_RULE = {
    RiskRule.STALE_QUOTE: DecisionOutcome.STALE,
    RiskRule.NO_QUOTE: DecisionOutcome.STALE,
}
TARGET_MAX = Decimal(10**12)
STRATEGY = "strategy"
# One hang may be the host's; the second of a day is taken for the strategy's.
WATCHDOG_ENDS_MAX = 2
STATES_WITHOUT_ORDERS = (TradingState.HALTED, TradingState.PANIC)


def on_quote(core: Core, step: Step, event: QuoteReceived) -> None:
    quote = event.quote
    bad = core.market_data.accept(quote)
    if bad is not None:
        step.emit(BadTickDropped(at=quote.at, symbol=quote.symbol, reason=bad))
        return
    session = follow(core, step, quote.at)
    core.decided_ns = event.received_ns
    if session is not None and not core.strategy_suspended:
        _decide(core, step, event, session)
    if quote.symbol in core.unmet:
        pursue(core, step, quote.symbol)


def on_schedule(core: Core, step: Step, event: ScheduleFired) -> None:
    session = follow(core, step, event.at)
    if session is None or core.strategy_suspended:
        return
    core.decided_ns = event.monotonic_ns
    strategy, view = core.strategy, _view(core, event.at, session)
    targets = _ask(core, step, "", strategy.on_schedule, view)
    if targets is not None:
        _take_targets(core, step, targets)


def _decide(core: Core, step: Step, event: QuoteReceived, session: Session) -> None:
    quote, strategy = event.quote, core.strategy
    targets = _ask(core, step, quote.symbol, strategy.on_quote, quote, _view(core, quote.at, session))
    if targets is not None and not _take_targets(core, step, targets):
        core.statistics.hold((core.answered_ns - core.decided_ns) / NANOSECONDS_PER_SECOND)


def _ask(
    core: Core, step: Step, symbol: str, decide: Callable[..., Iterable[Target]], *about: object
) -> tuple[Target, ...] | None:
    """What the strategy answers; None when it raised or took too long, and is suspended."""
    began_ns = core.clock.monotonic_ns()
    try:
        targets = tuple(decide(*about))
    except Exception as error:  # noqa: BLE001 - a strategy is foreign code: whatever it raises suspends it
        suspend_strategy(core, step, symbol, repr(error))
        return None
    core.answered_ns = core.clock.monotonic_ns()
    took_s = (core.answered_ns - began_ns) / NANOSECONDS_PER_SECOND
    limit_s = core.settings.strategy.decision_time_max_s
    if took_s > limit_s:
        problem = f"a decision took {took_s:.2f} s and may take {limit_s:g} s (strategy.decision_time_max_s)"
        suspend_strategy(core, step, symbol, problem)
        return None
    return targets


def _view(core: Core, at: datetime, session: Session) -> MarketView:
    return MarketView(
        at=at,
        quotes=core.market_data.quotes,
        instruments=core.instruments,
        targets=core.targets,
        session_closes_at=session.closes_at,
        capital=core.settings.strategy.capital,
    )


def _since_tick_s(core: Core) -> float:
    return (core.clock.monotonic_ns() - core.decided_ns) / NANOSECONDS_PER_SECOND


def _take_targets(core: Core, step: Step, targets: Iterable[Target]) -> bool:
    """Take what the strategy wants; whether that was anything new."""
    news = False
    for target in targets:
        problem = _nonsense(core, target)
        if problem:
            suspend_strategy(core, step, "", problem)
            return True
        previous = core.targets.get(target.symbol, ZERO)
        if target.quantity != previous or target.symbol not in core.targets:
            _signal(core, step, target, previous)
            news = True
    return news


def _nonsense(core: Core, target: object) -> str:
    if not isinstance(target, Target):
        return f"answered {target!r} instead of a Target"
    texts: tuple[object, ...] = (target.symbol, target.reason)
    if not all(isinstance(text, str) for text in texts):
        return f"answered {target!r}; a Target's symbol and reason are text"
    if target.symbol not in core.instruments:
        return f"wants {target.symbol!r}, which is not configured"
    quantity = target.quantity
    if not _is_whole(quantity):
        return f"wants {quantity!r} of {target.symbol}; a quantity must be a whole Decimal, at most {TARGET_MAX}"
    return ""


def _is_whole(quantity: object) -> bool:
    if not isinstance(quantity, Decimal) or not quantity.is_finite() or abs(quantity) > TARGET_MAX:
        return False
    return quantity == quantity.to_integral_value()


def _signal(core: Core, step: Step, target: Target, previous: Decimal) -> None:
    quote = core.market_data.quotes.get(target.symbol)
    step.emit(
        SignalChanged(
            at=quote.at if quote else core.now(),
            strategy=core.strategy.name,
            symbol=target.symbol,
            previous=previous,
            target=target.quantity,
            price=quote.mid if quote else 0.0,
            reason=target.reason,
        )
    )
    core.retry_at.pop(target.symbol, None)
    core.retry_s.pop(target.symbol, None)
    core.unmet.add(target.symbol)


def suspend_strategy(core: Core, step: Step, symbol: str, error: str) -> None:
    """Stop asking the strategy and allow only exits, until an operator resumes."""
    now = core.now()
    core.strategy_suspended = error
    step.emit(StrategyFailed(at=now, strategy=core.strategy.name, symbol=symbol, error=error))
    step.emit(_decision(core, symbol, DecisionOutcome.ERROR))
    if core.may_tighten:
        reason = f"strategy {core.strategy.name} failed: {error}"
        step.emit(
            TradingStateChanged(
                at=now, old=core.trading_state, new=TradingState.REDUCE_ONLY, source=STRATEGY, reason=reason
            )
        )


def suspend_what_hung(core: Core, step: Step, reason: StartReason) -> None:
    """At a start: what was suspended stays so, and what the watchdog had to end twice in a day is.

    A strategy that does not return is ended with the process, and would be asked again by the next one, for ever.
    """
    if core.trading_state is TradingState.REDUCE_ONLY and core.state_source == STRATEGY:
        core.strategy_suspended = core.state_reason
    ended = core.starts_today.get(StartReason.WATCHDOG, 0)
    if reason is StartReason.WATCHDOG and ended >= WATCHDOG_ENDS_MAX and not core.strategy_suspended:
        suspend_strategy(core, step, "", f"the watchdog ended the service {ended} times today; did a decision return?")


def _decision(core: Core, symbol: str, outcome: DecisionOutcome, order_ref: str = "") -> DecisionMade:
    now = core.now()
    return DecisionMade(
        at=now,
        strategy=core.strategy.name,
        symbol=symbol,
        outcome=outcome,
        duration_s=_since_tick_s(core),
        data_age_s=max(core.market_data.age_s(symbol, now) or 0.0, 0.0),
        order_ref=order_ref,
    )


# -- towards the target


def pursue_all(core: Core, step: Step) -> None:
    for symbol in sorted(core.unmet):
        pursue(core, step, symbol)


def pursue(core: Core, step: Step, symbol: str) -> None:
    """Take the next step from what is held towards what is wanted in ``symbol``."""
    instrument = core.instruments.get(symbol)
    wanted = _wanted(core, instrument) if instrument else None
    if (
        wanted is None
        or core.trading_state in STATES_WITHOUT_ORDERS
        or (core.stopping and not core.settings.stop.flatten)
    ):
        core.unmet.discard(symbol)
        return
    working = core.orders.open_for(symbol)
    position = core.ledger.position(symbol)
    if not working and position == wanted.target:
        core.unmet.discard(symbol)
        return
    quote = core.market_data.quotes.get(symbol)
    limits = core.settings.risk
    if not working and (_must_wait(core, symbol) or session_of(core, core.now()) is None):
        return
    match plan(wanted, position, working, quote, core.settings.execution, limits.max_order_quantity):
        case Cancel() as superseded:
            _cancel_superseded(core, step, superseded)
        case Intent() as intent:
            submit(core, step, intent)
        case None:
            pass


def _must_wait(core: Core, symbol: str) -> bool:
    retry_at = core.retry_at.get(symbol)
    if retry_at is None:
        return False
    # A pause that is longer than any is what a clock that was stepped back makes of one.
    longest_s = max(RETRY_PAUSE_MAX_S, core.settings.execution.retry_after_s)
    return 0.0 < (retry_at - core.now()).total_seconds() <= longest_s


def _wanted(core: Core, instrument: Instrument) -> Wanted | None:
    symbol = instrument.symbol
    target = core.targets.get(symbol)
    if target is None:
        return None
    reason = "target"
    if core.stopping:
        target, reason = ZERO, core.stopping
    elif in_flatten_window(core):
        target, reason = ZERO, "flat before the close"
    return Wanted(
        instrument=instrument, target=target, strategy=core.strategy.name, reason=reason, decided_ns=core.decided_ns
    )


def _cancel_superseded(core: Core, step: Step, superseded: Cancel) -> None:
    order = core.orders.get(superseded.order_ref)
    if order is not None and core.link.usable:
        cancel(core, step, order, superseded.reason)


def submit(core: Core, step: Step, intent: Intent) -> None:
    """Ask risk; place what it approves, tell what it refuses."""
    terms = intent.terms
    asked_ns = core.clock.monotonic_ns()
    verdict = risk.check(intent, risk_context(core, terms))
    if isinstance(verdict, Approved):
        outcome = DecisionOutcome.EXIT if verdict.reduces else DecisionOutcome.ENTER
        risk_ns = (asked_ns, core.clock.monotonic_ns())
        step.emit(_decision(core, terms.symbol, outcome, _order_ref(core, core.order_count + 1)))
        place(core, step, verdict, core.instruments[terms.symbol], risk_ns)
        return
    now = core.now()
    step.emit(
        IntentRefused(
            at=now,
            strategy=intent.strategy,
            symbol=terms.symbol,
            side=terms.side,
            quantity=terms.quantity,
            rule=verdict.rule,
            detail=verdict.detail,
        )
    )
    if verdict.rule is RiskRule.DUPLICATE:
        step.emit(DuplicateOrderBlocked(at=now, symbol=terms.symbol, order_ref="", detail=verdict.detail))
    step.emit(_decision(core, terms.symbol, OUTCOME_OF_RULE.get(verdict.rule, DecisionOutcome.BLOCKED)))
    delay_next_order(core, terms.symbol)


def _order_ref(core: Core, number: int, *, closing: bool = False) -> str:
    return f"{CLOSING_REFERENCES if closing else 'ibt-'}{core.run_id}-{number}"


def place(core: Core, step: Step, approved: Approved, instrument: Instrument, risk_ns: tuple[int, ...] = ()) -> str:
    """Write the intent ahead and hand the order over; returns its reference."""
    core.order_count += 1
    order_ref = _order_ref(core, core.order_count, closing=approved.intent.strategy == PANIC)
    order_id = core.orders.next_order_id
    now = core.now()
    step.emit(OrderIntended(at=now, order_ref=order_ref, order_id=order_id, approved=approved, risk_ns=risk_ns))
    step.send(PlaceOrder(approved=approved, instrument=instrument, order_ref=order_ref, order_id=order_id))
    return order_ref


def risk_context(core: Core, terms: OrderTerms) -> risk.RiskContext:
    """What the rules look at. What only limits orders that open a position is not worked out for one that reduces."""
    now, symbol = core.now(), terms.symbol
    instrument = core.instruments.get(symbol)
    position = core.ledger.position(symbol)
    opens = not risk.reduces(terms.side, terms.quantity, position)
    return risk.RiskContext(
        now=now,
        limits=core.settings.risk,
        state=core.trading_state,
        problems=core.problems,
        session_open=session_of(core, now) is not None,
        entries_allowed=not core.stopping and not closes_within(core, core.settings.session.no_entries_before_close_s),
        instrument=instrument,
        position=position,
        open_orders=core.orders.open(),
        orders_last_minute=orders_last_minute(core),
        quote=core.market_data.quotes.get(symbol),
        quote_stale=core.market_data.is_stale(symbol, now),
        rate=core.rate(instrument.currency) if instrument else None,
        gross_exposure=core.gross_exposure() if opens else None,
        session_net_pnl=core.session_net() if opens else None,
    )


def orders_last_minute(core: Core) -> int:
    """How many orders were intended within a minute; forgets those before."""
    recent, minute_ago_ns = core.recent_orders_ns, core.clock.monotonic_ns() - 60 * NANOSECONDS_PER_SECOND
    while recent and recent[0] <= minute_ago_ns:
        recent.popleft()
    return len(recent)
