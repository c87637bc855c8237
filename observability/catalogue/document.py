"""The catalogue for people and programs: ``docs/metrics.md`` and plain rows."""

from typing import Any, Final

from observability.catalogue import CATALOGUE, GROUPS, SERIES_LIMIT, max_series
from observability.catalogue.record import Group, Label, Metric
from observability.catalogue.textfile import TEXTFILE_GROUPS

DOCUMENT: Final = "docs/metrics.md"
HEADER: Final = """<!-- DO NOT EDIT: made from observability/catalogue by `trader generate`. -->

# Metrics

Served at `/metrics`, in the text format or as OpenMetrics. Every label has a bounded number of values, every closed
label set exists at 0 from the start, and a value that is not known is absent, never 0. One instance exports at most
{series} series (limit {limit}).
"""
TEXTFILE_HEADER: Final = """
# Metrics from text files

Written for node_exporter's textfile collector, so they are known when the service is not: the session by
`trader calendar textfile`, the others by the jobs that they are about.
"""


def label_text(label: Label) -> str:
    """A label with its values, or with how many it can have."""
    values = ", ".join(label.values) if label.values else f"at most {label.at_most}"
    return f"{label.name} ({values})"


def bucket_text(metric: Metric) -> str:
    return ", ".join(f"{bound:g}" for bound in metric.buckets)


def rows() -> list[dict[str, Any]]:
    """The catalogue as plain values, one row a metric."""
    return [
        {
            "name": metric.name,
            "kind": str(metric.kind),
            "group": metric.group,
            "source": str(metric.source),
            "unit": metric.unit,
            "help": metric.help,
            "labels": {
                label.name: list(label.values) if label.values else {"at_most": label.at_most}
                for label in metric.labels
            },
            "buckets": list(metric.buckets),
            "max_series": metric.max_series,
        }
        for metric in CATALOGUE
    ]


def render_markdown() -> str:
    """The whole document."""
    parts = [HEADER.format(series=max_series(), limit=f"{SERIES_LIMIT:,}")]
    parts += [line for group in GROUPS for line in _section(group)]
    parts.append(TEXTFILE_HEADER)
    parts += [line for group in TEXTFILE_GROUPS for line in _section(group)]
    return "\n".join(parts) + "\n"


def _section(group: Group) -> list[str]:
    title = f"\n## {group.name.capitalize().replace('p&l', 'P&L')}\n"
    columns = "| metric | kind | unit | from | series | |\n|---|---|---|---|---:|---|"
    return [title, columns, *(_row(metric) for metric in group.metrics)]


def _row(metric: Metric) -> str:
    told = [metric.help, *(f"Label {label_text(label)}." for label in metric.labels)]
    if metric.buckets:
        told.append(f"Buckets {bucket_text(metric)}.")
    return (
        f"| `{metric.name}` | {metric.kind} | {metric.unit} | {metric.source} "
        f"| {metric.max_series} | {'<br>'.join(told)} |"
    )
