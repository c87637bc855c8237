"""The reports that are kept: one page and one JSON each, and an index page over them.

Rules: ``<folder>/<kind>/<period>_<started>.html`` and ``.json``; each file appears as a whole, the JSON last, and what
has no JSON is no report. Kept is a number of reports and not an age, so that a wrong clock deletes nothing; the report
that was just written is never removed. A file that cannot be read is passed over and never deleted.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from html import escape
from pathlib import Path
from typing import Final

import msgspec

from trader.maintenance import page
from trader.maintenance.files import PART_SUFFIX, WriteError, remove_parts, write_whole
from trader.maintenance.model import JobReport, Kind, Outcome
from trader.maintenance.show import WORDS, duration_text
from trader.report.document import document

INDEX: Final = "index.html"
NAME: Final = re.compile(r"[0-9-]{7,10}_[0-9]{8}T[0-9]{6}Z(-[0-9]{1,3})?\.json")
REPORT_MAX_BYTES: Final = 64_000_000
LISTED_MAX: Final = 2_000
SAME_SECOND_MAX: Final = 100
_ENCODER: Final = msgspec.json.Encoder(decimal_format="string")


class _Section(msgspec.Struct, frozen=True):
    title: str
    outcome: Outcome
    sentence: str = ""


class _Run(msgspec.Struct, frozen=True):
    task: str
    section: _Section
    duration_s: float = 0.0


class Past(msgspec.Struct, frozen=True):
    """What the index says of a report that is kept; ``path`` is its JSON's, given by ``entries``."""

    kind: Kind
    started_at: datetime
    finished_at: datetime
    outcome: Outcome
    label: str
    runs: tuple[_Run, ...]
    path: Path = Path()

    @property
    def page(self) -> Path:
        """The report's page."""
        return self.path.with_suffix(".html")


def as_json(report: JobReport) -> bytes:
    """The report as it is kept and as ``--json`` prints it: numbers in base units, amounts as texts, ISO 8601."""
    return msgspec.json.format(_ENCODER.encode(report))


def write_report(folder: Path, report: JobReport) -> Path:
    """Write the page and the JSON of ``report``; the page's path. Raises WriteError and leaves no half of it."""
    try:
        target = _free_name(folder / report.kind, report)
    except OSError as error:
        raise WriteError(f"{folder} cannot be looked at ({error.strerror})") from error
    drawn = page.render(report).encode()
    html = target.with_suffix(".html")
    try:
        write_whole(html, drawn)
        write_whole(target, as_json(report))
    except BaseException:
        with suppress(OSError):
            html.unlink(missing_ok=True)
        raise
    return html


def _free_name(folder: Path, report: JobReport) -> Path:
    """A name that no report has; a clock that was set back may give the same one again."""
    stem = f"{report.label}_{report.started_at:%Y%m%dT%H%M%SZ}"
    names = [f"{stem}.json", *(f"{stem}-{number}.json" for number in range(2, SAME_SECOND_MAX))]
    return next((folder / name for name in names if not (folder / name).exists()), folder / names[0])


def entries(folder: Path, kinds: Iterable[Kind] = tuple(Kind)) -> list[Past]:
    """The reports that are kept, the one that began last first; bounded."""
    found = [past for kind in kinds for past in _entries_of(folder / kind)]
    return sorted(found, key=lambda past: past.started_at, reverse=True)


def _entries_of(folder: Path) -> Iterator[Past]:
    try:
        names = sorted((path for path in folder.iterdir() if NAME.fullmatch(path.name)), reverse=True)
    except OSError:
        return
    for path in names[:LISTED_MAX]:
        try:
            if path.stat().st_size <= REPORT_MAX_BYTES:
                yield msgspec.structs.replace(msgspec.json.decode(path.read_bytes(), type=Past), path=path)
        except (OSError, msgspec.DecodeError):
            continue


def prune(folder: Path, keep: Mapping[Kind, int], written: Path | None) -> list[Path]:
    """Remove the oldest reports of each kind above ``keep`` of them, never ``written``; the pages that went."""
    gone: list[Path] = []
    for kind, number in keep.items():
        for past in entries(folder, (kind,))[number:]:
            if past.page == written:
                continue
            with suppress(OSError):
                past.path.unlink()
                past.page.unlink(missing_ok=True)
                gone.append(past.page)
    return gone


def sweep(folder: Path) -> None:
    """Remove what a killed run left: parts of files, and pages that got no JSON. For who holds the lock."""
    for kind in Kind:
        remove_parts(folder / kind)
        with suppress(OSError):
            for html in (folder / kind).glob("*.html"):
                if NAME.fullmatch(f"{html.stem}.json") and not html.with_suffix(".json").exists():
                    html.unlink()
    with suppress(OSError):
        for part in folder.glob(f".{INDEX}.*{PART_SUFFIX}"):
            part.unlink()


def write_index(folder: Path) -> Path:
    """Write the index page anew from the reports that are there; raises WriteError."""
    path = folder / INDEX
    write_whole(path, render_index(folder, entries(folder)).encode())
    return path


def render_index(folder: Path, kept: Sequence[Past]) -> str:
    """The index page: the newest of each kind, then all of them."""
    newest = [next((past for past in kept if past.kind is kind), None) for kind in Kind]
    latest = "".join(_latest(folder, kind, past) for kind, past in zip(Kind, newest, strict=True))
    tables = "".join(_listed(folder, kind, [past for past in kept if past.kind is kind]) for kind in Kind)
    body = f'<header><h1>Maintenance reports</h1></header><div class="latest">{latest}</div>{tables}'
    return document("Maintenance reports", body, {}, page.STYLES)


def _latest(folder: Path, kind: Kind, past: Past | None) -> str:
    if past is None:
        return f'<p class="banner unknown"><strong>{kind}</strong> never ran<small>no report is kept</small></p>'
    link = escape(str(past.page.relative_to(folder)))
    return (
        f'<p class="banner {past.outcome}"><strong>{kind}</strong> <a href="{link}">{escape(past.label)}</a>'
        f" {escape(WORDS[past.outcome])}<small>{escape(_problems(past) or 'all tasks ok')}</small></p>"
    )


def _problems(past: Past) -> str:
    found = [run for run in past.runs if run.section.outcome is not Outcome.OK]
    found.sort(key=lambda run: tuple(Outcome).index(run.section.outcome), reverse=True)
    return "; ".join(f"{WORDS[run.section.outcome]}: {run.section.title}" for run in found)


def _listed(folder: Path, kind: Kind, kept: Sequence[Past]) -> str:
    if not kept:
        return ""
    head = "".join(
        f"<th{' class=number' if numeric else ''}><button>{title}</button></th>"
        for title, numeric in (
            ("Period", False), ("Ran", False), ("Took", True), ("Verdict", False), ("Tasks", False), ("JSON", False),
        )
    )  # fmt: skip
    rows = "".join(_row(folder, past) for past in kept)
    return (
        f'<section><h2>{kind.capitalize()}</h2><div class="scroll whole"><table class="sortable"><thead><tr>{head}</tr>'
        f"</thead><tbody>{rows}</tbody></table></div></section>"
    )


def _row(folder: Path, past: Past) -> str:
    took = (past.finished_at - past.started_at).total_seconds()
    html, data = (escape(str(path.relative_to(folder))) for path in (past.page, past.path))
    tasks = "".join(
        f'<span class="pill {run.section.outcome}" title="{escape(run.section.sentence)}">'
        f"{escape(run.section.title)} {escape(duration_text(run.duration_s))}</span>"
        for run in past.runs
    )
    return (
        f'<tr><td><a href="{html}">{escape(past.label)}</a></td>'
        f'<td data-key="{past.started_at.timestamp()}">{escape(page.moment_text(past.started_at))}</td>'
        f'<td class="number" data-key="{took}">{escape(duration_text(took))}</td>'
        f'<td><span class="pill {past.outcome}">{escape(WORDS[past.outcome])}</span></td>'
        f'<td class="wide dots">{tasks}</td><td><a href="{data}">JSON</a></td></tr>'
    )
