"""The simulated broker of a machine, asked by its own API as another client."""

from typing import Any, Final

from ib_async import IB

from tests.lab.lab import Lab

HOST: Final = "127.0.0.1"
CLIENT_ID: Final = 77
TIMEOUT_S: Final = 30.0


def ask_broker(lab: Lab, port: int) -> dict[str, Any]:
    """``orders`` and ``executed`` (references), ``working`` (the symbols of the orders) and ``positions`` by symbol."""
    return lab.run_in_network(lambda: _ask(port))


async def _ask(port: int) -> dict[str, Any]:
    ib = IB()
    await ib.connectAsync(HOST, port, clientId=CLIENT_ID, timeout=TIMEOUT_S)
    try:
        orders = await ib.reqAllOpenOrdersAsync()
        fills = await ib.reqExecutionsAsync()
        return {
            "orders": sorted(trade.order.orderRef for trade in orders),
            "working": sorted(trade.contract.symbol for trade in orders),
            "executed": sorted({fill.execution.orderRef for fill in fills}),
            "positions": {held.contract.symbol: int(held.position) for held in ib.positions() if held.position},
        }
    finally:
        ib.disconnect()
