"""The TWS API on a loopback socket, over the simulated exchange.

``server`` listens and puts everything together; ``driver`` moves the simulated ``clock``; ``link`` plays the faults
of the link. ``session`` is one client's connection, ``dispatch`` finds the function (``handle_*``) for each of its
messages, ``gateway`` is what the sessions share, ``traffic`` carries orders up and reports down, ``feed`` and
``bar_feed`` are market data. ``codec``, ``requests`` and ``encode_*`` are the protocol itself, pure.
"""

from trader.simulator.wire.options import ClockStart, ServerOptions, ServerRefused
from trader.simulator.wire.server import SimulatedGatewayServer

__all__ = ["ClockStart", "ServerOptions", "ServerRefused", "SimulatedGatewayServer"]
