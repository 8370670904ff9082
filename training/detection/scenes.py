"""Pictures with faces of known size and place, and pictures without any."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from model_store.image_tensor import RgbImage
from training.errors import DataError

_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
# Photographs and drawings that scikit-image carries in its wheel and that show nobody; a cat, and
# round and textured things, are among them.
_FACELESS = (
    "brick.png",
    "cell.png",
    "chelsea.png",
    "chessboard_RGB.png",
    "clock_motion.png",
    "coffee.png",
    "color.png",
    "grass.png",
    "gravel.png",
    "horse.png",
    "hubble_deep_field.jpg",
    "ihc.png",
    "microaneurysms.png",
    "moon.png",
    "motorcycle_left.png",
    "motorcycle_right.png",
    "page.png",
    "retina.jpg",
    "rocket.jpg",
    "text.png",
)
_MAX_FACELESS_PX = 640
_MIN_SCENE_PX = 128
# Of a pasted face's side, over which it fades into its scene.
_FEATHER = 0.15


@dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
    """A picture with faces.

    Attributes:
        picture: (H, W, 3) uint8 RGB.
        middles: (K, 2) x, y of the faces' crops, in px.
        sides: (K,) of their crops, in px.
    """

    picture: RgbImage
    middles: npt.NDArray[np.float64]
    sides: npt.NDArray[np.float64]


def read_photos(folder: Path) -> list[RgbImage]:
    """Read the images of a folder, by name.

    Raises:
        DataError: there is none.
    """
    paths = sorted(path for path in folder.glob("*") if path.suffix.lower() in _SUFFIXES)
    if not paths:
        raise DataError(f"{folder} holds no photo; name a folder of JPEG, PNG or WebP files")
    return [_read(path) for path in paths]


def faceless_pictures() -> list[RgbImage]:
    """The pictures of scikit-image that show nobody, at most 640 px a side."""
    import skimage

    folder = Path(skimage.__file__).parent / "data"
    return [_read(folder / name, max_side_px=_MAX_FACELESS_PX) for name in _FACELESS]


def shrunk(scene: Scene, factor: float) -> Scene:
    """A scene made smaller by Pillow's bicubic."""
    height, width = scene.picture.shape[:2]
    size = max(1, round(width * factor)), max(1, round(height * factor))
    picture = Image.fromarray(scene.picture).resize(size, Image.Resampling.BICUBIC)
    return Scene(
        picture=np.asarray(picture), middles=scene.middles * factor, sides=scene.sides * factor
    )


def pasted_scenes(
    faces: Sequence[RgbImage],
    backgrounds: Sequence[RgbImage],
    *,
    side_px: int,
    rng: np.random.Generator,
) -> Iterator[Scene]:
    """Paste each face, `side_px` large and with soft edges, into a picture without one.

    Aligned crops hold no hair and no shoulders, so this is harder than a photo with such faces.
    """
    scene_px = max(_MIN_SCENE_PX, 2 * side_px)
    for face in faces:
        picture = _background(backgrounds[rng.integers(len(backgrounds))], scene_px, rng)
        left, top = rng.integers(scene_px - side_px + 1, size=2).tolist()
        _paste(picture, face, left, top, side_px)
        yield Scene(
            picture=picture.round().astype(np.uint8),
            middles=np.array([[left + side_px / 2, top + side_px / 2]]),
            sides=np.array([float(side_px)]),
        )


def _paste(
    picture: npt.NDArray[np.float32], face: RgbImage, left: int, top: int, side_px: int
) -> None:
    size = (side_px, side_px)
    small = np.asarray(Image.fromarray(face).resize(size, Image.Resampling.BICUBIC))
    axis = (np.arange(side_px) + 0.5) / side_px
    ramp = np.clip(np.minimum(axis, 1 - axis) / _FEATHER, 0, 1)
    mask = np.minimum.outer(ramp, ramp)[..., None]
    region = picture[top : top + side_px, left : left + side_px]
    region += mask * (small - region)


def _background(
    picture: RgbImage, side_px: int, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """A random part of a picture, brought to a scene's size."""
    height, width = picture.shape[:2]
    side = min(height, width)
    left, top = int(rng.integers(width - side + 1)), int(rng.integers(height - side + 1))
    part = Image.fromarray(picture[top : top + side, left : left + side])
    return np.asarray(part.resize((side_px, side_px)), dtype=np.float32).copy()


def _read(path: Path, *, max_side_px: int | None = None) -> RgbImage:
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    if max_side_px is not None:
        image.thumbnail((max_side_px, max_side_px))
    return np.asarray(image)
