from pathlib import Path

import pytest

from tests.training.data.fake_faces import draw_face, save
from training.data.pack import SkippedFile
from training.data.sources.open_source import open_source
from training.errors import DataError


def write(root: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        save(root / name, draw_face(number))
    return root


@pytest.mark.parametrize("layout", ["{person}/{file}", "{file}"], ids=["person folders", "flat"])
def test_lfws_group_is_the_person(tmp_path: Path, layout: str) -> None:
    names = [
        layout.format(person=person, file=f"{person}_{number:04}.jpg")
        for person, number in (("Ada_Lovelace", 1), ("Ada_Lovelace", 2), ("Bob", 1))
    ]
    source = open_source(write(tmp_path, *names), kind="lfw")
    assert [item.name for item in source.items] == names
    assert [item.group for item in source.items] == ["Ada_Lovelace", "Ada_Lovelace", "Bob"]


def test_a_stranger_among_lfws_files_is_listed_as_skipped(tmp_path: Path) -> None:
    source = open_source(write(tmp_path, "Ada_0001.jpg", "cover.png"), kind="lfw")
    assert source.skipped == (
        SkippedFile(file="cover.png", reason="not named PERSON_0001 as LFW's are"),
    )


def test_utkfaces_names_are_understood_also_without_the_race(tmp_path: Path) -> None:
    names = (
        "100_0_0_20170112213500903.jpg.chip.jpg",
        "39_1_20170116174525125.jpg.chip.jpg",
        "part1/1_1_4_20161221193133117.jpg",
    )
    source = open_source(write(tmp_path, *names, "readme.png"), kind="utkface")
    assert [item.name for item in source.items] == list(names)
    assert [item.group for item in source.items] == list(names)
    assert [item.file for item in source.skipped] == ["readme.png"]


@pytest.mark.parametrize(
    ("kind", "naming"), [("lfw", "PERSON_0001"), ("utkface", "age_gender_race_date")]
)
def test_another_set_is_refused_with_the_remedy(tmp_path: Path, kind: str, naming: str) -> None:
    write(tmp_path, "a.png")
    with pytest.raises(DataError, match=f"no image .* is named {naming}; .* --source folder"):
        open_source(tmp_path, kind=kind)  # type: ignore[arg-type]
