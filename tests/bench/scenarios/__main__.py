"""See the package's docstring."""

import argparse
import os
import sys
import time

from tests.bench import scenarios
from tests.bench.scenarios.catalogue import SCENARIOS
from tests.bench.scenarios.setup import Setup


def main() -> int:
    """Run the scenarios and print what they claim; 1 if a claim does not hold."""
    parser = argparse.ArgumentParser(
        description=scenarios.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("numbers", nargs="*", type=int, metavar="NUMBER", choices=[*SCENARIOS, []])
    parser.add_argument("--full", action="store_true")
    options = parser.parse_args()
    setup = _keep_apart() if options.full else Setup(is_full=False)
    num_failed = 0
    for number in options.numbers or SCENARIOS:
        scenario = SCENARIOS[number]
        print(f"{number}. {scenario.title}", flush=True)
        started_at = time.monotonic()
        checks = scenario.run(setup)
        for check in checks:
            print(f"   {check}")
        num_failed += sum(not check.holds for check in checks)
        print(f"   took {time.monotonic() - started_at:.0f} s", flush=True)
    return 1 if num_failed else 0


def _keep_apart() -> Setup:
    """The client on the last core, the service on the others, where there are several."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) > 1:
        os.sched_setaffinity(0, {cores[-1]})
    return Setup(is_full=True, server_cores=tuple(cores[:-1]))


if __name__ == "__main__":
    sys.exit(main())
