"""What the journal and the broker say after a kill, compared.

Rules: the broker is asked first and the journal read afterwards, so that what the broker told is given the chance to be
there. The journal is read from where it was read last. What was ever seen stays seen: a broker tells executions of the
current day only.
"""

from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from typing import Final

from trader.events import BrokerStateReceived, ExecutionLine, FillBooked, OrderIntended, OrderLine
from trader.gateway.ib import IbGateway
from trader.journal import JournalReader
from trader.snapshot import Snapshot

KINDS: Final = (OrderIntended.__name__, FillBooked.__name__)


class KilledBooks:
    """The journal at ``url`` and the broker behind ``broker``; ``lost`` and ``doubled`` name what is so."""

    def __init__(self, url: str, broker: IbGateway) -> None:
        self._url = url
        self._broker = broker
        self._sequence = 0
        self._intended: Counter[str] = Counter()
        self._order_ids: Counter[int] = Counter()
        self._booked: Counter[str] = Counter()
        self._executed: set[str] = set()
        self._perm_ids: dict[str, set[int]] = {}
        self.lost: set[str] = set()
        self.doubled: set[str] = set()

    @property
    def orders(self) -> int:
        """How many orders were intended so far."""
        return len(self._intended)

    @property
    def executions(self) -> int:
        """How many executions the broker told so far."""
        return len(self._executed)

    async def compare(self, snapshot: Snapshot) -> list[str]:
        """What differs now, in sentences; nothing when the books are the broker's."""
        state = await self._broker.broker_state("after a kill")
        if None in (state.positions, state.open_orders, state.completed_orders, state.executions):
            return ["the broker did not answer what it holds and what it executed"]
        self._read_journal()
        self._hear(state)
        living = Counter(line.order_ref for line in state.open_orders or ())
        self.lost = (self._executed - self._booked.keys()) | (self._perm_ids.keys() - self._intended.keys())
        self.doubled = set(_more_than_once(self._booked)) | set(_more_than_once(self._intended))
        self.doubled |= {f"order id {number}" for number in _more_than_once(self._order_ids)}
        self.doubled |= {ref for ref, ids in self._perm_ids.items() if len(ids) > 1}
        self.doubled |= set(_more_than_once(living))
        return list(self._differences(state, snapshot))

    def _differences(self, state: BrokerStateReceived, snapshot: Snapshot) -> Iterator[str]:
        if self.lost:
            yield f"the broker knows what the journal does not: {_named(self.lost)}"
        if self.doubled:
            yield f"there is twice what may be there once: {_named(self.doubled)}"
        invented = self._booked.keys() - self._executed
        if invented:
            yield f"the journal has executions that the broker never told: {_named(invented)}"
        ours = {line.symbol: line.quantity for line in snapshot.positions}
        theirs = {line.instrument.symbol: line.quantity for line in state.positions or () if line.quantity}
        if ours != theirs:
            yield f"positions differ: ours {_held(ours)}, the broker's {_held(theirs)}"

    def _read_journal(self) -> None:
        with JournalReader.open(self._url) as journal:
            for sequence, fact in journal.read(kinds=KINDS, after=self._sequence):
                self._sequence = sequence
                match fact:
                    case OrderIntended():
                        self._intended[fact.order_ref] += 1
                        self._order_ids[fact.order_id] += 1
                    case FillBooked():
                        self._booked[fact.line.exec_id] += 1
                    case _:
                        pass

    def _hear(self, state: BrokerStateReceived) -> None:
        executions = state.executions or ()
        self._executed |= {line.exec_id for line in executions}
        lines: list[OrderLine | ExecutionLine] = [
            *(state.open_orders or ()),
            *(state.completed_orders or ()),
            *executions,
        ]
        for line in lines:
            self._perm_ids.setdefault(line.order_ref, set()).add(line.perm_id)


def _more_than_once(counts: Counter[str] | Counter[int]) -> list[str]:
    return [str(item) for item, count in counts.items() if count > 1]


def _named(items: set[str]) -> str:
    shown = ", ".join(sorted(items)[:5])
    return f"{shown} and {len(items) - 5} more" if len(items) > 5 else shown


def _held(positions: dict[str, Decimal]) -> str:
    return ", ".join(f"{symbol} {quantity}" for symbol, quantity in sorted(positions.items())) or "nothing"
