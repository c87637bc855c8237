"""A bare client in IBKR's own ibapi, as fast as one can write it: it looks at each tick and sends on the marker.

Run as ``python peer_ibapi.py PORT SYMBOL…`` with an interpreter that has the library. It has no limits, no books, no
journal and no log.
"""

# ruff: noqa: N802, N803 - the callbacks are named by the library

import sys
from importlib import import_module
from typing import Any

MARKER_ASK = 101.0
ASK, BID = 2, 1
QUANTITY = 100

Client: Any = import_module("ibapi.client").EClient
Wrapper: Any = import_module("ibapi.wrapper").EWrapper
Contract: Any = import_module("ibapi.contract").Contract
Order: Any = import_module("ibapi.order").Order


class Peer(Wrapper, Client):  # type: ignore[misc] # the library comes without types
    """Buys on an instrument's marker, and sells on its next."""

    def __init__(self, symbols: list[str]) -> None:
        Client.__init__(self, self)
        self.contracts = [_stock(symbol) for symbol in symbols]
        self.bids: dict[int, float] = {}
        self.held: set[int] = set()
        self.next_id = 0

    def nextValidId(self, orderId: int) -> None:
        self.next_id = orderId
        for number, contract in enumerate(self.contracts):
            self.reqContractDetails(number, contract)

    def contractDetails(self, reqId: int, contractDetails: Any) -> None:
        self.contracts[reqId] = contractDetails.contract
        self.reqMktData(reqId, contractDetails.contract, "", False, False, [])

    def tickPrice(self, reqId: int, tickType: int, price: float, attrib: Any) -> None:
        if tickType == BID:
            self.bids[reqId] = price
        elif tickType == ASK and price == MARKER_ASK:
            self.next_id += 1
            if reqId in self.held:
                self.held.discard(reqId)
                self.placeOrder(self.next_id, self.contracts[reqId], _limit("SELL", self.bids[reqId]))
            else:
                self.held.add(reqId)
                self.placeOrder(self.next_id, self.contracts[reqId], _limit("BUY", price))

    def error(self, *details: Any) -> None:
        """The library prints them; nothing is wrong that would not show as an order that does not come."""


def _stock(symbol: str) -> Any:
    contract = Contract()
    contract.symbol, contract.secType, contract.exchange, contract.currency = symbol, "STK", "SMART", "USD"
    return contract


def _limit(action: str, price: float) -> Any:
    order = Order()
    order.action, order.orderType, order.totalQuantity, order.lmtPrice = action, "LMT", QUANTITY, price
    # Old releases send these by default, and the broker refuses them nowadays.
    order.eTradeOnly = order.firmQuoteOnly = False
    return order


if __name__ == "__main__":
    peer = Peer(sys.argv[2:])
    peer.connect("127.0.0.1", int(sys.argv[1]), 1)
    peer.run()
