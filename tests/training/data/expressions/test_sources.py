from pathlib import Path

import pytest

from tests.training.data.expressions.labelled_faces import write_pictures
from training.data.expressions.labels import find_expression, find_rafdb_expression
from training.data.expressions.sources import open_expression_source
from training.errors import DataError


@pytest.mark.parametrize(
    ("word", "expression"),
    [("happiness", "happy"), ("Anger", "angry"), ("sad", "sad"), ("contempt", None), ("1", None)],
)
def test_words_of_data_sets_are_understood(word: str, expression: str | None) -> None:
    assert find_expression(word) == expression


def test_rafdb_is_numbered_as_its_authors_did() -> None:
    named = [find_rafdb_expression(str(number)) for number in range(1, 8)]
    assert named == ["surprise", "fear", "disgust", "happy", "sad", "angry", "neutral"]
    assert find_rafdb_expression("8") is None


def test_rafdb_keeps_its_official_split_and_its_alignment(tmp_path: Path) -> None:
    write_pictures(tmp_path / "train/happiness", 2)
    write_pictures(tmp_path / "test/6", 1)
    write_pictures(tmp_path / "elsewhere", 1)
    source = open_expression_source(tmp_path, kind="rafdb", labels=None)
    found = [(item.name, item.expression, item.split) for item in source.items]
    assert found == [
        ("test/6/face_0000.png", "angry", "test"),
        ("train/happiness/face_0000.png", "happy", "train"),
        ("train/happiness/face_0001.png", "happy", "train"),
    ]
    assert source.is_aligned
    assert [item.file for item in source.skipped] == ["elsewhere/face_0000.png"]


def test_rafdb_without_a_split_is_refused(tmp_path: Path) -> None:
    write_pictures(tmp_path / "train/happiness", 1)
    with pytest.raises(DataError, match=r"holds no pictures in test/CLASS; name the folder"):
        open_expression_source(tmp_path, kind="rafdb", labels=None)
    with pytest.raises(DataError, match="--labels is for --source expressions"):
        open_expression_source(tmp_path, kind="rafdb", labels=tmp_path / "labels.csv")


def test_folders_name_the_expressions_of_any_set(tmp_path: Path) -> None:
    write_pictures(tmp_path / "fear", 1)
    write_pictures(tmp_path / "contempt", 1)
    source = open_expression_source(tmp_path, kind="expressions", labels=None)
    assert [(item.expression, item.split) for item in source.items] == [("fear", None)]
    assert not source.is_aligned
    assert "'contempt' is none of the seven" in source.skipped[0].reason
    with pytest.raises(DataError, match=r"folder named for an expression; .* --labels"):
        open_expression_source(tmp_path / "contempt", kind="expressions", labels=None)


def test_a_table_labels_pictures_whatever_their_suffix(tmp_path: Path) -> None:
    write_pictures(tmp_path / "faces", 4)
    table = tmp_path / "labels.csv"
    table.write_text(
        "image,emotion,by\nface_0000.jpg,happiness,x\nface_0001.jpg,contempt,x\n"
        "face_0002.jpg,anger,x\nface_0002.jpg,fear,y\nabsent.jpg,fear,y\n"
    )
    source = open_expression_source(tmp_path / "faces", kind="expressions", labels=table)
    assert [(item.name, item.expression) for item in source.items] == [("face_0000.png", "happy")]
    assert {item.file: item.reason for item in source.skipped} == {
        "face_0001.png": "labelled contempt",
        "face_0002.png": "labelled anger and fear",
        "face_0003.png": "no row in labels.csv",
    }


def test_a_table_without_its_columns_or_pictures_is_refused(tmp_path: Path) -> None:
    write_pictures(tmp_path / "faces", 1)
    table = tmp_path / "labels.csv"
    table.write_text("file,label\na.jpg,fear\n")
    with pytest.raises(DataError, match="columns file and label; it needs image and emotion"):
        open_expression_source(tmp_path / "faces", kind="expressions", labels=table)
    table.write_text("image,emotion\nelsewhere.jpg,fear\n")
    with pytest.raises(DataError, match=r"gives none of the 1 pictures under .* a label"):
        open_expression_source(tmp_path / "faces", kind="expressions", labels=table)
