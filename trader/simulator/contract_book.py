"""What can be traded at the simulated broker.

Rules: a small built-in table of well-known contracts, plus any symbol a market file names, as a US stock.
Contract ids do not depend on what else is listed: an unknown symbol's id is a hash of its name. Futures are
the quarterly ones that follow the date the book was built for. A *market key* names a contract's market data:
the symbol of a stock, the local symbol of a future, ``EUR.USD`` for currencies.
"""

from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from decimal import Decimal
from typing import Final
from zlib import crc32

from trader.contracts import SecurityType
from trader.simulator.model import ListedContract

DEFAULT_DATE: Final = date(2026, 1, 5)
QUARTERS_LISTED: Final = 5
_MONTH_CODES: Final = {3: "H", 6: "M", 9: "U", 12: "Z"}
_HASHED_ID_BASE: Final = 900_000_000
_HASHED_ID_RANGE: Final = 90_000_000

MarketRule = tuple[tuple[Decimal, Decimal], ...]
_MARKET_RULES: Final[dict[int, MarketRule]] = {
    26: ((Decimal(0), Decimal("0.01")),),
    67: ((Decimal(0), Decimal("0.25")),),
    239: ((Decimal(0), Decimal("0.00005")),),
    240: ((Decimal(0), Decimal("0.005")),),
}

_STOCKS: Final = (
    ("AAPL", 265598, "NASDAQ", "NMS", "APPLE INC"),
    ("AIG", 61319701, "NYSE", "AIG", "AMERICAN INTERNATIONAL GROUP"),
    ("AMD", 4391, "NASDAQ", "NMS", "ADVANCED MICRO DEVICES"),
    ("AMZN", 3691937, "NASDAQ", "NMS", "AMAZON.COM INC"),
    ("BAC", 10098, "NYSE", "BAC", "BANK OF AMERICA CORP"),
    ("DIA", 73128548, "ARCA", "DIA", "SPDR DJIA TRUST"),
    ("DIS", 6459, "NYSE", "DIS", "WALT DISNEY CO/THE"),
    ("GLD", 51529211, "ARCA", "GLD", "SPDR GOLD SHARES"),
    ("GOOG", 208813720, "NASDAQ", "NMS", "ALPHABET INC-CL C"),
    ("IBM", 8314, "NYSE", "IBM", "INTL BUSINESS MACHINES CORP"),
    ("INTC", 270639, "NASDAQ", "NMS", "INTEL CORP"),
    ("IWM", 9579970, "ARCA", "IWM", "ISHARES RUSSELL 2000 ETF"),
    ("JPM", 1520593, "NYSE", "JPM", "JPMORGAN CHASE & CO"),
    ("KO", 8894, "NYSE", "KO", "COCA-COLA CO/THE"),
    ("META", 107113386, "NASDAQ", "NMS", "META PLATFORMS INC-CLASS A"),
    ("MSFT", 272093, "NASDAQ", "NMS", "MICROSOFT CORP"),
    ("NVDA", 4815747, "NASDAQ", "NMS", "NVIDIA CORP"),
    ("QQQ", 320227571, "NASDAQ", "NMS", "INVESCO QQQ TRUST SERIES 1"),
    ("SPY", 756733, "ARCA", "SPY", "SS SPDR S&P 500 ETF TRUST-US"),
    ("TLT", 15547841, "NASDAQ", "NMS", "ISHARES 20+ YEAR TREASURY BD"),
    ("TSLA", 76792991, "NASDAQ", "NMS", "TESLA INC"),
    ("XOM", 13977, "NYSE", "XOM", "EXXON MOBIL CORP"),
)
_FUTURES: Final = (
    ("ES", "E-mini S&P 500", Decimal(50)),
    ("NQ", "E-mini NASDAQ 100", Decimal(20)),
)
_CURRENCIES: Final = (
    ("EUR", "USD", 12087792, Decimal("0.00005"), 239, "European Monetary Union Euro"),
    ("GBP", "USD", 12087797, Decimal("0.00005"), 239, "British pound"),
    ("USD", "JPY", 15016059, Decimal("0.005"), 240, "United States dollar"),
)


def market_key(contract: ListedContract) -> str:
    """The name under which a market carries ``contract``; unique among all listed contracts."""
    if contract.security_type is SecurityType.STOCK:
        return contract.symbol
    return contract.local_symbol


class ContractBook:
    """All contracts of one simulated broker.

    ``symbols`` are market keys that have to exist; those unknown become US stocks. ``around`` is the date
    whose quarterly futures are listed.
    """

    def __init__(self, symbols: Iterable[str] = (), around: date = DEFAULT_DATE) -> None:
        self._by_con_id: dict[int, ListedContract] = {}
        self._by_key: dict[str, ListedContract] = {}
        for contract in (*_stocks(), *_futures(around), *_currencies()):
            self._list(contract)
        for symbol in symbols:
            if symbol not in self._by_key:
                self._list(_unknown_stock(symbol, self._by_con_id))

    def _list(self, contract: ListedContract) -> None:
        self._by_con_id[contract.con_id] = contract
        self._by_key[market_key(contract)] = contract

    def by_con_id(self, con_id: int) -> ListedContract | None:
        return self._by_con_id.get(con_id)

    def by_key(self, key: str) -> ListedContract | None:
        """The contract with this market key."""
        return self._by_key.get(key)

    def all(self) -> tuple[ListedContract, ...]:
        return tuple(self._by_con_id.values())

    def market_rule(self, rule_id: int) -> MarketRule:
        """(lowest price, price increment) pairs, rising; empty when there is no such rule."""
        return _MARKET_RULES.get(rule_id, ())

    def find(
        self,
        con_id: int = 0,
        symbol: str = "",
        security_type: SecurityType | None = None,
        expiry: str = "",
        local_symbol: str = "",
        currency: str = "",
        exchange: str = "",
        trading_class: str = "",
    ) -> tuple[ListedContract, ...]:
        """Contracts that fit everything given (empty fits all); ``expiry`` is YYYYMM or YYYYMMDD.

        Futures come by expiry. Nothing given finds nothing: a broker does not list its whole catalogue.
        """
        if not (con_id or symbol or local_symbol):
            return ()
        candidates = [self._by_con_id[con_id]] if con_id in self._by_con_id else []
        if not con_id:
            candidates = list(self._by_con_id.values())
        return tuple(
            contract
            for contract in candidates
            if (not symbol or contract.symbol == symbol)
            and (security_type is None or contract.security_type is security_type)
            and (not expiry or contract.expiry.startswith(expiry))
            and (not local_symbol or contract.local_symbol == local_symbol)
            and (not currency or contract.currency == currency)
            and (not exchange or exchange in (contract.exchange, contract.primary_exchange))
            and (not trading_class or contract.trading_class == trading_class)
        )


def _stocks() -> Iterator[ListedContract]:
    for symbol, con_id, primary, trading_class, name in _STOCKS:
        yield _stock(symbol, con_id, primary, trading_class, name)


def _stock(symbol: str, con_id: int, primary: str, trading_class: str, name: str) -> ListedContract:
    return ListedContract(
        con_id=con_id,
        symbol=symbol,
        security_type=SecurityType.STOCK,
        exchange="SMART",
        primary_exchange=primary,
        currency="USD",
        local_symbol=symbol,
        trading_class=trading_class,
        long_name=name,
    )


def _unknown_stock(symbol: str, taken: dict[int, ListedContract]) -> ListedContract:
    con_id = _hashed_id(symbol)
    while con_id in taken:
        con_id += 1
    return _stock(symbol, con_id, "NYSE", symbol, symbol)


def _hashed_id(name: str) -> int:
    return _HASHED_ID_BASE + crc32(name.encode()) % _HASHED_ID_RANGE


def _futures(around: date) -> Iterator[ListedContract]:
    for symbol, name, multiplier in _FUTURES:
        for expiry in _next_expiries(around):
            local_symbol = f"{symbol}{_MONTH_CODES[expiry.month]}{expiry.year % 10}"
            yield ListedContract(
                con_id=_hashed_id(f"{symbol}{expiry:%Y%m%d}"),
                symbol=symbol,
                security_type=SecurityType.FUTURE,
                exchange="CME",
                primary_exchange="",
                currency="USD",
                local_symbol=local_symbol,
                trading_class=symbol,
                long_name=name,
                expiry=f"{expiry:%Y%m%d}",
                multiplier=multiplier,
                tick_size=Decimal("0.25"),
                time_zone="America/Chicago",
                market_rule_id=67,
            )


def _next_expiries(around: date) -> list[date]:
    """The next third Fridays of March, June, September and December, from ``around`` on."""
    months = ((around.year + offset // 12, offset % 12 + 1) for offset in range(60))
    fridays = (_third_friday(year, month) for year, month in months if month in _MONTH_CODES)
    return [friday for friday in fridays if friday >= around][:QUARTERS_LISTED]


def _third_friday(year: int, month: int) -> date:
    first = date(year, month, 1)
    return first + timedelta(days=(4 - first.weekday()) % 7 + 14)


def _currencies() -> Iterator[ListedContract]:
    for symbol, currency, con_id, tick_size, rule_id, name in _CURRENCIES:
        yield ListedContract(
            con_id=con_id,
            symbol=symbol,
            security_type=SecurityType.CASH,
            exchange="IDEALPRO",
            primary_exchange="",
            currency=currency,
            local_symbol=f"{symbol}.{currency}",
            trading_class=f"{symbol}.{currency}",
            long_name=name,
            tick_size=tick_size,
            market_rule_id=rule_id,
        )
