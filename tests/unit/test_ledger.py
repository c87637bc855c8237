"""The books: positions, profit and loss, corrections, commissions, currencies, and that they conserve."""

import random
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import count
from typing import Any

import pytest

from trader.contracts import ZERO, Instrument, Side
from trader.events import (
    CommissionBooked,
    CommissionLine,
    ExecutionIgnored,
    ExecutionLine,
    FillBooked,
    PositionAdopted,
    PositionLine,
    SessionOpened,
)
from trader.ledger import Holding, Ledger, Pnl, base_exec_id, revision

NOW = datetime(2013, 10, 7, 15, 0, tzinfo=UTC)
DAYS = count(1)
AAPL = Instrument(symbol="AAPL")
SAP = Instrument(symbol="SAP", currency="EUR")
FUTURE = Instrument(symbol="ESZ3", multiplier=Decimal(50))
D = Decimal


def execution(exec_id: str, signed: int, price: str, instrument: Instrument = AAPL) -> ExecutionLine:
    return ExecutionLine(
        exec_id=exec_id,
        order_id=1,
        perm_id=1,
        client_id=1,
        order_ref="a",
        instrument=instrument,
        side=Side.BUY if signed >= 0 else Side.SELL,
        quantity=D(abs(signed)),
        price=D(price),
        executed_at=NOW,
    )


def fill(ledger: Ledger, exec_id: str, signed: int, price: str, instrument: Instrument = AAPL) -> None:
    line = execution(exec_id, signed, price, instrument)
    old = ledger.superseded(line)
    ledger.apply(
        FillBooked(
            at=NOW,
            order_ref="a",
            line=line,
            corrects=old.exec_id if old else None,
            replaced_quantity=old.quantity if old else D(0),
            slippage_ratio=None,
            fill_duration_s=None,
        )
    )
    ledger.check()


def pay(ledger: Ledger, exec_id: str, amount: str, currency: str = "USD") -> None:
    ledger.apply(CommissionBooked(at=NOW, line=CommissionLine(exec_id=exec_id, amount=D(amount), currency=currency)))


def roll(ledger: Ledger, unrealized: Decimal | None = ZERO, opened_at: datetime | None = None) -> None:
    """A session opens: a day after the one before, or at a given moment."""
    at = opened_at or NOW + timedelta(days=next(DAYS))
    ledger.apply(SessionOpened(at=at, calendar="X", session="s", opened_at=at, closes_at=at, unrealized=unrealized))


def adopt(ledger: Ledger, quantity: int, cost: str, instrument: Instrument = AAPL) -> None:
    line = PositionLine(instrument=instrument, quantity=D(quantity), average_cost=D(cost))
    ledger.apply(PositionAdopted(at=NOW, line=line))


def total(ledger: Ledger, mark: str = "0", session: bool = False) -> Pnl:
    pnl = ledger.pnl_base({"AAPL": D(mark)}, {}, session=session)
    assert pnl is not None
    return pnl


TRADES: dict[str, tuple[list[tuple[int, str]], tuple[str, str, str]]] = {
    # trades, then: quantity, average cost, realized
    "opens": ([(100, "10")], ("100", "10", "0")),
    "adds": ([(100, "10"), (100, "12")], ("200", "11", "0")),
    "reduces": ([(100, "10"), (-40, "12")], ("60", "10", "80")),
    "closes": ([(100, "10"), (-100, "9")], ("0", "0", "-100")),
    "turns": ([(100, "10"), (-150, "12")], ("-50", "12", "200")),
    "covers a short": ([(-100, "10"), (40, "9")], ("-60", "10", "40")),
    "loses on a short": ([(-100, "10"), (100, "11")], ("0", "0", "-100")),
    "turns a short": ([(-100, "10"), (130, "9")], ("30", "9", "100")),
}


@pytest.mark.parametrize("name", TRADES)
def test_a_holding_by_average_cost(name: str) -> None:
    trades, expected = TRADES[name]
    holding = Holding()
    for quantity, price in trades:
        holding.trade(D(quantity), D(price), D(1))
    assert (holding.quantity, holding.average_cost, holding.realized) == tuple(D(text) for text in expected)


def test_a_multiplier_multiplies_what_is_earned() -> None:
    ledger = Ledger("USD")
    fill(ledger, "a.01", 2, "1700", FUTURE)
    fill(ledger, "b.01", -1, "1701", FUTURE)
    pnl = ledger.pnl("USD", {"ESZ3": D("1702")}, session=False)
    assert (pnl.realized, pnl.unrealized) == (50, 100)


def test_an_execution_is_known_by_all_but_its_last_part() -> None:
    assert base_exec_id("0000e0d5.524c.01.02") == "0000e0d5.524c.01"
    assert base_exec_id("plain") == "plain"
    assert [revision(text) for text in ("a.b.02", "a.b.10", "plain", "a.x")] == [2, 10, 0, 0]


def test_booking_an_execution_twice_is_a_broken_invariant() -> None:
    ledger = Ledger("USD")
    fill(ledger, "a.01", 100, "10")
    with pytest.raises(AssertionError, match="booked twice"):
        fill(ledger, "a.01", 100, "10")


def test_a_correction_recomputes_everything_after_it() -> None:
    ledger = Ledger("USD")
    fill(ledger, "a.01", 100, "10")
    fill(ledger, "b.01", -100, "12")
    fill(ledger, "a.02", 100, "11")
    assert (total(ledger).realized, ledger.position("AAPL")) == (100, 0)
    fill(ledger, "a.03", 80, "11")
    assert (total(ledger).realized, ledger.position("AAPL")) == (80, -20)


def test_a_correction_reaches_back_to_the_session_before_and_no_further() -> None:
    ledger = Ledger("USD")
    fill(ledger, "a.01", 100, "10")
    roll(ledger)
    fill(ledger, "b.01", -50, "12")
    fill(ledger, "a.02", 90, "11")
    assert (ledger.position("AAPL"), total(ledger).realized) == (40, 50)
    roll(ledger)
    roll(ledger)
    assert ledger.superseded(execution("a.03", 1, "1")) is None
    ledger.check()
    assert (ledger.position("AAPL"), total(ledger).realized) == (40, 50)


def test_execution_ids_are_remembered_for_two_sessions() -> None:
    ledger = Ledger("USD")
    fill(ledger, "a.01", 100, "10")
    roll(ledger)
    assert ledger.knows("a.01")
    roll(ledger)
    assert not ledger.knows("a.01")


def test_a_session_that_opens_again_by_a_clock_gone_back_forgets_no_execution() -> None:
    ledger = Ledger("USD")
    fill(ledger, "e1.01", 100, "10")
    roll(ledger, opened_at=NOW + timedelta(days=400))
    for again in (399, 400, 399, 400):
        roll(ledger, opened_at=NOW + timedelta(days=again))
    assert ledger.knows("e1.01")
    assert ledger.superseded(execution("e1.02", 100, "11")) is not None


def test_an_ignored_execution_is_known_and_holds_nothing() -> None:
    ledger = Ledger("USD")
    ledger.apply(ExecutionIgnored(at=NOW, line=execution("a.01", 100, "10"), reason=""))
    assert ledger.knows("a.01")
    assert ledger.adopted("a.02")
    assert ledger.position("AAPL") == 0


def test_an_adopted_position_replaces_the_fills_and_keeps_what_was_earned() -> None:
    ledger = Ledger("USD")
    fill(ledger, "a.01", 100, "10")
    fill(ledger, "b.01", -50, "12")
    adopt(ledger, 70, "9")
    assert (ledger.position("AAPL"), total(ledger, "10").realized, total(ledger, "10").unrealized) == (70, 100, 70)
    assert ledger.adopted("a.02"), "the adopted position contains it, corrected or not"
    fill(ledger, "c.01", -70, "10")
    assert ledger.positions() == {}


# -- commissions


def test_a_commission_is_missing_until_it_is_reported() -> None:
    ledger = Ledger("USD")
    fill(ledger, "a.01", 100, "10")
    assert (total(ledger).commissions_missing, ledger.commissions_missing_since()) == (1, NOW)
    pay(ledger, "a.01", "1.00")
    assert (total(ledger).commission, total(ledger).commissions_missing) == (1, 0)
    assert ledger.commissions_missing_since() is None


def test_the_oldest_missing_commission_counts_and_an_adoption_settles_none() -> None:
    ledger = Ledger("USD")
    fill(ledger, "a.01", 100, "10")
    adopt(ledger, 70, "9")
    assert ledger.commissions_missing_since() == NOW
    assert (ledger.awaits_commission("a.02"), ledger.awaits_commission("b.01")) == (True, False)
    pay(ledger, "a.01", "1.00")
    assert (ledger.commissions_missing_since(), ledger.awaits_commission("a.01")) == (None, False)


def test_a_commission_may_come_before_its_execution() -> None:
    ledger = Ledger("USD")
    pay(ledger, "a.01", "1.00")
    fill(ledger, "a.01", 100, "10")
    assert (total(ledger).commission, total(ledger).commissions_missing) == (1, 0)


def test_a_later_report_replaces_an_earlier_one_and_an_outdated_one_says_nothing_new() -> None:
    ledger = Ledger("USD")
    fill(ledger, "a.01", 100, "10")
    pay(ledger, "a.01", "1.00")
    pay(ledger, "a.02", "0.80")
    assert total(ledger).commission == D("0.80")
    assert ledger.commission_known(CommissionLine(exec_id="a.01", amount=D("1.00"), currency="USD"))
    assert not ledger.commission_known(CommissionLine(exec_id="a.02", amount=D("0.90"), currency="USD"))


def test_a_commission_of_the_session_before_is_still_known() -> None:
    ledger = Ledger("USD")
    fill(ledger, "a.01", 100, "10")
    pay(ledger, "a.01", "1.00")
    roll(ledger)
    assert ledger.commission_known(CommissionLine(exec_id="a.01", amount=D("1.00"), currency="USD"))
    pay(ledger, "a.01", "1.20")
    assert total(ledger).commission == D("1.20")
    assert total(ledger, session=True).commission == D("0.20")


# -- sessions and currencies


def test_a_session_counts_from_its_opening() -> None:
    ledger = Ledger("USD")
    fill(ledger, "a.01", 100, "10")
    pay(ledger, "a.01", "1.00")
    fill(ledger, "b.01", -50, "11")
    roll(ledger, unrealized=D(100))
    fill(ledger, "c.01", -50, "9")
    pay(ledger, "c.01", "2.00")
    session = total(ledger, "9", session=True)
    assert (session.realized, session.unrealized, session.commission) == (-50, -100, 2)
    assert total(ledger, "9").realized == 0


def test_a_missing_mark_makes_the_unrealized_part_unknown_and_nothing_else() -> None:
    ledger = Ledger("USD")
    fill(ledger, "a.01", 100, "10")
    fill(ledger, "b.01", -50, "11")
    pnl = ledger.pnl_base({"AAPL": None}, {}, session=True)
    assert pnl == Pnl(realized=D(50), unrealized=None, commission=D(0), commissions_missing=2)


def test_a_position_that_nobody_marks_is_kept_and_not_valued() -> None:
    ledger = Ledger("USD")
    adopt(ledger, 100, "10")
    assert ledger.pnl_base({}, {}, session=False) == Pnl(D(0), D(0), D(0), 0)


def test_another_currency_needs_its_rate_once_there_is_anything_in_it() -> None:
    ledger = Ledger("USD")
    adopt(ledger, 0, "0", SAP)
    assert ledger.pnl_base({"SAP": D(10)}, {}, session=False) is not None
    fill(ledger, "a.01", 10, "50", SAP)
    fill(ledger, "b.01", -10, "52", SAP)
    pay(ledger, "a.01", "3.00", "EUR")
    assert ledger.pnl_base({"SAP": D(52)}, {}, session=False) is None
    pnl = ledger.pnl_base({"SAP": D(52)}, {"EUR": D("1.5")}, session=False)
    assert pnl is not None
    assert (pnl.realized, pnl.commission) == (30, D("4.5"))
    assert ledger.pnl("USD", {}, session=False).realized == 0
    assert ledger.currencies() == ("EUR", "USD")


def test_the_books_notice_when_they_do_not_conserve() -> None:
    ledger = Ledger("USD")
    fill(ledger, "a.01", 100, "10")
    next(iter(ledger.books())).current.quantity += 1
    with pytest.raises(AssertionError, match="AAPL: holds 101, fills say 100"):
        ledger.check()


def test_books_conserve_over_random_days(seed: int) -> None:
    dice = random.Random(seed)
    ledger = Ledger("USD")
    latest: dict[str, tuple[int, str]] = {}
    revisions: dict[str, int] = {}
    for number in range(400):
        signed, price = dice.choice((-1, 1)) * dice.randint(1, 300), f"{dice.uniform(5, 15):.2f}"
        key = dice.choice(list(revisions)) if revisions and dice.random() < 0.2 else f"e{number}"
        side = latest.get(key, (signed, ""))[0]
        latest[key] = (abs(signed) if side > 0 else -abs(signed), price)
        revisions[key] = revisions.get(key, 0) + 1
        fill(ledger, f"{key}.{revisions[key]:02}", *latest[key])
        if dice.random() < 0.01:
            roll(ledger)
            roll(ledger)
            revisions.clear()
    assert ledger.position("AAPL") == sum(quantity for quantity, _ in latest.values())
    cash = -sum(quantity * D(price) for quantity, price in latest.values())
    pnl = total(ledger, "10")
    worth: Any = cash + ledger.position("AAPL") * 10
    assert pnl.unrealized is not None
    assert abs(pnl.realized + pnl.unrealized - worth) < D("1e-15"), "what was earned is what was paid and received"
