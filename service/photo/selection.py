"""Which of a photo's faces are upscaled, and by which network."""

from collections.abc import Sequence

from model_store.faces.finding import PhotoFace
from service.catalogue import ModelCatalogue
from service.engine.base import ServedModel
from service.photo.values import PhotoOrder, PlannedFace

# `auto`: a face whose crop fills more of the photo's shorter side is what the picture is of.
_MAJOR_SHARE = 0.6


def plan_faces(
    faces: Sequence[PhotoFace],
    order: PhotoOrder,
    catalogue: ModelCatalogue,
    *,
    wanted: ServedModel | None,
    max_face_px: float,
) -> list[PlannedFace]:
    """Decide on each face.

    Args:
        faces: of the photo, the largest first.
        order: what the caller wants.
        catalogue: chooses by size where `wanted` is None.
        wanted: the model that the caller named.
        max_face_px: side of the largest crop that is upscaled.
    """
    planned: list[PlannedFace] = []
    is_chosen = False
    for face in faces:
        reason = _why_not_selected(face, order)
        if reason is None and order.faces == "largest" and is_chosen:
            reason = "another face is larger"
        if reason is not None:
            planned.append(PlannedFace(face=face, model=None, action="not-selected", reason=reason))
            continue
        is_chosen = True
        planned.append(_plan_one(face, wanted, catalogue, max_face_px=max_face_px))
    return planned


def is_crop_of_a_face(face: PhotoFace, *, width: int, height: int) -> bool:
    """Whether a picture shows little besides this face, its largest."""
    return face.side_px > _MAJOR_SHARE * min(width, height)


def _why_not_selected(face: PhotoFace, order: PhotoOrder) -> str | None:
    if face.side_px < order.min_face_px:
        return f"its crop is {face.side_px:.1f} px wide and min_face_px is {order.min_face_px:g}"
    if order.boxes and not any(box.holds(*face.middle) for box in order.boxes):
        return "its middle lies in none of the boxes"
    return None


def _plan_one(
    face: PhotoFace, wanted: ServedModel | None, catalogue: ModelCatalogue, *, max_face_px: float
) -> PlannedFace:
    if face.side_px > max_face_px:
        reason = (
            f"its crop is {face.side_px:.0f} px wide; above {max_face_px:g} px the network would "
            "reduce it first and lose more than it adds"
        )
        return PlannedFace(face=face, model=None, action="left-alone", reason=reason)
    side_px = round(face.side_px)
    model = wanted or catalogue.for_size(side_px, side_px)
    return PlannedFace(face=face, model=model, action="upscaled", reason=None)
