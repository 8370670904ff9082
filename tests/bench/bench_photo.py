"""What a photo costs: ten faces in one against ten lone crops, and the memory of 12 megapixels.

    python -m tests.bench.bench_photo [--rounds 9] [--faces 10] [--scale 4 8] [--skip-memory]

The faces are the sample face, with the room around each that people in a group have; lone crops are
sent at once, so that both fill the same batches; first as both are by default, with their
expressions read, then without. They take turns, and medians are told; the rate is the median of
each round's own, as a machine's pace changes from round to round. Memory is that of a process of
its own, which serves one photo of 4000 x 3000 px with `factor=2` after it has served a small one.
"""

import argparse
import asyncio
import io
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager

import numpy as np
from PIL import Image

from service.engine.loading import load_engine, open_store
from service.engine.memory_limit import read_process_memory, reset_peak
from service.engine_room import EngineRoom, StageTimes, open_engine_room
from service.lifecycle import Lifecycle
from service.metrics import Metrics
from service.photo import PhotoFile, PhotoOrder, PhotoPipeline
from service.pipeline import UpscaleOrder, UpscalePipeline
from service.settings import Settings
from tests.bench.sample_face import sample_face
from tests.conftest import ROOT

_SIDE_PX = {4: 32, 8: 16}
_LARGE = (4000, 3000)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--faces", type=int, default=10)
    parser.add_argument("--scale", type=int, nargs="+", choices=(4, 8), default=[4, 8])
    parser.add_argument("--skip-memory", action="store_true")
    parser.add_argument("--memory-only", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.memory_only:
        asyncio.run(_measure_memory())
        return
    asyncio.run(_compare(options.rounds, options.faces, options.scale))
    if not options.skip_memory:
        command = [sys.executable, "-m", "tests.bench.bench_photo", "--memory-only"]
        subprocess.run(command, check=True, cwd=ROOT)


async def _compare(rounds: int, num_faces: int, scales: Sequence[int]) -> None:
    settings = Settings()
    async with _open_room(settings) as room:
        for scale in scales:
            for wants_readout in (True, False):
                await _compare_scale(room, settings, rounds, num_faces, scale, wants_readout)


async def _compare_scale(
    room: EngineRoom,
    settings: Settings,
    rounds: int,
    num_faces: int,
    scale: int,
    wants_readout: bool,
) -> None:
    side_px = _SIDE_PX[scale]
    photo = _as_png(_draw_photo(num_faces, side_px, size=_photo_size(side_px)))
    crop = _as_png(sample_face(side_px))
    photo_seconds: list[float] = []
    crop_seconds: list[float] = []
    stages: list[dict[str, float]] = []
    num_upscaled = 0
    photos, crops = PhotoPipeline(room, settings), UpscalePipeline(room)
    for number in range(rounds + 1):
        times = StageTimes()
        started_at = time.perf_counter()
        result = await photos.upscale(_photo_order(photo, scale, wants_readout), times)
        photo_taken = time.perf_counter() - started_at
        assert isinstance(result, PhotoFile)
        num_upscaled = sum(face.action == "upscaled" for face in result.fields.faces)
        started_at = time.perf_counter()
        order = _crops_order([crop] * num_upscaled, scale, wants_readout)
        await crops.upscale(order, StageTimes())
        if number > 0:  # the first warms up
            photo_seconds.append(photo_taken)
            crop_seconds.append(time.perf_counter() - started_at)
            stages.append(times.seconds)
    taken, alone = statistics.median(photo_seconds), statistics.median(crop_seconds)
    width, height = _photo_size(side_px)
    read = "read" if wants_readout else "left unread"
    print(
        f"x{scale}, expressions {read}: a photo of {width} x {height} px, "
        f"{num_upscaled} of {num_faces} faces found"
    )
    print(f"  photo {taken * 1000:.0f} ms, {num_upscaled} lone crops {alone * 1000:.0f} ms")
    rate = statistics.median(
        crops / photo for crops, photo in zip(crop_seconds, photo_seconds, strict=True)
    )
    print(f"  rate of the faces against lone crops: {rate:.2f}", flush=True)
    for stage in ("decode", "detect", "paste", "encode"):
        print(f"  {stage} {statistics.median(s[stage] for s in stages) * 1000:.0f} ms")


async def _measure_memory() -> None:
    settings = Settings()
    small = _as_png(_draw_photo(4, 32, size=(512, 256)))
    large = _as_png(_draw_photo(10, 200, size=_LARGE))
    async with _open_room(settings) as room:
        await _serve(room, settings, small)
        reset_peak()
        before = read_process_memory()
        await _serve(room, settings, large)
        after = read_process_memory()
    if before is None or after is None:
        print("peak memory: not told by this system")
        return
    print(
        f"memory: {before.resident >> 20} MiB when a small photo has been served; at most "
        f"{after.peak >> 20} MiB ({(after.peak - before.resident) >> 20} more) while one of "
        f"{_LARGE[0]} x {_LARGE[1]} px is made {2 * _LARGE[0]} x {2 * _LARGE[1]}"
    )


async def _serve(room: EngineRoom, settings: Settings, photo: bytes) -> None:
    order = PhotoOrder(image=photo, media_type="image/jpeg", wants_readout=True)
    assert isinstance(await PhotoPipeline(room, settings).upscale(order, StageTimes()), PhotoFile)


def _open_room(settings: Settings) -> AbstractAsyncContextManager[EngineRoom]:
    return open_engine_room(
        settings,
        lambda: load_engine(open_store(settings), settings),
        metrics=Metrics(max_batch_size=settings.max_batch_size),
        lifecycle=Lifecycle(),
    )


def _photo_size(side_px: int) -> tuple[int, int]:
    return 16 * side_px, 8 * side_px


def _photo_order(photo: bytes, scale: int, wants_readout: bool) -> PhotoOrder:
    return PhotoOrder(
        image=photo, scale=scale, media_type="image/jpeg", wants_readout=wants_readout
    )


def _crops_order(crops: Sequence[bytes], scale: int, wants_readout: bool) -> UpscaleOrder:
    return UpscaleOrder(
        images=crops, scale=scale, model=None, media_type="image/jpeg", wants_readout=wants_readout
    )


def _draw_photo(num_faces: int, side_px: int, *, size: tuple[int, int]) -> Image.Image:
    """A smooth picture with faces in rows of five."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(60, 200, (6, 8, 3), dtype=np.uint8)
    photo = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC)
    face = sample_face(side_px)
    for number in range(num_faces):
        column, row = number % 5, number // 5
        left = (size[0] - 5 * side_px) // 6 * (column + 1) + column * side_px
        photo.paste(face, (left, side_px * (1 + 3 * row)))
    return photo


def _as_png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


if __name__ == "__main__":
    main()
