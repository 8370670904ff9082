import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from model_store.errors import FaceNotFoundError
from model_store.image_tensor import RgbImage
from training.data.pack import open_pack
from training.data.prepare import (
    PrepareOptions,
    assign_split,
    measure_sharpness,
    prepare_pack,
)
from training.errors import DataError


class BrightnessTeacher:
    """Sees a face in every picture that is not black."""

    def detect(self, image: RgbImage) -> npt.NDArray[np.float32]:
        if image.max() == 0:
            raise FaceNotFoundError("no face")
        return np.full((478, 3), float(image.mean()) / 255, np.float32)


def write_face(path: Path, *, size: tuple[int, int] = (128, 128), level: int = 100) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (level, level, level)).save(path)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    write_face(folder / "Ada_1.png")
    write_face(folder / "Ada_2.png", level=110)
    write_face(folder / "deep" / "Bob_1.jpg", size=(300, 300), level=120)
    return folder


def prepare(source: Path, target: Path, **options: object) -> None:
    prepare_pack(
        source,
        target,
        teacher=BrightnessTeacher(),
        options=PrepareOptions(**options),  # type: ignore[arg-type]
    )


def test_faces_come_with_landmarks_size_and_digest(source: Path, tmp_path: Path) -> None:
    prepare(source, tmp_path / "pack")
    pack = open_pack(tmp_path / "pack", verify=True)
    assert [record.file for record in pack.records] == ["Ada_1.png", "Ada_2.png", "deep/Bob_1.jpg"]
    assert pack.images.shape == (3, 128, 128, 3)
    assert pack.landmarks[:, 0, 0] == pytest.approx([100 / 255, 110 / 255, 120 / 255], abs=0.01)
    assert len({record.sha256 for record in pack.records}) == 3


def test_files_that_give_no_face_are_counted_and_listed(source: Path, tmp_path: Path) -> None:
    (source / "broken.jpg").write_bytes(b"\xff\xd8\xff not a picture")
    (source / "notes.txt").write_text("not looked at")
    write_face(source / "wide.png", size=(200, 100))
    write_face(source / "black.png", level=0)
    prepare(source, tmp_path / "pack")
    summary = json.loads((tmp_path / "pack" / "pack.json").read_text())
    reasons = {item["file"]: item["reason"] for item in summary["skipped"]}
    assert set(reasons) == {"broken.jpg", "wide.png", "black.png"}
    assert "unreadable image" in reasons["broken.jpg"]
    assert "200 x 100 px is not a square face crop" in reasons["wide.png"]
    assert summary["faces"] == 3


def test_photos_of_one_person_stay_on_one_side(tmp_path: Path) -> None:
    for number in range(30):
        write_face(tmp_path / "photos" / f"P{number % 6}_{number}.png", level=10 + number)
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
    write_face(tmp_path / "photos" / "black.png", level=0)
    with pytest.raises(DataError, match="none of the 1 images"):
        prepare(tmp_path / "photos", tmp_path / "pack")
    assert not (tmp_path / "pack").exists()


def test_an_existing_pack_is_not_overwritten(source: Path, tmp_path: Path) -> None:
    prepare(source, tmp_path / "pack")
    with pytest.raises(DataError, match="exists; remove it"):
        prepare(source, tmp_path / "pack")
