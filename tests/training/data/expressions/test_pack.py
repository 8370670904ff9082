import json
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.training.conftest import MakePack
from tests.training.data.expressions.labelled_faces import write_tinted_pack
from training.data.expressions.pack import open_expression_pack, write_expression_pack
from training.data.pack import SkippedFile, open_pack
from training.errors import DataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_tinted_pack(tmp_path / "pack", [1, 2, 1, 1, 1, 1, 1])
    return tmp_path / "pack"


def test_a_pack_is_read_as_it_was_written(folder: Path) -> None:
    pack = open_expression_pack(folder, verify=True)
    assert pack.labels.tolist() == [0, 1, 1, 2, 3, 4, 5, 6] * 2
    assert pack.rows("validation").tolist() == list(range(8, 16))
    assert pack.images.shape == (16, 112, 112, 3)
    assert pack.records[1].file == "train/happy/0.png"


def flip_a_pixel(folder: Path) -> None:
    path = folder / "images.npy"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(bytes(data))


def change_a_label(folder: Path) -> None:
    path = folder / "index.csv"
    path.write_text(path.read_text().replace(",sad,", ",bored,"))


def lose_a_face(folder: Path) -> None:
    path = folder / "pack.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "faces": 3}))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (flip_a_pixel, r"images\.npy is damaged \(checksum\)"),
        (change_a_label, r"index\.csv is damaged \(checksum\)"),
        (lose_a_face, "its arrays disagree"),
    ],
)
def test_damage_is_found(folder: Path, damage: Callable[[Path], None], message: str) -> None:
    damage(folder)
    with pytest.raises(DataError, match=message):
        open_expression_pack(folder, verify=True)


def test_an_unknown_label_is_found_without_checksums_too(folder: Path) -> None:
    change_a_label(folder)
    with pytest.raises(DataError, match="unknown expression 'bored'"):
        open_expression_pack(folder)


def test_the_two_kinds_of_packs_are_not_taken_for_each_other(
    folder: Path, make_pack: MakePack
) -> None:
    with pytest.raises(DataError, match="is a pack of expressions, not of faces with landmarks"):
        open_pack(folder)
    with pytest.raises(DataError, match="is a pack of kind faces"):
        open_expression_pack(make_pack() / "faces")
    with pytest.raises(DataError, match="is no pack; make it with"):
        open_expression_pack(folder / "absent")


def test_a_source_without_a_face_gives_no_pack(tmp_path: Path) -> None:
    skipped = [SkippedFile(file="a", reason="too dark"), SkippedFile(file="b", reason="too dark")]
    with pytest.raises(DataError, match=r"no face with a label .*: too dark \(2 files\)"):
        write_expression_pack(tmp_path / "pack", skipped)
    assert not (tmp_path / "pack").exists()
