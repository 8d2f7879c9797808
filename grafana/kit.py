"""What a dashboard is written with: panels, queries and links, and how they become Grafana's JSON."""

import json
import re
import zlib
from dataclasses import dataclass, field
from urllib.parse import quote

from grafana_foundation_sdk.builders import bargauge, common, dashboard, heatmap, logs, loki, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models import common as shapes
from grafana_foundation_sdk.models import dashboard as models
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.loki import LokiQueryDirection
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

import table as shared
from table import Steps, Variable


class Mistake(Exception):
    """What is wrong with a dashboard, in a sentence."""


def source(uid: str) -> models.DataSourceRef:
    """A provisioned data source: its uid is its type."""
    return models.DataSourceRef(type_val=uid, uid=uid)


# --- Queries ---


@dataclass(frozen=True)
class Query:
    source: str
    text: str
    legend: str = ""
    instant: bool = False  # the last value, not a line over time
    exemplars: bool = False
    empty: str = ""  # where nothing is there without a fault: the fault that fills it
    more: tuple[tuple[str, object], ...] = ()  # Jaeger's other fields


def promql(text: str, legend: str = "", **more) -> Query:
    return Query("prometheus", text, legend, **more)


def logql(text: str, legend: str = "", **more) -> Query:
    return Query("loki", text, legend, **more)


def rate(metric: str, selector: str, by: str = "") -> str:
    """How often something happens, per second: of all series together, or by the labels in `by`."""
    chosen = f"{metric}{{{selector}}}" if selector else metric
    return f"sum{f' by ({by}) ' if by else ''}(rate({chosen}[$__rate_interval]))"


def share(part: str, whole: str) -> str:
    """A part of a whole: 0 where there is nothing of the part, and nothing where there is no whole."""
    return f"({part} or {whole} * 0) / {whole}"


def quantile(metric: str, selector: str, by: str = "", q: float = 0.95) -> str:
    """The time within which a share of a histogram's events ended."""
    return f"histogram_quantile({q}, {rate(f'{metric}_bucket', selector, f'{by}, le' if by else 'le')})"


def traces(service: str, empty: str = "", **more) -> Query:
    """A search in Jaeger, the newest first."""
    return Query("jaeger", service, empty=empty, more=tuple(more.items()))


class JaegerQuery(Dataquery):
    """The library has none for Jaeger."""

    def __init__(self, ref_id: str, query: Query):
        self.ref_id, self.query = ref_id, query

    def to_json(self) -> dict[str, object]:
        search = {"queryType": "search", "service": self.query.text, "limit": 20}
        return {"refId": self.ref_id, "datasource": source("jaeger"), **search, **dict(self.query.more)}

    def build(self):
        return self


def target(query: Query, ref_id: str, kind: str):
    if query.source == "jaeger":
        return JaegerQuery(ref_id, query)
    if query.source == "loki":
        built = loki.Dataquery().expr(query.text).ref_id(ref_id).datasource(source("loki"))
        built.query_type("instant" if query.instant else "range")
        if kind == "lines":
            built.max_lines(200).direction(LokiQueryDirection.BACKWARD)
    else:
        built = prometheus.Dataquery().expr(query.text).ref_id(ref_id).datasource(source("prometheus"))
        built.instant() if query.instant else built.range()
        if query.exemplars:
            built.exemplar(True)
        if kind == "table":
            built.format(PromQueryFormat.TABLE)
        if kind == "heatmap":
            built.format(PromQueryFormat.HEATMAP)
    return built.legend_format(query.legend) if query.legend else built


# --- Links onward ---


@dataclass(frozen=True)
class Link:
    title: str
    url: str


def to(uid: str, title: str = "", **variables: str) -> Link:
    """Another dashboard, at the same time; `service_name="$service_name"` passes a variable on, `service_name="gateway"` sets it."""
    passed = [f"${{{name}:queryparam}}" if value == f"${name}" else f"var-{name}={value}" for name, value in variables.items()]
    return Link(title or TITLES.get(uid, uid), f"/d/{uid}?{'&'.join([*passed, '${__url_time_range}'])}")


TITLES = {
    "overview": "Overview",
    "service": "Service",
    "journey": "Journey",
    "databases": "Databases",
    "logs": "Logs",
    "telemetry": "Telemetry health",
    "runtime": "Runtime",
}


def explore(title: str, uid: str, **query: object) -> Link:
    """A query in Explore, at the same time."""
    queries = [{"refId": "A", "datasource": {"type": uid, "uid": uid}, **query}]
    panes = {"a": {"datasource": uid, "queries": queries, "range": {"from": "${__from}", "to": "${__to}"}}}
    # Variables stay as they are written, or Grafana would not see them; everything else is for an address.
    parts = re.split(r"(\$\{[^}]+\})", json.dumps(panes, separators=(",", ":")))
    quoted = "".join(part if place % 2 else quote(part, safe="") for place, part in enumerate(parts))
    return Link(title, f"/explore?schemaVersion=1&panes={quoted}&orgId=1")


def in_jaeger(service: str, title: str = "Its traces in Jaeger", **more: object) -> Link:
    """The newest traces of a service."""
    return explore(title, "jaeger", queryType="search", service=service, limit=20, **more)


def in_loki(text: str, title: str = "Its lines in Loki") -> Link:
    return explore(title, "loki", expr=text, queryType="range")


def look(expression: str) -> Link:
    """The numbers behind a panel, to be taken apart."""
    return explore("Take it apart in Explore", "prometheus", expr=expression, range=True)


# --- Panels ---


@dataclass(frozen=True)
class Panel:
    """One panel: the one place where it is described."""

    title: str
    help: str
    queries: list[Query]
    links: list[Link]
    unit: str = ""
    kind: str = "graph"  # graph, number, bars, table, lines, heatmap
    width: int = 8  # of 24
    height: int = 8
    steps: Steps = shared.PLAIN
    colours: dict[str, str] = field(default_factory=dict)
    stacked: bool = False
    top: float | None = None  # the end of the axis
    around: float | None = None  # the axis begins here, or where values are lower: what happens near 100 % is seen
    columns: dict[str, tuple[str, str]] = field(default_factory=dict)  # of a table: field -> title, unit; others are hidden
    each: list[Link] = field(default_factory=list)  # from a series or a row, by ${__field.labels.x} or ${__data.fields.x}
    runbooks: tuple[str, ...] = ()  # docs/runbooks/<name>.md, of the alerts that are about this

    def number(self) -> int:
        """Its id: it stays when other panels come or go."""
        return zlib.crc32(self.title.encode()) % 1_000_000 + 1


@dataclass(frozen=True)
class Dashboard:
    uid: str
    help: str
    rows: dict[str, list[Panel]]
    variables: list[Variable] = field(default_factory=list)
    span: str = "now-1h"

    def panels(self) -> list[Panel]:
        return [panel for panels in self.rows.values() for panel in panels]


KINDS = {
    "graph": timeseries.Panel,
    "number": stat.Panel,
    "bars": bargauge.Panel,
    "table": table.Panel,
    "lines": logs.Panel,
    "heatmap": heatmap.Panel,
}


def link(it: Link) -> dashboard.DashboardLink:
    return dashboard.DashboardLink(it.title).url(it.url)


def thresholds(steps: Steps) -> dashboard.ThresholdsConfig:
    built = [models.Threshold(value=value, color=colour) for value, colour in steps]
    return dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(built)


def overrides(panel: Panel) -> list[tuple[models.MatcherConfig, list[models.DynamicConfigValue]]]:
    """Colours by the names of series, units and titles by the names of columns."""
    found = []
    for name, colour in panel.colours.items():
        matcher = "byRegexp" if name.startswith("/") else "byName"
        fixed = models.DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": colour})
        found.append((models.MatcherConfig(id_val=matcher, options=name), [fixed]))
    for name, (title, unit) in panel.columns.items():
        matcher = models.MatcherConfig(id_val="byName", options=title)
        properties = [models.DynamicConfigValue(id_val="unit", value=unit)] if unit else []
        found.append((matcher, properties))
    return [it for it in found if it[1]]


def letter(place: int) -> str:
    """How Grafana calls the queries of a panel."""
    return chr(ord("A") + place)


def built(panel: Panel):
    it = KINDS[panel.kind]().id(panel.number()).title(panel.title).description(described(panel))
    it.span(panel.width).height(panel.height)
    it.datasource(source(panel.queries[0].source))
    it.targets([target(query, letter(place), panel.kind) for place, query in enumerate(panel.queries)])
    it.links([link(each) for each in panel.links])
    if panel.kind == "lines":
        return it.show_time(True).wrap_log_message(True).enable_log_details(True).sort_order(shapes.LogsSortOrder.DESCENDING)
    if panel.unit:
        it.unit(panel.unit)
    it.thresholds(thresholds(panel.steps))
    if panel.each:
        it.data_links([link(each) for each in panel.each])
    for matcher, properties in overrides(panel):
        it.with_override(matcher, properties)
    if panel.kind in ("graph", "bars", "number") and panel.unit == shared.RATIO and panel.around is None:
        it.min(0)
    if panel.top is not None:
        it.max(panel.top)
    return {"graph": graph, "number": figure, "bars": bars, "table": rows, "heatmap": cells}[panel.kind](it, panel)


def described(panel: Panel) -> str:
    """Its help, and where it says what to do. Grafana serves no documents, so a runbook is named, not linked."""
    files = ", ".join(f"docs/runbooks/{name}.md" for name in panel.runbooks)
    return f"{panel.help} What to do: {files}" if files else panel.help


def graph(it: timeseries.Panel, panel: Panel):
    it.line_width(1).fill_opacity(20 if panel.stacked else 8).show_points(shapes.VisibilityMode.NEVER)
    it.legend(
        common.VizLegendOptions().show_legend(True).display_mode(shapes.LegendDisplayMode.LIST).placement(shapes.LegendPlacement.BOTTOM)
    )
    it.tooltip(common.VizTooltipOptions().mode(shapes.TooltipDisplayMode.MULTI).sort(shapes.SortOrder.DESCENDING))
    if panel.stacked:
        it.stacking(common.StackingConfig().mode(shapes.StackingMode.NORMAL).group("A"))
    if panel.around is not None:
        it.axis_soft_min(panel.around)
    if panel.steps is not shared.PLAIN:
        it.thresholds_style(common.GraphThresholdsStyleConfig().mode(shapes.GraphThresholdsStyleMode.DASHED))
    return it


def last() -> common.ReduceDataOptions:
    return common.ReduceDataOptions().calcs(["lastNotNull"])


def figure(it: stat.Panel, panel: Panel):
    it.reduce_options(last()).graph_mode(shapes.BigValueGraphMode.NONE).color_mode(shapes.BigValueColorMode.VALUE)
    return it.color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.THRESHOLDS))


def bars(it: bargauge.Panel, panel: Panel):
    it.reduce_options(last()).orientation(shapes.VizOrientation.HORIZONTAL).display_mode(shapes.BarGaugeDisplayMode.BASIC)
    return it.color_scheme(dashboard.FieldColor().mode(models.FieldColorModeId.THRESHOLDS))


def rows(it: table.Panel, panel: Panel):
    if not panel.columns:
        return it
    organized = {
        "includeByName": {name: True for name in panel.columns},
        "indexByName": {name: place for place, name in enumerate(panel.columns)},
        "renameByName": {name: title for name, (title, _) in panel.columns.items()},
    }
    it.with_transformation(models.DataTransformerConfig(id_val="merge", options={}))
    return it.with_transformation(models.DataTransformerConfig(id_val="organize", options=organized))


def cells(it: heatmap.Panel, panel: Panel):
    it.calculate(False).color(heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Oranges").steps(64))
    return it.y_axis(heatmap.YAxisConfig().unit(panel.unit))


# --- Variables and annotations ---


def variable(it: Variable):
    everything = models.VariableOption(text="All", value="$__all", selected=True)
    if it.source == "text":
        return dashboard.TextBoxVariable(it.name).label(it.label).description(it.help).default_value(it.default)
    if it.source == "":
        made = dashboard.CustomVariable(it.name).label(it.label).description(it.help).values(it.values)
    else:
        query = (
            {"refId": "A", "query": it.query} if it.source == "prometheus" else {"refId": "A", "label": it.query, "stream": "", "type": 1}
        )
        if it.source == "prometheus":
            query["qryType"] = 1
        made = dashboard.QueryVariable(it.name).label(it.label).description(it.help).datasource(source(it.source)).query(query)
        made.refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED).sort(models.VariableSort.ALPHABETICAL_ASC)
    if it.many:
        # As good as `.+`, whose + would be a space in the address of Explore: Grafana puts it there as it is.
        return made.multi(True).include_all(True).all_value("..*").current(everything)
    return made.current(models.VariableOption(text=it.default, value=it.default, selected=True))


# What Grafana draws across every graph, wherever a value is more than 0. The library does not know title and text, which are of labels.
VERSIONS = "count by (service_name, service_version)"
ANNOTATIONS = [
    {
        "name": "Another version",
        "iconColor": shared.NEUTRAL,
        "expr": f"({VERSIONS} (build_info) unless {VERSIONS} (build_info offset 2m)) or {VERSIONS} (build_info) * 0",
        "titleFormat": "{{service_name}}",
        "textFormat": "version {{service_version}}",
    },
    {
        "name": "The prober failed",
        "iconColor": shared.BAD,
        "expr": 'increase(prober_runs_total{result="failure"}[1m])',
        "titleFormat": "The prober's journey failed",
        "textFormat": "{{service_name}}",
    },
]


def annotation(it: dict[str, str]) -> dict[str, object]:
    return {"datasource": source("prometheus"), "enable": True, "step": "15s", "useValueForTime": False, **it}


# --- A whole dashboard ---


def check(all: list[Dashboard]) -> None:
    """Names the first mistake."""
    variables = {it.uid: {each.name for each in it.variables} for it in all}
    for it in all:
        seen: dict[int, str] = {}
        for panel in it.panels():
            place = f'{TITLES[it.uid]}, panel "{panel.title}"'
            if panel.kind not in KINDS:
                raise Mistake(f"{place} is a {panel.kind!r}, which is none of {', '.join(KINDS)}")
            if not panel.queries:
                raise Mistake(f"{place} asks for nothing: give it a query")
            if not panel.help.endswith("."):
                raise Mistake(f"{place} has no sentence of help: say what it shows, with a full stop")
            if not panel.links:
                raise Mistake(f"{place} leads nowhere: give it a link to a dashboard or to Explore")
            if not panel.unit and panel.kind != "lines" and panel.queries[0].source != "jaeger":
                raise Mistake(f"{place} shows numbers without a unit: take one of table.py")
            if panel.number() in seen:
                raise Mistake(f'{place} has the id of "{seen[panel.number()]}": give it another title')
            seen[panel.number()] = panel.title
            for each in [*panel.links, *panel.each]:
                for uid, passed in re.findall(r"^/d/(\w+)\?(.*)", each.url):
                    if uid not in variables:
                        raise Mistake(f"{place} leads to {uid!r}, which is no dashboard")
                    if uid == it.uid and each in panel.links:  # a series may: to itself alone
                        raise Mistake(f"{place} leads to the dashboard that it is on")
                    unknown = set(re.findall(r"var-(\w+)=|\$\{(\w+):queryparam\}", passed))
                    unknown = {"".join(names) for names in unknown} - variables[uid]
                    if unknown:
                        raise Mistake(f"{place} passes {', '.join(sorted(unknown))} to {TITLES[uid]}, which has no such variable")
            texts = [query.text for query in panel.queries] + [each.url for each in [*panel.links, *panel.each]]
            used = {name for text in texts for name in re.findall(r"\$\{?([a-z]\w*)", text)}
            if used - variables[it.uid]:
                raise Mistake(f"{place} uses ${', $'.join(sorted(used - variables[it.uid]))}, which its dashboard does not have")
        for title, panels in it.rows.items():
            at = 0
            for panel in panels:
                if at + panel.width > 24:
                    raise Mistake(
                        f'{TITLES[it.uid]}, row "{title}": "{panel.title}" does not fit beside those before it; a line is 24 wide'
                    )
                at = (at + panel.width) % 24
            if at:
                raise Mistake(f'{TITLES[it.uid]}, row "{title}" ends at {at} of 24: make its last line 24 wide')


def rendered(it: Dashboard) -> str:
    """The JSON that Grafana reads: the same for the same source."""
    made = dashboard.Dashboard(TITLES[it.uid]).uid(it.uid).description(it.help).tags(["musicwallet"])
    made.readonly().timezone("browser").time(it.span, "now").refresh("30s").tooltip(models.DashboardCursorSync.CROSSHAIR)
    made.link(
        dashboard.DashboardLink("Dashboards")
        .type(models.DashboardLinkType.DASHBOARDS)
        .tags(["musicwallet"])
        .as_dropdown(True)
        .keep_time(True)
    )
    for each in it.variables:
        made.with_variable(variable(each))
    for title, panels in it.rows.items():
        made.with_row(dashboard.Row(title).id(zlib.crc32(f"row {title}".encode()) % 1_000_000 + 1))
        for panel in panels:
            made.with_panel(built(panel))
    model = json.loads(json.dumps(made.build(), cls=JSONEncoder))
    model["annotations"] = {"list": json.loads(json.dumps([annotation(each) for each in ANNOTATIONS], cls=JSONEncoder))}
    return json.dumps(model, indent=2, sort_keys=True) + "\n"


def may_be_empty(it: Dashboard) -> dict[str, str]:
    """The place of each query that has nothing to show without a fault, and that fault."""
    return {
        f"{it.uid}: {panel.title}: {letter(place)}": query.empty
        for panel in it.panels()
        for place, query in enumerate(panel.queries)
        if query.empty
    }
