"""A bare client in ib_async or ib_insync, as fast as one can write it: it looks at each tick and sends on the marker.

Run as ``python peer_asyncio.py LIBRARY PORT SYMBOL…`` with an interpreter that has the library. It has no limits, no
books, no journal and no log.
"""

import asyncio
import sys
from importlib import import_module
from typing import Any

MARKER_ASK = 101.0
ASK = 2
QUANTITY = 100


async def main(library: str, port: int, symbols: list[str]) -> None:
    api: Any = import_module(library)
    ib = api.IB()
    await ib.connectAsync("127.0.0.1", port, clientId=1, timeout=30)
    contracts = await ib.qualifyContractsAsync(*(api.Stock(symbol, "SMART", "USD") for symbol in symbols))
    held: set[int] = set()
    order, place = api.LimitOrder, ib.placeOrder

    def on_update(ticker: Any) -> None:
        for tick in ticker.ticks:
            if tick.price == MARKER_ASK and tick.tickType == ASK:
                contract = ticker.contract
                if contract.conId in held:
                    held.discard(contract.conId)
                    place(contract, order("SELL", QUANTITY, ticker.bid))
                else:
                    held.add(contract.conId)
                    place(contract, order("BUY", QUANTITY, tick.price))

    for contract in contracts:
        ticker = ib.reqMktData(contract)
        ticker.updateEvent += on_update
    await ib.disconnectedEvent


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3:]))
