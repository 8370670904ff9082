"""What commands say to a terminal: an exit status with its reason, and tables."""

import sys
from collections.abc import Sequence

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_NO_START = 3
EXIT_DEVICE_LOST = 4
EXIT_STOPPED = 130  # 128 + SIGINT, as shells count


def fail(message: str, status: int) -> int:
    """Tell why a command fails; returns the status."""
    print(f"affectsr: error: {message}", file=sys.stderr)
    return status


def print_table(rows: Sequence[Sequence[str]]) -> None:
    """Print rows of equally many cells, the columns aligned."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())
