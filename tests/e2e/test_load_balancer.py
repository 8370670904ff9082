"""Two replicas behind haproxy, and Prometheus beside them: what an operator sees of their lives."""

import json
import signal
import socket
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from docker.monitoring.series import FOREIGN
from tests.e2e.conftest import ServerProcess
from tests.e2e.daemons import NO_ANSWER, Callers, Proxy, free_port, prometheus, wait_until
from tests.e2e.stub_server import RAISES
from tests.service.support import as_file, noise, plain

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
# The stub tells no expressions.
WITHOUT_DATA = (*(FOREIGN.keys() - {"up"}), "affectsr_expression_agreement")

Start = Callable[[int], ServerProcess]


@pytest.fixture
def start(serve_stub: Callable[..., ServerProcess]) -> Start:
    """Start a replica on a port: two seconds of drain, 40 ms for a batch."""

    def started(port: int) -> ServerProcess:
        return serve_stub("--base-ms", "40", http_port=port, drain_delay_seconds=2)

    return started


@pytest.fixture
def ports(start: Start) -> tuple[int, int]:
    return free_port(), free_port()


@pytest.fixture
def replicas(start: Start, ports: tuple[int, int]) -> list[ServerProcess]:
    servers = [start(port) for port in ports]
    for server in servers:
        server.wait_for_address()
    return servers


def test_rolling_restart_under_load_loses_no_request(
    replicas: list[ServerProcess], ports: tuple[int, int], start: Start, tmp_path: Path
) -> None:
    proxy = Proxy(ports)
    with proxy.running(tmp_path) as address:
        callers = Callers(address, as_file(noise()), number=4, most=10_000)
        with callers.calling():
            for number, port in enumerate(ports):
                callers.wait_for_more(20)
                replicas[number].signal(signal.SIGTERM)
                wait_until(lambda number=number: not proxy.is_up(number), "it is out of rotation")
                assert replicas[number].wait() == 0
                callers.wait_for_more(20)
                start(port).wait_for_address()
                wait_until(lambda number=number: proxy.is_up(number), "it is back in rotation")
            callers.wait_for_more(20)

    assert callers.answers.keys() == {200}, callers.answers


def test_killed_replica_costs_only_the_requests_inside_it(
    replicas: list[ServerProcess], ports: tuple[int, int], tmp_path: Path
) -> None:
    proxy = Proxy(ports)
    with proxy.running(tmp_path) as address:
        callers = Callers(address, as_file(noise()), number=4, most=5_000)
        with callers.calling():
            callers.wait_for_more(20)
            replicas[0].signal(signal.SIGKILL)
            wait_until(lambda: not proxy.is_up(0), "the dead one is out of rotation")
            callers.wait_for_more(20)

    lost = callers.answers.total() - callers.answers[200]
    # Four callers have no more than four requests in both replicas at once. To one whose connection
    # has had an answer before, haproxy says by closing it that the request may be sent again.
    assert callers.answers.keys() <= {200, 502, NO_ANSWER}, callers.answers
    assert lost <= 4


def test_proxy_refuses_what_the_service_would_and_hides_its_insides(tmp_path: Path) -> None:
    with Proxy([]).running(tmp_path) as address, httpx.Client(base_url=address) as client:
        hidden = ("/metrics", "/livez", "/readyz", "/startupz")
        assert [client.get(path).status_code for path in hidden] == [404] * 4
        with socket.create_connection((str(client.base_url.host), client.base_url.port)) as large:
            large.sendall(
                b"POST /v1/upscale HTTP/1.1\r\nHost: test\r\n"
                b"Content-Length: %d\r\n\r\n" % (16 * 2**20 + 1)
            )
            assert large.recv(100).startswith(b"HTTP/1.1 413 ")


def test_every_query_of_the_dashboard_is_answered_with_data(
    replicas: list[ServerProcess], ports: tuple[int, int], tmp_path: Path
) -> None:
    dashboard = json.loads((ROOT / "docker/grafana/dashboards/affectsr.json").read_text("utf-8"))
    queries = {
        target["expr"].replace("$__rate_interval", "20s")
        for panel in dashboard["panels"]
        for target in panel.get("targets", [])
        if not any(name in target["expr"] for name in WITHOUT_DATA)
    }
    with prometheus(tmp_path, ports) as address, httpx.Client(base_url=address) as asked:
        for port in ports:
            make_each_series_move(f"http://127.0.0.1:{port}")
        unanswered = set(queries)

        def all_are_answered() -> bool:
            for query in list(unanswered):
                if data_of(asked, query):
                    unanswered.discard(query)
            return not unanswered

        wait_until(all_are_answered, lambda: f"Prometheus has data for {sorted(unanswered)}")
        assert len(data_of(asked, 'affectsr_ready{job="affectsr"} == 1')) == 2
        rules = asked.get("/api/v1/rules").json()["data"]["groups"][0]["rules"]

    assert len(queries) > 20
    assert all(rule["health"] in ("ok", "unknown") for rule in rules)
    assert [rule["name"] for rule in rules if rule["state"] == "firing"] == []


def data_of(asked: httpx.Client, query: str) -> list[object]:
    reply = asked.get("/api/v1/query", params={"query": query}).json()
    assert reply["status"] == "success", reply
    data: list[object] = reply["data"]["result"]
    return data


def make_each_series_move(address: str) -> None:
    """One request of each kind that counts something of its own."""
    good, bad = as_file(noise()), as_file(plain(RAISES))
    with httpx.Client(base_url=address, timeout=20) as client:
        statuses = [
            client.post(
                "/v1/upscale", content=body, headers={"Content-Type": "image/png", **headers}
            ).status_code
            for body, headers in (
                (good, {}),
                (bad, {}),
                (b"", {}),
                (good, {"X-Request-Timeout-Ms": "1"}),
            )
        ]
    assert statuses == [200, 500, 400, 504]
