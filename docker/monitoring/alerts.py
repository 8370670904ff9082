"""What wakes somebody up, and what can wait for the morning."""

from dataclasses import dataclass
from typing import Literal

# Has an entry for each alert, under its name.
RUNBOOK = "docs/deployment.md"

# Of 1,000 requests 5 may fail by our own fault within 30 days. 4xx is the caller's, 429 included.
_ERROR_BUDGET = 0.005


@dataclass(frozen=True)
class Alert:
    """One rule of Prometheus; `critical` wakes somebody up."""

    name: str
    expression: str
    holds_for: str
    severity: Literal["critical", "warning"]
    summary: str


def _burns(rate: float, *, long: str, short: str) -> str:
    """The budget burns at so many times the rate that would use it up in 30 days.

    Two windows (Site Reliability Workbook, chapter 5): the long one says that it matters, the
    short one that it still goes on.
    """
    limit = f"{rate * _ERROR_BUDGET:g}"
    return " and ".join(f"{_share_of_errors(window)} > {limit}" for window in (long, short))


def _share_of_errors(window: str) -> str:
    all_requests = f'affectsr_requests_total{{job="affectsr",route=~"/v1/.*"}}[{window}]'
    errors = f'affectsr_requests_total{{job="affectsr",route=~"/v1/.*",code=~"5.."}}[{window}]'
    return f"(sum(rate({errors})) / sum(rate({all_requests})))"


ALERTS = (
    Alert(
        "AffectSRAbsent",
        'absent(affectsr_ready{job="affectsr"})',
        "5m",
        "critical",
        "No replica reports anything: none runs, or Prometheus finds none.",
    ),
    Alert(
        "AffectSRTargetDown",
        'up{job="affectsr"} == 0',
        "2m",
        "warning",
        "{{ $labels.instance }} does not answer Prometheus.",
    ),
    Alert(
        "AffectSRNoneReady",
        'sum(affectsr_ready{job="affectsr"}) == 0',
        "1m",
        "critical",
        "No replica is ready: every request fails.",
    ),
    Alert(
        "AffectSRNotReady",
        'affectsr_ready{job="affectsr"} == 0',
        "5m",
        "warning",
        "{{ $labels.instance }} runs and has not been ready for five minutes.",
    ),
    Alert(
        "AffectSRRestarting",
        'changes(process_start_time_seconds{job="affectsr"}[30m]) > 2',
        "0m",
        "warning",
        "{{ $labels.instance }} restarts again and again.",
    ),
    Alert(
        "AffectSRErrorsFast",
        _burns(14.4, long="1h", short="5m"),
        "2m",
        "critical",
        "2 % of the month's error budget went within an hour.",
    ),
    Alert(
        "AffectSRErrorsSlow",
        _burns(6, long="6h", short="30m"),
        "15m",
        "warning",
        "5 % of the month's error budget went within six hours.",
    ),
    Alert(
        "AffectSRQueueSlow",
        "histogram_quantile(0.99, sum by (le) (rate("
        'affectsr_stage_seconds_bucket{job="affectsr",stage="queue"}[5m]))) > 5',
        "5m",
        "warning",
        "One request in a hundred waits for more than 5 s for the device.",
    ),
    Alert(
        "AffectSRRejecting",
        'sum(rate(affectsr_requests_total{job="affectsr",code="429"}[5m])) '
        '/ sum(rate(affectsr_requests_total{job="affectsr",route=~"/v1/.*"}[5m])) > 0.05',
        "5m",
        "warning",
        "More than 5 % of the requests are refused for lack of room.",
    ),
    Alert(
        "AffectSRModelFails",
        'sum(increase(affectsr_poisoned_total{job="affectsr"}[15m])) > 5',
        "0m",
        "warning",
        "The model failed on several images, each run alone.",
    ),
    Alert(
        "AffectSROutOfMemory",
        'sum by (instance) (increase(affectsr_oom_splits_total{job="affectsr"}[15m])) > 3',
        "0m",
        "warning",
        "Batches do not fit the memory of the device of {{ $labels.instance }}.",
    ),
    Alert(
        "AffectSRNoFaces",
        'sum(rate(affectsr_landmark_source_total{job="affectsr",source="fallback"}[30m])) '
        '/ sum(rate(affectsr_landmark_source_total{job="affectsr"}[30m])) > 0.5',
        "30m",
        "warning",
        "In more than half of the images no face is made out.",
    ),
    Alert(
        "AffectSRMixedVersions",
        "max(count by (model) (count by (model, sha256) "
        '(affectsr_model_info{job="affectsr"}))) > 1',
        "30m",
        "warning",
        "Replicas have served different versions of a model for half an hour.",
    ),
    Alert(
        "AffectSRRedisAway",
        # Half open (1) it stays where nobody asks for anything; a try that fails takes a moment.
        'max_over_time(affectsr_redis_breaker_state{job="affectsr"}[2m]) == 2',
        "5m",
        "warning",
        "{{ $labels.instance }} has done without Redis for five minutes.",
    ),
    Alert(
        "AffectSRFileDescriptors",
        'process_open_fds{job="affectsr"} / process_max_fds{job="affectsr"} > 0.8',
        "5m",
        "warning",
        "{{ $labels.instance }} will soon be unable to accept connections.",
    ),
)


def rule_groups() -> dict[str, object]:
    """The alerts as Prometheus reads them."""
    rules = [
        {
            "alert": alert.name,
            "expr": alert.expression,
            "for": alert.holds_for,
            "labels": {"severity": alert.severity},
            "annotations": {
                "summary": alert.summary,
                "runbook": f"{RUNBOOK}#{alert.name.lower()}",
            },
        }
        for alert in ALERTS
    ]
    return {"groups": [{"name": "affectsr", "rules": rules}]}


def prometheus_rule() -> dict[str, object]:
    """The alerts as the Prometheus operator reads them."""
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "affectsr"},
        "spec": rule_groups(),
    }
