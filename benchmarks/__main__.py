"""``python -m benchmarks NAME… [--quick] [--seed N] [--json FILE]``: run benchmarks, show tables, write JSON."""

import argparse
import importlib
import sys
from datetime import UTC, datetime
from pathlib import Path
from time import perf_counter
from typing import Final

import msgspec
from rich.console import Console
from rich.table import Table as Grid

from benchmarks.machine import this_machine
from benchmarks.options import BenchmarkFailed, Options
from benchmarks.page import replace_results
from benchmarks.report import Report, Table, cells

NAMES: Final = {
    "tick-to-order": "from a tick on the socket to the order's frame on it, beside ib_async, ib_insync and ibapi",
    "sustained": "ticks a second before the event loop falls behind, beside the same",
    "instrumentation": "what being observed costs of the tick and of the order path",
    "scrape": "rendering /metrics: time, size, and how long it holds the event loop",
    "journal": "facts a second and what the caller waits, by database and durability; recovery by size",
    "replay": "quotes a second of a replay, seeds a second of the drill of faults",
    "lifecycle": "start to READY, stop, memory, import time",
    "rules": "what the recording and alert rules cost a real Prometheus, by number of instances",
}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, epilog="\n".join(f"{k}: {v}" for k, v in NAMES.items()),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("names", nargs="+", choices=[*NAMES, "all"], metavar="NAME", help="which; 'all' for each")
    parser.add_argument("--quick", action="store_true", help="a few seconds each: to see that it works")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the reports there")
    parser.add_argument("--page", type=Path, metavar="FILE", help="put the tables between the marks of this page")
    parsed = parser.parse_args(arguments)
    names = list(NAMES) if "all" in parsed.names else parsed.names
    console, reports = Console(), list[Report]()
    try:
        for name in names:
            reports.append(run(name, Options(seed=parsed.seed, quick=parsed.quick, told=_tell)))
            show(console, reports[-1])
        if parsed.page:
            replace_results(parsed.page, reports)
    except BenchmarkFailed as failure:
        print(f"benchmarks: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    finally:
        if parsed.json and reports:
            parsed.json.write_bytes(msgspec.json.format(msgspec.json.encode(reports)) + b"\n")
    return 0 if all(goal.met for report in reports for goal in report.goals) else 3


def run(name: str, options: Options) -> Report:
    """Run one benchmark; raises BenchmarkFailed with what is missing or went wrong."""
    module = importlib.import_module(f"benchmarks.{name.replace('-', '_')}")
    machine, began_at, began_s = this_machine(), datetime.now(UTC), perf_counter()
    tables, goals = module.measure(options)
    return Report(
        name=name,
        title=NAMES[name],
        command=f"python -m benchmarks {name}{' --quick' if options.quick else ''} --seed {options.seed}",
        seed=options.seed,
        at=began_at,
        duration_s=round(perf_counter() - began_s, 1),
        machine=machine,
        tables=tuple(tables),
        goals=tuple(goals),
    )


def show(console: Console, report: Report) -> None:
    machine = report.machine
    console.print(f"\n[bold]{report.name}[/bold]: {report.title}")
    console.print(
        f"{machine.processor}, {machine.processors} processors, load {machine.load}, {machine.python}, "
        f"seed {report.seed}, {report.duration_s:g} s"
    )
    for table in report.tables:
        console.print(_grid(table))
    for goal in report.goals:
        verdict = "[green]met[/green]" if goal.met else "[red]missed[/red]"
        console.print(f"{verdict}  {goal.what}: {goal.measured} (goal: {goal.limit}) {goal.why}")


def _grid(table: Table) -> Grid:
    heading, rows = cells(table)
    title = f"{table.title}, ratio: {table.compared}" if table.compared else table.title
    grid = Grid(title=title, title_justify="left", caption=table.note or None, caption_justify="left")
    for name, column in zip(heading, zip(*rows, strict=True), strict=True):
        # On a narrow terminal words are broken, never a figure.
        width = max(map(len, (name, *column))) if name else None
        grid.add_column(name, justify="left" if name in ("", "unit") else "right", min_width=width)
    for row in rows:
        grid.add_row(*row)
    return grid


def _tell(what: str) -> None:
    print(f"  {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
