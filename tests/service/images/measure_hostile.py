"""Decodes every hostile file in this process and prints what each cost, as JSON lines.

    python -m tests.service.images.measure_hostile

A process of its own: the highest memory of a process never falls again, so it is measured where
nothing else has raised it.
"""

import json
import resource
import sys
import time

from service.errors import ImageError
from service.images import ImageLimits, decode_image
from service.images.codec import is_small_file
from tests.service.images.hostile import Hostile, hostile_files

LIMITS = ImageLimits(
    max_image_bytes=8 * 2**20, min_image_side_px=8, max_image_side_px=1024, max_aspect_ratio=4
)
NUM_TRIES = 3


def highest_memory_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def measure(hostile: Hostile) -> dict[str, object]:
    """The outcome, the least CPU time of some tries, and by how much the memory grew."""
    before = highest_memory_bytes()
    seconds, outcome = [], ""
    for _ in range(NUM_TRIES):
        started_at = time.thread_time()
        outcome = decode(hostile.data)
        seconds.append(time.thread_time() - started_at)
        if seconds[-1] < 0.01:
            break
    return {
        "name": hostile.name,
        "outcome": outcome,
        "holds_picture": hostile.holds_picture,
        "is_small": is_small(hostile.data),
        "cpu_seconds": min(seconds),
        "grown_bytes": highest_memory_bytes() - before,
    }


def decode(data: bytes) -> str:
    try:
        decode_image(data, LIMITS)
    except ImageError as error:
        return type(error).__name__
    except Exception as error:  # anything that is no refusal of ours would be a 500
        return f"unforeseen: {error!r}"
    return "taken"


def is_small(data: bytes) -> bool:
    """Whether it is decoded on the event loop; what is refused by its head is, too."""
    try:
        return is_small_file(data)
    except ImageError:
        return True


def main() -> None:
    files = list(hostile_files())
    decode(files[0].data)
    for hostile in files:
        sys.stdout.write(json.dumps(measure(hostile)) + "\n")


if __name__ == "__main__":
    main()
