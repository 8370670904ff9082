"""Every time series that a query may name: the service's by its own code, others by source."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, cast

from prometheus_client.metrics import MetricWrapperBase

from service.metrics import Metrics

Kind = Literal["counter", "gauge", "histogram", "summary"]

# What each kind of metric is called on the wire.
_SUFFIXES: dict[Kind, tuple[str, ...]] = {
    "counter": ("_total",),
    "gauge": ("",),
    "histogram": ("_bucket", "_count", "_sum"),
    "summary": ("_count", "_sum"),
}

# What Prometheus and the operator add to whatever they scrape.
TARGET_LABELS = frozenset({"job", "instance", "namespace", "pod"})


@dataclass(frozen=True)
class Metric:
    """One metric of `service/metrics.py`."""

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...]

    @property
    def series(self) -> tuple[str, ...]:
        """Its names in a query."""
        return tuple(self.name + suffix for suffix in _SUFFIXES[self.kind])


# prometheus_client's ProcessCollector, which the service registers.
PROCESS = tuple(
    Metric(f"process_{name}", cast("Kind", kind), text, ())
    for name, kind, text in (
        ("cpu_seconds", "counter", "Cores' time."),
        ("resident_memory_bytes", "gauge", "Memory that the process holds."),
        ("virtual_memory_bytes", "gauge", "Memory that the process has asked for."),
        ("start_time_seconds", "gauge", "When the process started."),
        ("open_fds", "gauge", "Open files and connections."),
        ("max_fds", "gauge", "Most that may be open."),
    )
)

# Prometheus itself; NVIDIA's DCGM exporter, where one runs beside the GPUs (its default counters).
FOREIGN: dict[str, frozenset[str]] = {
    "up": frozenset(),
    "DCGM_FI_DEV_GPU_UTIL": frozenset({"gpu", "Hostname"}),
    "DCGM_FI_DEV_FB_USED": frozenset({"gpu", "Hostname"}),
}


def service_metrics() -> tuple[Metric, ...]:
    """What `service/metrics.py` makes, in its order."""
    return tuple(_described(vars(Metrics(max_batch_size=1)).values()))


def known_series() -> dict[str, frozenset[str]]:
    """Each series that may be queried, with its labels but those of its target."""
    known = dict(FOREIGN)
    for metric in (*service_metrics(), *PROCESS):
        for name in metric.series:
            own = {"le"} if name.endswith("_bucket") else set()
            known[name] = frozenset(metric.labels) | own
    return known


def _described(values: Iterable[object]) -> Iterator[Metric]:
    for value in values:
        if isinstance(value, MetricWrapperBase):
            (family,) = value.describe()
            # prometheus_client tells the names of labels nowhere else before there are values.
            labels = tuple(value._labelnames)
            kind = cast("Kind", family.type)
            yield Metric(family.name, kind, family.documentation, labels)
