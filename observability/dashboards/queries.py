"""The queries of a stored dashboard, as Prometheus gets them.

Rules: pure; what Grafana replaces in a query is replaced here in the same way, for the tests and for the pictures.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

VARIABLE: Final = re.compile(r"\$(?:\{(\w+)(?::\w+)?\}|([^\W\d]\w*))")


class PanelQuery(msgspec.Struct, frozen=True, kw_only=True):
    """One query of one panel; ``instant`` asks for one moment, else for the range shown."""

    board: str
    panel: str
    panel_id: int
    kind: str
    ref: str
    expr: str
    legend: str
    form: str
    instant: bool
    exemplars: bool


def queries_of(document: Mapping[str, Any]) -> Iterator[PanelQuery]:
    """Every query of a dashboard's document, in the order of its panels."""
    for panel in document["panels"]:
        for target in panel.get("targets", ()):
            yield PanelQuery(
                board=document["uid"],
                panel=panel["title"],
                panel_id=panel["id"],
                kind=panel["type"],
                ref=target["refId"],
                expr=target["expr"],
                legend=target.get("legendFormat", ""),
                form=target.get("format", "time_series"),
                instant=bool(target.get("instant")),
                exemplars=bool(target.get("exemplar")),
            )


def interpolate(expr: str, values: Mapping[str, str]) -> str:
    """The query with ``$name`` and ``${name}`` replaced, not ``$1``. Raises KeyError for a name without a value."""
    return VARIABLE.sub(lambda match: values[match[1] or match[2]], expr)


def defaults(*, rate_interval: str, range_: str, interval: str = "15s") -> dict[str, str]:
    """The values of a freshly opened dashboard: every variable at All."""
    every = dict.fromkeys(("job", "instance", "strategy", "node_job"), ".+")
    return {**every, "__rate_interval": rate_interval, "__range": range_, "__interval": interval}
