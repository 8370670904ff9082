import math

import numpy as np
import pytest
from PIL import Image

from model_store.faces.framing import TEMPLATE, Points
from model_store.image_tensor import RgbImage
from tests.training.data.fake_faces import draw_face, draw_photo
from training.data.alignment import align_face
from training.errors import DataError


def similarity(degrees: float, scale: float, shift: tuple[float, float]) -> Points:
    cos = scale * math.cos(math.radians(degrees))
    sin = scale * math.sin(math.radians(degrees))
    return np.array([[cos, -sin, shift[0]], [sin, cos, shift[1]]])


def apply(matrix: Points, points: Points) -> Points:
    moved: Points = points @ matrix[:, :2].T + matrix[:, 2]
    return moved


def difference(a: RgbImage, b: RgbImage, *, border: int = 3) -> float:
    inner = slice(border, -border)
    return float(np.abs(a[inner, inner].astype(int) - b[inner, inner]).mean())


def test_a_face_in_the_packs_framing_stays_as_it_is() -> None:
    face = draw_face(1)
    assert difference(align_face(face, TEMPLATE * 128), face) < 1


@pytest.mark.parametrize("side", [90, 128, 300, 1000])
def test_a_face_is_cut_out_of_a_picture_and_brought_to_size(side: int) -> None:
    photo = draw_photo(2, size=(1300, 1100), face_side=side, corner=(70, 41))
    points = np.array([70.0, 41.0]) + TEMPLATE * side
    expected = np.asarray(
        Image.fromarray(draw_face(2, side=side)).resize((128, 128), Image.Resampling.BICUBIC)
    )
    assert difference(align_face(photo, points), expected) < 1


@pytest.mark.parametrize("quarter", [1, 2, 3])
def test_a_turned_face_is_turned_upright(quarter: int) -> None:
    face = draw_face(3, side=160)
    turned = np.ascontiguousarray(np.rot90(face, k=-quarter))  # clockwise on screen
    points = apply(similarity(90 * quarter, 1, (0, 0)), (TEMPLATE - 0.5) * 160) + 80
    expected = np.asarray(Image.fromarray(face).resize((128, 128), Image.Resampling.BICUBIC))
    assert difference(align_face(turned, points), expected) < 1


@pytest.mark.parametrize("degrees", [0, 17])
def test_detail_finer_than_a_pixel_is_averaged_not_picked(degrees: float) -> None:
    checks = np.indices((1500, 1500)).sum(0) % 2
    photo = (checks[..., None] * 200).astype(np.uint8).repeat(3, axis=2)
    points = apply(similarity(degrees, 1000, (750, 750)), TEMPLATE - 0.5)
    face = align_face(photo, points)
    assert np.abs(face.astype(int) - 100).max() <= 2


def test_beyond_the_picture_its_border_is_repeated() -> None:
    photo = np.full((100, 100, 3), 90, np.uint8)
    points = np.array([10.0, 0.0]) + TEMPLATE * 100  # a tenth of the crop is right of the picture
    assert np.unique(align_face(photo, points)).tolist() == [90]


def test_a_face_that_is_mostly_cut_off_is_refused() -> None:
    photo = np.full((100, 120, 3), 90, np.uint8)
    points = np.array([60.0, 0.0]) + TEMPLATE * 100
    with pytest.raises(DataError, match="41% of the face's crop is beyond the 120 x 100 px pic"):
        align_face(photo, points)


def test_points_that_say_nothing_are_refused() -> None:
    with pytest.raises(DataError, match="an alignment needs two"):
        align_face(draw_face(1), np.full((5, 2), 0.3))
