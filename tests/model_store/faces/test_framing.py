import math

import numpy as np
import pytest

from model_store.faces.framing import (
    TEMPLATE,
    Points,
    compose,
    fit_similarities,
    fit_similarity,
    invert,
    mesh_points,
    sample_crop,
    scale_of,
    transform,
)


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


def test_several_similarities_are_found_as_each_alone() -> None:
    rng = np.random.default_rng(0)
    targets = apply(similarity(20, 30, (4, 9)), TEMPLATE) + rng.normal(0, 2, (6, 5, 2))
    alone = [fit_similarity(TEMPLATE, target) for target in targets]
    assert fit_similarities(TEMPLATE, targets) == pytest.approx(np.array(alone))
    assert fit_similarities(TEMPLATE, targets[:0]).shape == (0, 2, 3)


def test_no_similarity_mirrors() -> None:
    mirrored = TEMPLATE * (-1, 1)
    matrix = fit_similarity(TEMPLATE, mirrored)
    assert np.linalg.det(matrix[:, :2]) > 0


@pytest.mark.parametrize(
    "points", [np.full((5, 2), 0.3), np.array([[0.1, 0.2], *[[math.nan, math.nan]] * 4])]
)
def test_points_that_say_nothing_are_refused(points: Points) -> None:
    with pytest.raises(ValueError, match="an alignment needs two"):
        fit_similarity(points, TEMPLATE)


def test_points_of_a_mesh_are_in_pixels_and_image_left_comes_first() -> None:
    mesh = np.zeros((478, 3), np.float32)
    mesh[[468, 473, 4, 61, 291], :2] = TEMPLATE
    points = mesh_points(mesh, width=200, height=100)
    assert points == pytest.approx(TEMPLATE * (200, 100))
    assert points[0, 0] < points[1, 0]
    assert points[3, 0] < points[4, 0]


def test_an_inverse_undoes_and_a_scale_is_a_lines() -> None:
    matrix = similarity(30, 2.5, (7, -3))
    points = np.array([[1.0, 2], [-4, 0.5]])
    assert transform(invert(matrix), transform(matrix, points)) == pytest.approx(points)
    assert scale_of(matrix) == pytest.approx(2.5)
    assert scale_of(invert(matrix)) == pytest.approx(0.4)


def test_composed_similarities_move_points_one_after_the_other() -> None:
    outer = np.array([[0.0, -2, 5], [2, 0, 1]])
    inner = np.array([[3.0, 0, 1], [0, 3, -1]])
    points = np.array([[0.5, 0.25], [-1, 2]])
    together = transform(compose(outer, inner), points)
    assert together == pytest.approx(transform(outer, transform(inner, points)))


def test_a_crop_on_the_pixels_own_grid_is_those_pixels() -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    crop = sample_crop(image, np.array([[16.0, 0, 20], [0, 16, 10]]), side_px=16)
    assert np.array_equal(crop, image[10:26, 20:36])


def test_beyond_the_picture_its_border_is_repeated() -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    crop = sample_crop(image, np.array([[16.0, 0, -8], [0, 16, 32]]), side_px=16)
    rows = np.minimum(np.arange(32, 48), 39)
    columns = np.maximum(np.arange(-8, 8), 0)
    assert np.array_equal(crop, image[rows][:, columns])


def test_a_reduced_crop_is_antialiased() -> None:
    image = np.zeros((128, 128, 3), np.uint8)
    image[:, ::2] = 200  # lines that a grid four times as coarse cannot show
    crop = sample_crop(image, np.array([[64.0, 0, 32], [0, 64, 32]]), side_px=16)
    assert np.abs(crop.astype(int) - 100).max() <= 12
