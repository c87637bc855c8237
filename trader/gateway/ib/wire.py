"""The socket to IB Gateway: frames, the handshake, and ib_async's encoder writing to it.

Rules: a frame is a 4-byte big-endian length and NUL-terminated text. The client speaks first, and after the
gateway's version nothing comes until startApi. What is written here leaves in this order and at once: pacing
is the pacer's business, so ib_async's own queue, one for all priorities and dropped silently on a
disconnect, is not used, and neither is its connection, which reports a busy clientId as a bare timeout.
"""

import asyncio
import struct
from datetime import tzinfo
from typing import Any, Final, Protocol, cast

import msgspec
from ib_async.client import Client

from trader.events import DisconnectReason
from trader.gateway import codes
from trader.gateway.link import LinkFailure
from trader.gateway.timers import Timers
from trader.gateway.translate import handshake_zone, shown_fields

FRAME_MAX_BYTES: Final = 16_777_215
# The protocol allows longer messages, but nothing that is asked for here comes near; they are told of, not taken apart.
MESSAGE_MAX_BYTES: Final = 65_536
OVERLONG_HEAD_BYTES: Final = 512
ORDER_ID_MAX: Final = 2**31 - 1
LENGTH: Final = struct.Struct(">I")
NEXT_VALID_ID: Final = "9"
MANAGED_ACCOUNTS: Final = "15"
ERROR: Final = "4"


class Greeting(msgspec.Struct, frozen=True, kw_only=True):
    """What the gateway said before the session began. ``zone`` is its own time zone, if it named a known one."""

    server_version: int
    zone: tzinfo | None
    accounts: tuple[str, ...]
    next_valid_id: int


class Listener(Protocol):
    """Who takes what arrives. ``lost`` is called once, unless this side closed the socket."""

    def batch_began(self, read_bytes: int) -> None: ...

    def message(self, fields: list[str]) -> None: ...

    def overlong(self, fields: list[str], length: int) -> None: ...

    def batch_ended(self) -> None: ...

    def lost(self, detail: str) -> None: ...


class Encoder(Client):
    """ib_async's request encoders, writing to our socket instead of through its queue."""

    def __init__(self, wire: "Wire") -> None:
        super().__init__(None)  # type: ignore[no-untyped-call]
        self._wire = wire

    def isConnected(self) -> bool:  # noqa: N802 - ib_async's name
        return self._wire.connected

    def serverVersion(self) -> int:  # noqa: N802 - ib_async's name
        return self._wire.server_version

    def sendMsg(self, msg: str) -> None:  # noqa: N802 - ib_async's name
        self._wire.write(msg.encode())


class Wire(asyncio.Protocol):
    """One connection; made anew for every attempt."""

    def __init__(self, client_id: int, listener: Listener, timers: Timers) -> None:
        self.server_version = 0
        # ib_async's encoders carry no types; what they take is pinned by the contract tests.
        self.encoder: Any = Encoder(self)
        self._client_id = client_id
        self._listener = listener
        self._timers = timers
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._zone: tzinfo | None = None
        self._accounts: tuple[str, ...] = ()
        self._next_valid_id: int | None = None
        self._greeting: asyncio.Future[Greeting] | None = None
        self._closing = False
        self._ended = asyncio.Event()

    @property
    def connected(self) -> bool:
        return self._transport is not None and not self._transport.is_closing()

    async def open(self, host: str, port: int, timeout_s: float) -> Greeting:
        """Connect and greet; raises LinkFailure with the reason when that does not work within ``timeout_s``."""
        loop = asyncio.get_running_loop()
        greeting: asyncio.Future[Greeting] = loop.create_future()
        self._greeting = greeting
        where = f"{host}:{port}"
        try:
            async with asyncio.timeout(timeout_s):
                await loop.create_connection(lambda: self, host, port)
        except TimeoutError:
            raise LinkFailure(DisconnectReason.HANDSHAKE_TIMEOUT, f"{where} takes no connection") from None
        except ConnectionRefusedError:
            raise LinkFailure(DisconnectReason.REFUSED, f"nothing listens at {where}") from None
        except OSError as error:
            raise LinkFailure(DisconnectReason.REFUSED, f"{where} cannot be reached: {error}") from None
        timer = self._timers.call_later(timeout_s, lambda: self._time_out(where, timeout_s))
        try:
            self._write_raw(b"API\0" + self._framed(b"v%d..%d" % (Client.MinClientVersion, Client.MaxClientVersion)))
            return await greeting
        except BaseException:
            self.abort()
            raise
        finally:
            timer.cancel()

    async def ended(self) -> None:
        """Wait until the socket is gone; returns at once when there was none."""
        if self._transport is not None:
            await self._ended.wait()

    def close(self) -> None:
        """Close after what is written has left."""
        self._closing = True
        if self._transport is not None:
            self._transport.close()

    def abort(self) -> None:
        """Close now: a peer that does not read would keep a polite close waiting for ever."""
        self._closing = True
        if self._transport is not None:
            self._transport.abort()

    def write(self, payload: bytes) -> None:
        """Hand one frame to the transport."""
        self._write_raw(self._framed(payload))

    # -- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._ended.set()
        detail = str(exc) if exc else "the gateway closed the connection"
        if self._greeting is not None and not self._greeting.done():
            self._refuse(LinkFailure(DisconnectReason.CLOSED, f"{detail} before the session began"))
        elif not self._closing:
            self._closing = True
            self._listener.lost(detail)

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        self._listener.batch_began(len(data))
        try:
            self._take_frames(self._buffer)
        finally:
            self._listener.batch_ended()

    def _take_frames(self, buffer: bytearray) -> None:
        # One pass over what has come, and one cut at its end: cutting after each frame would be quadratic. This is the
        # hot path: what does not change from frame to frame is looked up once.
        unpack_length, header, message = LENGTH.unpack_from, LENGTH.size, self._listener.message
        position, available = 0, len(buffer)
        while available - position >= header:
            (length,) = unpack_length(buffer, position)
            start = position + header
            if length > FRAME_MAX_BYTES:
                self._not_a_gateway(f"a frame of {length} bytes")
                break
            if start + length > available:
                break
            position = start + length
            if length > MESSAGE_MAX_BYTES:
                self._listener.overlong(_fields(buffer[start : start + OVERLONG_HEAD_BYTES]), length)
            elif self._greeting is None:
                message(_fields(buffer[start:position]))
            else:
                self._greet(_fields(buffer[start:position]))
                if self._refused():
                    break  # what comes after it is not heard any more
        del buffer[:position]

    # -- the handshake

    def _greet(self, fields: list[str]) -> None:
        if not self.server_version:
            self._take_version(fields)
            return
        kind = fields[0] if fields else ""
        try:
            if kind == NEXT_VALID_ID:
                self._next_valid_id = _order_id(fields[2])
            elif kind == MANAGED_ACCOUNTS:
                self._accounts = tuple(name for name in fields[2].split(",") if name)
            elif kind == ERROR and int(fields[3]) == codes.CLIENT_ID_IN_USE:
                self._refuse(
                    LinkFailure(
                        DisconnectReason.CLIENT_ID_BUSY, f"client id {self._client_id} is in use: {fields[4][:200]}"
                    )
                )
        except (IndexError, ValueError):
            self._not_a_gateway(f"the message {shown_fields(fields[:6])}")
            return
        self._listener.message(fields)
        self._finish_greeting()

    def _take_version(self, fields: list[str]) -> None:
        if len(fields) != 2 or not _is_version(fields[0]):
            self._not_a_gateway(f"the answer {shown_fields(fields[:3])}")
            return
        version = int(fields[0])
        if not Client.MinClientVersion <= version <= Client.MaxClientVersion:
            self._not_a_gateway(f"version {version} of the protocol")
            return
        self.server_version = version
        self._zone = handshake_zone(fields[1])
        self.encoder.clientId = self._client_id
        self.encoder.startApi()

    def _finish_greeting(self) -> None:
        if self._next_valid_id is None or not self._accounts or self._greeting is None or self._greeting.done():
            return
        greeting, self._greeting = self._greeting, None
        greeting.set_result(
            Greeting(
                server_version=self.server_version,
                zone=self._zone,
                accounts=self._accounts,
                next_valid_id=self._next_valid_id,
            )
        )

    def _not_a_gateway(self, what: str) -> None:
        detail = f"what answers is not an IB Gateway this service can talk to: it sent {what}"
        if self._greeting is not None:
            self._refuse(LinkFailure(DisconnectReason.WRONG_GATEWAY, detail))
        elif not self._closing:
            self._listener.lost(detail)
        self.abort()

    def _time_out(self, where: str, timeout_s: float) -> None:
        detail = f"{where} accepts connections but did not start a session within {timeout_s:g} s"
        self._refuse(LinkFailure(DisconnectReason.HANDSHAKE_TIMEOUT, detail))

    def _refuse(self, failure: LinkFailure) -> None:
        if self._greeting is not None and not self._greeting.done():
            self._greeting.set_exception(failure)

    def _refused(self) -> bool:
        return self._greeting is not None and self._greeting.done()

    def _write_raw(self, data: bytes) -> None:
        if self._transport is not None:
            self._transport.write(data)

    @staticmethod
    def _framed(payload: bytes) -> bytes:
        return LENGTH.pack(len(payload)) + payload


def _fields(payload: bytearray) -> list[str]:
    fields = payload.decode("utf-8", "backslashreplace").split("\0")
    fields.pop()
    return fields


def _is_version(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 9


def _order_id(text: str) -> int:
    """The next valid order id; ValueError when it is none, because no id below it could ever be used again."""
    value = int(text)
    if value > ORDER_ID_MAX:
        raise ValueError(f"{value} is not an order id")
    return value
