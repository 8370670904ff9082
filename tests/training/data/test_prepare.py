import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model_store.faces.framing import TEMPLATE
from tests.conftest import ROOT
from tests.training.data.fake_faces import (
    FakeTeacher,
    KillingTeacher,
    draw_face,
    draw_photo,
    save,
)
from training.data.face_maker import FramingOptions, assign_split, measure_sharpness
from training.data.pack import Split, open_pack
from training.data.prepare import PrepareOptions, PrepareReport, prepare_pack
from training.data.sources.open_source import SourceKind, open_source
from training.errors import DataError

SKETCHES = 3  # faces of the fixture ``source``


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    save(folder / "Ada_1.png", draw_face(1))
    save(folder / "Ada_2.png", draw_face(2))
    save(folder / "deep" / "Bob_1.jpg", draw_face(3, side=300))
    return folder


def prepare(
    folder: Path,
    target: Path,
    *,
    kind: SourceKind = "folder",
    group_pattern: str | None = None,
    align: bool = False,
    validation_permille: int = 30,
    only: tuple[Split, ...] | None = None,
    against: tuple[Path, ...] = (),
    num_workers: int = 1,
) -> PrepareReport:
    return prepare_pack(
        open_source(folder, kind=kind, group_pattern=group_pattern),
        target,
        open_teacher=FakeTeacher,
        options=PrepareOptions(
            framing=FramingOptions(align=align, validation_permille=validation_permille),
            only=only,
            against=against,
            num_workers=num_workers,
        ),
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def summary_of(folder: Path) -> dict[str, list[dict[str, str]]]:
    summary: dict[str, list[dict[str, str]]] = json.loads((folder / "pack.json").read_text())
    return summary


def test_faces_come_with_landmarks_size_and_digest(source: Path, tmp_path: Path) -> None:
    prepare(source, tmp_path / "pack")
    pack = open_pack(tmp_path / "pack", verify=True)
    assert [record.file for record in pack.records] == ["Ada_1.png", "Ada_2.png", "deep/Bob_1.jpg"]
    assert pack.images.shape == (3, 128, 128, 3)
    assert np.array_equal(pack.images[0], draw_face(1))
    brightness = [float(image.mean()) / 255 for image in pack.images]
    assert pack.landmarks[:, 0, 2] == pytest.approx(brightness, abs=1e-4)
    digest = hashlib.sha256((source / "Ada_2.png").read_bytes()).hexdigest()
    assert pack.records[1].sha256 == digest


def test_files_that_give_no_face_are_counted_and_listed(source: Path, tmp_path: Path) -> None:
    (source / "broken.jpg").write_bytes(b"\xff\xd8\xff not a picture")
    (source / "cut.png").write_bytes((source / "Ada_1.png").read_bytes()[:3000])
    (source / "notes.txt").write_text("not looked at")
    save(source / "wide.png", draw_face(4)[:64])
    save(source / "black.png", np.zeros((128, 128, 3), np.uint8))
    report = prepare(source, tmp_path / "pack")
    summary = summary_of(tmp_path / "pack")
    reasons = {item["file"]: item["reason"] for item in summary["skipped"]}
    assert set(reasons) == {"broken.jpg", "cut.png", "wide.png", "black.png"}
    assert "unreadable image" in reasons["broken.jpg"]
    assert "unreadable image" in reasons["cut.png"]
    assert "128 x 64 px is not a square face crop; --align cuts" in reasons["wide.png"]
    assert "all is black" in reasons["black.png"]
    assert report.faces == {"train": SKETCHES}
    assert "3 faces (3 train), 4 files skipped" in report.to_text()


def test_faces_are_found_in_whole_pictures_and_aligned(tmp_path: Path) -> None:
    photo = draw_photo(5, size=(1600, 900), face_side=256, corner=(700, 300))
    save(tmp_path / "photos" / "photo.png", photo)
    prepare(tmp_path / "photos", tmp_path / "pack", align=True)
    [face] = open_pack(tmp_path / "pack").images
    expected = Image.fromarray(draw_face(5, side=256)).resize((128, 128), Image.Resampling.BICUBIC)
    assert np.abs(face.astype(int) - np.asarray(expected)).mean() < 3


def test_known_points_frame_a_face_whatever_the_orientation_tag_says(tmp_path: Path) -> None:
    corner, side = (30, 50), 100
    photo = Image.fromarray(draw_photo(6, size=(178, 218), face_side=side, corner=corner))
    exif = Image.Exif()
    exif[0x0112] = 6  # "turn me"
    (tmp_path / "img_celeba").mkdir()
    photo.save(tmp_path / "img_celeba" / "000001.jpg", quality=95, exif=exif)
    marks = (np.array(corner) + TEMPLATE * side).round().astype(int).flatten()
    row = f"000001.jpg {' '.join(map(str, marks))}\n"
    (tmp_path / "list_landmarks_celeba.txt").write_text(row)
    (tmp_path / "list_eval_partition.txt").write_text("000001.jpg 2\n")
    prepare(tmp_path, tmp_path / "pack", kind="celeba")
    pack = open_pack(tmp_path / "pack")
    expected = Image.fromarray(draw_face(6, side=side)).resize((128, 128), Image.Resampling.BICUBIC)
    inner = slice(8, -8)
    difference = np.abs(pack.images[0].astype(int) - np.asarray(expected))[inner, inner]
    assert difference.mean() < 6
    assert pack.rows("test").tolist() == [0]


def test_a_picture_is_turned_as_its_orientation_tag_says(tmp_path: Path) -> None:
    face = draw_face(7)
    exif = Image.Exif()
    exif[0x0112] = 3  # half a turn
    (tmp_path / "photos").mkdir()
    Image.fromarray(face).save(tmp_path / "photos" / "turned.png", exif=exif)
    prepare(tmp_path / "photos", tmp_path / "pack")
    assert np.array_equal(open_pack(tmp_path / "pack").images[0], face[::-1, ::-1])


def test_slices_of_the_authors_are_kept_and_can_be_chosen(tmp_path: Path) -> None:
    for number in (1, 2, 60000):
        save(tmp_path / "ffhq" / f"{number:05}.png", draw_face(number))
    prepare(tmp_path / "ffhq", tmp_path / "all", kind="ffhq")
    pack = open_pack(tmp_path / "all")
    assert pack.rows("train").tolist() == [0, 1]
    assert pack.rows("validation").tolist() == [2]
    prepare(tmp_path / "ffhq", tmp_path / "some", kind="ffhq", only=("validation",))
    assert [record.file for record in open_pack(tmp_path / "some").records] == ["60000.png"]
    with pytest.raises(DataError, match="no picture of the slice test that can become"):
        prepare(tmp_path / "ffhq", tmp_path / "none", kind="ffhq", only=("test",))


def test_slices_that_follow_from_the_group_can_be_chosen_too(source: Path, tmp_path: Path) -> None:
    prepare(source, tmp_path / "kept", only=("validation",), validation_permille=1000)
    assert len(open_pack(tmp_path / "kept").rows("validation")) == SKETCHES
    with pytest.raises(DataError, match="no picture of the slice train or test"):
        prepare(source, tmp_path / "left", only=("train", "test"), validation_permille=1000)


def test_duplicates_are_listed_and_kept(source: Path, tmp_path: Path) -> None:
    save(tmp_path / "test" / "same.png", draw_face(2))
    prepare(tmp_path / "test", tmp_path / "test pack")
    save(source / "Eve_1.bmp", draw_face(1))
    report = prepare(source, tmp_path / "pack", against=(tmp_path / "test pack",))
    listed = summary_of(tmp_path / "pack")["duplicates"]
    pairs = [(pair["file"], pair["other"], pair["pack"]) for pair in listed]
    assert pairs == [("Ada_1.png", "Eve_1.bmp", None), ("Ada_2.png", "same.png", "test pack")]
    assert len(open_pack(tmp_path / "pack").records) == SKETCHES + 1
    assert "2 pairs are likely one photograph each, 0 of them in two slices" in report.to_text()
    assert "Ada_2.png and same.png of test pack: 0 bits apart" in report.to_text()


@pytest.mark.slow
def test_several_processes_make_the_same_pack(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    for number in range(70):
        save(folder / f"{number:02}.png", draw_face(number))
    save(folder / "33.png", np.zeros((128, 128, 3), np.uint8))
    prepare(folder, tmp_path / "alone")
    prepare(folder, tmp_path / "together", num_workers=2)
    assert contents(tmp_path / "together") == contents(tmp_path / "alone")
    assert len(open_pack(tmp_path / "alone").records) == 69


@pytest.mark.slow
def test_a_killed_prepare_goes_on_to_the_same_pack(tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    for number in range(100):
        save(folder / f"{number:03}.png", draw_face(number))
    prepare(folder, tmp_path / "whole")
    script = (
        "import sys; from pathlib import Path\n"
        "from tests.training.data.fake_faces import KillingTeacher\n"
        "from training.data.prepare import PrepareOptions, prepare_pack\n"
        "from training.data.sources.folder import open_folder\n"
        "prepare_pack(open_folder(Path(sys.argv[1])), Path(sys.argv[2]),\n"
        "             open_teacher=KillingTeacher, options=PrepareOptions())\n"
    )
    partial = tmp_path / "pack.partial"
    sizes = []
    for kill_after in ("40", "50"):  # in the second step, and in the third
        process = subprocess.run(
            [sys.executable, "-c", script, str(folder), str(tmp_path / "pack")],
            cwd=ROOT,
            env={**os.environ, "KILL_AFTER": kill_after},
            timeout=120,
            check=False,
        )
        assert process.returncode == -signal.SIGKILL
        assert not (tmp_path / "pack").exists()
        sizes.append((partial / "pack" / "images.npy").stat().st_size)
    assert 128 < sizes[0] < sizes[1]
    prepare(folder, tmp_path / "pack")
    assert contents(tmp_path / "pack") == contents(tmp_path / "whole")
    assert not partial.exists()


@pytest.mark.slow
def test_a_worker_that_dies_is_told_with_the_remedy(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KILL_AFTER", "0")
    with pytest.raises(DataError, match=r"a worker ended with exit code -9.* goes on where it was"):
        prepare_pack(
            open_source(source, kind="folder"),
            tmp_path / "pack",
            open_teacher=KillingTeacher,
            options=PrepareOptions(num_workers=2),
        )


def test_no_workers_make_no_faces(source: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="0 workers were asked for; at least 1"):
        prepare(source, tmp_path / "pack", num_workers=0)


def test_photos_of_one_person_stay_on_one_side(tmp_path: Path) -> None:
    for number in range(30):
        save(tmp_path / "photos" / f"P{number % 6}_{number}.png", draw_face(number))
    prepare(
        tmp_path / "photos",
        tmp_path / "pack",
        group_pattern=r"(.+)_\d+$",
        validation_permille=400,
    )
    sides: dict[str, set[str]] = {}
    for record in open_pack(tmp_path / "pack").records:
        sides.setdefault(record.group, set()).add(record.split)
    assert set(sides) == {f"P{n}" for n in range(6)}
    assert all(len(side) == 1 for side in sides.values())
    assert {next(iter(side)) for side in sides.values()} == {"train", "validation"}


def test_the_cut_is_stable_and_about_as_large_as_asked() -> None:
    sides = [assign_split(f"person {n}", validation_permille=100) for n in range(2000)]
    assert sides == [assign_split(f"person {n}", validation_permille=100) for n in range(2000)]
    assert 150 < sides.count("validation") < 250


def test_sharpness_rises_with_detail() -> None:
    flat = np.full((64, 64, 3), 90, np.uint8)
    checks = flat.copy()
    checks[::2, ::2] = 200
    assert measure_sharpness(flat) == 0
    assert measure_sharpness(checks) > 100


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no image \(\.bmp, .*\) under"):
        prepare(tmp_path, tmp_path / "pack")


def test_a_folder_without_faces_is_an_error_and_writes_nothing(tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        save(tmp_path / "photos" / name, np.zeros((128, 128, 3), np.uint8))
    message = r"none of the 2 images shows a usable face: all is black \(2 files\)"
    with pytest.raises(DataError, match=message):
        prepare(tmp_path / "photos", tmp_path / "pack")
    assert [path.name for path in tmp_path.iterdir()] == ["photos"]


def test_an_existing_pack_is_not_overwritten(source: Path, tmp_path: Path) -> None:
    prepare(source, tmp_path / "pack")
    with pytest.raises(DataError, match="exists; remove it"):
        prepare(source, tmp_path / "pack")
