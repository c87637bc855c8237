"""What a handler of one kind of message is."""

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from trader.simulator.wire.codec import FieldCursor

if TYPE_CHECKING:
    from trader.simulator.wire.session import Session

HandlerCall: TypeAlias = "Callable[[Session, FieldCursor], None]"


class Handler(msgspec.Struct, frozen=True):
    """``first_field`` is 2 where a message version follows the id, else 1.

    With ``has_id`` the first field is the request or order id, which errors refer to.
    """

    call: HandlerCall
    first_field: int = 2
    has_id: bool = True


HandlerTable: TypeAlias = dict[int, Handler]
