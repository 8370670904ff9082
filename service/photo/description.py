"""An upscaled photo and its faces, as replies tell them."""

from collections.abc import Sequence

from service.images import DecodedImage
from service.photo.values import FinishedFace, PhotoOrder
from service.readings import describe_readout
from service.schemas import FaceBox, FaceInPhoto, PhotoFields, Readout, Size


def describe_photo(
    order: PhotoOrder,
    image: DecodedImage,
    faces: Sequence[FinishedFace],
    *,
    num_found: int,
    notes: Sequence[str],
    has_classifier: bool,
) -> PhotoFields:
    """Say what became of a photo.

    Args:
        order: what was asked for.
        image: the photo as it came.
        faces: those that were dealt with, in the order in which they are told.
        num_found: all that were found.
        notes: what else the caller should know.
        has_classifier: whether expressions could have been read.
    """
    alpha = "none"
    if image.alpha is not None:
        alpha = "on-white" if order.media_type == "image/jpeg" else "kept"
    why_unread: Readout = "none"
    if order.wants_readout:
        why_unread = "failed" if has_classifier else "no-classifier"
    return PhotoFields(
        factor=order.factor,
        strength=order.strength,
        input=Size(width=image.width, height=image.height),
        output=Size(width=image.width * order.factor, height=image.height * order.factor),
        alpha=alpha,
        media_type=order.media_type,
        faces_found=num_found,
        notes=list(notes),
        faces=[
            _describe_face(index, face, why_unread=why_unread) for index, face in enumerate(faces)
        ],
    )


def _describe_face(index: int, finished: FinishedFace, *, why_unread: Readout) -> FaceInPhoto:
    planned, upscaled = finished.planned, finished.upscaled
    face, model = planned.face, planned.model
    left, top, width, height = face.box
    readout = None if upscaled is None else upscaled.readout
    unread: Readout = "none" if upscaled is None else why_unread
    return FaceInPhoto(
        index=index,
        box=FaceBox(x=left, y=top, width=width, height=height),
        size_px=face.side_px,
        detection_confidence=face.confidence,
        action=planned.action,
        reason=planned.reason,
        model=None if model is None else model.reference,
        scale=None if model is None else model.scale,
        landmarks=None if upscaled is None else upscaled.image.landmark_source,
        landmark_confidence=None if upscaled is None else upscaled.image.landmark_confidence,
        readout="expression" if readout is not None else unread,
        expression=None if readout is None else describe_readout(readout),
    )
