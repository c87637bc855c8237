"""The composition root: builds the parts, wires them, runs them, stops them.

Rules: the trading loop is the only thing that everything else hangs on. What watches it (metrics, logs,
recorder, control socket) can fail without it; what it needs to be honest (journal, configuration, account)
ends the service with one sentence when it fails.
"""

import asyncio
import gc
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from datetime import datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Final

import msgspec

from observability.collectors import BuildInfo
from observability.logs import LogPipeline
from observability.resources import ResourceMeter
from observability.stack import ObservabilityStack, build
from observability.webhook import PolicyWebhook
from trader import host, systemd_notify
from trader.clock import NANOSECONDS_PER_SECOND, AnchoredClock, Clock, SystemClock, uptime_s
from trader.contracts import Instrument, TradingMode, TradingState
from trader.control import ControlServer
from trader.control_messages import Command, ControlError, Request, Response, answer_question, unknown_command
from trader.engine import Engine
from trader.events import (
    AnyFact,
    HaltRequested,
    MaintenanceFinished,
    MaintenanceKind,
    MaintenanceOutcome,
    PanicRequested,
    PolicyOverrideRequested,
    ReloadFinished,
    ResumeRequested,
    ScheduleFired,
    StopRequested,
    TimerElapsed,
)
from trader.gateway.ib import IbGateway
from trader.journal import Journal, JournalUnavailable, PatientJournal
from trader.lifecycle import Evidence, History, run_id
from trader.loop import TradingLoop
from trader.recorder import Recorder
from trader.schedule import Schedule, fire_times
from trader.session import BrokerWindows, SessionCalendar
from trader.settings import Settings
from trader.settings_file import ConfigurationError, config_hash, load_settings, read_secret, reload_difference
from trader.snapshot import Snapshot
from trader.strategy.loader import load_strategy

VERSION: Final = version("ibkr-trading")
BEAT_S: Final = 0.1

Watcher = tuple[str, Callable[[AnyFact], None]]


def clock_for(mode: TradingMode) -> Clock:
    """The host's clock; in mode simulated one that follows the simulated gateway's."""
    return AnchoredClock() if mode is TradingMode.SIMULATED else SystemClock()


class Service:
    """One account's trading service. ``watchers`` are further observers of facts, isolated like the others."""

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Clock | None = None,
        config_file: Path | None = None,
        logs: LogPipeline | None = None,
        watchers: Sequence[Watcher] = (),
    ) -> None:
        self.settings = settings
        self._config_file = config_file
        self._logs = logs
        self._watchers = watchers
        self._clock: Clock = clock or clock_for(settings.mode)
        self._done = asyncio.Event()
        self.running = False
        self._stop_deadline_ns: int | None = None
        self._schedule: Schedule | None = None
        self._recorder: Recorder | None = None
        self._control: ControlServer | None = None

    async def run(self) -> None:
        """Trade until a stop is requested; raises one of the typed errors that ``cli.run`` turns into a sentence."""
        self._build()
        try:
            await self._open_doors()
            self._begin()
            await self._trade()
            self._journal_stop()
        finally:
            await self._close()

    def request_stop(self, reason: str) -> None:
        """Begin a graceful stop: no new entries, cancel or keep working orders as configured, then end."""
        if self._stop_deadline_ns is None:
            systemd_notify.notify("STOPPING=1")
            timeout_ns = int(self.settings.stop.timeout_s * NANOSECONDS_PER_SECOND)
            self._stop_deadline_ns = self._clock.monotonic_ns() + timeout_ns
            self.loop.post(StopRequested(at=self._clock.now(), reason=reason))

    def snapshot(self) -> Snapshot:
        """The engine's state and the process's resources, at this moment."""
        return msgspec.structs.replace(self.engine.snapshot(), resources=self._resources.read())

    # -- building

    def _build(self) -> None:
        settings, clock = self.settings, self._clock
        instruments = {item.symbol: item.instrument() for item in settings.instruments}
        strategy = load_strategy(settings.strategy, instruments)
        calendar = SessionCalendar.load(settings.session.calendar, settings.session.calendar_file)
        # A schedule that is none is an error at once; it begins to run when the time is known.
        fire_times(settings.strategy.schedule, settings.strategy.schedule_time_zone, clock.now())
        windows = BrokerWindows.load(settings.session.broker_region, settings.session.broker_windows_file)
        self.engine = Engine(settings, instruments, strategy, calendar, clock, run_id(clock.now()), windows)
        digest = config_hash(settings)
        build_info = BuildInfo(VERSION, config_hash=digest)
        self._resources = ResourceMeter(clock)
        self._observability: ObservabilityStack = build(
            settings,
            self.engine.snapshot,
            clock,
            build_info,
            self._logs,
            self._watchers,
            webhook=self._policy_webhook(),
            otlp_token=_secret(settings.tracing.otlp_token_file),
        )
        self._journal = PatientJournal(self._open_journal(), lambda: self._open_journal(may_create=False))
        try:
            history = self._restore()
            self._recorder = self._begin_recording(instruments.values())
            observers = self._observability.observers
            tap = observers.tap("recorder", self._recorder.observe) if self._recorder else None
            self.loop = TradingLoop(self.engine, self._journal, observers.publish, self._done.set, clock=clock, tap=tap)
            self._gateway = IbGateway(settings, instruments, clock, self.loop.post)
            self.loop.gateway = self._gateway
            evidence = Evidence(boot_id=host.boot_id(), exit_result=host.exit_record().result, uptime_s=uptime_s())
            self._start_reason = history.start_reason(VERSION, digest, evidence)
            self._config_hash = digest
        except BaseException:
            self._journal.close()
            raise

    def _open_journal(self, may_create: bool = True) -> Journal:
        wanted = self.settings.journal
        return Journal.open(wanted.url, wanted.durability, self._clock, may_create)

    def _require_journal(self, lost: str) -> None:
        """A run begins and ends in the journal, or says that it did not."""
        if self._journal.problem:
            raise JournalUnavailable(f"{self._journal.problem}; {lost}")

    def _begin_recording(self, instruments: Iterable[Instrument]) -> Recorder | None:
        wanted = self.settings.recorder
        if wanted.directory is None:
            return None
        names = {item.symbol: item.market_name for item in instruments}
        return Recorder(wanted.directory, self._clock, wanted.max_file_bytes, wanted.keep_days, names)

    def _restore(self) -> History:
        history = History()
        self.engine.restore(history.watch(fact for _, fact in self._journal.read()))
        history.require_same_books(self.settings.mode, self.settings.account, self.settings.journal.url)
        return history

    def _policy_webhook(self) -> PolicyWebhook | None:
        """What takes Alertmanager's word; None when the policy is off."""
        token = _secret(self.settings.policy.token_file)
        if token is None:
            return None
        return PolicyWebhook(token, lambda: self.settings.policy, self._clock, self._post)

    def _post(self, event: AnyFact) -> None:
        self.loop.post(event)

    async def _open_doors(self) -> None:
        await self._observability.start()
        self._control = ControlServer(self.settings.control.socket, self._answer)
        await self._control.start()

    def _begin(self) -> None:
        """The first facts of a run, once nothing can keep it from starting; a raised panic flag is among them."""
        self.loop.take(self.engine.start(self._start_reason, VERSION, self._config_hash, host.boot_id()))
        self._require_journal("nothing was traded")
        host.forget_exit()
        self._look_for_panic_flag()

    # -- running

    async def _trade(self) -> None:
        _leave_to_itself_what_stays()
        gateway = asyncio.create_task(self._gateway.run(), name="gateway")
        beat = asyncio.create_task(self._beat(), name="beat")
        self.running = True
        systemd_notify.notify("READY=1")
        try:
            await asyncio.wait({gateway, beat}, return_when=asyncio.FIRST_COMPLETED)
            if self.loop.failure is not None:
                raise self.loop.failure
            for task in (gateway, beat):
                if task.done():
                    task.result()
        finally:
            beat.cancel()
            await self._gateway.close()
            await asyncio.gather(gateway, beat, return_exceptions=True)

    async def _beat(self) -> None:
        """The passage of time, and what is looked at ten times a second.

        The watchdog is fed by events that the engine has carried through; while the time is not known there are none.
        """
        watchdog, waited = systemd_notify.Watchdog(), 0
        while not self._done.is_set():
            self._look_for_panic_flag()
            now, now_ns = self._clock.now(), self._clock.monotonic_ns()
            if self._knows_the_time():
                self._pass_time(now, now_ns)
            else:
                waited += 1
            watchdog.look(self.loop.processed + waited, now_ns)
            if self._stop_deadline_ns is not None and (self.engine.stopped or now_ns > self._stop_deadline_ns):
                return
            await asyncio.sleep(BEAT_S)

    def _pass_time(self, now: datetime, now_ns: int) -> None:
        self.loop.look_at_journal()
        elapsed = TimerElapsed(at=now, monotonic_ns=now_ns)
        self.loop.post(elapsed)
        self._observability.observers.publish((elapsed,))
        strategy = self.settings.strategy
        if self._schedule is None:
            self._schedule = Schedule(strategy.schedule, strategy.schedule_time_zone, now)
        elif self._schedule.due(now):
            self.loop.post(ScheduleFired(at=now, strategy=strategy.name, monotonic_ns=now_ns))

    def _knows_the_time(self) -> bool:
        """Simulated time is known once the simulator has told it; no session opens or closes before that."""
        return not isinstance(self._clock, AnchoredClock) or self._clock.anchored

    def _look_for_panic_flag(self) -> None:
        if self.engine.trading_state is not TradingState.PANIC and self.settings.panic.flag.exists():
            self.loop.post(PanicRequested(at=self._clock.now(), source="flag"))

    # -- stopping

    def _journal_stop(self) -> None:
        clean = self.engine.stopped
        reason = "stopped" if clean else "stopped with orders still working"
        self.loop.take(self.engine.stop(reason, clean))
        waiting = self._journal.waiting
        self._require_journal(
            f"the last {waiting} facts are lost, and the next start asks the broker for what they told"
        )

    async def _close(self) -> None:
        if self._control is not None:
            await self._control.close()
        if self._recorder is not None:
            self._recorder.close()
        await self._observability.stop()
        self._journal.close()

    # -- the operator

    def reload(self) -> ReloadFinished:
        """Read the configuration again: all of it is valid and may change, or nothing changes."""
        settled = self.running and self._stop_deadline_ns is None
        with systemd_notify.reloading(self._clock.monotonic_ns()) if settled else nullcontext():
            changed, problems = self._read_again()
            finished = ReloadFinished(at=self._clock.now(), changed=tuple(changed), problems=tuple(problems))
            self.loop.post(finished)
        return finished

    def _read_again(self) -> tuple[list[str], list[str]]:
        if self._config_file is None:
            return [], ["the service was started without a configuration file"]
        try:
            new = load_settings(self._config_file)
        except ConfigurationError as error:
            return [], str(error).splitlines()
        changed, problems = reload_difference(self.settings, new)
        if problems:
            return [], problems
        self.settings = new
        self.engine.reconfigure(new)
        return changed, []

    def _answer(self, request: Request) -> Response:
        answer = answer_question(request, self.snapshot())
        if answer is not None:
            return answer
        now = self._clock.now()
        match request.command:
            case Command.HALT:
                self.loop.post(
                    HaltRequested(at=now, source="operator", reason=request.text("reason", "halted by hand"))
                )
            case Command.RESUME:
                return self._resume(request)
            case Command.OVERRIDE_POLICY:
                return self._override_policy(request)
            case Command.MAINTENANCE_FINISHED:
                self.loop.post(_maintenance_finished(request, now))
            case Command.PANIC:
                self.loop.post(PanicRequested(at=now, source="operator"))
            case Command.RELOAD:
                finished = self.reload()
                if finished.problems:
                    raise ControlError("\n".join(("the configuration was not reloaded:", *finished.problems)))
                return Response.success(finished.changed)
            case _:
                return unknown_command(request)
        return Response.success()

    def _resume(self, request: Request) -> Response:
        if self.engine.flattening:
            raise ControlError(
                "the panic is still cancelling and flattening; resume when trader status shows it is done"
            )
        flag = self.settings.panic.flag
        try:
            flag.unlink(missing_ok=True)
        except OSError as error:
            raise ControlError(f"{flag} cannot be removed ({error.strerror}): remove it, then resume again") from error
        accept = request.flag("accept_positions")
        self.loop.post(ResumeRequested(at=self._clock.now(), source="operator", accept_positions=accept))
        return Response.success(self.engine.policy_notice())

    def _override_policy(self, request: Request) -> Response:
        """Set the budget policy aside for some seconds; for none, let it count again."""
        seconds, now = request.number("for_s"), self._clock.now()
        longest_s = self.settings.policy.override_max_s
        if not 0 <= seconds <= longest_s:
            raise ControlError(f"an override may last {longest_s:g} s at most (policy.override_max_s)")
        until = now + timedelta(seconds=seconds) if seconds else None
        reason = request.text("reason", "an operator asked for it")
        self.loop.post(PolicyOverrideRequested(at=now, source="operator", reason=reason, until=until))
        return Response.success(self.engine.policy_notice())


def _maintenance_finished(request: Request, now: datetime) -> MaintenanceFinished:
    return MaintenanceFinished(
        at=now,
        kind=request.choice("kind", MaintenanceKind),
        period=request.text("period"),
        outcome=request.choice("outcome", MaintenanceOutcome),
        duration_s=request.number("duration_s"),
        tasks=request.choices("tasks", MaintenanceOutcome),
    )


def _secret(file: Path | None) -> str | None:
    return None if file is None else read_secret(file)


def _leave_to_itself_what_stays() -> None:
    """Full collections need not go through what the start has made: the loop stood still for 15 ms in each."""
    gc.collect()
    gc.freeze()
