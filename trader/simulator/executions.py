"""The executions of an exchange and their commissions.

Rules: an execution's id ends in its revision; a revision replaces the one before. The log is bounded and the
oldest go first.
"""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

import msgspec

from trader.simulator.matching import Match
from trader.simulator.model import CommissionReported, Execution, OrderView

_ID_RANGE = 1 << 32
_FIRST_RUN = 0x0000E0D5


class ExecutionLog:
    """Executions in the order in which they happened, by id without revision."""

    def __init__(self, seed: int, kept: int, run_number: int = 0) -> None:
        self._run = (_FIRST_RUN + run_number) % _ID_RANGE
        self._first_number = 0x5F3C1A2B + seed * 104_729
        self._kept = kept
        self.count = 0
        self._executions: dict[str, Execution] = {}
        self._commissions: dict[str, CommissionReported] = {}

    def all(self) -> tuple[Execution, ...]:
        return tuple(self._executions.values())

    def commissions(self) -> tuple[CommissionReported, ...]:
        return tuple(self._commissions.values())

    def get(self, exec_id: str) -> Execution | None:
        """The latest revision of an execution, by the id of any of its revisions."""
        return self._executions.get(fill_id(exec_id))

    def commission(self, exec_id: str) -> CommissionReported | None:
        return self._commissions.get(fill_id(exec_id))

    def record(self, order: OrderView, match: Match, at: datetime) -> Execution:
        """Make and keep the execution of ``match``; ``order`` is the order just after it."""
        number = (self._first_number + self.count) % _ID_RANGE
        self.count += 1
        execution = Execution(
            exec_id=f"{self._run:08x}.{number:08x}.01.01",
            order=order,
            at=at,
            side=order.request.side,
            quantity=match.quantity,
            price=match.price,
            cumulative=order.filled,
            average_price=order.average_price,
            exchange=order.contract.primary_exchange or order.contract.exchange,
            liquidity=match.liquidity,
        )
        self._keep(execution)
        return execution

    def record_commission(self, report: CommissionReported) -> None:
        self._commissions[fill_id(report.exec_id)] = report

    def revise(self, old: Execution, price: Decimal | None, quantity: Decimal | None) -> Execution:
        """Make and keep the next revision of an execution; cumulative figures change with it."""
        new_price = old.price if price is None else price
        new_quantity = old.quantity if quantity is None else quantity
        cumulative = old.cumulative - old.quantity + new_quantity
        value = old.average_price * old.cumulative - old.price * old.quantity + new_price * new_quantity
        stem, revision = old.exec_id.rsplit(".", 1)
        corrected = msgspec.structs.replace(
            old,
            exec_id=f"{stem}.{int(revision) + 1:02d}",
            price=new_price,
            quantity=new_quantity,
            cumulative=cumulative,
            average_price=value / cumulative if cumulative else Decimal(0),
        )
        self._keep(corrected)
        return corrected

    def load(self, executions: Iterable[Execution], commissions: Iterable[CommissionReported], count: int) -> None:
        self._executions = {fill_id(item.exec_id): item for item in executions}
        self._commissions = {fill_id(item.exec_id): item for item in commissions}
        self.count = count

    def _keep(self, execution: Execution) -> None:
        self._executions[fill_id(execution.exec_id)] = execution
        if len(self._executions) > self._kept:
            oldest = next(iter(self._executions))
            del self._executions[oldest]
            self._commissions.pop(oldest, None)


def repeatable_id(exec_id: str) -> str:
    """An execution's id without the run, which is the same whenever a day is simulated again."""
    return exec_id.partition(".")[2]


def fill_id(exec_id: str) -> str:
    """An execution's id without its revision."""
    return exec_id.rsplit(".", 1)[0]
