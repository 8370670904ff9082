"""The panels as a dashboard that Grafana reads."""

from docker.monitoring.panels import Panel, rows_with
from docker.monitoring.series import service_metrics

_COLUMNS, _WIDTH, _HEIGHT = 24, 8, 8
_DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}


def dashboard() -> dict[str, object]:
    """Grafana's JSON model: rows of three panels."""
    placed: list[dict[str, object]] = []
    top = 0
    for row in rows_with(service_metrics()):
        placed.append(
            {
                "id": len(placed) + 1,
                "type": "row",
                "title": row.title,
                "collapsed": False,
                "gridPos": {"x": 0, "y": top, "w": _COLUMNS, "h": 1},
                "panels": [],
            }
        )
        top += 1
        for index, panel in enumerate(row.panels):
            down, column = divmod(index, _COLUMNS // _WIDTH)
            position = {"x": column * _WIDTH, "y": top + down * _HEIGHT, "w": _WIDTH, "h": _HEIGHT}
            placed.append({"id": len(placed) + 1, "gridPos": position, **_panel(panel)})
        top += _HEIGHT * -(-len(row.panels) * _WIDTH // _COLUMNS)
    return {
        "uid": "affectsr",
        "title": "AffectSR",
        "tags": ["affectsr"],
        "schemaVersion": 39,
        "version": 1,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "templating": {
            "list": [
                {
                    "name": "datasource",
                    "type": "datasource",
                    "query": "prometheus",
                    "label": "Prometheus",
                    "current": {},
                    "hide": 0,
                }
            ]
        },
        "panels": placed,
    }


def _panel(panel: Panel) -> dict[str, object]:
    targets = [
        {
            "refId": chr(ord("A") + index),
            "expr": query.expression,
            "legendFormat": query.legend,
            "datasource": _DATASOURCE,
            **({"format": "table", "instant": True} if panel.kind == "table" else {}),
        }
        for index, query in enumerate(panel.queries)
    ]
    defaults: dict[str, object] = {"unit": panel.unit, "min": 0}
    if panel.kind == "timeseries":
        stacking = {"mode": "normal" if panel.is_stacked else "none", "group": "A"}
        defaults["custom"] = {"fillOpacity": 20 if panel.is_stacked else 0, "stacking": stacking}
    return {
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": _DATASOURCE,
        "targets": targets,
        "fieldConfig": {"defaults": defaults, "overrides": []},
    }
