"""``trader journal``: list, export, stats."""

import csv
import io
import json
import sqlite3
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import get_args

import pytest
import typer
from typer.testing import CliRunner, Result

from trader.cli import journal as journal_commands
from trader.cli.fact_lines import OrderFollower, fact_line
from trader.contracts import Instrument, OrderType, Side, TradingMode, TradingState
from trader.events import (
    AnyDurableFact,
    Approved,
    BrokerOrderStatus,
    CancelIntended,
    CancelReason,
    CommissionBooked,
    CommissionLine,
    ExecutionIgnored,
    ExecutionLine,
    FillBooked,
    Intent,
    MaintenanceFinished,
    MaintenanceKind,
    MaintenanceOutcome,
    MismatchFound,
    MismatchKind,
    OrderAdopted,
    OrderIdsReserved,
    OrderIntended,
    OrderLine,
    OrderState,
    OrderStateChanged,
    OrderTerms,
    OrderTrigger,
    PanicCompleted,
    PolicyAlert,
    PolicyChanged,
    PolicyOverridden,
    PolicyState,
    PositionAdopted,
    PositionLine,
    ReconciliationFinished,
    ServiceStarted,
    ServiceStopped,
    SessionClosed,
    SessionOpened,
    SessionValued,
    SignalChanged,
    StartReason,
    TradingStateChanged,
)
from trader.journal import Journal

START = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)
SPY = Instrument("SPY")


def at(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def intended(ref: str, number: int) -> OrderIntended:
    terms = OrderTerms(
        symbol="SPY", side=Side.BUY, quantity=Decimal(100), order_type=OrderType.LIMIT, limit_price=Decimal("167.55")
    )
    intent = Intent(terms=terms, strategy="mean_reversion", reason="below its mean", reference_price=1.0, decided_ns=1)
    return OrderIntended(at=at(number), order_ref=ref, order_id=number, approved=Approved(intent=intent, reduces=False))


def execution(ref: str, number: int) -> ExecutionLine:
    return ExecutionLine(
        exec_id=f"e{number}.01",
        order_id=number,
        perm_id=9,
        client_id=1,
        order_ref=ref,
        instrument=SPY,
        side=Side.BUY,
        quantity=Decimal(100),
        price=Decimal("167.55"),
        executed_at=at(number + 1),
    )


def filled(ref: str, number: int) -> FillBooked:
    return FillBooked(
        at=at(number + 1),
        order_ref=ref,
        line=execution(ref, number),
        corrects=None,
        replaced_quantity=Decimal(0),
        slippage_ratio=None,
        fill_duration_s=1.0,
    )


def paid(number: int) -> CommissionBooked:
    line = CommissionLine(exec_id=f"e{number}.01", amount=Decimal("1.00"), currency="USD")
    return CommissionBooked(at=at(number + 2), line=line)


def changed(ref: str, number: int) -> OrderStateChanged:
    return OrderStateChanged(
        at=at(number),
        order_ref=ref,
        old=OrderState.SENT,
        new=OrderState.WORKING,
        trigger=next(iter(OrderTrigger)),
        detail="Submitted",
    )


FACTS: list[AnyDurableFact] = [
    intended("a-1", 1),
    changed("a-1", 2),
    filled("a-1", 3),
    intended("b-2", 4),
    paid(3),
    filled("b-2", 5),
    paid(5),
    TradingStateChanged(
        at=at(86_400),
        old=TradingState.ACTIVE,
        new=TradingState.HALTED,
        source="operator",
        reason="[a look] at the book",
    ),
]


@pytest.fixture
def url(tmp_path: Path) -> str:
    address = f"sqlite:///{tmp_path / 'journal.db'}"
    with Journal.open(address) as journal:
        journal.append(FACTS)
    return address


def run(url: str, *arguments: str) -> Result:
    app = typer.Typer()
    journal_commands.register(app)
    return CliRunner().invoke(app, ["journal", *arguments, "--url", url], env={"COLUMNS": "140", "TERM": "dumb"})


def listed(result: Result) -> list[int]:
    words = [line.split() for line in result.stdout.splitlines()[1:]]
    return [int(line[0]) for line in words if line and line[0].isdigit()]


def test_list_shows_each_fact_in_a_line_under_its_day(url: str) -> None:
    result = run(url, "list")
    assert result.exit_code == 0
    assert listed(result) == [1, 2, 3, 4, 5, 6, 7, 8]
    assert "2026-03-03" in result.output
    assert "14:30:01.000" in result.output
    assert "a-1 #1: buy SPY 100 LMT at 167.55 DAY, below its mean" in result.output
    assert "active → halted by operator: [a look] at the book" in result.output


FILTERS = [
    (["--kind", "FillBooked"], [3, 6]),
    (["--kind", "fillbooked", "-k", "TradingStateChanged"], [3, 6, 8]),
    (["--since", "2026-03-03"], [8]),
    (["--until", "2026-03-02T14:30:02"], [1]),
    (["--since", "2026-03-02T15:30:06+01:00", "--until", "2026-03-03"], [6, 7]),
    (["--since", "1d"], []),
    (["--order", "a-1"], [1, 2, 3, 5]),
    (["--order", "a-1", "--kind", "CommissionBooked"], [5]),
    (["--tail", "2"], [7, 8]),
    (["--tail", "0"], [1, 2, 3, 4, 5, 6, 7, 8]),
]


@pytest.mark.parametrize(("arguments", "expected"), FILTERS, ids=lambda value: " ".join(map(str, value)))
def test_list_shows_only_what_the_filters_name(url: str, arguments: list[str], expected: list[int]) -> None:
    result = run(url, "list", *arguments)
    assert result.exit_code == 0
    assert listed(result) == expected
    assert bool(expected) or "no fact matches" in result.output


def test_list_says_when_there_is_more(url: str) -> None:
    assert "the newest 2 that match, of 8 facts; --tail 0 shows all" in run(url, "list", "-n", "2").output


def test_export_writes_a_json_object_a_line(url: str) -> None:
    lines = [json.loads(line) for line in run(url, "export").stdout.splitlines()]
    assert [line["seq"] for line in lines] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert lines[4] == {
        "seq": 5,
        "type": "CommissionBooked",
        "at": "2026-03-02T14:30:05Z",
        "line": {"exec_id": "e3.01", "amount": "1.00", "currency": "USD", "realized_pnl": None},
    }


def test_export_writes_csv_to_a_file(url: str, tmp_path: Path) -> None:
    output = tmp_path / "facts.csv"
    result = run(url, "export", "--format", "csv", "--kind", "FillBooked", "--output", str(output))
    assert "2 facts written" in result.output
    rows = list(csv.DictReader(io.StringIO(output.read_text())))
    assert [row["seq"] for row in rows] == ["3", "6"]
    assert rows[0]["summary"] == "a-1: buy SPY 100 at 167.55"
    assert json.loads(rows[0]["body"])["line"]["price"] == "167.55"


def test_stats_counts_by_kind(url: str) -> None:
    output = run(url, "stats").output
    assert "FillBooked" in output
    assert "2026-03-03 14:30:00" in output
    assert output.splitlines()[-1].split() == ["all", "8"]


REFUSALS = [
    (["list", "--kind", "Fill"], "Fill: no such kind; there are CancelIntended"),
    (["list", "--since", "yesterday"], "'yesterday' is not a time"),
    (["export", "--output", "/nowhere/facts.jsonl"], "/nowhere/facts.jsonl cannot be written"),
]


@pytest.mark.parametrize(("arguments", "words"), REFUSALS)
def test_an_option_that_makes_no_sense_is_one_sentence(url: str, arguments: list[str], words: str) -> None:
    result = run(url, *arguments)
    assert result.exit_code == 1
    assert words in result.output
    assert result.output.count("\n") == 1


def test_a_missing_journal_is_one_sentence(tmp_path: Path) -> None:
    result = run(f"sqlite:///{tmp_path}/none.db", "stats")
    assert (result.exit_code, result.output.count("\n")) == (1, 1)
    assert "there is no journal at" in result.output


def test_a_damaged_fact_is_named(url: str) -> None:
    connection = sqlite3.connect(url.removeprefix("sqlite:///"))
    with connection:
        connection.execute("UPDATE facts SET body = '{' WHERE seq = 4")
    connection.close()
    result = run(url, "list")
    assert result.exit_code == 1
    assert "fact 4 of" in result.output


ONE_OF_EACH: list[tuple[AnyDurableFact, str]] = [
    (intended("a-1", 1), "a-1 #1: buy SPY 100 LMT at 167.55 DAY, below its mean"),
    (filled("a-1", 1), "a-1: buy SPY 100 at 167.55"),
    (paid(1), "1.00 USD for e1.01"),
    (CancelIntended(at=START, order_ref="a-1", reason=CancelReason.TIMEOUT), "a-1: timeout"),
    (changed("a-1", 1), f"a-1: sent → working ({next(iter(OrderTrigger))}, Submitted)"),
    (
        OrderAdopted(
            at=START,
            line=OrderLine(
                order_id=3,
                perm_id=4,
                client_id=0,
                order_ref="",
                symbol="IBM",
                side=Side.SELL,
                quantity=Decimal(50),
                filled=Decimal(0),
                status=BrokerOrderStatus.SUBMITTED,
                limit_price=Decimal("182.5"),
            ),
        ),
        "#3: sell IBM 50 at 182.5",
    ),
    (
        ExecutionIgnored(at=START, line=execution("a-1", 1), reason="in the adopted position"),
        "buy SPY 100 at 167.55: in the adopted position",
    ),
    (
        PositionAdopted(
            at=START, line=PositionLine(instrument=SPY, quantity=Decimal(-1_500), average_cost=Decimal("13.865"))
        ),
        "SPY -1,500 at 13.865",
    ),
    (
        ServiceStarted(
            at=START,
            run_id="r1",
            reason=StartReason.CRASH,
            previous_exit_clean=False,
            version="0.1.0",
            mode=TradingMode.PAPER,
            account="DU1",
            config_hash="abc",
        ),
        "0.1.0, paper DU1, crash, after an end that was not clean, run r1",
    ),
    (ServiceStopped(at=START, run_id="r1", reason="SIGTERM", clean=True), "clean: SIGTERM, run r1"),
    (
        TradingStateChanged(
            at=START, old=TradingState.HALTED, new=TradingState.ACTIVE, source="engine", reason="ready"
        ),
        "halted → active by engine: ready",
    ),
    (
        SessionOpened(at=START, calendar="XNYS", session="2026-03-02", opened_at=START, closes_at=at(23_400)),
        "XNYS 2026-03-02, closes 2026-03-02 21:00 UTC",
    ),
    (
        SessionValued(at=START, unrealized=Decimal("-12.5")),
        "positions worth -12.50 above cost",
    ),
    (
        SessionClosed(
            at=START,
            calendar="XNYS",
            session="2026-03-02",
            realized=Decimal(12),
            unrealized=None,
            commission=Decimal("-3.5"),
            fees=Decimal(0),
        ),
        "XNYS 2026-03-02, realized +12.00, unrealized –, commission -3.50, fees +0.00",
    ),
    (PanicCompleted(at=START, duration_s=2.5), "flat and without orders after 2 s"),
    (
        PolicyChanged(
            at=START,
            slo="error_rate",
            old=PolicyState.OK,
            new=PolicyState.NO_NEW_ENTRIES,
            alerts=(PolicyAlert(key="f", name="SLOBudgetExhausted", state=PolicyState.NO_NEW_ENTRIES, held=True),),
        ),
        "error_rate: ok → no new entries, SLOBudgetExhausted (held)",
    ),
    (
        PolicyOverridden(at=START, source="operator", reason="known cause", until=at(7_200)),
        "overridden until 2026-03-02 16:30 UTC by operator: known cause",
    ),
    (
        MaintenanceFinished(
            at=START,
            kind=MaintenanceKind.DAILY,
            period="2026-03-02",
            outcome=MaintenanceOutcome.FAILED,
            duration_s=12.5,
            tasks={"health": MaintenanceOutcome.OK, "backup": MaintenanceOutcome.FAILED},
        ),
        "daily of 2026-03-02: failed, 12 s, failed: backup",
    ),
    (
        SignalChanged(
            at=START,
            strategy="mean_reversion",
            symbol="SPY",
            previous=Decimal(0),
            target=Decimal(100),
            price=167.55,
            reason="z -2.1",
        ),
        "mean_reversion: SPY 0 → 100 at 167.55, z -2.1",
    ),
    (OrderIdsReserved(at=START, next_order_id=42), "next order id 42"),
    (
        MismatchFound(at=START, kind=MismatchKind.POSITION, subject="SPY", ours="100", theirs="200"),
        "position SPY: ours 100, the broker's 200",
    ),
    (
        ReconciliationFinished(
            at=START, clean=False, unanswered=("executions",), mismatches={MismatchKind.POSITION: 1}, duration_s=0.25
        ),
        "mismatches: 1 position; no answer: executions; 0.25 s",
    ),
]


@pytest.mark.parametrize(("fact", "line"), ONE_OF_EACH, ids=lambda value: type(value).__name__)
def test_every_kind_has_its_line(fact: AnyDurableFact, line: str) -> None:
    assert fact_line(fact) == line


def test_no_kind_is_missing_here() -> None:
    assert {type(fact) for fact, _ in ONE_OF_EACH} == set(get_args(AnyDurableFact))


def test_a_clean_reconciliation_is_short() -> None:
    fact = ReconciliationFinished(at=START, clean=True, unanswered=(), mismatches={}, duration_s=0.1)
    assert fact_line(fact) == "clean, 0.10 s"


def test_a_commission_before_its_fill_is_not_the_orders() -> None:
    follower = OrderFollower("a-1")
    assert not follower.concerns(paid(3))
    assert follower.concerns(filled("a-1", 3))
    assert follower.concerns(paid(3))
