"""Objectives to alerts: what pages, what becomes a ticket, and what each says.

Rules: an alert says what broke, how much budget is left and how long that lasts, and the first command to type. Its
name is that of its runbook. Thresholds are written out as numbers, so that a rule can be read without this file.
"""

from collections.abc import Iterator

from observability.promql import Alert, RuleGroup, number, session_open, target_labels
from observability.slo import (
    Budgeted,
    Burn,
    BurnPair,
    Events,
    FewEvents,
    FewLatency,
    Holding,
    Latency,
    Pnl,
    Spec,
    TimeSlices,
)
from observability.slo_gates import error_ratio_at

BURN_FAST, BURN_SLOW = "SLOBurnFast", "SLOBurnSlow"
EXHAUSTED, UNMEASURED, NET_PNL_NEGATIVE = "SLOBudgetExhausted", "SLOUnmeasured", "NetPnLNegative"
FIRST_COMMAND = "trader slo"


def alerting_group(spec: Spec) -> RuleGroup:
    """All generated alerts."""
    return RuleGroup("slo_alerts", spec.evaluation_interval, [*_alerts(spec)])


def alert_names(spec: Spec) -> tuple[str, ...]:
    """The names of the generated alerts, each once."""
    return tuple(dict.fromkeys(alert.name for alert in _alerts(spec)))


def _alerts(spec: Spec) -> Iterator[Alert]:
    for alert, burn in ((BURN_FAST, spec.burn.fast), (BURN_SLOW, spec.burn.slow)):
        for name, slo in spec.budgeted().items():
            for pair in burn.pairs:
                yield _burn(spec, alert, burn, pair, name, slo)
    for name, slo in spec.budgeted().items():
        yield _exhausted(spec, name, slo)
    for name, few in spec.few().items():
        for window in few.windows:
            yield _few(spec, name, few, window)
    yield _unmeasured(spec)
    yield _unknown_session(spec)
    for name, any_slo in spec.slos.items():
        if isinstance(any_slo, Pnl):
            yield _net_pnl(spec, name, any_slo)


def _burn(spec: Spec, alert: str, burn: Burn, pair: BurnPair, name: str, slo: Budgeted) -> Alert:
    limit = error_ratio_at(pair.factor, slo.objective)
    conditions = [f'slo:error_ratio:{window}{{slo="{name}"}} > {limit:f}' for window in (pair.long, pair.short)]
    if isinstance(slo, Events | Latency):
        conditions.append(f'slo:bad:{pair.long}{{slo="{name}"}} >= {slo.min_bad}')
    if burn.session_only:
        conditions.append(f"on () ({session_open(spec)} == 1)")
    return _alert(
        spec,
        alert,
        "\nand ".join(conditions),
        burn,
        {"severity": burn.severity, "slo": name, "window": str(pair.long)},
        f"{slo.title} of {{{{ $labels.instance }}}} burns its error budget more than {pair.factor:g} times too fast",
        f"{{{{ $value | humanizePercentage }}}} of {_unit(slo)} were bad in the last {pair.long} (limit "
        f"{_percent(float(limit))}), and still are in the last {pair.short}. {budget_text(spec)}",
    )


def _exhausted(spec: Spec, name: str, slo: Budgeted) -> Alert:
    conditions = [f'slo:budget_remaining_ratio{{slo="{name}"}} <= 0']
    if isinstance(slo, Events | Latency):
        conditions.append(f'slo:total:{spec.budget.window}{{slo="{name}"}} >= {spec.budget.min_events}')
        conditions.append(f'slo:bad:{spec.budget.window}{{slo="{name}"}} >= {slo.min_bad}')
    return _alert(
        spec,
        EXHAUSTED,
        "\nand ".join(conditions),
        spec.budget.exhausted,
        {"severity": "ticket", "policy": "true", "slo": name},
        f"{slo.title} of {{{{ $labels.instance }}}} has spent the error budget of {spec.budget.window}",
        f"Budget left: {{{{ $value | humanizePercentage }}}} of {_percent(1 - slo.objective)} of {_unit(slo)}. The "
        "policy allows no new entries until the budget recovers or an operator overrides it; exits are allowed.",
    )


def _few(spec: Spec, name: str, few: FewEvents | FewLatency, window: str) -> Alert:
    conditions = [
        f'slo:good_ratio_upper:{window}{{slo="{name}"}} < {number(few.objective)}',
        f'slo:total:{window}{{slo="{name}"}} >= {few.min_events}',
    ]
    if few.min_bad > 1:
        conditions.append(f'slo:bad:{window}{{slo="{name}"}} >= {few.min_bad}')
    return _alert(
        spec,
        few.alert,
        "\nand ".join(conditions),
        few,
        {"severity": few.severity, "slo": name, "window": str(window)},
        f"{few.title} of {{{{ $labels.instance }}}} is broken in the last {window}, and not by bad luck",
        f"Of {_queried(f'slo:total:{window}', '%.0f')} orders {_queried(f'slo:bad:{window}', '%.0f')} were bad; even "
        f"the upper bound of what that says (z = {number(few.z)}), {{{{ $value | humanizePercentage }}}} good, is "
        f"below the objective of {_percent(few.objective)}. {_budget_left()}",
    )


def _unmeasured(spec: Spec) -> Alert:
    cover = spec.coverage
    return _alert(
        spec,
        UNMEASURED,
        f"slo:coverage_ratio:{cover.window} < {number(cover.min_ratio)}\n"
        f"and on ({target_labels(spec)}) slo:session_seconds:{cover.window} > {cover.min_session.seconds}",
        cover,
        {"severity": "ticket"},
        "{{ $labels.slo }} of {{ $labels.instance }} is not measured",
        f"Measured in {{{{ $value | humanizePercentage }}}} of the session time of the last {cover.window} (at least "
        f"{_percent(cover.min_ratio)} is needed). Its alerts cannot be trusted. {_budget_left()}",
    )


def _unknown_session(spec: Spec) -> Alert:
    return _alert(
        spec,
        UNMEASURED,
        f"absent({session_open(spec).removeprefix('max(').removesuffix(')')})",
        spec.coverage,
        {"severity": "ticket", "slo": "all"},
        "It is not known when the market is open, so nothing is measured",
        "No calendar is published: `trader calendar textfile` does not run, or node_exporter does not read its file. "
        "Alerts that hold for the session only are silent.",
        first_command="systemctl status ibkr-calendar.timer",
    )


def _net_pnl(spec: Spec, name: str, slo: Pnl) -> Alert:
    return _alert(
        spec,
        NET_PNL_NEGATIVE,
        f'slo:net_pnl_base:{slo.window}{{slo="{name}"}} <= 0\n'
        f'and ignoring (currency) slo:fills:{slo.window}{{slo="{name}"}} >= {slo.min_fills}',
        slo,
        {"severity": "ticket", "policy": "true", "slo": name},
        f"{{{{ $labels.instance }}}} has earned nothing after costs in {slo.sessions} sessions",
        f'Net of commissions and fees: {{{{ $value | printf "%.2f" }}}} {{{{ $labels.currency }}}} in {slo.window}. '
        "The policy allows no new entries until it is positive or an operator overrides it; exits are allowed.",
        first_command="trader status",
    )


def _alert(
    spec: Spec,
    name: str,
    expr: str,
    holding: Holding,
    labels: dict[str, str],
    summary: str,
    description: str,
    first_command: str = FIRST_COMMAND,
) -> Alert:
    annotations = {
        "summary": summary,
        "description": description,
        "first_command": first_command,
        "runbook_url": spec.runbook_url(name),
    }
    return Alert(name, expr, holding.for_, holding.keep_firing_for, {**labels, "group": "slo"}, annotations)


def budget_text(spec: Spec) -> str:
    """How much budget is left and how long it lasts, as a template."""
    lasts = _queried("slo:budget_exhaustion_seconds", None)
    return f"{_budget_left()} At the rate of the last {spec.budget.burn_window} it lasts {lasts} of session time."


def _budget_left() -> str:
    return f"Budget left: {_queried('slo:budget_remaining_ratio', '%')}."


def _queried(series: str, form: str | None) -> str:
    """The value of ``series`` for the alert's target and SLO: a count, a percentage (``%``) or a duration (None)."""
    shown = {"%": "humanizePercentage", None: "humanizeDuration"}.get(form, f'printf "{form}"')
    query = f'printf "{series}{{slo=%q,job=%q,instance=%q}}" $labels.slo $labels.job $labels.instance | query'
    return f"{{{{ with {query} }}}}{{{{ . | first | value | {shown} }}}}{{{{ else }}}}unknown{{{{ end }}}}"


def _unit(slo: Budgeted) -> str:
    match slo:
        case TimeSlices():
            return "session time"
        case Events():
            return "requests, decisions and orders"
        case Latency():
            return f"measurements against {slo.threshold_s:g} s"


def _percent(ratio: float) -> str:
    return f"{number(round(ratio * 100, 6))} %"
