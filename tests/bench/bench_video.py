"""What a frame of a video costs, and the memory of an hour of them.

    python -m tests.bench.bench_video [--frames 60] [--faces 0 1 4]
    python -m tests.bench.bench_video --hour [--rate 2]

The first times frames of 640 x 360 px with so many faces of 36 px, which move two pixels a frame,
with the published models and `factor=2`: from file to file, after the first frames have been done.
The second reads, enlarges and writes an hour of 320 x 240 px at that rate, in which two faces are
followed, around an engine that repeats pixels, and tells what the process holds along the way.
"""

import argparse
import asyncio
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import numpy as np
from PIL import Image

from model_store.image_tensor import RgbImage
from service.engine.base import Engine
from service.engine.loading import load_engine, open_store
from service.engine.memory_limit import read_process_memory
from service.engine_room import EngineRoom, open_engine_room
from service.lifecycle import Lifecycle
from service.metrics import Metrics
from service.settings import Settings
from service.video.frames import VideoOptions
from service.video.run import upscale_video
from tests.bench.sample_face import sample_face
from tests.service.photo.drawn import draw_photo, finding_engine
from tests.service.video.clips import write_clip

_NUM_NOT_COUNTED = 10
_HOUR_SECONDS = 3600
_NUM_TOLD = 12


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--faces", type=int, nargs="+", default=[0, 1, 4])
    parser.add_argument("--hour", action="store_true")
    parser.add_argument("--rate", type=int, default=2, help="frames a second of the hour")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        if options.hour:
            asyncio.run(_run_an_hour(Path(folder), options.rate))
        else:
            asyncio.run(_time_frames(Path(folder), options.frames, options.faces))


async def _time_frames(folder: Path, num_frames: int, counts: Sequence[int]) -> None:
    settings = Settings()
    print("| faces | seen | ms a frame |\n|---|---|---|")
    async with _open_room(settings, lambda: load_engine(open_store(settings), settings)) as room:
        for num_faces in counts:
            source, target = folder / f"{num_faces}.mp4", folder / "out.mp4"
            write_clip(source, _with_faces(num_frames, num_faces))
            ended_at: list[float] = []
            done = await upscale_video(
                source,
                target,
                room,
                settings,
                VideoOptions(mode="photo"),
                on_frame=lambda ended_at=ended_at: ended_at.append(time.perf_counter()),  # type: ignore[misc]
            )
            taken = ended_at[-1] - ended_at[_NUM_NOT_COUNTED - 1]
            ms = taken * 1000 / (len(ended_at) - _NUM_NOT_COUNTED)
            print(f"| {num_faces} | {done.num_faces} | {ms:.0f} |", flush=True)


def _with_faces(num_frames: int, num_faces: int) -> Iterator[RgbImage]:
    """Faces side by side that go right, on a smooth picture with a camera's noise."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(60, 180, (5, 8, 3), dtype=np.uint8))
    face = sample_face(43)
    for number in range(num_frames):
        frame = coarse.resize((640, 360), Image.Resampling.BICUBIC)
        for place in range(num_faces):
            frame.paste(face, (20 + 120 * place + 2 * number % 60, 80 + 40 * (place % 3)))
        noisy = np.asarray(frame) + rng.normal(0, 1.5, (360, 640, 3))
        yield np.rint(noisy).clip(0, 255).astype(np.uint8)


async def _run_an_hour(folder: Path, rate: int) -> None:
    settings = Settings(codec_threads=1)
    source, target = folder / "hour.mp4", folder / "out.mp4"
    num_frames = _HOUR_SECONDS * rate
    write_clip(source, _hour_of_squares(num_frames), rate=rate)
    engine = finding_engine()
    resident: list[int] = []

    def on_frame() -> None:
        engine.batches.clear()  # it keeps what it was given
        memory = read_process_memory()
        resident.append(0 if memory is None else memory.resident >> 20)

    async with _open_room(settings, lambda: engine) as room:
        done = await upscale_video(
            source, target, room, settings, VideoOptions(), on_frame=on_frame
        )
    print(f"{done.num_frames} frames, {done.num_faces} faces, {done.width} x {done.height} px")
    print("| frame | MiB |\n|---|---|")
    step = max(1, len(resident) // _NUM_TOLD)
    for number in range(step, len(resident) + 1, step):
        print(f"| {number} | {resident[number - 1]} |")


def _hour_of_squares(num_frames: int) -> Iterator[RgbImage]:
    """Two red squares, which the engine takes for faces: one goes to and fro, one stays."""
    for number in range(num_frames):
        left = 20 + abs(number % 120 - 60)
        yield draw_photo(320, 240, (left, 60, 40), (220, 140, 24))


def _open_room(
    settings: Settings, load: Callable[[], Engine]
) -> AbstractAsyncContextManager[EngineRoom]:
    return open_engine_room(
        settings,
        load,
        metrics=Metrics(max_batch_size=settings.max_batch_size),
        lifecycle=Lifecycle(),
    )


if __name__ == "__main__":
    main()
