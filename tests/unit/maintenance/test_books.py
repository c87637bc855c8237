"""Books against the broker: each comparison with a broker that agrees, that does not, and that says nothing."""

import asyncio
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import msgspec
import pytest

from tests.unit.maintenance.days import (
    CLOSE,
    DAY,
    EVENING,
    SINCE,
    UNTIL,
    DeadMetrics,
    FakeMetrics,
    at_the_broker,
    context,
    figure,
    raw,
    replay,
    replayed,
    rows,
    settings_of,
    table,
    write,
)
from trader.contracts import Side
from trader.control import ControlServer
from trader.control_messages import Response
from trader.events import (
    CommissionBooked,
    DurableFact,
    FillBooked,
    MismatchFound,
    MismatchKind,
    OrderAdopted,
    OrderIntended,
    OrderLine,
    OrderState,
    OrderStateChanged,
    OrderTrigger,
    ReconciliationFinished,
)
from trader.events.vocabulary import BrokerOrderStatus
from trader.maintenance import books
from trader.maintenance.books_found import Found, midnight_after, read
from trader.maintenance.model import Kind, Outcome, Section
from trader.maintenance.period import period_of
from trader.snapshot import AccountView, Snapshot

MIDNIGHT = datetime(2013, 10, 9, 4, 0, tzinfo=UTC)  # in New York, in summer
NEXT_MORNING = datetime(2013, 10, 9, 11, 0, tzinfo=UTC)
Make = Callable[..., Snapshot]


def compared(at: datetime, *, clean: bool = True, unanswered: tuple[str, ...] = (), **kinds: int) -> DurableFact:
    mismatches = {MismatchKind(kind): number for kind, number in kinds.items()}
    return ReconciliationFinished(at=at, clean=clean, unanswered=unanswered, mismatches=mismatches, duration_s=0.2)


def differs(at: datetime, symbol: str, ours: str, theirs: str) -> DurableFact:
    return MismatchFound(at=at, kind=MismatchKind.POSITION, subject=symbol, ours=ours, theirs=theirs)


def verdict(section: Section, title: str) -> tuple[str, str]:
    row = rows(section, "Comparisons")[title]
    return str(row["Verdict"]), str(row["Seen"])


def looked(
    tmp_path: Path,
    *more: DurableFact,
    now: datetime = EVENING,
    without: Callable[[DurableFact], bool] = lambda fact: False,
) -> Section:
    """The section over the two days and ``more``; which comparisons there are since the close, a test says itself."""
    facts = [fact for fact in replayed() if not without(fact) and not is_since_the_close(fact)]
    write(tmp_path, [*facts, *more])
    return books.run(context(tmp_path, now=now))


def is_since_the_close(fact: DurableFact) -> bool:
    return isinstance(fact, ReconciliationFinished) and fact.at >= CLOSE


AFTER_CLOSE = compared(CLOSE + timedelta(minutes=4))


def test_books_that_were_compared_after_the_close_agree(tmp_path: Path) -> None:
    section = looked(tmp_path, AFTER_CLOSE)
    assert section.outcome is Outcome.OK
    assert section.sentence == "our books and the broker's agree"
    assert section.mend == ""
    assert verdict(section, "positions") == ("ok", "agreed at 2013-10-08 20:04:00 UTC")
    assert verdict(section, "executions of the day") == ("ok", "complete: compared at 2013-10-08 20:04:00 UTC")
    assert len(section.missing) == 2
    assert "control.sock" in section.missing[0]
    assert "no Prometheus is configured" in section.missing[1]


def test_money_and_positions_are_those_of_the_raw_rows(tmp_path: Path) -> None:
    section = looked(tmp_path, AFTER_CLOSE)
    path = tmp_path / "journal.db"
    cash = Decimal()
    held: dict[str, Decimal] = defaultdict(Decimal)
    for body in raw(path, "FillBooked", datetime(2013, 1, 1, tzinfo=UTC), EVENING):
        line = body["line"]
        sign = 1 if line["side"] == "BUY" else -1
        held[line["instrument"]["symbol"]] += sign * Decimal(line["quantity"])
        if body["at"] >= SINCE.isoformat():
            cash -= sign * Decimal(line["quantity"]) * Decimal(line["price"])
    paid = sum((Decimal(body["line"]["amount"]) for body in raw(path, "CommissionBooked")), Decimal())
    assert figure(section, "Realized, gross").value == cash
    assert figure(section, "Commissions reported").value == -paid
    assert figure(section, "Fills since the period began").value == len(raw(path, "FillBooked"))
    found = rows(section, "Positions")
    assert {symbol: row["Our books"] for symbol, row in found.items()} == dict(held)
    assert {symbol: row["Broker"] for symbol, row in found.items()} == dict(held)
    every = raw(path, "ReconciliationFinished", SINCE, EVENING)
    assert figure(section, "Comparisons with the broker").value == len(every)
    assert figure(section, "of them clean").value == sum(body["clean"] for body in every)


@pytest.mark.parametrize(
    ("at", "now", "outcome", "words"),
    [
        (None, EVENING, "warning", "not compared since the close; the broker tells them until 2013-10-09 04:00:00 UTC"),
        (CLOSE - timedelta(seconds=1), EVENING, "warning", "not compared since the close"),
        (CLOSE, EVENING, "ok", "complete"),
        (MIDNIGHT - timedelta(seconds=1), NEXT_MORNING, "ok", "complete"),
        (MIDNIGHT, NEXT_MORNING, "failed", "tells them no more"),
        (None, NEXT_MORNING, "failed", "not compared between the close and midnight"),
    ],
)
def test_executions_have_to_be_compared_before_midnight(
    tmp_path: Path, at: datetime | None, now: datetime, outcome: str, words: str
) -> None:
    section = looked(tmp_path, *([compared(at)] if at else []), now=now)
    found, seen = verdict(section, "executions of the day")
    assert found == outcome
    assert words in seen


def test_an_unclean_comparison_does_not_make_executions_complete(tmp_path: Path) -> None:
    at = CLOSE + timedelta(minutes=4)
    section = looked(tmp_path, compared(at, clean=False, unanswered=("executions",)))
    assert verdict(section, "executions of the day")[0] == "warning"
    assert verdict(section, "positions") == (
        "warning", "the broker did not answer about executions at 2013-10-08 20:04:00 UTC",
    )  # fmt: skip
    assert rows(section, "Positions")["SPY"]["Broker"] is None


def test_a_day_without_trades_that_nobody_compared_is_no_failure(tmp_path: Path) -> None:
    write(tmp_path, [fact for fact in replayed() if fact.at < SINCE])
    section = books.run(context(tmp_path, now=NEXT_MORNING))
    assert verdict(section, "executions of the day")[0] == "warning"
    assert verdict(section, "positions")[0] == "unknown"
    assert section.outcome is Outcome.WARNING


def test_trades_of_the_next_day_do_not_make_it_one(tmp_path: Path) -> None:
    """As on the first day of an installation, or when the job is made up for after downtime."""
    facts = [a_day_later(fact) for fact in replayed() if fact.at >= SINCE and not is_since_the_close(fact)]
    write(tmp_path, facts)
    section = books.run(context(tmp_path, now=facts[-1].at + timedelta(hours=1)))
    fills = figure(section, "Fills since the period began").value
    assert isinstance(fills, int)
    assert fills > 0
    assert verdict(section, "executions of the day")[0] == "warning"


def a_day_later(fact: DurableFact) -> DurableFact:
    day = timedelta(days=1)
    if isinstance(fact, FillBooked):
        line = msgspec.structs.replace(fact.line, executed_at=fact.line.executed_at + day)
        fact = msgspec.structs.replace(fact, line=line)
    return msgspec.structs.replace(fact, at=fact.at + day)


@pytest.mark.parametrize(
    ("moment", "midnight"),
    [
        (datetime(2013, 10, 8, 20, 0, tzinfo=UTC), datetime(2013, 10, 9, 4, 0, tzinfo=UTC)),
        (datetime(2013, 12, 3, 21, 0, tzinfo=UTC), datetime(2013, 12, 4, 5, 0, tzinfo=UTC)),
        (datetime(2013, 10, 9, 3, 59, tzinfo=UTC), datetime(2013, 10, 9, 4, 0, tzinfo=UTC)),
        # The clocks go back on 3 November, at two in the morning.
        (datetime(2013, 11, 3, 4, 30, tzinfo=UTC), datetime(2013, 11, 4, 5, 0, tzinfo=UTC)),
    ],
)
def test_the_brokers_day_ends_at_midnight_in_new_york(moment: datetime, midnight: datetime) -> None:
    assert midnight_after(moment) == midnight


def test_a_difference_in_positions_has_failed_and_is_shown(tmp_path: Path) -> None:
    at = CLOSE + timedelta(minutes=4)
    section = looked(tmp_path, differs(at, "SPY", "0", "100"), compared(at, clean=False, position=1))
    assert section.outcome is Outcome.FAILED
    assert section.sentence == "positions: 1 difference at 2013-10-08 20:04:00 UTC"
    assert section.mend == "trader journal list --kind MismatchFound"
    assert rows(section, "Positions")["SPY"]["Broker"] == Decimal(100)
    assert rows(section, "Positions")["IBM"]["Broker"] == Decimal(0)
    assert table(section, "Differences that were found").rows == ((at, "position", "SPY", "0", "100"),)


def test_missing_commissions_are_counted_and_named(tmp_path: Path) -> None:
    fills = [fact for fact in replayed() if isinstance(fact, FillBooked) and fact.at >= DAY][:2]
    ids = {fact.line.exec_id for fact in fills}
    section = looked(
        tmp_path, AFTER_CLOSE, without=lambda fact: isinstance(fact, CommissionBooked) and fact.line.exec_id in ids
    )
    assert verdict(section, "commissions")[0] == "warning"
    assert figure(section, "Commissions missing").value == 2
    assert {row[3] for row in table(section, "Fills without a commission").rows} == ids


def test_a_commission_that_came_after_the_period_is_not_missing(tmp_path: Path) -> None:
    last = [fact for fact in replayed() if isinstance(fact, CommissionBooked)][-1]
    late = msgspec.structs.replace(last, at=UNTIL + timedelta(minutes=1))
    section = looked(tmp_path, AFTER_CLOSE, late, without=lambda fact: fact is last)
    assert verdict(section, "commissions")[0] == "ok"


def test_an_order_in_an_unknown_state_is_a_warning(tmp_path: Path) -> None:
    intended = [fact for fact in replayed() if isinstance(fact, OrderIntended)][-1]
    again = msgspec.structs.replace(intended, order_ref="ibt-lost-1", order_id=9_000, at=CLOSE - timedelta(minutes=1))
    lost = OrderStateChanged(
        at=CLOSE, order_ref="ibt-lost-1", old=OrderState.INTENDED, new=OrderState.UNKNOWN,
        trigger=OrderTrigger.TIMED_OUT,
    )  # fmt: skip
    section = looked(tmp_path, AFTER_CLOSE, again, lost)
    assert verdict(section, "orders") == ("warning", "1 order in an unknown state")
    assert table(section, "Orders that are open").rows[0][3] == "ibt-lost-1"


def test_orders_of_others_and_orders_found_are_told(tmp_path: Path) -> None:
    line = OrderLine(
        order_id=7, perm_id=77, client_id=1, order_ref="ibt-old-1", symbol="SPY", side=Side.BUY, quantity=Decimal(1),
        filled=Decimal(0), status=BrokerOrderStatus.SUBMITTED,
    )  # fmt: skip
    at = CLOSE + timedelta(minutes=4)
    section = looked(tmp_path, OrderAdopted(at=CLOSE, line=line), compared(at, order=2))
    outcome, seen = verdict(section, "orders")
    assert outcome == "warning"
    assert seen == (
        "2 orders at the broker that are not ours; 1 order with our reference found that the books did not have"
    )


# -- with a service that answers


def found_with(tmp_path: Path, snapshot: Snapshot, *more: DurableFact) -> Found:
    write(tmp_path, [*replayed(), AFTER_CLOSE, *more])
    found = read(context(tmp_path))
    return replace(found, snapshot=snapshot, missing=[])


def evening(make_snapshot: Make, **changes: object) -> Snapshot:
    return make_snapshot(at=EVENING, positions=(), **changes)


def net_of(tmp_path: Path, since: datetime = SINCE) -> Decimal:
    """The net of the day, or since another time, by the raw rows."""
    path = tmp_path / "journal.db"
    cash = Decimal()
    for body in raw(path, "FillBooked", since):
        amount = Decimal(body["line"]["quantity"]) * Decimal(body["line"]["price"])
        cash += -amount if body["line"]["side"] == "BUY" else amount
    paid = [Decimal(body["line"]["amount"]) for body in raw(path, "CommissionBooked", since)]
    return cash - sum(paid, Decimal())


def test_a_service_and_an_account_that_agree(tmp_path: Path, make_snapshot: Make) -> None:
    found = found_with(tmp_path, evening(make_snapshot))
    account = AccountView(
        net_liquidation=Decimal(1_000_000), cash=Decimal(1_000_000), gross_position_value=Decimal(0),
        unrealized=Decimal(0), realized=net_of(tmp_path),
    )  # fmt: skip
    found.snapshot = evening(make_snapshot, broker_account=account)
    section = books.section(found, settings_of(tmp_path))
    assert section.outcome is Outcome.OK
    assert verdict(section, "running service")[0] == "ok"
    assert verdict(section, "value of positions")[0] == "ok"
    assert verdict(section, "realized P&L of the day")[0] == "ok"
    assert figure(section, "Account: net liquidation").value == Decimal(1_000_000)
    assert section.missing == ()


def test_the_simulated_broker_and_our_books_agree_on_every_value(tmp_path: Path) -> None:
    """The snapshot of the service's own engine, and the account of the simulated broker that it traded with."""
    snapshot, told = at_the_broker()
    account = AccountView(
        net_liquidation=told["NetLiquidation", "USD"],
        cash=told["TotalCashValue", "USD"],
        gross_position_value=told["GrossPositionValue", "USD"],
        unrealized=told["UnrealizedPnL", "BASE"],
        realized=told["RealizedPnL", "BASE"],
    )
    found = found_with(tmp_path, msgspec.structs.replace(snapshot, broker_account=account))
    section = books.section(found, settings_of(tmp_path))
    assert verdict(section, "value of positions") == ("ok", "ours 0.00, the broker's 0.00 USD")
    net = net_of(tmp_path)
    assert account.realized == net
    assert verdict(section, "realized P&L of the day") == ("ok", f"ours {net:+,.2f}, the broker's {net:+,.2f} USD")
    assert account.net_liquidation == account.cash
    everything = net_of(tmp_path, datetime(2013, 1, 1, tzinfo=UTC))
    assert account.cash == 1_000_000 + everything
    assert section.outcome is Outcome.OK


async def test_it_asks_the_running_service(tmp_path: Path) -> None:
    snapshot = replay().snapshot  # its broker told the account's values before the trading
    write(tmp_path, [*replayed(), AFTER_CLOSE])
    here = context(tmp_path)
    server = ControlServer(here.settings.control.socket, lambda request: Response.success(snapshot))
    await server.start()
    try:
        section = await asyncio.to_thread(books.run, here)
    finally:
        await server.close()
    assert verdict(section, "running service") == ("ok", "holds what its journal says, 0 positions")
    assert rows(section, "Positions")["SPY"]["Running service"] == Decimal(0)
    assert section.missing == (
        "the account's growth against the books': no Prometheus is configured (maintenance.prometheus_url)",
    )


def test_a_realized_profit_that_the_broker_does_not_know_is_a_warning(tmp_path: Path, make_snapshot: Make) -> None:
    account = AccountView(gross_position_value=Decimal(0), realized=Decimal(-5_000))
    section = books.section(found_with(tmp_path, evening(make_snapshot, broker_account=account)), settings_of(tmp_path))
    assert verdict(section, "realized P&L of the day")[0] == "warning"


def test_the_brokers_next_day_is_not_compared_with_ours(tmp_path: Path, make_snapshot: Make) -> None:
    account = AccountView(gross_position_value=Decimal(0), realized=Decimal(0))
    later = make_snapshot(at=NEXT_MORNING, positions=(), broker_account=account)
    section = books.section(found_with(tmp_path, later), settings_of(tmp_path))
    assert "realized P&L of the day" not in rows(section, "Comparisons")


def test_a_value_of_positions_that_our_books_do_not_have_is_a_warning(tmp_path: Path, make_snapshot: Make) -> None:
    account = AccountView(gross_position_value=Decimal(16_800))
    section = books.section(found_with(tmp_path, evening(make_snapshot, broker_account=account)), settings_of(tmp_path))
    assert verdict(section, "value of positions") == ("warning", "ours 0.00, the broker's 16,800.00 USD")


def test_a_service_that_holds_something_else_than_its_journal_has_failed(tmp_path: Path, make_snapshot: Make) -> None:
    section = books.section(found_with(tmp_path, make_snapshot(at=EVENING)), settings_of(tmp_path))
    outcome, seen = verdict(section, "running service")
    assert outcome == "failed"
    assert "SPY" in seen
    assert section.outcome is Outcome.FAILED


# -- with a Prometheus


def grown(equity: float, ours: float) -> FakeMetrics:
    return FakeMetrics(
        at={
            ("trader_equity", SINCE): 1_000_000.0,
            ("trader_equity", UNTIL): 1_000_000.0 + equity,
            ("trader_pnl_net_cumulative_base", SINCE): 250.0,
            ("trader_pnl_net_cumulative_base", UNTIL): 250.0 + ours,
        }
    )


@pytest.mark.parametrize(
    ("equity", "ours", "outcome"),
    [(812.5, 812.5, "ok"), (1_300.0, 812.5, "ok"), (1_313.0, 812.5, "warning"), (-9_000.0, 812.5, "warning")],
)
def test_the_accounts_growth_is_explained_by_our_books(
    tmp_path: Path, equity: float, ours: float, outcome: str
) -> None:
    write(tmp_path, [*replayed(), AFTER_CLOSE])
    section = books.run(context(tmp_path, metrics=grown(equity, ours)))
    found, seen = verdict(section, "growth of the account")
    assert found == outcome
    assert f"{equity:+,.2f}" in seen
    assert ("not explained" in seen) == (outcome == "warning")


def test_without_both_ends_the_growth_is_missing(tmp_path: Path) -> None:
    write(tmp_path, [*replayed(), AFTER_CLOSE])
    for metrics in (DeadMetrics(), FakeMetrics(), FakeMetrics(at={("trader_equity", UNTIL): 1.0})):
        section = books.run(context(tmp_path, metrics=metrics))
        assert "growth of the account" not in rows(section, "Comparisons")
        assert any("growth" in text for text in section.missing)


def test_a_journal_that_is_not_there_is_a_failed_section(tmp_path: Path) -> None:
    section = books.run(context(tmp_path))
    assert section.outcome is Outcome.FAILED
    assert "journal" in section.sentence


def test_without_a_calendar_nobody_knows_when_the_day_closed(tmp_path: Path) -> None:
    write(tmp_path, [*replayed(), AFTER_CLOSE])
    here = context(tmp_path)
    blind = replace(here, calendar=None, period=period_of(Kind.DAILY, here.clock.now(), None))
    section = books.run(blind)
    assert verdict(section, "executions of the day")[0] == "unknown"
    assert section.outcome is Outcome.UNKNOWN
