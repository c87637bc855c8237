"""A section made of checks: how many ended how, a table of all of them, and the worst in one sentence.

Rules: pure but for ``is_installed``. What is not known is named as missing, with the command that would show it.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from trader.doctor import Place, Result, Verdict
from trader.doctor.model import Absent, NotVisible
from trader.maintenance.model import Chart, Column, Figure, Outcome, Section, Table, Unit, worst
from trader.maintenance.plain import plain
from trader.maintenance.show import text_of

SEEN_MAX_CHARACTERS: Final = 600
OUTCOMES: Final = {
    Verdict.OK: Outcome.OK,
    Verdict.UNKNOWN: Outcome.UNKNOWN,
    Verdict.WARNING: Outcome.WARNING,
    Verdict.FAILED: Outcome.FAILED,
}
COLUMNS: Final = (Column("Item"), Column("Check"), Column("Verdict"), Column("Seen"), Column("Mend"))


def is_installed(place: Place) -> bool:
    """Whether this host has the product's units or releases; a checkout that maintains itself has neither."""
    site = place.site
    for path in (site.unit_folder / site.unit_file, site.current):
        try:
            place.host.state(path)
        except Absent:
            continue
        except NotVisible:
            return True
        return True
    return False


def not_installed(key: str, title: str, place: Place) -> Section:
    """The section of a host on which there is nothing to look at."""
    why = f"the product is not installed on this host: neither {place.site.unit_file} nor {place.site.current} is there"
    return Section(
        key=key, title=title, outcome=Outcome.UNKNOWN, sentence=why, missing=(why,), mend="sudo systemd/install.sh"
    )


def section_of(
    key: str, title: str, results: Sequence[Result], tables: Iterable[Table] = (), charts: Iterable[Chart] = (), *,
    fine: str, figures: Sequence[Figure] = (), notes: Iterable[str] = (), missing: Iterable[str] = (),
    other: Iterable[Outcome] = (),
) -> Section:  # fmt: skip
    """A section of ``results`` and ``figures`` and what else was found; ``fine`` is its sentence when all is well."""
    unseen = [f"{result.title}: {_seen(result)}{_how(result)}" for result in results if _is(result, Verdict.UNKNOWN)]
    first = _first(results)
    return Section(
        key=key,
        title=title,
        outcome=worst(
            [*(OUTCOMES[result.verdict] for result in results), *(figure.outcome for figure in figures), *other]
        ),
        sentence=sentence_of(results, figures, fine),
        figures=(*(_counts(results) if results else ()), *figures),
        tables=(*([table_of(results)] if results else []), *tables),
        charts=tuple(charts),
        notes=tuple(notes),
        missing=(*unseen, *missing),
        mend=first.mend if first is not None else "",
    )


def _is(result: Result, *verdicts: Verdict) -> bool:
    return result.verdict in verdicts


def _first(results: Sequence[Result]) -> Result | None:
    """What to mend first: of what failed, else of what is a warning, the first in the table's order."""
    for verdict in (Verdict.FAILED, Verdict.WARNING):
        for result in results:
            if result.verdict is verdict:
                return result
    return None


def sentence_of(results: Sequence[Result], figures: Sequence[Figure], fine: str) -> str:
    """How many checks are not ok, and the worst of them; then the figures that are out of their bounds."""
    out = [figure for figure in figures if figure.outcome in (Outcome.WARNING, Outcome.FAILED)]
    told = _told(results, fine if not out else "")
    if not out:
        return told
    figure = max(out, key=lambda figure: tuple(Outcome).index(figure.outcome))
    shown = f"{figure.label}: {text_of(figure.value, figure.unit)}, and {figure.bound} is expected"
    return f"{told}; {shown}" if told else shown


def _told(results: Sequence[Result], fine: str) -> str:
    first = _first(results)
    unknown = sum(_is(result, Verdict.UNKNOWN) for result in results)
    unseen = f"{unknown} of {len(results)} checks could not be made" if unknown else ""
    if first is None:
        return unseen or (f"{len(results)} checks: {fine}" if results and fine else fine)
    count = sum(_is(result, Verdict.FAILED, Verdict.WARNING) for result in results)
    told = f"{first.title}: {_seen(first)}"
    if count > 1:
        told = f"{count} of {len(results)} checks are not ok, first {told}"
    return f"{told}; {unseen}" if unseen else told


def _counts(results: Sequence[Result]) -> list[Figure]:
    return [
        Figure(
            label=f"Checks {verdict}", value=(count := sum(result.verdict is verdict for result in results)),
            unit=Unit.COUNT, outcome=OUTCOMES[verdict] if count else Outcome.OK,
        )
        for verdict in Verdict
    ]  # fmt: skip


def table_of(results: Sequence[Result]) -> Table:
    """Every check, what is wrong first."""
    order = (Verdict.FAILED, Verdict.WARNING, Verdict.UNKNOWN, Verdict.OK)
    shown = sorted(results, key=lambda result: order.index(result.verdict))
    rows = [(result.item, result.title, str(result.verdict), _seen(result), result.mend) for result in shown]
    return Table.of("Checks", COLUMNS, rows)


def _seen(result: Result) -> str:
    return plain(result.seen, SEEN_MAX_CHARACTERS)


def _how(result: Result) -> str:
    return f" ({result.mend})" if result.mend else ""
