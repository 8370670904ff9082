"""The device that every stub has, and what "images" does around it: as our own stub does."""

import io
import time

from PIL import Image

MAX_BATCH_SIZE = 16
BASE_SECONDS, ITEM_SECONDS = 0.005, 0.001
_OUTPUT_PX = 128


def take_time(num_items: int, *, since: float | None = None) -> None:
    """Sleep until the batch has taken its time, from now or from a time of `time.perf_counter`."""
    now = time.perf_counter()
    began_at = now if since is None else since
    time.sleep(max(0.0, began_at + BASE_SECONDS + ITEM_SECONDS * num_items - now))


def enlarge_all(images: list[Image.Image]) -> list[Image.Image]:
    """What the device makes of a batch; the work is part of the time that it takes."""
    began_at = time.perf_counter()
    results = [enlarge(image) for image in images]
    take_time(len(images), since=began_at)
    return results


def decode(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data)).convert("RGB")


def enlarge(image: Image.Image) -> Image.Image:
    return image.resize((_OUTPUT_PX, _OUTPUT_PX), Image.Resampling.NEAREST)


def encode(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=95, subsampling=0)
    return buffer.getvalue()
