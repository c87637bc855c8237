"""What is said over the control socket.

Rules: a command is one word with named arguments; an answer is a result or one sentence that says why not.
Questions are answered from a snapshot here, the same way wherever the server runs; orders to the service
(``halt``, ``resume``, …) are its own to carry out.
"""

import math
from enum import StrEnum
from typing import Any, TypeVar

import msgspec

from trader.snapshot import Snapshot

T = TypeVar("T")
E = TypeVar("E", bound=StrEnum)
MAX_TEXT_CHARACTERS = 500
MAX_CHOICES = 50


class ControlError(Exception):
    """A request was refused or could not be made; the text is one sentence for the operator."""


class NoServiceError(ControlError):
    """Nobody listens on the control socket."""


class Command(StrEnum):
    STATUS = "status"
    POSITIONS = "positions"
    ORDERS = "orders"
    HEALTH = "health"
    HALT = "halt"
    RESUME = "resume"
    RELOAD = "reload"
    PANIC = "panic"
    OVERRIDE_POLICY = "override_policy"
    MAINTENANCE_FINISHED = "maintenance_finished"


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """``arguments`` by command: halt ``reason: str``; resume ``accept_positions: bool``; override_policy ``for_s:
    float`` and ``reason: str``; maintenance_finished ``kind``, ``period``, ``outcome: str``, ``duration_s: float`` and
    ``tasks``, an outcome by name; the others none.
    """

    command: str
    arguments: dict[str, Any] = {}

    def text(self, name: str, default: str = "") -> str:
        """A text argument; raises ControlError when it is something else or over-long."""
        value = self.arguments.get(name, default)
        if not isinstance(value, str) or len(value) > MAX_TEXT_CHARACTERS:
            raise ControlError(f"{self.command}: {name} must be a text of at most {MAX_TEXT_CHARACTERS} characters")
        return value

    def number(self, name: str) -> float:
        """A number, 0 when absent; raises ControlError when it is something else."""
        value = self.arguments.get(name, 0)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise ControlError(f"{self.command}: {name} must be a number")
        return float(value)

    def choice(self, name: str, kind: type[E]) -> E:
        """One of the words of ``kind``; raises ControlError when it is something else."""
        try:
            return kind(self.text(name))
        except ValueError:
            raise ControlError(f"{self.command}: {name} must be one of {', '.join(kind)}") from None

    def choices(self, name: str, kind: type[E]) -> dict[str, E]:
        """Words of ``kind`` by name, at most ``MAX_CHOICES``; raises ControlError when it is something else."""
        value = self.arguments.get(name, {})
        try:
            if not isinstance(value, dict) or len(value) > MAX_CHOICES:
                raise ValueError
            return {str(key)[:MAX_TEXT_CHARACTERS]: kind(word) for key, word in value.items()}
        except ValueError:
            words = ", ".join(kind)
            raise ControlError(f"{self.command}: {name} must be at most {MAX_CHOICES} of {words}, by name") from None

    def flag(self, name: str) -> bool:
        """A yes-or-no argument, no when absent; raises ControlError when it is something else."""
        value = self.arguments.get(name, False)
        if not isinstance(value, bool):
            raise ControlError(f"{self.command}: {name} must be true or false")
        return value


class Response(msgspec.Struct, frozen=True):
    """``result`` is JSON, or ``error`` says in one sentence why there is none."""

    result: msgspec.Raw = msgspec.Raw(b"null")
    error: str | None = None

    @classmethod
    def success(cls, value: object = None) -> "Response":
        return cls(result=msgspec.Raw(msgspec.json.encode(value)))

    @classmethod
    def failure(cls, sentence: str) -> "Response":
        return cls(error=sentence)

    def value(self, kind: type[T]) -> T:
        """The result as ``kind``; raises ControlError when it is something else."""
        try:
            return msgspec.json.decode(self.result, type=kind)
        except msgspec.DecodeError as error:
            raise ControlError(
                f"the service's answer is not understood ({error}); is it of another version?"
            ) from error

    def sentence(self) -> str | None:
        """The result when it is a text for the operator, else None."""
        result: Any = msgspec.json.decode(self.result)
        return result if isinstance(result, str) else None


class HealthReport(msgspec.Struct, frozen=True):
    """Whether the service may trade, and in one line why not.

    ``last_tick_age_s`` is how old the last tick is while a session is open; None outside of one, or without a tick.
    """

    ready: bool
    reason: str
    last_tick_age_s: float | None = None


def health_of(snapshot: Snapshot) -> HealthReport:
    state, age_s = snapshot.trading_state.value.replace("_", " "), _last_tick_age_s(snapshot)
    if not snapshot.ready:
        return HealthReport(False, "; ".join(snapshot.problems) or f"not ready ({state})", age_s)
    if not snapshot.session_open:
        return HealthReport(True, f"ready, {state}, session closed")
    tick = "no tick yet" if age_s is None else f"last tick {age_s:.1f} s ago"
    return HealthReport(True, f"ready, {state}, session open, {tick}", age_s)


def _last_tick_age_s(snapshot: Snapshot) -> float | None:
    last = snapshot.market_data.last_tick_at
    return (snapshot.at - last).total_seconds() if snapshot.session_open and last is not None else None


def answer_question(request: Request, snapshot: Snapshot) -> Response | None:
    """The answer to a question about the state; None when the request is not a question."""
    match request.command:
        case Command.STATUS:
            return Response.success(snapshot)
        case Command.POSITIONS:
            return Response.success(snapshot.positions)
        case Command.ORDERS:
            return Response.success(snapshot.open_orders)
        case Command.HEALTH:
            return Response.success(health_of(snapshot))
        case _:
            return None


def unknown_command(request: Request) -> Response:
    return Response.failure(f"{request.command!r} is not a command; there are {', '.join(Command)}")
