"""Account figures that a client follows: sent whole once, then what changed.

Rules: pure but for the write; a watch sends nothing when nothing changed.
"""

from collections.abc import Callable, Iterable

import msgspec

from trader.simulator.wire.encode_account import AccountValue

Key = tuple[str, str]


class ValueWatch(msgspec.Struct):
    """``select`` picks the values of interest, ``render`` makes one of them a message."""

    select: Callable[[Iterable[AccountValue]], Iterable[AccountValue]]
    render: Callable[[AccountValue], bytes]
    sent: dict[Key, str] = {}

    def changes(self, values: Iterable[AccountValue]) -> bytes:
        """The messages for every selected value that is not what was sent last."""
        frames = []
        for tag, value, currency in self.select(values):
            if self.sent.get((tag, currency)) != value:
                self.sent[tag, currency] = value
                frames.append(self.render((tag, value, currency)))
        return b"".join(frames)


class FigureWatch(msgspec.Struct):
    """Profit and loss that a client follows: ``render`` makes the present figures one message."""

    render: Callable[[], bytes]
    sent: bytes = b""

    def changes(self) -> bytes:
        """The message, empty when it would repeat the last one."""
        frame = self.render()
        if frame == self.sent:
            return b""
        self.sent = frame
        return frame
