"""Which part of a fleet is the limit first: python -m docker.capacity [COSTS.json] [--plot FILE].

For fleets of 10 to 1,000 GPUs and devices of several speeds: what each part could do, which of them
is the limit, and what a simulation at a share of that limit sees. COSTS.json is what
`python -m docker.capacity.measure` writes; without it the one beside this file.
"""

import argparse
import dataclasses
import random
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from docker.capacity.costs import Costs, Fleet, capacities, read_costs
from docker.capacity.simulation import Outcome, simulate

_COSTS = Path(__file__).with_name("costs.json")
_FLEETS = (10, 100, 1000)
# No GPU has been measured with these models: faces a second, in full batches, to see what follows.
_DEVICE_RATES = (100, 300, 1000)
# Of a full batch's time the part that does not grow with it; assumed as well.
_BATCH_SHARE = 0.1


@dataclass(frozen=True)
class Finding:
    """A fleet, what limits it, and what happened at a share of that."""

    fleet: Fleet
    device_rate: float
    limit: str
    limit_rate: float
    outcome: Outcome


def with_device_rate(costs: Costs, fleet: Fleet, rate: float) -> Costs:
    """The costs with a device that does so many faces a second in full batches."""
    batch_seconds = _BATCH_SHARE * fleet.max_batch_size / rate
    return dataclasses.replace(
        costs, batch_seconds=batch_seconds, item_seconds=(1 - _BATCH_SHARE) / rate
    )


def find_limits(
    costs: Costs,
    fleets: Sequence[int],
    rates: Sequence[float],
    *,
    share: float,
    num_requests: int,
    codec_cores: int,
) -> list[Finding]:
    """Simulate every fleet at a share of what its narrowest part can do."""
    findings = []
    for rate in rates:
        for num_gpus in fleets:
            fleet = Fleet(num_gpus=num_gpus, codec_cores=codec_cores)
            own = with_device_rate(costs, fleet, rate)
            limit, limit_rate = min(capacities(own, fleet).items(), key=lambda part: part[1])
            outcome = simulate(
                own,
                fleet,
                requests_per_second=share * limit_rate,
                num_requests=max(num_requests, 20 * num_gpus),
                rng=random.Random(num_gpus),
            )
            findings.append(Finding(fleet, rate, limit, limit_rate, outcome))
    return findings


def table(findings: Sequence[Finding]) -> str:
    """As Markdown."""
    parts = list(findings[0].outcome.busy)
    header = ["GPUs", "faces/s of one", "first limit", "at requests/s", *parts, "p50", "p99"]
    lines = [f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
    for one in findings:
        busy = " | ".join(f"{100 * one.outcome.busy[part]:.0f} %" for part in parts)
        p50, p99 = (1000 * one.outcome.percentile(share) for share in (0.5, 0.99))
        lines.append(
            f"| {one.fleet.num_gpus} | {one.device_rate:g} | {one.limit} | {one.limit_rate:,.0f} "
            f"| {busy} | {p50:.0f} ms | {p99:.0f} ms |"
        )
    return "\n".join(lines) + "\n"


def plot(findings: Sequence[Finding], path: Path) -> None:
    """Draw what limits each fleet, over its size, one line for each speed of the device."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    axes = figure.subplots()
    for rate in sorted({one.device_rate for one in findings}):
        own = [one for one in findings if one.device_rate == rate]
        sizes = [one.fleet.num_gpus for one in own]
        axes.plot(sizes, [one.limit_rate for one in own], "o-", label=f"{rate:g} faces/s a GPU")
        for one in own:
            axes.annotate(one.limit, (one.fleet.num_gpus, one.limit_rate), fontsize=6)
    axes.set(xscale="log", yscale="log", xlabel="GPUs", ylabel="requests/s, by the first limit")
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=100)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m docker.capacity")
    parser.add_argument("costs", type=Path, nargs="?", default=_COSTS)
    parser.add_argument("--gpus", type=int, nargs="+", default=_FLEETS)
    parser.add_argument("--device-rates", type=float, nargs="+", default=_DEVICE_RATES)
    parser.add_argument("--codec-cores", type=int, default=Fleet(num_gpus=1).codec_cores)
    parser.add_argument("--share", type=float, default=0.7, help="of the limit, that is offered")
    parser.add_argument("--requests", type=int, default=20_000, help="in each simulation, at least")
    parser.add_argument("--plot", type=Path, help="PNG to write; needs matplotlib")
    options = parser.parse_args(arguments)
    findings = find_limits(
        read_costs(options.costs),
        options.gpus,
        options.device_rates,
        share=options.share,
        num_requests=options.requests,
        codec_cores=options.codec_cores,
    )
    sys.stdout.write(table(findings))
    if options.plot is not None:
        plot(findings, options.plot)
    return 0


if __name__ == "__main__":
    sys.exit(main())
