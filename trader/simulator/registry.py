"""All orders the exchange has seen, and the numbers it gives to them.

Rules: an order id is unique within its client, a permId everywhere and for ever. The next order id of a
client is above every id it has used; only a restart with a rollback breaks that, on purpose. Live orders are
all kept, completed ones up to a bound.
"""

from collections import deque
from collections.abc import Iterable, Iterator

from trader.simulator.orders import WorkingOrder

OrderKey = tuple[int, int]


class OrderRegistry:
    """Orders by (client id, order id)."""

    def __init__(self, first_order_id: int, first_perm_id: int, completed_kept: int) -> None:
        self._first_order_id = first_order_id
        self._by_key: dict[OrderKey, WorkingOrder] = {}
        self._live: dict[int, WorkingOrder] = {}
        self._completed: deque[WorkingOrder] = deque()
        self._completed_kept = completed_kept
        self.next_ids: dict[int, int] = {}
        self.next_perm_id = first_perm_id

    def get(self, key: OrderKey) -> WorkingOrder | None:
        return self._by_key.get(key)

    def live(self) -> tuple[WorkingOrder, ...]:
        """Live orders, oldest first."""
        return tuple(self._live.values())

    def completed(self) -> Iterator[WorkingOrder]:
        return iter(self._completed)

    def next_order_id(self, client_id: int) -> int:
        return self.next_ids.get(client_id, self._first_order_id)

    def take_perm_id(self) -> int:
        perm_id = self.next_perm_id
        self.next_perm_id += 1
        return perm_id

    def add(self, order: WorkingOrder) -> None:
        client_id, order_id = order.key
        self._by_key[order.key] = order
        self._live[order.perm_id] = order
        self.next_ids[client_id] = max(self.next_order_id(client_id), order_id + 1)

    def complete(self, order: WorkingOrder) -> None:
        self._live.pop(order.perm_id, None)
        self._completed.append(order)
        if len(self._completed) > self._completed_kept:
            oldest = self._completed.popleft()
            if self._by_key.get(oldest.key) is oldest:
                del self._by_key[oldest.key]

    def forget(self, orders: Iterable[WorkingOrder]) -> None:
        """Lose live orders without a trace."""
        for order in orders:
            self._live.pop(order.perm_id, None)
            if self._by_key.get(order.key) is order:
                del self._by_key[order.key]

    def roll_back(self, count: int) -> None:
        """Let every client's next order id fall by ``count``; ids of completed orders become free again."""
        for client_id, next_id in self.next_ids.items():
            self.next_ids[client_id] = max(self._first_order_id, next_id - count)
        freed = [key for key, order in self._by_key.items() if key[1] >= self.next_ids[key[0]] and not order.live]
        for key in freed:
            del self._by_key[key]

    def children(self, order: WorkingOrder) -> list[WorkingOrder]:
        return [child for child in self._live.values() if child.parent is order]

    def group(self, order: WorkingOrder) -> list[WorkingOrder]:
        """The other live orders of an order's one-cancels-all group."""
        if not order.oca_group:
            return []
        return [other for other in self._live.values() if other.oca_group == order.oca_group and other is not order]

    def untold(self, order: WorkingOrder) -> list[WorkingOrder]:
        """Orders that wait to be transmitted with ``order``: its parent, siblings, children and itself."""
        root = order.parent if order.parent is not None and order.parent.live else order
        family = (member for member in self._live.values() if member is root or member.parent is root)
        return [member for member in family if not member.acknowledged]
