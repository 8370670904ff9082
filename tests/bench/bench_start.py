"""From the start of `affectsr serve` to its first 200 of /readyz, and the memory that it takes.

    python -m tests.bench.bench_start [--rounds 5] [--batch-sizes 1 2 4 8 16]

In turn with an empty cache of converted models, which the start fills, and with that cache. Files
are in the system's own cache after the first round, whose figures are therefore not taken. Then one
start for each AFFECTSR_MAX_BATCH_SIZE: sizes up to it are run before a service is ready, but for
those that take no more memory, so its memory is then what batches of that size take.
"""

import argparse
import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.bench.served import served


def measure_starts(num_rounds: int, folder: Path) -> dict[str, list[float]]:
    """Seconds from start to ready by what the cache holds; leaves filled ones, `folder/N`."""
    seconds: dict[str, list[float]] = {"empty": [], "filled": []}
    for number in range(num_rounds + 1):
        for taken in seconds.values():
            with served({"engine_cache_dir": folder / str(number)}) as service:
                taken.append(service.seconds_to_ready)
    return {kind: taken[1:] for kind, taken in seconds.items()}


def measure_memory(batch_sizes: Sequence[int], cache: Path) -> dict[int, tuple[float, float]]:
    """MiB when ready, and the most until then, by the largest batch."""
    found = {}
    for size in batch_sizes:
        with served({"engine_cache_dir": cache, "max_batch_size": size}) as service:
            found[size] = service.memory_mib()
    return found


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[1, 2, 4, 8, 16])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        starts = measure_starts(options.rounds, Path(folder))
        memory = measure_memory(options.batch_sizes, Path(folder) / "0")
    print("| cache of converted models | start to ready | slowest |\n|---|---|---|")
    for kind, seconds in starts.items():
        print(f"| {kind} | {statistics.median(seconds):.2f} s | {max(seconds):.2f} s |")
    print("\n| largest batch | memory when ready | at its highest |\n|---|---|---|")
    for size, (now, peak) in memory.items():
        print(f"| {size} | {now:.0f} MiB | {peak:.0f} MiB |")


if __name__ == "__main__":
    main()
