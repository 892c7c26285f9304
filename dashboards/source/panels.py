"""The few shapes of panel that hola's dashboards use, and how they fill a page.

Owns what is the same everywhere: the data source, the variables, the links, the look. What a
dashboard asks stands in the file of its name. In a query `CHOSEN` is the namespace, job and
instance that the reader chose, `SERVICE` namespace and job alone (for recorded series, which are
of a whole service), `[RATE]` the interval that fits the page's width.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

Json = dict[str, Any]
Queries = Mapping[str, str]  # legend → query

SCHEMA_VERSION = 39  # of the classic model; newer Grafana migrates it when it loads
SOURCE: Json = {"type": "prometheus", "uid": "${datasource}"}
SERVICE = 'namespace=~"$namespace", job=~"$job"'
CHOSEN = SERVICE + ', instance=~"$instance"'
COLUMNS = 24
GREEN, ORANGE, RED = "green", "orange", "red"


def query(text: str) -> str:
    """The PromQL that Grafana gets."""
    text = text.replace("CHOSEN", CHOSEN).replace("SERVICE", SERVICE)
    return " ".join(text.replace("[RATE]", "[$__rate_interval]").split())


def timeseries(
    title: str,
    description: str,
    unit: str,
    queries: Queries,
    *,
    width: int = 8,
    stacked: bool = False,
    maximum: float | None = None,
    threshold: float | None = None,
    exemplars: bool = False,
) -> Json:
    """Lines over time.

    Args:
        threshold: where a dashed line is drawn, and what lies above it is red.
        exemplars: show the traces that single observations left in a histogram.
    """
    custom: Json = {"fillOpacity": 10, "showPoints": "never", "stacking": {"mode": "normal" if stacked else "none"}}
    defaults: Json = {"unit": unit, "min": 0, "custom": custom}
    if maximum is not None:
        defaults["max"] = maximum
    if threshold is not None:
        custom["thresholdsStyle"] = {"mode": "dashed"}
        defaults["thresholds"] = _thresholds({threshold: RED})
    legend = {"displayMode": "table", "placement": "bottom", "calcs": ["lastNotNull", "max"]}
    options = {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}
    kind = {"range": True, "exemplar": exemplars}
    return _panel(
        "timeseries",
        title,
        description,
        size=(width, 8),
        defaults=defaults,
        options=options,
        targets=_targets(queries, kind),
    )


def stat(
    title: str,
    description: str,
    unit: str,
    queries: Queries,
    *,
    steps: Mapping[float, str] | None = None,
    below: str = GREEN,
    words: Mapping[int, str] | None = None,
    width: int = 4,
    decimals: int | None = None,
) -> Json:
    """One figure, coloured `below` the first of `steps`; `words` instead of the figure for some values."""
    defaults: Json = {"unit": unit, "thresholds": _thresholds(steps or {}, below)}
    if words:
        named = {str(value): {"text": text, "index": index} for index, (value, text) in enumerate(words.items())}
        defaults["mappings"] = [{"type": "value", "options": named}]
    if decimals is not None:
        defaults["decimals"] = decimals
    options = {"colorMode": "background", "graphMode": "none", "reduceOptions": {"calcs": ["lastNotNull"]}}
    return _panel(
        "stat",
        title,
        description,
        size=(width, 4),
        defaults=defaults,
        options=options,
        targets=_targets(queries, {"range": True}),
    )


def table(title: str, description: str, queries: Queries, *, width: int = 24, unit: str = "short") -> Json:
    """One row a series, its labels as columns; the value is shown only where `unit` says more than a 1."""
    hidden = {"Time": True} | ({"Value": True} if unit == "short" else {})
    kind = {"range": False, "instant": True, "format": "table"}
    panel = _panel(
        "table",
        title,
        description,
        size=(width, 7),
        defaults={"unit": unit},
        options={"cellHeight": "sm"},
        targets=_targets(queries, kind),
    )
    return panel | {"transformations": [{"id": "organize", "options": {"excludeByName": hidden}}]}


def marks(name: str, colour: str, expression: str, tags: str) -> Json:
    """A vertical line wherever the query has a value."""
    return {
        "name": name,
        "enable": True,
        "iconColor": colour,
        "datasource": SOURCE,
        "titleFormat": name,
        "step": "60s",
        "expr": query(expression),
        "tagKeys": tags,
    }


def choice(name: str, label: str, values: str, every: str | None = ".+", *, descending: bool = False) -> Json:
    """A variable: what `label_values` finds. `every` is what "All" matches; without it there is one value at a time."""
    several = every is not None
    all_chosen = {"selected": True, "text": ["All"], "value": ["$__all"]}
    return {
        "name": name,
        "label": label,
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": values, "refId": name},
        "definition": values,
        "refresh": 2,
        "sort": 2 if descending else 1,
        "multi": several,
        "includeAll": several,
        **({"allValue": every, "current": all_chosen} if several else {"current": {}}),
    }


def dashboard(
    name: str,
    description: str,
    rows: Mapping[str, Sequence[Json]],
    *,
    annotations: Sequence[Json] = (),
    variables: Sequence[Json] = (),
) -> Json:
    """The whole dashboard `hola: <name>`; `rows` are titles with their panels."""
    return {
        "uid": f"hola-{name}",
        "title": f"hola: {name}",
        "description": description,
        "tags": ["hola"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": False,
        "timezone": "utc",
        "refresh": "30s",
        "graphTooltip": 1,
        "time": {"from": "now-1h", "to": "now"},
        "links": [_LINKS],
        "annotations": {"list": [_BUILT_IN, *_MARKS, *annotations]},
        "templating": {"list": [*_VARIABLES, *variables]},
        "panels": list(_placed(rows)),
    }


_LINKS = {
    "title": "hola",
    "type": "dashboards",
    "tags": ["hola"],
    "asDropdown": False,
    "includeVars": True,
    "keepTime": True,
    "targetBlank": False,
    "icon": "external link",
    "tooltip": "The other dashboards, with the same choice and time",
    "url": "",
}
_BUILT_IN = {
    "name": "Annotations & Alerts",
    "type": "dashboard",
    "builtIn": 1,
    "enable": True,
    "hide": True,
    "iconColor": "blue",
    "datasource": {"type": "grafana", "uid": "-- Grafana --"},
}
_MARKS = (
    marks(
        "Configuration applied",
        "purple",
        'sum by (instance) (increase(hola_config_reloads_total{CHOSEN, result="applied"}[1m])) > 0',
        "instance",
    ),
    marks(
        "Version appeared",
        "blue",
        "count by (version, revision) (hola_build_info{CHOSEN})"
        " unless count by (version, revision) (hola_build_info{CHOSEN} offset 2m)",
        "version,revision",
    ),
)
_VARIABLES = (
    {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "refresh": 1,
        "current": {},
    },
    # .* and not .+: outside a cluster nothing has a namespace, and a label that is missing is an empty one.
    choice("namespace", "Namespace", "label_values(hola_build_info, namespace)", ".*"),
    choice("job", "Job", 'label_values(hola_build_info{namespace=~"$namespace"}, job)'),
    choice("instance", "Instance", f"label_values(hola_build_info{{{SERVICE}}}, instance)"),
)


def _panel(
    kind: str,
    title: str,
    description: str,
    *,
    size: tuple[int, int],
    defaults: Json,
    options: Json,
    targets: list[Json],
) -> Json:
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": SOURCE,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
        "targets": targets,
        "gridPos": {"w": size[0], "h": size[1]},
    }


def _targets(queries: Queries, kind: Json) -> list[Json]:
    return [
        {"refId": chr(ord("A") + n), "datasource": SOURCE, "expr": query(text), "legendFormat": legend, **kind}
        for n, (legend, text) in enumerate(queries.items())
    ]


def _thresholds(steps: Mapping[float, str], below: str = GREEN) -> Json:
    colours: list[Json] = [{"color": below, "value": None}]
    return {"mode": "absolute", "steps": colours + [{"color": c, "value": value} for value, c in steps.items()]}


def _placed(rows: Mapping[str, Sequence[Json]]) -> Iterator[Json]:
    """Number the panels and set them side by side, as wide as they are, line by line."""
    number, top = 0, 0
    for title, panels in rows.items():
        number += 1
        place = {"h": 1, "w": COLUMNS, "x": 0, "y": top}
        yield {"id": number, "type": "row", "title": title, "collapsed": False, "gridPos": place, "panels": []}
        top, left, height = top + 1, 0, 0
        for panel in panels:
            size = panel["gridPos"]
            if left + size["w"] > COLUMNS:
                top, left, height = top + height, 0, 0
            number += 1
            yield {"id": number, **panel, "gridPos": {"h": size["h"], "w": size["w"], "x": left, "y": top}}
            left, height = left + size["w"], max(height, size["h"])
        top += height
