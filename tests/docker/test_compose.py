"""The compose file and what it mounts: proxy, Prometheus, Grafana."""

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.settings import Settings, unknown_environment_names

DOCKER = Path(__file__).resolve().parents[2] / "docker"
COMPOSE: dict[str, Any] = yaml.safe_load((DOCKER / "compose.yaml").read_text("utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
HAPROXY = (DOCKER / "proxy/haproxy.cfg").read_text("utf-8")
PROMETHEUS = DOCKER / "prometheus/prometheus.yml"


def settings_of_replicas() -> Settings:
    given = SERVICES["affectsr"]["environment"]
    assert unknown_environment_names(given) == []
    fixed = {name: value for name, value in given.items() if not value.startswith("${")}
    return Settings(**{name.removeprefix("AFFECTSR_").lower(): v for name, v in fixed.items()})


def milliseconds(option: str) -> float:
    """A time-out of the proxy."""
    match = re.search(rf"(?m)^ +timeout {option} (\d+)(ms|s)$", HAPROXY)
    assert match is not None, option
    return int(match[1]) * {"ms": 1, "s": 1000}[match[2]]


def run(*command: str) -> subprocess.CompletedProcess[str]:
    if shutil.which(command[0]) is None:
        pytest.skip(f"no {command[0]} on the PATH")
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


# --- compose --------------------------------------------------------------------------------------


def test_images_are_pinned() -> None:
    for name, service in SERVICES.items():
        digest = "" if "build" in service else "@sha256:[0-9a-f]{64}"
        assert re.search(rf":v?\d+\.\d+\.\d+[\w.-]*{digest}$", service["image"]), name


def test_every_mounted_file_exists() -> None:
    mounts = [mount for service in SERVICES.values() for mount in service.get("volumes", [])]
    for source in (mount.split(":")[0] for mount in mounts):
        assert (
            (DOCKER / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]
        )


def test_containers_are_confined() -> None:
    for name, service in SERVICES.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name


def test_replicas_and_redis_cannot_call_out_and_ports_are_this_machines_alone() -> None:
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    assert SERVICES["affectsr"]["networks"] == SERVICES["redis"]["networks"] == ["inside"]
    for service in SERVICES.values():
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", []))


def test_two_replicas_may_finish_what_they_took() -> None:
    replicas, settings = SERVICES["affectsr"], settings_of_replicas()
    grace = int(replicas["stop_grace_period"].removesuffix("s"))
    drain = settings.drain_delay_seconds + settings.shutdown_grace_seconds

    assert replicas["deploy"]["replicas"] == 2
    assert grace >= 1.5 * (drain + settings.device_stall_seconds)


def test_replicas_have_the_memory_that_pods_have() -> None:
    path = DOCKER.parent / "k8s/overlays/cpu/resources.yaml"
    pod = yaml.safe_load(path.read_text("utf-8"))["spec"]["template"]["spec"]
    limit = pod["containers"][0]["resources"]["limits"]["memory"]

    assert SERVICES["affectsr"]["mem_limit"].upper() == limit.removesuffix("i")


def test_replicas_share_redis() -> None:
    url = settings_of_replicas().redis_url

    assert url is not None
    assert url.get_secret_value() == "redis://redis:6379/0"
    assert "redis" in SERVICES


# --- proxy ----------------------------------------------------------------------------------------


def test_haproxy_takes_its_configuration_without_a_warning() -> None:
    result = run("haproxy", "-c", "-f", str(DOCKER / "proxy/haproxy.cfg"))

    assert result.returncode == 0, result.stderr
    assert "WARNING" not in result.stderr, result.stderr


def test_proxy_refuses_bodies_that_the_service_would() -> None:
    match = re.search(r"deny_status 413 if \{ req\.hdr_val\(content-length\) gt (\d+) \}", HAPROXY)

    assert match is not None
    assert int(match[1]) == settings_of_replicas().max_body_bytes


def test_proxy_waits_longer_than_the_service_and_closes_first() -> None:
    settings = settings_of_replicas()

    assert milliseconds("server") > settings.max_request_timeout_ms
    assert milliseconds("client") > settings.upload_timeout_ms
    assert milliseconds("http-keep-alive") < settings.keep_alive_seconds * 1000


def test_proxy_sends_no_request_twice_and_asks_for_readiness() -> None:
    assert re.findall(r"(?m)^ +retry-on (.+)$", HAPROXY) == ["conn-failure"]
    assert re.search(r"(?m)^ +balance leastconn$", HAPROXY)
    assert re.search(r"(?m)^ +http-check send meth GET uri /readyz$", HAPROXY)


def test_draining_replica_is_out_of_rotation_before_it_closes() -> None:
    match = re.search(r"check inter (\d+)s fastinter (\d+)ms fall (\d+)", HAPROXY)

    assert match is not None
    inter, fastinter, fall = int(match[1]), int(match[2]) / 1000, int(match[3])
    assert inter + (fall - 1) * fastinter < settings_of_replicas().drain_delay_seconds / 2


def test_proxy_and_prometheus_find_the_replicas_by_name_and_port() -> None:
    port = settings_of_replicas().http_port
    (job,) = (
        one
        for one in yaml.safe_load(PROMETHEUS.read_text("utf-8"))["scrape_configs"]
        if one["job_name"] == "affectsr"
    )

    assert f" affectsr:{port} " in HAPROXY
    assert [(one["names"], one["port"]) for one in job["dns_sd_configs"]] == [(["affectsr"], port)]


# --- Prometheus and Grafana -----------------------------------------------------------------------


def test_prometheus_takes_its_configuration() -> None:
    result = run("promtool", "check", "config", "--lint-fatal", str(PROMETHEUS))

    assert result.returncode == 0, result.stdout + result.stderr


def test_grafana_finds_prometheus_and_the_dashboard_where_they_are() -> None:
    provisioning = DOCKER / "grafana/provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources/prometheus.yaml").read_text("utf-8"))[
        "datasources"
    ]
    (provider,) = yaml.safe_load((provisioning / "dashboards/affectsr.yaml").read_text("utf-8"))[
        "providers"
    ]

    assert source["url"] == "http://prometheus:9090"
    mounted = f"./grafana/dashboards:{provider['options']['path']}:ro"
    assert mounted in SERVICES["grafana"]["volumes"]
