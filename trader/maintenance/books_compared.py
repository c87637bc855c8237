"""The comparisons of the books, each a pure judgement over what was found.

Rules: a difference in positions has failed; what is late, unknown or unexplained is a warning; what could not be
compared is unknown, never fine. Where two sides do not count the same, nothing is compared and that is named.
"""

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Final, NamedTuple

from trader.contracts import ZERO, SecurityType
from trader.events import MismatchKind, OrderState
from trader.maintenance.books_found import BROKER_ZONE, Found
from trader.maintenance.measures import counted
from trader.maintenance.model import Outcome
from trader.settings import Settings

STATUS: Final = "trader status"
NOT_COMPARED: Final = "they were not compared with the broker's since the period began"
# Interest, fees and dividends move an account without a trade: 4 % a year is 0.02 % a day.
EQUITY_TOLERANCE_RATIO: Final = 0.0005
TOLERANCE: Final = Decimal(1)
"""In the base currency: what rounding adds up to."""
VALUE_TOLERANCE_RATIO: Final = Decimal("0.005")
"""The broker marks positions by the last trade, we by the quote."""


class Verdict(NamedTuple):
    """One comparison: what was compared, how it ended, what was seen, and what to type next."""

    title: str
    outcome: Outcome
    seen: str
    mend: str = ""


def compare(found: Found, settings: Settings) -> Iterator[Verdict]:
    """Every comparison that can be made."""
    yield _positions(found)
    yield _executions(found)
    yield _commissions(found)
    yield _orders(found)
    if found.snapshot is not None:
        yield _service(found)
        yield from _value(found, settings)
        yield from _realized(found)
    if found.growth is not None:
        yield _growth(found)


def _positions(found: Found) -> Verdict:
    """By the last comparison with the broker, which the service made."""
    title, last = "positions", found.last
    if last is None:
        return Verdict(
            title, Outcome.UNKNOWN, "they were not compared with the broker's since the period began", STATUS
        )
    if last.clean:
        return Verdict(title, Outcome.OK, f"agreed at {_moment(last.at)}")
    if last.unanswered:
        seen = f"the broker did not answer about {', '.join(last.unanswered)} at {_moment(last.at)}"
        return Verdict(title, Outcome.WARNING, seen, STATUS)
    number = last.mismatches.get(MismatchKind.POSITION, 0)
    seen = f"{counted(number, 'difference')} at {_moment(last.at)}"
    if not number:
        return Verdict(title, Outcome.WARNING, f"not agreed at {_moment(last.at)}", STATUS)
    return Verdict(title, Outcome.FAILED, seen, "trader journal list --kind MismatchFound")


def _executions(found: Found) -> Verdict:
    """Whether all of the day's executions were asked for while the broker still tells them."""
    title, deadline, compared_at = "executions of the day", found.deadline, found.compared_at
    if deadline is None:
        return Verdict(title, Outcome.UNKNOWN, "no session is known to have closed in the period")
    if compared_at is not None:
        return Verdict(title, Outcome.OK, f"complete: compared at {_moment(compared_at)}")
    if found.now < deadline:
        seen = f"not compared since the close; the broker tells them until {_moment(deadline)}"
        return Verdict(title, Outcome.WARNING, seen, STATUS)
    seen = f"not compared between the close and midnight ({_moment(deadline)}); the broker tells them no more"
    outcome = Outcome.FAILED if found.traded else Outcome.WARNING
    return Verdict(title, outcome, seen, "trader journal list --kind FillBooked")


def _commissions(found: Found) -> Verdict:
    missing = found.trading.commissions_missing
    if missing:
        seen = f"not reported for {counted(missing, 'fill')} of {found.trading.fills:,}"
        return Verdict("commissions", Outcome.WARNING, seen, STATUS)
    return Verdict("commissions", Outcome.OK, f"reported for all of {counted(found.trading.fills, 'fill')}")


def _orders(found: Found) -> Verdict:
    """Orders whose fate is not known, and orders that others placed."""
    unknown = [order for order in found.trading.books.orders.open() if order.state is OrderState.UNKNOWN]
    others = found.last.mismatches.get(MismatchKind.ORDER, 0) if found.last else 0
    seen = []
    if unknown:
        seen.append(f"{counted(len(unknown), 'order')} in an unknown state")
    if others:
        seen.append(f"{counted(others, 'order')} at the broker that are not ours")
    if found.adopted:
        seen.append(f"{counted(len(found.adopted), 'order')} with our reference found that the books did not have")
    if seen:
        return Verdict("orders", Outcome.WARNING, "; ".join(seen), "trader orders")
    return Verdict("orders", Outcome.OK, "none is unknown")


def _service(found: Found) -> Verdict:
    """The journal's books and the running service's are the same books."""
    assert found.snapshot is not None
    ours = found.trading.books.ledger.positions()
    theirs = {item.symbol: item.quantity for item in found.snapshot.positions if item.quantity}
    differing = sorted(symbol for symbol in ours.keys() | theirs.keys() if ours.get(symbol) != theirs.get(symbol))
    if differing:
        seen = f"the service holds something else than its journal in {', '.join(differing[:5])}"
        return Verdict("running service", Outcome.FAILED, seen, "trader journal list --kind FillBooked")
    return Verdict("running service", Outcome.OK, f"holds what its journal says, {counted(len(ours), 'position')}")


def _value(found: Found, settings: Settings) -> Iterator[Verdict]:
    """What the positions are worth, where all are stocks in the base currency with a price."""
    assert found.snapshot is not None
    account = found.snapshot.broker_account
    if account is None or account.gross_position_value is None:
        found.missing.append("the value of the positions: the broker has not said it")
        return
    stocks = {item.symbol for item in settings.instruments if item.security_type is SecurityType.STOCK}
    ours = ZERO
    for item in found.snapshot.positions:
        if item.symbol not in stocks or item.currency != settings.base_currency or item.market_value is None:
            found.missing.append(f"the value of the positions: ours of {item.symbol} cannot be compared")
            return
        ours += abs(item.market_value)
    theirs = account.gross_position_value
    apart = abs(ours - theirs)
    far = apart > TOLERANCE + VALUE_TOLERANCE_RATIO * max(ours, theirs)
    seen = f"ours {ours:,.2f}, the broker's {theirs:,.2f} {settings.base_currency}"
    yield Verdict("value of positions", Outcome.WARNING if far else Outcome.OK, seen, STATUS if far else "")


def _realized(found: Found) -> Iterator[Verdict]:
    """The day's realized P&L after commissions, where both count the same: nothing held, on the broker's same day."""
    assert found.snapshot is not None
    account, own = found.snapshot.broker_account, found.trading.in_base()
    theirs = account.realized if account else None
    flat = all(item.flat for item in found.trading.by_currency())
    if theirs is None or own.net is None or not flat or found.closed_at is None or not _same_day(found):
        return
    apart = abs(own.net - theirs)
    seen = f"ours {own.net:+,.2f}, the broker's {theirs:+,.2f} {found.trading.books.base_currency}"
    outcome = Outcome.WARNING if apart > TOLERANCE else Outcome.OK
    yield Verdict("realized P&L of the day", outcome, seen, STATUS if outcome is not Outcome.OK else "")


def _same_day(found: Found) -> bool:
    assert found.snapshot is not None
    assert found.closed_at is not None
    return found.snapshot.at.astimezone(BROKER_ZONE).date() == found.closed_at.astimezone(BROKER_ZONE).date()


def _growth(found: Found) -> Verdict:
    assert found.growth is not None
    growth, currency = found.growth, found.trading.books.base_currency
    far = abs(growth.unexplained) > max(float(TOLERANCE), EQUITY_TOLERANCE_RATIO * abs(growth.equity_before))
    account = growth.equity_after - growth.equity_before
    seen = f"the account {account:+,.2f}, our books {growth.ours:+,.2f} {currency}"
    if far:
        seen += f": {growth.unexplained:+,.2f} is not explained by trades that are ours"
    return Verdict("growth of the account", Outcome.WARNING if far else Outcome.OK, seen, STATUS if far else "")


def _moment(at: datetime) -> str:
    return f"{at:%Y-%m-%d %H:%M:%S} UTC"
