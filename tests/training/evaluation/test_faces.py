from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.training.conftest import MakePack
from tests.training.evaluation.sets import make_face_set
from training.config import DegradationConfig
from training.errors import DataError
from training.evaluation.faces import enlarge_bicubic, low_resolution, open_face_sets


def test_the_lr_image_is_pillows_bicubic_by_hand() -> None:
    """16 px with an edge in the middle, 0 to 200, reduced to 4 px.

    The kernel of a = -0.5 spans two output pixels to each side of the centre (x + 1/2) * 4. Of its
    weights, taken at the pixels' centres and brought to a sum of one, the bright half has -0.01376,
    0.07618, 0.92382 and 1.01376: times 200 and rounded, -3 (clamped), 15, 185 and 203.
    """
    image = np.zeros((16, 16, 3), dtype=np.uint8)
    image[:, 8:] = 200
    reduced = low_resolution(image, side_px=4)
    assert reduced.dtype == np.uint8
    assert reduced[..., 0].tolist() == [[0, 15, 185, 203]] * 4
    across = low_resolution(image.transpose(1, 0, 2).copy(), side_px=4)
    assert across[..., 2].tolist() == [[level] * 4 for level in (0, 15, 185, 203)]


def test_the_lr_image_is_antialiased_and_keeps_flat_colour() -> None:
    stripes = np.zeros((128, 128, 3), dtype=np.uint8)
    stripes[:, ::2] = 200  # a kernel without antialiasing would see one colour only
    inner = low_resolution(stripes, side_px=16)[:, 2:-2].astype(int)
    assert np.abs(inner - 100).max() <= 2
    flat = np.full((128, 128, 3), (10, 128, 250), dtype=np.uint8)
    assert np.unique(low_resolution(flat, side_px=32).reshape(-1, 3), axis=0).tolist() == [
        [10, 128, 250]
    ]


def test_bicubic_enlarges_an_edge_by_hand() -> None:
    """64 px with an edge in the middle, 0 to 200, twice as large.

    The last dark pixel lies a quarter past a centre: from there the kernel (a = -0.5) gives the
    dark half -0.0703 and 0.8672, the bright half 0.2266 and -0.0234. So it is 0.2031 * 200 = 41,
    its neighbour 159; next to them the kernel undershoots, which is clamped, and overshoots.
    """
    image = np.zeros((64, 64, 3), dtype=np.uint8)
    image[:, 32:] = 200
    row = enlarge_bicubic(image)[64, :, 0].tolist()
    assert row[:58] == [0] * 58
    assert row[70:] == [200] * 58
    assert row[61:67] == [0, 0, 41, 159, 214, 205]


def test_faces_are_taken_evenly_from_the_whole_pack(make_pack: MakePack) -> None:
    root = make_pack("test_faces", faces=9, validation=2)
    (whole,) = open_face_sets(root, ["test_faces"])
    (some,) = open_face_sets(root, ["test_faces"], max_faces=3)
    assert len(whole) == 9
    assert whole.stems[:2] == ("0", "1")
    assert some.stems == ("0", "4", "8")
    assert np.array_equal(some.originals[1], whole.originals[4])
    assert np.array_equal(some.landmarks[2], whole.landmarks[8])
    assert some.at_scale(8).images[0].shape == (16, 16, 3)
    assert some.at_scale(4).tensor.shape == (3, 3, 32, 32)


def test_a_missing_pack_is_named_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"absent is no face pack.*make it with 'prepare'"):
        open_face_sets(tmp_path, ["absent"])


@pytest.mark.parametrize("scale", [4, 8])
def test_degraded_faces_are_the_same_at_every_call_and_in_any_company(scale: int) -> None:
    config = DegradationConfig(kind="blind")
    many = replace(make_face_set(faces=53), degradation=config)
    few = replace(many, originals=many.originals[:2], stems=many.stems[:2])
    first, again, small = (faces.at_scale(scale).images for faces in (many, many, few))
    assert np.array_equal(first, again)
    assert np.array_equal(first[:2], small)
    assert first[0].shape == (128 // scale, 128 // scale, 3)
    assert first[0].dtype == np.uint8
    # The 51st is not degraded like the first, whose place in a batch it has.
    undamaged = replace(many, degradation=DegradationConfig()).at_scale(scale).images
    assert np.abs(np.subtract(first, undamaged, dtype=np.int16)).mean() > 2
    twins = replace(many, originals=(many.originals[0],) * 53).at_scale(scale).images
    assert not np.array_equal(twins[0], twins[50])


def test_plain_degradation_is_pillows_bicubic() -> None:
    faces = make_face_set(faces=1)
    assert DegradationConfig().is_plain
    assert not DegradationConfig(jpeg_probability=0.1).is_plain
    reduced = faces.at_scale(8).images[0]
    assert np.array_equal(reduced, low_resolution(faces.originals[0], side_px=16))
