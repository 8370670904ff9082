import numpy as np
import pytest

from model_store.faces.detector import FaceProposal, group_boxes
from model_store.faces.finding import PhotoFace, faces_of_tile, find_faces, merge_faces
from model_store.faces.pyramid import Level, Tile
from model_store.image_tensor import RgbImage


def proposal(
    left: float, top: float, side: float, *, score: float = 0.9, confidence: float = 0.9
) -> FaceProposal:
    return FaceProposal(
        box=(left, top, side, side),
        crop_to_picture=np.array([[side, 0, left], [0, side, top]]),
        score=score,
        confidence=confidence,
    )


def face(left: float, top: float, side: float, *, confidence: float = 0.9) -> PhotoFace:
    return PhotoFace(
        box=(left, top, side, side),
        crop_to_photo=np.array([[side, 0, left], [0, side, top]]),
        confidence=confidence,
        score=0.9,
    )


def test_boxes_are_grouped_behind_the_first_that_they_overlap() -> None:
    boxes = np.array(
        [
            [0, 0, 10, 10],
            [20, 0, 10, 10],
            [1, 0, 10, 10],  # 90 of 110 common with the first
            [5, 0, 10, 10],  # 50 of 150: a third, more than 0.3
            [6, 0, 10, 10],  # 40 of 160 with the first: a face of its own
            [20, 0, 0, 0],
        ],
        dtype=float,
    )
    assert group_boxes(boxes) == [[0, 2, 3], [1], [4], [5]]
    assert group_boxes(np.empty((0, 4))) == []


def test_a_face_of_a_tile_is_brought_to_the_photos_pixels() -> None:
    level = Level(width=800, height=400, scale_x=2.0, scale_y=2.0)
    tile = Tile(pixels=np.zeros((32, 32, 3), np.uint8), left=100, top=60, level=level)
    [found] = faces_of_tile(tile, [proposal(10, 20, 40), proposal(0, 0, 9, confidence=0.05)])
    assert found.box == (55, 40, 20, 20)
    assert found.crop_to_photo == pytest.approx(np.array([[20, 0, 55], [0, 20, 40]]))
    assert found.side_px == pytest.approx(20)
    assert found.middle == (65, 50)


def test_rounded_levels_leave_a_turned_crop_a_square() -> None:
    level = Level(width=101, height=50, scale_x=1.01, scale_y=0.99)
    tile = Tile(pixels=np.zeros((32, 32, 3), np.uint8), left=0, top=0, level=level)
    turned = FaceProposal(
        box=(0, 0, 9, 9),
        crop_to_picture=np.array([[8.0, -6, 20], [6, 8, 10]]),
        score=0.9,
        confidence=0.9,
    )
    [found] = faces_of_tile(tile, [turned])
    (a, minus_b, _), (b, a_again, _) = found.crop_to_photo.tolist()
    assert (a, minus_b) == (a_again, -b)
    middle = found.crop_to_photo @ (0.5, 0.5, 1)
    assert middle == pytest.approx([21 / 1.01, 17 / 0.99])


def test_of_one_face_seen_twice_the_surer_is_kept_and_the_largest_comes_first() -> None:
    unsure = face(0, 0, 20, confidence=0.5)
    sure = face(1, 1, 20)
    other = face(100, 0, 40)
    # Its box is far larger, so that the boxes hardly overlap; it is the same face all the same.
    again = PhotoFace(
        box=(-30, -30, 80, 80), crop_to_photo=sure.crop_to_photo, confidence=0.4, score=0.9
    )
    assert merge_faces([unsure, sure, other, again], min_face_px=0) == [other, sure]
    assert merge_faces([unsure, sure, other, again], min_face_px=30) == [other]
    assert merge_faces([], min_face_px=0) == []


def test_a_face_is_found_once_though_every_level_shows_it() -> None:
    photo = np.zeros((150, 300, 3), np.uint8)
    photo[40:80, 100:140] = 255

    def detect(tile: RgbImage) -> list[FaceProposal]:
        rows, columns = np.nonzero(tile[..., 0] > 127)
        if len(rows) == 0:
            return []
        side = float(np.ptp(columns)) + 1
        return [proposal(float(columns.min()), float(rows.min()), side)]

    [found] = find_faces(photo, detect, min_face_px=12, max_level_pixels=10**6)
    assert found.box == pytest.approx((100, 40, 40, 40), abs=2)
    assert find_faces(photo, detect, min_face_px=60, max_level_pixels=10**6) == []
