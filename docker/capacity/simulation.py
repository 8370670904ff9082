"""Requests on their way through a fleet, event by event (SimPy).

balancer's network -> Redis (the caller's count) -> event loop -> codec cores -> device, in batches
-> codec cores -> balancer's network. Arrivals are random at a given rate. A replica whose queue is
full refuses. Nothing here is the service's own code: it is a second opinion on sums that one could
do by hand, and tells what those cannot, the waiting.
"""

import heapq
import random
from collections import Counter
from collections.abc import Generator
from dataclasses import dataclass, field

import simpy

from docker.capacity.costs import Costs, Fleet

Process = Generator[simpy.Event, object, None]


@dataclass(frozen=True)
class Outcome:
    """What came of a simulated while.

    Attributes:
        offered: requests a second that came.
        answered: requests a second that were answered with a face.
        refused: share of the requests that found a full queue.
        latencies: seconds of the answered requests, ascending.
        busy: by part, the share of its time that it worked; 1 is all of it.
    """

    offered: float
    answered: float
    refused: float
    latencies: list[float]
    busy: dict[str, float]

    def percentile(self, share: float) -> float:
        """Latency in seconds that so large a share of the answered requests stayed within."""
        last = len(self.latencies) - 1
        return self.latencies[min(last, int(share * len(self.latencies)))] if last >= 0 else 0.0


class _Station:
    """Servers of one kind with one queue before them; counts its working time."""

    def __init__(self, environment: simpy.Environment, name: str, size: int) -> None:
        self._environment = environment
        self._resource = simpy.Resource(environment, capacity=size)
        self.name = name
        self.size = size
        self.work_seconds = 0.0

    def serve(self, seconds: float) -> Process:
        with self._resource.request() as turn:
            yield turn
            yield self._environment.timeout(seconds)
        self.work_seconds += seconds


class _Replica:
    """Event loop, codec cores, and a device that takes what waits when it becomes free."""

    def __init__(self, environment: simpy.Environment, costs: Costs, fleet: Fleet) -> None:
        self._environment = environment
        self._costs = costs
        self._max_batch_size = fleet.max_batch_size
        self._waiting: list[simpy.Event] = []
        self._arrival = environment.event()
        self.loop = _Station(environment, "event loop", 1)
        self.codec = _Station(environment, "codec cores", fleet.codec_cores)
        self.device_seconds = 0.0
        self.num_held = 0
        environment.process(self._run_device())

    def upscale(self) -> simpy.Event:
        """Join the queue; the event happens when the batch is done."""
        done = self._environment.event()
        self._waiting.append(done)
        if not self._arrival.triggered:
            self._arrival.succeed()
        return done

    def _run_device(self) -> Process:
        while True:
            if not self._waiting:
                self._arrival = self._environment.event()
                yield self._arrival
            batch = self._waiting[: self._max_batch_size]
            del self._waiting[: len(batch)]
            seconds = self._costs.batch_seconds + self._costs.item_seconds * len(batch)
            yield self._environment.timeout(seconds)
            self.device_seconds += seconds
            for done in batch:
                done.succeed()


class _Balancer:
    """Sends to the replica of its own that has the fewest requests; ties by turns."""

    def __init__(self, environment: simpy.Environment, replicas: list[_Replica]) -> None:
        self.inbound = _Station(environment, "network", 1)
        self.outbound = _Station(environment, "network", 1)
        self._replicas = replicas
        self._turn = 0
        self._open = [0] * len(replicas)
        self._heap = [(0, number, number) for number in range(len(replicas))]

    def take(self) -> tuple[int, _Replica]:
        while True:
            count, _, number = heapq.heappop(self._heap)
            if count == self._open[number]:  # else an entry that was true once
                break
        self._open[number] += 1
        self._push(number)
        return number, self._replicas[number]

    def give_back(self, number: int) -> None:
        self._open[number] -= 1
        self._push(number)

    def _push(self, number: int) -> None:
        self._turn += 1
        heapq.heappush(self._heap, (self._open[number], self._turn, number))


@dataclass
class _Tally:
    """What is counted once the fleet is under load."""

    from_second: float
    latencies: list[float] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


def simulate(
    costs: Costs,
    fleet: Fleet,
    *,
    requests_per_second: float,
    num_requests: int,
    rng: random.Random,
) -> Outcome:
    """Let so many requests come at a rate; the first fifth only fills the fleet.

    Args:
        costs: of a request.
        fleet: what there is.
        requests_per_second: that come, with random times between them.
        num_requests: of the whole simulation.
        rng: of the arrivals.
    """
    environment = simpy.Environment()
    replicas = [_Replica(environment, costs, fleet) for _ in range(fleet.num_gpus)]
    size = fleet.gpus_per_balancer
    balancers = [
        _Balancer(environment, replicas[start : start + size])
        for start in range(0, fleet.num_gpus, size)
    ]
    redis = _Station(environment, "Redis", fleet.num_redis)
    seconds = num_requests / requests_per_second
    tally = _Tally(from_second=seconds / 5)

    def arrive() -> Process:
        for number in range(num_requests):
            yield environment.timeout(rng.expovariate(requests_per_second))
            balancer = balancers[number % len(balancers)]
            environment.process(_request(environment, balancer, redis, costs, fleet, tally))

    environment.process(arrive())
    environment.run(until=seconds)
    return _outcome(replicas, balancers, redis, tally, seconds)


def _request(
    environment: simpy.Environment,
    balancer: _Balancer,
    redis: _Station,
    costs: Costs,
    fleet: Fleet,
    tally: _Tally,
) -> Process:
    began_at = environment.now
    is_counted = began_at >= tally.from_second
    byte_seconds = 8 / fleet.balancer_bits_per_second
    tally.counts["offered"] += is_counted
    yield from balancer.inbound.serve(costs.request_bytes * byte_seconds)
    number, replica = balancer.take()
    yield from redis.serve(costs.redis_seconds)
    if replica.num_held >= fleet.queue_capacity:
        tally.counts["refused"] += is_counted
        balancer.give_back(number)
        return
    replica.num_held += 1
    yield from replica.loop.serve(costs.loop_seconds)
    yield from replica.codec.serve(costs.decode_seconds)
    yield replica.upscale()
    yield from replica.codec.serve(costs.encode_seconds)
    replica.num_held -= 1
    balancer.give_back(number)
    yield from balancer.outbound.serve(costs.reply_bytes * byte_seconds)
    if environment.now >= tally.from_second:
        tally.latencies.append(environment.now - began_at)


def _outcome(
    replicas: list[_Replica],
    balancers: list[_Balancer],
    redis: _Station,
    tally: _Tally,
    seconds: float,
) -> Outcome:
    stations = [
        redis,
        *(station for one in replicas for station in (one.loop, one.codec)),
        *(station for one in balancers for station in (one.inbound, one.outbound)),
    ]
    work: Counter[str] = Counter()
    there: Counter[str] = Counter()
    for station in stations:
        work[station.name] += station.work_seconds  # type: ignore[assignment]
        there[station.name] += station.size
    busy = {name: work[name] / (there[name] * seconds) for name in there}
    busy["device"] = sum(one.device_seconds for one in replicas) / (len(replicas) * seconds)
    counted_seconds = seconds - tally.from_second
    offered = tally.counts["offered"]
    return Outcome(
        offered=offered / counted_seconds,
        answered=len(tally.latencies) / counted_seconds,
        refused=tally.counts["refused"] / max(1, offered),
        latencies=sorted(tally.latencies),
        busy=busy,
    )
