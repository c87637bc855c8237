"""Broker: the link to the gateway and through it to IB's servers.

Known error codes are those that an operator acts on; each is counted under the class that it stands for,
and all others under ``other`` in their class. Good news is counted as a notice, so that it is no error.
"""

from typing import Final

from observability.catalogue.record import OTHER, Group, Label
from trader.events import DisconnectReason, ErrorClass, RequestKind, RequestOutcome

GROUP: Final = Group("broker")

RECONNECT_OUTCOMES: Final = ("connected", "failed")
HEARTBEAT_BOUNDS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
KNOWN_CODES: Final[dict[ErrorClass, tuple[str, ...]]] = {
    ErrorClass.NOTICE: ("1101", "1102"),
    ErrorClass.CONNECTIVITY: ("326", "502", "504", "1100", "2103", "2105"),
    ErrorClass.PACING: ("100",),
    ErrorClass.MARKET_DATA: ("354", "10197"),
    ErrorClass.ORDER_REJECTED: ("110", "200", "201", "321"),
    ErrorClass.ORDER_CANCELLED: ("202",),
    ErrorClass.ORDER_LIVE: ("103", "104", "399"),
    ErrorClass.CANCEL_REFUSED: ("135", "161", "10147", "10148"),
    ErrorClass.REQUEST_FAILED: ("162", "200", "321", "322"),
}
# The gateway reaches IB's servers again: a notice, although it concerns connectivity.
GOOD_NEWS: Final = frozenset((1101, 1102))
ERROR_SETS: Final = tuple(
    (str(error_class), code) for error_class in ErrorClass for code in (*KNOWN_CODES.get(error_class, ()), OTHER)
)

CONNECTED: Final = GROUP.gauge("trader_broker_connected", "1 when the API session with the gateway is up, else 0.")
UPSTREAM_CONNECTED: Final = GROUP.gauge(
    "trader_broker_upstream_connected", "1 when the gateway reaches IB's servers, else 0."
)
HEARTBEAT_LAST_SUCCESS: Final = GROUP.gauge(
    "trader_broker_heartbeat_last_success_timestamp_seconds",
    "When the gateway last answered a heartbeat, Unix time.",
    unit="seconds",
)
HEARTBEAT_DURATION: Final = GROUP.histogram(
    "trader_broker_heartbeat_duration_seconds",
    "From a heartbeat's request to the gateway's answer.",
    HEARTBEAT_BOUNDS_S,
)
HEARTBEATS_MISSED: Final = GROUP.counter(
    "trader_broker_heartbeats_missed_total", "Heartbeats that the gateway did not answer in time."
)
DISCONNECTS: Final = GROUP.counter(
    "trader_broker_disconnects_total",
    "API sessions that ended, by reason.",
    Label("reason", tuple(DisconnectReason)),
)
RECONNECTS: Final = GROUP.counter(
    "trader_broker_reconnects_total",
    "Attempts to get back to the gateway; the first session of a run is not counted, failures before it are.",
    Label("outcome", RECONNECT_OUTCOMES),
)
REQUESTS: Final = GROUP.counter(
    "trader_broker_requests_total",
    "Requests to the gateway that ended, by kind and outcome.",
    Label("kind", tuple(RequestKind)),
    Label("outcome", tuple(RequestOutcome)),
)
ERRORS: Final = GROUP.counter(
    "trader_broker_errors_total",
    "Error messages of the broker, by what they mean and by IB's code (rare codes are other).",
    Label("class", tuple(ErrorClass)),
    Label("code", tuple(dict.fromkeys(code for _, code in ERROR_SETS))),
    sets=ERROR_SETS,
)
PACING_WAITS: Final = GROUP.counter(
    "trader_broker_pacing_waits_total", "Requests that had to wait so that IB's message rate is not exceeded."
)
AUTH_EXPIRY: Final = GROUP.gauge(
    "trader_broker_auth_expiry_timestamp_seconds",
    "When the login has to be authenticated by a person again, by the broker's announcement, Unix time.",
    unit="seconds",
)
CLOCK_OFFSET: Final = GROUP.gauge(
    "trader_broker_clock_offset_seconds", "The gateway's clock minus ours.", unit="seconds"
)
DECODE_FAILURES: Final = GROUP.counter(
    "trader_broker_decode_failures_total", "Messages of the broker that could not be understood."
)
