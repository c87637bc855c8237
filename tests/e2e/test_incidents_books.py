"""Incidents of answers, executions, costs and error codes, played on the wire; docs/incidents.md lists them all."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from tests.e2e.incidents_bench import (
    A_POSITION,
    ASKED_FOR,
    COMMISSION,
    EXECUTION,
    OPEN_ORDER,
    POSITIONS_END,
    RESTING,
    STATUS,
    Fields,
    bench,
    is_working,
    rest,
    without,
)
from trader.events import (
    DecodeFailed,
    FillBooked,
    MismatchFound,
    ReconciliationFinished,
)

pytestmark = pytest.mark.e2e


# What a client library takes for the end of a live order (and what it takes for a failed validation).
MISREAD_CODES = (10349, 10147, 10148, 161, 103, 104, 135, 463, 451, 10289, 10311, 399, 404, 2109, 110, 321)


DOUBTFUL_CODES = (463, 451, 10289, 110, 321)


def refused(fields: Fields) -> Iterable[Fields]:
    """Positions end before a row of them has come: what a client library makes an empty list of."""
    return () if fields[0] in (A_POSITION, POSITIONS_END) else (fields,)


def half(fields: Fields) -> Iterable[Fields]:
    """A row of the positions cannot be understood."""
    return ([*fields[:14], "a few", *fields[15:]],) if fields[0] == A_POSITION else (fields,)


@pytest.mark.parametrize("tamper", [refused, half], ids=["without an answer", "with half an answer"])
async def test_nautilus_4228_a_failed_positions_request_is_unknown_and_not_flat(tmp_path: Path, tamper: Any) -> None:
    """nautilus_trader #4228: "flat"."""
    async with bench(tmp_path) as b:
        b.wish(100)
        await b.settle(100)
        b.wire.down = tamper
        b.wire.hang_up()

        await b.until(lambda: any("positions" in fact.unanswered for fact in b.of(ReconciliationFinished)), "no answer")

        status, problems = await b.readyz()
        assert (status, problems) == (503, "not reconciled: no answer about positions")
        assert (b.position, b.of(MismatchFound), len(b.placed())) == (100, [], 1)
        b.wire.down = lambda fields: (fields,)
        await b.settle(100)
        assert len(b.placed()) == 1


TIMES = {
    "a zone of India": ("{:%Y%m%d %H:%M:%S} Asia/Kolkata", "Asia/Kolkata"),
    "a zone of Australia": ("{:%Y%m%d %H:%M:%S} Australia/Lord_Howe", "Australia/Lord_Howe"),
    "a zone with two spaces": ("{:%Y%m%d  %H:%M:%S} Pacific/Chatham", "Pacific/Chatham"),
    "an old name": ("{:%Y%m%d %H:%M:%S} US/Central", "US/Central"),
    "an abbreviation": ("{:%Y%m%d %H:%M:%S} MET", "Europe/Berlin"),
    "UTC with a dash": ("{:%Y%m%d-%H:%M:%S}", "UTC"),
    "no zone at all": ("{:%Y%m%d  %H:%M:%S}", "America/New_York"),
}


async def test_nautilus_4397_executions_of_any_time_zone_and_format_are_booked_at_their_time(tmp_path: Path) -> None:
    """nautilus_trader #4397: fills dropped because the execution's time zone was not UTC."""
    async with bench(tmp_path) as b:
        for number, (layout, zone) in enumerate(TIMES.values()):

            def tell(fields: Fields, layout: str = layout, zone: str = zone) -> Iterable[Fields]:
                if fields[0] != EXECUTION:
                    return (fields,)
                local = b.server.exchange.now.astimezone(ZoneInfo(zone))
                return ([*fields[:15], layout.format(local), *fields[16:]],)

            b.wire.down = tell
            b.wish(100 if number % 2 == 0 else 0)
            await b.until(lambda n=number: len(b.of(FillBooked)) == n + 1, f"the fill told in {zone}")
        fills = b.of(FillBooked)
        off_s = [abs((fact.line.executed_at - fact.at).total_seconds()) for fact in fills]
        assert [seconds for seconds in off_s if seconds > 2] == []
        assert b.of(DecodeFailed) == []
        await b.settle(100 if len(TIMES) % 2 else 0)


async def test_nautilus_4397_an_execution_whose_time_is_no_time_is_booked_and_reported_as_critical(
    tmp_path: Path,
) -> None:
    """nautilus_trader #4397."""

    def tell(fields: Fields) -> Iterable[Fields]:
        return (
            ([*fields[:15], "20131007 25:61:00 Mars/Olympus", *fields[16:]],) if fields[0] == EXECUTION else (fields,)
        )

    async with bench(tmp_path) as b:
        b.wire.down = tell
        b.wish(100)
        await b.settle(100)
        assert b.of(DecodeFailed)[0].critical
        assert (await b.metrics())["trader_broker_decode_failures_total"] >= 1


async def test_nautilus_4397_an_execution_that_cannot_be_understood_keeps_the_books_unknown_until_it_can(
    tmp_path: Path,
) -> None:
    """nautilus_trader #4397: an undecodable execution is a critical alert, never dropped."""

    def tell(fields: Fields) -> Iterable[Fields]:
        return ([*fields[:19], "many", *fields[20:]],) if fields[0] == EXECUTION else (fields,)

    async with bench(tmp_path) as b:
        b.wire.down = tell
        b.wish(100)
        failed = await b.until(lambda: b.of(DecodeFailed), "the execution")
        assert failed[0].critical
        assert failed[0].lost
        status, problems = await b.readyz()
        assert (status, "execution" in problems) == (503, True)
        await b.until(lambda: any("executions" in f.unanswered for f in b.of(ReconciliationFinished)), "the answer")
        assert "no answer about executions" in (await b.readyz())[1]
        samples = await b.metrics()
        assert samples["trader_broker_decode_failures_total"] >= 2
        assert samples["trader_ready"] == 0
        assert len(b.placed()) == 1

        b.wire.down = lambda fields: (fields,)

        await b.settle(100)
        assert len(b.placed()) == 1


async def test_ib_async_191_and_insync_502_no_error_code_ends_a_working_order(tmp_path: Path) -> None:
    """ib_async #191, ib_insync #502: 10349 marked a live order cancelled."""
    async with bench(tmp_path, **RESTING) as b:
        ref = await rest(b)
        order_id = b.core.orders.open()[0].order_id
        for code in MISREAD_CODES:
            b.wire.say(4, 2, order_id, code, f"as code {code} says", "")
        b.nudge()
        await b.pass_by(8)
        assert (is_working(b), b.open(), len(b.placed())) == (True, [ref], 1)
        b.move(69.0, 69.01)
        await b.settle(100)
        assert len(b.placed()) == 1


@pytest.mark.parametrize("code", DOUBTFUL_CODES)
async def test_ib_async_191_an_error_before_the_first_word_of_a_live_order_leads_to_no_second_one(
    tmp_path: Path, code: int
) -> None:
    """ib_async #191: cancelled by an error is provisional, the broker is asked."""
    held: list[Fields] = []

    def hold(fields: Fields) -> Iterable[Fields]:
        if fields[0] not in (STATUS, OPEN_ORDER) or not b.placed():
            return (fields,)
        held.append(fields)
        return ()

    async with bench(tmp_path, **RESTING) as b:
        b.wire.down = hold
        b.wire.up = without(*ASKED_FOR.values())
        b.wish(100)
        await b.until(lambda: b.core.orders.open() and b.open(), "an order at the gateway")
        b.wire.say(4, 2, b.placed()[0][1], code, f"as code {code} says", "")
        await b.pass_by(2)
        b.nudge()
        await b.pass_by(6)
        assert len(b.placed()) == 1

        b.wire.down = b.wire.up = lambda fields: (fields,)
        for fields in held:
            b.wire.say(*fields)

        await b.until(lambda: is_working(b), "the order to be known as live")
        b.move(69.0, 69.01)
        await b.settle(100)
        assert len(b.placed()) == 1


COMMISSIONS: dict[str, dict[str, Any]] = {
    "late": {"commission_late_ratio": 1.0, "commission_delay_s": 0.6},
    "early": {"commission_first_ratio": 1.0, "execution_delay_s": 0.3},
    "missing": {"commission_missing_ratio": 1.0},
    "-1": {"commission_unset_ratio": 1.0, "commission_delay_s": 0.6},
}


@pytest.mark.parametrize("when", COMMISSIONS)
async def test_pysystemtrade_1661_a_commission_is_unknown_until_it_is_reported(tmp_path: Path, when: str) -> None:
    """pysystemtrade #1661: late commissions were stored as zero."""
    async with bench(tmp_path, gateway={"reconcile_interval_s": 1.0}) as b:
        b.inject(**COMMISSIONS[when])
        b.wish(100)
        await b.until(lambda: b.position == 100, "the fill")
        if when != "early":
            assert (await b.metrics())['trader_pnl_commissions_missing{currency="USD"}'] == 1
        await b.settle(100)
        assert (await b.metrics())['trader_pnl_commissions_missing{currency="USD"}'] == 0


async def test_executions_are_asked_for_before_the_brokers_midnight_also_on_a_bad_day(tmp_path: Path) -> None:
    """Executions are told for the current day only; what nobody told of must be asked for before it ends."""
    async with bench(tmp_path, start=datetime(2013, 10, 8, 3, 39, 56, tzinfo=UTC), **RESTING) as b:
        await rest(b)
        asked = len(b.wire.sent)

        def until_asked(fields: Fields) -> Iterable[Fields]:
            called = any(sent[0] == ASKED_FOR["executions"] for sent in b.wire.sent[asked:])
            return (fields,) if called or fields[0] not in (STATUS, EXECUTION, COMMISSION, A_POSITION) else ()

        b.wire.down = until_asked
        b.move(69.0, 69.01)
        await b.until(lambda: b.open() == [], "the fill at the gateway")
        assert b.position == 0
        await b.until(lambda: b.of(FillBooked), "the last call")
        assert b.core.now() < datetime(2013, 10, 8, 3, 41, tzinfo=UTC)
        await b.settle(100)
