"""The link to the broker and its data, in words; see ``describe.py`` for the rules."""

import logging
from typing import Final, assert_never

from observability.entry import Entry, error, info, milliseconds, warning
from observability.fact_groups import DataFact, LinkFact
from trader.events import (
    AccountValuesReceived,
    BadTickDropped,
    BrokerConnectedReceived,
    BrokerDisconnectedReceived,
    BrokerErrorReceived,
    ConnectFailedReceived,
    DecodeFailed,
    DisconnectReason,
    ErrorClass,
    FarmChangedReceived,
    HeartbeatMissedReceived,
    HeartbeatReceived,
    MarketDataMode,
    MarketDataModeReceived,
    PacingWaited,
    PositionReceived,
    QuotesConflated,
    QuoteStalenessChanged,
    RequestFinished,
    RequestOutcome,
    SubscriptionChangedReceived,
    SubscriptionStatus,
    UpstreamLostReceived,
    UpstreamRestoredReceived,
)

ERROR_LEVELS: Final = {
    ErrorClass.NOTICE: logging.INFO,
    ErrorClass.PACING: logging.WARNING,
    ErrorClass.CONNECTIVITY: logging.WARNING,
    ErrorClass.MARKET_DATA: logging.WARNING,
    ErrorClass.ORDER_REJECTED: logging.ERROR,
    ErrorClass.ORDER_CANCELLED: logging.INFO,
    ErrorClass.ORDER_LIVE: logging.INFO,
    ErrorClass.CANCEL_REFUSED: logging.WARNING,
    ErrorClass.REQUEST_FAILED: logging.WARNING,
    ErrorClass.UNKNOWN: logging.WARNING,
}
# Messages about the link and the farms come as facts of their own too, and those say what they mean.
TOLD_BY_OTHER_FACTS: Final = frozenset((1100, 1101, 1102, 2103, 2104, 2105, 2106, 2107, 2108, 2110, 2157, 2158))
FIRST_ATTEMPTS: Final = 3


def describe_link(fact: LinkFact) -> Entry | None:
    match fact:
        case BrokerConnectedReceived():
            return info(
                f"connected to the gateway (server version {fact.server_version}, client {fact.client_id})",
                server_version=fact.server_version,
                client_id=fact.client_id,
                next_valid_id=fact.next_valid_id,
                clock_offset_ms=milliseconds(fact.clock_offset_s),
            )
        case BrokerDisconnectedReceived():
            return _disconnected(fact)
        case ConnectFailedReceived():
            return _connect_failed(fact)
        case UpstreamLostReceived():
            return error("the gateway lost IB's servers; no orders until it has them again", code=fact.code)
        case UpstreamRestoredReceived():
            lost = "; subscriptions were lost and are renewed" if fact.data_lost else ""
            return info(f"the gateway reaches IB's servers again{lost}", code=fact.code)
        case FarmChangedReceived():
            state = "connected" if fact.connected else "lost"
            make = info if fact.connected else warning
            return make(f"data farm {fact.farm} {state}", farm=fact.farm, repeats=("farm", fact.farm, state))
        case HeartbeatMissedReceived():
            return warning(
                f"no heartbeat from the gateway for {fact.silent_s:.1f} s", latency_ms=milliseconds(fact.silent_s)
            )
        case BrokerErrorReceived():
            return _broker_error(fact)
        case RequestFinished():
            return _request(fact)
        case DecodeFailed():
            make = error if fact.critical else warning
            return make(
                f"a message of the broker ({fact.message_kind}) could not be understood: {fact.detail}",
                critical=fact.critical,
                repeats=("decode", fact.message_kind),
            )
        case HeartbeatReceived() | PacingWaited():
            return None
        case _:
            assert_never(fact)


def _disconnected(fact: BrokerDisconnectedReceived) -> Entry:
    make = info if fact.reason is DisconnectReason.STOPPING else error
    detail = f": {fact.detail}" if fact.detail else ""
    return make(f"disconnected from the gateway ({fact.reason}){detail}", reason=fact.reason)


def _connect_failed(fact: ConnectFailedReceived) -> Entry:
    """A gateway that restarts is not there for a minute: the first attempts are warnings."""
    make = warning if fact.attempt <= FIRST_ATTEMPTS else error
    return make(
        f"cannot connect to the gateway ({fact.reason}): {fact.detail}; next attempt in {fact.retry_in_s:.1f} s",
        reason=fact.reason,
        attempt=fact.attempt,
        repeats=("connect", fact.reason),
    )


def _broker_error(fact: BrokerErrorReceived) -> Entry | None:
    if fact.code in TOLD_BY_OTHER_FACTS:
        return None
    return Entry(
        ERROR_LEVELS[fact.error_class],
        f"broker message {fact.code}: {fact.message}",
        {"code": fact.code, "error_class": fact.error_class, "request_id": fact.request_id},
        ("broker_error", str(fact.code)),
    )


def _request(fact: RequestFinished) -> Entry | None:
    if fact.outcome is RequestOutcome.OK:
        return None
    return warning(
        f"request {fact.kind} ended with {fact.outcome}",
        kind=fact.kind,
        outcome=fact.outcome,
        latency_ms=milliseconds(fact.duration_s),
        repeats=("request", fact.kind, fact.outcome),
    )


def describe_data(fact: DataFact) -> Entry | None:
    match fact:
        case BadTickDropped():
            return warning(
                f"dropped a bad tick of {fact.symbol}: {fact.reason}",
                symbol=fact.symbol,
                reason=fact.reason,
                repeats=("bad_tick", fact.symbol, fact.reason),
            )
        case QuotesConflated():
            return warning(
                f"behind the market data: {fact.superseded} quotes were superseded by later ones of their instruments",
                superseded=fact.superseded,
                repeats=("conflated",),
            )
        case SubscriptionChangedReceived():
            return _subscription(fact)
        case MarketDataModeReceived():
            make = info if fact.mode is MarketDataMode.LIVE else warning
            return make(f"market data of {fact.symbol} is {fact.mode}", symbol=fact.symbol, mode=fact.mode)
        case QuoteStalenessChanged():
            make = warning if fact.stale else info
            state = f"stale ({fact.age_s:.1f} s old)" if fact.stale else "fresh again"
            return make(f"the quote of {fact.symbol} is {state}", symbol=fact.symbol, repeats=("stale", fact.symbol))
        case AccountValuesReceived() | PositionReceived():
            return None
        case _:
            assert_never(fact)


def _subscription(fact: SubscriptionChangedReceived) -> Entry:
    make = info if fact.status is SubscriptionStatus.SUBSCRIBED else error
    detail = f": {fact.code} {fact.message}" if fact.code else ""
    return make(f"market data of {fact.symbol} {fact.status}{detail}", symbol=fact.symbol, code=fact.code)
