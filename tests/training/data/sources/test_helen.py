import math
from pathlib import Path

import numpy as np
import pytest

from tests.training.data.fake_faces import draw_face, save
from training.data.sources.helen import open_helen
from training.errors import DataError


def points_of_a_face() -> list[tuple[float, float]]:
    """194 points in the set's order, with eyes about (40, 50) and (80, 52), mouth 45 to 78."""
    points = [(5.0, 5.0)] * 194
    ring = [(math.cos(2 * math.pi * k / 20), math.sin(2 * math.pi * k / 20)) for k in range(20)]
    points[114:134] = [(80 + 6 * x, 52 + 3 * y) for x, y in ring]  # the right in the image first
    points[134:154] = [(40 + 6 * x, 50 + 3 * y) for x, y in ring]
    lips = np.linspace(45, 78, 14).tolist()
    points[58:72] = [(x, 88.0 if 0 < k < 13 else 90.0) for k, x in enumerate(lips)]
    points[72:86] = [(x, 96.0) for x in np.linspace(76, 47, 14).tolist()]
    return points


def annotation(name: str, points: list[tuple[float, float]]) -> str:
    return "\n".join([name, *(f"{x} , {y}" for x, y in points)]) + "\n"


@pytest.fixture
def helen(tmp_path: Path) -> Path:
    root = tmp_path / "helen"
    for number, name in enumerate(("10_1", "20_1", "30_1")):
        save(root / f"helen_{number + 1}" / f"{name}.jpg", draw_face(number))
        text = annotation(name, points_of_a_face())
        (root / "annotation").mkdir(exist_ok=True)
        (root / "annotation" / f"{number + 1}.txt").write_text(text)
    (root / "trainnames.txt").write_text("10_1\n20_1\n")
    (root / "testnames.txt").write_text("30_1\n")
    return root


def test_eyes_and_mouth_corners_come_from_the_194_points(helen: Path) -> None:
    points = np.array(open_helen(helen).items[0].points)
    expected = np.array([[40, 50], [80, 52], [math.nan, math.nan], [45, 90], [78, 90]])
    assert points == pytest.approx(expected, nan_ok=True)


def test_the_test_list_is_the_test_slice(helen: Path) -> None:
    source = open_helen(helen)
    assert {item.name: item.split for item in source.items} == {
        "helen_1/10_1.jpg": None,
        "helen_2/20_1.jpg": None,
        "helen_3/30_1.jpg": "test",
    }


def test_pictures_without_annotation_or_list_are_listed_as_skipped(helen: Path) -> None:
    save(helen / "helen_1" / "40_1.jpg", draw_face(4))
    (helen / "annotation" / "2.txt").unlink()
    reasons = {item.file: item.reason for item in open_helen(helen).skipped}
    assert reasons == {
        "helen_1/40_1.jpg": "in neither trainnames.txt nor testnames.txt",
        "helen_2/20_1.jpg": "not annotated",
    }


@pytest.mark.parametrize("name", ["trainnames.txt", "testnames.txt"])
def test_a_missing_list_is_named_with_the_remedy(helen: Path, name: str) -> None:
    (helen / name).unlink()
    with pytest.raises(DataError, match=f"{name} is missing; download it .* --align"):
        open_helen(helen)


def test_missing_annotation_is_named_with_the_remedy(helen: Path) -> None:
    for path in (helen / "annotation").glob("*.txt"):
        path.unlink()
    with pytest.raises(DataError, match=r"annotation holds no annotation .* unpack .*--align"):
        open_helen(helen)


@pytest.mark.parametrize(
    "text", [annotation("10_1", points_of_a_face()[:-1]), "10_1\n1 , x\n", "10_1\n1 , 2\n3\n"]
)
def test_a_damaged_annotation_is_named(helen: Path, text: str) -> None:
    (helen / "annotation" / "1.txt").write_text(text)
    with pytest.raises(DataError, match=r"1\.txt is no annotation of Helen"):
        open_helen(helen)
