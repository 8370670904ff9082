import zipfile
from pathlib import Path

import pytest

from tests.training.data.fake_faces import draw_face, save
from training.data.sources.ffhq import open_ffhq
from training.errors import DataError

NAMES = ("00000/00000.png", "59000/59999.png", "60000/60000.png", "69000/69999.png")
SLICES = ["train", "train", "validation", "validation"]


def write(root: Path) -> Path:
    for number, name in enumerate(NAMES):
        save(root / name, draw_face(number))
    return root


@pytest.mark.parametrize("size", ["images1024x1024", "thumbnails128x128"])
@pytest.mark.parametrize("named", ["size", "set"])
def test_the_first_60000_faces_are_for_training(tmp_path: Path, size: str, named: str) -> None:
    folder = write(tmp_path / size)
    source = open_ffhq(folder if named == "size" else tmp_path)
    assert [item.name for item in source.items] == list(NAMES)
    assert [item.split for item in source.items] == SLICES
    assert [item.group for item in source.items] == ["00000", "59999", "60000", "69999"]
    assert {item.points for item in source.items} == {None}


def test_a_zip_file_is_read_without_unpacking(tmp_path: Path) -> None:
    folder = write(tmp_path / "unpacked")
    (tmp_path / "ffhq").mkdir()
    with zipfile.ZipFile(tmp_path / "ffhq" / "images1024x1024.zip", "w") as archive:
        for name in NAMES:
            archive.write(folder / name, name)
    source = open_ffhq(tmp_path / "ffhq")
    assert [item.split for item in source.items] == SLICES
    assert source.files.read(NAMES[2]) == (folder / NAMES[2]).read_bytes()


def test_the_same_faces_in_two_sizes_are_not_taken_twice(tmp_path: Path) -> None:
    write(tmp_path / "images1024x1024")
    write(tmp_path / "thumbnails128x128")
    with pytest.raises(DataError, match=r"holds images1024x1024, thumbnails128x128; .* name one"):
        open_ffhq(tmp_path)


def test_another_set_is_refused_and_strangers_are_listed(tmp_path: Path) -> None:
    save(tmp_path / "ada.png", draw_face(1))
    with pytest.raises(DataError, match=r"no image .* has a number for a name \(00000\.png\)"):
        open_ffhq(tmp_path)
    save(tmp_path / "00001.png", draw_face(2))
    assert [item.file for item in open_ffhq(tmp_path).skipped] == ["ada.png"]
