"""Faces followed through the frames of a clip: who is who, and where exactly."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from model_store.faces.finding import PhotoFace
from model_store.faces.framing import Similarity, scale_of, transform
from service.engine.base import ServedModel
from service.video.detail import SteadyDetail
from service.video.one_euro import OneEuroFilter, OneEuroSettings

# Places are filtered as parts of the face's size when it came, so that large and small faces are
# alike. At rest the jitter of a detector, a hundredth of a face, is to vanish; a face that crosses
# its own width in a second is to be followed within a frame or two.
_PLACE_FILTER = OneEuroSettings(min_cutoff_hz=0.5, beta=12.0)
_TURN_FILTER = OneEuroSettings(min_cutoff_hz=0.5, beta=6.0)  # of radians
# Two crops whose middles are closer than this part of the smaller one's side are one face.
_SAME_FACE_DISTANCE = 0.5
_LARGEST_GROWTH = 1.6
# A face that is not found again fades out over so many frames where it was last, and one that comes
# fades in: neither pops.
_FADE_FRAMES = 6


@dataclass(eq=False)
class FaceTrack:
    """One face over time.

    Attributes:
        id: counts from 1 in the order in which faces appear.
        crop_to_frame: from the unit square of its crop to px of the frame, filtered.
        model: that upscales it; None where none does.
        num_fades: frames that it has faded in, less those that it has faded out.
        is_new: no network was chosen for it yet.
        detail: of its upscaled face.
    """

    id: int
    crop_to_frame: Similarity
    model: ServedModel | None
    num_fades: int = 1
    is_new: bool = True
    detail: SteadyDetail = field(default_factory=SteadyDetail)
    _place: OneEuroFilter = field(default_factory=lambda: OneEuroFilter(_PLACE_FILTER))
    _turn: OneEuroFilter = field(default_factory=lambda: OneEuroFilter(_TURN_FILTER))
    _unit_px: float = field(init=False)
    _angle: float = field(init=False)

    def __post_init__(self) -> None:
        self._unit_px = self.side_px
        self._angle = _angle_of(self.crop_to_frame)
        self._filter(self.crop_to_frame, seconds=0)

    @property
    def presence(self) -> float:
        """How much of the upscaled face is shown: 1 is all, at 0 it is gone."""
        return self.num_fades / _FADE_FRAMES

    @property
    def side_px(self) -> float:
        """Side of its crop, in px of the frame."""
        return scale_of(self.crop_to_frame)

    def follow(self, crop_to_frame: Similarity, *, seconds: float) -> None:
        """Take the place where it was found in the next frame, filtered."""
        self._filter(crop_to_frame, seconds=seconds)
        self.num_fades = min(_FADE_FRAMES, self.num_fades + 1)

    def miss(self) -> None:
        """It was not found in the next frame: it stays where it is, and fades."""
        self.num_fades = max(0, self.num_fades - 1)

    def _filter(self, crop_to_frame: Similarity, *, seconds: float) -> None:
        # The shortest way round from the angle before.
        self._angle += math.remainder(_angle_of(crop_to_frame) - self._angle, 2 * math.pi)
        x, y = _middle(crop_to_frame)
        place = np.array([x / self._unit_px, y / self._unit_px, math.log(scale_of(crop_to_frame))])
        x, y, log_side = self._place.update(place, seconds=seconds).tolist()
        (angle,) = self._turn.update(np.array([self._angle]), seconds=seconds).tolist()
        self.crop_to_frame = _similarity(
            x * self._unit_px, y * self._unit_px, side_px=math.exp(log_side), angle=angle
        )

    def is_at(self, crop_to_frame: Similarity) -> bool:
        """Whether a face that was found is this one."""
        (x, y), (other_x, other_y) = _middle(self.crop_to_frame), _middle(crop_to_frame)
        sides = self.side_px, scale_of(crop_to_frame)
        return math.hypot(x - other_x, y - other_y) < _SAME_FACE_DISTANCE * min(sides) and max(
            sides
        ) < _LARGEST_GROWTH * min(sides)


class FaceTracks:
    """All faces of a clip that are there now."""

    def __init__(self) -> None:
        self.present: list[FaceTrack] = []
        self.num_seen = 0
        self._is_first_frame = True

    def add_new(self, faces: Sequence[PhotoFace]) -> list[FaceTrack]:
        """Begin a track for each face of a whole frame that none is at; returns the new ones."""
        new = []
        for face in faces:
            if any(track.is_at(face.crop_to_photo) for track in self.present):
                continue
            self.num_seen += 1
            track = FaceTrack(
                id=self.num_seen,
                crop_to_frame=face.crop_to_photo,
                model=None,
                # Who is there from the beginning need not fade in.
                num_fades=_FADE_FRAMES if self._is_first_frame else 1,
            )
            self.present.append(track)
            new.append(track)
        self._is_first_frame = False
        return new

    def drop_gone(self) -> None:
        """Forget the faces that have faded out."""
        self.present = [track for track in self.present if track.presence > 0]


def nearest(track: FaceTrack, found: Sequence[PhotoFace]) -> PhotoFace | None:
    """The face of those found that is the track's; None if it is none of them."""
    same = [face for face in found if track.is_at(face.crop_to_photo)]
    x, y = _middle(track.crop_to_frame)
    return min(
        same,
        key=lambda face: math.dist((x, y), _middle(face.crop_to_photo)),
        default=None,
    )


def _middle(crop_to_frame: Similarity) -> tuple[float, float]:
    x, y = transform(crop_to_frame, np.array([[0.5, 0.5]]))[0].tolist()
    return x, y


def _angle_of(crop_to_frame: Similarity) -> float:
    return math.atan2(crop_to_frame[1, 0], crop_to_frame[0, 0])


def _similarity(x: float, y: float, *, side_px: float, angle: float) -> Similarity:
    """The one that takes the unit square's middle to a place, with a side and a turn."""
    a, b = side_px * math.cos(angle), side_px * math.sin(angle)
    return np.array([[a, -b, x - (a - b) / 2], [b, a, y - (a + b) / 2]])
