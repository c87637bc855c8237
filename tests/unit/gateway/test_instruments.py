"""Which instrument a contract of the broker is."""

from decimal import Decimal

from trader.contracts import Instrument, SecurityType
from trader.gateway.instruments import InstrumentIndex
from trader.gateway.translate import ContractText

AAPL = Instrument(symbol="AAPL")
EUR = Instrument(symbol="EUR.USD", ib_symbol="EUR", security_type=SecurityType.CASH, exchange="IDEALPRO")
ES = Instrument(symbol="ES", security_type=SecurityType.FUTURE, expiry="201312", exchange="CME", multiplier=Decimal(50))


def index() -> InstrumentIndex:
    return InstrumentIndex({item.symbol: item for item in (AAPL, EUR, ES)})


def contract(con_id: int, symbol: str, kind: str, **more: str) -> ContractText:
    return ContractText(con_id=con_id, symbol=symbol, security_type=kind, **{"currency": "USD", **more})


def test_before_it_is_qualified_an_instrument_is_known_by_what_describes_it() -> None:
    found = index()
    assert found.resolve(contract(1, "AAPL", "STK")).symbol == "AAPL"
    assert found.resolve(contract(2, "EUR", "CASH")).symbol == "EUR.USD"
    assert found.resolve(contract(3, "ES", "FUT", expiry="20131220")).symbol == "ES"


def test_once_qualified_it_is_known_by_its_con_id() -> None:
    found = index()
    found.qualify("AAPL", 265598, Decimal("0.05"))
    resolved = found.resolve(contract(265598, "APPLE", "STK"))
    assert (resolved.symbol, resolved.con_id, resolved.tick_size) == ("AAPL", 265598, Decimal("0.05"))


def test_a_contract_of_another_currency_or_expiry_is_another_instrument() -> None:
    found = index()
    assert found.resolve(contract(4, "AAPL", "STK", currency="EUR")).symbol == "AAPL#4"
    assert found.resolve(contract(5, "ES", "FUT", expiry="20140321", local_symbol="ESH4")).symbol == "ESH4"


def test_what_is_not_configured_gets_an_instrument_that_can_be_traded() -> None:
    found = index()
    made = found.resolve(contract(6, "GBP", "CASH"))
    assert (made.symbol, made.ib_symbol, made.exchange, made.con_id) == ("GBP.USD", "GBP", "IDEALPRO", 6)
    assert found.resolve(contract(7, "IBM", "STK")).exchange == "SMART"
    assert found.resolve(contract(8, "X", "BOND")).security_type is SecurityType.OTHER


def test_the_same_contract_is_always_the_same_instrument() -> None:
    found = index()
    assert found.resolve(contract(7, "IBM", "STK")) is found.resolve(contract(7, "IBM", "STK"))
