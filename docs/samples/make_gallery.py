"""Draw the README's gallery: a whole photo made smaller, then larger again by Lanczos and by us.

The photo is NASA's official portrait of the astronaut Eileen Collins; terms and source are in
README.md in this folder. Needs the extra `training` (scikit-image) and the published models:

    .venv/bin/python docs/samples/make_gallery.py
"""

import asyncio
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont
from skimage import data

from service.command_room import open_command_room
from service.engine_room import StageTimes
from service.photo import PhotoFile, PhotoOrder, PhotoPipeline
from service.settings import Settings

TARGET = Path(__file__).resolve().parent.parent / "gallery.jpg"
# Of the 512 px photo: head and shoulders, which are shown, while the whole is upscaled.
SHOWN = (96, 0, 352, 256)
TILE_PX, GAP_PX, CAPTION_PX = 256, 8, 26
JPEG_QUALITY = 88


@dataclass(frozen=True)
class Row:
    """A way to make the photo smaller.

    Attributes:
        side_px: of the whole photo then.
        as_cameras_do: blurred before, with noise, and stored as JPEG; else by bicubic alone, which
            is what the networks have learnt from.
    """

    side_px: int
    as_cameras_do: bool = False


ROWS = (Row(128), Row(64), Row(128, as_cameras_do=True))


def main() -> None:
    """Write docs/gallery.jpg."""
    original = Image.fromarray(data.astronaut())
    asyncio.run(_draw(original)).save(TARGET, quality=JPEG_QUALITY, optimize=True)


async def _draw(original: Image.Image) -> Image.Image:
    settings = Settings(emotion_model="")
    columns = ("photo", "enlarged by Lanczos", "mode=photo", "original")
    sheet = Image.new(
        "RGB",
        (len(columns) * (TILE_PX + GAP_PX) - GAP_PX, len(ROWS) * (TILE_PX + CAPTION_PX)),
        "white",
    )
    async with open_command_room(settings) as room:
        photos = PhotoPipeline(room, settings)
        for number, row in enumerate(ROWS):
            small = make_smaller(original, row)
            tiles = (
                _shown(small, Image.Resampling.NEAREST),
                _shown(await _upscale(photos, small, strength=0), Image.Resampling.LANCZOS),
                _shown(await _upscale(photos, small, strength=1), Image.Resampling.LANCZOS),
                _shown(original, Image.Resampling.LANCZOS),
            )
            captions = (f"{columns[0]} of {row.side_px} px{_degraded(row)}", *columns[1:])
            for column, (tile, caption) in enumerate(zip(tiles, captions, strict=True)):
                place = column * (TILE_PX + GAP_PX), number * (TILE_PX + CAPTION_PX)
                _lay(sheet, tile, caption, place)
    return sheet


def make_smaller(original: Image.Image, row: Row) -> Image.Image:
    """Reduce the photo as the row says."""
    size = (row.side_px, row.side_px)
    if not row.as_cameras_do:
        return original.resize(size, Image.Resampling.BICUBIC)
    blur_px = 0.5 * original.width / row.side_px
    blurred = original.filter(ImageFilter.GaussianBlur(blur_px))
    small = np.asarray(blurred.resize(size, Image.Resampling.BICUBIC)).astype(float)
    noisy = np.rint(small + np.random.default_rng(0).normal(0, 4, small.shape)).clip(0, 255)
    file = io.BytesIO()
    Image.fromarray(noisy.astype(np.uint8)).save(file, "JPEG", quality=60)
    return Image.open(file).convert("RGB")


def _degraded(row: Row) -> str:
    return ", blurred, JPEG" if row.as_cameras_do else ""


async def _upscale(photos: PhotoPipeline, small: Image.Image, *, strength: float) -> Image.Image:
    file = io.BytesIO()
    small.save(file, "PNG")
    order = PhotoOrder(
        image=file.getvalue(),
        factor=4,
        strength=strength,
        media_type="image/png",
        wants_readout=False,
    )
    result = await photos.upscale(order, StageTimes())
    if not isinstance(result, PhotoFile):
        raise TypeError(result.note)
    return Image.open(io.BytesIO(result.data)).convert("RGB")


def _shown(photo: Image.Image, resampling: Image.Resampling) -> Image.Image:
    scale = photo.width / 512
    box = tuple(side * scale for side in SHOWN)
    return photo.resize((TILE_PX, TILE_PX), resampling, box=box)


def _lay(sheet: Image.Image, tile: Image.Image, caption: str, place: tuple[int, int]) -> None:
    sheet.paste(tile, place)
    text = place[0], place[1] + TILE_PX + 4
    ImageDraw.Draw(sheet).text(text, caption, fill="black", font=ImageFont.load_default(14))


if __name__ == "__main__":
    main()
