"""A panic by the running service: told to it, then watched until the account is flat or it is left to others.

Rules: a service that does not answer, or has no order working towards it, is waited for ``PATIENCE_S`` and no longer.
"""

import asyncio
from collections.abc import Callable
from typing import Final, TypeAlias

from trader.clock import NANOSECONDS_PER_SECOND, Clock
from trader.contracts import TradingState
from trader.control import ControlClient
from trader.control_messages import Command, ControlError, NoServiceError
from trader.settings import Settings
from trader.snapshot import Snapshot

POLL_S: Final = 0.2
PATIENCE_S: Final = 15.0

Tell: TypeAlias = Callable[[str], None]


async def flattened_by_service(
    settings: Settings, clock: Clock, tell: Tell, complain: Tell, *, while_it_works: bool = False
) -> bool:
    """Whether the running service cancelled and flattened everything; NoServiceError when none runs.

    ``while_it_works`` waits on for a service in panic whose orders stand at the broker, such as those that wait for a
    market to open: closing the same positions beside it could close them twice.
    """
    client = ControlClient(settings.control.socket)
    deadline_ns = clock.monotonic_ns() + int(PATIENCE_S * NANOSECONDS_PER_SECOND)
    try:
        await asyncio.to_thread(client.call, Command.PANIC)
        tell("the service is flattening")
        while True:
            snapshot = (await asyncio.to_thread(client.call, Command.STATUS)).value(Snapshot)
            if snapshot.panic_completed:
                tell("flat: the service cancelled every order and closed every position")
                return True
            if clock.monotonic_ns() >= deadline_ns and not (while_it_works and _works(snapshot)):
                break
            await asyncio.sleep(POLL_S)
    except NoServiceError:
        raise
    except ControlError as error:
        complain(f"the service does not answer ({error}): flattening from here")
        return False
    complain(f"the service is not done after {PATIENCE_S:.0f} s: flattening from here")
    return False


def _works(snapshot: Snapshot) -> bool:
    in_panic = snapshot.trading_state is TradingState.PANIC
    return in_panic and snapshot.connection.connected and bool(snapshot.open_orders)
