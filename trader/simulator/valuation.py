"""What the account is worth: positions at market, account values by IB's tags, profit and loss.

Rules: everything is computed when asked from holdings, marks and rates; nothing is kept but what the day
began with. A position without a mark counts at its cost. Amounts are in the base currency unless named.
"""

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Final

from trader.contracts import ONE, ZERO, SecurityType
from trader.simulator.account import Account, Holding
from trader.simulator.contract_book import ContractBook
from trader.simulator.model import ListedContract, PositionRecord
from trader.simulator.options import ExchangeOptions

_CENT: Final = Decimal("0.01")
MarkOf = Callable[[int], Decimal | None]
AccountValue = tuple[str, str, str]


class Valuation:
    """Figures of one account; ``mark_of`` gives a contract's market price by its id."""

    def __init__(self, account: Account, book: ContractBook, options: ExchangeOptions, mark_of: MarkOf) -> None:
        self._account = account
        self._book = book
        self._options = options
        self._mark_of = mark_of
        self.equity_at_day_start = options.starting_cash

    def rate(self, currency: str) -> Decimal:
        """One unit of ``currency`` in the base currency: the market's if it quotes the pair, else the table's."""
        base = self._options.base_currency
        if currency == base:
            return ONE
        direct, inverse = self._book.by_key(f"{currency}.{base}"), self._book.by_key(f"{base}.{currency}")
        mark = self._mark_of(direct.con_id) if direct else None
        if mark:
            return mark
        mark = self._mark_of(inverse.con_id) if inverse else None
        if mark:
            return ONE / mark
        if currency not in self._options.rates:
            raise ValueError(f"no exchange rate of {currency} to {base}: add it to the exchange's rates")
        return self._options.rates[currency]

    def position(self, contract: ListedContract) -> PositionRecord:
        """One position at the market, flat ones included."""
        holding = self._account.holding(contract.con_id)
        price = self._price(contract, holding)
        return PositionRecord(
            contract=contract,
            quantity=holding.quantity,
            average_cost=holding.average_cost(contract.multiplier),
            realized=holding.realized,
            market_price=price,
            unrealized=holding.quantity * price * contract.multiplier - holding.cost,
        )

    def positions(self) -> tuple[PositionRecord, ...]:
        """Positions that are not flat."""
        return tuple(self.position(contract) for contract, holding in self._held() if holding.quantity)

    def equity(self) -> Decimal:
        """Net liquidation: cash of all currencies and the value of all positions."""
        cash = sum((amount * self.rate(currency) for currency, amount in self._account.cash().items()), ZERO)
        return cash + sum((self._value(contract, holding) for contract, holding in self._owned()), ZERO)

    def margin(self, contract: ListedContract | None = None, quantity: Decimal = ZERO) -> Decimal:
        """Initial margin of all positions, with ``quantity`` more (signed) of ``contract``."""
        holdings = {holding_contract.con_id: holding_contract for holding_contract, _ in self._held()}
        if contract is not None:
            holdings[contract.con_id] = contract
        needed = ZERO
        for con_id, held in holdings.items():
            holding = self._account.holding(con_id)
            extra = quantity if contract is not None and con_id == contract.con_id else ZERO
            value = abs(holding.quantity + extra) * self._price(held, holding) * held.multiplier
            needed += value * self._options.margin_ratios[held.security_type] * self.rate(held.currency)
        return needed

    def pnl(self) -> tuple[Decimal, Decimal, Decimal]:
        """(daily, unrealized, realized today) in the base currency."""
        records = [self.position(contract) for contract, _ in self._held()]
        unrealized = sum((item.unrealized * self.rate(item.contract.currency) for item in records), ZERO)
        realized = sum((item.realized * self.rate(item.contract.currency) for item in records), ZERO)
        return self.equity() - self.equity_at_day_start, unrealized, realized

    def start_day(self) -> None:
        self._account.start_day()
        self.equity_at_day_start = self.equity()

    def account_values(self) -> tuple[AccountValue, ...]:
        """(tag, value, currency) as IB sends them: totals in the base currency, then each currency's ledger."""
        base = self._options.base_currency
        equity, needed = self.equity(), self.margin()
        gross = sum((abs(self._value(contract, holding)) for contract, holding in self._owned()), ZERO)
        cash = sum((amount * self.rate(currency) for currency, amount in self._reported_cash().items()), ZERO)
        totals = {
            "NetLiquidation": equity,
            "TotalCashValue": cash,
            "SettledCash": cash,
            "GrossPositionValue": gross,
            "EquityWithLoanValue": equity,
            "InitMarginReq": needed,
            "FullInitMarginReq": needed,
            "MaintMarginReq": needed,
            "FullMaintMarginReq": needed,
            "AvailableFunds": equity - needed,
            "FullAvailableFunds": equity - needed,
            "ExcessLiquidity": equity - needed,
            "FullExcessLiquidity": equity - needed,
            "BuyingPower": max(ZERO, equity - needed) * 4,
        }
        cushion = max(ZERO, (equity - needed) / equity) if equity > 0 else ZERO
        head: list[AccountValue] = [
            ("AccountCode", self._options.account, ""),
            ("AccountType", "INDIVIDUAL", ""),
            ("AccountReady", "true", ""),
            ("Cushion", str(cushion.quantize(Decimal("0.000001"))), ""),
        ]
        head.extend((tag, _money(amount), base) for tag, amount in totals.items())
        return (*head, *self._ledgers())

    def _ledgers(self) -> Iterator[AccountValue]:
        cash = self._reported_cash()
        for currency in ("BASE", *cash):
            yield from self._ledger(currency, cash)

    def _ledger(self, currency: str, cash: dict[str, Decimal]) -> Iterator[AccountValue]:
        """One currency's lines; ``BASE`` is all currencies in the base one."""

        def total(amounts: Iterator[tuple[str, Decimal]]) -> Decimal:
            if currency == "BASE":
                return sum((amount * self.rate(unit) for unit, amount in amounts), ZERO)
            return sum((amount for unit, amount in amounts if unit == currency), ZERO)

        records = [self.position(contract) for contract, _ in self._held()]
        of_type = {
            kind: total((item.contract.currency, _value_of(item)) for item in records if _kind(item) is kind)
            for kind in SecurityType
        }
        unrealized = total((item.contract.currency, item.unrealized) for item in records)
        futures = total((item.contract.currency, self._gross_unrealized(item)) for item in records if _is_future(item))
        balance = total(iter(cash.items()))
        rate = ONE if currency == "BASE" else self.rate(currency)
        values = {
            "CashBalance": balance,
            "TotalCashBalance": balance,
            "StockMarketValue": of_type[SecurityType.STOCK],
            "FuturesPNL": futures,
            "FxCashBalance": ZERO,
            "AccruedCash": ZERO,
            "OptionMarketValue": ZERO,
            "FutureOptionValue": ZERO,
            "NetLiquidationByCurrency": balance + of_type[SecurityType.STOCK] + futures,
            "UnrealizedPnL": unrealized,
            "RealizedPnL": total((item.contract.currency, item.realized) for item in records),
        }
        yield ("Currency", currency, currency)
        yield ("RealCurrency", currency, currency)
        for tag, amount in values.items():
            yield (tag, _money(amount), currency)
        yield ("ExchangeRate", str(rate.quantize(Decimal("0.0000001"))), currency)

    def _held(self) -> Iterator[tuple[ListedContract, Holding]]:
        for con_id, holding in self._account.holdings.items():
            contract = self._book.by_con_id(con_id)
            assert contract is not None, f"a position in contract {con_id}, which is not listed"
            yield contract, holding

    def _owned(self) -> Iterator[tuple[ListedContract, Holding]]:
        """Holdings that are worth something beside cash; a currency pair is cash on both sides."""
        return (item for item in self._held() if item[0].security_type is not SecurityType.CASH)

    def _price(self, contract: ListedContract, holding: Holding) -> Decimal:
        mark = self._mark_of(contract.con_id)
        return mark if mark is not None else holding.average_cost(contract.multiplier)

    def _value(self, contract: ListedContract, holding: Holding) -> Decimal:
        value = holding.quantity * self._price(contract, holding) * contract.multiplier
        return value * self.rate(contract.currency)

    def _gross_unrealized(self, item: PositionRecord) -> Decimal:
        return _value_of(item) - self._account.holding(item.contract.con_id).gross_cost

    def _reported_cash(self) -> dict[str, Decimal]:
        """Cash as a statement shows it: a future's full value is not paid for."""
        cash = self._account.cash()
        for contract, holding in self._held():
            if contract.security_type is SecurityType.FUTURE:
                cash[contract.currency] = cash.get(contract.currency, ZERO) + holding.gross_cost
        return cash


def _money(amount: Decimal) -> str:
    return str(amount.quantize(_CENT))


def _value_of(item: PositionRecord) -> Decimal:
    return item.quantity * item.market_price * item.contract.multiplier


def _kind(item: PositionRecord) -> SecurityType:
    return item.contract.security_type


def _is_future(item: PositionRecord) -> bool:
    return item.contract.security_type is SecurityType.FUTURE
