"""The exchange's reports as the facts that the gateway on the wire makes of the same messages.

Rules: pure; symbols are the service's own keys; a contract that is not configured still has a line, under
the exchange's symbol, because a position nobody configured is a position all the same.
"""

from collections.abc import Iterator, Mapping
from datetime import datetime

from trader.contracts import Instrument, OrderType
from trader.events import (
    AnyFact,
    BrokerErrorReceived,
    BrokerOrderStatus,
    CommissionLine,
    CommissionReceived,
    ExecutionLine,
    ExecutionReceived,
    FarmChangedReceived,
    OpenOrderReceived,
    OrderLine,
    OrderStatusReceived,
    PlaceOrder,
    PositionLine,
    PositionReceived,
    UpstreamLostReceived,
    UpstreamRestoredReceived,
)
from trader.gateway import codes
from trader.simulator.model import (
    CommissionReported,
    ErrorReported,
    Execution,
    ExecutionReported,
    ListedContract,
    OrderReported,
    OrderRequest,
    OrderView,
    PositionRecord,
    PositionReported,
    QuoteReported,
    Report,
    StatusReported,
)


class Translator:
    """Reports to facts, for one client of the exchange."""

    def __init__(self, instruments: Mapping[str, Instrument], client_id: int) -> None:
        self._by_con_id = {item.con_id: item for item in instruments.values()}
        self._client_id = client_id

    def concerns(self, report: Report) -> bool:
        """Whether the broker tells this client about it: its own orders, and the account's positions."""
        match report:
            case OrderReported(order) | StatusReported(order):
                return order.request.client_id == self._client_id
            case ExecutionReported(execution):
                return execution.order.request.client_id == self._client_id
            case CommissionReported() | ErrorReported():
                return report.client_id == self._client_id
            case PositionReported():
                return True
            case QuoteReported():
                return False

    def facts(self, report: Report, at: datetime, received_ns: int) -> Iterator[AnyFact]:
        """What the client learns from one report, in the order of the messages on the wire."""
        match report:
            case OrderReported(order):
                yield OpenOrderReceived(at=at, line=self.order(order), received_ns=received_ns)
                yield _status(order, at, received_ns)
            case StatusReported(order):
                yield _status(order, at, received_ns)
            case ExecutionReported(execution):
                yield ExecutionReceived(at=at, line=self.execution(execution), received_ns=received_ns)
            case CommissionReported():
                yield CommissionReceived(at=at, line=self.commission(report))
            case PositionReported(position):
                yield PositionReceived(at=at, line=self.position(position))
            case ErrorReported():
                yield _error(report, at)
                yield from _connectivity(report, at)
            case QuoteReported():
                return

    def instrument(self, contract: ListedContract) -> Instrument:
        known = self._by_con_id.get(contract.con_id)
        return known if known is not None else instrument_of(contract)

    def order(self, view: OrderView) -> OrderLine:
        request = view.request
        return OrderLine(
            order_id=request.order_id,
            perm_id=view.perm_id,
            client_id=request.client_id,
            order_ref=request.order_ref,
            symbol=self.instrument(view.contract).symbol,
            side=request.side,
            quantity=request.quantity,
            filled=view.filled,
            status=BrokerOrderStatus(view.status),
            limit_price=request.limit_price,
        )

    def execution(self, execution: Execution) -> ExecutionLine:
        view = execution.order
        return ExecutionLine(
            exec_id=execution.exec_id,
            order_id=view.request.order_id,
            perm_id=view.perm_id,
            client_id=view.request.client_id,
            order_ref=view.request.order_ref,
            instrument=self.instrument(view.contract),
            side=execution.side,
            quantity=execution.quantity,
            price=execution.price,
            executed_at=execution.at,
        )

    def commission(self, report: CommissionReported) -> CommissionLine:
        return CommissionLine(
            exec_id=report.exec_id, amount=report.amount, currency=report.currency, realized_pnl=report.realized
        )

    def position(self, record: PositionRecord) -> PositionLine:
        return PositionLine(
            instrument=self.instrument(record.contract), quantity=record.quantity, average_cost=record.average_cost
        )


def instrument_of(contract: ListedContract, symbol: str = "") -> Instrument:
    """A qualified instrument; ``symbol`` is the service's key for it, the exchange's symbol when empty."""
    key = symbol or contract.symbol
    return Instrument(
        symbol=key,
        security_type=contract.security_type,
        exchange=contract.exchange,
        primary_exchange=contract.primary_exchange,
        currency=contract.currency,
        expiry=contract.expiry,
        ib_symbol="" if key == contract.symbol else contract.symbol,
        multiplier=contract.multiplier,
        tick_size=contract.tick_size,
        con_id=contract.con_id,
    )


def order_request(command: PlaceOrder, client_id: int, account: str) -> OrderRequest:
    """The order as a client sends it."""
    terms = command.approved.intent.terms
    return OrderRequest(
        client_id=client_id,
        order_id=command.order_id,
        con_id=command.instrument.con_id,
        side=terms.side,
        quantity=terms.quantity,
        order_type=terms.order_type,
        limit_price=terms.limit_price if terms.order_type in (OrderType.LIMIT, OrderType.STOP_LIMIT) else None,
        aux_price=terms.stop_price,
        time_in_force=terms.time_in_force,
        outside_rth=terms.outside_rth,
        order_ref=command.order_ref,
        account=account,
        exchange=command.instrument.exchange,
    )


def _status(view: OrderView, at: datetime, received_ns: int) -> OrderStatusReceived:
    return OrderStatusReceived(
        at=at,
        order_id=view.request.order_id,
        perm_id=view.perm_id,
        client_id=view.request.client_id,
        status=BrokerOrderStatus(view.status),
        filled=view.filled,
        remaining=view.remaining,
        why_held=view.why_held,
        received_ns=received_ns,
    )


def _error(report: ErrorReported, at: datetime) -> BrokerErrorReceived:
    return BrokerErrorReceived(
        at=at,
        request_id=report.request_id,
        code=report.code,
        message=report.message,
        error_class=codes.classify(report.code, report.request_id),
        provisional=codes.is_provisional(report.code),
    )


def _connectivity(report: ErrorReported, at: datetime) -> Iterator[AnyFact]:
    """What a code says about the gateway's way to the broker and about its farms."""
    code = report.code
    if code in codes.UPSTREAM_LOST:
        yield UpstreamLostReceived(at=at, code=code)
    elif code in (codes.UPSTREAM_RESTORED, codes.UPSTREAM_RESTORED_DATA_LOST):
        yield UpstreamRestoredReceived(at=at, code=code, data_lost=code == codes.UPSTREAM_RESTORED_DATA_LOST)
    elif code in codes.FARM_BROKEN or code in codes.FARM_CONNECTED:
        farm = codes.farm_name(report.message)
        yield FarmChangedReceived(at=at, farm=farm, connected=code in codes.FARM_CONNECTED)
