"""How a simulated exchange is set up: one frozen options object."""

from decimal import Decimal

import msgspec

from trader.contracts import SecurityType
from trader.simulator.commissions import FIXED, CommissionPlan
from trader.simulator.hours import ALWAYS_OPEN, TradingHours

_RATES = {"USD": Decimal(1), "EUR": Decimal("1.10"), "GBP": Decimal("1.27"), "JPY": Decimal("0.0067")}
_MARGIN_RATIOS = {
    SecurityType.STOCK: Decimal("0.25"),
    SecurityType.FUTURE: Decimal("0.08"),
    SecurityType.CASH: Decimal("0.03"),
    SecurityType.OTHER: Decimal(1),
}


class ExchangeOptions(msgspec.Struct, frozen=True, kw_only=True):
    """``rates`` are worth in the base currency, used where no currency pair is quoted.

    ``history_bars`` bounds the one-second bars kept per contract; 0 keeps none (fastest).
    ``run_number`` is part of each execution's id, so that no two runs of a server give the same one; below 2³².
    ``margin_ratios`` are initial margins over value; an order that needs more than the equity is rejected.
    """

    account: str = "DU1234567"
    base_currency: str = "USD"
    starting_cash: Decimal = Decimal(1_000_000)
    commission: CommissionPlan = FIXED
    rates: dict[str, Decimal] = msgspec.field(default_factory=lambda: dict(_RATES))
    hours: TradingHours = ALWAYS_OPEN
    first_order_id: int = 1
    run_number: int = 0
    max_orders_per_side: int = 20
    margin_ratios: dict[SecurityType, Decimal] = msgspec.field(default_factory=lambda: dict(_MARGIN_RATIOS))
    history_bars: int = 30_000
    completed_kept: int = 20_000
    executions_kept: int = 50_000
