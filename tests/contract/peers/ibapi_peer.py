"""Drives IBKR's own ibapi, unmodified, against the gateway on the port given; prints what it saw as JSON.

Run by ``test_peers.py`` with the interpreter of an environment of its own; serves the releases 9.81 and 10.
"""

# ruff: noqa: N802, N803 - the callbacks are named by the library

import inspect
import json
import logging
import os
import queue
import sys
import threading
import traceback

from ibapi.client import EClient
from ibapi.contract import Contract
from ibapi.execution import ExecutionFilter
from ibapi.order import Order
from ibapi.wrapper import EWrapper

WAIT_S = 20


class Problems(logging.Handler):
    """Collects what the library logs as an error: its reader reports malformed messages nowhere else."""

    def __init__(self):
        super().__init__(logging.ERROR)
        self.texts = []

    def emit(self, record):
        self.texts.append(record.getMessage()[:300])


class Peer(EWrapper, EClient):
    """Every callback of interest becomes one (name, values) in a queue."""

    def __init__(self):
        EClient.__init__(self, self)
        self.heard = queue.Queue()
        self.codes = []

    def wait(self, name, wanted=lambda *values: True):
        """The values of the next callback ``name`` that is wanted."""
        while True:
            heard, values = self.heard.get(timeout=WAIT_S)
            if heard == name and wanted(*values):
                return values

    def error(self, request_id, *details):
        self.codes.append(next((item for item in details if isinstance(item, int) and item < 100_000), 0))

    def nextValidId(self, orderId):
        self.heard.put(("next id", (orderId,)))

    def contractDetails(self, reqId, contractDetails):
        self.heard.put(("details", (contractDetails,)))

    def tickPrice(self, reqId, tickType, price, attrib):
        self.heard.put(("price", (tickType, price)))

    def tickByTickBidAsk(self, reqId, time, bidPrice, askPrice, bidSize, askSize, tickAttribBidAsk):
        self.heard.put(("bid ask", (bidPrice, askPrice, bidSize)))

    def openOrder(self, orderId, contract, order, orderState):
        self.heard.put(("order", (orderId, contract.symbol, order.action, float(order.totalQuantity))))

    def orderStatus(self, orderId, status, filled, *rest):
        self.heard.put(("status", (orderId, status)))

    def execDetails(self, reqId, contract, execution):
        self.heard.put(("execution", (execution.execId, float(execution.shares))))

    def execDetailsEnd(self, reqId):
        self.heard.put(("executions end", ()))

    def commissionReport(self, commissionReport):
        self.heard.put(("commission", (commissionReport.commission,)))

    def commissionAndFeesReport(self, commissionAndFeesReport):
        self.heard.put(("commission", (commissionAndFeesReport.commissionAndFees,)))

    def position(self, account, contract, position, avgCost):
        self.heard.put(("position", (contract.symbol, float(position))))

    def positionEnd(self):
        self.heard.put(("positions end", ()))

    def completedOrder(self, contract, order, orderState):
        self.heard.put(("completed", (orderState.status,)))

    def completedOrdersEnd(self):
        self.heard.put(("completed end", ()))

    def historicalData(self, reqId, bar):
        self.heard.put(("bar", (bar.close,)))

    def historicalDataEnd(self, reqId, start, end):
        self.heard.put(("bars end", ()))

    def accountSummary(self, reqId, account, tag, value, currency):
        self.heard.put(("summary", (tag, value)))


def stock():
    contract = Contract()
    contract.symbol, contract.secType, contract.exchange, contract.currency = "AAPL", "STK", "SMART", "USD"
    return contract


def order(kind, quantity, limit=None):
    made = Order()
    made.action, made.orderType, made.totalQuantity = "BUY", kind, quantity
    if limit is not None:
        made.lmtPrice = limit
    # Old releases send these by default, and the broker refuses them nowadays.
    made.eTradeOnly = made.firmQuoteOnly = False
    return made


def cancel_details():
    """What cancelOrder takes beside the id: nothing in 9.81, a time in 10.19, an object later."""
    if len(inspect.signature(EClient.cancelOrder).parameters) == 2:
        return ()
    try:
        from ibapi.order_cancel import OrderCancel
    except ImportError:
        return ("",)
    return (OrderCancel(),)


def trade(peer, first_id, contract):
    """A market order to its fill and commission, and a limit order to its cancellation."""
    seen = {}
    peer.placeOrder(first_id, contract, order("MKT", 100))
    seen["order"] = peer.wait("order")
    seen["filled"] = peer.wait("execution")[1]
    seen["status"] = peer.wait("status", lambda _, status: status == "Filled")[1]
    seen["commission"] = peer.wait("commission")[0]
    peer.placeOrder(first_id + 1, contract, order("LMT", 10, 1.0))
    peer.wait("status", lambda number, status: (number, status) == (first_id + 1, "Submitted"))
    peer.cancelOrder(first_id + 1, *cancel_details())
    peer.wait("status", lambda number, status: (number, status) == (first_id + 1, "Cancelled"))
    return seen


def ask(peer, contract):
    """What the broker knows afterwards."""
    seen = {}
    peer.reqPositions()
    seen["position"] = peer.wait("position")
    peer.wait("positions end")
    peer.reqExecutions(3, ExecutionFilter())
    seen["execution"] = peer.wait("execution")[1]
    peer.wait("executions end")
    peer.reqCompletedOrders(False)
    seen["completed"] = sorted(peer.wait("completed")[0] for _ in range(2))
    peer.wait("completed end")
    peer.reqHistoricalData(4, contract, "", "60 S", "5 secs", "MIDPOINT", 0, 1, False, [])
    seen["bars"] = peer.wait("bar")[0] > 0
    peer.wait("bars end")
    peer.reqAccountSummary(5, "All", "NetLiquidation,$LEDGER")
    seen["summary"] = peer.wait("summary")[0] == "NetLiquidation"
    return seen


def main(port):
    problems = Problems()
    logging.getLogger().addHandler(problems)
    peer = Peer()
    peer.connect("127.0.0.1", port, 12)
    threading.Thread(target=peer.run, daemon=True).start()
    first_id = peer.wait("next id")[0]
    peer.reqContractDetails(1, stock())
    contract = peer.wait("details")[0].contract
    peer.reqMktData(1, contract, "", False, False, [])
    price = peer.wait("price", lambda tick, price: tick == 1)[1]
    peer.reqTickByTickData(2, contract, "BidAsk", 0, True)
    bid = peer.wait("bid ask")[0]
    seen = {"version": peer.serverVersion(), "con_id": contract.conId, "quoted": price > 0 and bid > 0}
    seen.update(trade(peer, first_id, contract))
    seen.update(ask(peer, contract))
    peer.disconnect()
    seen["problems"] = problems.texts
    seen["codes"] = sorted(set(peer.codes))
    return seen


if __name__ == "__main__":
    try:
        print(json.dumps(main(int(sys.argv[1]))), flush=True)
    except Exception:  # noqa: BLE001 - whatever it is, it has to be seen and the process has to end
        traceback.print_exc()
        # The library's reader is a thread that would keep the process alive.
        os._exit(1)
    os._exit(0)
