"""Two replicas behind haproxy, and Prometheus beside them: what an operator sees of their lives."""

import itertools
import json
import signal
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import promql_parser
import pytest

from docker.monitoring.alerts import ALERTS
from docker.monitoring.series import FOREIGN
from tests.e2e.conftest import ServerProcess
from tests.e2e.daemons import (
    NO_ANSWER,
    Callers,
    Proxy,
    ReplicaState,
    free_port,
    prometheus,
    upscale,
    wait_until,
)
from tests.e2e.rolling_restart import Plan, restart_under_load
from tests.e2e.stub_server import FACELESS, RAISES
from tests.service.support import as_file, noise, plain

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]
# Of NVIDIA's exporter, which runs where GPUs are.
WITHOUT_DATA = FOREIGN.keys() - {"up"}
# Tokens of PromQL between what is measured and its limit, and between two such conditions.
COMPARISONS, SET_OPERATORS = {"==", "!=", ">", "<", ">=", "<="}, {"and", "or", "unless"}

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


def test_rolling_restart_under_load_loses_no_request(start: Start, tmp_path: Path) -> None:
    # 10,000 requests over five restarts: python -m tests.e2e.rolling_restart
    plan = Plan(num_requests=300, num_restarts=2, num_callers=4)

    answers = restart_under_load(plan, start, tmp_path)

    assert answers.keys() == {200}, answers
    assert answers[200] >= 300


def test_killed_replica_costs_only_the_requests_inside_it(
    replicas: list[ServerProcess], ports: tuple[int, int], tmp_path: Path
) -> None:
    proxy = Proxy(ports)
    with proxy.running(tmp_path) as address:
        callers = Callers(address, upscale(as_file(noise())), number=4, most=5_000)
        with callers.calling():
            callers.wait_for_more(20)
            checks_before = proxy.state_of(0).failed_checks
            replicas[0].signal(signal.SIGKILL)
            states: list[ReplicaState] = []

            def is_out() -> bool:
                states.append(proxy.state_of(0))
                return not states[-1].is_up

            wait_until(is_out, "the dead one is out of rotation")
            callers.wait_for_more(20)

    # The second check that fails takes it out; whatever was sent there before was sent on.
    assert all(state.failed_checks - checks_before <= 1 for state in states if state.is_up)
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


def test_every_query_of_dashboard_and_alerts_is_answered_with_data(
    serve_stub: Callable[..., ServerProcess], ports: tuple[int, int], tmp_path: Path
) -> None:
    dashboard = json.loads((ROOT / "docker/grafana/dashboards/affectsr.json").read_text("utf-8"))
    of_dashboard = {
        target["expr"].replace("$__rate_interval", "20s")
        for panel in dashboard["panels"]
        for target in panel.get("targets", [])
        if not any(name in target["expr"] for name in WITHOUT_DATA)
    }
    of_alerts = {
        query
        for alert in ALERTS
        for query in measured_by(promql_parser.parse(alert.expression))
        if not query.startswith("absent(")
    }
    for port in ports:
        serve_stub(
            *("--base-ms", "100", "--reads-expressions"),
            http_port=port, queue_capacity=2, max_images_per_request=1, cache="local",
        ).wait_for_address()  # fmt: skip
    with prometheus(tmp_path, ports) as address, httpx.Client(base_url=address) as asked:
        for port in ports:
            make_each_series_move(f"http://127.0.0.1:{port}")
        unanswered = of_dashboard | of_alerts

        def all_are_answered() -> bool:
            for query in list(unanswered):
                if data_of(asked, query):
                    unanswered.discard(query)
            return not unanswered

        wait_until(all_are_answered, lambda: f"Prometheus has data for {sorted(unanswered)}")
        assert len(data_of(asked, 'affectsr_ready{job="affectsr"} == 1')) == 2
        assert data_of(asked, 'absent(affectsr_ready{job="affectsr"})') == []
        rules = asked.get("/api/v1/rules").json()["data"]["groups"][0]["rules"]

    assert len(of_dashboard) > 20
    assert len(of_alerts) >= len(ALERTS)
    assert all(rule["health"] in ("ok", "unknown") for rule in rules)
    assert [rule["name"] for rule in rules if rule["state"] == "firing"] == []


def measured_by(expression: promql_parser.Expr) -> Iterator[str]:
    """What an alert compares with its limits, which has a value on a good day, too."""
    if isinstance(expression, promql_parser.BinaryExpr) and str(expression.op) in SET_OPERATORS:
        yield from measured_by(expression.lhs)
        yield from measured_by(expression.rhs)
    elif isinstance(expression, promql_parser.BinaryExpr) and str(expression.op) in COMPARISONS:
        yield str(expression.lhs)
    else:
        yield str(expression)


def data_of(asked: httpx.Client, query: str) -> list[object]:
    reply = asked.get("/api/v1/query", params={"query": query}).json()
    assert reply["status"] == "success", reply
    data: list[object] = reply["data"]["result"]
    return data


def make_each_series_move(address: str) -> None:
    """One request of each kind that counts something of its own."""
    good, faceless, bad = as_file(noise()), as_file(plain(FACELESS)), as_file(plain(RAISES))
    others = (as_file(noise(seed=seed)) for seed in itertools.count(1))  # not in the cache
    with httpx.Client(base_url=address, timeout=20) as client:

        def status_of(body: bytes, **headers: str) -> int:
            named = {"Content-Type": "image/png", **headers}
            return client.post("/v1/upscale", content=body, headers=named).status_code

        def statuses_at_once() -> list[int]:
            with ThreadPoolExecutor(4) as threads:
                return list(threads.map(status_of, itertools.islice(others, 4)))

        statuses = [status_of(body) for body in (good, good, faceless, bad, b"")]
        statuses.append(status_of(next(others), **{"X-Request-Timeout-Ms": "1"}))
        assert statuses == [200, 200, 200, 500, 400, 504]
        wait_until(lambda: 429 in statuses_at_once(), "one of four at once is refused")
