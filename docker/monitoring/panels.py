"""What the dashboard shows, row by row; what no row names is shown in the last one all the same."""

from dataclasses import dataclass
from typing import Literal

from docker.monitoring.series import Metric


@dataclass(frozen=True)
class Query:
    expression: str
    legend: str


@dataclass(frozen=True)
class Panel:
    """One graph; `unit` is Grafana's name for it."""

    title: str
    unit: str
    queries: tuple[Query, ...]
    kind: Literal["timeseries", "stat", "table"] = "timeseries"
    is_stacked: bool = False
    description: str = ""


@dataclass(frozen=True)
class Row:
    title: str
    panels: tuple[Panel, ...]


def _quantile(quantile: str, metric: str, by: str, where: str = "") -> str:
    rate = f'rate({metric}_bucket{{job="affectsr"{where}}}[$__rate_interval])'
    return f"histogram_quantile({quantile}, sum by ({by}) ({rate}))"


def _rate(series: str, by: str, where: str = "") -> str:
    return f'sum by ({by}) (rate({series}{{job="affectsr"{where}}}[$__rate_interval]))'


_ERRORS = _rate("affectsr_requests_total", "job", ',route=~"/v1/.*",code=~"5.."')
_ALL = _rate("affectsr_requests_total", "job", ',route=~"/v1/.*"')

# Every look-up is counted once in the tier "local", as found there or not.
_LOOKED_UP = ',tier="local"'
_FOUND = ',tier=~"local|redis|flight",result=~"hit|joined"'

ROWS = (
    Row(
        "Overview",
        (
            Panel(
                "Ready replicas",
                "none",
                (Query('sum(affectsr_ready{job="affectsr"})', "ready"),),
                kind="stat",
            ),
            Panel(
                "Requests by status",
                "reqps",
                (Query(_rate("affectsr_requests_total", "code", ',route=~"/v1/.*"'), "{{code}}"),),
                is_stacked=True,
            ),
            Panel(
                "Failed by our fault",
                "percentunit",
                (Query(f"({_ERRORS} or 0 * {_ALL}) / {_ALL}", "5xx"),),
                description="Alerts fire where it exceeds 7.2 % for an hour or 3 % for six.",
            ),
            Panel(
                "Whole request",
                "s",
                tuple(
                    Query(_quantile(value, "affectsr_stage_seconds", "le", ',stage="total"'), name)
                    for value, name in (("0.5", "p50"), ("0.95", "p95"), ("0.99", "p99"))
                ),
            ),
            Panel(
                "Requests by route",
                "reqps",
                (Query(_rate("affectsr_requests_total", "route"), "{{route}}"),),
            ),
            Panel(
                "Readiness",
                "none",
                (Query('affectsr_ready{job="affectsr"}', "{{instance}}"),),
            ),
        ),
    ),
    Row(
        "Where the time goes",
        (
            Panel(
                "Stages, p50",
                "s",
                (Query(_quantile("0.5", "affectsr_stage_seconds", "le, stage"), "{{stage}}"),),
            ),
            Panel(
                "Stages, p99",
                "s",
                (Query(_quantile("0.99", "affectsr_stage_seconds", "le, stage"), "{{stage}}"),),
            ),
        ),
    ),
    Row(
        "Queue and batches",
        (
            Panel(
                "Waiting images",
                "none",
                (Query('affectsr_queue_depth{job="affectsr"}', "{{instance}}"),),
            ),
            Panel(
                "Waiting output pixels",
                "none",
                (Query('affectsr_queue_pixels{job="affectsr"}', "{{instance}}"),),
            ),
            Panel(
                "Admitted images",
                "none",
                (Query('affectsr_inflight{job="affectsr"}', "{{instance}}"),),
            ),
            Panel(
                "Images in a batch, mean",
                "none",
                (
                    Query(
                        f"{_rate('affectsr_batch_size_sum', 'instance')} / "
                        f"{_rate('affectsr_batch_size_count', 'instance')}",
                        "{{instance}}",
                    ),
                ),
            ),
            Panel(
                "Fill of the last batch",
                "percentunit",
                (Query('affectsr_batch_fill_ratio{job="affectsr"}', "{{instance}}"),),
            ),
            Panel(
                "Images a second",
                "none",
                (Query(_rate("affectsr_batch_size_sum", "instance"), "{{instance}}"),),
                is_stacked=True,
            ),
        ),
    ),
    Row(
        "What went wrong",
        (
            Panel(
                "Refused, by reason",
                "reqps",
                (Query(_rate("affectsr_rejected_total", "reason"), "{{reason}}"),),
            ),
            Panel(
                "Dropped a second, for nobody waits",
                "none",
                (Query(_rate("affectsr_cancelled_total", "where"), "{{where}}"),),
            ),
            Panel(
                "Images a second that the model failed on",
                "none",
                (Query(_rate("affectsr_poisoned_total", "instance"), "{{instance}}"),),
            ),
            Panel(
                "Batches a second that did not fit the memory",
                "none",
                (Query(_rate("affectsr_oom_splits_total", "instance"), "{{instance}}"),),
            ),
        ),
    ),
    Row(
        "Faces",
        (
            Panel(
                "Where landmarks come from",
                "percentunit",
                (
                    Query(
                        f"{_rate('affectsr_landmark_source_total', 'job, source')} / on (job) "
                        f"group_left () {_rate('affectsr_landmark_source_total', 'job')}",
                        "{{source}}",
                    ),
                ),
                is_stacked=True,
            ),
            Panel(
                "Expression kept, by the input's",
                "percentunit",
                (
                    Query(
                        f"{_rate('affectsr_expression_agreement_sum', 'expression')} / "
                        f"{_rate('affectsr_expression_agreement_count', 'expression')}",
                        "{{expression}}",
                    ),
                ),
                description="Share of results that show the expression that the input showed.",
            ),
            Panel(
                "Faces a second in whole photos",
                "none",
                (Query(_rate("affectsr_photo_faces_total", "action"), "{{action}}"),),
                description="left-alone: too large or failed; not-selected: not asked for.",
            ),
            Panel(
                "Models served",
                "none",
                (
                    Query(
                        'count by (model, version, sha256) (affectsr_model_info{job="affectsr"})',
                        "{{model}}@{{version}}",
                    ),
                ),
                kind="table",
            ),
            Panel(
                "Engines that compute",
                "none",
                (
                    Query(
                        "count by (engine, device, dtype, passed_over) "
                        '(affectsr_engine_info{job="affectsr"})',
                        "{{engine}} {{dtype}} on {{device}}",
                    ),
                ),
                kind="table",
                description="With the faster ones that could not be had, and why.",
            ),
        ),
    ),
    Row(
        "Cache and Redis",
        (
            Panel(
                "Results found",
                "percentunit",
                (
                    Query(
                        f"{_rate('affectsr_cache_total', 'job', _FOUND)} / "
                        f"{_rate('affectsr_cache_total', 'job', _LOOKED_UP)}",
                        "found or under way",
                    ),
                ),
                description="Of all images that were looked up; empty where AFFECTSR_CACHE is off.",
            ),
            Panel(
                "Look-ups and stores a second",
                "none",
                (Query(_rate("affectsr_cache_total", "tier, result"), "{{tier}} {{result}}"),),
                description="`skipped`: Redis is known to be away, or full; `foreign`: what lies "
                "in Redis is no entry of this service.",
            ),
            Panel(
                "Redis",
                "none",
                (Query('affectsr_redis_breaker_state{job="affectsr"}', "{{instance}}"),),
                description="0: it is used; 1: one use tries it; 2: it is left alone.",
            ),
        ),
    ),
    Row(
        "Processes",
        (
            Panel(
                "Memory",
                "bytes",
                (Query('process_resident_memory_bytes{job="affectsr"}', "{{instance}}"),),
            ),
            Panel(
                "Cores in use",
                "none",
                (Query(_rate("process_cpu_seconds_total", "instance"), "{{instance}}"),),
            ),
            Panel(
                "Open files and connections",
                "none",
                (Query('process_open_fds{job="affectsr"}', "{{instance}}"),),
            ),
            Panel(
                "GPU in use",
                "percent",
                (Query("DCGM_FI_DEV_GPU_UTIL", "{{Hostname}} {{gpu}}"),),
                description="From NVIDIA's DCGM exporter; empty where none is scraped.",
            ),
            Panel(
                "GPU memory in use",
                "decmbytes",
                (Query("DCGM_FI_DEV_FB_USED", "{{Hostname}} {{gpu}}"),),
                description="From NVIDIA's DCGM exporter; empty where none is scraped.",
            ),
        ),
    ),
)


def rows_with(metrics: tuple[Metric, ...]) -> tuple[Row, ...]:
    """The rows, and one more for the metrics that none of them shows."""
    shown = " ".join(
        query.expression for row in ROWS for panel in row.panels for query in panel.queries
    )
    rest = tuple(
        _plain_panel(metric)
        for metric in metrics
        if not any(f"{series}{{" in shown for series in metric.series)
    )
    return (*ROWS, Row("More", rest)) if rest else ROWS


def _plain_panel(metric: Metric) -> Panel:
    """What is worth seeing of any metric of its kind."""
    by = ", ".join(metric.labels) or "instance"
    legend = " ".join(f"{{{{{label}}}}}" for label in metric.labels or ("instance",))
    if metric.kind == "counter":
        expression = _rate(f"{metric.name}_total", by)
    elif metric.kind == "gauge":
        expression, legend = f'{metric.name}{{job="affectsr"}}', "{{instance}} " + legend
    elif metric.kind == "summary":
        expression = f"{_rate(f'{metric.name}_sum', by)} / {_rate(f'{metric.name}_count', by)}"
    else:
        expression = _quantile("0.99", metric.name, ", ".join(("le", *metric.labels)))
    unit = "s" if metric.name.endswith("_seconds") else "none"
    title = metric.name.removeprefix("affectsr_").replace("_", " ").capitalize()
    queries = (Query(expression, legend.strip()),)
    return Panel(title, unit, queries, description=metric.help)
