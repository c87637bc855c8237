"""The kinds of panel the boards are made of, over grafana-foundation-sdk.

Rules: every panel has a title, a description and a unit, and reads the templated data source; colours of a state or a
threshold mean something, every other colour is the palette's. Spans are 24ths of the width, heights are grid rows.
"""

from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import Final, TypeVar

from grafana_foundation_sdk.builders import bargauge, heatmap, stat, statetimeline, table, timeseries
from grafana_foundation_sdk.builders import common as make
from grafana_foundation_sdk.builders import dashboard as board
from grafana_foundation_sdk.builders import prometheus as query_builder
from grafana_foundation_sdk.models import common, prometheus
from grafana_foundation_sdk.models import dashboard as model
from grafana_foundation_sdk.models import heatmap as heat_model

DATASOURCE: Final = common.DataSourceRef(type_val="prometheus", uid="${datasource}")
GREEN: Final = "green"
YELLOW: Final = "yellow"
ORANGE: Final = "orange"
RED: Final = "red"
GREY: Final = "text"
DIM: Final = "#3d4046"
BLUE: Final = "blue"

Steps = Sequence[tuple[float | None, str]]
States = Mapping[int, tuple[str, str]]
PanelBuilder = stat.Panel | timeseries.Panel | table.Panel | statetimeline.Panel | heatmap.Panel | bargauge.Panel
AnyPanel = TypeVar(
    "AnyPanel", stat.Panel, timeseries.Panel, table.Panel, statetimeline.Panel, heatmap.Panel, bargauge.Panel
)

YES_NO: Final[States] = {0: ("no", RED), 1: ("yes", GREEN)}
OFF_ON: Final[States] = {0: ("off", GREEN), 1: ("on", RED)}


def query(
    expr: str, legend: str = "{{instance}}", *, instant: bool = False, exemplars: bool = False
) -> query_builder.Dataquery:
    """One query of a panel; ``instant`` asks for the value at the end of the time shown only."""
    built = query_builder.Dataquery().datasource(DATASOURCE).expr(expr).legend_format(legend)
    built = built.editor_mode(prometheus.QueryEditorMode.CODE).format(prometheus.PromQueryFormat.TIME_SERIES)
    built = built.instant() if instant else built.range()
    return built.exemplar(exemplar=True) if exemplars else built


def steps(values: Steps) -> board.ThresholdsConfig:
    """Absolute thresholds; the first one's value is None, the rest ascend."""
    made = [model.Threshold(value=value, color=color) for value, color in values]
    return board.ThresholdsConfig().mode(model.ThresholdsMode.ABSOLUTE).steps(made)


def mappings(states: States) -> list[model.ValueMapping]:
    """Names and colours for whole numbers."""
    options = {
        str(number): model.ValueMappingResult(text=text, color=color, index=place)
        for place, (number, (text, color)) in enumerate(sorted(states.items()))
    }
    return [model.ValueMap(options=options)]


def stat_panel(
    title: str,
    description: str,
    unit: str,
    *queries: query_builder.Dataquery,
    limits: Steps | None = None,
    states: States | None = None,
    decimals: int | None = None,
    span: int = 3,
    sparkline: bool = False,
    filled: bool = False,
    none: str = "no data",
) -> stat.Panel:
    """One number a target. With ``filled`` the tile itself takes the colour."""
    built = stat.Panel().title(title).description(description).datasource(DATASOURCE).unit(unit).span(span).height(4)
    built = built.thresholds(steps(limits or [(None, GREY)])).no_value(none).wide_layout(wide_layout=False)
    built = built.reduce_options(make.ReduceDataOptions().calcs(["lastNotNull"]))
    built = built.color_mode(common.BigValueColorMode.BACKGROUND if filled else common.BigValueColorMode.VALUE)
    built = built.graph_mode(common.BigValueGraphMode.AREA if sparkline else common.BigValueGraphMode.NONE)
    built = built.text_mode(common.BigValueTextMode.AUTO)
    if states:
        built = built.mappings(mappings(states))
    if decimals is not None:
        built = built.decimals(decimals)
    return _with(built, queries)


def lines_panel(
    title: str,
    description: str,
    unit: str,
    *queries: query_builder.Dataquery,
    limits: Steps | None = None,
    span: int = 8,
    height: int = 8,
    minimum: float | None = 0,
    maximum: float | None = None,
    bars: bool = False,
    stacked: bool = False,
    stepped: bool = False,
    decimals: int | None = None,
    colors: Mapping[str, str] | None = None,
    calcs: Sequence[str] = ("lastNotNull", "max"),
    logarithmic: bool = False,
    reach: float | None = None,
    none: str | None = None,
) -> timeseries.Panel:
    """Lines over time; ``limits`` are drawn as dashed lines, ``bars`` suit events, ``colors`` go by legend (regexp).

    The axis goes to ``reach`` at least, so that nothing looks like nothing. With fewer than two ``calcs`` the
    legend is a list, for panels of many series. ``none`` is said when there is no series at all.
    """
    built = timeseries.Panel().title(title).description(description).datasource(DATASOURCE).unit(unit)
    built = built.span(span).height(height).show_points(common.VisibilityMode.NEVER).line_width(0 if bars else 1)
    built = built.fill_opacity(70 if bars else 25 if stacked else 0)
    built = built.legend(
        make.VizLegendOptions()
        .display_mode(common.LegendDisplayMode.TABLE if len(calcs) > 1 else common.LegendDisplayMode.LIST)
        .placement(common.LegendPlacement.BOTTOM)
        .calcs(list(calcs))
        .show_legend(show_legend=True)
    )
    built = built.tooltip(
        make.VizTooltipOptions().mode(common.TooltipDisplayMode.MULTI).sort(common.SortOrder.DESCENDING)
    )
    if bars:
        built = built.draw_style(common.GraphDrawStyle.BARS)
    if bars or stacked:
        built = built.stacking(make.StackingConfig().mode(common.StackingMode.NORMAL).group("A"))
    if stepped:
        built = built.line_interpolation(common.LineInterpolation.STEP_AFTER)
    if logarithmic:
        built = built.scale_distribution(make.ScaleDistributionConfig().type(common.ScaleDistribution.LOG).log(10))
    elif minimum is not None:
        built = built.min(minimum)
    if none is not None:
        built = built.no_value(none)
    if reach is not None:
        built = built.axis_soft_max(reach)
    if maximum is not None:
        built = built.max(maximum)
    if decimals is not None:
        built = built.decimals(decimals)
    if limits:
        style = make.GraphThresholdsStyleConfig().mode(common.GraphThresholdsStyleMode.DASHED)
        built = built.thresholds(steps(limits)).thresholds_style(style)
    for pattern, color in (colors or {}).items():
        fixed = model.DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": color})
        built = built.override_by_regexp(pattern, [fixed])
    return _with(built, queries)


def timeline_panel(
    title: str,
    description: str,
    *queries: query_builder.Dataquery,
    states: States = YES_NO,
    span: int = 12,
    height: int = 8,
) -> statetimeline.Panel:
    """States over time, one row a series."""
    built = statetimeline.Panel().title(title).description(description).datasource(DATASOURCE).unit("none")
    built = built.span(span).height(height).mappings(mappings(states)).thresholds(steps([(None, GREY)]))
    built = built.show_value(common.VisibilityMode.AUTO).merge_values(merge_values=True).row_height(0.8)
    built = built.line_width(0).fill_opacity(75)
    built = built.legend(make.VizLegendOptions().show_legend(show_legend=False))
    return _with(built, queries)


def heatmap_panel(
    title: str, description: str, unit: str, built_query: query_builder.Dataquery, *, span: int = 8, height: int = 8
) -> heatmap.Panel:
    """A histogram over time; the query gives cumulative buckets by ``le``."""
    built = heatmap.Panel().title(title).description(description).datasource(DATASOURCE).unit("short")
    built = built.span(span).height(height).calculate(calculate=False)
    built = built.y_axis(heatmap.YAxisConfig().unit(unit))
    built = built.color(
        heatmap.HeatmapColorOptions()
        .mode(heat_model.HeatmapColorMode.SCHEME)
        .scheme("Turbo")
        .scale(heat_model.HeatmapColorScale.EXPONENTIAL)
        .exponent(0.5)
        .steps(64)
    )
    built = built.filter_values(heatmap.FilterValueRange().le(1e-9)).cell_gap(1).hide_legend()
    return _with(built, (built_query.format(prometheus.PromQueryFormat.HEATMAP).legend_format("{{le}}"),))


def bars_panel(
    title: str,
    description: str,
    unit: str,
    *queries: query_builder.Dataquery,
    limits: Steps,
    minimum: float = 0,
    maximum: float = 1,
    span: int = 8,
    height: int = 8,
    decimals: int | None = None,
) -> bargauge.Panel:
    """A horizontal bar a series, coloured by its own value."""
    built = bargauge.Panel().title(title).description(description).datasource(DATASOURCE).unit(unit)
    built = built.span(span).height(height).min(minimum).max(maximum).thresholds(steps(limits)).no_value("no data")
    built = built.reduce_options(make.ReduceDataOptions().calcs(["lastNotNull"]))
    built = built.orientation(common.VizOrientation.HORIZONTAL).display_mode(common.BarGaugeDisplayMode.BASIC)
    built = built.show_unfilled(show_unfilled=True).value_mode(common.BarGaugeValueMode.COLOR)
    built = built.min_viz_height(16).max_viz_height(30).min_viz_width(8)
    if decimals is not None:
        built = built.decimals(decimals)
    return _with(built, queries)


class Column:
    """A column of a table: the field it comes from, its heading, and how it is shown."""

    def __init__(
        self,
        field: str,
        heading: str,
        unit: str | None = None,
        *,
        decimals: int | None = None,
        limits: Steps | None = None,
        states: States | None = None,
        width: int | None = None,
        blank: str | None = None,
    ) -> None:
        self.field = field
        self.heading = heading
        self.unit = unit
        self.decimals = decimals
        self.limits = limits
        self.states = states
        self.width = width
        self.blank = blank

    def properties(self) -> list[model.DynamicConfigValue]:
        """The overrides of this column, none when it is shown as it comes."""
        made: list[model.DynamicConfigValue] = []
        if self.unit is not None:
            made.append(model.DynamicConfigValue(id_val="unit", value=self.unit))
        if self.decimals is not None:
            made.append(model.DynamicConfigValue(id_val="decimals", value=self.decimals))
        if self.limits is not None:
            shown = [{"value": value, "color": color} for value, color in self.limits]
            made.append(model.DynamicConfigValue(id_val="thresholds", value={"mode": "absolute", "steps": shown}))
        if self.states is not None:
            made.append(model.DynamicConfigValue(id_val="mappings", value=_plain_mappings(self.states)))
        if self.limits is not None or self.states is not None:
            made.append(model.DynamicConfigValue(id_val="custom.cellOptions", value={"type": "color-text"}))
        if self.width is not None:
            made.append(model.DynamicConfigValue(id_val="custom.width", value=self.width))
        if self.blank is not None:
            made.append(model.DynamicConfigValue(id_val="noValue", value=self.blank))
        return made


def _plain_mappings(states: States) -> list[dict[str, object]]:
    options = {str(number): {"text": text, "color": color} for number, (text, color) in sorted(states.items())}
    return [{"type": "value", "options": options}]


def table_panel(
    title: str,
    description: str,
    columns: Sequence[Column],
    *exprs: str,
    unit: str = "none",
    span: int = 12,
    height: int = 8,
    sort: str | tuple[str, ...] = (),
    descending: bool = False,
    none: str = "none",
) -> table.Panel:
    """The series of instant queries as rows: one query's labels and value, or several merged by their labels.

    A column's field is a label, ``Value`` (one query) or ``Value #A``, ``Value #B``… (several). ``sort`` are headings,
    the first one first.
    """
    built = table.Panel().title(title).description(description).datasource(DATASOURCE).unit(unit)
    built = built.span(span).height(height).no_value(none).cell_height(common.TableCellHeight.SM)
    built = built.thresholds(steps([(None, GREY)]))
    queries = [query(expr, "__auto", instant=True).format(prometheus.PromQueryFormat.TABLE) for expr in exprs]
    if len(exprs) > 1:
        built = built.with_transformation(model.DataTransformerConfig(id_val="merge", options={}))
    organized: dict[str, object] = {
        "includeByName": {column.field: True for column in columns},
        "excludeByName": {},
        "indexByName": {column.field: place for place, column in enumerate(columns)},
        "renameByName": {column.field: column.heading for column in columns},
    }
    built = built.with_transformation(model.DataTransformerConfig(id_val="organize", options=organized))
    for column in columns:
        if properties := column.properties():
            built = built.override_by_name(column.heading, properties)
    if sort:
        headings = (sort,) if isinstance(sort, str) else sort
        built = built.sort_by(
            [make.TableSortByFieldState().display_name(one).desc(desc=descending) for one in headings]
        )
    return _with(built, queries)


def _with(built: AnyPanel, queries: Sequence[query_builder.Dataquery]) -> AnyPanel:
    for letter, one in zip(ascii_uppercase, queries, strict=False):
        built = built.with_target(one.ref_id(letter))
    return built
