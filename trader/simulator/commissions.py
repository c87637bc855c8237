"""What an execution costs.

Rules: a commission belongs to an order, not to a fill: minimum and maximum hold for all its fills together,
so each fill is charged what the order's total grew by. Amounts are positive and in the contract's currency.
"""

from decimal import Decimal
from typing import Final

import msgspec

from trader.contracts import ZERO, SecurityType
from trader.simulator.model import ListedContract


class CommissionPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A price list. Ratios are of the traded value; ``cash_minimum`` is in the base currency."""

    name: str
    per_share: Decimal
    minimum: Decimal
    maximum_ratio: Decimal = Decimal("0.01")
    per_contract: Decimal = Decimal("2.25")
    cash_ratio: Decimal = Decimal("0.00002")
    cash_minimum: Decimal = Decimal(2)


FIXED: Final = CommissionPlan(name="fixed", per_share=Decimal("0.005"), minimum=Decimal("1.00"))
TIERED: Final = CommissionPlan(name="tiered", per_share=Decimal("0.0035"), minimum=Decimal("0.35"))
PLANS: Final = {plan.name: plan for plan in (FIXED, TIERED)}


def order_commission(
    plan: CommissionPlan, contract: ListedContract, filled: Decimal, value: Decimal, rate: Decimal
) -> Decimal:
    """The commission of all of an order's fills: ``filled`` units of ``value`` in the contract's currency.

    ``rate`` is that currency's worth in the currency the plan's minima are in.
    """
    if filled == 0:
        return ZERO
    match contract.security_type:
        case SecurityType.STOCK:
            return min(max(plan.per_share * filled, plan.minimum), plan.maximum_ratio * value)
        case SecurityType.FUTURE:
            return plan.per_contract * filled
        case SecurityType.CASH:
            return max(plan.cash_ratio * value, (plan.cash_minimum / rate).quantize(Decimal("0.01")))
        case SecurityType.OTHER:
            raise ValueError(f"{contract.symbol} is of a type that is not traded here")
