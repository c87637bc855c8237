"""Weekly: the emergency drills, held for real against a simulated gateway, and a page drill on a stack of its own.

Rules: never the live gateway and never live state (``trader/drills/isolation.py`` refuses). Everything is in the job's
scratch. Monitoring programs that are not on this host are not fetched: the page drill is missing then. What was not
tried neither succeeded nor failed, and is named.
"""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from trader.drills.emergency import EMERGENCIES, EmergencyOptions, EmergencyResult, play_emergencies
from trader.drills.model import DrillResult
from trader.drills.run import DrillOptions, play_all
from trader.drills.table import DRILLS
from trader.maintenance.context import Context
from trader.maintenance.drill_metrics import panic_parts, write_drills
from trader.maintenance.model import Column, Figure, Outcome, Part, Section, Table, Unit, Value
from trader.stack import ALERTS_FOLDER, StackError
from trader.stack.programs import find_programs
from trader.textfile import TextfileError

KEY: Final = "drills"
TITLE: Final = "Emergency drills"
MEND: Final = "trader drill emergency"
PAGE_PART: Final = "page_drill"
PAGES: Final = ("BrokerDisconnected/page", "PanicFlagPresent/page", "Watchdog/none")
"""A page by the service's own metrics, one more by its state, and the dead-man's switch."""
EMERGENCY_COLUMNS: Final = (
    Column("Drill"), Column("Took", Unit.SECONDS), Column("May take", Unit.SECONDS), Column("Verdict"),
)  # fmt: skip
PAGE_COLUMNS: Final = (
    Column("Alert"), Column("Fault"), Column("To page", Unit.SECONDS), Column("May take", Unit.SECONDS),
    Column("To resolve", Unit.SECONDS), Column("May take", Unit.SECONDS), Column("Verdict"),
)  # fmt: skip


def run(context: Context) -> Section:
    """Hold every emergency drill once, and the page drill where a stack can run."""
    if context.dry_run:
        return _dry()
    folder = context.folders.scratch / KEY
    options = EmergencyOptions(folder=folder / "emergency", live=context.settings)
    held = asyncio.run(play_emergencies(options, EMERGENCIES, lambda result: None))
    missing = [f"{result.title}: {result.problem}" for result in held if not result.tried]
    missing += _publish(context, held)
    pages, why = _page_drill(context, folder / "page")
    missing += [why] if why else []
    return section(held, pages, missing)


def _dry() -> Section:
    rows = [(drill.title, None, drill.bound_s, "not held") for drill in EMERGENCIES]
    return Section(
        key=KEY, title=TITLE, outcome=Outcome.OK,
        sentence=f"a dry run holds no drill; it would be {len(EMERGENCIES)} and a page drill",
        tables=(Table.of("Emergency drills", EMERGENCY_COLUMNS, rows),),
    )  # fmt: skip


def _publish(context: Context, held: Sequence[EmergencyResult]) -> list[str]:
    """Why the drills have no metrics; nothing when they do."""
    if context.folders.textfile is None:
        return ["the drills' metrics: no folder is configured for them (maintenance.textfile_folder)"]
    try:
        write_drills(context.folders.textfile, held)
    except TextfileError as error:
        return [f"the drills' metrics: {error}"]
    return []


def _page_drill(context: Context, folder: Path) -> tuple[list[DrillResult], str]:
    """The page drills that were held, or why none was."""
    shipped = context.place.site.share / "alerts"
    chosen = [drill for drill in DRILLS if drill.name in PAGES]
    try:
        options = DrillOptions(
            folder=folder, alerts=ALERTS_FOLDER if ALERTS_FOLDER.is_dir() else shipped, live=context.settings,
            programs=find_programs(download=False),
        )  # fmt: skip
        return asyncio.run(play_all(options, chosen, lambda result: None)), ""
    except (StackError, OSError) as error:
        return [], f"the page drill: {error}"


def section(held: Sequence[EmergencyResult], pages: Sequence[DrillResult], missing: Sequence[str]) -> Section:
    """What the drills came to."""
    bad = [f"{result.title}: {result.problem}" for result in held if not result.met]
    bad += [f"page of {result.alert}: {result.problem}" for result in pages if result.problem]
    return Section(
        key=KEY,
        title=TITLE,
        outcome=Outcome.FAILED if bad else Outcome.OK if pages and not missing else Outcome.UNKNOWN,
        sentence="; ".join(bad) or _all_well(held, pages),
        figures=_figures(held, pages),
        tables=_tables(held, pages),
        missing=tuple(missing),
        mend=MEND if any(not result.met for result in held) else "trader drill page" if bad else "",
        parts=(*panic_parts(held), *page_parts(pages)),
    )


def _all_well(held: Sequence[EmergencyResult], pages: Sequence[DrillResult]) -> str:
    paged = f"and {len(pages)} pages came and went" if pages else "and no page was drilled"
    return f"{len(held)} emergencies ended well within their bounds, {paged}"


def _figures(held: Sequence[EmergencyResult], pages: Sequence[DrillResult]) -> tuple[Figure, ...]:
    timed = tuple(
        Figure(
            label=result.title, value=result.duration_s, unit=Unit.SECONDS, bound=f"≤ {result.bound_s:g} s",
            outcome=_outcome(result),
        )
        for result in held
    )  # fmt: skip
    if not pages:
        return timed
    came = sum(not result.problem for result in pages)
    outcome = Outcome.OK if came == len(pages) else Outcome.FAILED
    page = Figure(
        label="Pages that came and went", value=came, unit=Unit.COUNT, bound=f"= {len(pages)}", outcome=outcome
    )
    return (*timed, page)


def _outcome(result: EmergencyResult) -> Outcome:
    return Outcome.OK if result.met else Outcome.FAILED if result.tried else Outcome.UNKNOWN


def _tables(held: Sequence[EmergencyResult], pages: Sequence[DrillResult]) -> tuple[Table, ...]:
    rows: list[tuple[Value, ...]] = [
        (result.title, result.duration_s, result.bound_s, result.problem or "ok") for result in held
    ]
    found = [Table.of("Emergency drills", EMERGENCY_COLUMNS, rows)]
    if pages:
        found.append(
            Table.of(
                "Page drill, in drilled seconds",
                PAGE_COLUMNS,
                [
                    (r.alert, r.fault, r.page_s, r.page_bound_s, r.resolve_s, r.resolve_bound_s, r.problem or "ok")
                    for r in pages
                ],
            )
        )
    return tuple(found)


def page_parts(pages: Sequence[DrillResult]) -> tuple[Part, ...]:
    """The page drill; no part when no page was drilled."""
    if not pages:
        return ()
    failed = any(result.problem for result in pages)
    return (Part(task=PAGE_PART, outcome=Outcome.FAILED if failed else Outcome.OK),)
