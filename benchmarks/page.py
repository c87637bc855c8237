"""The tables of a run as Markdown, between two marks of a page that says the rest."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from benchmarks.options import BenchmarkFailed
from benchmarks.report import Report, cells

BEGIN: Final = "<!-- results: written by `python -m benchmarks all --page docs/performance.md`, DO NOT EDIT -->"
END: Final = "<!-- end of results -->"


def replace_results(page: Path, reports: Sequence[Report]) -> None:
    """Put the tables of ``reports`` between the page's marks; raises BenchmarkFailed when it has none."""
    text = page.read_text() if page.exists() else ""
    head, begin, rest = text.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise BenchmarkFailed(f"{page} has no place for results; give it the lines {BEGIN} and {END}")
    page.write_text(f"{head}{BEGIN}\n\n{results(reports)}\n{END}{tail}")


def results(reports: Sequence[Report]) -> str:
    return "\n".join([_machine(reports[0]), *_goals(reports), *(part for report in reports for part in _one(report))])


def _machine(report: Report) -> str:
    machine = report.machine
    packages = ", ".join(f"{name} {version}" for name, version in machine.packages.items())
    return (
        f"{report.at:%d %B %Y}, {machine.processor}, {machine.processors} processors, {machine.memory_gib:g} GiB, "
        f"{machine.system}, {machine.python}, {packages}; seed {report.seed}.\n"
    )


def _goals(reports: Iterable[Report]) -> list[str]:
    goals = [goal for report in reports for goal in report.goals]
    lines = ["| goal | limit | measured | |", "|---|---|---|---|"]
    for goal in goals:
        verdict = "met" if goal.met else f"**missed**: {goal.why}"
        lines.append(f"| {goal.what} | {goal.limit} | {goal.measured} | {verdict} |")
    return [*lines, ""]


def _one(report: Report) -> list[str]:
    lines = [
        f"### {report.name}",
        "",
        f"{report.title[0].upper()}{report.title[1:]}: `{report.command}`, {report.duration_s:g} s.",
        "",
    ]
    for table in report.tables:
        heading, rows = cells(table)
        lines += [f"**{table.title}**" + (f" (ratio: {table.compared})" if table.compared else ""), ""]
        lines += [
            f"| {' | '.join(heading)} |",
            "|" + "|".join("---" if h in ("", "unit") else "--:" for h in heading) + "|",
        ]
        lines += [f"| {' | '.join(row)} |" for row in rows]
        lines += ["", *([table.note, ""] if table.note else [])]
    return lines
