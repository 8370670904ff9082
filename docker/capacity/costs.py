"""What a request costs, as `python -m docker.capacity.measure` writes it; and what a fleet has."""

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Of one request with one face.

    Attributes:
        loop_seconds: on the event loop, of which a process has one: HTTP, validation, bookkeeping.
        decode_seconds: of a core.
        encode_seconds: of a core.
        batch_seconds: of the device for a batch, whatever it holds.
        item_seconds: of the device for each face in a batch.
        redis_seconds: of the Redis server, which has one thread, for a request that is counted.
        request_bytes: on the wire, headers included.
        reply_bytes: the same.
        source: where and with what they were measured.
    """

    loop_seconds: float
    decode_seconds: float
    encode_seconds: float
    batch_seconds: float
    item_seconds: float
    redis_seconds: float
    request_bytes: float
    reply_bytes: float
    source: str


@dataclass(frozen=True, kw_only=True)
class Fleet:
    """What there is.

    Attributes:
        num_gpus: replicas, each with one GPU.
        codec_cores: of each replica, beside the one of its event loop.
        max_batch_size: faces in a batch.
        queue_capacity: faces that a replica holds at most; more are refused.
        gpus_per_balancer: replicas behind one load balancer, which sends a request to the one of
            them that has the fewest.
        balancer_bits_per_second: of a balancer's network, each way.
        num_redis: Redis servers that share the counts by API key.
    """

    num_gpus: int
    codec_cores: int = 4
    max_batch_size: int = 32
    queue_capacity: int = 128
    gpus_per_balancer: int = 100
    balancer_bits_per_second: float = 25e9
    num_redis: int = 1

    @property
    def num_balancers(self) -> int:
        return -(-self.num_gpus // self.gpus_per_balancer)


def read_costs(path: Path) -> Costs:
    """Read a file that `write_costs` has written.

    Raises:
        ValueError: a cost is missing, unknown or no number.
    """
    values = json.loads(path.read_text("utf-8"))
    names = {field.name for field in fields(Costs)}
    if not isinstance(values, dict) or values.keys() != names:
        raise ValueError(f"{path} must hold an object with exactly {', '.join(sorted(names))}")
    for name in names - {"source"}:
        if not isinstance(values[name], (int, float)) or values[name] < 0:
            raise ValueError(f"{path}: {name} is {values[name]!r}; it must be a number from 0 on")
    return Costs(**values)


def write_costs(path: Path, costs: Costs) -> None:
    path.write_text(json.dumps(asdict(costs), indent=2) + "\n", "utf-8")


def capacities(costs: Costs, fleet: Fleet) -> dict[str, float]:
    """Requests a second that each part of the fleet can do; the smallest one limits it."""
    per_face = costs.item_seconds + costs.batch_seconds / fleet.max_batch_size
    wire_bytes = max(costs.request_bytes, costs.reply_bytes)
    return {
        "device": fleet.num_gpus / per_face,
        "codec cores": fleet.num_gpus
        * fleet.codec_cores
        / (costs.decode_seconds + costs.encode_seconds),
        "event loop": fleet.num_gpus / costs.loop_seconds,
        "network": fleet.num_balancers * fleet.balancer_bits_per_second / (8 * wire_bytes),
        "Redis": fleet.num_redis / costs.redis_seconds,
    }
