"""The success metrics as the recording rules tell them."""

from collections.abc import Mapping

from trader.slo_report import METRICS, TraderReport, Verdict, exhaustion_text, reports

OBJECTIVES = {
    "availability": 0.999, "error_rate": 0.999, "decision_latency": 0.99, "order_latency": 0.99, "fill_rate": 0.9
}  # fmt: skip
Sample = tuple[Mapping[str, str], float]


def sample(name: str, slo: str, value: float, **labels: str) -> Sample:
    return {"__name__": name, "slo": slo, "job": "trader", "instance": "a", **labels}, value


def objectives() -> list[Sample]:
    return [({"__name__": "slo:objective_ratio", "slo": slo}, value) for slo, value in OBJECTIVES.items()]


def expected(instance: str) -> Sample:
    return {"__name__": "trader:expected", "job": "trader", "instance": instance}, 1


def report(*samples: Sample) -> TraderReport:
    (found,) = reports([*objectives(), expected("a"), *samples])
    return found


def test_an_objective_that_is_met_shows_its_budget_and_how_long_it_lasts() -> None:
    found = report(
        sample("slo:met", "availability", 1),
        sample("slo:error_ratio:30d", "availability", 0.0005),
        sample("slo:bad:30d", "availability", 246),
        sample("slo:budget_remaining_ratio", "availability", 0.5),
        sample("slo:budget_exhaustion_seconds", "availability", 7200),
    )
    row = found.rows[0]
    assert (row.target, row.now) == ("≥ 99.9 %", "99.950 %, 4.1 min bad in 30 days")
    assert row.verdict is Verdict.MET
    assert exhaustion_text(row) == "2.0 h in session"
    assert not found.broken


def test_what_no_rule_tells_is_unmeasured_and_not_broken() -> None:
    found = report(sample("slo:coverage_ratio", "availability", 0.2))
    assert [row.slo for row in found.rows] == [metric.slo for metric in METRICS]
    assert {row.verdict for row in found.rows} == {Verdict.UNMEASURED}
    assert {row.now for row in found.rows} == {"not measured"}
    assert not found.broken


def test_a_broken_objective_breaks_the_report() -> None:
    found = report(
        sample("slo:met", "fill_rate", 0),
        sample("slo:bad:30d", "fill_rate", 30),
        sample("slo:total:30d", "fill_rate", 100),
        sample("slo:budget_remaining_ratio", "fill_rate", -2.0),
    )
    (row,) = [row for row in found.rows if row.slo == "fill_rate"]
    assert (row.target, row.now, row.verdict) == ("> 90 %", "70.0 % of 100 orders", Verdict.BROKEN)
    assert exhaustion_text(row) == "gone"
    assert found.broken


def test_counts_resources_and_money_are_told_by_their_own_instruments() -> None:
    found = report(
        sample("slo:met", "restarts", 0),
        sample("slo:bad:1d", "restarts", 2),
        sample("slo:met", "resources", 1),
        sample("slo:resource_ratio", "resources", 0.3, resource="cpu"),
        sample("slo:resource_ratio", "resources", 0.5, resource="memory"),
        sample("slo:met", "net_pnl", 1),
        sample("slo:net_pnl_base:28d", "net_pnl", 1234.5, currency="USD"),
    )
    told = {row.slo: row.now for row in found.rows}
    assert told["restarts"] == "2 unplanned in 24 hours"
    assert told["resources"] == "50.0 % of memory, the highest"
    assert told["net_pnl"] == "+1,234.50 USD in 28 days"


def test_little_coverage_is_said() -> None:
    found = report(
        sample("slo:met", "error_rate", 1),
        sample("slo:bad:30d", "error_rate", 1),
        sample("slo:total:30d", "error_rate", 4000),
        sample("slo:coverage_ratio", "error_rate", 0.25),
    )
    (row,) = [row for row in found.rows if row.slo == "error_rate"]
    assert row.now == "0.025 %, 1 of 4,000 (only 25 % of session time was measured)"


def test_every_trader_has_a_report_of_its_own_and_nobody_else() -> None:
    told = [sample("slo:met", "restarts", 1), sample("slo:met", "restarts", 0, instance="b")]
    told.append(sample("slo:bad:1d", "restarts", 2, instance="b"))
    other = sample("slo:met", "resources", 0, job="prometheus")
    found = reports([*objectives(), expected("a"), expected("b"), *told, other])
    assert [item.instance for item in found] == ["a", "b"]
    assert [item.broken for item in found] == [False, True]
