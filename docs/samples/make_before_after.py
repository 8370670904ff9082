"""Draw the README's picture: the sample face, Pillow's bicubic, AffectSRNet, the original.

Needs the published models and nothing else. Run it from anywhere:

    .venv/bin/python docs/samples/make_before_after.py
"""

from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont

from model_store.affectsrnet.network import AffectSRNet
from model_store.image_tensor import RgbImage, image_to_tensor, tensor_to_image
from model_store.landmarks.landmarker import Landmarker
from model_store.store import ModelStore
from model_store.upscaling import upscale_batch

FOLDER = Path(__file__).resolve().parent
TARGET = FOLDER.parent / "before_after.png"
FACE_PX = 128
TILE_PX = 192  # shown at 1.5 times, every column by the same Lanczos
GAP_PX, CAPTION_PX = 8, 26
ROWS = (("affectsrnet-x4", 32), ("affectsrnet-x8", 16))


def main() -> None:
    """Write docs/before_after.png."""
    store = ModelStore()
    landmarker = store.load("landmarker").module
    original = Image.open(FOLDER / f"face_{FACE_PX}px.png").convert("RGB")
    columns = ("input", "bicubic", "AffectSRNet", "original")
    size = (
        len(columns) * (TILE_PX + GAP_PX) + GAP_PX,
        len(ROWS) * (TILE_PX + CAPTION_PX) + GAP_PX,
    )
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(14)
    for row, (name, side_px) in enumerate(ROWS):
        lr = Image.open(FOLDER / f"face_{side_px}px.png").convert("RGB")
        tiles = (
            lr.resize((TILE_PX, TILE_PX), Image.Resampling.NEAREST),
            _show(lr.resize((FACE_PX, FACE_PX), Image.Resampling.BICUBIC)),
            _show(_upscale(store, name, landmarker, np.asarray(lr))),
            _show(original),
        )
        top = GAP_PX + row * (TILE_PX + CAPTION_PX)
        for column, (title, tile) in enumerate(zip(columns, tiles, strict=True)):
            left = GAP_PX + column * (TILE_PX + GAP_PX)
            sheet.paste(tile, (left, top))
            caption = f"{title}, {side_px} px" if title == "input" else title
            draw.text((left, top + TILE_PX + 3), caption, fill="black", font=font)
    sheet.save(TARGET, optimize=True)


def _upscale(
    store: ModelStore, name: str, landmarker: torch.nn.Module, lr: RgbImage
) -> Image.Image:
    network = store.load(name).module
    if not isinstance(network, AffectSRNet) or not isinstance(landmarker, Landmarker):
        raise TypeError(f"{name} or the landmarker is of another architecture")
    with torch.inference_mode():
        sr = upscale_batch(network, image_to_tensor(lr)[None], landmarker=landmarker)
    return Image.fromarray(tensor_to_image(sr[0]))


def _show(face: Image.Image) -> Image.Image:
    return face.resize((TILE_PX, TILE_PX), Image.Resampling.LANCZOS)


if __name__ == "__main__":
    main()
