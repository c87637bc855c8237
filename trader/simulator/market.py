"""Where market events come from: the ``MarketSource`` protocol and the seeded synthetic market.

Rules: a source yields events in time order and knows its contracts and its start without being run. The
synthetic market never ends and, unless it is given hours, never closes. The same seed gives the same events,
and a contract's events do not depend on which other contracts there are.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from math import exp, log, sqrt
from random import Random
from typing import Final, Protocol
from zlib import crc32

from trader.clock import require_aware
from trader.contracts import SecurityType
from trader.simulator.contract_book import ContractBook
from trader.simulator.hours import TradingHours
from trader.simulator.model import ListedContract, MarketEvent

SYNTHETIC_START: Final = datetime(2026, 1, 5, 14, 30, tzinfo=UTC)


class MarketSource(Protocol):
    """A market. ``contracts`` are its market keys, ``start`` is when its first event happens, at the latest."""

    @property
    def contracts(self) -> tuple[str, ...]: ...

    @property
    def start(self) -> datetime: ...

    def events(self) -> Iterator[MarketEvent]:
        """Events from the start, in time order; may never end. Each call begins anew."""
        ...


_PRICES: Final = {
    "AAPL": 240.0, "AIG": 75.0, "AMD": 140.0, "AMZN": 210.0, "BAC": 45.0, "DIA": 430.0, "DIS": 110.0,
    "ES": 6000.0, "EUR.USD": 1.1, "GBP.USD": 1.27, "GLD": 250.0, "GOOG": 180.0, "IBM": 230.0, "INTC": 25.0,
    "IWM": 225.0, "JPM": 240.0, "KO": 65.0, "META": 600.0, "MSFT": 430.0, "NQ": 21000.0, "NVDA": 135.0,
    "QQQ": 510.0, "SPY": 590.0, "TLT": 90.0, "TSLA": 350.0, "USD.JPY": 150.0, "XOM": 110.0,
}  # fmt: skip
_SIZE_UNIT: Final = {SecurityType.STOCK: 100, SecurityType.FUTURE: 1, SecurityType.CASH: 100_000}

DRIFT_PER_SQRT_S: Final = 0.00003
REVERSION_SD: Final = 0.0014
REVERSION_HALF_LIFE_S: Final = 60.0
VOLATILITY_SD: Final = 0.3
VOLATILITY_HALF_LIFE_S: Final = 600.0
TRADE_PROBABILITY: Final = 0.3
_CACHED_PRICES: Final = 50_000


class SyntheticMarket:
    """A market out of random numbers: quotes with spreads and sizes, trades, changing volatility.

    The middle price of each contract is a slow random walk (0.3 basis points per square root of a second,
    about 7 % a year of regular hours) **times a mean-reverting deviation**: an Ornstein-Uhlenbeck process with
    a standard deviation of 14 basis points and a half-life of 60 seconds. That is far more predictable than
    any real market. A mean-reversion strategy earns money here because of it, which shows that the strategy
    is carried out as it should be and says nothing about whether it would earn anything elsewhere.

    ``keys`` are market keys of a ``ContractBook``; each gets one event every ``interval_s`` seconds. With
    ``hours`` there are events in regular hours only.
    """

    def __init__(
        self,
        keys: Iterable[str],
        seed: int,
        start: datetime = SYNTHETIC_START,
        interval_s: float = 0.25,
        hours: TradingHours | None = None,
    ) -> None:
        require_aware(start)
        if not 0.001 <= interval_s <= 3600:
            raise ValueError(f"interval_s must be between 0.001 and 3600, not {interval_s}")
        self.contracts = tuple(dict.fromkeys(keys))
        if not self.contracts:
            raise ValueError("a market needs at least one contract")
        self.start = start.astimezone(UTC)
        self._seed = seed
        self._interval_s = interval_s
        self._hours = hours

    def events(self) -> Iterator[MarketEvent]:
        """Events from the start on, for ever: one of each contract in turn, evenly spaced."""
        book = ContractBook(self.contracts, around=self.start.date())
        makers = [self._maker(book, key) for key in self.contracts]
        step = timedelta(seconds=self._interval_s / len(makers))
        at = self.start
        while True:
            if self._hours is not None and not self._hours.is_regular(at):
                at = self._hours.next_open(at).astimezone(UTC)
            for make in makers:
                yield make(at)
                at += step

    def _maker(self, book: ContractBook, key: str) -> Callable[[datetime], MarketEvent]:
        contract = book.by_key(key)
        assert contract is not None, "the book was built with every key"
        return _Process(contract, key, Random(f"{self._seed}/{key}"), self._interval_s).next_event


class _Process:
    """The random process of one contract, in ticks of its price."""

    def __init__(self, contract: ListedContract, key: str, random: Random, interval_s: float) -> None:
        price = _PRICES.get(key) or _PRICES.get(contract.symbol) or 20.0 + crc32(key.encode()) % 28_000 / 100
        self._key = key
        self._random = random
        self._tick = contract.tick_size
        self._log_price = log(price / float(contract.tick_size))
        self._unit = _SIZE_UNIT[contract.security_type]
        self._deviation = random.gauss(0.0, REVERSION_SD)
        self._log_volatility = random.gauss(0.0, VOLATILITY_SD)
        self._drift = DRIFT_PER_SQRT_S * sqrt(interval_s)
        self._keep = 0.5 ** (interval_s / REVERSION_HALF_LIFE_S)
        self._shock = REVERSION_SD * sqrt(1 - self._keep**2)
        self._volatility_keep = 0.5 ** (interval_s / VOLATILITY_HALF_LIFE_S)
        self._volatility_shock = VOLATILITY_SD * sqrt(1 - self._volatility_keep**2)
        self._typical_spread = max(1.0, price / float(contract.tick_size) * 0.00002)
        self._prices: dict[int, Decimal] = {}
        self._sizes = [Decimal(self._unit * count) for count in range(61)]

    def next_event(self, at: datetime) -> MarketEvent:
        random = self._random
        gauss = random.gauss
        self._log_volatility = self._log_volatility * self._volatility_keep + gauss(0.0, self._volatility_shock)
        volatility = exp(self._log_volatility)
        self._log_price += gauss(0.0, self._drift) * volatility
        self._deviation = self._deviation * self._keep + gauss(0.0, self._shock) * volatility
        middle = exp(self._log_price + self._deviation)
        spread = max(1, round(self._typical_spread * volatility * (0.5 + random.random())))
        bid = max(1, round(middle - spread / 2))
        last = last_size = None
        if random.random() < TRADE_PROBABILITY:
            last = self._price(bid + spread if random.random() < 0.5 else bid)
            last_size = self._sizes[1 + int(random.random() * 10)]
        return MarketEvent(
            at=at,
            symbol=self._key,
            bid=self._price(bid),
            bid_size=self._sizes[1 + int(random.random() * 40)],
            ask=self._price(bid + spread),
            ask_size=self._sizes[1 + int(random.random() * 40)],
            last=last,
            last_size=last_size,
        )

    def _price(self, ticks: int) -> Decimal:
        price = self._prices.get(ticks)
        if price is None:
            if len(self._prices) >= _CACHED_PRICES:
                self._prices.clear()
            price = self._prices[ticks] = ticks * self._tick
        return price
