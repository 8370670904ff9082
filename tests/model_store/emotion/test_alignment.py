import math

import pytest
import torch
from torch import Tensor

from model_store.emotion.alignment import TEMPLATE, align_expression_crops
from model_store.landmarks.topology import FLIP_PERMUTATION, LANDMARK_COUNT

EYE_AND_MOUTH_CORNERS = ((33, 133), (362, 263), (61, 291))


def face_at(*points: tuple[float, float], half_width: float = 0.03) -> Tensor:
    """One face's (1, 478, 3) landmarks whose eyes and mouth have these middles, in [0, 1]."""
    landmarks = torch.rand(1, LANDMARK_COUNT, 3, generator=torch.Generator().manual_seed(0))
    for (a, b), (x, y) in zip(EYE_AND_MOUTH_CORNERS, points, strict=True):
        landmarks[0, a, :2] = torch.tensor([x - half_width, y - 0.01])
        landmarks[0, b, :2] = torch.tensor([x + half_width, y + 0.01])
    return landmarks


TURNED_FACE = ((0.33, 0.42), (0.61, 0.34), (0.52, 0.70))
IN_FRAME = tuple((x / 112, y / 112) for x, y in TEMPLATE)


def blob_at(x: float, y: float, *, height: int, width: int, sigma: float) -> Tensor:
    """A Gaussian spot about the place (x, y) in [0, 1] of an image: (1, 3, height, width)."""
    rows = torch.arange(height).add(0.5).sub(y * height)[:, None]
    columns = torch.arange(width).add(0.5).sub(x * width)[None, :]
    spot = torch.exp(-(rows**2 + columns**2) / (2 * sigma**2))
    return spot.expand(1, 3, height, width)


def centre_of(crop: Tensor) -> tuple[float, float]:
    """Where a spot's mass lies, x and y in px."""
    mass = crop[0, 0]
    places = torch.arange(112) + 0.5
    return (
        float((mass.sum(0) * places).sum() / mass.sum()),
        float((mass.sum(1) * places).sum() / mass.sum()),
    )


@pytest.mark.parametrize(("height", "width"), [(128, 128), (100, 160), (640, 512)])
@pytest.mark.parametrize("point", [0, 1, 2])
def test_eyes_and_mouth_land_on_the_template(point: int, height: int, width: int) -> None:
    image = blob_at(*TURNED_FACE[point], height=height, width=width, sigma=width / 40)
    crop = align_expression_crops(image, face_at(*TURNED_FACE))
    assert crop.shape == (1, 3, 112, 112)
    assert centre_of(crop) == pytest.approx(TEMPLATE[point], abs=0.2)


def test_a_face_in_the_frame_stays_as_it_is() -> None:
    rows, columns = torch.meshgrid(torch.arange(112.0), torch.arange(112.0), indexing="ij")
    image = 0.5 + 0.4 * torch.sin(rows / 9) * torch.cos(columns / 7)
    images = image.expand(1, 3, 112, 112)
    crops = align_expression_crops(images, face_at(*IN_FRAME))
    torch.testing.assert_close(crops, images, atol=1e-4, rtol=0)


def test_each_pixel_is_where_the_affine_map_says() -> None:
    """A ramp's values tell the places they are from, but for the bicubic kernel's 0.05 px."""
    columns = torch.arange(128).add(0.5) / 128
    image = torch.stack([columns.expand(128, 128), columns[:, None].expand(128, 128)] * 2)[None]
    crop = align_expression_crops(image[:, :3], face_at(*TURNED_FACE))
    (ax, ay), (bx, by), (cx, cy) = TEMPLATE
    for i, j in ((56, 60), (40, 30), (70, 80)):
        x, y = j + 0.5, i + 0.5
        area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
        v = ((x - ax) * (cy - ay) - (cx - ax) * (y - ay)) / area
        w = ((bx - ax) * (y - ay) - (x - ax) * (by - ay)) / area
        shares = (1 - v - w, v, w)  # barycentric: affine maps keep them
        for channel in (0, 1):
            expected = sum(s * point[channel] for s, point in zip(shares, TURNED_FACE, strict=True))
            assert float(crop[0, channel, i, j]) == pytest.approx(expected, abs=5e-4)


def test_what_is_finer_than_the_crop_is_averaged_and_not_sampled() -> None:
    stripes = (torch.arange(1024) % 2).float().expand(1, 3, 1024, 1024)
    crops = align_expression_crops(stripes, face_at(*IN_FRAME))
    assert float((crops - 0.5).abs().max()) < 0.05
    at_256_px = (torch.arange(256) % 2).float().expand(1, 3, 256, 256)
    crops = align_expression_crops(at_256_px, face_at(*IN_FRAME))
    assert float((crops - 0.5).abs().mean()) < 0.15


def test_beyond_the_image_its_border_goes_on() -> None:
    at_the_left_edge = tuple((x - 0.2, y) for x, y in IN_FRAME)
    image = torch.rand(1, 3, 112, 112)
    crop = align_expression_crops(image, face_at(*at_the_left_edge))
    torch.testing.assert_close(crop[..., 3], crop[..., 15])
    assert not torch.allclose(crop[..., 3], crop[..., 40])


def test_a_mirrored_face_gives_the_mirrored_crop_but_for_the_frames_asymmetry() -> None:
    image = blob_at(*TURNED_FACE[2], height=128, width=128, sigma=4)
    landmarks = face_at(*TURNED_FACE)
    mirrored = landmarks[:, list(FLIP_PERMUTATION)]
    mirrored[..., 0] = 1 - mirrored[..., 0]
    x, y = centre_of(align_expression_crops(image, landmarks))
    mirrored_x, mirrored_y = centre_of(align_expression_crops(image.flip(3), mirrored))
    # Real crops are not quite symmetric: the template's mouth is 0.7 px left of the middle.
    assert (mirrored_x, mirrored_y) == pytest.approx((x, y), abs=0.1)
    assert 112 - mirrored_x == pytest.approx(x + 2 * (56 - TEMPLATE[2][0]), abs=0.1)


def test_company_in_the_batch_changes_nothing() -> None:
    images = torch.rand(2, 3, 140, 90)
    landmarks = torch.cat([face_at(*TURNED_FACE), face_at(*IN_FRAME)])
    together = align_expression_crops(images, landmarks)
    for i in range(2):
        alone = align_expression_crops(images[i : i + 1], landmarks[i : i + 1])
        torch.testing.assert_close(together[i : i + 1], alone, atol=1e-6, rtol=0)


def test_autocast_does_not_move_a_pixel() -> None:
    images, landmarks = torch.rand(1, 3, 64, 64), face_at(*TURNED_FACE)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        crops = align_expression_crops(images, landmarks)
    assert torch.equal(crops, align_expression_crops(images, landmarks))
    halves = align_expression_crops(images.bfloat16(), landmarks)
    assert halves.dtype == torch.float32


def test_the_gradient_by_image_and_landmarks_is_that_of_finite_differences() -> None:
    generator = torch.Generator().manual_seed(2)
    smooth = torch.rand(1, 3, 5, 5, generator=generator, dtype=torch.float64)
    image = (0.3 + 0.4 * smooth).requires_grad_()
    landmarks = face_at(*TURNED_FACE).double().requires_grad_()
    weights = torch.randn(1, 3, 112, 112, generator=generator, dtype=torch.float64)

    def weighted_sum(image: Tensor, landmarks: Tensor) -> Tensor:
        return (weights * align_expression_crops(image, landmarks)).sum()

    weighted_sum(image, landmarks).backward()
    step = 1e-6
    with torch.no_grad():
        for tensor, index in (
            (image, (0, 1, 2, 3)),
            (landmarks, (0, 61, 0)),
            (landmarks, (0, 33, 1)),
        ):
            moved = []
            for sign in (1, -1):
                changed = tensor.clone()
                changed[index] += sign * step
                inputs = (changed, landmarks) if tensor is image else (image, changed)
                moved.append(float(weighted_sum(*inputs)))
            assert tensor.grad is not None
            slope = (moved[0] - moved[1]) / (2 * step)
            assert float(tensor.grad[index]) == pytest.approx(slope, rel=1e-4, abs=1e-5)
            assert not math.isclose(slope, 0, abs_tol=1e-3)
