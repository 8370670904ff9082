from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.training.evaluation.sets import make_face_set
from training.errors import DataError
from training.evaluation.faces import FaceSet
from training.evaluation.folder import FolderUpscaler


def write_images(folder: Path, faces: FaceSet) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for stem, image in zip(faces.stems, faces.originals, strict=True):
        Image.fromarray(image).save(folder / f"{stem}.png")


def test_images_are_matched_by_stem_whatever_their_order(tmp_path: Path) -> None:
    faces = make_face_set()
    write_images(tmp_path, faces)
    (tmp_path / "notes.txt").write_text("other files do not matter")
    Image.new("RGB", (7, 7)).save(tmp_path / "of_another_set.png")
    images = FolderUpscaler(f"folder:{tmp_path}").upscale(faces.at_scale(8))
    assert all(map(np.array_equal, images, faces.originals))


def test_several_sets_have_subfolders_of_their_names(tmp_path: Path) -> None:
    first, second = make_face_set("one"), make_face_set("other")
    write_images(tmp_path / "one", first)
    write_images(tmp_path / "other", second)
    upscaler = FolderUpscaler(f"folder:{tmp_path}")
    assert np.array_equal(upscaler.upscale(first.at_scale(4))[2], first.originals[2])
    assert np.array_equal(upscaler.upscale(second.at_scale(4))[2], second.originals[2])


def test_everything_wrong_with_a_folder_is_listed(tmp_path: Path) -> None:
    faces = make_face_set(faces=5)
    write_images(tmp_path, faces)
    (tmp_path / "face_0.png").unlink()
    Image.new("RGB", (64, 120)).save(tmp_path / "face_1.png")
    (tmp_path / "face_2.png").write_bytes(b"no image")
    Image.new("RGB", (128, 128)).save(tmp_path / "face_3.jpg")
    with pytest.raises(DataError) as caught:
        FolderUpscaler(f"folder:{tmp_path}").upscale(faces.at_scale(8))
    message = str(caught.value)
    assert "face_0 is missing; face_1.png is 64 x 120 px; face_2.png cannot be read" in message
    assert "face_3 is there 2 times (face_3.jpg, face_3.png)" in message
    assert "each of the 5 faces needs one image of 128 x 128 px" in message


def test_a_long_list_is_cut_and_counted(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="face_19 is missing; and 5 more"):
        FolderUpscaler(f"folder:{tmp_path}").upscale(make_face_set(faces=25).at_scale(8))


def test_faces_of_one_stem_cannot_be_told_apart(tmp_path: Path) -> None:
    faces = make_face_set(faces=2)
    twins = FaceSet("twins", "", ("a", "a"), faces.originals, faces.landmarks)
    with pytest.raises(DataError, match="twins has several faces named a"):
        FolderUpscaler(f"folder:{tmp_path}").upscale(twins.at_scale(8))


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="absent is no folder; name one as folder:PATH"):
        FolderUpscaler(f"folder:{tmp_path / 'absent'}")
