"""Faces to look at: of each set the best, the median and the worst by our gain over bicubic."""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from model_store.affectsrnet.config import HR_SIZE_PX
from model_store.image_tensor import RgbImage
from training.evaluation.comparison import Comparison, ModelResult
from training.evaluation.faces import FaceSet, LrFaces
from training.evaluation.models import BICUBIC, Model
from training.evaluation.paper import OURS
from training.quality import paired_differences

_GAIN_COLUMN = "psnr_db"


@dataclass(frozen=True)
class StripFace:
    """One face as everybody makes it.

    Attributes:
        rank: "best", "median" or "worst".
        gain_db: PSNR over bicubic of the model by which faces were chosen.
        images: Title and 128 px image: the LR image, every model's, the original.
    """

    rank: str
    gain_db: float
    images: tuple[tuple[str, RgbImage], ...]


@dataclass(frozen=True)
class Strip:
    """The faces of one set at one scale.

    Attributes:
        chosen_by: Title of the model whose gain they were chosen by.
    """

    set_name: str
    scale: int
    chosen_by: str
    faces: tuple[StripFace, ...]


def face_strips(
    comparison: Comparison, *, sets: Sequence[FaceSet], models: Sequence[Model]
) -> list[Strip]:
    """Choose faces for every scale and set, and make them anew with every model.

    Landmark controls are left out: their images hardly differ to the eye.
    """
    strips = []
    for scale in comparison.scales:
        focus = _focus(comparison, scale)
        shown = [m for m in models if m.scale == scale and m.description.control in (None, "lr")]
        bicubic = comparison.find(BICUBIC, scale=scale)
        if focus is not None and bicubic is not None:
            strips += [_strip(focus, bicubic, faces, shown) for faces in sets]
    return strips


def data_uri(image: RgbImage) -> str:
    """An image as a link that holds it, without loss."""
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "WEBP", lossless=True, quality=100)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode("ascii")


def _focus(comparison: Comparison, scale: int) -> ModelResult | None:
    """Ours, or the first model where there is none of ours."""
    models = [r for r in comparison.at_scale(scale) if r.description.name != BICUBIC]
    ours = [r for r in models if r.description.method == OURS]
    return next(iter([*ours, *models]), None)


def _strip(
    focus: ModelResult, bicubic: ModelResult, faces: FaceSet, models: Sequence[Model]
) -> Strip:
    scale = focus.description.scale
    assert scale is not None
    gains = paired_differences(
        focus.values[faces.name][_GAIN_COLUMN], bicubic.values[faces.name][_GAIN_COLUMN]
    )
    order = np.argsort(-gains)
    places = {"best": 0, "median": len(order) // 2, "worst": len(order) - 1}
    rows = {rank: int(order[place]) for rank, place in places.items()}
    lr = faces.at_scale(scale)
    picked = list(rows.values())
    few = LrFaces(
        lr.set_name, tuple(lr.stems[r] for r in picked), tuple(lr.images[r] for r in picked), scale
    )
    made = [(model.description.title, model.upscaler.upscale(few)) for model in models]
    shown = tuple(
        StripFace(
            rank,
            float(gains[row]),
            (
                (f"input, {HR_SIZE_PX // scale} px", _enlarge_nearest(few.images[place], scale)),
                *((title, images[place]) for title, images in made),
                ("original", faces.originals[row]),
            ),
        )
        for place, (rank, row) in enumerate(rows.items())
    )
    return Strip(faces.name, scale, focus.title, shown)


def _enlarge_nearest(image: RgbImage, scale: int) -> RgbImage:
    return image.repeat(scale, axis=0).repeat(scale, axis=1)
