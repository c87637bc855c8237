"""The TWS API on a loopback socket, over the simulated exchange.

``codec`` frames and fields; ``requests`` what clients send; ``encode_*`` what they are sent; ``session`` one
client's connection; ``handlers`` one function per request; ``feed`` market data subscriptions; ``driver`` the
simulated clock; ``server`` puts them together.
"""

from trader.simulator.wire.options import ClockStart, ServerOptions, ServerRefused
from trader.simulator.wire.server import SimulatedGatewayServer

__all__ = ["ClockStart", "ServerOptions", "ServerRefused", "SimulatedGatewayServer"]
