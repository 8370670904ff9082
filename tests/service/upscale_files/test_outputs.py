import zipfile
from pathlib import Path

import pytest

from service.upscale_files.outputs import ArchiveOutput, FolderOutput, part_beside, write_whole


def test_result_replaces_what_was_there_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"old")
    with FolderOutput(tmp_path) as output:
        output.write("a.png", b"new")
        output.write("sub/deep/b.png", b"b")
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.png", "b.png", "deep", "sub"]
    assert (tmp_path / "a.png").read_bytes() == b"new"


def test_failed_write_leaves_the_old_file_and_no_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "a.png"
    target.write_bytes(b"old")

    def fail(self: Path, other: Path) -> Path:
        raise OSError("the disk is full")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="disk is full"):
        write_whole(target, b"new")
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]
    assert target.read_bytes() == b"old"


def test_part_of_an_earlier_run_that_was_killed_is_written_over(tmp_path: Path) -> None:
    part_beside(tmp_path / "a.png").write_bytes(b"half of something longer")
    write_whole(tmp_path / "a.png", b"new")
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"new"]


def test_archive_appears_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "out.zip"
    with ArchiveOutput(path) as output:
        output.write("sub/a.png", b"a")
        assert not path.exists()
    with zipfile.ZipFile(path) as archive:
        assert archive.read("sub/a.png") == b"a"
    assert [p.name for p in tmp_path.iterdir()] == ["out.zip"]


def test_stopped_or_empty_archive_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), ArchiveOutput(tmp_path / "out.zip") as output:
        output.write("a.png", b"a")
        raise KeyboardInterrupt
    with ArchiveOutput(tmp_path / "empty.zip"):
        pass
    assert list(tmp_path.iterdir()) == []
