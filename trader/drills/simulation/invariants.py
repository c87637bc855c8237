"""What must hold in every world, whatever breaks: a table of named invariants.

Rules: each says what is wrong, or "". They look at what the exchange did and at what the journal has; of the engine
they read only what it claims. ``When`` is the moment at which one is looked at.
"""

from collections.abc import Callable, Iterator
from decimal import Decimal
from enum import StrEnum
from typing import Any, Final, NamedTuple

from trader.contracts import ZERO, OrderType, Side, TradingState
from trader.drills.simulation.states import difference, durable_state
from trader.drills.simulation.witness import Witness
from trader.engine.core import Core
from trader.events import CancelAllOrders, CancelOrder, FillBooked, OrderIntended, OrderStateChanged, PlaceOrder
from trader.ledger import base_exec_id
from trader.orders import FINAL_STATES, TRANSITIONS
from trader.simulator.model import ExecutionReported, OrderReported, OrderRequest

OURS: Final = "ibt-"
PANIC: Final = "panic"
# A market order is valued by the last quote, and its price moves while it is on its way.
PRICE_MOVES: Final = Decimal("1.02")
# How long a position may differ while the service says that it agrees: late reports, and a question a second later.
DIFFERS_MAX_S: Final = 20.0


class When(StrEnum):
    """The moments: before a row is folded, after it is, before a command leaves, after the exchange did something …"""

    ROW = "a fact is to be written"
    COMMAND = "a command is to leave"
    EXCHANGE = "the exchange did something"
    EVENT = "an event was carried through"
    SOMETIMES = "now and then"
    END = "all is quiet again"


class Invariant(NamedTuple):
    name: str
    when: When
    check: Callable[[Witness, Core, Any], str]


# -- before a fact is folded


def _transition(witness: Witness, core: Core, fact: Any) -> str:
    if not isinstance(fact, OrderStateChanged):
        return ""
    order = witness.memory.orders.get(fact.order_ref)
    if order is None:
        return f"{fact.order_ref} changes to {fact.new}, and was never intended"
    if order.state is not fact.old:
        return f"{fact.order_ref} changes from {fact.old}, but the journal says {order.state}"
    listed = TRANSITIONS[fact.old].get(fact.trigger)
    return (
        ""
        if listed is fact.new
        else f"{fact.order_ref}: {fact.old} and {fact.trigger} lead to {listed}, not {fact.new}"
    )


def _booked_once(witness: Witness, core: Core, fact: Any) -> str:
    if not isinstance(fact, FillBooked):
        return ""
    before = witness.booked.get(base_exec_id(fact.line.exec_id))
    if before is None:
        return "" if fact.corrects is None else f"{fact.line.exec_id} corrects {fact.corrects}, which was never booked"
    if fact.line.exec_id == before.exec_id:
        return f"{fact.line.exec_id} is booked twice"
    if fact.corrects != before.exec_id or fact.replaced_quantity != before.quantity:
        return f"{fact.line.exec_id} is booked beside {before.exec_id} instead of replacing it"
    return ""


def _intended_once(witness: Witness, core: Core, fact: Any) -> str:
    if isinstance(fact, OrderIntended) and fact.order_ref in witness.intents:
        return f"the reference {fact.order_ref} is intended twice"
    return ""


# -- before a command leaves


def _intent_first(witness: Witness, core: Core, command: Any) -> str:
    if not isinstance(command, PlaceOrder):
        return ""
    intent = witness.intents.get(command.order_ref)
    if intent is None:
        return f"{command.order_ref} leaves before its intent is in the journal"
    if intent.approved != command.approved or intent.order_id != command.order_id:
        return f"{command.order_ref} leaves with other terms than the journal has"
    return ""


def _cancel_first(witness: Witness, core: Core, command: Any) -> str:
    match command:
        case CancelOrder(order_ref=ref):
            known = ref in witness.cancels or ref in witness.ghosts
            return "" if known else f"a cancel of {ref} leaves, and the journal does not have that it was intended"
        case CancelAllOrders():
            panicking = witness.trading_state is TradingState.PANIC
            return "" if panicking else f"everything is cancelled, and trading is {witness.trading_state}"
        case _:
            return ""


def _sent_once(witness: Witness, core: Core, command: Any) -> str:
    if isinstance(command, PlaceOrder) and command.order_ref in witness.commanded:
        return f"{command.order_ref} is sent a second time"
    return ""


def _id_once(witness: Witness, core: Core, command: Any) -> str:
    if not isinstance(command, PlaceOrder):
        return ""
    number = command.order_id
    earlier = witness.used_ids.get(number) or witness.ids_at_exchange.get(number)
    return f"order id {number} of {command.order_ref} was that of {earlier}" if earlier else ""


def _state_allows(witness: Witness, core: Core, command: Any) -> str:
    if not isinstance(command, PlaceOrder):
        return ""
    state, closes = witness.trading_state, command.approved.intent.strategy == PANIC
    if state is TradingState.HALTED or (state is TradingState.PANIC and not closes):
        return f"{command.order_ref} leaves while trading is {state}"
    if state is TradingState.REDUCE_ONLY and not command.approved.reduces:
        return f"{command.order_ref} opens a position while trading is {state}"
    return ""


def _cancelled_first(witness: Witness, core: Core, command: Any) -> str:
    if not isinstance(command, PlaceOrder) or command.approved.intent.strategy != PANIC or witness.cancelled_all:
        return ""
    return f"{command.order_ref} closes a position, and this process has not cancelled everything"


def _agreed(witness: Witness, core: Core, command: Any) -> str:
    if not isinstance(command, PlaceOrder):
        return ""
    closes = command.approved.intent.strategy == PANIC
    if not (witness.agreement.enough_to_close if closes else witness.agreement.complete):
        return f"{command.order_ref} leaves, and the broker has not said everything since the link was restored"
    return ""


def _no_overshoot(witness: Witness, core: Core, command: Any) -> str:
    """By what is true at the exchange, an order leads towards what is wanted and not beyond."""
    if not isinstance(command, PlaceOrder):
        return ""
    terms = command.approved.intent.terms
    if _is_disturbed(witness, terms.symbol):
        return ""
    held, living = witness.position(terms.symbol), witness.living_signed(terms.symbol)
    wanted = ZERO if command.approved.reduces else witness.targets.get(terms.symbol, ZERO)
    after = held + living + terms.quantity * terms.side.sign
    if min(held, wanted) <= after <= max(held, wanted):
        return ""
    return (
        f"{command.order_ref}: {terms.side} {terms.quantity} {terms.symbol}, where {held} are held, {living} are "
        f"working and {wanted} are wanted"
    )


def _limits(witness: Witness, core: Core, command: Any) -> str:
    """By what is true at the exchange, an order keeps the limits."""
    if not isinstance(command, PlaceOrder) or command.approved.intent.strategy == PANIC:
        return ""
    terms, limits = command.approved.intent.terms, core.settings.risk
    if terms.quantity > limits.max_order_quantity:
        return f"{command.order_ref}: {terms.quantity} is more than {limits.max_order_quantity} an order"
    if command.approved.reduces or _is_disturbed(witness, terms.symbol):
        return ""
    if witness.sent_last_minute() >= limits.max_orders_per_minute:
        return f"{command.order_ref} is order {witness.sent_last_minute() + 1} in a minute"
    living = [request for request, _ in witness.living() if request.order_ref not in witness.ghosts]
    if len(living) >= limits.max_open_orders:
        return f"{command.order_ref} leaves while {len(living)} orders are open"
    price = _price(witness, command)
    if terms.quantity * price > limits.max_order_notional * PRICE_MOVES:
        return f"{command.order_ref}: {terms.quantity} at {price} is more than {limits.max_order_notional}"
    after = witness.position(terms.symbol) + witness.living_signed(terms.symbol) + terms.quantity * terms.side.sign
    if abs(after) * price > limits.max_position_notional * PRICE_MOVES:
        return f"{command.order_ref} leads to {after} at {price}, more than {limits.max_position_notional}"
    return ""


def _price(witness: Witness, command: PlaceOrder) -> Decimal:
    """The price that one unit costs at most, with its multiplier, in the base currency as the exchange has it."""
    terms, instrument = command.approved.intent.terms, command.instrument
    quote = witness.exchange.quote(instrument.con_id)
    touch = None if quote is None else (quote.ask if terms.side is Side.BUY else quote.bid)
    price = terms.limit_price if terms.order_type is OrderType.LIMIT else touch
    rate = witness.exchange.options.rates.get(instrument.currency, ZERO)
    return (price or ZERO) * instrument.multiplier * rate


# -- after the exchange did something


def _one_order(witness: Witness, core: Core, report: Any) -> str:
    if not isinstance(report, OrderReported):
        return ""
    ref = report.order.request.order_ref
    if not witness.is_ours(report.order.request) or ref in witness.ghosts:
        return ""
    known = witness.perm_ids[ref]
    return f"{ref} is {len(known)} orders at the exchange" if len(known) > 1 else ""


def _in_journal(witness: Witness, core: Core, report: Any) -> str:
    request = _request_of(report)
    if request is None or not witness.is_ours(request) or request.order_ref in witness.intents:
        return ""
    return f"the exchange has {request.order_ref}, and the journal does not"


def _not_overfilled(witness: Witness, core: Core, report: Any) -> str:
    if not isinstance(report, ExecutionReported):
        return ""
    request = report.execution.order.request
    ref = request.order_ref
    if not witness.is_ours(request) or ref in witness.ghosts or ref not in witness.intents:
        return ""
    asked = witness.intents[ref].approved.intent.terms.quantity
    filled = witness.filled[ref]
    return f"{filled} of {asked} of {ref} are filled" if filled > asked else ""


def _request_of(report: Any) -> OrderRequest | None:
    match report:
        case OrderReported(order):
            return order.request
        case ExecutionReported(execution):
            return execution.order.request
        case _:
            return None


# -- after every event


def _ledger(witness: Witness, core: Core, subject: Any) -> str:
    for symbol in witness.instruments:
        counted, held = witness.booked_position(symbol), core.ledger.position(symbol)
        if counted != held:
            return f"the books hold {held} {symbol}, the fills come to {counted}"
    return ""


def _position_agrees(witness: Witness, core: Core, subject: Any) -> str:
    """Where the service says that it agrees, and has nothing under way, it holds what the exchange says."""
    now_s = witness.scheduler.elapsed_s
    for symbol in witness.instruments:
        same = core.ledger.position(symbol) == witness.position(symbol)
        if same or not core.link.reconciled or core.orders.open_for(symbol):
            witness.differs_since.pop(symbol, None)
            continue
        since_s = witness.differs_since.setdefault(symbol, now_s)
        if now_s - since_s > DIFFERS_MAX_S:
            return (
                f"for {now_s - since_s:.0f} s the service agrees to hold {core.ledger.position(symbol)} {symbol}, and "
                f"the exchange has {witness.position(symbol)}"
            )
    return ""


# -- now and then


def _journal_is_memory(witness: Witness, core: Core, subject: Any) -> str:
    return difference(durable_state(core), durable_state(witness.memory))


def _commissions(witness: Witness, core: Core, subject: Any) -> str:
    """The costs are the last word on each execution, each once."""
    for currency in core.ledger.currencies():
        lines = (line for line in witness.commissions.values() if line.currency == currency)
        counted = sum((line.amount for line in lines), ZERO)
        booked = core.ledger.pnl(currency, {}, session=False).commission
        if counted != booked:
            return f"the books paid {booked} {currency}, the commissions come to {counted}"
    return ""


# -- at the end


def _fates_known(witness: Witness, core: Core, subject: Any) -> str:
    for ref in witness.intents:
        order = witness.memory.orders.get(ref)
        if order is not None and order.state not in FINAL_STATES:
            return f"{ref} is still {order.state}"
    return ""


def _nothing_alive(witness: Witness, core: Core, subject: Any) -> str:
    for request, left in witness.living():
        return f"{request.order_ref} (order id {request.order_id}) still lives at the exchange, {left} open"
    return ""


def _positions_equal(witness: Witness, core: Core, subject: Any) -> str:
    theirs = {witness.symbol_of_contract(item.contract.con_id): item.quantity for item in witness.exchange.positions()}
    for symbol in sorted(theirs.keys() | core.ledger.positions().keys()):
        ours = core.ledger.position(symbol)
        if ours != theirs.get(symbol, ZERO):
            return f"the books hold {ours} {symbol}, the exchange {theirs.get(symbol, ZERO)}"
    return ""


def _nothing_lost(witness: Witness, core: Core, subject: Any) -> str:
    if witness.took_positions:
        return ""  # positions were adopted, and with them what made them
    for key, execution in witness.executions.items():
        line = witness.booked.get(key)
        if line is None:
            return f"execution {execution.exec_id} of {execution.order.request.order_ref} is not in the journal"
        if (line.exec_id, line.quantity, line.price) != (execution.exec_id, execution.quantity, execution.price):
            return f"execution {execution.exec_id} is in the journal as {line.exec_id}, {line.quantity} at {line.price}"
    extra = witness.booked.keys() - witness.executions.keys()
    return f"executions {', '.join(sorted(extra))} are in the journal and never happened" if extra else ""


def _fills_equal(witness: Witness, core: Core, subject: Any) -> str:
    if witness.took_positions:
        return ""
    for order in core.orders:
        filled = witness.filled.get(order.order_ref, ZERO)
        if order.approved is not None and order.filled != filled:
            return f"{order.order_ref} is filled {order.filled} here, {filled} at the exchange"
    return ""


def _ready(witness: Witness, core: Core, subject: Any) -> str:
    return f"not ready: {'; '.join(core.problems)}" if core.problems else ""


def _panic_is_flat(witness: Witness, core: Core, subject: Any) -> str:
    if witness.trading_state is not TradingState.PANIC:
        return ""
    positions = {
        witness.symbol_of_contract(item.contract.con_id): item.quantity for item in witness.exchange.positions()
    }
    positions.pop(witness.scenario.disturbed_symbol, None)  # somebody may have traded after it was flat
    held = [f"{quantity} {symbol}" for symbol, quantity in positions.items() if quantity]
    if held:
        return f"after a panic the exchange holds {', '.join(held)}"
    return "" if core.panic_completed else "the panic did not complete"


def _is_disturbed(witness: Witness, symbol: str) -> bool:
    """Whether somebody else trades in ``symbol``, so that no order of ours can be right at every moment."""
    return symbol == witness.scenario.disturbed_symbol or symbol in witness.ghost_symbols


INVARIANTS: Final = (
    Invariant("every transition of an order is listed", When.ROW, _transition),
    Invariant("an execution is booked once, and a correction replaces it", When.ROW, _booked_once),
    Invariant("a reference is used once", When.ROW, _intended_once),
    Invariant("an intent is durable before its order leaves", When.COMMAND, _intent_first),
    Invariant("a cancel is durable before it leaves", When.COMMAND, _cancel_first),
    Invariant("an order is sent once", When.COMMAND, _sent_once),
    Invariant("an order id is used once", When.COMMAND, _id_once),
    Invariant("the trading state allows what is sent", When.COMMAND, _state_allows),
    Invariant("a panic cancels everything, then closes", When.COMMAND, _cancelled_first),
    Invariant("nothing is sent before the broker was asked", When.COMMAND, _agreed),
    Invariant("an order leads to what is wanted, not beyond", When.COMMAND, _no_overshoot),
    Invariant("the limits hold at the exchange", When.COMMAND, _limits),
    Invariant("an intent is one order at the exchange", When.EXCHANGE, _one_order),
    Invariant("the exchange has no order that the journal lacks", When.EXCHANGE, _in_journal),
    Invariant("an order fills no more than was asked", When.EXCHANGE, _not_overfilled),
    Invariant("the ledger is the sum of the fills", When.EVENT, _ledger),
    Invariant("the position is the exchange's when reconciled", When.EVENT, _position_agrees),
    Invariant("the journal gives the state in memory", When.SOMETIMES, _journal_is_memory),
    Invariant("the costs are the last word on each execution", When.SOMETIMES, _commissions),
    Invariant("the service is ready again", When.END, _ready),
    Invariant("every intent has a known end", When.END, _fates_known),
    Invariant("nothing of ours lives on", When.END, _nothing_alive),
    Invariant("positions are equal", When.END, _positions_equal),
    Invariant("every execution is in the journal once", When.END, _nothing_lost),
    Invariant("each order's fills are equal", When.END, _fills_equal),
    Invariant("a panic ends flat", When.END, _panic_is_flat),
)
_BY_MOMENT: Final = {when: tuple(item for item in INVARIANTS if item.when is when) for when in When}


def broken(when: When, witness: Witness, core: Core, subject: Any = None) -> Iterator[tuple[str, str]]:
    """The invariants that do not hold at this moment, by name, each with what is wrong."""
    for item in _BY_MOMENT[when]:
        problem = item.check(witness, core, subject)
        if problem:
            yield item.name, problem
