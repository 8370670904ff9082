import math

import numpy as np
import pytest
from PIL import Image

from model_store.faces.framing import Similarity
from service.photo.background import enlarge_alpha, enlarge_photo
from service.photo.paste import paste_face
from tests.service.support import noise, plain


def crop_at(x: float, y: float, side: float, *, degrees: float = 0) -> Similarity:
    """A crop around a point, turned clockwise."""
    a = side * math.cos(math.radians(degrees))
    b = side * math.sin(math.radians(degrees))
    return np.array([[a, -b, x - (a - b) / 2], [b, a, y - (a + b) / 2]])


def smooth(side: int, *, low: int = 60, high: int = 180) -> np.ndarray:
    """A ramp from the left to the right, whose colours tell where a pixel came from."""
    row = np.linspace(low, high, side).round().astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(row[None, :, None], (side, side, 3)))


def test_no_strength_leaves_the_photo_as_it_is() -> None:
    photo = noise(80, 60)
    before = photo.copy()
    paste_face(photo, plain(200, 128, 128), crop_at(40, 30, 40), native_px=10, strength=0)
    assert np.array_equal(photo, before)


def test_the_middle_is_the_faces_and_outside_of_the_crop_nothing_changes() -> None:
    photo = plain(100, 100, 80)
    paste_face(photo, smooth(128, low=90, high=110), crop_at(50, 40, 40), native_px=20, strength=1)
    middle = photo[40, 40:60, 0]
    assert (np.diff(middle.astype(int)) >= 0).all()
    assert middle[0] <= 97
    assert middle[-1] >= 103
    outside = np.ones(photo.shape[:2], bool)
    outside[20:60, 30:70] = False
    assert (photo[outside] == 100).all()


def test_strength_is_the_share_of_the_face() -> None:
    whole, half = plain(100, 60, 60), plain(100, 60, 60)
    face = noise(128, 128)
    for photo, strength in ((whole, 1.0), (half, 0.5)):
        paste_face(photo, face, crop_at(30, 30, 50), native_px=16, strength=strength)
    expected = 100 + (whole.astype(float) - 100) / 2
    assert np.abs(half - expected).max() <= 1


@pytest.mark.parametrize("degrees", [0, 30, -75, 180])
def test_a_face_is_turned_back_into_its_place(degrees: float) -> None:
    """The ramp must rise along the crop's own x axis."""
    photo = plain(120, 200, 200)
    face = smooth(128)
    matrix = crop_at(100, 100, 90, degrees=degrees)
    paste_face(photo, face, matrix, native_px=128, strength=1)
    for u in (0.3, 0.5, 0.7):
        x, y = matrix @ (u, 0.5, 1)
        # Around it the photo is flat, so the ramp is made flatter, as far as that may go: 1 / 1.25.
        expected = 120 + (int(face[64, round(u * 127), 0]) - 120) / 1.25
        assert photo[int(y), int(x), 0] == pytest.approx(expected, abs=3)


def test_there_is_no_seam_where_the_face_has_another_tint() -> None:
    """An offset and a spread of colours that differ from the photo's are taken away."""
    scene = np.asarray(Image.fromarray(noise(8, 8, seed=3)).resize((160, 160))).copy()
    crop = np.asarray(Image.fromarray(scene[40:120, 40:120]).resize((128, 128)))
    tinted = np.clip(crop * 0.9 + (10, -8, 5), 0, 255).astype(np.uint8)
    photo = scene.copy()
    paste_face(photo, tinted, crop_at(80, 80, 80), native_px=80, strength=1)
    assert np.abs(photo.astype(int) - scene).mean() < 1
    unmatched = np.abs(tinted.astype(int) - crop).mean()
    assert np.abs(photo[50:110, 50:110].astype(int) - scene[50:110, 50:110]).mean() < unmatched / 5


def test_colours_are_not_moved_further_than_a_tint_can_be() -> None:
    photo = plain(40, 100, 100)
    paste_face(photo, plain(200, 128, 128), crop_at(50, 50, 60), native_px=20, strength=1)
    assert photo[50, 50].tolist() == [184, 184, 184]


@pytest.mark.parametrize(("x", "y"), [(0, 0), (98, 60), (-5, 30), (300, 300)])
def test_a_face_at_the_border_is_cut_off_there(x: float, y: float) -> None:
    photo = plain(100, 100, 80)
    paste_face(photo, noise(128, 128), crop_at(x, y, 40), native_px=20, strength=1)
    assert photo.shape == (80, 100, 3)
    assert (photo[:, 45:55] == 100).all()


@pytest.mark.parametrize("factor", [1, 2, 4])
def test_bands_leave_no_trace_in_the_enlarged_photo(factor: int) -> None:
    photo = noise(33, 301)
    wide = Image.fromarray(photo).resize((33 * factor, 301), Image.Resampling.LANCZOS)
    expected = np.asarray(wide.resize((33 * factor, 301 * factor), Image.Resampling.LANCZOS))
    assert np.array_equal(enlarge_photo(photo, factor), expected)


def test_an_enlarged_photo_is_a_copy_and_its_alpha_fits() -> None:
    photo = noise(20, 10)
    enlarged = enlarge_photo(photo, 1)
    enlarged[:] = 0
    assert photo.any()
    assert enlarge_alpha(np.full((10, 20), 255, np.uint8), 4).shape == (40, 80)
