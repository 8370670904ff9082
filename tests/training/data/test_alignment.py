import math

import numpy as np
import pytest
from PIL import Image

from model_store.image_tensor import RgbImage
from tests.training.data.fake_faces import draw_face, draw_photo
from training.data.alignment import (
    TEMPLATE,
    Points,
    align_face,
    fit_similarity,
    mesh_points,
)
from training.errors import DataError


def similarity(degrees: float, scale: float, shift: tuple[float, float]) -> Points:
    cos = scale * math.cos(math.radians(degrees))
    sin = scale * math.sin(math.radians(degrees))
    return np.array([[cos, -sin, shift[0]], [sin, cos, shift[1]]])


def apply(matrix: Points, points: Points) -> Points:
    moved: Points = points @ matrix[:, :2].T + matrix[:, 2]
    return moved


def test_two_points_by_hand() -> None:
    # (0, 0) -> (10, 20) and (1, 0) -> (10, 22): a quarter turn clockwise on screen, twice as large.
    source = np.array([[0.0, 0], [1, 0]])
    target = np.array([[10.0, 20], [10, 22]])
    assert fit_similarity(source, target) == pytest.approx(np.array([[0, -2, 10], [2, 0, 20]]))


def test_least_squares_by_hand() -> None:
    # A square of side 2 onto itself with one corner pulled out by (4, 4): a = 1 + 4 * 2 / 8.
    source = np.array([[0.0, 0], [2, 0], [0, 2], [2, 2]])
    target = np.array([[0.0, 0], [2, 0], [0, 2], [6, 6]])
    assert fit_similarity(source, target) == pytest.approx(np.array([[2, 0, 0], [0, 2, 0]]))


@pytest.mark.parametrize(
    ("degrees", "scale", "shift"), [(0, 1, (0, 0)), (37, 0.4, (5, -8)), (-120, 7.5, (-300, 41))]
)
def test_a_similarity_is_found_again_also_without_a_point(
    degrees: float, scale: float, shift: tuple[float, float]
) -> None:
    matrix = similarity(degrees, scale, shift)
    target = apply(matrix, TEMPLATE)
    assert fit_similarity(TEMPLATE, target) == pytest.approx(matrix)
    without_nose = TEMPLATE.copy()
    without_nose[2] = math.nan
    assert fit_similarity(without_nose, target) == pytest.approx(matrix)


def test_no_similarity_mirrors() -> None:
    mirrored = TEMPLATE * (-1, 1)
    matrix = fit_similarity(TEMPLATE, mirrored)
    assert np.linalg.det(matrix[:, :2]) > 0


@pytest.mark.parametrize(
    "points", [np.full((5, 2), 0.3), np.array([[0.1, 0.2], *[[math.nan, math.nan]] * 4])]
)
def test_points_that_say_nothing_are_refused(points: Points) -> None:
    with pytest.raises(DataError, match="an alignment needs two"):
        fit_similarity(points, TEMPLATE)


def test_points_of_a_mesh_are_in_pixels_and_image_left_comes_first() -> None:
    mesh = np.zeros((478, 3), np.float32)
    mesh[[468, 473, 4, 61, 291], :2] = TEMPLATE
    points = mesh_points(mesh, width=200, height=100)
    assert points == pytest.approx(TEMPLATE * (200, 100))
    assert points[0, 0] < points[1, 0]
    assert points[3, 0] < points[4, 0]


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
