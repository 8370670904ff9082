from pathlib import Path

import pytest

from tests.training.data.fake_faces import draw_face, save
from training.data.sources.folder import open_folder
from training.data.sources.open_source import open_source
from training.errors import DataError


@pytest.fixture
def faces(tmp_path: Path) -> Path:
    for name in ("Ada_1.png", "Ada_2.png", "deep/Bob_1.jpg", "nobody.png"):
        save(tmp_path / "faces" / name, draw_face(1))
    return tmp_path / "faces"


def test_each_image_is_a_group_of_its_own(faces: Path) -> None:
    source = open_folder(faces)
    assert [item.group for item in source.items] == [item.name for item in source.items]
    assert {item.split for item in source.items} == {None}


def test_a_pattern_names_the_person(faces: Path) -> None:
    source = open_folder(faces, group_pattern=r"(.+)_\d+$")
    groups = {item.name: item.group for item in source.items}
    assert groups == {
        "Ada_1.png": "Ada",
        "Ada_2.png": "Ada",
        "deep/Bob_1.jpg": "Bob",
        "nobody.png": "nobody.png",
    }


@pytest.mark.parametrize("pattern", ["(", "no group"])
def test_a_pattern_that_can_name_nobody_is_refused(faces: Path, pattern: str) -> None:
    with pytest.raises(DataError, match="--group-pattern"):
        open_folder(faces, group_pattern=pattern)


def test_a_pattern_is_for_folders_alone(faces: Path) -> None:
    with pytest.raises(DataError, match="is for --source folder; lfw has its own groups"):
        open_source(faces, kind="lfw", group_pattern="(a)")


def test_a_set_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="away does not exist; name the folder of the celeba set"):
        open_source(tmp_path / "away", kind="celeba")
