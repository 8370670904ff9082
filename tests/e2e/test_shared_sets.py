"""Running sets across two real replicas and a real Redis: nothing lost, nothing counted twice."""

import contextlib
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from model_store.emotion.ecm import EcmSums
from tests.e2e.conftest import ServerProcess
from tests.e2e.daemons import Proxy
from tests.redis_server import RedisServer
from tests.service.support import as_file, noise

pytestmark = pytest.mark.e2e

Serve = Callable[..., ServerProcess]

NUM_REQUESTS = 24
SIDES = ("original", "super_resolved")


@pytest.fixture
def replicas(serve: Serve, redis: RedisServer) -> list[ServerProcess]:
    return [
        serve(
            emotion_model="emotion-mobilefacenet",
            redis_url=redis.url,
            redis_timeout_ms=5000,  # the tests share the machine with others
            max_batch_size=1,  # then an image's last bits do not depend on its company
        )
        for _ in range(2)
    ]


@pytest.fixture
def clients(replicas: list[ServerProcess]) -> Iterator[list[httpx.Client]]:
    """One for each replica."""
    with contextlib.ExitStack() as stack:
        yield [
            stack.enter_context(httpx.Client(base_url=f"http://{host}:{port}", timeout=30))
            for host, port in [replica.wait_for_address() for replica in replicas]
        ]


def post(client: httpx.Client, number: int) -> httpx.Response:
    """Add pairs of the request's own to the set, under the request's own key."""
    files = [
        (name, ("x.png", as_file(noise(48, 48, seed=100 * number + 10 * index + side))))
        for index in range(1 + number % 2)
        for side, name in enumerate(SIDES)
    ]
    return client.post(
        "/v1/ecm?set=shared", files=files, headers={"Idempotency-Key": f"request-{number}"}
    )


def added_by_one_process(replies: Sequence[httpx.Response]) -> EcmSums:
    """What one process holds that is given each request's pairs once."""
    sums = EcmSums.empty(7)
    for reply in replies:
        pairs = reply.json()["pairs"]
        originals, results = (
            [list(pair[side]["probabilities"].values()) for pair in pairs] for side in SIDES
        )
        sums = sums.add(originals, results)
    return sums


def assert_shown_by(clients: Sequence[httpx.Client], expected: EcmSums) -> None:
    """All of it to the last bit."""
    result, interval = expected.result(), expected.interval()
    assert interval is not None
    for client in clients:
        shown = client.get("/v1/ecm/sets/shared").json()
        assert shown["ecm"] == {
            "value": result.ecm,
            "l_h": result.l_h,
            "l_conf": result.l_conf,
            "n": result.n,
            "degenerate": False,
        }
        assert shown["interval"]["low"] == interval.low
        assert shown["interval"]["high"] == interval.high


def test_two_replicas_give_exactly_the_value_of_one_process(clients: list[httpx.Client]) -> None:
    with ThreadPoolExecutor(4) as threads:
        replies = list(threads.map(post, itertools.cycle(clients), range(NUM_REQUESTS)))
    assert [reply.status_code for reply in replies] == [200] * NUM_REQUESTS
    expected = added_by_one_process(replies)
    assert expected.n == 36
    assert_shown_by(clients, expected)


def test_sets_add_up_across_replicas_behind_the_proxy(
    clients: list[httpx.Client], tmp_path: Path
) -> None:
    with contextlib.ExitStack() as stack:
        proxy = Proxy([int(client.base_url.port or 0) for client in clients])
        address = stack.enter_context(proxy.running(tmp_path))
        callers = [
            stack.enter_context(httpx.Client(base_url=address, timeout=30)) for _ in range(4)
        ]
        threads = stack.enter_context(ThreadPoolExecutor(4))
        replies = list(threads.map(post, itertools.cycle(callers), range(NUM_REQUESTS)))
        assert [reply.status_code for reply in replies] == [200] * NUM_REQUESTS
        assert_shown_by([*clients, callers[0]], added_by_one_process(replies))
    shares = [requests_answered_by(client) for client in clients]
    assert sum(shares) == NUM_REQUESTS
    assert min(shares) > 0  # the proxy sends a request to the replica that has fewer


def requests_answered_by(client: httpx.Client) -> int:
    series = 'affectsr_requests_total{code="200",route="/v1/ecm"} '
    (line,) = (line for line in client.get("/metrics").text.splitlines() if line.startswith(series))
    return int(float(line.removeprefix(series)))


def test_replica_that_dies_in_the_middle_loses_and_doubles_nothing(
    replicas: list[ServerProcess], clients: list[httpx.Client]
) -> None:
    doomed, survivor = clients
    is_half_done = threading.Event()
    replies: dict[int, httpx.Response] = {}

    def post_until_answered(number: int) -> None:
        """As behind a load balancer: to the other replica when its own is gone."""
        try:
            replies[number] = post(clients[number % 2], number)
        except httpx.TransportError:
            replies[number] = post(survivor, number)
        if len(replies) >= NUM_REQUESTS // 3:
            is_half_done.set()

    with ThreadPoolExecutor(6) as threads:
        working = [threads.submit(post_until_answered, n) for n in range(NUM_REQUESTS)]
        assert is_half_done.wait(timeout=60)
        replicas[0].kill()
        for work in working:
            work.result()
    with pytest.raises(httpx.TransportError):
        doomed.get("/livez")
    assert [replies[number].status_code for number in range(NUM_REQUESTS)] == [200] * NUM_REQUESTS
    expected = added_by_one_process([replies[number] for number in range(NUM_REQUESTS)])
    assert_shown_by([survivor], expected)
    # Whoever is unsure sends all of it again: nothing counts twice, whichever replica had it.
    again = [post(survivor, number) for number in range(NUM_REQUESTS)]
    assert all(reply.json()["set"]["replayed"] for reply in again)
    assert_shown_by([survivor], expected)
