"""A job's report as one HTML file that needs nothing else, the verdict first.

Rules: every text is escaped here; a content security policy forbids any request. What a person does next is above what
is only to be looked at. A page is drawn from the report alone, so that it can be drawn again from its JSON's source.
"""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any, Final

from trader.maintenance import charts
from trader.maintenance.model import Figure, JobReport, Outcome, Section, Table, TaskRun, Unit, Value
from trader.maintenance.show import WORDS, duration_text, sort_key, text_of
from trader.report.document import document, embedded

STYLES: Final = ("report.css", "maintenance.css")
WORST_FIRST: Final = (Outcome.FAILED, Outcome.WARNING, Outcome.UNKNOWN, Outcome.OK)
WIDE_CHARACTERS: Final = 44
"""A text that is longer may be broken into lines."""


def render(report: JobReport) -> str:
    """The whole page."""
    figures: dict[str, Any] = {}
    body = "\n".join(
        filter(None, (_heading(report), _notes(report.notes), _mends(report), _summary(report), _missing(report)))
    )
    sections = "\n".join(_drawn(run, figures) for run in report.runs)
    return document(title_of(report), f"{body}\n{sections}", figures, STYLES)


def title_of(report: JobReport) -> str:
    """``Daily maintenance of 2026-11-20``."""
    return f"{report.kind.capitalize()} maintenance of {report.label}"


def verdict_of(report: JobReport) -> str:
    """The result in one line."""
    if not report.runs:
        return "nothing ran"
    parts = []
    for outcome in WORST_FIRST:
        named = [run.section.title for run in report.runs if run.section.outcome is outcome]
        if named and outcome is not Outcome.OK:
            parts.append(f"{WORDS[outcome]}: {', '.join(named)}")
    good = sum(run.section.outcome is Outcome.OK for run in report.runs)
    return "; ".join([*parts, f"{good} of {len(report.runs)} ok"]) if parts else f"all {good} tasks ok"


def _heading(report: JobReport) -> str:
    took = duration_text((report.finished_at - report.started_at).total_seconds())
    dry = " · dry run, nothing was written" if report.dry_run else ""
    books = " ".join(filter(None, (report.mode, report.account)))
    span = f"{moment_text(report.since)} to {moment_text(report.until)}"
    small = (
        f"ran {moment_text(report.started_at)}, took {took} · {books} · {report.host} · version {report.version}{dry}"
    )
    return (
        f'<header><p class="small up"><a href="../index.html">All reports</a></p><h1>{escape(title_of(report))}</h1>'
        f'<p class="banner {report.outcome}"><strong>{escape(WORDS[report.outcome])}</strong> '
        f"{escape(verdict_of(report).removeprefix(f'{WORDS[report.outcome]}: '))}</p>"
        f'<p class="small">{escape(span)}</p><p class="small">{escape(small)}</p></header>'
    )


def moment_text(at: Value) -> str:
    """To the second."""
    return text_of(at, Unit.MOMENT).partition(".")[0].removesuffix(" UTC") + " UTC"


def _notes(notes: Iterable[str]) -> str:
    return "".join(f'<p class="note">{escape(note)}</p>' for note in notes)


def _mends(report: JobReport) -> str:
    """What to type, the worst first; each command once."""
    wanted: dict[str, list[str]] = {}
    for outcome in WORST_FIRST:
        for run in report.runs:
            if run.section.outcome is outcome and run.section.mend:
                wanted.setdefault(run.section.mend, []).append(run.section.title)
    items = "".join(f"<li>{escape(', '.join(titles))}<pre>{escape(mend)}</pre></li>" for mend, titles in wanted.items())
    return f'<section class="mends"><h2>What to do</h2><ul>{items}</ul></section>' if items else ""


def _summary(report: JobReport) -> str:
    rows = "".join(
        f"<tr><td>{_pill(run.section.outcome)}</td>"
        f'<td><a href="#{escape(run.task)}">{escape(run.section.title)}</a></td>'
        f'<td class="wide">{escape(run.section.sentence)}</td>'
        f'<td class="number" data-key="{run.duration_s}">{escape(duration_text(run.duration_s))}</td></tr>'
        for run in report.runs
    )
    head = "".join(_head(title, numeric) for title, numeric in (
        ("Verdict", False), ("Task", False), ("Result", False), ("Took", True)))  # fmt: skip
    return (
        f'<section><h2>Tasks</h2><div class="scroll"><table class="sortable tasks"><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div></section>"
    )


def _missing(report: JobReport) -> str:
    """What is missing by its reason: one reason often has many things missing."""
    texts = [(run.section.title, what) for run in report.runs for what in run.section.missing]
    shared = Counter(reason for _, what in texts for _, reason in _splits(what))
    reasons: dict[str, dict[str, list[str]]] = {}
    for title, text in texts:
        what, reason = next((split for split in _splits(text) if shared[split[1]] > 1), ("", text))
        reasons.setdefault(reason, {}).setdefault(title, []).append(what)
    items = "".join(_lacking(reason, lacking) for reason, lacking in reasons.items())
    return f'<section class="missing"><h2>What could not be got</h2><ul>{items}</ul></section>' if items else ""


def _splits(text: str) -> Iterator[tuple[str, str]]:
    """What and why, at each colon of a text, the longest reason first."""
    for found in re.finditer(": ", text):
        yield text[: found.start()], text[found.end() :]


def _lacking(reason: str, lacking: Mapping[str, Sequence[str]]) -> str:
    if not any(any(what) for what in lacking.values()):
        return f"<li><strong>{escape(', '.join(lacking))}</strong>: {escape(reason)}</li>"
    tasks = "".join(
        f"<li><strong>{escape(title)}</strong>: {escape('; '.join(w))}</li>" for title, w in lacking.items()
    )
    return f"<li>{escape(reason)}<ul>{tasks}</ul></li>"


def _drawn(run: TaskRun, figures: dict[str, Any]) -> str:
    """A section; one that cannot be drawn says so and leaves the others."""
    mine: dict[str, Any] = {}
    try:
        html = _section(run, mine)
        embedded(mine)
    except (ValueError, TypeError, OverflowError, OSError) as error:
        return (
            f'<section id="{escape(run.task)}"><h2>{escape(run.section.title)} {_pill(run.section.outcome)}</h2>'
            f'<p class="empty">This section cannot be drawn ({escape(str(error))}); it is in the JSON.</p></section>'
        )
    figures.update(mine)
    return html


def _section(run: TaskRun, figures: dict[str, Any]) -> str:
    section = run.section
    parts = (
        _figures(section.figures), _charts(run.task, section, figures),
        "".join(_table(table) for table in section.tables), _notes(section.notes), _lacks(section),
        f'<p class="next">Next:</p><pre>{escape(section.mend)}</pre>' if section.mend else "",
    )  # fmt: skip
    return (
        f'<section id="{escape(run.task)}"><h2>{escape(section.title)} {_pill(section.outcome)}</h2>'
        f"<p>{escape(section.sentence)}</p>{''.join(parts)}</section>"
    )


def _lacks(section: Section) -> str:
    items = "".join(f"<li>{escape(what)}</li>" for what in section.missing)
    return f'<p class="small">Not known:</p><ul class="small">{items}</ul>' if items else ""


def _pill(outcome: Outcome) -> str:
    return f'<span class="pill {outcome}">{escape(WORDS[outcome])}</span>'


def _figures(figures: tuple[Figure, ...]) -> str:
    if not figures:
        return ""
    rows = "".join(
        f"<tr><td>{escape(figure.label)}</td>"
        f'<td class="{_figure_class(figure)}">{escape(text_of(figure.value, figure.unit, figure.currency))}</td>'
        f'<td class="bound">{escape(figure.bound)}</td>'
        f"<td>{'' if figure.outcome is Outcome.OK and not figure.bound else _pill(_judged(figure))}</td></tr>"
        for figure in figures
    )
    return f'<table class="figures"><tbody>{rows}</tbody></table>'


def _judged(figure: Figure) -> Outcome:
    """What is not known cannot be within its bound."""
    return Outcome.UNKNOWN if figure.value is None and figure.outcome is Outcome.OK else figure.outcome


def _figure_class(figure: Figure) -> str:
    """A sentence in the place of a number reads as a sentence."""
    long = isinstance(figure.value, str) and len(figure.value) > WIDE_CHARACTERS // 2
    return f"{'wide' if long else 'number'} {figure.outcome}"


def _charts(task: str, section: Section, figures: dict[str, Any]) -> str:
    drawn = []
    for index, chart in enumerate(section.charts):
        if not any(value is not None for line in chart.lines for _, value in line.points):
            drawn.append(f'<h3>{escape(chart.title)}</h3><p class="empty">Not known: there is no point to draw.</p>')
            continue
        name = f"chart-{task}-{index}"
        figures[name] = charts.figure_of(chart)
        more = len(chart.lines) - charts.LINES_MAX
        rest = f'<p class="small">{more} more lines are not drawn.</p>' if more > 0 else ""
        drawn.append(
            f'<h3>{escape(chart.title)}</h3><div class="chart" id="{escape(name)}" style="height:{charts.HEIGHT_PX}px" '
            f'role="img" aria-label="{escape(chart.title)}"></div>{rest}'
        )
    return "".join(drawn)


def _table(table: Table) -> str:
    if not table.rows:
        return f'<h3>{escape(table.title)}</h3><p class="empty">None.</p>'
    numeric = [column.unit is not Unit.TEXT for column in table.columns]
    head = "".join(_head(column.title, number) for column, number in zip(table.columns, numeric, strict=True))
    rows = "".join(
        f"<tr>{''.join(_cell(value, column.unit) for value, column in zip(row, table.columns, strict=False))}</tr>"
        for row in table.rows
    )
    more = table.total - len(table.rows)
    rest = f'<p class="small">The first {len(table.rows):,} of {table.total:,}.</p>' if more > 0 else ""
    return (
        f'<h3>{escape(table.title)}</h3><div class="scroll"><table class="sortable"><thead><tr>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>{rest}"
    )


def _head(title: str, numeric: bool) -> str:
    return f"<th{' class=number' if numeric else ''}><button>{escape(title)}</button></th>"


def _cell(value: Value, unit: Unit) -> str:
    shown, key = text_of(value, unit), sort_key(value)
    classes = [] if unit is Unit.TEXT else ["number"]
    if unit is Unit.TEXT and len(shown) > WIDE_CHARACTERS:
        classes.append("wide")
    css = f' class="{" ".join(classes)}"' if classes else ""
    number = f' data-key="{key!r}"' if isinstance(key, float) else ""
    return f"<td{css}{number}>{escape(shown)}</td>"
