"""How much memory this process may use, and how much it uses; all of it as Linux tells it."""

import contextlib
import itertools
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

# Control groups, version 2 and 1: where they are mounted, and the file that holds a group's limit.
_GROUPS = (("sys/fs/cgroup", "memory.max"), ("sys/fs/cgroup/memory", "memory.limit_in_bytes"))
# Version 1 writes "no limit" as the largest number that is a multiple of a page.
_NO_LIMIT_FROM = 2**60


@dataclass(frozen=True, kw_only=True)
class ProcessMemory:
    """Bytes of a process that lie in memory.

    Attributes:
        resident: all of them.
        anonymous: without those that a file holds, too, and that can so be taken away.
        peak: the most that `resident` has been since `reset_peak`.
    """

    resident: int
    anonymous: int
    peak: int


def memory_limit_bytes(root: Path = Path("/")) -> int | None:
    """The narrowest of the container's limit, the process's own and the machine's memory.

    Args:
        root: where /proc and /sys are looked for.

    Returns:
        None where nothing says it, as on systems that are not Linux.
    """
    return min((*_group_limits(root), *_process_limits(), *_machine_bytes()), default=None)


def killing_limit_bytes(root: Path = Path("/")) -> int | None:
    """The one of these limits beyond which a process is killed: all but its own, which only refuse.

    Args:
        root: as above.
    """
    return min((*_group_limits(root), *_machine_bytes()), default=None)


def read_process_memory(root: Path = Path("/")) -> ProcessMemory | None:
    """What this process uses now; None where the system does not say."""
    try:
        lines = (root / "proc/self/status").read_text("ascii").splitlines()
    except OSError:
        return None
    fields = dict(line.split(":", 1) for line in lines if ":" in line)
    try:
        resident, anonymous, peak = (
            int(fields[name].split()[0]) * 1024 for name in ("VmRSS", "RssAnon", "VmHWM")
        )
    except KeyError:
        return None
    return ProcessMemory(resident=resident, anonymous=anonymous, peak=peak)


def reset_peak(root: Path = Path("/")) -> None:
    """Let the peak begin anew; where that is not allowed it stays what it was."""
    with contextlib.suppress(OSError):
        # "5" resets the peak and nothing else: proc(5), clear_refs.
        (root / "proc/self/clear_refs").write_text("5", "ascii")


def _group_limits(root: Path) -> Iterator[int]:
    """Limits of the control groups that this process is in, and of those around them."""
    try:
        lines = (root / "proc/self/cgroup").read_text("utf-8").splitlines()
    except OSError:
        return
    paths = {Path(line.split(":", 2)[2].strip("/")) for line in lines if line.count(":") >= 2}
    # Each group and those around it, up to the mount itself, whose path is ".".
    groups = {group for path in paths for group in (path, *path.parents)}
    for (mount, name), group in itertools.product(_GROUPS, groups):
        try:
            text = (root / mount / group / name).read_text("ascii").strip()
        except OSError:  # a container sees its own group as the root, and not the path to it
            continue
        if text != "max" and int(text) < _NO_LIMIT_FROM:
            yield int(text)


def _process_limits() -> Iterator[int]:
    if sys.platform == "win32":
        return
    import resource

    for kind in (resource.RLIMIT_AS, resource.RLIMIT_DATA):
        soft, _ = resource.getrlimit(kind)
        if soft != resource.RLIM_INFINITY:
            yield soft


def _machine_bytes() -> Iterator[int]:
    try:
        yield os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (AttributeError, ValueError):
        return
