"""The configuration, as frozen models of ``config.yaml``.

Rules: everything has a default but what only the operator can know; an unknown key is an error; units are
in the names. ``settings_file.py`` reads a file into these models and names every problem with its line.
What may change while the service runs is marked ``reloadable``; all else needs a restart.
"""

from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, field_validator, model_validator

from trader.contracts import Instrument, OrderType, SecurityType, TimeInForce, TradingMode

LOOPBACK_HOSTS = ("127.0.0.1", "::1", "localhost")
RELOADABLE: dict[str, JsonValue] = {"reloadable": True}

Port = Annotated[int, Field(ge=1, le=65535)]
ClientId = Annotated[int, Field(ge=1, le=2**31 - 1)]
Positive = Annotated[Decimal, Field(gt=0)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]


class Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)


def require_loopback(host: str) -> str:
    if host not in LOOPBACK_HOSTS:
        raise ValueError(
            f"{host!r} is not a loopback address; IB's API is neither encrypted nor authenticated, "
            "so the gateway must run on this host (use 127.0.0.1)"
        )
    return host


class GatewaySettings(Model):
    """Where IB Gateway listens. 4001 live, 4002 paper (TWS: 7496, 7497)."""

    host: str = "127.0.0.1"
    """Address of IB Gateway; only a loopback address is accepted."""
    port: Port = 4002
    """Port of IB Gateway's API: 4001 live, 4002 paper (TWS: 7496, 7497)."""
    client_id: ClientId = 1
    """The service's API client id. Never shared, and never changed while orders are open."""
    panic_client_id: ClientId = 999
    """Reserved for `trader panic`, so that it gets in beside the service."""
    connect_timeout_s: Seconds = 10.0
    """Longest wait for the connection and its handshake."""
    request_timeout_s: Seconds = 15.0
    """Longest wait for the answer to a request."""
    heartbeat_interval_s: Seconds = 5.0
    """How often the gateway is asked for its time."""
    heartbeat_timeout_s: Annotated[float, Field(gt=0, le=10)] = 10.0
    """A heartbeat unanswered for this long means that the link is dead."""
    backoff_max_s: Annotated[float, Field(ge=1, le=30)] = 30.0
    """Longest pause between two attempts to connect."""
    messages_per_s: Annotated[int, Field(ge=1, le=49)] = 45
    """Messages sent to the gateway at most; IB disconnects above 50."""
    reconcile_interval_s: Seconds = 300.0
    """How often positions, orders and executions are compared with the broker's."""

    _loopback = field_validator("host")(require_loopback)

    @model_validator(mode="after")
    def _client_ids_differ(self) -> "GatewaySettings":
        if self.client_id == self.panic_client_id:
            raise ValueError("client_id and panic_client_id must differ: panic must get in beside the service")
        return self


class InstrumentSettings(Model):
    """One instrument; a plain string in the list means a US stock routed SMART."""

    symbol: Annotated[str, Field(min_length=1, max_length=32)]
    """The product's own name for the instrument, unique in the list."""
    security_type: SecurityType = SecurityType.STOCK
    """STK, FUT or CASH."""
    exchange: str = "SMART"
    """Where orders are routed to."""
    primary_exchange: str = ""
    """Tells apart stocks of one symbol."""
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "USD"
    """Currency of the price."""
    expiry: Annotated[str, Field(pattern=r"^(\d{6}|\d{8})?$")] = ""
    """Of a future: YYYYMM or YYYYMMDD, in quotes."""
    ib_symbol: str = ""
    """IB's symbol, when it is not `symbol` (a future's root, a pair's base currency)."""
    multiplier: Positive = Decimal(1)
    """Value of one point of one contract."""
    tick_size: Positive = Decimal("0.01")
    """Smallest step of the price."""

    @model_validator(mode="after")
    def _can_be_traded(self) -> "InstrumentSettings":
        if self.security_type is SecurityType.OTHER:
            raise ValueError(f"{self.symbol}: only STK, FUT and CASH can be traded")
        if self.security_type is SecurityType.FUTURE and not self.expiry:
            raise ValueError(f"future {self.symbol} needs an expiry (YYYYMM or YYYYMMDD)")
        return self

    def instrument(self) -> Instrument:
        return Instrument(**self.model_dump())


class MarketDataSettings(Model):
    """What is subscribed, and which quotes are good enough to trade on."""

    feed: Literal["streaming", "tick_by_tick"] = "streaming"
    """`tick_by_tick` carries the exchange's time with each quote, but IB allows about 5 such subscriptions."""
    stale_after_s: Annotated[Seconds, Field(json_schema_extra=RELOADABLE)] = 15.0
    """A quote older than this is not traded on."""
    outlier_ratio: Annotated[float, Field(gt=0, le=1)] = 0.2
    """A quote that differs from the last good one by more than this share is dropped."""
    conflate: Literal["when_behind", "never"] = "when_behind"
    """What becomes of quotes when the service is behind, which it is when one read of the socket brings 64 KiB or more:
    with `when_behind` only the latest good quote an instrument of that read goes on, and the others are counted; with
    `never` each goes on, however late."""
    allow_delayed: bool = False
    """Whether delayed market data may be traded on. Leave it off for real money."""


class StrategySettings(Model):
    """What decides the positions that are wanted."""

    name: str = "mean_reversion"
    """A built-in (`mean_reversion`, `target_weights`, `observe`), an entry point of the group
    `ibkr_trading.strategies`, or `package.module:Class`."""
    capital: Annotated[Positive, Field(json_schema_extra=RELOADABLE)] = Decimal(100_000)
    """Amount the strategy may invest, in the base currency."""
    parameters: dict[str, Any] = Field(default_factory=dict)
    """The strategy's own parameters; each strategy documents and checks them."""
    decision_time_max_s: Annotated[float, Field(gt=0, le=10, json_schema_extra=RELOADABLE)] = 1.0
    """Longest that one decision may take. A strategy that takes longer is suspended as one that fails is: it keeps
    the loop from fills, cancels and the panic meanwhile."""
    schedule: str | None = None
    """Cron expression of five fields, for strategies that act on a schedule."""
    schedule_time_zone: str = "America/New_York"
    """Time zone that `schedule` is written in."""


class ExecutionSettings(Model):
    """How the difference between the wanted and the held position becomes an order.

    A limit order is priced ``cross_ticks`` through the far touch, so that it trades now or not at all.
    """

    order_type: Literal[OrderType.MARKET, OrderType.LIMIT] = OrderType.LIMIT
    """`LMT` is priced `cross_ticks` from the far touch; `MKT` takes any price."""
    time_in_force: TimeInForce = TimeInForce.DAY
    """How long the broker keeps an order."""
    cross_ticks: Annotated[int, Field(ge=-100, le=100, json_schema_extra=RELOADABLE)] = 1
    """Ticks through the far touch (negative: short of it), so that the order trades now or not at all."""
    cancel_after_s: Annotated[Seconds, Field(json_schema_extra=RELOADABLE)] = 20.0
    """An order that is still working after this is cancelled."""
    ack_timeout_s: Annotated[Seconds, Field(json_schema_extra=RELOADABLE)] = 10.0
    """An order without any answer for this long is asked for, never sent again."""
    retry_after_s: Annotated[Seconds, Field(json_schema_extra=RELOADABLE)] = 5.0
    """Pause after a refused or rejected order, per instrument."""


class RiskSettings(Model):
    """Hard limits. Amounts in the base currency. All can be changed by a reload."""

    model_config = ConfigDict(json_schema_extra=RELOADABLE)

    max_order_quantity: Positive = Decimal(2_000)
    """Largest quantity of one order."""
    max_order_notional: Positive = Decimal(50_000)
    """Largest value of one order."""
    max_position_notional: Positive = Decimal(50_000)
    """Largest value of the position in one instrument."""
    max_gross_exposure: Positive = Decimal(200_000)
    """Largest sum of the values of all positions, long and short."""
    max_orders_per_minute: Annotated[int, Field(ge=1, le=2_000)] = 60
    """Orders sent in any 60 seconds."""
    max_open_orders: Annotated[int, Field(ge=1, le=500)] = 20
    """Orders working at the same time."""
    daily_loss_limit: Positive = Decimal(2_000)
    """Loss of a session, after costs, from which on only exits are allowed; from the service's own ledger."""
    price_collar_ratio: Annotated[float, Field(gt=0, le=0.5)] = 0.02
    """Largest distance of a limit price from the last good quote, as a share of it."""


class SessionSettings(Model):
    """When the market is open, and when the broker resets its servers."""

    calendar: str = "XNYS"
    """An exchange by its ISO code (`XNYS`, `XNAS`, `CMES`), or `always` for a market that never closes."""
    calendar_file: Path | None = None
    """A table made by `trader calendar extract`, instead of the one that comes with the product."""
    flatten_before_close_s: Annotated[float, Field(ge=0, le=7_200)] = 300.0
    """Positions are closed this long before the session ends; 0 keeps them overnight."""
    no_entries_before_close_s: Annotated[float, Field(ge=0, le=7_200)] = 600.0
    """No position is opened or increased this long before the session ends."""
    broker_region: str = "north_america"
    """Whose reset times apply: `north_america`, `europe`, `asia_pacific`."""
    broker_windows_file: Path | None = None
    """Reset times to use instead of those that come with the product."""


class JournalSettings(Model):
    """Where the facts are kept, and how durable they are before an order is sent."""

    url: str = "sqlite:///state/journal.db"
    """`sqlite:///FILE`, or `postgresql+psycopg://USER@HOST/NAME` (password: in PostgreSQL's password file)."""
    durability: Literal["process", "power"] = "process"
    """`power` waits for the disk before an order is sent; `process` survives any crash of the process."""


class PanicSettings(Model):
    """The flag file that means: no entries, cancel everything, flatten."""

    flag: Path = Path("panic.flag")
    """The flag file; its existence is the signal. Seen within 0.25 s."""


class StopSettings(Model):
    """What happens to orders and positions when the service is stopped."""

    cancel_orders: bool = True
    """Cancel working orders."""
    flatten: bool = False
    """Close positions."""
    timeout_s: Annotated[float, Field(gt=0, le=28)] = 20.0
    """Longest time for both; the service exits then in any case."""


class MetricsSettings(Model):
    """Where /metrics, /healthz and /readyz are served; loopback only."""

    host: str = "127.0.0.1"
    """Address to serve on; only a loopback address is accepted."""
    port: Annotated[int, Field(ge=0, le=65535)] = 9464
    """Port to serve on; 0 takes a free one."""

    _loopback = field_validator("host")(require_loopback)


class LoggingSettings(Model):
    """Logs are JSON lines on stderr."""

    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    """Lowest level that is written."""


class ControlSettings(Model):
    """Where ``trader status``, ``halt`` and ``resume`` reach the service."""

    socket: Path = Path("state/control.sock")
    """A Unix socket that only the service's user can open; at most 100 characters long."""


class RecorderSettings(Model):
    """Records the day's quotes and trades in the format that replay and simulate read."""

    directory: Path | None = None
    """Where the recordings go; nothing is recorded when it is not set."""
    max_file_bytes: Annotated[int, Field(ge=1_000_000)] = 200_000_000
    """Size at which a new file is begun."""
    keep_days: Annotated[int, Field(ge=1, le=3650)] = 30
    """Recordings older than this are deleted."""


class TracingSettings(Model):
    """OTLP endpoint of a trace collector; off when not set."""

    otlp_endpoint: str | None = None
    """URL of the collector's OTLP/HTTP endpoint."""
    otlp_token_file: Path | None = None
    """File with the collector's bearer token, readable by the service's user only, or `credential:NAME`."""


class PolicySettings(Model):
    """What Alertmanager's policy alerts do: no new entries while a budget is gone. Off without `token_file`."""

    token_file: Path | None = None
    """File with the bearer token that Alertmanager's webhook sends, readable by the service's user only, or
    `credential:NAME`."""
    stop_alerts: Annotated[tuple[str, ...], Field(max_length=32, json_schema_extra=RELOADABLE)] = (
        "SLOBudgetExhausted",
        "NetPnLNegative",
    )
    """Alerts that stop entries while they fire; every other policy alert means caution."""
    heartbeat_alert: Annotated[str, Field(json_schema_extra=RELOADABLE)] = "Watchdog"
    """The alert that always fires: that it comes says that silence about the others is good news."""
    labels: Annotated[dict[str, str], Field(max_length=16, json_schema_extra=RELOADABLE)] = Field(default_factory=dict)
    """Labels that an alert has to carry to concern this service, such as `instance`; none: every alert does."""
    measured_within_s: Annotated[Seconds, Field(json_schema_extra=RELOADABLE)] = 120.0
    """While the metrics were not scraped for this long, an alert that is taken back counts on."""
    confirm_resolved_s: Annotated[Seconds, Field(json_schema_extra=RELOADABLE)] = 900.0
    """Such an alert is let go after the metrics were scraped again for this long without it."""
    forget_after_s: Annotated[float, Field(gt=0, le=604_800, json_schema_extra=RELOADABLE)] = 21_600.0
    """An alert is let go when it was not repeated for this long while the heartbeat was; above `repeat_interval`."""
    override_max_s: Annotated[float, Field(gt=0, le=604_800, json_schema_extra=RELOADABLE)] = 86_400.0
    """Longest time for which an operator can set the policy aside at once."""


class MaintenanceSettings(Model):
    """What `trader maintenance` keeps, asks and waits for. Read when a job runs; the service needs none of it."""

    reports_folder: Path = Path("logs/reports")
    """Where the reports go, one page and one JSON each, with an index page."""
    backups_folder: Path = Path("backups")
    """Where backups of the journal and of the configuration go. Another disk is the better place."""
    work_folder: Path = Path("state/maintenance")
    """Locks, and the jobs' space for work; on a disk with room for a restored journal."""
    textfile_folder: Path | None = None
    """The folder of node_exporter's textfile collector; without it the jobs have no metrics."""
    prometheus_url: str | None = None
    """Where Prometheus is, such as `http://127.0.0.1:9090`; without it the reports say which figures they lack."""
    daily_reports: Annotated[int, Field(ge=1, le=3650)] = 60
    """How many daily reports are kept."""
    weekly_reports: Annotated[int, Field(ge=1, le=3650)] = 53
    """How many weekly reports are kept."""
    monthly_reports: Annotated[int, Field(ge=1, le=3650)] = 36
    """How many monthly reports are kept."""
    daily_backups: Annotated[int, Field(ge=1, le=3650)] = 14
    """Of how many days the newest backup is kept."""
    weekly_backups: Annotated[int, Field(ge=0, le=3650)] = 8
    """Of how many weeks the newest backup is kept."""
    monthly_backups: Annotated[int, Field(ge=0, le=3650)] = 24
    """Of how many months the newest backup is kept."""
    log_days: Annotated[int, Field(ge=1, le=3650)] = 90
    """Files below `logs` that are older than this are deleted by the weekly job; reports are not among them."""
    log_max_bytes: Annotated[int, Field(ge=1_000_000)] = 2_000_000_000
    """Above this size of all of them the oldest files below `logs` are deleted."""
    close_margin_s: Annotated[float, Field(ge=300, le=7_200)] = 600.0
    """A job begins this long after a session's close or a reset's end at the earliest, and ends as long before one."""
    wait_max_s: Seconds = 86_400.0
    """Longest wait of a job for its time outside of the session and the resets; after that it is put off."""
    daily_limit_s: Seconds = 1_200.0
    """Longest run of the daily job."""
    weekly_limit_s: Seconds = 7_200.0
    """Longest run of the weekly job."""
    monthly_limit_s: Seconds = 7_200.0
    """Longest run of the monthly job."""


class Settings(Model):
    """The whole of ``config.yaml``."""

    mode: TradingMode = TradingMode.SIMULATED
    """`simulated`, `paper` or `live`. Live needs `account`."""
    account: str = ""
    """The account to trade, by its name. Empty: the only one that the gateway manages."""
    base_currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "USD"
    """Currency of the books and of all limits."""
    gateway: GatewaySettings = GatewaySettings()
    instruments: Annotated[tuple[InstrumentSettings, ...], Field(min_length=1, max_length=100)]
    """What is traded; a plain string means a US stock routed SMART."""
    market_data: MarketDataSettings = MarketDataSettings()
    strategy: StrategySettings = StrategySettings()
    execution: ExecutionSettings = ExecutionSettings()
    risk: RiskSettings = RiskSettings()
    session: SessionSettings = SessionSettings()
    journal: JournalSettings = JournalSettings()
    panic: PanicSettings = PanicSettings()
    stop: StopSettings = StopSettings()
    metrics: MetricsSettings = MetricsSettings()
    logging: LoggingSettings = LoggingSettings()
    control: ControlSettings = ControlSettings()
    recorder: RecorderSettings = RecorderSettings()
    tracing: TracingSettings = TracingSettings()
    policy: PolicySettings = PolicySettings()
    maintenance: MaintenanceSettings = MaintenanceSettings()

    @field_validator("instruments", mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        if not isinstance(value, (list, tuple)):
            return value
        return tuple({"symbol": item} if isinstance(item, str) else item for item in value)

    @model_validator(mode="after")
    def _consistent(self) -> "Settings":
        problems = [problem for problem in (self._repeated_symbols(), self._mode_and_account()) if problem]
        if problems:
            raise ValueError("\n".join(problems))
        return self

    def _repeated_symbols(self) -> str | None:
        symbols = [item.symbol for item in self.instruments]
        repeated = sorted({symbol for symbol in symbols if symbols.count(symbol) > 1})
        return f"instruments: {', '.join(repeated)} is listed more than once" if repeated else None

    def _mode_and_account(self) -> str | None:
        if self.mode is TradingMode.LIVE and not self.account:
            return "account: mode live needs the account to be named (account: U…)"
        if self.mode is TradingMode.LIVE and self.account.startswith("D"):
            return f"account: mode is live but {self.account} is a paper account"
        if self.mode is TradingMode.PAPER and self.account and not self.account.startswith("D"):
            return f"account: mode is paper but {self.account} is not a paper account (those begin with D)"
        return None
