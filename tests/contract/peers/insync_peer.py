"""Drives ib_insync, unmodified, against the gateway on the port given; prints what it saw as JSON.

Run by ``test_peers.py`` with the interpreter of ib_insync's own environment.
"""

import json
import sys

from ib_insync import IB, LimitOrder, MarketOrder, Stock


def main(port: int) -> dict[str, object]:
    ib = IB()
    ib.connect("127.0.0.1", port, clientId=11, timeout=60)
    contract = Stock("AAPL", "SMART", "USD")
    ib.qualifyContracts(contract)
    ticker = ib.reqMktData(contract)
    by_tick = ib.reqTickByTickData(contract, "BidAsk")
    quotes = []
    by_tick.updateEvent += lambda t: quotes.extend(t.tickByTicks)
    while not (ticker.hasBidAsk() and quotes):
        ib.waitOnUpdate(timeout=60)
    trade = ib.placeOrder(contract, MarketOrder("BUY", 100))
    while not (trade.fills and trade.fills[0].commissionReport.execId and ib.positions()):
        ib.waitOnUpdate(timeout=60)
    resting = ib.placeOrder(contract, LimitOrder("BUY", 10, 1.0))
    while resting.orderStatus.status != "Submitted":
        ib.waitOnUpdate(timeout=60)
    ib.cancelOrder(resting.order)
    while resting.orderStatus.status != "Cancelled":
        ib.waitOnUpdate(timeout=60)
    position = ib.positions()[0]
    seen = {
        "version": ib.client.serverVersion(),
        "con_id": contract.conId,
        "quoted": ticker.bid > 0 and quotes[0].bidPrice > 0,
        "status": trade.orderStatus.status,
        "filled": trade.fills[0].execution.shares,
        "commission": trade.fills[0].commissionReport.commission,
        "position": [position.contract.symbol, position.position],
        "bars": len(ib.reqHistoricalData(contract, "", "60 S", "5 secs", "MIDPOINT", False)) > 0,
        "completed": sorted(item.orderStatus.status for item in ib.reqCompletedOrders(False)),
        "executions": len(ib.reqExecutions()),
        "summary": any(item.tag == "NetLiquidation" for item in ib.accountSummary()),
    }
    ib.disconnect()
    return seen


if __name__ == "__main__":
    print(json.dumps(main(int(sys.argv[1]))))
