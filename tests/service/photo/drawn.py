"""Photos with drawn faces, and an engine that finds them: a face is a red square."""

import numpy as np

from model_store.faces.detector import FaceProposal
from model_store.image_tensor import RgbImage
from service.engine.base import TileProposals
from tests.fakes import NearestEngine, served_classifier, served_detector

RED = (230, 20, 20)


def draw_photo(width: int, height: int, *faces: tuple[int, int, int], level: int = 100) -> RgbImage:
    """A grey photo with red squares: left, top, side of each."""
    photo = np.full((height, width, 3), level, np.uint8)
    for left, top, side in faces:
        photo[top : top + side, left : left + side] = RED
    return photo


def red_squares(tile: RgbImage) -> TileProposals:
    """Every separate red square of a tile as a face, if it is at least 10 px wide there."""
    is_red = (tile[..., 0] > 150) & (tile[..., 1] < 70)
    proposals = []
    while is_red.any():
        top, left = np.argwhere(is_red)[0].tolist()
        width = int(np.argmin(np.append(is_red[top, left:], False)))
        height = int(np.argmin(np.append(is_red[top:, left], False)))
        is_red[top : top + height + 2, max(0, left - 2) : left + width + 2] = False
        if min(width, height) >= 10:
            proposals.append(square(left, top, width))
    return TileProposals(proposals=tuple(proposals))


def square(left: float, top: float, side: float) -> FaceProposal:
    return FaceProposal(
        box=(left, top, side, side),
        crop_to_picture=np.array([[side, 0.0, left], [0.0, side, top]]),
        score=0.9,
    )


def finding_engine() -> NearestEngine:
    engine = NearestEngine(classifier=served_classifier(), detector=served_detector())
    engine.faces_in = red_squares
    return engine
