"""What the service asks of a gateway.

Rules: a gateway turns commands into messages and messages into facts, and holds no opinion about orders or
positions. Everything it learns goes to the ``sink`` it was built with, in the order in which it arrived,
on the loop's thread; ``execute`` never blocks and never raises for what the broker may do.
"""

from collections.abc import Callable
from typing import Protocol

from trader.events import AnyFact, Command

Sink = Callable[[AnyFact], None]


class Gateway(Protocol):
    """The broker's edge, as the service sees it."""

    async def run(self) -> None:
        """Keep the link up until ``close``; returns then. Raises GatewayError when it can never work."""
        ...

    def execute(self, command: Command) -> None:
        """Start carrying a command out; what comes of it arrives as facts."""
        ...

    async def close(self) -> None:
        """Send what cancels are still queued, disconnect, and make ``run`` return. Idempotent."""
        ...


class GatewayError(Exception):
    """A gateway that cannot work as configured: wrong account, wrong gateway, a host that is refused."""
