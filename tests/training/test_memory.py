import subprocess
import sys

import pytest

# Faults of a page in ten rounds of filling and freeing 64 MiB, which are 16,384 pages. The heap
# takes some rounds before it is large enough.
ROUNDS = """
import resource, torch
from training.memory import keep_freed_memory
print(keep_freed_memory() if {keeps} else False)
for _ in range(20):
    torch.ones(2**24)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    torch.ones(2**24)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def page_faults(*, keeps: bool) -> tuple[str, int]:
    # In a process of its own: the choice cannot be taken back.
    done = subprocess.run(
        [sys.executable, "-c", ROUNDS.format(keeps=keeps)],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    is_taken, faults = done.stdout.split()
    return is_taken, int(faults)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="glibc's allocator alone")
def test_freed_memory_is_used_again_without_the_kernels_help() -> None:
    is_taken, kept = page_faults(keeps=True)
    if is_taken == "False":
        pytest.skip("the C library has no mallopt")
    _, returned = page_faults(keeps=False)
    assert kept < returned / 10
