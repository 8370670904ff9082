import os
import sys
from pathlib import Path

import pytest

from service.engine.memory_limit import memory_limit_bytes, read_process_memory, reset_peak

MIB = 2**20

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells it so")


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "ascii")


def machine_bytes() -> int:
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_container_sees_its_limit_at_the_root_of_its_groups(tmp_path: Path) -> None:
    write(tmp_path / "proc/self/cgroup", "0::/\n")
    write(tmp_path / "sys/fs/cgroup/memory.max", f"{64 * MIB}\n")
    assert memory_limit_bytes(tmp_path) == 64 * MIB


def test_narrowest_of_the_groups_around_a_process_counts(tmp_path: Path) -> None:
    write(tmp_path / "proc/self/cgroup", "0::/apps/affectsr\n")
    write(tmp_path / "sys/fs/cgroup/apps/affectsr/memory.max", "max\n")
    write(tmp_path / "sys/fs/cgroup/apps/memory.max", f"{64 * MIB}\n")
    assert memory_limit_bytes(tmp_path) == 64 * MIB


def test_first_version_of_groups_is_read_too(tmp_path: Path) -> None:
    write(tmp_path / "proc/self/cgroup", "8:pids:/\n4:memory:/docker/abc\n")
    write(tmp_path / "sys/fs/cgroup/memory/memory.limit_in_bytes", f"{64 * MIB}\n")
    assert memory_limit_bytes(tmp_path) == 64 * MIB


@pytest.mark.parametrize("text", ["max", str(2**63 - 4096)])
def test_without_a_limit_it_is_the_machines_memory(text: str, tmp_path: Path) -> None:
    write(tmp_path / "proc/self/cgroup", "0::/\n1:memory:/\n")
    write(tmp_path / "sys/fs/cgroup/memory.max", "max\n")
    write(tmp_path / "sys/fs/cgroup/memory/memory.limit_in_bytes", text)
    assert memory_limit_bytes(tmp_path) == machine_bytes()


def test_peak_is_seen_until_it_is_reset() -> None:
    reset_peak()
    before = read_process_memory()
    assert before is not None
    taken = bytearray(os.urandom(4096) * 8192)  # 32 MiB
    assert len(taken) == 32 * MIB
    del taken
    after = read_process_memory()
    assert after is not None
    assert after.peak >= before.resident + 16 * MIB
    assert after.anonymous <= after.resident <= after.peak


def test_system_that_does_not_say_is_no_error(tmp_path: Path) -> None:
    assert read_process_memory(tmp_path) is None
    write(tmp_path / "proc/self/status", "Name:\tpython\n")
    assert read_process_memory(tmp_path) is None
    reset_peak(tmp_path)
