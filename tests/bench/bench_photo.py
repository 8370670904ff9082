"""What a photo costs: ten faces in one against ten lone crops, and the memory of 12 megapixels.

    python -m tests.bench.bench_photo [--rounds 5] [--faces 10] [--scale 4] [--skip-memory]

The faces are the sample face; lone crops are cut as the photo's are and sent at once, so that both
fill the same batches. Rounds alternate, and medians are told. Memory is that of a process of its
own, which serves one photo of 4000 x 3000 px with `factor=2` after it has served a small one.
"""

import argparse
import asyncio
import io
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence

import numpy as np
from PIL import Image

from model_store.store import ModelStore
from service.engine.torch_engine import load_torch_engine
from service.engine_room import StageTimes, open_engine_room
from service.lifecycle import Lifecycle
from service.metrics import Metrics
from service.photo import PhotoFile, PhotoOrder, PhotoPipeline
from service.pipeline import UpscaleOrder, UpscalePipeline
from service.settings import Settings
from tests.conftest import ROOT

_SIDE_PX = {4: 32, 8: 16}
_LARGE = (4000, 3000)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--faces", type=int, default=10)
    parser.add_argument("--scale", type=int, choices=(4, 8), default=4)
    parser.add_argument("--skip-memory", action="store_true")
    parser.add_argument("--memory-of", choices=("small", "large"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.memory_of:
        asyncio.run(_serve_for_memory(options.memory_of))
        return
    asyncio.run(_compare(options.rounds, options.faces, options.scale))
    if not options.skip_memory:
        small, large = (_peak_mib(size) for size in ("small", "large"))
        print(f"peak memory: {small} MiB after a small photo, {large} MiB after {_LARGE} px x 2")


async def _compare(rounds: int, num_faces: int, scale: int) -> None:
    side_px = _SIDE_PX[scale]
    photo = _as_png(_draw_photo(num_faces, side_px, size=(16 * side_px, 8 * side_px)))
    crop = _as_png(_sample_face(side_px))
    settings = Settings()
    photo_seconds: list[float] = []
    crop_seconds: list[float] = []
    stages: list[dict[str, float]] = []
    async with open_engine_room(
        settings,
        lambda: load_torch_engine(ModelStore(), settings),
        metrics=Metrics(max_batch_size=settings.max_batch_size),
        lifecycle=Lifecycle(),
    ) as room:
        photos, crops = PhotoPipeline(room, settings), UpscalePipeline(room)
        for number in range(rounds + 1):
            times = StageTimes()
            started_at = time.perf_counter()
            result = await photos.upscale(_photo_order(photo, scale), times)
            photo_taken = time.perf_counter() - started_at
            assert isinstance(result, PhotoFile)
            num_upscaled = sum(face.action == "upscaled" for face in result.fields.faces)
            started_at = time.perf_counter()
            await crops.upscale(_crops_order([crop] * num_upscaled, scale), StageTimes())
            if number > 0:  # the first warms up
                photo_seconds.append(photo_taken)
                crop_seconds.append(time.perf_counter() - started_at)
                stages.append(times.seconds)
    taken, alone = statistics.median(photo_seconds), statistics.median(crop_seconds)
    print(f"x{scale}: a photo with {num_upscaled} of {num_faces} faces found")
    print(f"  photo {taken * 1000:.0f} ms, {num_upscaled} lone crops {alone * 1000:.0f} ms")
    print(f"  rate of the faces against lone crops: {alone / taken:.2f}")
    for stage in ("decode", "detect", "paste", "encode"):
        print(f"  {stage} {statistics.median(s[stage] for s in stages) * 1000:.0f} ms")
    without = taken - statistics.median(s["detect"] for s in stages)
    print(f"  without the search for faces: {alone / without:.2f}")


async def _serve_for_memory(size: str) -> None:
    settings = Settings()
    photos = [_draw_photo(4, 32, size=(512, 256))]
    if size == "large":
        photos.append(_draw_photo(10, 200, size=_LARGE))
    async with open_engine_room(
        settings,
        lambda: load_torch_engine(ModelStore(), settings),
        metrics=Metrics(max_batch_size=settings.max_batch_size),
        lifecycle=Lifecycle(),
        warm_up=False,
    ) as room:
        for photo in photos:
            data = _as_png(photo)
            del photo
            result = await PhotoPipeline(room, settings).upscale(
                PhotoOrder(image=data, media_type="image/jpeg", wants_readout=True), StageTimes()
            )
            assert isinstance(result, PhotoFile)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)


def _peak_mib(size: str) -> int:
    command = [sys.executable, "-m", "tests.bench.bench_photo", "--memory-of", size]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    return int(done.stdout)


def _photo_order(photo: bytes, scale: int) -> PhotoOrder:
    return PhotoOrder(image=photo, scale=scale, media_type="image/jpeg", wants_readout=False)


def _crops_order(crops: Sequence[bytes], scale: int) -> UpscaleOrder:
    return UpscaleOrder(
        images=crops, scale=scale, model=None, media_type="image/jpeg", wants_readout=False
    )


def _draw_photo(num_faces: int, side_px: int, *, size: tuple[int, int]) -> Image.Image:
    """A smooth picture with faces in rows of five."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(60, 200, (6, 8, 3), dtype=np.uint8)
    photo = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
    face = _sample_face(side_px)
    for number in range(num_faces):
        column, row = number % 5, number // 5
        left = (size[0] - 5 * side_px) // 6 * (column + 1) + column * side_px
        photo.paste(face, (left, side_px * (1 + 3 * row)))
    return photo


def _sample_face(side_px: int) -> Image.Image:
    face = Image.open(ROOT / "docs" / "samples" / "face_128px.png").convert("RGB")
    return face.resize((side_px, side_px), Image.Resampling.BICUBIC)


def _as_png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


if __name__ == "__main__":
    main()
