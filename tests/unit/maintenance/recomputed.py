"""The figures of maintenance reports computed a second time, from the journal's rows and by other means.

Rules: the rows come by SQL and are decoded to plain dictionaries; no folding, ledger, quantile or formatting of the
product is used. Amounts are fractions, so that nothing is rounded on the way. What is expected of a section is all of
it: a figure, table or chart that is not expected here is an error of the comparison.
"""

import sqlite3
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import msgspec

FINAL: Final = {"filled", "cancelled", "rejected", "not_sent", "vanished"}
WORDS: Final = {"acknowledged", "partly_filled", "fully_filled", "rejected", "cancelled"}
SEEN: Final = {"acknowledged", "found_open", "partly_filled", "fully_filled"}
OURS: Final = {"halt", "panic", "shutdown", "duplicate"}
UNPLANNED: Final = {"crash", "watchdog", "oom"}
NOT_MEASURED: Final = ("not measured yet", "unknown")
WEEK: Final = timedelta(days=7)


@dataclass
class Expected:
    """A section's figures, tables and charts. A figure is its value and its outcome; a table its rows, any order."""

    figures: dict[str, tuple[Any, str]] = field(default_factory=dict)
    tables: dict[str, list[tuple[Any, ...]]] = field(default_factory=dict)
    charts: dict[str, dict[str, list[tuple[datetime, Any]]]] = field(default_factory=dict)


@dataclass(frozen=True)
class Row:
    kind: str
    at: datetime
    body: dict[str, Any]


class Rows:
    """All rows of a journal's file, in order."""

    def __init__(self, path: Path) -> None:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as connection:
            found = connection.execute("SELECT kind, at, body FROM facts ORDER BY seq").fetchall()
        self.all = [Row(kind, datetime.fromisoformat(at), msgspec.json.decode(body)) for kind, at, body in found]
        self.times = [row.at for row in self.all]
        assert self.times == sorted(self.times)

    def count(self, until: datetime) -> int:
        """How many rows are before a moment."""
        return bisect_left(self.times, until)

    def between(self, since: datetime, until: datetime, *kinds: str) -> list[Row]:
        return [row for row in self.all[self.count(since) : self.count(until)] if not kinds or row.kind in kinds]


def execution(exec_id: str) -> str:
    """Without the number of its correction."""
    return exec_id[: exec_id.rindex(".")]


def sign(line: Mapping[str, Any]) -> int:
    return {"BUY": 1, "SELL": -1}[line["side"]]


class Books:
    """What the first ``count`` rows come to: the latest version of every execution and commission."""

    def __init__(self, rows: Rows, count: int) -> None:
        self.lines: dict[str, dict[str, Any]] = {}
        self.charges: dict[str, Fraction] = {}
        self.currency: dict[str, str] = {}
        for row in rows.all[:count]:
            if row.kind == "FillBooked":
                self.lines[execution(row.body["line"]["exec_id"])] = row.body["line"]
                self.currency[row.body["line"]["instrument"]["symbol"]] = row.body["line"]["instrument"]["currency"]
            elif row.kind == "CommissionBooked":
                self.charges[execution(row.body["line"]["exec_id"])] = Fraction(row.body["line"]["amount"])

    @cached_property
    def trades(self) -> dict[str, list[tuple[Fraction, Fraction, Fraction]]]:
        """Signed size, price and multiplier of every execution, by symbol."""
        trades: dict[str, list[tuple[Fraction, Fraction, Fraction]]] = {symbol: [] for symbol in self.currency}
        for line in self.lines.values():
            size, multiplier = sign(line) * Fraction(line["quantity"]), Fraction(line["instrument"]["multiplier"])
            trades[line["instrument"]["symbol"]].append((size, Fraction(line["price"]), multiplier))
        return trades

    def position(self, symbol: str) -> Fraction:
        return sum((size for size, _, _ in self.trades[symbol]), Fraction())

    @property
    def flat(self) -> bool:
        return not any(self.position(symbol) for symbol in self.currency)

    def realized(self, symbol: str = "") -> Fraction:
        """By average cost: what was taken in on closing trades above what those units had cost on average."""
        symbols = [symbol] if symbol else list(self.currency)
        return sum((self._realized(one) for one in symbols), Fraction())

    def _realized(self, symbol: str) -> Fraction:
        held, average, total = Fraction(), Fraction(), Fraction()
        for size, price, multiplier in self.trades.get(symbol, ()):
            closed = min(abs(size), abs(held)) if held * size < 0 else Fraction()
            total += closed * (price - average) * (1 if held > 0 else -1) * multiplier
            opened = abs(size) - closed
            if opened:
                before = abs(held) - closed
                average = (average * before + price * opened) / (before + opened)
            held += size
        return total

    def charged(self, symbol: str = "") -> Fraction:
        known = {key: line["instrument"]["symbol"] for key, line in self.lines.items()}
        return sum((paid for key, paid in self.charges.items() if symbol in ("", known.get(key))), Fraction())


class Period:
    """A time in the journal, and what happened in it."""

    def __init__(self, rows: Rows, since: datetime, until: datetime) -> None:
        self.rows, self.since, self.until = rows, since, until
        self.before, self.after = Books(rows, rows.count(since)), Books(rows, rows.count(until))
        self.prices = {
            row.body["order_ref"]: row.body["approved"]["intent"]["reference_price"]
            for row in rows.all[: rows.count(until)]
            if row.kind == "OrderIntended"
        }

    def of(self, *kinds: str) -> list[Row]:
        return self.rows.between(self.since, self.until, *kinds)

    # -- counts

    @cached_property
    def lines(self) -> dict[str, dict[str, Any]]:
        """The executions of the period, by their latest version."""
        return {execution(row.body["line"]["exec_id"]): row.body["line"] for row in self.of("FillBooked")}

    @cached_property
    def unpaid(self) -> dict[str, dict[str, Any]]:
        return {key: line for key, line in self.lines.items() if key not in self.after.charges}

    @cached_property
    def starts(self) -> list[str]:
        return [row.body["reason"] for row in self.of("ServiceStarted")]

    @cached_property
    def unplanned(self) -> int:
        return sum(reason in UNPLANNED for reason in self.starts)

    def symbols(self, kind: str) -> Counter[str]:
        if kind == "SignalChanged":
            return Counter(row.body["symbol"] for row in self.of(kind))
        return Counter(row.body["approved"]["intent"]["terms"]["symbol"] for row in self.of(kind))

    # -- orders

    def ended(self) -> dict[str, str]:
        """How each order ended that did so in the period, and is not alive at its end."""
        ended = {
            row.body["order_ref"]
            for row in self.of("OrderStateChanged")
            if row.body["new"] in FINAL and row.body["old"] not in FINAL
        }
        return {ref: outcome for ref in ended if (outcome := self._outcome(ref))}

    def about(self, ref: str) -> list[Row]:
        return self._by_order.get(ref, [])

    @cached_property
    def _by_order(self) -> dict[str, list[Row]]:
        orders: dict[str, list[Row]] = defaultdict(list)
        for row in self.rows.all[: self.rows.count(self.until)]:
            if "order_ref" in row.body:
                orders[row.body["order_ref"]].append(row)
        return orders

    def _outcome(self, ref: str) -> str:
        about = self.about(ref)
        state = [row.body["new"] for row in about if row.kind == "OrderStateChanged"][-1]
        wanted = Fraction(about[0].body["approved"]["intent"]["terms"]["quantity"])
        executed = {
            execution(row.body["line"]["exec_id"]): Fraction(row.body["line"]["quantity"])
            for row in about
            if row.kind == "FillBooked"
        }
        filled = sum(executed.values(), Fraction())
        if state not in FINAL:
            return ""
        if filled >= wanted:
            return "filled"
        if state == "rejected":
            return "rejected"
        if state in ("not_sent", "vanished"):
            return "error"
        return "partial" if filled else "cancelled by us" if self._reason(ref) in OURS else "unfilled"

    def _reason(self, ref: str) -> str:
        reasons = [row.body["reason"] for row in self.about(ref) if row.kind == "CancelIntended"]
        return reasons[-1] if reasons else ""

    def fill_rate(self) -> tuple[int, int]:
        """Filled ones, of all that reached the broker and were not called off by us."""
        filled = eligible = 0
        for ref, outcome in self.ended().items():
            changes = [row.body for row in self.about(ref) if row.kind == "OrderStateChanged"]
            reached = changes[-1]["new"] in ("rejected", "cancelled") or any(c["trigger"] in SEEN for c in changes)
            if reached and self._reason(ref) not in OURS:
                eligible += 1
                filled += outcome == "filled"
        return filled, eligible

    def waits(self) -> list[float]:
        """From each sending to the broker's first word, unless the link was lost between them."""
        found = []
        sent: dict[str, datetime] = {}
        for row in self.of("OrderStateChanged"):
            ref, what = row.body["order_ref"], row.body["trigger"]
            if what == "sent":
                sent[ref] = row.at
            elif what == "link_lost":
                sent.pop(ref, None)
            elif what in WORDS and ref in sent:
                found.append((row.at - sent.pop(ref)).total_seconds())
        return found

    def fill_waits(self) -> list[float]:
        bodies = [row.body for row in self.of("FillBooked") if row.body["corrects"] is None]
        return [body["fill_duration_s"] for body in bodies if body["fill_duration_s"] is not None]

    def slippage(self, symbol: str = "") -> tuple[float | None, float | None]:
        """What was paid above the prices decided on, over those: of all value together, and the worst."""
        refs = {execution(row.body["line"]["exec_id"]): row.body["order_ref"] for row in self.of("FillBooked")}
        paid, value, ratios = 0.0, 0.0, []
        for key, line in self.lines.items():
            decided = self.prices.get(refs[key])
            if symbol not in ("", line["instrument"]["symbol"]) or not decided:
                continue
            above = (float(line["price"]) - decided) * sign(line)
            units = float(line["quantity"]) * float(line["instrument"]["multiplier"])
            paid, value, ratios = paid + above * units, value + decided * units, [*ratios, above / decided]
        return (paid / value if value else None), max(ratios, default=None)

    # -- money

    @cached_property
    def realized(self) -> Fraction:
        return self.after.realized() - self.before.realized()

    @cached_property
    def charged(self) -> Fraction:
        return self.after.charged() - self.before.charged()

    @cached_property
    def unrealized(self) -> Fraction | None:
        """Nothing of what began and ended flat; else what the sessions told as they closed."""
        if self.before.flat and self.after.flat:
            return Fraction()
        told = [row.body["unrealized"] for row in self.of("SessionClosed")]
        return None if not told or None in told else sum((Fraction(amount) for amount in told), Fraction())

    @cached_property
    def gross(self) -> Fraction | None:
        return None if self.unrealized is None else self.realized + self.unrealized

    @cached_property
    def costs(self) -> Fraction | None:
        return None if self.unpaid else -self.charged

    @cached_property
    def net(self) -> Fraction | None:
        return None if self.gross is None or self.costs is None else self.gross + self.costs

    # -- judgements

    def latency(self) -> str:
        waits = self.waits()
        if not waits:
            return "unknown"
        return "ok" if sum(wait <= 2.0 for wait in waits) / len(waits) >= 0.99 else "broken"

    def against_metrics(self) -> list[tuple[Any, ...]]:
        """The success metrics without a Prometheus."""
        filled, eligible = self.fill_rate()
        waits, net = self.waits(), self.net
        p99 = rank(waits, 99)
        latency = (
            (f"{brief(p99)} over {many(len(waits), 'order')}", self.latency()) if p99 is not None else NOT_MEASURED
        )
        rate = (
            (f"{100 * filled / eligible:.1f} % ({filled} of {many(eligible, 'order')})", kept(filled / eligible > 0.9))
            if eligible
            else NOT_MEASURED
        )
        money = NOT_MEASURED
        if net is not None and (net or self.lines):
            money = (f"{Decimal(net.numerator) / net.denominator:+,.2f} USD", kept(net > 0))
        return [
            ("availability", "≥ 99.9 %", *NOT_MEASURED),
            ("restarts today", "< 1", f"{self.unplanned} unplanned of {many(len(self.starts), 'start')}",
             kept(not self.unplanned)),
            ("error rate", "< 0.1 %", *NOT_MEASURED),
            ("decision latency p99", "< 350 ms", *NOT_MEASURED),
            ("order latency p99", "< 2 s", *latency),
            ("fill rate", "> 90 %", *rate),
            ("net P&L after costs", "> 0", *money),
        ]  # fmt: skip


def rank(values: Sequence[float], percent: int) -> float | None:
    """The nearest rank, counted in whole numbers."""
    return sorted(values)[max(-(-percent * len(values) // 100), 1) - 1] if values else None


def many(number: int, noun: str) -> str:
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def kept(good: bool) -> str:
    return "ok" if good else "broken"


def brief(seconds: float) -> str:
    if seconds < 0.001:
        return f"{seconds * 1e6:.0f} µs"
    return f"{seconds * 1e3:.3g} ms" if seconds < 1 else f"{seconds:.2f} s"


JUDGED: Final = {"ok": "ok", "broken": "warning", "unknown": "unknown"}


# -- the sections


def health(rows: Rows, since: datetime, until: datetime) -> dict[str, tuple[Any, str]]:
    """What the section of the units has from the journal."""
    period = Period(rows, since, until)
    return {
        "Starts": (len(period.starts), "ok"),
        "Unplanned starts": (period.unplanned, "warning" if period.unplanned else "ok"),
    }


def performance(rows: Rows, since: datetime, until: datetime) -> Expected:
    period = Period(rows, since, until)
    verdicts = {name: JUDGED[verdict] for name, _, _, verdict in period.against_metrics()}
    filled, eligible = period.fill_rate()
    waits, fill_waits, (mean, worst) = period.waits(), period.fill_waits(), period.slippage()
    missing = len(period.unpaid)
    net = "unknown" if period.net is None or not period.lines else verdicts["net P&L after costs"]
    return Expected(
        figures={
            "Signals": (len(period.of("SignalChanged")), "ok"),
            "Orders sent": (len(period.of("OrderIntended")), "ok"),
            "Fills": (len(period.lines), "ok"),
            "Fill rate": (filled / eligible if eligible else None, verdicts["fill rate"]),
            "Order latency p99": (rank(waits, 99), verdicts["order latency p99"]),
            "Order latency p50": (rank(waits, 50), "ok"),
            "Time to a fill p50": (rank(fill_waits, 50), "ok"),
            "Time to a fill p95": (rank(fill_waits, 95), "ok"),
            "Slippage, mean by value": (mean, "ok"),
            "Slippage, worst fill": (worst, "ok"),
            "Realized": (period.realized, "ok"),
            "Unrealized": (period.unrealized, "ok"),
            "Gross": (period.gross, "ok"),
            "Costs": (period.costs, "ok"),
            "Net": (period.net, net),
            "Commissions missing": (missing, "warning" if missing else "ok"),
        },
        tables={
            "Against the success metrics": period.against_metrics(),
            "By symbol": list(_by_symbol(period)),
            "How orders ended": list(Counter(period.ended().values()).items()),
        },
        charts={"Net P&L after costs since the period began": _curve(period)} if period.lines else {},
    )


def _by_symbol(period: Period) -> Iterator[tuple[Any, ...]]:
    signals, orders = period.symbols("SignalChanged"), period.symbols("OrderIntended")
    for symbol, currency in sorted(period.after.currency.items()):
        lines = [line for line in period.lines.values() if line["instrument"]["symbol"] == symbol]
        realized = period.after.realized(symbol) - period.before.realized(symbol)
        unpaid = any(line["instrument"]["symbol"] == symbol for line in period.unpaid.values())
        costs = None if unpaid else period.before.charged(symbol) - period.after.charged(symbol)
        position = period.after.position(symbol)
        if not (lines or signals[symbol] or orders[symbol] or position):
            continue
        yield (
            symbol, currency, signals[symbol], orders[symbol], len(lines),
            sum((Fraction(line["quantity"]) for line in lines), Fraction()),
            sum((Fraction(line["quantity"]) * Fraction(line["price"]) for line in lines), Fraction()),
            realized, costs, None if costs is None else realized + costs, period.slippage(symbol)[0], position,
        )  # fmt: skip


def _curve(period: Period) -> dict[str, list[tuple[datetime, Any]]]:
    """Net at the last fill or commission of each minute, from zero at the opening."""
    first = period.rows.count(period.since)
    last = {
        int(row.at.timestamp()) // 60: (row.at, first + place + 1)
        for place, row in enumerate(period.of())
        if row.kind in ("FillBooked", "CommissionBooked")
    }
    zero = period.before.realized() - period.before.charged()
    points: list[tuple[datetime, Any]] = []
    for at, count in last.values():
        books = Books(period.rows, count)
        points.append((at, books.realized() - books.charged() - zero))
    opened = [datetime.fromisoformat(row.body["opened_at"]) for row in period.of("SessionOpened")]
    if opened and opened[0] < points[0][0]:
        points.insert(0, (opened[0], 0))
    return {f"realized, after {'reported ' if period.unpaid else ''}costs (USD)": points}


def books(rows: Rows, since: datetime, now: datetime, closed_at: datetime, midnight: datetime) -> Expected:
    """The books from the period's begin until ``now``; ``midnight`` is the end of the broker's day."""
    period = Period(rows, since, now)
    compared = period.of("ReconciliationFinished")
    clean = [row for row in compared if row.body["clean"]]
    missing, last = period.unpaid, compared[-1]
    assert last.body["clean"], "this month's books agree whenever a job looks"
    complete = next(row.at for row in clean if closed_at <= row.at < midnight)
    tables: dict[str, list[tuple[Any, ...]]] = {
        "Comparisons": [
            ("positions", "ok", f"agreed at {second(last.at)}"),
            ("executions of the day", "ok", f"complete: compared at {second(complete)}"),
            ("commissions", "warning", f"not reported for {many(len(missing), 'fill')} of {len(period.lines):,}")
            if missing
            else ("commissions", "ok", f"reported for all of {many(len(period.lines), 'fill')}"),
            ("orders", "ok", "none is unknown"),
        ],
        "Positions": [
            (row[0], row[1], row[-1], None, row[-1])
            for row in _by_symbol(period)
        ],
    }  # fmt: skip
    if missing:
        tables["Fills without a commission"] = [
            (
                datetime.fromisoformat(line["executed_at"]), line["instrument"]["symbol"], Fraction(line["quantity"]),
                line["exec_id"],
            )
            for line in missing.values()
        ]  # fmt: skip
    return Expected(
        figures={
            "Comparisons with the broker": (len(compared), "ok"),
            "of them clean": (len(clean), "ok"),
            "Last clean": (clean[-1].at, "ok"),
            "Fills since the period began": (len(period.lines), "ok"),
            "Commissions missing": (len(missing), "warning" if missing else "ok"),
            "Realized, gross": (period.realized, "ok"),
            "Commissions reported": (-period.charged, "ok"),
        },
        tables=tables,
    )


def second(at: datetime) -> str:
    return at.astimezone(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
