"""Dashboard and alerts: up to date, and about series that exist."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import promql_parser
import pytest

from docker.monitoring.__main__ import generated_files
from docker.monitoring.alerts import ALERTS, RUNBOOK
from docker.monitoring.panels import ROWS, rows_with
from docker.monitoring.series import (
    FOREIGN,
    PROCESS,
    TARGET_LABELS,
    Metric,
    known_series,
    service_metrics,
)
from service.error_handlers import PROBLEMS
from service.metrics import STAGES, Metrics

ROOT = Path(__file__).resolve().parents[2]
DASHBOARD = json.loads((ROOT / "docker/grafana/dashboards/affectsr.json").read_text("utf-8"))
KEDA = (ROOT / "k8s/overlays/keda/scaledobject.yaml").read_text("utf-8")

DASHBOARD_QUERIES = [
    target["expr"].replace("$__rate_interval", "5m")
    for panel in DASHBOARD["panels"]
    for target in panel.get("targets", [])
]
QUERIES = [
    *DASHBOARD_QUERIES,
    *(alert.expression for alert in ALERTS),
    *re.findall(r"query: (.+)", KEDA),
]


def nodes(expression: promql_parser.Expr) -> Iterator[promql_parser.Expr]:
    """The expression and everything inside it."""
    yield expression
    for name in ("expr", "lhs", "rhs", "vector_selector"):
        inner = getattr(expression, name, None)
        if inner is not None:
            yield from nodes(inner)
    for argument in getattr(expression, "args", []):
        yield from nodes(argument)


def unknown_names(query: str) -> list[str]:
    """Series and labels in a query that nothing has."""
    known, unknown, labels = known_series(), [], set(TARGET_LABELS)
    parsed = list(nodes(promql_parser.parse(query)))
    for node in parsed:
        if isinstance(node, promql_parser.VectorSelector):
            if node.name not in known:
                unknown.append(str(node.name))
                continue
            labels |= known[node.name]
            used = {matcher.name for matcher in node.matchers.matchers}
            unknown += sorted(used - known[node.name] - TARGET_LABELS)
    for node in parsed:
        if isinstance(node, promql_parser.AggregateExpr) and node.modifier is not None:
            unknown += sorted(set(node.modifier.labels) - labels)
    return unknown


@pytest.mark.parametrize("path", generated_files())
def test_committed_file_is_what_the_generator_writes(path: str) -> None:
    remedy = f"{path} is behind what it is made from; run: python -m docker.monitoring"

    assert (ROOT / path).read_text("utf-8") == generated_files()[path], remedy


@pytest.mark.parametrize("query", QUERIES)
def test_query_names_only_series_and_labels_that_exist(query: str) -> None:
    assert unknown_names(query) == []


@pytest.mark.parametrize(
    ("query", "unknown"),
    [
        ('rate(affectsr_request_total{job="affectsr"}[5m])', ["affectsr_request_total"]),
        ('sum by (root) (affectsr_ready{stat="x"})', ["stat", "root"]),
        ("affectsr_stage_seconds", ["affectsr_stage_seconds"]),
    ],
)
def test_query_of_something_else_is_noticed(query: str, unknown: list[str]) -> None:
    assert unknown_names(query) == unknown


def test_known_series_are_those_on_the_wire() -> None:
    text = Metrics(max_batch_size=1).exposition("")[0].decode()
    kinds = dict(re.findall(r"(?m)^# TYPE (\w+) (\w+)$", text))
    described = {
        metric.series[0] if metric.kind == "counter" else metric.name: metric.kind
        for metric in (*service_metrics(), *PROCESS)
    }

    on_the_wire = {name: kind for name, kind in kinds.items() if not name.endswith("_created")}
    assert on_the_wire == described


def test_values_that_queries_select_are_values_that_occur() -> None:
    allowed = {
        "stage": set(STAGES),
        "reason": {kind.name for kind in PROBLEMS.values()},
        "source": {"landmarker", "mediapipe", "fallback", "none"},
    }
    for query in QUERIES:
        for label, value in re.findall(r'(\w+)="(\w+)"', query):
            assert value in allowed.get(label, {value}), query


def test_dashboard_shows_every_series_of_the_service() -> None:
    shown = " ".join(DASHBOARD_QUERIES)

    for metric in service_metrics():
        assert any(f"{series}{{" in shown for series in metric.series), metric.name


def test_metric_that_no_row_names_gets_a_panel_of_its_own() -> None:
    new = (
        Metric("affectsr_new_things", "counter", "New.", ("kind",)),
        Metric("affectsr_new_level", "gauge", "Level.", ()),
        Metric("affectsr_new_share", "summary", "Share.", ("of",)),
        Metric("affectsr_new_seconds", "histogram", "Time.", ()),
    )
    *known, last = rows_with(new)

    assert tuple(known) == ROWS
    assert [(panel.title, panel.queries[0].expression) for panel in last.panels] == [
        (
            "New things",
            'sum by (kind) (rate(affectsr_new_things_total{job="affectsr"}[$__rate_interval]))',
        ),
        ("New level", 'affectsr_new_level{job="affectsr"}'),
        (
            "New share",
            'sum by (of) (rate(affectsr_new_share_sum{job="affectsr"}[$__rate_interval])) / '
            'sum by (of) (rate(affectsr_new_share_count{job="affectsr"}[$__rate_interval]))',
        ),
        (
            "New seconds",
            "histogram_quantile(0.99, sum by (le) "
            '(rate(affectsr_new_seconds_bucket{job="affectsr"}[$__rate_interval])))',
        ),
    ]


def test_dashboard_panels_do_not_overlap_and_have_unique_numbers() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        at = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        assert at["x"] + at["w"] <= 24
        taken |= cells

    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(numbers)) == len(numbers)


def test_every_query_of_the_service_is_about_its_job() -> None:
    for query in QUERIES:
        if not any(name in query for name in FOREIGN.keys() - {"up"}):
            selectors = re.findall(r"(?:affectsr|process)_\w+(?=[\[{ )]|$)", query)
            assert len(selectors) <= query.count('job="affectsr"'), query


def test_runbook_has_an_entry_for_each_alert() -> None:
    runbook = (ROOT / RUNBOOK).read_text("utf-8")

    assert re.findall(r"(?m)^### (AffectSR\w+)$", runbook) == [alert.name for alert in ALERTS]
