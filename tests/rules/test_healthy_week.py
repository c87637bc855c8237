"""A healthy week raises no alert: a false page is a failure.

The service's engine, strategy and metrics run on a synthetic market through a whole week on virtual time, on a real
exchange's calendar, through the broker's nightly resets. Its metrics of every minute, and those of a healthy machine
beside it on which the shipped timers start maintenance, are what promtool evaluates every shipped rule on, minute by
minute.
"""

import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest
import yaml
from prometheus_client.core import Metric as Family

from observability.collectors import BuildInfo, ServiceCollector, SnapshotCollector, family_of
from observability.families import new_registry
from observability.instruments import Instruments
from observability.loops import LoopTicks
from observability.readings import GAUGES
from observability.rules import render
from observability.slo import Duration, load
from observability.stack import register_collectors
from tests.rules.healthy_maintenance import Job, Maintenance
from tests.rules.lean import without_annotations
from tests.rules.rulebook import PROMTOOL_ENVIRONMENT, Document, read, uses
from trader.clock import ManualClock
from trader.contracts import TradingMode
from trader.drills.emergency import EMERGENCIES
from trader.engine import Engine, Step
from trader.events import (
    AccountValue,
    AccountValuesReceived,
    AnyFact,
    DisconnectReason,
    HeartbeatReceived,
    MetricsScraped,
    PolicyAlertsReceived,
    RequestFinished,
    RequestKind,
    RequestOutcome,
    StartReason,
    TimerElapsed,
)
from trader.maintenance.model import Kind
from trader.session import BrokerWindows, SessionCalendar
from trader.session.gauges import session_gauges
from trader.settings import Settings
from trader.simulator.calendar_hours import us_stock_hours
from trader.simulator.contract_book import ContractBook
from trader.simulator.exchange import Exchange
from trader.simulator.inprocess import InProcessGateway
from trader.simulator.market import SyntheticMarket
from trader.simulator.model import Report
from trader.simulator.options import ExchangeOptions
from trader.simulator.translate import instrument_of
from trader.stack import ALERTS_FOLDER, Programs
from trader.strategy.loader import load_strategy
from trader.textfile import Gauge

MINUTE: Final = timedelta(minutes=1)
SYMBOLS: Final = ("SPY", "AAPL", "IBM", "BAC")
# Where data ends and a session of the broker's maintenance begins, the link is away for this long.
RESET_OUTAGE: Final = timedelta(minutes=4)
TARGET: Final = {"job": "trader", "instance": "localhost"}
NODE: Final = {"job": "node", "instance": "localhost"}
# Where each begins, and for how many days; a first Saturday is in one of them.
WEEKS: Final = {
    "the clocks change": (datetime(2026, 3, 7, tzinfo=UTC), 3),
    "a holiday and a half day": (datetime(2026, 11, 23, tzinfo=UTC), 7),
}
JOBS: Final = {
    "the clocks change": {Kind.DAILY: 3, Kind.WEEKLY: 1, Kind.MONTHLY: 1},
    "a holiday and a half day": {Kind.DAILY: 7, Kind.WEEKLY: 1},
}

# The rules of the success metrics look back over days at every step: they are given every fifth minute, and of the
# families with many series only those in which something happened.
SLO_STEP: Final = 5
MANY: Final = ("trader_broker_requests_total", "trader_broker_errors_total")
# IB wants the login to be authenticated again each Sunday: this ticket is due on the day before, in any week.
WEEKLY: Final = "BrokerReauthDue"
PROMTOOL_TIMEOUT_S: Final = 900.0
# What promtool has to have seen, so that its silence means something: an alert that always fires, every job of
# maintenance, declared while it runs and no longer, and drills that were held, one of them to its bound. A range has as
# many samples as promtool loads.
WATCHED: Final = 'count(count_over_time(ALERTS{alertname="Watchdog",alertstate="firing"}[1d]) > 200) or vector(0)'
DECLARED: Final = 'sum(resets(trader:in_maintenance{{kind="{kind}"}}[166h]))'
DRILLED: Final = {
    "count(changes(trader_drill_duration_seconds[166h]) > 0)": len(EMERGENCIES),
    "count(trader_drill_duration_seconds == trader_drill_bound_seconds)": 1,
    'sum(changes(trader_task_last_success_timestamp_seconds{task=~"panic_drill|page_drill"}[166h]))': 2,
}
# Between two complete samples of a closed market, in minutes.
SPARSE: Final = 4

Reading = tuple[str, dict[str, str], float]
Values = dict[str, list[float | None]]
Recording = dict[tuple[str, ...], tuple[str, dict[str, str], list[float | None]]]


class Week:
    """The service's engine on virtual time, and what its metrics are each minute."""

    def __init__(self, start: datetime, days: int, folder: Path) -> None:
        self.start = start
        self._minutes = timedelta(days=days) // MINUTE
        self.clock = ManualClock(start)
        self.calendar = SessionCalendar.load("XNYS")
        self.windows = BrokerWindows.load()
        settings = Settings.model_validate({"mode": TradingMode.SIMULATED, "instruments": list(SYMBOLS)})
        self.settings = settings
        self._market = SyntheticMarket(SYMBOLS, 7, start, interval_s=5.0, hours=us_stock_hours())
        book = ContractBook(SYMBOLS, start.date())
        instruments = {name: instrument_of(book.find(symbol=name)[0], name) for name in SYMBOLS}
        options = ExchangeOptions(hours=us_stock_hours(), history_bars=0)
        self._exchange = Exchange(book, options, start, 7, _too_early)
        self._gateway = InProcessGateway(
            self._exchange, instruments, self.clock, self._receive, latency=timedelta(milliseconds=40), trades=False
        )
        self._exchange.listener = self._gateway.listen
        strategy = load_strategy(settings.strategy, instruments)
        self.engine = Engine(settings, instruments, strategy, self.calendar, self.clock, "week", self.windows)
        self._registry = new_registry()
        self._ticks = LoopTicks(self.clock)
        self.told = Instruments(self._registry, self._ticks, (settings.strategy.name,))
        self._service = ServiceCollector(BuildInfo("week"), self.told, self._ticks, folder / "panic.flag", lambda: 0)
        snapshot = SnapshotCollector(self.engine.snapshot, self.told)
        register_collectors(self._registry, {"snapshot": snapshot, "service": self._service})

    def minutes(self) -> Iterator[datetime]:
        """Run the week; yields each whole minute, at which the metrics can be read."""
        self._take(self.engine.start(StartReason.DEPLOY, "week", "week"))
        self._gateway.connect()
        self._gateway.flush()
        events = self._market.events()
        event = next(events)
        for minute in range(self._minutes):
            end = self.start + (minute + 1) * MINUTE
            while event.at < end:
                self._elapse(event.at)
                self._gateway.apply(event)
                event = next(events)
            self._elapse(end)
            self._each_minute(end)
            yield end

    def samples(self, minute: int) -> Iterator[Reading]:
        """All metrics; while the market is closed the counters, which stand still, only every few minutes."""
        for family in self._registry.collect() if minute % SPARSE == 0 or self.open else self._states():
            for sample in family.samples:
                if not sample.name.endswith("_created"):
                    yield sample.name, sample.labels, sample.value

    def _states(self) -> Iterator[Family]:
        snapshot = self.engine.snapshot()
        for metric, value_of in GAUGES:
            family = family_of(metric, value_of(snapshot))
            if family is not None:
                yield family
        yield from self._service.collect()

    @property
    def open(self) -> bool:
        return self.calendar.session_at(self.clock.now()) is not None

    def _elapse(self, until: datetime) -> None:
        """Time passes in steps of a minute, of five seconds in the session, of one while an order is under way."""
        while self.clock.now() < until:
            busy = self._gateway.pending or self.engine.core.orders.open()
            step_s = 1 if busy else 5 if self.open else 60
            self._gateway.advance_to(min(until, self.clock.now() + timedelta(seconds=step_s)))
            elapsed = TimerElapsed(at=self.clock.now(), monotonic_ns=self.clock.monotonic_ns())
            self._receive(elapsed)
            self.told.observe(elapsed)

    def _each_minute(self, now: datetime) -> None:
        self._ticks.tick("event_loop")
        self._reset(now)
        if self._gateway.connected:
            self._receive(HeartbeatReceived(at=now, duration_s=0.002, clock_offset_s=0.01))
            self._receive(
                RequestFinished(at=now, kind=RequestKind.SERVER_TIME, outcome=RequestOutcome.OK, duration_s=0.002)
            )
            values = tuple(
                AccountValue(tag, currency, value) for tag, value, currency in self._exchange.account_values()
            )
            self._receive(AccountValuesReceived(at=now, values=values))
        told_ns = self.clock.monotonic_ns()
        self._receive(PolicyAlertsReceived(at=now, alerts=(), heartbeat=True, monotonic_ns=told_ns))
        self._receive(MetricsScraped(at=now, monotonic_ns=told_ns))

    def _reset(self, now: datetime) -> None:
        """In its announced window the broker goes away for some minutes."""
        window = self.windows.window_at(now)
        begins = window.starts_at + timedelta(minutes=10) if window is not None else None
        away = begins is not None and begins <= now < begins + RESET_OUTAGE
        if away and self._gateway.connected:
            self._gateway.disconnect(DisconnectReason.CLOSED, "the broker's nightly reset")
            self._gateway.flush()
        elif not away and not self._gateway.connected:
            self._gateway.connect()
            self._gateway.flush()

    def _receive(self, event: AnyFact) -> None:
        self._take(self.engine.process(event))

    def _take(self, step: Step) -> None:
        for fact in step.facts:
            self.told.observe(fact)
        for command in step.commands:
            self._gateway.execute(command)


def _too_early(report: Report) -> None:
    raise AssertionError(f"the exchange reported {report} before it was wired")


def machine(minute: int) -> Iterator[Reading]:
    """A healthy machine's own metrics, and those of Prometheus and Alertmanager; times count from the week's start."""
    for job in ("trader", "node", "prometheus", "alertmanager"):
        yield "up", {"job": job, "instance": "localhost"}, 1
    disk = {**NODE, "device": "/dev/sda1", "fstype": "ext4", "mountpoint": "/"}
    yield "node_filesystem_size_bytes", disk, 1e12
    # A gigabyte a day is used, and given back on Sunday.
    yield "node_filesystem_avail_bytes", disk, 5e11 - minute % 8640 * 7e5
    yield "node_filesystem_readonly", disk, 0
    yield "node_timex_offset_seconds", NODE, 0.0005
    yield "node_timex_sync_status", NODE, 1
    yield "node_timex_maxerror_seconds", NODE, 0.02
    yield "node_pressure_memory_stalled_seconds_total", NODE, minute * 0.01
    yield "node_textfile_scrape_error", NODE, 0
    for collector in ("filesystem", "systemd", "textfile", "timex"):
        yield "node_scrape_collector_success", {**NODE, "collector": collector}, 1
    for state in ("active", "failed", "inactive", "activating"):
        labels = {**NODE, "name": "ibkr-trading.service", "state": state, "type": "notify"}
        yield "node_systemd_unit_state", labels, float(state == "active")
    yield "node_systemd_service_restart_total", {**NODE, "name": "ibkr-trading.service"}, 0
    yield from monitoring()
    yield from resources(minute)


def monitoring() -> Iterator[Reading]:
    prometheus = {"job": "prometheus", "instance": "localhost"}
    alertmanager = {"job": "alertmanager", "instance": "localhost"}
    yield "prometheus_config_last_reload_successful", prometheus, 1
    yield "prometheus_notifications_alertmanagers_discovered", prometheus, 1
    yield "prometheus_notifications_dropped_total", prometheus, 0
    yield "prometheus_rule_evaluation_failures_total", {**prometheus, "rule_group": "all"}, 0
    yield "prometheus_target_scrapes_exceeded_sample_limit_total", prometheus, 0
    yield "alertmanager_config_last_reload_successful", alertmanager, 1
    yield "alertmanager_notifications_failed_total", {**alertmanager, "integration": "webhook"}, 0


def resources(minute: int) -> Iterator[Reading]:
    """The unit within its limits; memory grows a little and is given back each day."""
    yield "trader_unit_memory_working_set_bytes", TARGET, 4e8 + minute % 1440 * 1e4
    yield "trader_unit_memory_max_bytes", TARGET, 8e9
    yield "trader_unit_memory_events_total", {**TARGET, "event": "oom_kill"}, 0
    yield "trader_unit_cpu_usage_seconds_total", TARGET, minute * 18.0
    yield "trader_unit_cpu_limit_cores", TARGET, 4
    yield "trader_unit_cpu_throttled_seconds_total", TARGET, minute * 0.1
    yield "trader_unit_tasks", TARGET, 12
    yield "trader_unit_tasks_max", TARGET, 4096
    yield "process_open_fds", TARGET, 40
    yield "process_max_fds", TARGET, 65536


def recorded(start: datetime, days: int, folder: Path, wanted: set[str]) -> tuple[Values, list[Job]]:
    """Every series of ``wanted`` metrics, one value a minute, None before it is there; and the jobs of maintenance."""
    week = Week(start, days, folder)
    upkeep = Maintenance(start, week.settings, week.calendar, week.windows)
    found: Recording = {}
    origin = start.timestamp()
    gauges: tuple[Gauge, ...] = ()
    for minute, now in enumerate(week.minutes()):
        for name, labels, value in week.samples(minute):
            if name in wanted:
                _add(found, minute, TARGET, name, labels, _relative(name, value, origin))
        if minute % SPARSE == 0:
            gauges = session_gauges(week.calendar, week.windows, now)
        for gauge in (one for one in (*gauges, *upkeep.gauges(now)) if one.name in wanted):
            for sample in gauge.samples:
                _add(found, minute, NODE, gauge.name, sample.labels, _relative(gauge.name, sample.value, origin))
        for name, labels, value in machine(minute):
            _add(found, minute, {}, name, labels, value)
        for name, labels, value in upkeep.units(now):
            _add(found, minute, NODE, name, labels, value)
    assert week.engine.snapshot().activity.fills > 20, "a week in which nothing is traded proves little"
    return series_of(found), upkeep.begun_by(week.clock.now())


def _relative(name: str, value: float, origin: float) -> float:
    """promtool's time begins at 0, and so does the week; 0 means "none" where a time can be missing."""
    return value - origin if name.endswith("_timestamp_seconds") and value else value


def _add(
    found: Recording, minute: int, target: dict[str, str], name: str, labels: Mapping[str, str], value: float
) -> None:
    """A value that was left out between two samples of a closed market is the one before."""
    values = found.setdefault((name, *labels.values(), *target.values()), (name, {**target, **labels}, []))[2]
    missing = minute - len(values)
    if missing:
        values.extend([values[-1] if values and missing < SPARSE else None] * missing)
    values.append(value)


def series_of(found: Recording) -> Values:
    """Series by their names and labels, as PromQL writes them."""
    return {
        name + "{" + ",".join(f'{key}="{text}"' for key, text in sorted(labels.items())) + "}": values
        for name, labels, values in found.values()
    }


def notation(values: list[float | None]) -> str:
    """promtool's notation of a series: even steps are written once."""
    parts: list[str] = []
    at = 0
    while at < len(values):
        first = values[at]
        step = _step(values, at)
        count = 0
        while at + count + 1 < len(values) and step is not None and _step(values, at + count) == step:
            count += 1
        if first is None:
            parts.append("_")
        elif count and step is not None:
            parts.append(f"{_number(first)}{'-' if step < 0 else '+'}{_number(abs(step))}x{count}")
        else:
            parts.append(_number(first))
        at += count + 1
    return " ".join(parts)


def _step(values: list[float | None], at: int) -> float | None:
    """The whole-numbered step to the next value; None when there is none."""
    first = values[at]
    second = values[at + 1] if at + 1 < len(values) else None
    if first is None or second is None or first % 1 or second % 1:
        return 0.0 if first is not None and first == second else None
    return second - first


def _number(value: float) -> str:
    return f"{value:.0f}" if value % 1 == 0 else repr(value)


def write_rules(folder: Path) -> set[str]:
    """Writes the shipped rules without their annotations; returns the metrics that they ask for.

    Those that count slices are made for slices as long as the week's samples are apart.
    """
    spec = load(ALERTS_FOLDER / "slo.yaml").model_copy(update={"evaluation_interval": Duration(f"{SLO_STEP}m")})
    texts = {source.name: source.read_text() for source in (ALERTS_FOLDER / "rules").glob("*.rules.yml")}
    for name, text in (texts | {"slo.rules.yml": render(spec)}).items():
        document = yaml.load(text, Loader=yaml.CSafeLoader)
        for group in document["groups"]:
            group["rules"] = [without_annotations(rule) for rule in group["rules"]]
        (folder / name).write_text(yaml.dump(document, Dumper=yaml.CSafeDumper, sort_keys=False))
    return asked_for(folder, list(texts))


def asked_for(folder: Path, rule_files: list[str]) -> set[str]:
    """The metrics that the rules select; what nobody asks for need not be loaded."""
    rules = [rule for file in rule_files for group in read(folder / file)["groups"] for rule in group["rules"]]
    found = {metric for rule in rules for metric in metrics_of(str(rule["expr"]))}
    assert "" not in found, "a rule selects by no name: it may mean any series"
    return found


def metrics_of(expr: str) -> set[str]:
    return {use.metric for use in uses(expr)}


def week_test(series: Values, folder: Path, rule_files: list[str], step: int, seen: dict[str, float]) -> Document:
    """promtool's test of these rules: nothing fires. The values of ``seen`` prove that it looks."""
    minutes = max(len(values) for values in series.values())
    end = f"{(minutes // step - 1) * step}m"
    fired = f'count_over_time(ALERTS{{alertstate="firing",severity!="none",alertname!="{WEEKLY}"}}[8d])'
    weekly = f'max(count_over_time(ALERTS{{alertstate="firing",alertname="{WEEKLY}",severity!="ticket"}}[8d]))'
    used = asked_for(folder, rule_files).union(*map(metrics_of, seen))
    return {
        "rule_files": rule_files,
        "evaluation_interval": f"{step}m",
        "tests": [
            {
                "interval": f"{step}m",
                "input_series": [
                    {"series": key, "values": notation(values[step - 1 :: step])}
                    for key, values in series.items()
                    if key.partition("{")[0] in used
                ],
                "promql_expr_test": [
                    {"expr": fired, "eval_time": end, "exp_samples": []},
                    {"expr": weekly, "eval_time": end, "exp_samples": []},
                    *(
                        {"expr": expr, "eval_time": end, "exp_samples": [{"labels": "{}", "value": value}]}
                        for expr, value in seen.items()
                    ),
                ],
            }
        ],
    }


def start_promtool(programs: Programs, file: Path, content: Document) -> subprocess.Popen[str]:
    file.write_text(yaml.dump(content, Dumper=getattr(yaml, "CSafeDumper", yaml.SafeDumper), width=10_000_000))
    return subprocess.Popen(
        [programs.promtool, "test", "rules", str(file)],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=PROMTOOL_ENVIRONMENT,
    )  # fmt: skip


@pytest.mark.parametrize("name", WEEKS)
def test_no_alert_fires_in_a_healthy_week(tmp_path: Path, programs: Programs, name: str) -> None:
    wanted = write_rules(tmp_path).union(*map(metrics_of, DRILLED))
    series, jobs = recorded(*WEEKS[name], tmp_path, wanted)
    assert Counter(job.kind for job in jobs) == JOBS[name]
    symptoms = sorted(path.name for path in tmp_path.glob("symptoms_*.rules.yml"))
    used = {key: values for key, values in series.items() if not (key.startswith(MANY) and not any(values))}
    seen = {WATCHED: 1, **DRILLED, **{DECLARED.format(kind=kind): number for kind, number in JOBS[name].items()}}
    running = [
        start_promtool(
            programs,
            tmp_path / "symptoms.test.yml",
            week_test(series, tmp_path, ["names.rules.yml", *symptoms], 1, seen),
        ),
        start_promtool(
            programs,
            tmp_path / "slo.test.yml",
            week_test(used, tmp_path, ["names.rules.yml", "slo.rules.yml"], SLO_STEP, {WATCHED: 0}),
        ),
    ]

    said = [process.communicate(timeout=PROMTOOL_TIMEOUT_S)[0] for process in running]

    assert [process.returncode for process in running] == [0, 0], "\n".join(text[-4000:] for text in said)
