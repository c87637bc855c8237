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
    port: Port = 4002
    client_id: ClientId = 1
    panic_client_id: ClientId = 999
    connect_timeout_s: Seconds = 10.0
    request_timeout_s: Seconds = 15.0
    heartbeat_interval_s: Seconds = 5.0
    heartbeat_timeout_s: Annotated[float, Field(gt=0, le=10)] = 10.0
    backoff_max_s: Annotated[float, Field(ge=1, le=30)] = 30.0
    messages_per_s: Annotated[int, Field(ge=1, le=49)] = 45
    reconcile_interval_s: Seconds = 300.0

    _loopback = field_validator("host")(require_loopback)

    @model_validator(mode="after")
    def _client_ids_differ(self) -> "GatewaySettings":
        if self.client_id == self.panic_client_id:
            raise ValueError("client_id and panic_client_id must differ: panic must get in beside the service")
        return self


class InstrumentSettings(Model):
    """One instrument; a plain string in the list means a US stock routed SMART."""

    symbol: Annotated[str, Field(min_length=1, max_length=32)]
    security_type: SecurityType = SecurityType.STOCK
    exchange: str = "SMART"
    primary_exchange: str = ""
    currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "USD"
    expiry: Annotated[str, Field(pattern=r"^(\d{6}|\d{8})?$")] = ""
    ib_symbol: str = ""
    multiplier: Positive = Decimal(1)
    tick_size: Positive = Decimal("0.01")

    @model_validator(mode="after")
    def _future_has_expiry(self) -> "InstrumentSettings":
        if self.security_type is SecurityType.FUTURE and not self.expiry:
            raise ValueError(f"future {self.symbol} needs an expiry (YYYYMM or YYYYMMDD)")
        return self

    def instrument(self) -> Instrument:
        return Instrument(**self.model_dump())


class MarketDataSettings(Model):
    """``tick_by_tick`` carries the exchange's time with each quote; IB allows about 5 such subscriptions."""

    feed: Literal["streaming", "tick_by_tick"] = "streaming"
    stale_after_s: Annotated[Seconds, Field(json_schema_extra=RELOADABLE)] = 15.0
    outlier_ratio: Annotated[float, Field(gt=0, le=1)] = 0.2
    allow_delayed: bool = False


class StrategySettings(Model):
    """``name`` is a built-in, an entry point of the group ``ibkr_trading.strategies`` or ``package.module:Class``."""

    name: str = "mean_reversion"
    capital: Annotated[Positive, Field(json_schema_extra=RELOADABLE)] = Decimal(100_000)
    parameters: dict[str, Any] = Field(default_factory=dict)
    schedule: str | None = None


class ExecutionSettings(Model):
    """How the difference between the wanted and the held position becomes an order.

    A limit order is priced ``cross_ticks`` through the far touch, so that it trades now or not at all.
    """

    order_type: Literal[OrderType.MARKET, OrderType.LIMIT] = OrderType.LIMIT
    time_in_force: TimeInForce = TimeInForce.DAY
    cross_ticks: Annotated[int, Field(ge=-100, le=100, json_schema_extra=RELOADABLE)] = 1
    cancel_after_s: Annotated[Seconds, Field(json_schema_extra=RELOADABLE)] = 20.0
    ack_timeout_s: Annotated[Seconds, Field(json_schema_extra=RELOADABLE)] = 10.0
    retry_after_s: Annotated[Seconds, Field(json_schema_extra=RELOADABLE)] = 5.0


class RiskSettings(Model):
    """Hard limits. Amounts in the base currency. All can be changed by a reload."""

    model_config = ConfigDict(json_schema_extra=RELOADABLE)

    max_order_quantity: Positive = Decimal(1_000)
    max_order_notional: Positive = Decimal(50_000)
    max_position_notional: Positive = Decimal(50_000)
    max_gross_exposure: Positive = Decimal(200_000)
    max_orders_per_minute: Annotated[int, Field(ge=1, le=2_000)] = 60
    max_open_orders: Annotated[int, Field(ge=1, le=500)] = 20
    daily_loss_limit: Positive = Decimal(2_000)
    price_collar_ratio: Annotated[float, Field(gt=0, le=0.5)] = 0.02


class SessionSettings(Model):
    """``calendar`` names an exchange (ISO MIC, ``XNYS``) or is ``always`` for a market that never closes."""

    calendar: str = "XNYS"
    flatten_before_close_s: Annotated[float, Field(ge=0, le=7_200)] = 300.0
    no_entries_before_close_s: Annotated[float, Field(ge=0, le=7_200)] = 600.0


class JournalSettings(Model):
    """Durability ``power`` waits for the disk before an order is sent; ``process`` survives any crash of the process."""

    url: str = "sqlite:///state/journal.db"
    durability: Literal["process", "power"] = "process"


class PanicSettings(Model):
    flag: Path = Path("panic.flag")
    poll_interval_s: Annotated[float, Field(gt=0, le=0.25)] = 0.1


class StopSettings(Model):
    cancel_orders: bool = True
    flatten: bool = False
    timeout_s: Annotated[float, Field(gt=0, le=28)] = 20.0


class MetricsSettings(Model):
    """Where /metrics, /healthz and /readyz are served; loopback only."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 9464

    _loopback = field_validator("host")(require_loopback)


class LoggingSettings(Model):
    level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"


class ControlSettings(Model):
    socket: Path = Path("state/control.sock")


class RecorderSettings(Model):
    """Records the day's quotes and trades in the format that replay and simulate read."""

    directory: Path | None = None
    max_file_bytes: Annotated[int, Field(ge=1_000_000)] = 200_000_000
    keep_days: Annotated[int, Field(ge=1, le=3650)] = 30


class TracingSettings(Model):
    """OTLP endpoint of a trace collector; off when not set."""

    otlp_endpoint: str | None = None
    otlp_token_file: Path | None = None


class Settings(Model):
    """The whole of ``config.yaml``."""

    mode: TradingMode = TradingMode.SIMULATED
    account: str = ""
    base_currency: Annotated[str, Field(pattern=r"^[A-Z]{3}$")] = "USD"
    gateway: GatewaySettings = GatewaySettings()
    instruments: Annotated[tuple[InstrumentSettings, ...], Field(min_length=1, max_length=100)]
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

    @field_validator("instruments", mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        if not isinstance(value, (list, tuple)):
            return value
        return tuple({"symbol": item} if isinstance(item, str) else item for item in value)

    @model_validator(mode="after")
    def _consistent(self) -> "Settings":
        symbols = [item.symbol for item in self.instruments]
        twice = sorted({symbol for symbol in symbols if symbols.count(symbol) > 1})
        if twice:
            raise ValueError(f"instruments: {', '.join(twice)} is listed more than once")
        if self.mode is TradingMode.LIVE and not self.account:
            raise ValueError("mode live needs the account to be named (account: U…)")
        if self.mode is TradingMode.LIVE and self.account.startswith("D"):
            raise ValueError(f"mode is live but {self.account} is a paper account")
        if self.mode is TradingMode.PAPER and self.account and not self.account.startswith("D"):
            raise ValueError(f"mode is paper but {self.account} is not a paper account (those begin with D)")
        return self
