"""One client's connection: handshake, startApi, pacing, and the messages in between.

Rules: nothing is written between the handshake and startApi, because some clients drop it. A malformed
message is answered with an error and never ends the server; a stream that is not this protocol ends the
connection. A client that does not read is hung up on before it fills the memory. A stalled session neither
reads nor writes; what is meant for it waits until it goes on.
"""

import asyncio
import logging
from collections import deque
from typing import TYPE_CHECKING, Final

from trader.simulator.wire import encode_reference as encode
from trader.simulator.wire.codec import BadRequest, FieldCursor, FrameReader, Hello, ProtocolError
from trader.simulator.wire.dispatch import HANDLERS, Handler
from trader.simulator.wire.feed import Subscription
from trader.simulator.wire.values import FigureWatch, ValueWatch

if TYPE_CHECKING:
    from trader.simulator.wire.gateway import SimulatedGateway

log = logging.getLogger(__name__)

START_API: Final = 71
CONNECTION: Final = -1
ERROR_PACING: Final = 100
ERROR_SERVER: Final = 320
ERROR_VALIDATION: Final = 321
ERROR_CLIENT_ID: Final = 326
PACING_WINDOW_S: Final = 1.0
REFUSAL_LINGER_S: Final = 0.05


class Session(asyncio.Protocol):
    """What the server knows of one connected client; subscriptions are kept by request id."""

    def __init__(self, gateway: "SimulatedGateway") -> None:
        self.gateway = gateway
        self.version = 0
        self.client_id: int | None = None
        self.data_type = 1
        self.streaming: dict[int, Subscription] = {}
        self.tick_by_tick: dict[int, Subscription] = {}
        self.values: dict[str, ValueWatch] = {}
        self.figures: dict[str, FigureWatch] = {}
        self.positions_subscribed = False
        self.position_requests: dict[int, str] = {}
        self.account_subscribed = False
        self._reader = FrameReader()
        self._transport: asyncio.Transport | None = None
        self._accepted_at: deque[float] = deque()
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._unsent = bytearray()
        self._stalled = False
        self._handshake_timer: asyncio.TimerHandle | None = None

    @property
    def name(self) -> str:
        return f"client {self.client_id}" if self.client_id is not None else "a client before startApi"

    # -- the transport's side

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport), "a TCP server makes stream transports"
        self._transport = transport
        if not self.gateway.connected(self):
            transport.abort()
            return
        if self.gateway.stalled:
            self.stall()
        timeout_s = self.gateway.options.handshake_timeout_s
        self._handshake_timer = asyncio.get_running_loop().call_later(timeout_s, self._give_up)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._cancel_handshake_timer()
        self.gateway.disconnected(self)

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        if not self._stalled:
            self._process()

    # -- what handlers and the gateway use

    def write(self, data: bytes) -> None:
        """Send whole frames in one write; they wait while the session is stalled."""
        if self._stalled:
            self._hold(data)
        elif self._transport is not None and not self._transport.is_closing():
            self._send(data)
            self._limit(self._transport.get_write_buffer_size())

    def send_error(self, request_id: int, code: int, message: str, rejection: str = "") -> None:
        self.write(encode.error(request_id, code, message, self.version, rejection))

    def close(self) -> None:
        """Hang up after what is written has left."""
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Hang up at once."""
        if self._transport is not None:
            self._transport.abort()

    def stall(self) -> None:
        """Neither read nor write from now on; the connection stays up."""
        self._stalled = True
        if self._transport is not None:
            self._transport.pause_reading()

    def go_on(self) -> None:
        """End a stall: send what has waited, then read on."""
        if not self._stalled:
            return
        self._stalled = False
        held, self._held, self._held_bytes = b"".join(self._held), [], 0
        if self._transport is not None and not self._transport.is_closing():
            if held:
                self._send(held)
            self._transport.resume_reading()
            self._process()

    # -- inside

    def _process(self) -> None:
        try:
            if not self.version and not self._shake_hands():
                return
            for fields in self._reader.frames():
                self._take(fields)
                if self._stalled or self._transport is None or self._transport.is_closing():
                    return
        except ProtocolError as error:
            log.warning("%s is disconnected: %s", self.name, error)
            self.close()

    def _shake_hands(self) -> bool:
        hello = self._reader.hello()
        if hello is None:
            return False
        version = hello.version()
        if version is None:
            raise ProtocolError(_no_common_version(hello))
        self.version = version
        self.write(encode.server_hello(version, self.gateway.hello_time()))
        return True

    def _take(self, fields: list[str]) -> None:
        if not self._within_pace():
            return
        try:
            self._dispatch(fields)
        except BadRequest as error:
            self.send_error(_request_id(fields), ERROR_VALIDATION, f"Error validating request:-'{error}'")
        except Exception:  # a client's message must never take the gateway down
            log.exception("the message %s of %s could not be handled", fields[:8], self.name)
            self.send_error(CONNECTION, ERROR_SERVER, "Server error when reading an API client request.")

    def _dispatch(self, fields: list[str]) -> None:
        message_id = FieldCursor(fields).integer()
        if message_id == START_API:
            self._start_api(FieldCursor(fields, 2).integer())
            return
        if self.client_id is None:
            raise BadRequest("startApi has to come first")
        handler = HANDLERS.get(message_id)
        if handler is None:
            log.warning("%s sent a message of the unknown kind %d", self.name, message_id)
            self.send_error(CONNECTION, ERROR_SERVER, f"Error reading request: unknown message id {message_id}")
            return
        handler.call(self, FieldCursor(fields, handler.first_field))

    def _start_api(self, client_id: int) -> None:
        if self.client_id is not None:
            raise BadRequest("startApi was sent twice")
        self._cancel_handshake_timer()
        if not self.gateway.register(self, client_id):
            text = "Unable to connect as the client id is already in use. Retry with a unique client id."
            self.send_error(CONNECTION, ERROR_CLIENT_ID, text)
            asyncio.get_running_loop().call_later(REFUSAL_LINGER_S, self.close)
            return
        self.client_id = client_id
        self.gateway.started(self)

    def _within_pace(self) -> bool:
        """Whether one more message is within the limit; says so to the client when it is not."""
        limit = self.gateway.options.messages_per_s
        now = asyncio.get_running_loop().time()
        while self._accepted_at and now - self._accepted_at[0] > PACING_WINDOW_S:
            self._accepted_at.popleft()
        if not limit or len(self._accepted_at) < limit:
            self._accepted_at.append(now)
            return True
        text = f"Max rate of messages per second has been exceeded:max={limit} rec={len(self._accepted_at) + 1}"
        log.warning("%s is above %d messages a second: one is dropped", self.name, limit)
        self.send_error(CONNECTION, ERROR_PACING, text)
        if self.gateway.options.disconnect_on_pacing:
            self.close()
        return False

    def _send(self, data: bytes) -> None:
        """Hand bytes to the transport; with the fault of split frames the second half follows a turn later."""
        transport = self._transport
        assert transport is not None, "only an open session sends"
        if not self.gateway.injector.faults.byte_split:
            transport.write(data)
            return
        self._unsent += data
        transport.write(bytes(self._unsent[: len(self._unsent) // 2]))
        del self._unsent[: len(self._unsent) // 2]
        asyncio.get_running_loop().call_soon(self._send_rest)

    def _send_rest(self) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(bytes(self._unsent))
        self._unsent.clear()

    def _hold(self, data: bytes) -> None:
        self._held.append(data)
        self._held_bytes += len(data)
        self._limit(self._held_bytes)

    def _limit(self, waiting_bytes: int) -> None:
        if waiting_bytes > self.gateway.options.write_buffer_max_bytes:
            log.warning("%s reads too slowly: disconnected with %d bytes unread", self.name, waiting_bytes)
            self.abort()

    def _give_up(self) -> None:
        log.warning("a client has not started the API in time: disconnected")
        self.abort()

    def _cancel_handshake_timer(self) -> None:
        if self._handshake_timer is not None:
            self._handshake_timer.cancel()
            self._handshake_timer = None


def _no_common_version(hello: Hello) -> str:
    return f"it speaks versions {hello.low} to {hello.high}, none of which is spoken here"


def _request_id(fields: list[str]) -> int:
    """The request or order id of a message that could not be read, −1 when it has none."""
    try:
        handler: Handler | None = HANDLERS.get(int(fields[0]))
        return int(fields[handler.first_field]) if handler is not None and handler.has_id else CONNECTION
    except (ValueError, IndexError):
        return CONNECTION
