"""Which function answers which message of a client.

Rules: one entry per message id; a message that this gateway knows but cannot serve is answered with the error
the broker would give, so that no client waits for ever.
"""

from typing import Final

from trader.simulator.wire.handle_account import HANDLERS as ACCOUNT
from trader.simulator.wire.handle_bars import HANDLERS as BARS
from trader.simulator.wire.handle_market import HANDLERS as MARKET
from trader.simulator.wire.handle_orders import HANDLERS as ORDERS
from trader.simulator.wire.handle_reference import HANDLERS as REFERENCE
from trader.simulator.wire.handler import Handler, HandlerTable

__all__ = ["HANDLERS", "Handler"]

HANDLERS: Final[HandlerTable] = {
    **REFERENCE,
    **MARKET,
    **BARS,
    **ORDERS,
    **ACCOUNT,
}
