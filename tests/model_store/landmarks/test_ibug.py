import torch

from model_store.landmarks import topology
from model_store.landmarks.ibug import (
    IBUG_68,
    JAW_AND_BROWS,
    LEFT_EYE,
    MOUTH,
    NOSE,
    RIGHT_EYE,
)
from model_store.store import ModelStore

# The markup's own mirror, from its figure: which point of a face is which of the mirrored one.
MIRROR = (
    *reversed(range(17)),
    *reversed(range(17, 27)),
    *range(27, 31),
    *reversed(range(31, 36)),
    *(45, 44, 43, 42, 47, 46),
    *(39, 38, 37, 36, 41, 40),
    *(54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55),
    *(64, 63, 62, 61, 60, 67, 66, 65),
)


def members(part: range) -> set[int]:
    return {IBUG_68[i] for i in part}


def test_there_are_68_different_landmarks_in_five_parts() -> None:
    assert len(set(IBUG_68)) == 68
    parts = (JAW_AND_BROWS, NOSE, RIGHT_EYE, LEFT_EYE, MOUTH)
    assert sorted(i for part in parts for i in part) == list(range(68))


def test_the_mirrored_face_has_the_mirrored_landmarks() -> None:
    mirrored = [topology.FLIP_PERMUTATION[landmark] for landmark in IBUG_68]
    assert mirrored == [IBUG_68[i] for i in MIRROR]


def test_parts_lie_in_the_parts_of_the_mesh() -> None:
    assert members(RIGHT_EYE) <= set(topology.RIGHT_EYE)
    assert members(LEFT_EYE) <= set(topology.LEFT_EYE)
    assert members(MOUTH) <= set(topology.MOUTH)
    assert members(range(17)) <= set(topology.FACE_OVAL)
    assert members(range(17, 27)) <= set(topology.EYEBROWS)


def test_the_mean_face_is_walked_as_the_markup_is() -> None:
    landmarker = ModelStore().load("landmarker@1").module
    points = landmarker.mean_landmarks[list(IBUG_68), :2]
    x, y = points.unbind(1)

    assert bool((y[:9].diff() > 0).all())  # down the right side of the jaw ...
    assert int(y[:17].argmax()) == 8  # ... to the chin ...
    assert bool((y[8:17].diff() < 0).all())  # ... and up the left one
    assert bool((x[17:27].diff() > 0).all())  # along the brows
    assert bool((y[27:31].diff() > 0).all())  # down the bridge of the nose
    assert bool((x[31:36].diff() > 0).all())  # along its lower edge
    for start, count in ((36, 6), (42, 6), (48, 12), (60, 8)):
        loop = points[start : start + count] - points[start : start + count].mean(0)
        angles = torch.atan2(loop[:, 1], loop[:, 0])
        turns = torch.remainder(angles.roll(-1) - angles, 2 * torch.pi)
        assert bool((turns < torch.pi).all())  # clockwise on screen, once around
        assert int(loop[:, 0].argmin()) == 0
