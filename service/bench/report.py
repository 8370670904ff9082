"""What a load says of a service: rates, latencies, refusals; as text and as JSON."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from service.bench.load import NO_ANSWER, Outcome, Sample


@dataclass(frozen=True, kw_only=True)
class Latencies:
    """Milliseconds from the time at which requests were due; all 0 where there was none."""

    count: int
    p50: float
    p90: float
    p99: float
    p999: float
    highest: float

    @classmethod
    def of(cls, seconds: Sequence[float]) -> "Latencies":
        ordered = sorted(seconds)

        def at(share: float) -> float:
            """By the nearest rank: a value that was measured."""
            if not ordered:
                return 0.0
            return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]

        return cls(
            count=len(ordered), p50=at(0.5), p90=at(0.9), p99=at(0.99), p999=at(0.999),
            highest=at(1.0),
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Report:
    """One load's figures.

    Attributes:
        seconds: that are reported on: in which requests were due, but for the warm-up.
        rate: requests that were due in a second.
        goodput: successes a second, meanwhile; where there is a deadline, within it.
        statuses: answers by status; "none" where there was no answer.
        failures: requests without an answer, by reason.
        refusals_without_retry_after: 429s and 503s that do not say when to come back.
        succeeded, refused: latencies of 200s, and of 429s.
        send_lag: how late requests were sent; beyond a few ms the client or its connections were
            the limit.
        client_cpu_share: of one core.
    """

    seconds: float
    rate: float
    goodput: float
    statuses: dict[str, int]
    failures: dict[str, int]
    refusals_without_retry_after: int
    succeeded: Latencies
    refused: Latencies
    send_lag: Latencies
    client_cpu_share: float

    def as_json(self) -> dict[str, object]:
        return asdict(self)

    def lines(self) -> list[str]:
        statuses = ", ".join(f"{number} x {status}" for status, number in self.statuses.items())
        failures = "".join(f", {number} {reason}" for reason, number in self.failures.items())
        return [
            f"{self.rate:.1f} requests/s for {self.seconds:.1f} s: {statuses}{failures}",
            f"goodput {self.goodput:.1f} /s",
            f"succeeded  {_describe(self.succeeded)}",
            f"refused    {_describe(self.refused)}"
            + f", {self.refusals_without_retry_after} without Retry-After",
            f"sent late  {_describe(self.send_lag)}; client busy {self.client_cpu_share:.0%} of a "
            "core",
        ]


def report_on(
    outcome: Outcome, *, warm_up_seconds: float = 0.0, deadline_seconds: float | None = None
) -> Report:
    """Sum a load up; requests due in the warm-up are left out."""
    seconds = max(outcome.load_seconds - warm_up_seconds, 1e-9)
    samples = [sample for sample in outcome.samples if sample.due >= warm_up_seconds]
    good = [s for s in samples if s.status == 200]
    in_time = [
        s
        for s in outcome.samples
        if s.status == 200
        and warm_up_seconds <= s.finished <= outcome.load_seconds
        and (deadline_seconds is None or s.seconds <= deadline_seconds)
    ]
    statuses = Counter(s.status for s in samples)
    return Report(
        seconds=seconds,
        rate=len(samples) / seconds,
        goodput=len(in_time) / seconds,
        statuses={
            "none" if status == NO_ANSWER else str(status): number
            for status, number in sorted(statuses.items())
        },
        failures=dict(Counter(s.failure for s in samples if s.failure)),
        refusals_without_retry_after=sum(_lacks_retry_after(s) for s in samples),
        succeeded=Latencies.of([s.seconds for s in good]),
        refused=Latencies.of([s.seconds for s in samples if s.status == 429]),
        send_lag=Latencies.of([s.sent - s.due for s in samples]),
        client_cpu_share=outcome.client_cpu_seconds / max(outcome.seconds, 1e-9),
    )


def _lacks_retry_after(sample: Sample) -> bool:
    return sample.status in (429, 503) and not sample.has_retry_after


def _describe(found: Latencies) -> str:
    if not found.count:
        return "none"
    return (
        f"p50 {found.p50:.1f}, p90 {found.p90:.1f}, p99 {found.p99:.1f}, p99.9 {found.p999:.1f}, "
        f"highest {found.highest:.1f} ms"
    )
