"""Replicas behind haproxy, restarted one after the other while callers call.

    python -m tests.e2e.rolling_restart [--requests 10000] [--restarts 5] [--callers 8]

sends at least that many requests and restarts a replica that often meanwhile, then prints how many
were answered with which status; the exit status is 0 if all were 200. Needs haproxy on the PATH.
The replicas are the service around an engine that takes its time and not the CPU's
(tests/e2e/stub_server.py), so that the service is tried and not the networks.
"""

import argparse
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.conftest import ServerProcess
from tests.e2e.daemons import Callers, Proxy, free_port, upscale, wait_until
from tests.service.support import as_file, noise

Start = Callable[[int], ServerProcess]
"""Start a replica on a port."""

# Between two restarts; what a heavily loaded machine may need for a few thousand requests.
_SECONDS_BETWEEN = 1200


@dataclass(frozen=True)
class Plan:
    """How many replicas, callers and (at least) requests there are, and how many restarts."""

    num_requests: int
    num_restarts: int
    num_callers: int
    num_replicas: int = 2


def restart_under_load(plan: Plan, start: Start, folder: Path) -> Mapping[int, int]:
    """Restart replicas in turn while callers call; gives how many requests had which answer.

    The restarts begin evenly over the requests; where they take longer, there are more requests.

    Args:
        plan: what to do.
        start: starts a replica that drains for long enough to be taken out of rotation.
        folder: for the proxy's configuration.
    """
    ports = [free_port() for _ in range(plan.num_replicas)]
    replicas = [start(port) for port in ports]
    for replica in replicas:
        replica.wait_for_address()
    proxy = Proxy(ports)
    with proxy.running(folder) as address:
        callers = Callers(
            address,
            upscale(as_file(noise())),
            number=plan.num_callers,
            most=100 * plan.num_requests,
        )
        with callers.calling():
            for turn in range(plan.num_restarts):
                callers.wait_for(
                    plan.num_requests * (turn + 1) // (plan.num_restarts + 1),
                    seconds=_SECONDS_BETWEEN,
                )
                number = turn % plan.num_replicas
                _restart(number, ports[number], replicas, proxy, start)
            callers.wait_for(plan.num_requests, seconds=_SECONDS_BETWEEN)
    return callers.answers


def _restart(
    number: int, port: int, replicas: list[ServerProcess], proxy: Proxy, start: Start
) -> None:
    """End a replica as an orchestrator does, and start another one in its place."""
    replicas[number].signal(signal.SIGTERM)
    wait_until(lambda: not proxy.is_up(number), "it is out of rotation")
    assert replicas[number].wait() == 0
    replicas[number] = start(port)
    replicas[number].wait_for_address()
    wait_until(lambda: proxy.is_up(number), "it is back in rotation")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--restarts", type=int, default=5)
    parser.add_argument("--callers", type=int, default=8)
    options = parser.parse_args()
    plan = Plan(options.requests, options.restarts, options.callers)
    started: list[ServerProcess] = []

    def start(port: int) -> ServerProcess:
        settings = {"http_port": port, "codec_threads": 1, "drain_delay_seconds": 2}
        started.append(ServerProcess(["tests.e2e.stub_server", "--base-ms", "10"], settings))
        return started[-1]

    began_at = time.monotonic()
    try:
        with tempfile.TemporaryDirectory() as folder:
            answers: Mapping[int, int] = restart_under_load(plan, start, Path(folder))
    finally:
        for server in started:
            server.kill()
    lost = Counter(answers).total() - answers[200]
    print(
        f"{plan.num_restarts} restarts, {Counter(answers).total()} requests in "
        f"{time.monotonic() - began_at:.0f} s, {lost} lost: {dict(answers)}"
    )
    return int(lost > 0)


if __name__ == "__main__":
    sys.exit(main())
