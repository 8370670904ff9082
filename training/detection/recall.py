"""How many faces of a size are found, how exactly, and what is taken for one."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from model_store.faces.finding import PhotoFace
from model_store.faces.framing import transform
from model_store.image_tensor import RgbImage
from training.detection.scenes import Scene

FindFaces = Callable[[RgbImage], Sequence[PhotoFace]]

# A face is found where a crop's middle is this close, in sides of the true crop, and its side
# within this factor: what is further off would not be upscaled as a face.
_MAX_OFFSET = 0.3
_MAX_SIDE_RATIO = 1.5


@dataclass(frozen=True, kw_only=True)
class Recall:
    """Of faces of one size.

    Attributes:
        num_faces: there were.
        num_found: of them.
        num_false: found where there is none.
        offset: median distance of the crops' middles, in sides of the true crops; NaN without one.
        side_ratio: median of the found crops' sides over the true ones'; NaN without one.
    """

    num_faces: int
    num_found: int
    num_false: int
    offset: float
    side_ratio: float

    @property
    def recall(self) -> float:
        return self.num_found / self.num_faces


def measure_recall(find_faces: FindFaces, scenes: Iterable[Scene]) -> Recall:
    """Look for the faces of scenes."""
    num_faces = num_false = 0
    offsets: list[float] = []
    ratios: list[float] = []
    for scene in scenes:
        found = list(find_faces(scene.picture))
        num_faces += len(scene.sides)
        for middle, side in zip(scene.middles, scene.sides.tolist(), strict=True):
            distances = [_distance(face, middle) / side for face in found]
            nearest = int(np.argmin(distances)) if distances else -1
            if distances and _is_hit(distances[nearest], found[nearest].side_px / side):
                offsets.append(distances[nearest])
                ratios.append(found.pop(nearest).side_px / side)
        num_false += len(found)
    return Recall(
        num_faces=num_faces,
        num_found=len(offsets),
        num_false=num_false,
        offset=float(np.median(offsets)) if offsets else np.nan,
        side_ratio=float(np.median(ratios)) if ratios else np.nan,
    )


def count_false_faces(find_faces: FindFaces, pictures: Iterable[RgbImage]) -> int:
    """Count what is found in pictures without a face."""
    return sum(len(find_faces(picture)) for picture in pictures)


def scene_of(picture: RgbImage, faces: Sequence[PhotoFace]) -> Scene:
    """A photo as a scene: with the faces that were found in it at full size."""
    return Scene(
        picture=picture,
        middles=np.array([_middle(face) for face in faces]).reshape(-1, 2),
        sides=np.array([face.side_px for face in faces]),
    )


def recall_text(rows: Sequence[tuple[str, int, Recall]]) -> str:
    """A table: set, size, recall, false faces, how exactly the crops lie."""
    lines = [
        f"{'set':<12} {'px':>4} {'faces':>6} {'found':>7} {'false':>6} {'offset':>7} {'side':>6}"
    ]
    for name, side_px, row in rows:
        lines.append(
            f"{name:<12} {side_px:>4} {row.num_faces:>6} {row.recall:>7.1%} {row.num_false:>6} "
            f"{row.offset:>7.3f} {row.side_ratio:>6.3f}"
        )
    return "\n".join(lines)


def _is_hit(offset: float, side_ratio: float) -> bool:
    return offset <= _MAX_OFFSET and 1 / _MAX_SIDE_RATIO <= side_ratio <= _MAX_SIDE_RATIO


def _middle(face: PhotoFace) -> list[float]:
    middle: list[float] = transform(face.crop_to_photo, np.array([[0.5, 0.5]]))[0].tolist()
    return middle


def _distance(face: PhotoFace, middle: Sequence[float]) -> float:
    x, y = _middle(face)
    return float(np.hypot(x - middle[0], y - middle[1]))
