"""``trader panic --hold``: the account is flat while the panic flag is raised, whoever raised it; for that flag's unit.

Rules: it never gives up. A service that runs and obeys flattens; else it is done from here, again and again until the
broker says flat, and only then is systemd told READY. Then it stays until the flag is gone, and while no service runs
it looks at the account again each minute and closes what came back. The flag is the panic: when it is removed, also
before the account is flat, this ends with exit code 0. A failure is one line of priority *error* in the journal.
"""

import asyncio
import os
import sys
from collections.abc import Coroutine, Mapping
from typing import Any, Final

from observability.logs import is_journal_stream
from trader.cli.panic_service import flattened_by_service
from trader.clock import NANOSECONDS_PER_SECOND, Clock
from trader.control import is_listening
from trader.control_messages import NoServiceError
from trader.panic import PanicError, flatten_account
from trader.settings import Settings
from trader.systemd_notify import notify

ATTEMPT_S: Final = 60.0
POLL_S: Final = 1.0
LOOK_AGAIN_S: Final = 60.0
RETRY_S: Final = 1.0
ERROR_PREFIX: Final = "<3>"


class PanicHold:
    """One raised flag, from its sight to its removal."""

    def __init__(self, settings: Settings, clock: Clock, environment: Mapping[str, str] = os.environ) -> None:
        self._settings = settings
        self._clock = clock
        self._environment = environment
        self._flag = settings.panic.flag
        self._error_prefix = ERROR_PREFIX if is_journal_stream(dict(environment)) else ""

    async def run(self) -> None:
        """Return when the flag is gone."""
        if not self._flag.exists():
            self._status(f"no panic flag is raised at {self._flag}: nothing to do", ready=True)
            return
        self._status(f"panic flag {self._flag}: flattening")
        if await self._while_raised(self._until_flat()):
            self._status("flat by the broker's word; holding until the panic flag is removed", ready=True)
            await self._while_raised(self._stay_flat())
            self._status("the panic flag was removed: done")
        else:
            self._complain("the panic flag was removed before the account was known to be flat: look at the account")
            self._status("the panic flag was removed before the account was known to be flat", ready=True)

    async def _while_raised(self, work: Coroutine[Any, Any, None]) -> bool:
        """Whether ``work`` came to its end before the flag was removed, which ends it."""
        task = asyncio.ensure_future(work)
        while self._flag.exists() and not task.done():
            await asyncio.wait({task}, timeout=POLL_S)
        if task.done():
            task.result()
            return True
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        return False

    async def _until_flat(self) -> None:
        while not await self._attempt():
            await asyncio.sleep(RETRY_S)

    async def _attempt(self) -> bool:
        try:
            if await flattened_by_service(self._settings, self._clock, self._tell, self._complain, while_it_works=True):
                return True
        except NoServiceError:
            self._tell("no service is running: flattening from here")
        return await self._from_here(quiet=False)

    async def _from_here(self, *, quiet: bool) -> bool:
        """Whether the account is flat now. ``quiet`` tells what was done only where something had to be closed."""
        told: list[str] = []
        try:
            duration_s = await flatten_account(
                self._settings, self._clock, told.append if quiet else self._tell, ATTEMPT_S
            )
        except PanicError as error:
            for line in told:
                self._tell(line)
            self._complain(f"NOT FLAT: {error}; trying again")
            notify("STATUS=NOT FLAT, trying again: " + str(error), self._environment)
            return False
        if any(line.startswith("closing") for line in told):
            self._complain(f"positions came back while the panic flag was raised: {'; '.join(told)}")
        if not quiet:
            self._tell(f"flat: every order is cancelled and every position closed, in {duration_s:.1f} s")
        return True

    async def _stay_flat(self) -> None:
        looked_ns = self._clock.monotonic_ns()
        while True:
            await asyncio.sleep(POLL_S)
            now_ns = self._clock.monotonic_ns()
            if now_ns - looked_ns < LOOK_AGAIN_S * NANOSECONDS_PER_SECOND:
                continue
            looked_ns = now_ns
            if not is_listening(self._settings.control.socket) and await self._from_here(quiet=True):
                at = f"{self._clock.now():%Y-%m-%d %H:%M:%S} UTC"
                notify(f"STATUS=flat when looked at {at}; holding until the panic flag is removed", self._environment)

    def _status(self, text: str, *, ready: bool = False) -> None:
        notify(("READY=1\n" if ready else "") + f"STATUS={text}", self._environment)
        self._tell(text)

    def _tell(self, text: str) -> None:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    def _complain(self, text: str) -> None:
        sys.stderr.write(f"{self._error_prefix}ERROR {text}\n")
        sys.stderr.flush()
