"""Orders as ib_async writes them, at every version, read back field by field."""

import contextlib
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ib_async import (
    ComboLeg,
    Contract,
    DeltaNeutralContract,
    Order,
    OrderComboLeg,
    PriceCondition,
    Stock,
    TagValue,
    TimeCondition,
)
from ib_async.client import Client

from trader.contracts import OrderType, Side, TimeInForce
from trader.simulator.wire.codec import BadRequest, FieldCursor, FrameReader
from trader.simulator.wire.requests import GROUP_SEPARATOR, order_request, read_order

VERSIONS = [157, 159, 163, 166, 169, 170, 176, 177, 178]


class Wire:
    """Stands where the client's socket would be and keeps what is sent."""

    def __init__(self):
        self.reader = FrameReader()

    def sendMsg(self, data):  # noqa: N802 - the library's name
        self.reader.feed(data)

    def disconnect(self):
        """Nothing to end."""


async def written(contract, order, version):
    """The fields of placeOrder as the library sends them."""
    client = Client(object())
    client.conn = wire = Wire()
    client.connState = Client.CONNECTED
    client._serverVersion = version
    client.placeOrder(77, contract, order)
    (fields,) = wire.reader.frames()
    return fields


STOCK = Stock("AAPL", "SMART", "USD", conId=265598)
BAG = Contract(
    secType="BAG",
    symbol="X",
    exchange="SMART",
    comboLegs=[ComboLeg(1, 1, "BUY", "SMART"), ComboLeg(2, 2, "SELL", "SMART")],
)
TAIL = {"cashQty": 5000.0, "discretionaryUpToLimitPrice": True}
ORDERS = {
    "plain": (STOCK, {}),
    "algo": (STOCK, {"algoStrategy": "Adaptive", "algoParams": [TagValue("adaptivePriority", "Normal")]}),
    "conditions": (
        STOCK,
        {"conditions": [PriceCondition(price=5.0, conId=1, exch="SMART"), TimeCondition(time="20131007 15:00:00")]},
    ),
    "hedge": (STOCK, {"hedgeType": "D", "hedgeParam": "x"}),
    "scale": (STOCK, {"scaleInitLevelSize": 5, "scalePriceIncrement": 0.1, "scaleAutoReset": True}),
    "delta neutral": (STOCK, {"deltaNeutralOrderType": "MKT", "deltaNeutralConId": 9}),
    "benchmark": (STOCK, {"orderType": "PEG BENCH", "referenceContractId": 3}),
    "combination": (
        BAG,
        {
            "orderComboLegs": [OrderComboLeg(1.0), OrderComboLeg(2.0)],
            "smartComboRoutingParams": [TagValue("NonGuaranteed", "1")],
        },
    ),
    "delta neutral contract": (
        Stock("AAPL", "SMART", "USD", deltaNeutralContract=DeltaNeutralContract(1, 0.5, 2.0)),
        {},
    ),
}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", ORDERS)
async def test_an_order_is_read_to_its_last_field_at_every_version(name, version):
    contract, values = ORDERS[name]
    order = Order(action="BUY", totalQuantity=100, **{"orderType": "LMT", "lmtPrice": 10.5, **TAIL, **values})
    fields = read_order(FieldCursor(await written(contract, order, version), 1), version)
    assert fields.order_id == 77
    assert (fields.raw["cash_qty"], fields.raw["discretionary_limit"]) == ("5000.0", "1")
    assert fields.contract.symbol == contract.symbol


async def test_every_term_reaches_the_exchange():
    order = Order(
        action="SELL",
        totalQuantity=250,
        orderType="STP LMT",
        lmtPrice=10.5,
        auxPrice=10.75,
        tif="GTC",
        ocaGroup="one",
        ocaType=2,
        orderRef="ref",
        parentId=5,
        transmit=False,
        outsideRth=True,
        whatIf=True,
    )
    request = order_request(3, read_order(FieldCursor(await written(STOCK, order, 178), 1), 178), 265598, "DU1")
    assert (request.client_id, request.order_id, request.con_id, request.side) == (3, 77, 265598, Side.SELL)
    assert (request.quantity, request.order_type) == (Decimal(250), OrderType.STOP_LIMIT)
    assert (request.limit_price, request.aux_price) == (Decimal("10.5"), Decimal("10.75"))
    assert (request.time_in_force, request.oca_group, request.oca_type) == (TimeInForce.GTC, "one", 2)
    assert (request.order_ref, request.parent_id, request.account) == ("ref", 5, "DU1")
    assert (request.transmit, request.outside_rth, request.what_if) == (False, True, True)


async def test_an_unset_price_is_none_and_a_trail_is_read():
    order = Order(action="BUY", totalQuantity=1, orderType="TRAIL", trailingPercent=1.5, trailStopPrice=9.0)
    request = order_request(1, read_order(FieldCursor(await written(STOCK, order, 178), 1), 178), 1, "DU1")
    assert (request.limit_price, request.trailing_percent) == (None, Decimal("1.5"))
    assert request.trail_stop_price == Decimal("9.0")


async def test_algo_parameters_and_conditions_are_kept_to_be_echoed():
    order = Order(action="BUY", totalQuantity=1, orderType="MKT", **ORDERS["algo"][1], **ORDERS["conditions"][1])
    raw = read_order(FieldCursor(await written(STOCK, order, 178), 1), 178).raw
    assert raw["algo_parameters"].split(GROUP_SEPARATOR) == ["adaptivePriority", "Normal"]
    assert raw["conditions"].split(GROUP_SEPARATOR)[0] == "1"
    assert raw["conditions"].split(GROUP_SEPARATOR)[7] == "3"


async def test_fields_that_a_later_client_adds_are_tolerated():
    fields = await written(STOCK, Order(action="BUY", totalQuantity=1, orderType="MKT"), 178)
    assert read_order(FieldCursor([*fields, "new", "fields"], 1), 178).order_id == 77


UNSUPPORTED = {
    "order type": {"orderType": "PEG MID"},
    "action": {"action": "HOLD"},
    "time in force": {"tif": "OPG"},
}


@pytest.mark.parametrize("what", UNSUPPORTED)
async def test_what_the_exchange_cannot_do_is_named(what):
    order = Order(**{"action": "BUY", "totalQuantity": 1, "orderType": "MKT", **UNSUPPORTED[what]})
    fields = read_order(FieldCursor(await written(STOCK, order, 178), 1), 178)
    with pytest.raises(BadRequest, match=what):
        order_request(1, fields, 1, "DU1")


@given(
    st.lists(st.one_of(st.just(""), st.just("1"), st.integers().map(str), st.text(max_size=4)), max_size=160),
    st.sampled_from(VERSIONS),
)
def test_no_fields_whatever_are_more_than_a_bad_request(fields, version):
    with contextlib.suppress(BadRequest):
        order_request(1, read_order(FieldCursor(fields), version), 1, "DU1")
