from collections.abc import Sequence

import numpy as np
import pytest

from model_store.faces.detector import FaceProposal, Judgement, group_boxes
from model_store.faces.finding import (
    Candidate,
    FaceSearch,
    candidates_of_tile,
    find_faces,
    find_in_tiles,
)
from model_store.faces.pyramid import Level, Tile, whole_tile
from model_store.image_tensor import RgbImage


def proposal(left: float, top: float, side: float, *, score: float = 0.9) -> FaceProposal:
    return FaceProposal(
        box=(left, top, side, side),
        crop_to_picture=np.array([[side, 0.0, left], [0.0, side, top]]),
        score=score,
    )


def judgement(confidence: float = 0.9, *, shift: float = 0) -> Judgement:
    return Judgement(confidence=confidence, better_crop=np.array([[1.0, 0, shift], [0, 1, 0]]))


def sure(crops: Sequence[RgbImage]) -> list[Judgement]:
    return [judgement() for _ in crops]


def candidates(*proposals: FaceProposal) -> list[Candidate]:
    return candidates_of_tile(whole_tile(np.zeros((320, 320, 3), np.uint8)), proposals)


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


def test_what_a_tile_shows_is_brought_to_the_photos_pixels() -> None:
    level = Level(width=800, height=400, scale_x=2.0, scale_y=2.0)
    tile = Tile(pixels=np.zeros((32, 32, 3), np.uint8), left=100, top=60, level=level)
    [found] = find_in_tiles([tile], lambda tile: [proposal(10, 20, 40)], sure)
    assert found.box == (55, 40, 20, 20)
    assert found.crop_to_photo == pytest.approx(np.array([[20, 0, 55], [0, 20, 40]]))
    assert found.side_px == pytest.approx(20)
    assert found.middle == (65, 50)


def test_the_crop_that_the_landmarker_asks_for_is_a_part_of_the_one_that_it_saw() -> None:
    tile = whole_tile(np.zeros((32, 32, 3), np.uint8))
    [found] = find_in_tiles(
        [tile], lambda tile: [proposal(4, 8, 16)], lambda crops: [judgement(shift=0.25)]
    )
    assert found.crop_to_photo == pytest.approx(np.array([[16, 0, 8], [0, 16, 8]]))


def test_rounded_levels_leave_a_turned_crop_a_square() -> None:
    level = Level(width=101, height=50, scale_x=1.01, scale_y=0.99)
    tile = Tile(pixels=np.zeros((32, 32, 3), np.uint8), left=0, top=0, level=level)
    turned = FaceProposal(
        box=(0, 0, 9, 9), crop_to_picture=np.array([[8.0, -6, 20], [6, 8, 10]]), score=0.9
    )
    [found] = candidates_of_tile(tile, [turned])
    (a, minus_b, _), (b, a_again, _) = found.crop_to_photo.tolist()
    assert (a, minus_b) == (a_again, -b)
    middle = found.crop_to_photo @ (0.5, 0.5, 1)
    assert middle == pytest.approx([21 / 1.01, 17 / 0.99])


def test_of_one_face_the_likeliest_proposal_is_judged_and_no_other_if_it_stands() -> None:
    likeliest, other_face = proposal(1, 1, 20), proposal(100, 0, 40, score=0.5)
    # Its box is far larger, so that the boxes hardly overlap; it is the same face all the same.
    framed_otherwise = FaceProposal(
        box=(-30, -30, 80, 80), crop_to_picture=likeliest.crop_to_picture, score=0.6
    )
    search = FaceSearch(
        candidates(proposal(0, 0, 20, score=0.8), framed_otherwise, other_face, likeliest)
    )
    assert [one.proposal for one in search.wanted] == [likeliest, other_face]
    search.tell([judgement(), judgement()])
    assert search.wanted == []
    assert [face.box for face in search.faces()] == [other_face.box, likeliest.box]


def test_where_the_likeliest_does_not_stand_the_others_are_judged_and_the_surest_is_kept() -> None:
    first, second, third = (proposal(0, 0, 20 + k, score=0.9 - k / 10) for k in range(3))
    alone = proposal(100, 0, 20, score=0.3)
    search = FaceSearch(candidates(first, second, third, alone))
    search.tell([judgement(0.45), judgement(0.9)])
    assert [one.proposal for one in search.wanted] == [second, third]
    search.tell([judgement(0.6), judgement(0.95)])
    assert search.wanted == []
    assert {face.box for face in search.faces()} == {third.box, alone.box}


@pytest.mark.parametrize(
    ("score", "confidence", "is_face"),
    [
        (0.9, 0.5, True),  # both together are sure enough
        (0.5, 0.7, True),
        (0.5, 0.6, False),
        (0.16, 0.7, False),
        (0.16, 0.9, True),
        (1.0, 0.0, False),
        (0.9, float("nan"), False),
    ],
)
def test_a_face_is_what_both_networks_together_are_sure_of(
    score: float, confidence: float, is_face: bool
) -> None:
    search = FaceSearch(candidates(proposal(0, 0, 20, score=score)))
    search.tell([judgement(confidence)])
    assert bool(search.faces()) == is_face


def test_nothing_proposed_is_nothing_found() -> None:
    search = FaceSearch([])
    assert (search.wanted, search.faces()) == ([], [])


def test_a_face_is_found_once_though_every_level_shows_it() -> None:
    photo = np.zeros((150, 300, 3), np.uint8)
    photo[40:80, 100:140] = 255

    def propose(tile: Tile) -> list[FaceProposal]:
        rows, columns = np.nonzero(tile.pixels[..., 0] > 127)
        if len(rows) == 0:
            return []
        side = float(np.ptp(columns)) + 1
        return [proposal(float(columns.min()), float(rows.min()), side)]

    [found] = find_faces(photo, propose, sure, min_face_px=12, max_level_pixels=10**6)
    assert found.box == pytest.approx((100, 40, 40, 40), abs=2)
    assert find_faces(photo, propose, sure, min_face_px=60, max_level_pixels=10**6) == []
