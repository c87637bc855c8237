"""Broker reset windows: by region, over midnight, across the change of clocks."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from trader.session import BrokerWindows, BrokerWindowsError, ResetWindow
from trader.session.calendar import DATA_FOLDER

SHIPPED = (DATA_FOLDER / "broker_windows.yaml").read_text()


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.fixture(scope="module")
def windows() -> BrokerWindows:
    return BrokerWindows.load()


@pytest.mark.parametrize(
    ("moment", "inside"),
    [
        ("2024-01-09T05:14:59", False),
        ("2024-01-09T05:15:00", True),
        ("2024-01-09T06:44:59", True),
        ("2024-01-09T06:45:00", False),
        ("2024-07-09T04:15:00", True),
        ("2024-07-09T05:45:00", False),
        ("2024-01-13T04:00:00", True),
        ("2024-01-13T07:59:59", True),
        ("2024-01-13T08:00:00", False),
        ("2024-01-13T16:00:00", False),
    ],
    ids=[
        "before",
        "start",
        "end",
        "after",
        "summer",
        "summer end",
        "friday night",
        "weekend",
        "weekend end",
        "saturday",
    ],
)
def test_it_knows_when_the_broker_resets(windows: BrokerWindows, moment: str, inside: bool) -> None:
    assert windows.in_reset_window(at(moment)) is inside


def test_it_ends_after_both_readings_of_an_ambiguous_hour(windows: BrokerWindows) -> None:
    window = windows.window_at(at("2024-11-03T05:00"))
    assert window == ResetWindow("north_america", at("2024-11-03T04:15"), at("2024-11-03T06:45"))


def test_it_names_the_next_reset(windows: BrokerWindows) -> None:
    assert windows.next_reset(at("2024-01-12T12:00")) == ResetWindow(
        "weekend", at("2024-01-13T04:00"), at("2024-01-13T08:00")
    )
    assert windows.next_reset(at("2024-01-13T04:00")).starts_at == at("2024-01-14T05:15")


def test_it_knows_when_the_weekly_token_expires(windows: BrokerWindows) -> None:
    assert windows.next_authentication(at("2024-01-14T05:59")) == at("2024-01-14T06:00")
    assert windows.next_authentication(at("2024-01-14T06:00")) == at("2024-01-21T06:00")
    assert windows.next_authentication(at("2024-03-05T00:00")) == at("2024-03-10T06:00")


def test_it_has_both_resets_of_asia() -> None:
    asia = BrokerWindows.load("asia_pacific")
    assert asia.in_reset_window(at("2024-01-08T21:00"))
    assert asia.in_reset_window(at("2024-01-08T13:00"))
    assert not asia.in_reset_window(at("2024-01-08T05:30"))


def test_it_refuses_an_unknown_region() -> None:
    with pytest.raises(BrokerWindowsError, match="known are asia_pacific, europe"):
        BrokerWindows.load("mars")


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("America/New_York", "America/Gotham", "not a time zone"),
        ("[fri]", "[friday]", "weekend.days.0: 'friday' is not a weekday"),
        ('starts: "23:00"', "starts: 23:00", "weekend.starts: write the time as HH:MM in quotes"),
        ("weekend:", "weekend: {", "is not YAML"),
        ("as_of: 2026-11-22", "as_of: 2026-11-22\nextra: 1", "extra: Extra inputs"),
    ],
)
def test_it_refuses_a_corrupt_file_of_windows(tmp_path: Path, before: str, after: str, message: str) -> None:
    file = tmp_path / "windows.yaml"
    file.write_text(SHIPPED.replace(before, after))
    with pytest.raises(BrokerWindowsError, match=message):
        BrokerWindows.load(file=file)


def test_it_refuses_a_file_of_windows_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(BrokerWindowsError, match="cannot be read"):
        BrokerWindows.load(file=tmp_path / "missing.yaml")
