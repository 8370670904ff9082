"""`affectsr upscale` on many images: folders, archives, what is done, what fails."""

import io
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from service.cli import main
from tests.service.support import as_file, noise


@pytest.fixture(autouse=True)
def _no_readout(tiny_models: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AFFECTSR_READOUT", "none")


@pytest.fixture
def album(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three faces, one of them in a folder below, and the working directory above."""
    for seed, name in enumerate(("a.png", "b.png", "sub/c.png")):
        path = tmp_path / "album" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(as_file(noise(seed=seed)))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "album"


def upscale(*arguments: str) -> int:
    return main(["upscale", *arguments])


def results(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_file() and path.name != ".affectsr-journal"
    )


def size_of(data: bytes) -> tuple[int, int]:
    return Image.open(io.BytesIO(data)).size


def test_folder_is_upscaled_with_all_below_it_and_then_only_what_is_new(
    album: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (album / "notes.txt").write_text("no image", "utf-8")
    assert upscale("album", "out", "--workers", "2") == 0
    assert results(Path("out")) == ["a.png", "b.png", "sub/c.png"]
    assert size_of(Path("out/sub/c.png").read_bytes()) == (128, 128)
    said = capsys.readouterr()
    assert said.out.count("\n") == 3
    assert said.err == "affectsr: 3 upscaled, 1 other files left alone, of 3 images\n"

    (album / "d.png").write_bytes(as_file(noise(seed=9)))
    before = Path("out/a.png").stat().st_mtime_ns
    assert upscale("album", "out") == 0
    assert Path("out/a.png").stat().st_mtime_ns == before
    assert "1 upscaled, 3 skipped as done before" in capsys.readouterr().err


def test_other_options_or_another_source_make_a_result_anew(
    album: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert upscale("album", "out") == 0
    x4 = Path("out/a.png").read_bytes()
    assert upscale("album", "out", "--scale", "8") == 0
    assert Path("out/a.png").read_bytes() != x4
    (album / "a.png").write_bytes(as_file(noise(seed=5)))
    capsys.readouterr()
    assert upscale("album", "out", "--scale", "8") == 0
    assert "1 upscaled, 2 skipped" in capsys.readouterr().err


def test_nothing_to_do_loads_no_model(
    album: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert upscale("album", "out") == 0

    def fail(*arguments: object) -> None:
        raise AssertionError("a model was loaded")

    monkeypatch.setattr("service.command_room.load_engine", fail)
    capsys.readouterr()
    assert upscale("album", "out") == 0
    assert "0 upscaled, 3 skipped" in capsys.readouterr().err


def test_failures_are_listed_at_the_end_and_tried_again_the_next_time(
    album: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = (album / "b.png").read_bytes()
    (album / "b.png").write_bytes(whole[:-300])
    assert upscale("album", "out") == 1
    assert results(Path("out")) == ["a.png", "sub/c.png"]
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("affectsr: error: album/b.png: the PNG image ends early, after ")
    assert second == "affectsr: 2 upscaled, 1 failed, of 3 images"

    (album / "b.png").write_bytes(whole)
    assert upscale("album", "out") == 0
    assert "1 upscaled, 2 skipped" in capsys.readouterr().err


def test_files_of_somebody_elses_are_only_replaced_when_told_to(
    album: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Path("out").mkdir()
    Path("out/a.png").write_bytes(b"a holiday picture")
    Path("out/b.png").write_bytes(b"another")
    assert upscale("album", "out") == 2
    assert Path("out/a.png").read_bytes() == b"a holiday picture"
    assert "out/a.png and 1 more would be replaced" in capsys.readouterr().err
    assert upscale("album", "out", "--overwrite") == 0
    assert size_of(Path("out/a.png").read_bytes()) == (128, 128)


def test_without_a_journal_nothing_but_results_is_left(album: Path) -> None:
    assert upscale("album", "out") == 0
    assert upscale("album", "out", "--no-journal") == 0
    assert not Path("out/.affectsr-journal").exists()
    assert upscale("album", "out", "--no-journal") == 2


def test_archive_in_and_archive_out(album: Path) -> None:
    with zipfile.ZipFile("in.zip", "w") as archive:
        for path in sorted(album.rglob("*.png")):
            archive.write(path, path.relative_to(album).as_posix())
    assert upscale("in.zip", "out.zip", "--format", "jpg") == 0
    with zipfile.ZipFile("out.zip") as archive:
        assert sorted(archive.namelist()) == ["a.jpg", "b.jpg", "sub/c.jpg"]
        assert size_of(archive.read("sub/c.jpg")) == (128, 128)
    assert upscale("in.zip", "out") == 0
    assert results(Path("out")) == ["a.png", "b.png", "sub/c.png"]


@pytest.mark.parametrize("workers", ["0", "200"])
def test_workers_out_of_bounds_are_told(
    workers: str, album: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert upscale("album", "out", "--workers", workers) == 2
    assert f"--workers is {workers}; it must be 1 to 127" in capsys.readouterr().err


def test_lost_device_ends_the_run_with_its_own_status(
    album: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from service.errors import DeviceLostError
    from service.pipeline import UpscalePipeline

    async def lose(*arguments: object) -> None:
        raise DeviceLostError("the device is gone")

    monkeypatch.setattr(UpscalePipeline, "upscale", lose)
    assert upscale("album", "out") == 4
    assert capsys.readouterr().err == "affectsr: error: the device is gone\n"


def test_a_photo_without_a_face_fails_in_photo_mode_and_is_a_crop_in_auto(
    album: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert upscale("album/a.png", "a.png", "--mode", "photo") == 1
    assert "no face was found in the photo of 32 x 32 px" in capsys.readouterr().err
    assert upscale("album/a.png", "a.png", "--mode", "auto") == 0
    assert size_of(Path("a.png").read_bytes()) == (128, 128)


def test_photos_at_once_are_bounded_by_what_each_is_admitted_for(
    album: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert upscale("album/a.png", "a.png", "--mode", "photo", "--workers", "8") == 2
    assert "--workers is 8; it must be 1 to 7" in capsys.readouterr().err


def test_a_strength_is_a_share(album: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        upscale("album/a.png", "a.png", "--mode", "photo", "--strength", "2")
    assert "2 is no number from 0 to 1" in capsys.readouterr().err
