"""The demonstration's audit: whatever differs between the books is named."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from trader.contracts import Instrument, Side
from trader.demo import compare_books, compare_cash
from trader.events import BrokerStateReceived, CommissionLine, ExecutionLine, FillBooked, PositionLine

NOW = datetime(2026, 1, 5, 15, tzinfo=UTC)
SPY = Instrument("SPY")
LINE = ExecutionLine(
    exec_id="e.1.01",
    order_id=1,
    perm_id=1,
    client_id=1,
    order_ref="r",
    instrument=SPY,
    side=Side.BUY,
    quantity=Decimal(10),
    price=Decimal(100),
    executed_at=NOW,
)
FILL = FillBooked(
    at=NOW,
    order_ref="r",
    line=LINE,
    corrects=None,
    replaced_quantity=Decimal(0),
    slippage_ratio=None,
    fill_duration_s=None,
)
HELD = {"SPY": Decimal(10)}


def state(**changes: Any) -> BrokerStateReceived:
    values: dict[str, Any] = {
        "positions": (PositionLine(instrument=SPY, quantity=Decimal(10), average_cost=Decimal(100)),),
        "open_orders": (),
        "completed_orders": (),
        "executions": (LINE,),
        "commissions": (CommissionLine(exec_id="e.1.01", amount=Decimal(1), currency="USD"),),
    }
    return BrokerStateReceived(at=NOW, requested_ns=0, **{**values, **changes})


def test_equal_books_have_no_differences() -> None:
    assert compare_books(HELD, [FILL], Decimal(1), state()) == []
    assert compare_cash(Decimal(5000), Decimal(3999), [FILL], Decimal(1)) == []


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"positions": None}, "did not answer"),
        ({"executions": None}, "did not answer"),
        ({"positions": ()}, "positions differ: ours 10 SPY, the broker's flat"),
        ({"executions": ()}, "executions differ: 1 are known to one side only"),
        ({"commissions": ()}, "commissions differ: ours 1, the broker's 0"),
    ],
)
def test_a_difference_in_the_books_is_named(changes: dict[str, Any], problem: str) -> None:
    problems = compare_books(HELD, [FILL], Decimal(1), state(**changes))
    assert len(problems) == 1
    assert problem in problems[0]


@pytest.mark.parametrize(
    ("opening", "closing", "problem"),
    [(None, Decimal(1), "did not say"), (Decimal(5000), Decimal(4000), "by our fills 3999.00, the broker's 4000.00")],
)
def test_a_difference_in_cash_is_named(opening: Decimal | None, closing: Decimal, problem: str) -> None:
    problems = compare_cash(opening, closing, [FILL], Decimal(1))
    assert problem in problems[0]
