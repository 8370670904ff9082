import numpy as np
import pytest

from model_store.faces.finding import PhotoFace
from service.catalogue import ModelCatalogue
from service.photo.selection import is_crop_of_a_face, plan_faces
from service.photo.values import Box, PhotoOrder, PlannedFace
from tests.fakes import served_model

X4, X8 = served_model(scale=4), served_model(scale=8, lr_size_px=16)


def face(side: float, *, left: float = 0) -> PhotoFace:
    return PhotoFace(
        box=(left, 0, side, side),
        crop_to_photo=np.array([[side, 0, left], [0, side, 0]]),
        confidence=0.9,
        score=0.9,
    )


def order(**wishes: object) -> PhotoOrder:
    return PhotoOrder(image=b"", media_type="image/png", wants_readout=False, **wishes)  # type: ignore[arg-type]


def plan(faces: list[PhotoFace], wanted: PhotoOrder) -> list[PlannedFace]:
    return plan_faces(faces, wanted, ModelCatalogue([X4, X8]), wanted=None, max_face_px=48)


@pytest.mark.parametrize(("side", "model"), [(8, X8), (22.4, X8), (22.6, X4), (48, X4)])
def test_the_network_is_chosen_by_the_faces_size(side: float, model: object) -> None:
    [planned] = plan([face(side)], order())
    assert (planned.action, planned.model, planned.reason) == ("upscaled", model, None)


def test_a_face_larger_than_the_grid_is_left_alone_and_says_why() -> None:
    [planned] = plan([face(190)], order())
    assert (planned.action, planned.model) == ("left-alone", None)
    assert planned.reason is not None
    assert "190 px wide; above 48 px" in planned.reason


def test_the_largest_alone_is_the_largest_of_those_that_may_be_chosen() -> None:
    planned = plan(
        [face(40, left=0), face(30, left=100), face(20, left=150)],
        order(faces="largest", boxes=(Box(x=90, y=0, width=100, height=50),)),
    )
    assert [p.action for p in planned] == ["not-selected", "upscaled", "not-selected"]
    assert planned[0].reason == "its middle lies in none of the boxes"
    assert planned[2].reason == "another face is larger"


def test_a_box_chooses_by_the_middle_of_a_face() -> None:
    inside = Box(x=10, y=10, width=1, height=1)
    beside = Box(x=11, y=10, width=5, height=5)
    assert plan([face(20)], order(boxes=(inside,)))[0].action == "upscaled"
    # The left and upper borders belong to a box, the others do not.
    assert plan([face(20)], order(boxes=(beside,)))[0].action == "not-selected"
    assert plan([face(20)], order(boxes=(beside, inside)))[0].action == "upscaled"


def test_a_face_below_the_asked_size_is_not_selected() -> None:
    [planned] = plan([face(11.5)], order(min_face_px=12))
    assert planned.reason == "its crop is 11.5 px wide and min_face_px is 12"


def test_a_picture_of_one_face_is_told_from_a_photo_with_faces() -> None:
    assert is_crop_of_a_face(face(70), width=200, height=100)
    assert not is_crop_of_a_face(face(50), width=200, height=100)
