"""What travels between clients and the exchange: orders up, reports down, faults and a lost link in between.

Rules: every report passes the fault injector. While the link to the broker is lost, what clients send and what
they would be told waits, in order, until it is back; market data does not wait, it is gone.
"""

import logging
from collections import deque
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Final

from trader.simulator.exchange import Exchange
from trader.simulator.faults import FaultInjector
from trader.simulator.model import Execution, ExecutionReported, OrderRequest, QuoteReported, Report

log = logging.getLogger(__name__)

HELD_MAX: Final = 100_000
Later = Callable[[float, Callable[[], None]], None]


class Traffic:
    """``tell`` delivers a report to clients, ``later`` calls a function after real seconds.

    ``report`` is the exchange's listener; ``exchange`` has to be set before anything is sent up.
    """

    exchange: Exchange

    def __init__(self, injector: FaultInjector, tell: Callable[[Report], None], later: Later) -> None:
        self.injector = injector
        self.lost = False
        self._tell = tell
        self._later = later
        self._held: deque[Callable[[], None]] = deque()

    # -- up

    def place(self, request: OrderRequest) -> None:
        self._pass(partial(self._place, request))

    def cancel(self, client_id: int, order_id: int) -> None:
        self._pass(partial(self._cancel, client_id, order_id))

    def cancel_all(self) -> None:
        self._pass(self.exchange.cancel_all)

    def _place(self, request: OrderRequest) -> None:
        refusal = self.injector.admit(request)
        if refusal is None:
            self.exchange.place(request)
        else:
            self.report(refusal)

    def _cancel(self, client_id: int, order_id: int) -> None:
        refusal = self.injector.admit_cancel(client_id, order_id)
        if refusal is None:
            self.exchange.cancel(client_id, order_id)
        else:
            self.report(refusal)

    # -- down

    def report(self, report: Report) -> None:
        """One report of the exchange, as the faults would have it."""
        for delay_s, item in self.injector.deliveries(report):
            if delay_s > 0:
                self._later(delay_s, partial(self._deliver, item))
            else:
                self._deliver(item)
        if isinstance(report, ExecutionReported):
            self._correct_later(report.execution)

    def _deliver(self, report: Report) -> None:
        if isinstance(report, QuoteReported):
            self._tell(report)
        else:
            self._pass(partial(self._tell, report))

    def _correct_later(self, execution: Execution) -> None:
        correction = self.injector.correction(execution)
        if correction is not None:
            delay_s, exec_id, price = correction
            self._later(delay_s, partial(self._correct, exec_id, price))

    def _correct(self, exec_id: str, price: Decimal) -> None:
        self.exchange.correct_execution(exec_id, price=price)

    # -- the link

    def lose(self) -> None:
        """The link to the broker is lost; losing it again changes nothing."""
        self.lost = True

    def restore(self) -> None:
        """The link is back: everything that waited goes its way, in order."""
        self.lost = False
        while self._held and not self.lost:
            self._held.popleft()()

    def _pass(self, call: Callable[[], None]) -> None:
        """Do it now, or once the link is back."""
        if not self.lost:
            call()
        elif len(self._held) < HELD_MAX:
            self._held.append(call)
        else:
            log.error("more than %d messages wait for the lost link: one is dropped", HELD_MAX)
