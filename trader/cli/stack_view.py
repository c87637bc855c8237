"""What is seen of a monitoring stack: its addresses, its alerts, and what was sent.

Rules: a terminal gets one picture that is redrawn, anything else a line for each change. A program of the stack that
ends is an error, not a blank.
"""

import asyncio
from collections.abc import Iterable
from typing import Final

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from trader.stack import Notice, RuleAlert, Stack, StackError

LOOK_S: Final = 1.0
ALERTS_SHOWN: Final = 25
NOTICES_SHOWN: Final = 6
RANKS: Final = {"page": 0, "ticket": 1, "none": 3}
STYLES: Final = {"page": "bold red", "ticket": "yellow"}


def urls(stack: Stack) -> Table:
    """Where everything is."""
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    table.add_row("Prometheus", stack.prometheus_url)
    table.add_row("Alertmanager", stack.alertmanager_url)
    if "node_exporter" in stack.children:
        table.add_row("node_exporter", f"{stack.node_exporter.url}/metrics")
    for trader in stack.options.traders:
        table.add_row("trader", f"http://{trader}/metrics")
    table.add_row("files", str(stack.folder))
    return table


async def watch(stack: Stack, console: Console) -> None:
    """Show the alerts until cancelled; raises StackError when a program of the stack ends."""
    if not console.is_terminal:
        await print_changes(stack, console)
    with Live(console=console, refresh_per_second=4, transient=True) as live:
        while True:
            live.update(await picture(stack))
            await asyncio.sleep(LOOK_S)


async def print_changes(stack: Stack, console: Console) -> None:
    """Print a line for every alert that begins to be pending, fires or ends, and for every message, until cancelled."""
    known: dict[tuple[tuple[str, str], ...], RuleAlert] = {}
    told = 0
    while True:
        require_running(stack)
        alerts = {tuple(sorted(alert.labels.items())): alert for alert in await stack.alerts()}
        for line in change_lines(known, alerts):
            console.print(line, highlight=False, markup=False, soft_wrap=True)
        known = alerts
        notices = list(stack.inbox.notices)
        for notice in notices[told:]:
            if notice.name != "Watchdog":
                console.print(notice_line(notice), highlight=False, markup=False, soft_wrap=True)
        told = len(notices)
        await asyncio.sleep(LOOK_S)


def change_lines(
    old: dict[tuple[tuple[str, str], ...], RuleAlert], new: dict[tuple[tuple[str, str], ...], RuleAlert]
) -> list[str]:
    """A line for each difference between two looks at the alerts."""
    lines = []
    for key, alert in new.items():
        if key not in old or old[key].state != alert.state:
            lines.append(f"{alert.state:8} {alert_words(alert)}")
    lines += [f"over     {alert_words(alert)}" for key, alert in old.items() if key not in new]
    return lines


def alert_words(alert: RuleAlert) -> str:
    """An alert in one line."""
    severity = alert.labels.get("severity", "?")
    summary = alert.annotations.get("summary", "")
    return f"{severity:6} {alert.name}: {summary}".rstrip(": ")


def notice_line(notice: Notice) -> str:
    """A message of Alertmanager in one line."""
    return f"sent     {notice.receiver:6} {notice.name} ({notice.status})"


async def picture(stack: Stack) -> RenderableType:
    """The alerts and the latest messages, as they are now."""
    require_running(stack)
    notices = [notice for notice in stack.inbox.notices if notice.name != "Watchdog"][-NOTICES_SHOWN:]
    parts: list[RenderableType] = [alerts_table(await stack.alerts())]
    if notices:
        parts += ["", Text("sent", style="dim"), *(f"{n.at:%H:%M:%S}  {notice_line(n)[9:]}" for n in notices)]
    return Group(*parts)


def alerts_table(alerts: Iterable[RuleAlert]) -> RenderableType:
    """Pending and firing alerts, the loudest first; the heartbeat is not one of them."""
    shown = sorted(
        (alert for alert in alerts if alert.name != "Watchdog"),
        key=lambda alert: (alert.state != "firing", RANKS.get(alert.labels.get("severity", ""), 2), alert.name),
    )
    if not shown:
        return Text("no alert is pending or fires", style="green")
    table = Table(box=None, pad_edge=False)
    for column in ("alert", "severity", "state", "since", "what"):
        table.add_column(column, no_wrap=column != "what")
    for alert in shown[:ALERTS_SHOWN]:
        severity = alert.labels.get("severity", "?")
        style = STYLES.get(severity, "") if alert.state == "firing" else "dim"
        since = f"{alert.active_at:%H:%M:%S}"
        table.add_row(alert.name, severity, alert.state, since, alert.annotations.get("summary", ""), style=style)
    if len(shown) > ALERTS_SHOWN:
        table.add_row(f"and {len(shown) - ALERTS_SHOWN} more", style="dim")
    return table


def require_running(stack: Stack) -> None:
    """Raise StackError when a program of the stack has ended."""
    for child in stack.children.values():
        if child.pid is None:
            raise StackError(f"{child.name} ended: {child.log_end() or 'it said nothing'}")
