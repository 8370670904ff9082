"""Each alert fires when it should and not when all is well, by Prometheus' own evaluation."""

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from docker.monitoring.alerts import ALERTS, RUNBOOK

ROOT = Path(__file__).resolve().parents[2]
RULES = ROOT / "docker/prometheus/alerts.yml"
A, B = '{job="affectsr",instance="a"', '{job="affectsr",instance="b"'

pytestmark = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="no promtool; Debian has it in the package prometheus"
)

# Two replicas for eight hours (480 minutes), ten requests a second, nothing wrong.
WELL = {
    f"up{A}}}": "1x480",
    f"up{B}}}": "1x480",
    f"affectsr_ready{A}}}": "1x480",
    f"affectsr_ready{B}}}": "1x480",
    f"affectsr_redis_breaker_state{A}}}": "0x60 2x2 1x400",
    f"process_start_time_seconds{A}}}": "1000x480",
    f"process_open_fds{A}}}": "40x480",
    f"process_max_fds{A}}}": "1024x480",
    f'affectsr_requests_total{A},route="/v1/upscale",code="200"}}': "0+600x480",
    f'affectsr_requests_total{A},route="/v1/upscale",code="429"}}': "0+6x480",
    f'affectsr_requests_total{A},route="/v1/upscale",code="500"}}': "0+1x480",
    f'affectsr_stage_seconds_bucket{A},stage="queue",le="0.512"}}': "0+600x480",
    f'affectsr_stage_seconds_bucket{A},stage="queue",le="8.192"}}': "0+600x480",
    f'affectsr_stage_seconds_bucket{A},stage="queue",le="+Inf"}}': "0+600x480",
    f"affectsr_poisoned_total{A}}}": "0x480",
    f"affectsr_oom_splits_total{A}}}": "0x480",
    f'affectsr_landmark_source_total{A},source="landmarker"}}': "0+500x480",
    f'affectsr_landmark_source_total{A},source="fallback"}}': "0+100x480",
    f'affectsr_model_info{A},model="x4",version="1",sha256="aa"}}': "1x480",
    f'affectsr_model_info{B},model="x4",version="1",sha256="aa"}}': "1x480",
}


@dataclass(frozen=True)
class Case:
    """What differs from a good day, when it is looked at, and what the alert is then about."""

    alert: str
    changes: dict[str, str | None]
    at: str
    labels: dict[str, str]


TARGET = {"job": "affectsr", "instance": "a"}
CASES = (
    Case(
        "AffectSRAbsent",
        {f"affectsr_ready{A}}}": None, f"affectsr_ready{B}}}": None},
        "6m",
        {"job": "affectsr"},
    ),
    Case("AffectSRTargetDown", {f"up{A}}}": "1x60 0x400"}, "64m", TARGET),
    Case(
        "AffectSRNoneReady",
        {f"affectsr_ready{A}}}": "1x60 0x400", f"affectsr_ready{B}}}": "1x60 0x400"},
        "63m",
        {},
    ),
    Case("AffectSRNotReady", {f"affectsr_ready{A}}}": "1x60 0x400"}, "67m", TARGET),
    Case(
        "AffectSRRestarting",
        {f"process_start_time_seconds{A}}}": "1000x50 2000x5 3000x5 4000x400"},
        "70m",
        TARGET,
    ),
    Case(
        "AffectSRErrorsFast",
        {f'affectsr_requests_total{A},route="/v1/upscale",code="500"}}': "0x60 0+90x400"},
        "120m",
        {},
    ),
    Case(
        "AffectSRErrorsSlow",
        {f'affectsr_requests_total{A},route="/v1/upscale",code="500"}}': "0x60 0+25x400"},
        "440m",
        {},
    ),
    Case(
        "AffectSRQueueSlow",
        {f'affectsr_stage_seconds_bucket{A},stage="queue",le="0.512"}}': "0+500x480"},
        "20m",
        {},
    ),
    Case(
        "AffectSRRejecting",
        {f'affectsr_requests_total{A},route="/v1/upscale",code="429"}}': "0+60x480"},
        "20m",
        {},
    ),
    Case("AffectSRModelFails", {f"affectsr_poisoned_total{A}}}": "0+1x480"}, "30m", {}),
    Case(
        "AffectSROutOfMemory",
        {f"affectsr_oom_splits_total{A}}}": "0+1x480"},
        "30m",
        {"instance": "a"},
    ),
    Case(
        "AffectSRNoFaces",
        {f'affectsr_landmark_source_total{A},source="fallback"}}': "0+900x480"},
        "90m",
        {},
    ),
    Case(
        "AffectSRMixedVersions",
        {
            f'affectsr_model_info{B},model="x4",version="1",sha256="aa"}}': None,
            f'affectsr_model_info{B},model="x4",version="2",sha256="bb"}}': "1x480",
        },
        "40m",
        {},
    ),
    Case(
        "AffectSRRedisAway",
        # Away, and now and then a try that comes to nothing.
        {f"affectsr_redis_breaker_state{A}}}": "0x60 2x3 1 2x400"},
        "67m",
        TARGET,
    ),
    Case("AffectSRFileDescriptors", {f"process_open_fds{A}}}": "900x480"}, "10m", TARGET),
)


def expected(case: Case) -> list[dict[str, object]]:
    (alert,) = (one for one in ALERTS if one.name == case.alert)
    summary = alert.summary.replace("{{ $labels.instance }}", case.labels.get("instance", ""))
    return [
        {
            "exp_labels": {"severity": alert.severity, **case.labels},
            "exp_annotations": {"summary": summary, "runbook": f"{RUNBOOK}#{alert.name.lower()}"},
        }
    ]


def rule_test(series: dict[str, str | None], checks: list[dict[str, object]]) -> dict[str, object]:
    return {
        "interval": "1m",
        "input_series": [
            {"series": name, "values": values}
            for name, values in series.items()
            if values is not None
        ],
        "alert_rule_test": checks,
    }


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["promtool", *arguments], capture_output=True, text=True, timeout=60, check=False
    )


def test_prometheus_takes_the_rules() -> None:
    result = promtool("check", "rules", "--lint=all", "--lint-fatal", str(RULES))

    assert result.returncode == 0, result.stdout + result.stderr


def test_there_is_a_case_for_each_alert() -> None:
    assert [case.alert for case in CASES] == [alert.name for alert in ALERTS]


def test_alerts_fire_when_they_should_and_not_on_a_good_day(tmp_path: Path) -> None:
    quiet = [
        {"eval_time": time, "alertname": alert.name, "exp_alerts": []}
        for alert in ALERTS
        for time in ("30m", "470m")
    ]
    firing = [
        rule_test(
            {**WELL, **case.changes},
            [{"eval_time": case.at, "alertname": case.alert, "exp_alerts": expected(case)}],
        )
        for case in CASES
    ]
    document = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [rule_test(dict(WELL), quiet), *firing],
    }
    (tmp_path / "cases.yml").write_text(yaml.safe_dump(document), "utf-8")

    result = promtool("test", "rules", str(tmp_path / "cases.yml"))

    assert result.returncode == 0, result.stdout + result.stderr
