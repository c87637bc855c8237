"""A report as a page: the verdict first, every value readable, nothing from outside taken for HTML."""

import json
import math
import re
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from html.parser import HTMLParser
from pathlib import Path

import pytest

from trader.contracts import TradingMode
from trader.maintenance import charts, history, page
from trader.maintenance.files import WriteError
from trader.maintenance.model import (
    Chart,
    Column,
    Figure,
    JobReport,
    Kind,
    Line,
    Outcome,
    Section,
    Table,
    TaskRun,
    Unit,
    Value,
    worst,
)
from trader.maintenance.show import NOT_KNOWN, sort_key, text_of

NOW = datetime(2026, 11, 20, 22, 15, tzinfo=UTC)
EVIL = "<script>alert('x')</script>&\"</td>"


def run(task: str = "health", outcome: Outcome = Outcome.OK, **more: object) -> TaskRun:
    section = Section(key=task, title=task.capitalize(), outcome=outcome, sentence=f"{task} said", **more)  # type: ignore[arg-type]
    return TaskRun(task=task, section=section, started_at=NOW, duration_s=1.5)


def report(*runs: TaskRun, started: datetime = NOW, kind: Kind = Kind.DAILY, label: str = "2026-11-20") -> JobReport:
    return JobReport(
        kind=kind, started_at=started, finished_at=started + timedelta(seconds=75), since=NOW - timedelta(days=1),
        until=NOW, label=label, mode=TradingMode.PAPER, account="DU123", host="trading1", version="1.2.3",
        dry_run=False, outcome=worst(one.section.outcome for one in runs), runs=runs,
    )  # fmt: skip


class Text(HTMLParser):
    """The page's visible text, and its elements."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.words: list[str] = []
        self._hidden = 0
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._hidden += tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self._hidden -= tag in ("script", "style")

    def handle_data(self, data: str) -> None:
        if not self._hidden and data.strip():
            self.words.append(" ".join(data.split()))

    @property
    def text(self) -> str:
        return " ".join(self.words)


def test_the_verdict_comes_before_everything_else() -> None:
    words = Text(page.render(report(run(), run("backup", Outcome.FAILED, mend="sudo df")))).words
    assert words[2:5] == ["Daily maintenance of 2026-11-20", "failed", "Backup; 1 of 2 ok"]


def test_what_to_type_comes_before_the_tasks_and_the_worst_first() -> None:
    text = Text(
        page.render(
            report(
                run("a", Outcome.WARNING, mend="warn me"),
                run("b", Outcome.FAILED, mend="fail me"),
                run("c", mend="warn me"),
            )
        )
    ).text
    assert text.index("fail me") < text.index("warn me") < text.index("Verdict")


def test_what_could_not_be_got_is_named_with_its_task() -> None:
    text = Text(page.render(report(run("resources", Outcome.UNKNOWN, missing=("no Prometheus is configured",))))).text
    assert "What could not be got Resources : no Prometheus is configured" in text


def test_what_is_missing_for_one_reason_is_told_once() -> None:
    why = "no Prometheus is configured (maintenance.prometheus_url)"
    one = run("review", missing=(f"error rate: {why}", f"decision: tick to decision: {why}", "disk: it is: gone"))
    text = Text(page.render(report(one, run("books", missing=(f"growth: {why}",))))).text.partition("Not known:")[0]
    assert text.count(why) == 1
    assert f"{why} Review : error rate; decision: tick to decision Books : growth Review : disk: it is: gone" in text


def test_nothing_from_outside_is_taken_for_html() -> None:
    table = Table.of(EVIL, (Column(EVIL),), [(EVIL,)])
    chart = Chart(title=EVIL, unit=Unit.COUNT, lines=(Line(EVIL, ((NOW, 1.0),)),))
    one = run(
        "errors", figures=(Figure(label=EVIL, value=EVIL, bound=EVIL),), tables=(table,), charts=(chart,),
        notes=(EVIL,), missing=(EVIL,), mend=EVIL,
    )  # fmt: skip
    html = page.render(report(one))
    assert "<script>alert" not in html
    # plotly, the data and the page's own script.
    assert Text(html).tags.count("script") == 3


def test_a_page_without_a_chart_needs_no_plotly() -> None:
    html = page.render(report(run()))
    assert len(html) < 50_000
    assert Text(html).tags.count("script") == 2


def test_a_page_asks_nobody_for_anything() -> None:
    html = page.render(report(run()))
    assert "default-src &#x27;none&#x27;" in html
    assert not re.findall(r'(?:src|href)="(?:https?:)?//', html)


def test_a_table_sorts_by_what_was_measured_and_not_by_what_is_shown() -> None:
    columns = (Column("unit"), Column("took", Unit.SECONDS), Column("at", Unit.MOMENT))
    html = page.render(report(run(tables=(Table.of("Slow", columns, [("a", 0.0034, NOW), ("b", None, None)]),))))
    assert 'data-key="0.0034">3.4 ms<' in html
    assert f'data-key="{NOW.timestamp()}">2026-11-20 22:15:00 UTC<' in html
    assert html.count(f">{NOT_KNOWN}<") == 2
    assert 'class="sortable"' in html


def test_a_table_that_was_cut_says_how_many_rows_there_were() -> None:
    table = Table.of("Errors", (Column("n", Unit.COUNT),), [(n,) for n in range(700)])
    assert "The first 500 of 700." in Text(page.render(report(run(tables=(table,))))).text


def test_a_row_that_is_shorter_than_its_columns_is_shown() -> None:
    table = Table.of("Odd", (Column("a"), Column("b")), [("only",)])
    assert "only" in Text(page.render(report(run(tables=(table,))))).text


def test_a_chart_without_a_point_says_so() -> None:
    chart = Chart(title="Memory", unit=Unit.BYTES, lines=(Line("used", ((NOW, None),)),))
    assert "Not known: there is no point to draw." in Text(page.render(report(run(charts=(chart,))))).text


def test_a_section_that_cannot_be_drawn_leaves_the_others() -> None:
    chart = Chart(title="Broken", unit=Unit.RATIO, lines=(Line("x", ((NOW, 1.0),)),), bound=math.nan)
    text = Text(page.render(report(run("review", charts=(chart,)), run("reauth")))).text
    assert "This section cannot be drawn" in text
    assert "reauth said" in text


def test_a_thinned_line_keeps_its_extremes_and_its_gaps() -> None:
    values: list[float | None] = [float(index % 7) for index in range(10_000)]
    values[4_321], values[8_000], values[2_000] = 99.0, -99.0, None
    line = Line("x", tuple((NOW + timedelta(seconds=index), value) for index, value in enumerate(values)))
    kept = charts.thinned(line)
    found = [value for _, value in kept]
    assert len(kept) <= charts.POINTS_MAX
    assert {99.0, -99.0, None} <= set(found)
    assert (kept[0], kept[-1]) == (line.points[0], line.points[-1])


def test_a_value_that_is_not_finite_is_a_gap() -> None:
    assert charts.thinned(Line("x", ((NOW, math.inf), (NOW, 1.0)))) == [(NOW, None), (NOW, 1.0)]


@pytest.mark.parametrize(
    ("value", "unit", "shown"),
    [
        (None, Unit.MONEY, "—"),
        (math.nan, Unit.RATIO, "—"),
        (Decimal("-1234.5"), Unit.MONEY, "−1,234.50 USD"),
        (0.5, Unit.RATIO, "50.0 %"),
        (0.0009, Unit.RATIO, "0.090 %"),
        (0.99951, Unit.RATIO, "99.951 %"),
        (0.0, Unit.RATIO, "0.0 %"),
        (-0.000_004, Unit.RATIO, "0.000 %"),
        (-0.000_04, Unit.RATIO, "−0.004 %"),
        (0.0123, Unit.SECONDS, "12.3 ms"),
        (0, Unit.SECONDS, "0 s"),
        (3.456, Unit.SECONDS, "3.46 s"),
        (59.999, Unit.SECONDS, "1 min"),
        (125, Unit.SECONDS, "2 min 5 s"),
        (18_120, Unit.SECONDS, "5 h 2 min"),
        (266_400, Unit.SECONDS, "3 d 2 h"),
        (timedelta(days=-1), Unit.SECONDS, "−1 d"),
        (999, Unit.BYTES, "999 B"),
        (1_200_000, Unit.BYTES, "1.2 MB"),
        (999_999, Unit.BYTES, "1.0 MB"),
        (8_589_934_592, Unit.BYTES, "8.6 GB"),
        (1234567, Unit.COUNT, "1,234,567"),
        (Decimal("0.50"), Unit.COUNT, "0.5"),
        (NOW, Unit.MOMENT, "2026-11-20 22:15:00 UTC"),
        ("as it is", Unit.COUNT, "as it is"),
    ],
)
def test_a_value_is_shown_by_its_unit(value: Value, unit: Unit, shown: str) -> None:
    assert text_of(value, unit, "USD") == shown


@pytest.mark.parametrize(("value", "key"), [(None, None), (math.inf, None), (Decimal("1.5"), 1.5), ("b", "b")])
def test_a_value_sorts_by_its_number(value: Value, key: float | str | None) -> None:
    assert sort_key(value) == key


# -- what is kept


def test_the_index_lists_every_report_with_its_verdict_and_tasks(tmp_path: Path) -> None:
    for day in (18, 19, 20):
        outcome = Outcome.FAILED if day == 19 else Outcome.OK
        history.write_report(
            tmp_path, report(run("backup", outcome), started=NOW.replace(day=day), label=f"2026-11-{day}")
        )
    history.write_index(tmp_path)
    html = (tmp_path / "index.html").read_text()
    text = Text(html).text
    assert text.index("2026-11-20 2026") < text.index("2026-11-19 2026") < text.index("2026-11-18 2026")
    assert text.count("Backup 1.50 s") == 3
    assert "weekly never ran" in text
    for link in re.findall(r'href="([^"#]+)"', html):
        assert (tmp_path / link).is_file(), link


def test_the_oldest_reports_above_the_number_go_and_nothing_else(tmp_path: Path) -> None:
    pages = [history.write_report(tmp_path, report(run(), started=NOW + timedelta(days=day))) for day in range(5)]
    foreign = tmp_path / "daily" / "2020-01-01_notes.json"
    foreign.write_text("{}")
    gone = history.prune(tmp_path, {Kind.DAILY: 3}, pages[-1])
    assert sorted(gone) == sorted(pages[:2])
    assert [path.exists() for path in pages] == [False, False, True, True, True]
    assert [path.with_suffix(".json").exists() for path in pages] == [False, False, True, True, True]
    assert foreign.exists()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"kind": "daily"}', b"\xff\xfe"])
def test_a_report_that_cannot_be_read_is_passed_over_and_kept(tmp_path: Path, content: bytes) -> None:
    broken = history.write_report(tmp_path, report(run())).with_suffix(".json")
    broken.write_bytes(content)
    good = history.write_report(tmp_path, report(run(), started=NOW + timedelta(days=1)))
    assert [past.page for past in history.entries(tmp_path)] == [good]
    assert history.prune(tmp_path, {Kind.DAILY: 1}, good) == []
    assert broken.exists()


def test_the_json_has_numbers_in_base_units_and_amounts_as_written() -> None:
    figures = (Figure(label="net", value=Decimal("12.30"), unit=Unit.MONEY), Figure(label="age", value=None))
    told = json.loads(history.as_json(report(run(figures=figures))))
    assert [figure["value"] for figure in told["runs"][0]["section"]["figures"]] == ["12.30", None]
    assert told["started_at"] == "2026-11-20T22:15:00Z"


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "daily").write_text("a file")
    with pytest.raises(WriteError, match=r"cannot be (written|looked at)"):
        history.write_report(tmp_path, report(run()))


def test_reports_are_not_for_everybody(tmp_path: Path) -> None:
    html = history.write_report(tmp_path, report(run()))
    assert [path.stat().st_mode & 0o007 for path in (html, html.with_suffix(".json"))] == [0, 0]
