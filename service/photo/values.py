"""What a caller asks of a photo, and what becomes of its faces."""

import math
from dataclasses import dataclass
from typing import Literal

from model_store.faces.finding import PhotoFace
from service.engine.base import ServedModel
from service.engine.readout import Upscaled
from service.images import MediaType
from service.metrics import FaceAction
from service.schemas import PhotoFields


@dataclass(frozen=True, kw_only=True)
class Box:
    """A part of the photo, in its px."""

    x: float
    y: float
    width: float
    height: float

    def holds(self, x: float, y: float) -> bool:
        """Whether a point lies in it."""
        return self.x <= x < self.x + self.width and self.y <= y < self.y + self.height


@dataclass(frozen=True, kw_only=True)
class PhotoOrder:
    """What a caller wants done.

    Attributes:
        image: the photo's file.
        mode: `auto` leaves to face mode what shows little besides a face, or is small and shows
            none; it enlarges a photo without a face.
        factor: output over input.
        faces: which of those found.
        boxes: only faces whose middle lies in one; none means anywhere.
        min_face_px: side of the smallest crop that is upscaled.
        strength: 1 is the upscaled face, 0 the enlarged photo.
        scale: 4 or 8 for every face; None leaves it to each face's size.
        model: "name" or "name@version" for every face; None leaves it open.
        media_type: of the result.
        wants_readout: expressions are read, too.
        deadline: on the pipeline's clock.
    """

    image: bytes
    mode: Literal["photo", "auto"] = "photo"
    factor: int = 2
    faces: Literal["all", "largest"] = "all"
    boxes: tuple[Box, ...] = ()
    min_face_px: float = 8
    strength: float = 1
    scale: int | None = None
    model: str | None = None
    media_type: MediaType
    wants_readout: bool
    deadline: float = math.inf


@dataclass(frozen=True, kw_only=True)
class PlannedFace:
    """A face that was found, and what is to be done with it.

    Attributes:
        model: that upscales it; None if nothing does.
        action: what was decided.
        reason: why it is not upscaled; None if it is.
    """

    face: PhotoFace
    model: ServedModel | None
    action: FaceAction
    reason: str | None


@dataclass(frozen=True, kw_only=True)
class FinishedFace:
    """A planned face and its result; None where it was not upscaled."""

    planned: PlannedFace
    upscaled: Upscaled | None


@dataclass(frozen=True, kw_only=True)
class PhotoFile:
    """An upscaled photo as a file, and how it came to be, as replies tell it."""

    data: bytes
    fields: PhotoFields


@dataclass(frozen=True, kw_only=True)
class FaceModeWanted:
    """Of `auto`: this is no photo but a crop of a face, or small without one; `note` says which."""

    note: str
