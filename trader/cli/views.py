"""The service's state as tables a person likes to look at. Pure: a snapshot in, a rich renderable out.

Rules: nothing is said by colour alone; what is not known is shown as a dash; the layout follows the width
of the terminal (two panels side by side from WIDE columns on). Also drawn by the live demo.
"""

from collections.abc import Iterator
from decimal import Decimal

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from trader.cli.formats import NOT_KNOWN, ago, amount, compact, light, price, quantity, signed, span
from trader.contracts import Side, TradingMode, TradingState
from trader.events import MarketDataMode, PolicyState
from trader.snapshot import OrderView, PositionView, RiskView, Snapshot
from trader.success_metrics import Verdict, duration_text, evaluate, percent_text

WIDE = 96
WIDEST = 112  # beyond that the eye loses the line
BAR_CELLS = 10
STATE_STYLES = {
    TradingState.ACTIVE: "green",
    TradingState.REDUCE_ONLY: "yellow",
    TradingState.HALTED: "red",
    TradingState.PANIC: "bright_red",
}
MODE_STYLES = {
    TradingMode.LIVE: "bold white on red",
    TradingMode.PAPER: "bold black on cyan",
    TradingMode.SIMULATED: "bold white on blue",
}
VERDICT_MARKS = {Verdict.OK: ("✓", "green"), Verdict.BROKEN: ("✗", "bold red"), Verdict.UNKNOWN: ("–", "dim")}


class StatusView:
    """All of a snapshot; asks the console for its width when it is drawn."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = min(options.max_width, WIDEST)
        yield from console.render(Group(*self._parts(width >= WIDE)), options.update(width=width))

    def _parts(self, wide: bool) -> Iterator[RenderableType]:
        snapshot = self._snapshot
        yield header_panel(snapshot)
        pairs = (
            (("Connection", connection_lines(snapshot)), ("P&L today", pnl_lines(snapshot))),
            (("Risk", risk_lines(snapshot)), ("Since start", activity_lines(snapshot))),
        )
        for left, right in pairs:
            yield from _side_by_side(left, right, wide)
        yield _panel("Positions", positions_table(snapshot))
        yield _panel("Open orders", orders_table(snapshot))
        yield _panel("Success metrics", metrics_table(snapshot))


def status_view(snapshot: Snapshot) -> RenderableType:
    """Everything ``trader status`` shows, from 80 columns on."""
    return StatusView(snapshot)


def header_panel(snapshot: Snapshot) -> Panel:
    """State, mode, account, session and uptime, and every problem on a line of its own."""
    uptime = Text(f"up {span((snapshot.at - snapshot.started_at).total_seconds())}", "dim")
    top = Group(
        _both_ends(_state_text(snapshot), _identity_text(snapshot)), _both_ends(_session_text(snapshot), uptime)
    )
    notes = Table.grid(padding=(0, 1))
    for mark, note, style in _notes(snapshot):
        notes.add_row(Text(mark, f"bold {style}"), Text(note, style))
    stamp = f"{snapshot.at:%Y-%m-%d %H:%M:%S} UTC"
    return Panel(
        Group(top, notes) if notes.row_count else top,
        title="[bold]ibkr-trading[/]", title_align="left", subtitle=stamp, subtitle_align="right",
        border_style=STATE_STYLES[snapshot.trading_state], box=box.ROUNDED, padding=(0, 1),
    )  # fmt: skip


def _both_ends(left: Text, right: Text) -> Table:
    """One line; a grid of its own, so that a long text of one line does not shorten the other line's."""
    line = Table.grid(expand=True, padding=(0, 1))
    line.add_column(no_wrap=True)
    line.add_column(justify="right", no_wrap=True)
    line.add_row(left, right)
    return line


def _state_text(snapshot: Snapshot) -> Text:
    state = snapshot.trading_state
    ready = ("ready", "green") if snapshot.ready else ("not ready", "bold yellow")
    return Text.assemble((f"● {state.value.replace('_', ' ').upper()}", f"bold {STATE_STYLES[state]}"), " · ", ready)


def _notes(snapshot: Snapshot) -> Iterator[tuple[str, str, str]]:
    """What an operator should know first: mark, words, colour."""
    if snapshot.trading_state is not TradingState.ACTIVE and snapshot.state_reason:
        yield "●", snapshot.state_reason, STATE_STYLES[snapshot.trading_state]
    for problem in snapshot.problems:
        yield "!", problem, "yellow"
    if snapshot.orders_unknown:
        yield "!", f"{snapshot.orders_unknown} orders whose state at the broker is not known", "red"
    if not snapshot.previous_exit_clean:
        yield "!", "the previous run did not end cleanly", "yellow"


def _identity_text(snapshot: Snapshot) -> Text:
    return Text.assemble(
        (f" {snapshot.mode.value.upper()} ", MODE_STYLES[snapshot.mode]),
        " ",
        snapshot.account or "no account yet",
        " · ",
        (snapshot.strategy, "bold"),
    )


def _session_text(snapshot: Snapshot) -> Text:
    if snapshot.session_open:
        if snapshot.session_closes_at is None:
            return Text("session open, never closes")
        return Text(f"session open, closes in {span((snapshot.session_closes_at - snapshot.at).total_seconds())}")
    if snapshot.session_next_opens_at is None:
        return Text("session closed", "yellow")
    return Text(f"session closed, opens in {span((snapshot.session_next_opens_at - snapshot.at).total_seconds())}")


def connection_lines(snapshot: Snapshot) -> Table:
    link, data = snapshot.connection, snapshot.market_data
    lines = _lines()
    session = f"client {link.client_id}, protocol {link.server_version}" if link.connected else ""
    lines.add_row("gateway", light(link.connected, session or "connected", "not connected"))
    lines.add_row("IB servers", light(link.upstream_connected, "reachable", "not reachable"))
    lines.add_row("data farms", _farms_text(link.farms))
    lines.add_row(
        "books", light(link.reconciled, f"reconciled {ago(snapshot.reconciled_at, snapshot.at)}", "not reconciled")
    )
    lines.add_row("heartbeat", f"{ago(link.last_heartbeat_at, snapshot.at)}{_offset_text(link.clock_offset_s)}")
    lines.add_row("quotes", _quotes_text(data.subscribed, data.stale, data.mode))
    lines.add_row("last tick", ago(data.last_tick_at, snapshot.at))
    return lines


def _farms_text(farms: dict[str, bool]) -> Text:
    if not farms:
        return Text(NOT_KNOWN, "dim")
    down = sorted(name for name, connected in farms.items() if not connected)
    return light(not down, f"{len(farms)} connected", f"down: {', '.join(down)}")


def _offset_text(offset_s: float | None) -> str:
    return "" if offset_s is None else f", clock {offset_s:+.3f} s"


def _quotes_text(subscribed: int, stale: int, mode: MarketDataMode) -> Text:
    kind = "" if mode is MarketDataMode.LIVE else f" {mode.value}"
    if not subscribed:
        return Text("○ no subscription", "red")
    return light(not stale, f"{subscribed}{kind}, all fresh", f"{stale} of {subscribed}{kind} stale")


def pnl_lines(snapshot: Snapshot) -> Table:
    pnl = snapshot.pnl_base
    lines = Table.grid(padding=(0, 2))
    lines.add_column(style="dim", no_wrap=True)
    lines.add_column(justify="right", no_wrap=True)
    lines.add_column(style="dim", no_wrap=True)
    lines.add_row("realized", signed(pnl.realized), pnl.currency)
    lines.add_row("unrealized", signed(pnl.unrealized), pnl.currency)
    missing = f"{pnl.commissions_missing} missing" if pnl.commissions_missing else pnl.currency
    lines.add_row("commission", signed(pnl.commission), missing)
    lines.add_row("fees", signed(pnl.fees), pnl.currency)
    lines.add_row(Text("net", "bold"), signed(pnl.net, "bold"), pnl.currency)
    lines.add_row("net, all days", signed(snapshot.pnl_net_cumulative), pnl.currency)
    lines.add_row("equity", amount(snapshot.risk.equity), pnl.currency)
    return lines


def risk_lines(snapshot: Snapshot) -> Table:
    risk, net = snapshot.risk, snapshot.pnl_base.net
    lines = _lines()
    lines.add_row("gross exposure", _usage(risk.gross_exposure, risk.max_gross_exposure))
    lines.add_row("largest position", _usage(_largest_position(snapshot.positions), risk.max_position_notional))
    loss = None if net is None else max(Decimal(0), -net)
    lines.add_row("loss today", _usage(loss, risk.daily_loss_limit))
    lines.add_row("open orders", _usage(Decimal(len(snapshot.open_orders)), _decimal(risk.max_open_orders)))
    lines.add_row("orders a minute", _usage(_decimal(risk.orders_last_minute), _decimal(risk.max_orders_per_minute)))
    lines.add_row("drawdown", _cushion_text(risk))
    lines.add_row("budget policy", policy_text(snapshot))
    return lines


def policy_text(snapshot: Snapshot) -> Text:
    """What the budget policy says, in a few words."""
    policy = snapshot.policy
    worst = max(policy.states.values(), default=PolicyState.OK) if policy else PolicyState.OK
    if policy is None or (worst is PolicyState.OK and policy.override_until is None):
        return Text("ok", "green")
    slos = ", ".join(slo for slo, state in sorted(policy.states.items()) if state is worst)
    words = {PolicyState.OK: "ok", PolicyState.CAUTION: "caution", PolicyState.NO_NEW_ENTRIES: "no new entries"}[worst]
    text = f"{words}: {slos}" if worst else words
    if policy.override_until is not None:
        left = span((policy.override_until - snapshot.at).total_seconds())
        return Text(f"overridden for {left} ({text})", "yellow")
    return Text(text, "yellow")


def _largest_position(positions: tuple[PositionView, ...]) -> Decimal | None:
    values = [position.market_value for position in positions]
    known = [abs(value) for value in values if value is not None]
    return max(known, default=Decimal(0)) if len(known) == len(values) else None


def _cushion_text(risk: RiskView) -> str:
    drawdown = NOT_KNOWN if risk.drawdown_ratio is None else percent_text(risk.drawdown_ratio, 2)
    if risk.margin_cushion_ratio is None:
        return drawdown
    return f"{drawdown}, margin cushion {percent_text(risk.margin_cushion_ratio, 0)}"


def _decimal(value: int | None) -> Decimal | None:
    return None if value is None else Decimal(value)


def _usage(used: Decimal | None, limit: Decimal | None) -> Text:
    """A bar of how much of a limit is used, and the figures."""
    if used is None or not limit:
        return Text(NOT_KNOWN, "dim") if used is None else Text(compact(used))
    ratio = float(used / limit)
    style = "green" if ratio < 0.6 else "yellow" if ratio < 0.9 else "bold red"
    cells = min(BAR_CELLS, max(1 if used else 0, round(ratio * BAR_CELLS)))
    return Text.assemble(
        ("━" * cells, style),
        ("╌" * (BAR_CELLS - cells), "bright_black"),
        f" {compact(used)}",
        (f" of {compact(limit)}", "dim"),
    )


def activity_lines(snapshot: Snapshot) -> Table:
    activity = snapshot.activity
    lines = _lines()
    lines.add_row("ticks", f"{activity.ticks:,}")
    lines.add_row("decisions", f"{activity.decisions:,}, p50 {_quantile(activity.decision_duration.quantile(0.5))}")
    lines.add_row("signals", f"{activity.signals:,}")
    lines.add_row("orders", f"{activity.orders_submitted:,} sent, {activity.orders_final:,} done")
    lines.add_row("acknowledged", f"p50 {_quantile(activity.ack_duration.quantile(0.5))}")
    errors = Text(f", {activity.errors:,} errors", "red" if activity.errors else "dim")
    lines.add_row("fills", Text.assemble(f"{activity.fills:,}", errors))
    return lines


def _quantile(seconds: float | None) -> str:
    return NOT_KNOWN if seconds is None else duration_text(seconds)


def positions_table(snapshot: Snapshot) -> RenderableType:
    if not snapshot.positions:
        return _nothing("flat", snapshot)
    table = _table("symbol", "quantity:r", "average cost:r", "mark:r", "value:r", "unrealized:r", "")
    for position in snapshot.positions:
        table.add_row(
            Text(position.symbol, "bold"),
            quantity(position.quantity),
            price(position.average_cost),
            price(position.mark),
            amount(position.market_value),
            signed(position.unrealized),
            Text(position.currency, "dim"),
        )
    return table


def _nothing(word: str, snapshot: Snapshot) -> Text:
    """An empty table, which is only news when the broker has confirmed it."""
    if snapshot.connection.reconciled:
        return Text(word, "dim")
    return Text("none in our books; what the broker holds is not known yet", "yellow")


def orders_table(snapshot: Snapshot) -> RenderableType:
    if not snapshot.open_orders:
        return _nothing("none", snapshot)
    table = _table("order", "side", "filled:r", "symbol", "type", "limit:r", "state", "age:r")
    for order in snapshot.open_orders:
        table.add_row(*_order_cells(order, snapshot))
    return table


def _order_cells(order: OrderView, snapshot: Snapshot) -> Iterator[RenderableType]:
    yield Text(order.order_ref, "dim", overflow="ellipsis", no_wrap=True)
    yield Text(order.side.value.lower(), "green" if order.side is Side.BUY else "red")
    yield f"{quantity(order.filled)} / {quantity(order.quantity)}"
    yield Text(order.symbol, "bold")
    yield order.order_type.value
    yield price(order.limit_price)
    state = order.state.value.replace("_", " ")
    yield Text(f"{state}, cancelling" if order.cancel_requested else state)
    yield span((snapshot.at - order.intended_at).total_seconds())


def metrics_table(snapshot: Snapshot) -> Table:
    """The eight success metrics with ✓ kept, ✗ broken, – not measured yet."""
    table = Table.grid(padding=(0, 3))
    for metric in evaluate(snapshot):
        mark, style = VERDICT_MARKS[metric.verdict]
        value_style = {Verdict.OK: "", Verdict.BROKEN: "red", Verdict.UNKNOWN: "dim"}[metric.verdict]
        table.add_row(Text(mark, style), metric.name, Text(metric.value, value_style), Text(metric.target, "dim"))
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, expand=True, padding=(0, 1), header_style="dim", pad_edge=False)
    for column in columns:
        name, _, right = column.partition(":")
        table.add_column(name, justify="right" if right else "left", no_wrap=True)
    return table


def _lines() -> Table:
    """What, and its value."""
    lines = Table.grid(padding=(0, 2))
    lines.add_column(style="dim", no_wrap=True)
    lines.add_column(no_wrap=True)
    return lines


def _panel(title: str, body: RenderableType, height: int | None = None) -> Panel:
    return Panel(
        body, title=title, title_align="left", border_style="bright_black", box=box.ROUNDED, padding=(0, 1),
        height=height,
    )  # fmt: skip


def _side_by_side(left: tuple[str, Table], right: tuple[str, Table], wide: bool) -> Iterator[RenderableType]:
    if not wide:
        yield _panel(*left)
        yield _panel(*right)
        return
    height = max(left[1].row_count, right[1].row_count) + 2
    grid = Table.grid(expand=True)
    grid.add_column(ratio=1)
    grid.add_column(ratio=1)
    grid.add_row(_panel(*left, height=height), _panel(*right, height=height))
    yield grid
