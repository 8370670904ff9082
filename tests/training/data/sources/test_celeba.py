from pathlib import Path

import numpy as np
import pytest

from model_store.faces.framing import TEMPLATE
from tests.training.data.fake_faces import draw_photo, save
from training.data.sources.celeba import open_celeba
from training.errors import DataError

COLUMNS = (
    "lefteye_x lefteye_y righteye_x righteye_y nose_x nose_y "
    "leftmouth_x leftmouth_y rightmouth_x rightmouth_y"
)
CORNER, SIDE = (30, 50), 100


def marks() -> list[int]:
    """Whole pixels of the five points of a face that fills the box at CORNER."""
    return (np.array(CORNER) + TEMPLATE * SIDE - 0.5).round().astype(int).flatten().tolist()


@pytest.fixture
def celeba(tmp_path: Path) -> Path:
    """Five pictures laid out as the authors do: Img, Anno, Eval."""
    root = tmp_path / "celeba"
    names = [f"{number:06}.jpg" for number in range(1, 6)]
    for number, name in enumerate(names):
        photo = draw_photo(number, size=(178, 218), face_side=SIDE, corner=CORNER)
        save(root / "Img" / "img_align_celeba" / name, photo)
    (root / "Anno").mkdir()
    (root / "Eval").mkdir()
    rows = [f"{name}  {'  '.join(map(str, marks()))}" for name in names]
    landmarks = "\n".join(["5", COLUMNS, *rows]) + "\n"
    (root / "Anno" / "list_landmarks_align_celeba.txt").write_text(landmarks)
    partition = "".join(f"{name} {part}\n" for name, part in zip(names, "00012", strict=True))
    (root / "Eval" / "list_eval_partition.txt").write_text(partition)
    return root


def test_partitions_become_slices_and_landmarks_points(celeba: Path) -> None:
    source = open_celeba(celeba)
    assert [item.split for item in source.items] == ["train"] * 3 + ["validation", "test"]
    assert [item.group for item in source.items] == [item.name for item in source.items]
    points = source.items[0].points
    assert points is not None
    assert np.array(points) == pytest.approx(np.array(CORNER) + TEMPLATE * SIDE, abs=0.51)


def test_identities_are_the_groups_where_they_are_given(celeba: Path) -> None:
    text = "".join(f"00000{number}.jpg {number % 2}\n" for number in range(1, 6))
    (celeba / "Anno" / "identity_CelebA.txt").write_text(text)
    assert [item.group for item in open_celeba(celeba).items] == ["1", "0", "1", "0", "1"]


def test_kaggles_tables_and_nested_folder_are_understood(celeba: Path) -> None:
    nested = celeba / "img_align_celeba" / "img_align_celeba"
    nested.parent.mkdir()
    (celeba / "Img" / "img_align_celeba").rename(nested)
    for folder, name in (("Anno", "list_landmarks_align_celeba"), ("Eval", "list_eval_partition")):
        text = (celeba / folder / f"{name}.txt").read_text()
        rows = [",".join(line.split()) for line in text.splitlines() if ".jpg" in line]
        header = "image_id," + (",".join(COLUMNS.split()) if folder == "Anno" else "partition")
        (celeba / folder / f"{name}.txt").unlink()
        (celeba / f"{name}.csv").write_text("\n".join([header, *rows]) + "\n")
    assert [item.split for item in open_celeba(celeba).items][3:] == ["validation", "test"]


def test_pictures_in_the_wild_take_their_own_list(celeba: Path) -> None:
    (celeba / "Img" / "img_align_celeba").rename(celeba / "Img" / "img_celeba")
    with pytest.raises(DataError, match=r"list_landmarks_celeba\.txt is missing"):
        open_celeba(celeba)
    anno = celeba / "Anno"
    (anno / "list_landmarks_align_celeba.txt").rename(anno / "list_landmarks_celeba.txt")
    assert len(open_celeba(celeba).items) == 5


def test_a_picture_without_a_row_is_listed_as_skipped(celeba: Path) -> None:
    partition = celeba / "Eval" / "list_eval_partition.txt"
    partition.write_text(partition.read_text().replace("000002.jpg 0\n", ""))
    source = open_celeba(celeba)
    assert len(source.items) == 4
    assert [item.file for item in source.skipped] == ["000002.jpg"]


@pytest.mark.parametrize(
    ("folder", "name"),
    [("Anno", "list_landmarks_align_celeba"), ("Eval", "list_eval_partition")],
)
def test_a_missing_list_is_named_with_the_remedy(celeba: Path, folder: str, name: str) -> None:
    (celeba / folder / f"{name}.txt").unlink()
    with pytest.raises(DataError, match=rf"{name}\.txt is missing under .*; download it .*--align"):
        open_celeba(celeba)


def test_a_damaged_row_is_named_by_its_line(celeba: Path) -> None:
    path = celeba / "Anno" / "list_landmarks_align_celeba.txt"
    path.write_text(path.read_text() + "000006.jpg 12 wrong\n")
    with pytest.raises(DataError, match=r"line 8: '000006\.jpg 12 wrong' is no file name with 10"):
        open_celeba(celeba)


def test_a_folder_without_the_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds neither img_align_celeba nor img_celeba"):
        open_celeba(tmp_path)
