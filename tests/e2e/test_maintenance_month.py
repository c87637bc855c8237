"""A simulated month's reports: every figure computed again from the journal, and the pages say what the data says.

The month is traded once for all tests here (and all of them run in one process); its seed is random and printed.
"""

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from fractions import Fraction
from pathlib import Path
from typing import Any, Final
from zoneinfo import ZoneInfo

import msgspec
import pytest
import yaml

from tests.unit.maintenance import months, recomputed, recomputed_longer
from tests.unit.maintenance.read_page import Element, cells, drawn, parsed, same
from tests.unit.maintenance.recomputed import Expected, Rows
from tests.unit.maintenance.recomputed_longer import Shown, Told
from tests.unit.maintenance.trading_month import MONTH_BEGINS, MONTH_ENDS, configuration, simulate
from trader.clock import ManualClock
from trader.maintenance import backup_task, backup_verification
from trader.maintenance.model import Kind, Section
from trader.settings_file import load_settings

pytestmark = pytest.mark.e2e

ROOT: Final = Path(__file__).resolve().parents[2]
UNIT_TESTS: Final = ROOT / "tests" / "unit" / "maintenance"
SETTLE: Final = timedelta(minutes=5)
# A crash; a position held over night, and the day after; no commissions, and the day on which some come.
DAYS: Final = ("2026-03-10", "2026-03-12", "2026-03-13", "2026-03-16", "2026-03-17")
OTHER_DAYS: Final = ("2026-03-06", "2026-03-19", "2026-03-20", "2026-03-31")
WEEKS: Final = ("2026-03-21", "2026-03-28")
NEAR: Final = 1e-6
Backups = tuple[list[Section], list[Section]]

# What is not of the journal, by task: where it is computed again, and by what text it is found there.
ELSEWHERE: Final[Mapping[str, Mapping[str, str]]] = {
    "health": {
        "Service": 'figure(section, "Service")', "Restarts by systemd": 'figure(section, "Restarts by systemd")',
        "Ready now": 'figure(section, "Ready now")', "Starts": "", "Unplanned starts": "",
        "Checks": 'rows(section, "Checks")', "Starts by reason": 'rows(section, "Starts by reason")',
        "Stops": 'table(section, "Stops")',
    },
    "errors": {},
    "resources": {"Use at the moment of this report": 'rows(section, "Use at the moment of this report")'},
    "backup": {"Backups": 'table(section, "Backups")'},
    "drift": {name: f'figure(section, "{name}")' for name in ("Compared", "Drifted", "Changed by hand, as may be")},
    "cleanup": {
        "Files would be deleted": 'table(section, "Files would be deleted")',
        "Size of what would be deleted": 'figure(section, "Size of what would be deleted")',
        "Folders": 'table(section, "Folders")',
    },
    "drills": {"Emergency drills": 'rows(found, "Emergency drills")'},
    "reauth": {
        "The login ends in": 'figure(section, "The login ends in")',
        "A person has to log in after": 'figure(section, "A person has to log in after")',
        "and before the session that opens": 'figure(section, "before the session that opens")',
        "Time for it": 'figure(section, "Time for it")',
        "Table of the broker's windows is of": """figure(section, "Table of the broker's windows")""",
    },
    "doctor": {
        "Used on": 'figure(section, "Used on', "Free on": 'figure(section, "Free on',
        "Folders of ours": 'table(section, "Folders of ours")',
    },
    "audit": {},
    "backup_verification": {},
}  # fmt: skip
FILES: Final = {"backup": "test_backup_tasks.py"}
FROM_JOURNAL: Final = {"performance", "books", "review", "optimization"}


@dataclass(frozen=True)
class Report:
    """One kept report: its data, and its page."""

    data: dict[str, Any]
    page: Element
    path: Path

    def section(self, task: str) -> dict[str, Any]:
        (found,) = [run["section"] for run in self.data["runs"] if run["task"] == task]
        assert isinstance(found, dict)
        return found


@dataclass(frozen=True)
class Month:
    folder: Path
    rows: Rows
    daily: dict[str, Report]
    weekly: dict[str, Report]
    monthly: Report

    @property
    def every(self) -> list[Report]:
        return [*self.daily.values(), *self.weekly.values(), self.monthly]


@pytest.fixture(scope="session")
def seed_of_month(request: pytest.FixtureRequest) -> int:
    chosen = request.config.getoption("--seed")
    return random.SystemRandom().randrange(2**32) if chosen is None else int(chosen)


@pytest.fixture(autouse=True)
def tell_seed(seed_of_month: int) -> None:
    print(f"seed of the month: {seed_of_month} (repeat with: scripts/test --seed {seed_of_month} {__file__})")


@pytest.fixture(scope="session")
def month(tmp_path_factory: pytest.TempPathFactory, seed_of_month: int) -> Month:
    """The traded month, and the reports that the command line makes of it."""
    folder = tmp_path_factory.mktemp("month")
    simulate(folder, seed_of_month)
    (folder / "config").mkdir()
    (folder / "config" / "config.yaml").write_text(yaml.safe_dump(configuration(folder)))
    days = (*DAYS, random.Random(seed_of_month).choice(OTHER_DAYS))
    return Month(
        folder=folder,
        rows=Rows(folder / "state" / "journal.db"),
        daily={day: run_job(folder, "daily", f"{day}T22:47") for day in days},
        weekly={day: run_job(folder, "weekly", f"{day}T14:10") for day in WEEKS},
        monthly=run_job(folder, "monthly", "2026-04-04T19:10"),
    )


def run_job(folder: Path, kind: str, at: str) -> Report:
    """``trader maintenance KIND --at …``, and what it kept."""
    command = [sys.executable, "-m", "trader", "maintenance", kind, "--at", at, "--config", "config/config.yaml"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    started = datetime.fromisoformat(at).strftime("%Y%m%dT%H%M")
    (path,) = (folder / "logs" / "reports" / kind).glob(f"*_{started}*.json")
    return Report(json.loads(path.read_text()), parsed(path.with_suffix(".html").read_text()), path)


def period(report: Report) -> tuple[datetime, datetime]:
    return datetime.fromisoformat(report.data["since"]), datetime.fromisoformat(report.data["until"])


def closes(rows: Rows) -> list[datetime]:
    return [datetime.fromisoformat(row.body["closes_at"]) for row in rows.all if row.kind == "SessionOpened"]


# -- comparing a section with what is expected


def agrees(value: Any, expected: Any, unit: str) -> bool:
    if isinstance(expected, Shown):
        if expected.value is None:
            return bool(value == "—")
        return any(
            same(value, expected.value, unit) for unit in ("money", "mean", "ratio", "seconds") if fits(value, unit)
        )
    if value is None or expected is None:
        return value is None and expected is None
    if isinstance(expected, datetime):
        return datetime.fromisoformat(value) == expected
    if isinstance(expected, str):
        return bool(value == expected)
    return abs(float(Fraction(value)) - float(expected)) <= NEAR * max(1.0, abs(float(expected)))


def fits(shown: str, unit: str) -> bool:
    """Whether a text looks like one of this unit."""
    last = shown.rpartition(" ")[2]
    by_suffix = {"%": "ratio", "ms": "seconds", "s": "seconds", "min": "seconds", "h": "seconds"}
    if last in by_suffix and " " in shown:
        return by_suffix[last] == unit
    return unit == ("money" if shown[-3:-2] == "." else "mean")


def compare(section: Mapping[str, Any], expected: Expected) -> None:
    """Nothing in the section that is not expected, nothing missing, and every value near to what it should be."""
    figures = {item["label"]: item for item in section["figures"]}
    assert len(figures) == len(section["figures"]), "two figures have one name"
    assert figures.keys() == expected.figures.keys()
    for label, (value, outcome) in expected.figures.items():
        item = figures[label]
        assert agrees(item["value"], value, item["unit"]), (label, item["value"], value)
        assert item["outcome"] == outcome, (label, item, outcome)
    tables = {item["title"]: item for item in section["tables"]}
    assert tables.keys() == expected.tables.keys()
    for title, rows in expected.tables.items():
        compare_table(tables[title], rows)
    charts = {item["title"]: item for item in section["charts"]}
    assert charts.keys() == expected.charts.keys()
    for title, lines in expected.charts.items():
        assert {line["name"] for line in charts[title]["lines"]} == lines.keys()
        for line in charts[title]["lines"]:
            compare_line(line, lines[line["name"]])


def compare_table(table: Mapping[str, Any], expected: Iterable[tuple[Any, ...]]) -> None:
    rows = {str(row[0]) + str(row[-1]) * (table["title"] == "Fills without a commission"): row for row in table["rows"]}
    wanted = {key(row, table): row for row in expected}
    assert table["total"] == len(table["rows"]) == len(wanted)
    assert rows.keys() == wanted.keys(), table["title"]
    for name, row in wanted.items():
        assert len(row) == len(rows[name]) == len(table["columns"]), (table["title"], name)
        for column, value, should in zip(table["columns"], rows[name], row, strict=True):
            assert agrees(value, should, column["unit"]), (table["title"], name, column["title"], value, should)


def key(row: tuple[Any, ...], table: Mapping[str, Any]) -> str:
    first = row[0].isoformat().replace("+00:00", "Z") if isinstance(row[0], datetime) else str(row[0])
    return first + str(row[-1]) * (table["title"] == "Fills without a commission")


def compare_line(line: Mapping[str, Any], expected: list[tuple[datetime, Any]]) -> None:
    assert [datetime.fromisoformat(at) for at, _ in line["points"]] == [at for at, _ in expected], line["name"]
    for (_, value), (_, should) in zip(line["points"], expected, strict=True):
        assert agrees(value, should, ""), (line["name"], value, should)


# -- the tests


def test_the_month_has_what_can_go_wrong_in_one(month: Month) -> None:
    rows = month.rows
    kinds = {row.kind for row in rows.all}
    assert {"TradingStateChanged", "CancelIntended", "SessionValued", "ServiceStopped"} <= kinds
    assert len(rows.between(MONTH_BEGINS, MONTH_ENDS, "SessionClosed")) == 22
    assert {row.body["reason"] for row in rows.all if row.kind == "ServiceStarted"} >= {"crash", "deploy", "boot"}
    assert any(row.kind == "FillBooked" and row.body["corrects"] for row in rows.all)
    whole = recomputed.Period(rows, MONTH_BEGINS, MONTH_ENDS)
    assert set(whole.ended().values()) >= {"filled", "rejected", "unfilled"}
    assert whole.unpaid
    assert any(not recomputed.Books(rows, rows.count(close)).flat for close in closes(rows))


def test_every_figure_of_a_days_trading_is_that_of_the_journal(month: Month) -> None:
    for report in month.daily.values():
        since, until = period(report)
        compare(report.section("performance"), recomputed.performance(month.rows, since, until))


def test_every_figure_of_a_days_books_is_that_of_the_journal(month: Month) -> None:
    for day, report in month.daily.items():
        since, until = period(report)
        now = datetime.fromisoformat(report.data["started_at"])
        midnight = datetime.combine(
            datetime.fromisoformat(day).date() + timedelta(days=1), time(), ZoneInfo("America/New_York")
        )
        expected = recomputed.books(month.rows, since, now, until - SETTLE, midnight.astimezone(UTC))
        compare(report.section("books"), expected)


def test_a_days_starts_are_those_of_the_journal(month: Month) -> None:
    for report in month.daily.values():
        figures = {item["label"]: (item["value"], item["outcome"]) for item in report.section("health")["figures"]}
        for label, expected in recomputed.health(month.rows, *period(report)).items():
            assert figures[label] == expected


def test_days_follow_each_other_from_close_to_close(month: Month) -> None:
    every = closes(month.rows)
    for report in month.daily.values():
        since, until = period(report)
        place = every.index(until - SETTLE)
        assert every[place - 1] + SETTLE == since


def test_every_figure_of_a_weeks_review_is_that_of_the_journal_and_of_the_daily_reports(month: Month) -> None:
    for report in month.weekly.values():
        since, until = period(report)
        assert until - since == recomputed.WEEK
        daily = [Told(period(one)[1], verdicts(one)) for one in month.daily.values()]
        compare(report.section("review"), recomputed_longer.review(month.rows, until, daily))


def verdicts(daily: Report) -> dict[str, str]:
    (table,) = [item for item in daily.section("performance")["tables"] if item["title"].startswith("Against")]
    return {row[0]: row[3] for row in table["rows"]}


def test_every_figure_of_where_a_months_time_went_is_that_of_the_journal(month: Month) -> None:
    assert period(month.monthly) == (MONTH_BEGINS, MONTH_ENDS)
    expected = recomputed_longer.optimization(month.rows, MONTH_BEGINS, MONTH_ENDS)
    compare(month.monthly.section("optimization"), expected)
    for title, rows in expected.tables.items():
        (table,) = [one for one in month.monthly.section("optimization")["tables"] if one["title"] == title]
        assert [row[0] for row in table["rows"]] == [row[0] for row in rows], "in this order"


def test_a_figure_that_nothing_computes_again_fails_this_test(month: Month) -> None:
    """What is of the journal is compared as a whole above; what is of the host names its test."""
    for report in month.every:
        for run in report.data["runs"]:
            task, section = run["task"], run["section"]
            if task in FROM_JOURNAL:
                continue
            names = [item["label"] for item in section["figures"]]
            names += [item["title"] for item in (*section["tables"], *section["charts"])]
            for name in names:
                computed_elsewhere(task, name)


def computed_elsewhere(task: str, name: str) -> None:
    """That a unit test is named for it, and looks at it. The name of a disk follows what is said of it."""
    texts = [text for start, text in ELSEWHERE[task].items() if name == start or name.startswith(f"{start} /")]
    assert texts, f"nothing is known to compute {name!r} of {task} again: do it, and name it in ELSEWHERE"
    source = UNIT_TESTS / FILES.get(task, f"test_{task}.py")
    assert texts[0] in source.read_text(), f"nothing computes {name!r} of {task} again in {source}"


def test_a_page_shows_what_the_data_says(month: Month) -> None:
    for report in month.every:
        sections = {item.attributes["id"]: item for item in report.page.every("section") if "id" in item.attributes}
        assert list(sections) == [run["task"] for run in report.data["runs"]]
        for run in report.data["runs"]:
            shows(sections[run["task"]], run["section"])


def shows(element: Element, section: Mapping[str, Any]) -> None:
    assert section["sentence"] in element.text
    assert section["title"] in element.every("h2")[0].text
    for text in (*section["notes"], *section["missing"], section["mend"]):
        assert text in element.text
    figures = [cells(table) for table in element.every("table", "figures")]
    for item, row in zip(section["figures"], figures[0] if figures else (), strict=True):
        assert row[0].text == item["label"]
        assert same(row[1].text, item["value"], item["unit"], item["currency"]), (row[1].text, item)
        assert row[2].text == item["bound"]
        pill = "not known" if item["outcome"] == "unknown" else item["outcome"]
        assert row[3].text in (pill, "not known" if item["value"] is None else pill, "")
    filled = [item for item in section["tables"] if item["rows"]]
    for item, table in zip(filled, element.every("table", "sortable"), strict=True):
        shows_table(table, item)
    assert [item["title"] for item in (*section["charts"], *section["tables"])] == [
        heading.text for heading in element.every("h3")
    ]


def shows_table(table: Element, item: Mapping[str, Any]) -> None:
    assert [head.text for head in table.every("th")] == [column["title"] for column in item["columns"]]
    for row, shown in zip(item["rows"], cells(table), strict=True):
        for value, column, cell in zip(row, item["columns"], shown, strict=True):
            assert same(cell.text, value, column["unit"]), (item["title"], cell.text, value)
            sorts_by = cell.attributes.get("data-key")
            if value is None or column["unit"] == "text":
                continue
            number = datetime.fromisoformat(value).timestamp() if column["unit"] == "moment" else float(Fraction(value))
            assert float(sorts_by or "nan") == number, (item["title"], column["title"])


def test_a_chart_draws_the_points_of_the_data(month: Month) -> None:
    count = 0
    for report in month.every:
        figures = drawn(report.page)
        for run in report.data["runs"]:
            for index, chart in enumerate(run["section"]["charts"]):
                traces = {trace["name"]: trace for trace in figures[f"chart-{run['task']}-{index}"]["data"]}
                assert traces.keys() - {"bound"} == {line["name"] for line in chart["lines"]}
                for line in chart["lines"]:
                    trace = traces[line["name"]]
                    assert trace["y"] == [value for _, value in line["points"]]
                    moments = [datetime.fromisoformat(at).replace(tzinfo=None) for at, _ in line["points"]]
                    assert all(
                        abs(datetime.fromisoformat(x) - at) < timedelta(milliseconds=1)
                        for x, at in zip(trace["x"], moments, strict=True)
                    )
                    count += len(moments)
    assert count > 100


def test_the_verdict_is_the_worst_of_the_tasks_and_comes_first(month: Month) -> None:
    order = ("ok", "unknown", "warning", "failed")
    for report in month.every:
        worst = max((run["section"]["outcome"] for run in report.data["runs"]), key=order.index)
        assert report.data["outcome"] == worst
        (banner,) = report.page.every("p", "banner")
        assert banner.has(worst)
        (main,) = report.page.every("main")
        assert main.text.index(banner.text) < min(main.text.index(table.text) for table in main.every("table"))


@pytest.fixture(scope="session")
def backups(month: Month) -> tuple[list[Section], list[Section]]:
    """What the daily job says of three backups that it makes, and then the monthly job of them."""
    folder = month.folder.parent / f"{month.folder.name}-backups"
    (folder / "scratch").mkdir(parents=True)
    clock = ManualClock(MONTH_ENDS)
    base = months.context_of(folder, kind=Kind.DAILY, now=MONTH_ENDS)
    config = month.folder / "config" / "config.yaml"
    context = replace(base, settings=load_settings(config), config_file=config, clock=clock)
    made = []
    for _ in range(3):
        made.append(backup_task.run(context))
        clock.advance(timedelta(days=1))
    return made, [backup_verification.run(context) for _ in range(2)]


def test_every_figure_of_a_backup_is_that_of_the_journal_and_of_the_file(month: Month, backups: Backups) -> None:
    folder = month.folder.parent / f"{month.folder.name}-backups" / "backups"
    files = sorted(folder.glob("*.tar.gz"))
    fills = sum(row.kind == "FillBooked" for row in month.rows.all)
    for number, section in enumerate(backups[0], start=1):
        file = files[number - 1]
        compare(
            as_data(section),
            Expected(
                figures={
                    "Backup": (file.name, "ok"), "Size": (file.stat().st_size, "ok"), "Made and verified in": (0, "ok"),
                    "Facts": (len(month.rows.all), "ok"), "Fills": (fills, "ok"), "Backups kept": (number, "ok"),
                },
                tables={"Backups": [(f.name, made_at(f), f.stat().st_size, "there") for f in files[:number]]},
            ),
        )  # fmt: skip


def test_every_figure_of_a_verified_backup_is_that_of_the_journal(month: Month, backups: Backups) -> None:
    files = sorted((month.folder.parent / f"{month.folder.name}-backups" / "backups").glob("*.tar.gz"), reverse=True)
    fills = sum(row.kind == "FillBooked" for row in month.rows.all)
    books = recomputed.Books(month.rows, len(month.rows.all))
    held = sum(bool(books.position(symbol)) for symbol in books.currency)
    for section in backups[1]:
        data = as_data(section)
        (seed,) = [item["value"] for item in data["figures"] if item["label"] == "Seed of the choice"]
        tried = (files[0], random.Random(int(seed)).choice(files[1:]))
        found = "whole; its books are those of the live journal at the same fact"
        compare(
            data,
            Expected(
                figures={
                    "Backups there": (len(files), "ok"), "Restored and compared": (2, "ok"),
                    "Seed of the choice": (seed, "ok"),
                },
                tables={
                    "Restored": [(f.name, made_at(f), len(month.rows.all), fills, held, 0, found) for f in tried]
                },
            ),
        )  # fmt: skip


def made_at(file: Path) -> datetime:
    return datetime.strptime(file.name.partition("-")[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


def as_data(section: Section) -> dict[str, Any]:
    """The section as it lies in a report's JSON."""
    encoded = msgspec.json.Encoder(decimal_format="string").encode(section)
    data = json.loads(encoded)
    assert isinstance(data, dict)
    return data


def test_looking_back_writes_reports_and_nothing_else(month: Month) -> None:
    written = {path.relative_to(month.folder).parts[0] for path in month.folder.rglob("*") if path.is_file()}
    assert written == {"config", "logs", "state"}
    assert not os.path.lexists(month.folder / "backups")
    index = parsed((month.folder / "logs" / "reports" / "index.html").read_text())
    links = [link.attributes["href"] for link in index.every("a")]
    assert {str(one.path.with_suffix(".html").relative_to(month.folder / "logs/reports")) for one in month.every} <= {
        *links
    }
