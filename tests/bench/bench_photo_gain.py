"""What upscaled faces of a photo gain over the enlarged photo: PSNR, by size and network.

    python -m tests.bench.bench_photo_gain PACKS [--test ffhq helen] [--faces 6]

Aligned faces are laid, turned, into pictures that show nobody; those are reduced to a quarter, so
that a face is so large in them, and enlarged again by `factor=4`. Told is what the middle of a
face (half of its crop's side) is nearer to the picture before than by Lanczos: the mean, and the
face that fares worst. Faces are cut out where they were laid, not where they are found, so that
nothing but the networks and the way out of the photo and back is measured.
"""

import argparse
import math
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from model_store.faces.finding import PhotoFace
from model_store.faces.framing import Similarity
from model_store.image_tensor import RgbImage, resize_levels
from service.engine.accuracy import psnr_db
from service.engine.base import Engine, ServedModel, UpscaledImage
from service.engine.loading import load_engine, open_store
from service.photo.background import enlarge_photo
from service.photo.paste import paste_face
from service.photo.pipeline import cut_face
from service.settings import Settings
from training.data.pack import open_pack
from training.detection.scenes import faceless_pictures

_SIDES_PX = (12, 16, 20, 24)
_FACTOR = 4
_SCENE_PX = 64  # of the photo
_MOST_TURNED = math.radians(15)
_COMPARED = 0.5


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("packs", type=Path)
    parser.add_argument("--test", nargs="+", default=["ffhq", "helen"])
    parser.add_argument("--faces", type=int, default=6, help="of each pack")
    options = parser.parse_args(arguments)
    packs = [open_pack(options.packs / name).images for name in options.test]
    faces = [face for images in packs for face in images[: options.faces]]
    settings = Settings()
    engine = load_engine(open_store(settings), settings)
    print("| crop, px | " + " | ".join(str(side) for side in _SIDES_PX) + " |")
    print("|---" * (len(_SIDES_PX) + 1) + "|")
    for model in sorted(engine.models, key=lambda model: -model.scale):
        cells = [_cell(engine, model, faces, side_px) for side_px in _SIDES_PX]
        print(f"| {model.reference} | " + " | ".join(cells) + " |", flush=True)
    engine.close()


def _cell(engine: Engine, model: ServedModel, faces: Sequence[RgbImage], side_px: int) -> str:
    gains = [
        _gain(engine, model, scene, crop_to_scene)
        for scene, crop_to_scene in _scenes(faces, side_px)
    ]
    return f"{np.mean(gains):+.1f} ({min(gains):+.1f})"


def _scenes(faces: Sequence[RgbImage], side_px: int) -> Iterator[tuple[RgbImage, Similarity]]:
    """Pictures four times as large as the photos, and where the face of each lies."""
    rng = np.random.default_rng(side_px)
    backgrounds = faceless_pictures()
    for face in faces:
        background = Image.fromarray(backgrounds[rng.integers(len(backgrounds))])
        size = (_FACTOR * _SCENE_PX, _FACTOR * _SCENE_PX)
        scene = np.array(background.resize(size))
        angle = rng.uniform(-_MOST_TURNED, _MOST_TURNED)
        turn = (
            _FACTOR
            * side_px
            * np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
        )
        middle = _FACTOR * rng.uniform(side_px, _SCENE_PX - side_px, 2)
        crop_to_scene = np.column_stack([turn, middle - turn @ (0.5, 0.5)])
        paste_face(scene, face, crop_to_scene, native_px=face.shape[0], strength=1)
        yield scene, crop_to_scene


def _gain(engine: Engine, model: ServedModel, scene: RgbImage, crop_to_scene: Similarity) -> float:
    """In dB, of the face's middle."""
    photo = resize_levels(scene, height=_SCENE_PX, width=_SCENE_PX)
    face = PhotoFace(box=(0, 0, 0, 0), crop_to_photo=crop_to_scene / _FACTOR, confidence=1, score=1)
    [upscaled] = engine.upscale(model.reference, [cut_face(photo, face, model)])
    assert isinstance(upscaled, UpscaledImage)
    enlarged = enlarge_photo(photo, _FACTOR)
    result = enlarged.copy()
    paste_face(result, upscaled.rgb, crop_to_scene, native_px=face.side_px, strength=1)
    x, y = crop_to_scene @ (0.5, 0.5, 1)
    reach = _COMPARED / 2 * _FACTOR * face.side_px
    compared = np.s_[round(y - reach) : round(y + reach), round(x - reach) : round(x + reach)]
    ours, plain = (psnr_db([one[compared]], [scene[compared]]) for one in (result, enlarged))
    return ours - plain


if __name__ == "__main__":
    main()
