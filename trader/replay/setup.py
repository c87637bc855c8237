"""What a replay runs on: the recording, the exchange's contracts, the settings and their instruments.

Rules: whatever does not fit together is one ReplayError that says what, where and what to do. Without a
configuration every instrument of the files is traded with the defaults.
"""

from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from pathlib import Path

from trader.contracts import Instrument, SecurityType
from trader.replay.result import ReplayError
from trader.schedule import ScheduleError, fire_times
from trader.session import CalendarError, SessionCalendar
from trader.session.calendar import ALWAYS
from trader.settings import InstrumentSettings, Settings
from trader.simulator.calendar_hours import us_stock_hours
from trader.simulator.contract_book import ContractBook, market_key
from trader.simulator.hours import ALWAYS_OPEN, TradingHours
from trader.simulator.model import ListedContract
from trader.simulator.recorded import MarketDataFileError, RecordedMarket
from trader.simulator.translate import instrument_of
from trader.strategy.api import Strategy
from trader.strategy.loader import StrategyError, load_strategy

SYMBOLS_MAX = 100
# Two days of four symbols. What is kept is read once, which is a tenth of a replay's time.
KEPT_ROWS = 200_000


def open_market(files: Sequence[Path]) -> RecordedMarket:
    """The recording in ``files``, which follow one another in time."""
    if not files:
        raise ReplayError("name at least one recorded file to replay")
    try:
        return RecordedMarket(files, KEPT_ROWS)
    except MarketDataFileError as error:
        raise ReplayError(str(error)) from error


def default_settings(symbols: Collection[str], first: datetime) -> Settings:
    """The defaults, trading everything that the files hold; ``first`` is the time of their first row."""
    if not symbols:
        raise ReplayError("the files hold no rows, so there is nothing to replay")
    if len(symbols) > SYMBOLS_MAX:
        raise ReplayError(
            f"the files hold {len(symbols)} symbols, more than the {SYMBOLS_MAX} that can be traded at once; "
            "name those to trade in a configuration (--config)"
        )
    book = ContractBook(symbols, first.date())
    return Settings(instruments=tuple(_as_configured(symbol, book.by_key(symbol)) for symbol in sorted(symbols)))


def _as_configured(name: str, contract: ListedContract | None) -> InstrumentSettings:
    """How a configuration would name ``contract``, which a recording calls ``name``."""
    if contract is None or contract.security_type is SecurityType.STOCK:
        return InstrumentSettings(symbol=name)
    return InstrumentSettings(
        symbol=name,
        security_type=contract.security_type,
        exchange=contract.exchange,
        currency=contract.currency,
        expiry=contract.expiry,
        ib_symbol=contract.symbol,
        multiplier=contract.multiplier,
        tick_size=contract.tick_size,
    )


def load_calendar(settings: Settings) -> SessionCalendar:
    try:
        return SessionCalendar.load(settings.session.calendar, settings.session.calendar_file)
    except CalendarError as error:
        raise ReplayError(str(error)) from error


def hours_of(settings: Settings) -> TradingHours:
    """The exchange's hours: those of US stocks, or none when the calendar never closes."""
    return ALWAYS_OPEN if settings.session.calendar == ALWAYS else us_stock_hours()


def qualify(settings: Settings, book: ContractBook, recorded: Collection[str]) -> dict[str, Instrument]:
    """The configured instruments with the exchange's contract ids, keyed by the service's symbols."""
    found: dict[str, Instrument] = {}
    missing: list[str] = []
    for item in settings.instruments:
        contract = _listed(item, book)
        if contract is None or market_key(contract) not in recorded:
            missing.append(item.symbol)
        else:
            found[item.symbol] = instrument_of(contract, item.symbol)
    if missing:
        raise ReplayError(
            f"the configuration trades {', '.join(missing)}, but the files hold only {', '.join(sorted(recorded))}; "
            "change instruments, or replay files that hold them"
        )
    return found


def _listed(item: InstrumentSettings, book: ContractBook) -> ListedContract | None:
    contracts = book.find(
        symbol=item.ib_symbol or item.symbol,
        security_type=item.security_type,
        expiry=item.expiry,
        currency=item.currency,
    )
    if contracts or item.security_type is not SecurityType.CASH:
        return contracts[0] if contracts else None
    return book.by_key(item.symbol)


def require_covered(calendar: SessionCalendar, first: datetime) -> None:
    """Refuse a recording that the calendar does not know."""
    try:
        calendar.session_at(first)
    except CalendarError as error:
        raise ReplayError(str(error)) from error


def build_strategy(settings: Settings, instruments: Collection[str]) -> Strategy:
    try:
        return load_strategy(settings.strategy, instruments)
    except StrategyError as error:
        raise ReplayError(str(error)) from error


def schedule(settings: Settings, start: datetime) -> Iterator[datetime]:
    """The moments at which the strategy's schedule comes due on the recorded time."""
    try:
        return fire_times(settings.strategy.schedule, settings.strategy.schedule_time_zone, start)
    except ScheduleError as error:
        raise ReplayError(str(error)) from error
