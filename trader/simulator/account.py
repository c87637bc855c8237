"""Positions and cash of the simulated account.

Rules: every figure is a sum over fills. A contract's fills of the day are kept, on top of the state the day
began with, so that a correction replaces a fill and everything is summed again. Costs contain commissions,
as IB's do: ``average_cost`` is what a unit cost, ``realized`` is net. A future's value is settled into cash
only when it is realized.
"""

from collections.abc import Iterable
from decimal import Decimal
from typing import Final

import msgspec

from trader.contracts import ZERO, SecurityType, Side
from trader.simulator.model import ListedContract

_ROUNDING: Final = Decimal("1e-9")


class Fill(msgspec.Struct, frozen=True, kw_only=True):
    """One execution as the books need it; ``fill_id`` is the execution's id without its revision."""

    fill_id: str
    con_id: int
    side: Side
    quantity: Decimal
    price: Decimal
    commission: Decimal


class Holding(msgspec.Struct, kw_only=True):
    """One contract's sums. ``cost`` and ``gross_cost`` have the sign of ``quantity`` (with, without commission).

    ``flows`` is what the contract's fills did to the cash of each currency, futures at full value.
    """

    quantity: Decimal = ZERO
    cost: Decimal = ZERO
    gross_cost: Decimal = ZERO
    realized: Decimal = ZERO
    realized_before: Decimal = ZERO
    flows: dict[str, Decimal] = {}

    def average_cost(self, multiplier: Decimal) -> Decimal:
        return self.cost / self.quantity / multiplier if self.quantity else ZERO

    def book(self, fill: Fill, contract: ListedContract) -> Decimal | None:
        """Add one fill; returns the realized profit when it closed something, else None."""
        self._book_flows(fill, contract)
        if fill.quantity == 0:  # a busted trade: nothing is left of it but what it cost
            self.realized -= fill.commission
            return None
        sign, unit = fill.side.sign, fill.price * contract.multiplier
        closing = min(fill.quantity, abs(self.quantity)) if self.quantity * sign < 0 else ZERO
        closing_commission = fill.commission * closing / fill.quantity
        realized = self._close(closing, sign, unit, closing_commission) if closing else None
        opening = fill.quantity - closing
        self.quantity += sign * opening
        self.gross_cost += sign * opening * unit
        self.cost += sign * opening * unit + (fill.commission - closing_commission)
        return realized

    def _close(self, closing: Decimal, sign: int, unit: Decimal, commission: Decimal) -> Decimal:
        whole = closing == abs(self.quantity)
        cost = self.cost if whole else self.cost * closing / abs(self.quantity)
        gross_cost = self.gross_cost if whole else self.gross_cost * closing / abs(self.quantity)
        realized = -sign * closing * unit - cost - commission
        self.quantity += sign * closing
        self.cost -= cost
        self.gross_cost -= gross_cost
        self.realized += realized
        return realized

    def _book_flows(self, fill: Fill, contract: ListedContract) -> None:
        value = fill.side.sign * fill.quantity * fill.price * contract.multiplier
        self._flow(contract.currency, -value - fill.commission)
        if contract.security_type is SecurityType.CASH:
            self._flow(contract.symbol, fill.side.sign * fill.quantity)

    def _flow(self, currency: str, amount: Decimal) -> None:
        self.flows[currency] = self.flows.get(currency, ZERO) + amount

    def conserves(self, currency: str) -> bool:
        """Whether what was paid is what is held, at cost, and what was realized; up to rounding."""
        realized = self.realized_before + self.realized
        return abs(self.flows.get(currency, ZERO) + self.cost - realized) < _ROUNDING

    def copy(self) -> "Holding":
        return msgspec.structs.replace(self, flows=dict(self.flows))


class Account:
    """Holdings by contract id, and the cash that follows from them."""

    def __init__(self, currency: str, starting_cash: Decimal) -> None:
        self._currency = currency
        self._starting_cash = starting_cash
        self._holdings: dict[int, Holding] = {}
        self._day_start: dict[int, Holding] = {}
        self._fills: dict[int, list[Fill]] = {}

    @property
    def holdings(self) -> dict[int, Holding]:
        return self._holdings

    def holding(self, con_id: int) -> Holding:
        return self._holdings.get(con_id) or Holding(flows={})

    def book(self, fill: Fill, contract: ListedContract) -> Decimal | None:
        """Take a new fill into the books; returns what it realized, None if it closed nothing."""
        holding = self._holdings.setdefault(fill.con_id, Holding(flows={}))
        self._fills.setdefault(fill.con_id, []).append(fill)
        before = holding.quantity
        realized = holding.book(fill, contract)
        assert holding.quantity == before + fill.side.sign * fill.quantity, "a position is the sum of its fills"
        assert holding.conserves(contract.currency), "cash paid is cost held or profit realized"
        return realized

    def has_fill(self, con_id: int, fill_id: str) -> bool:
        """Whether the day has a fill with this id."""
        return any(item.fill_id == fill_id for item in self._fills.get(con_id, []))

    def correct(self, fill: Fill, contract: ListedContract) -> Decimal | None:
        """Replace the fill of the day with this ``fill_id`` and sum its contract again.

        Returns what the corrected fill realized. Raises KeyError when the day has no such fill.
        """
        fills = self._fills.get(fill.con_id, [])
        if not self.has_fill(fill.con_id, fill.fill_id):
            raise KeyError(fill.fill_id)
        index = next(place for place, item in enumerate(fills) if item.fill_id == fill.fill_id)
        fills[index] = fill
        start = self._day_start.get(fill.con_id)
        holding = start.copy() if start else Holding(flows={})
        realized = [holding.book(item, contract) for item in fills]
        assert holding.conserves(contract.currency), "cash paid is cost held or profit realized"
        self._holdings[fill.con_id] = holding
        return realized[index]

    def start_day(self) -> None:
        """Close the day: its fills become final and realized figures of the day start from zero."""
        for holding in self._holdings.values():
            holding.realized_before += holding.realized
            holding.realized = ZERO
        self._day_start = {con_id: holding.copy() for con_id, holding in self._holdings.items()}
        self._fills.clear()

    def cash(self) -> dict[str, Decimal]:
        """Cash by currency, with futures at full value (as if they were bought outright)."""
        cash = {self._currency: self._starting_cash}
        for holding in self._holdings.values():
            for currency, amount in holding.flows.items():
                cash[currency] = cash.get(currency, ZERO) + amount
        return cash

    def dump(self) -> tuple[dict[int, Holding], dict[int, Holding], tuple[Fill, ...]]:
        """Holdings, holdings at the day's start, and the fills since then."""
        fills = tuple(fill for items in self._fills.values() for fill in items)
        return dict(self._holdings), dict(self._day_start), fills

    def load(self, holdings: dict[int, Holding], day_start: dict[int, Holding], fills: Iterable[Fill]) -> None:
        self._holdings = {con_id: holding.copy() for con_id, holding in holdings.items()}
        self._day_start = {con_id: holding.copy() for con_id, holding in day_start.items()}
        self._fills = {}
        for fill in fills:
            self._fills.setdefault(fill.con_id, []).append(fill)
