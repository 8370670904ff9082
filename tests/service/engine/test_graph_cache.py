import os
from pathlib import Path

import pytest

from service.engine.graph_cache import GraphCache

HOUR = 3600


def keys_of(folder: Path, name: str) -> set[str]:
    return {path.stem.removeprefix(f"{name}-")[0] for path in folder.glob(f"{name}-*.graph")}


def test_only_what_was_used_last_is_kept_of_a_name(tmp_path: Path) -> None:
    cache = GraphCache(tmp_path)
    for age, key in enumerate("abcd"):
        cache.write("x4", key.encode(), key=key * 30)
        written = tmp_path / f"x4-{key * 20}.graph"
        os.utime(written, (1e9 - age * HOUR, 1e9 - age * HOUR))
    cache.write("x4-row", b"another name", key="z" * 30)
    assert cache.read("x4", key="d" * 30) == b"d"  # the oldest, and used now
    cache.write("x4", b"e", key="e" * 30)
    assert keys_of(tmp_path, "x4") - {"r"} == {"a", "b", "d", "e"}
    assert cache.read("x4", key="c" * 30) is None
    assert cache.read("x4-row", key="z" * 30) == b"another name"


def test_file_that_may_only_be_read_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(path: Path) -> None:
        raise PermissionError(f"{path} is another user's")

    cache = GraphCache(tmp_path)
    cache.write("x4", b"graph", key="a" * 30)
    monkeypatch.setattr("os.utime", refuse)
    assert cache.read("x4", key="a" * 30) == b"graph"
    assert caplog.text == ""
