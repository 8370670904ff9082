"""The parameters of photo mode: texts of a query or a form -> what is wanted of the photo."""

import re
from typing import Literal

from service.errors import (
    ConflictingParametersError,
    InvalidParameterError,
    TooManyImagesError,
)
from service.images import MediaType
from service.photo import PhotoOrder
from service.photo.values import Box
from service.routes.receiving import quote
from service.routes.upscale_request import PHOTO_PARAMETERS, ReceivedRequest

FACTORS = (1, 2, 4)
_FACES = ("all", "largest")
# Nobody types more, and it can be read as a float.
_NUMBER = r"\d{1,6}(\.\d{1,9})?"


def photo_order(
    received: ReceivedRequest,
    mode: Literal["photo", "auto"],
    *,
    media_type: MediaType,
    wants_readout: bool,
    deadline: float,
) -> PhotoOrder:
    """Say what a request wants done with its photo.

    Raises:
        TooManyImagesError: it holds several.
        InvalidParameterError: a parameter is none, or out of bounds.
    """
    if len(received.images) > 1 or received.names is not None:
        raise TooManyImagesError(
            f"mode is {mode} and the request holds {len(received.images)} images; send one photo "
            "a request, and no archive"
        )
    return PhotoOrder(
        image=received.images[0],
        mode=mode,
        factor=_factor(received),
        faces=_faces(received),
        boxes=tuple(_box(text) for text in received.boxes),
        min_face_px=_number(received, "min_face_px", default=8, low=1, high=10_000),
        strength=_number(received, "strength", default=1, low=0, high=1),
        scale=received.scale,
        model=received.model,
        media_type=media_type,
        wants_readout=wants_readout,
        deadline=deadline,
    )


def refuse_photo_parameters(received: ReceivedRequest) -> None:
    """Refuse what says nothing in face mode.

    Raises:
        ConflictingParametersError: there is one.
    """
    given = [name for name in PHOTO_PARAMETERS if name in received.parameters]
    given += ["box"] if received.boxes else []
    if given:
        raise ConflictingParametersError(
            f"{given[0]} is given and mode is face; send mode=photo with it, or leave it out"
        )


def _factor(received: ReceivedRequest) -> int:
    text = received.parameters.get("factor", "2")
    known = [str(factor) for factor in FACTORS]
    if text not in known:
        raise InvalidParameterError(f"factor is {quote(text)}; it must be {' or '.join(known)}")
    return int(text)


def _faces(received: ReceivedRequest) -> Literal["all", "largest"]:
    text = received.parameters.get("faces", "all")
    if text not in _FACES:
        raise InvalidParameterError(f"faces is {quote(text)}; it must be {' or '.join(_FACES)}")
    return "largest" if text == "largest" else "all"


def _number(
    received: ReceivedRequest, name: str, *, default: float, low: float, high: float
) -> float:
    text = received.parameters.get(name)
    if text is None:
        return default
    if not re.fullmatch(_NUMBER, text, re.ASCII) or not low <= float(text) <= high:
        raise InvalidParameterError(
            f"{name} is {quote(text)}; it must be a number from {low:g} to {high:g}"
        )
    return float(text)


def _box(text: str) -> Box:
    found = re.fullmatch(",".join([rf"\s*(-?{_NUMBER})\s*"] * 4), text, re.ASCII)
    if found is None:
        raise InvalidParameterError(
            f"box is {quote(text)}; it must be x,y,width,height in px of the photo: four numbers, "
            "separated by commas"
        )
    x, y, width, height = (float(found[group]) for group in (1, 3, 5, 7))
    if width <= 0 or height <= 0:
        raise InvalidParameterError(f"box is {quote(text)}; its width and height must be above 0")
    return Box(x=x, y=y, width=width, height=height)
