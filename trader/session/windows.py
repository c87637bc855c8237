"""When the broker resets its servers, and when a login has to be authenticated again.

Rules: the windows are data (``trader/data/broker_windows.yaml``, or a file of the operator's) with a source
and a date, because IBKR moves them. Times are local to the zone that IBKR announces them in; where daylight
saving time makes a local time ambiguous, the window is the wider of its readings.
"""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Annotated, Any, Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import msgspec
import yaml
from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError

from trader.clock import require_aware
from trader.session.calendar import DATA_FOLDER

WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
FILE_MAX_BYTES: Final = 100_000
ONE_DAY: Final = timedelta(days=1)


class BrokerWindowsError(Exception):
    """The file of broker windows cannot be used; the text says what is wrong and where."""


class ResetWindow(msgspec.Struct, frozen=True, gc=False):
    """The broker may be away from ``starts_at`` until before ``ends_at``; both in UTC."""

    name: str
    starts_at: datetime
    ends_at: datetime


def _weekday(value: Any) -> int:
    if value not in WEEKDAYS:
        raise ValueError(f"{value!r} is not a weekday; write one of {', '.join(WEEKDAYS)}")
    return WEEKDAYS.index(value)


def _local_time(value: Any) -> time:
    if not isinstance(value, str):
        raise ValueError("write the time as HH:MM in quotes")
    return time.fromisoformat(value)


def _zone(value: Any) -> ZoneInfo:
    try:
        return ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, TypeError) as error:
        raise ValueError(f"{value!r} is not a time zone such as America/New_York") from error


Weekday = Annotated[int, PlainValidator(_weekday)]
LocalTime = Annotated[time, PlainValidator(_local_time)]
Zone = Annotated[ZoneInfo, PlainValidator(_zone)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class Rule(_Model):
    """A window that begins on each of ``days`` at ``starts`` and ends at the next ``ends``, local to ``zone``."""

    days: Annotated[tuple[Weekday, ...], Field(min_length=1)]
    starts: LocalTime
    ends: LocalTime
    zone: Zone

    def on(self, name: str, day: date) -> ResetWindow:
        """The window that begins on ``day``, which must be one of ``days``."""
        end_day = day if self.ends > self.starts else day + ONE_DAY
        starts_at = min(_readings(day, self.starts, self.zone))
        return ResetWindow(name, starts_at, max(_readings(end_day, self.ends, self.zone)))


class Authentication(_Model):
    """The moment of the week when the login's token expires."""

    day: Weekday
    at: LocalTime
    zone: Zone


class DayEnd(_Model):
    """When a broker's day ends; executions of an earlier day are told no more."""

    at: LocalTime
    zone: Zone


class WindowsFile(_Model):
    """The content of a file of broker windows."""

    source: Annotated[str, Field(min_length=1)]
    as_of: date
    regions: dict[str, tuple[Rule, ...]]
    weekend: Rule
    authentication: Authentication
    day_ends: DayEnd = Field(default_factory=lambda: DayEnd.model_validate({"at": "00:00", "zone": "America/New_York"}))


class BrokerWindows:
    """The reset windows of the region whose servers the account is on."""

    def __init__(self, content: WindowsFile, region: str) -> None:
        if region not in content.regions:
            known = ", ".join(sorted(content.regions))
            raise BrokerWindowsError(f"there are no broker windows for the region {region!r}; known are {known}")
        self.source = content.source
        self.as_of = content.as_of
        self._rules = (*((region, rule) for rule in content.regions[region]), ("weekend", content.weekend))
        self._authentication = content.authentication
        self._day_ends = content.day_ends

    @classmethod
    def load(cls, region: str = "north_america", file: Path | None = None) -> "BrokerWindows":
        """The windows from ``file``, by default those that come with the product; raises BrokerWindowsError."""
        return cls(read_windows(file or DATA_FOLDER / "broker_windows.yaml"), region)

    def window_at(self, moment: datetime) -> ResetWindow | None:
        """The window that ``moment`` lies in; of several, the one that ends last. About 45 µs: ask on a timer."""
        inside = [window for window in self._around(moment) if window.starts_at <= moment < window.ends_at]
        return max(inside, key=lambda window: window.ends_at, default=None)

    def in_reset_window(self, moment: datetime) -> bool:
        """Whether the broker may be away at ``moment`` by its own announcement."""
        return self.window_at(moment) is not None

    def next_reset(self, moment: datetime) -> ResetWindow:
        """The first window that starts after ``moment``."""
        return min(
            (window for window in self._around(moment) if window.starts_at > moment),
            key=lambda window: window.starts_at,
        )

    def next_authentication(self, moment: datetime) -> datetime:
        """When the login's token expires next, after ``moment``, in UTC."""
        require_aware(moment)
        rule = self._authentication
        first = moment.astimezone(rule.zone).date()
        candidates = [first + ONE_DAY * ahead for ahead in range(9)]
        expiries = (min(_readings(day, rule.at, rule.zone)) for day in candidates if day.weekday() == rule.day)
        return min(expiry for expiry in expiries if expiry > moment)

    def next_day_end(self, moment: datetime) -> datetime:
        """When the broker's day ends next, after ``moment``, in UTC."""
        require_aware(moment)
        rule = self._day_ends
        first = moment.astimezone(rule.zone).date()
        ends = (min(_readings(first + ONE_DAY * ahead, rule.at, rule.zone)) for ahead in range(3))
        return min(end for end in ends if end > moment)

    def _around(self, moment: datetime) -> Iterator[ResetWindow]:
        """Every window that starts between two days before ``moment`` and eight days after it."""
        require_aware(moment)
        for name, rule in self._rules:
            first = moment.astimezone(rule.zone).date() - 2 * ONE_DAY
            for ahead in range(11):
                day = first + ONE_DAY * ahead
                if day.weekday() in rule.days:
                    yield rule.on(name, day)


def _readings(day: date, local_time: time, zone: ZoneInfo) -> tuple[datetime, datetime]:
    """Both readings of a local time in UTC; they differ only where the clocks change."""
    local = datetime.combine(day, local_time, tzinfo=zone)
    return local.astimezone(UTC), local.replace(fold=1).astimezone(UTC)


def read_windows(file: Path) -> WindowsFile:
    """Read a file of broker windows; raises BrokerWindowsError that says what is wrong and where."""
    try:
        if file.stat().st_size > FILE_MAX_BYTES:
            raise BrokerWindowsError(f"{file}: is larger than {FILE_MAX_BYTES} bytes, so it is no list of windows")
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
        return WindowsFile.model_validate(content)
    except (OSError, UnicodeDecodeError) as error:
        raise BrokerWindowsError(f"{file}: cannot be read: {error}") from error
    except yaml.YAMLError as error:
        raise BrokerWindowsError(f"{file}: is not YAML: {' '.join(str(error).split())}") from error
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise BrokerWindowsError(f"{file}: {key}: {first['msg'].removeprefix('Value error, ')}") from error
