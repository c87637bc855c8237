"""What can be traded, and how it is found."""

from datetime import date
from decimal import Decimal

import pytest

from trader.contracts import SecurityType
from trader.simulator.contract_book import ContractBook, market_key

BOOK = ContractBook()


def test_a_stock_is_found_by_symbol_on_smart_or_its_own_exchange():
    [spy] = BOOK.find(symbol="SPY")
    assert (spy.exchange, spy.primary_exchange, spy.currency) == ("SMART", "ARCA", "USD")
    assert BOOK.find(symbol="SPY", exchange="SMART") == BOOK.find(symbol="SPY", exchange="ARCA") == (spy,)
    assert BOOK.find(con_id=spy.con_id) == (spy,)


@pytest.mark.parametrize(
    "wrong",
    [
        {"exchange": "LSE"},
        {"currency": "EUR"},
        {"security_type": SecurityType.FUTURE},
        {"con_id": 1},
        {"expiry": "202603"},
        {"trading_class": "NMS"},
        {"local_symbol": "QQQ"},
    ],
)
def test_a_contract_that_does_not_fit_everything_is_not_found(wrong):
    assert BOOK.find(symbol="SPY", **wrong) == ()


def test_nothing_given_finds_nothing():
    assert BOOK.find() == BOOK.find(security_type=SecurityType.STOCK) == ()


def test_futures_are_the_next_third_fridays_of_the_quarters():
    expiries = [item.expiry for item in ContractBook(around=date(2013, 10, 7)).find(symbol="ES")]
    assert expiries == ["20131220", "20140321", "20140620", "20140919", "20141219"]


def test_a_future_is_found_by_month_by_day_and_by_local_symbol():
    [contract] = BOOK.find(symbol="ES", expiry="202603", exchange="CME")
    assert (contract.local_symbol, contract.multiplier, contract.tick_size) == ("ESH6", 50, Decimal("0.25"))
    assert BOOK.find(local_symbol="ESH6") == BOOK.find(symbol="ES", expiry="20260320") == (contract,)
    assert BOOK.find(symbol="NQ", expiry="202603")[0].multiplier == 20


def test_the_expiring_future_is_listed_on_its_last_day():
    assert ContractBook(around=date(2026, 3, 20)).find(symbol="ES")[0].expiry == "20260320"
    assert ContractBook(around=date(2026, 3, 21)).find(symbol="ES")[0].expiry == "20260619"


def test_a_currency_pair_is_keyed_by_both_currencies():
    [pair] = BOOK.find(symbol="EUR", security_type=SecurityType.CASH, currency="USD", exchange="IDEALPRO")
    assert market_key(pair) == pair.local_symbol == "EUR.USD"
    assert BOOK.market_rule(pair.market_rule_id) == ((0, Decimal("0.00005")),)


def test_an_unknown_symbol_becomes_a_stock_whose_id_does_not_depend_on_others():
    [alone] = ContractBook(["ZZZ"]).find(symbol="ZZZ")
    [among] = ContractBook(["AAA", "SPY", "ZZZ"]).find(symbol="ZZZ")
    assert alone.con_id == among.con_id
    assert alone.security_type is SecurityType.STOCK
    assert BOOK.find(symbol="ZZZ") == ()


def test_ids_and_keys_are_unique_and_rules_exist():
    every = ContractBook([f"S{number}" for number in range(500)]).all()
    assert len({item.con_id for item in every}) == len({market_key(item) for item in every}) == len(every)
    for item in every:
        [(_, increment)] = BOOK.market_rule(item.market_rule_id)
        assert increment == item.tick_size
    assert BOOK.market_rule(1) == ()


def test_a_contract_is_found_by_its_market_key():
    for contract in BOOK.all():
        assert BOOK.by_key(market_key(contract)) is contract
        assert BOOK.by_con_id(contract.con_id) is contract
    assert BOOK.by_key("?") is BOOK.by_con_id(0) is None
