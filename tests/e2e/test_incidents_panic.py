"""Incidents of the emergency exit and of operating, played on the wire; docs/incidents.md lists them all."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.incidents_bench import (
    PLACE,
    bench,
)
from trader.clock import AnchoredClock
from trader.contracts import TradingState
from trader.events import (
    BrokerDisconnectedReceived,
    PanicCompleted,
    PanicRequested,
    ReloadFinished,
)
from trader.ledger import Ledger
from trader.panic import PanicError, flatten_account
from trader.simulator.hours import TradingHours
from trader.simulator.options import ExchangeOptions
from trader.simulator.wire.clock import SimulatedClock

pytestmark = pytest.mark.e2e


async def test_hummingbot_2534_a_panic_flattens_when_profit_and_loss_cannot_be_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """hummingbot #2534: the kill switch died in its own P&L code."""
    async with bench(tmp_path) as b:
        b.wish(100)
        await b.settle(100)

        def broken(*_: Any, **__: Any) -> None:
            raise ZeroDivisionError("the profit and loss")

        b.service.settings.panic.flag.touch()
        monkeypatch.setattr(Ledger, "pnl_base", broken)
        b.service._look_for_panic_flag()
        await b.until(lambda: b.of(PanicCompleted), "the panic")
        monkeypatch.undo()
        assert (b.core.trading_state, b.position, b.open()) == (TradingState.PANIC, 0, [])
        await b.settle(0)


async def test_freqtrade_4023_nothing_is_bought_back_after_a_forced_exit(tmp_path: Path) -> None:
    """freqtrade #4023: the bot re-bought after a forced exit. Entries are stopped before anything is flattened."""
    async with bench(tmp_path) as b:
        b.wish(100)
        await b.settle(100)
        left = len(b.wire.sent)
        b.service.settings.panic.flag.touch()
        await b.until(lambda: b.of(PanicCompleted), "the panic")
        orders = [fields for fields in b.wire.sent[left:] if fields[0] in ("58", PLACE)]
        assert [fields[0] for fields in orders][:1] == ["58"]
        assert len(b.placed()) == 2
        for _ in range(3):
            b.nudge()
            await b.pass_by(2)
        assert len(b.placed()) == 2

        await b.kill()
        await b.serve()
        b.wish(100)
        await b.pass_by(5)
        assert (b.core.trading_state, len(b.placed())) == (TradingState.PANIC, 2)
        await b.settle(0)


async def test_freqtrade_10851_an_invalid_reload_changes_nothing(tmp_path: Path) -> None:
    """freqtrade #10851: a reload tore the bot down before it found the new file invalid."""
    async with bench(tmp_path) as b:
        before = b.service.settings
        text = b.config.read_text()
        b.config.write_text(text.replace("ack_timeout_s: 0.4", "ack_timeout_s: soon") + "\nnonsense: true\n")

        finished = b.service.reload()

        assert not finished.changed
        assert any("ack_timeout_s" in problem for problem in finished.problems)
        assert b.service.settings is before
        assert b.of(ReloadFinished)[-1].problems
        assert (await b.metrics())['trader_config_reload_total{outcome="refused"}'] == 1
        assert b.of(BrokerDisconnectedReceived) == []
        b.wish(100)
        await b.settle(100)


async def test_two_panics_in_a_closed_market_leave_one_closing_order(tmp_path: Path) -> None:
    """A service that obeys and ``trader panic`` beside it: what closes twice at the open holds a new position."""
    told: list[str] = []
    hours = TradingHours()
    opens = datetime(2013, 10, 7, 13, 30, tzinfo=UTC)
    async with bench(tmp_path, start=opens + timedelta(minutes=5), options=ExchangeOptions(hours=hours)) as b:
        b.wish(100)
        await b.settle(100)
        b.server.gateway.clock = SimulatedClock(opens + timedelta(hours=8), 1.0)
        b.server.gateway.clock.run(asyncio.get_running_loop().time())
        b.server.exchange.advance_to(opens + timedelta(hours=8))
        b.service._post(PanicRequested(at=b.core.now(), source="operator"))
        await b.until(lambda: len(b.open()) == 1, "the service's closing order")

        beside = asyncio.create_task(flatten_account(b.service.settings, AnchoredClock(), told.append, 5.0))
        closing: list[int] = []
        while not beside.done():
            await b.pass_by(1)
            closing.append(len(b.open()))

        assert isinstance(beside.exception(), PanicError)
        assert closing[-1] == 1
        assert b.open()[0].startswith("ibt-panic-")
        b.server.exchange.advance_to(opens + timedelta(days=1))
        b.move(69.0, 69.02)
        await b.until(lambda: b.of(PanicCompleted), "the open to close it")
        assert [line.quantity for line in b.server.exchange.positions() if line.quantity] == []
        assert b.open() == []
