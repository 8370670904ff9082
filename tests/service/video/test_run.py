"""Clips upscaled from file to file, around an engine that repeats pixels and finds red squares."""

import asyncio
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import numpy as np
import pytest

from model_store.image_tensor import RgbImage
from service.engine_room import EngineRoom, open_engine_room
from service.errors import UnknownModelError
from service.lifecycle import Lifecycle
from service.metrics import Metrics
from service.settings import Settings
from tests.fakes import NearestEngine
from tests.service.photo.drawn import draw_photo, finding_engine

pytest.importorskip("av", reason="needs PyAV, an extra: pip install '.[video]'")

from service.video.errors import UnsuitableVideoError
from service.video.frames import VideoOptions
from service.video.photo_frames import PhotoFrames
from service.video.run import VideoOutcome, upscale_video
from tests.service.video.clips import audio_packets, destroy_packets, read_frames, write_clip

pytestmark = pytest.mark.anyio


def room_of(engine: NearestEngine, settings: Settings) -> AbstractAsyncContextManager[EngineRoom]:
    return open_engine_room(
        settings,
        lambda: engine,
        metrics=Metrics(max_batch_size=settings.max_batch_size),
        lifecycle=Lifecycle(),
    )


async def upscaled(
    source: Path,
    target: Path,
    settings: Settings,
    *,
    engine: NearestEngine | None = None,
    options: VideoOptions | None = None,
) -> VideoOutcome:
    async with room_of(engine or finding_engine(), settings) as room:
        return await upscale_video(source, target, room, settings, options or VideoOptions())


def moving_squares(count: int, *, missing: Sequence[int] = ()) -> Iterator[RgbImage]:
    """Two red squares: one goes right, one stays; some frames show neither."""
    for k in range(count):
        squares = [] if k in missing else [(30 + 2 * k, 40, 40), (200, 100, 24)]
        yield draw_photo(256, 160, *squares)


async def test_whole_frames_are_enlarged_with_sound_and_times_kept(
    tmp_path: Path, settings: Settings
) -> None:
    source, target = tmp_path / "in.mp4", tmp_path / "out.mp4"
    write_clip(source, moving_squares(12), audio_seconds=0.4)
    outcome = await upscaled(source, target, settings)
    assert outcome == VideoOutcome(num_frames=12, num_corrupt=0, num_faces=2, width=512, height=320)
    frames, times = read_frames(target)
    assert times == pytest.approx([k / 25 for k in range(12)])
    assert frames[0].shape == (320, 512, 3)
    assert audio_packets(target) == audio_packets(source)


async def test_faces_keep_their_ids_and_are_followed_in_every_frame(settings: Settings) -> None:
    engine = finding_engine()
    async with room_of(engine, settings) as room:
        frames = PhotoFrames(room, settings, VideoOptions(), width=256, height=160)
        for k, frame in enumerate(moving_squares(20)):
            await frames.upscale(frame, seconds=0.04)
            places = {t.id: t.crop_to_frame[:, 2].tolist() for t in frames.tracks.present}
            assert places[1] == pytest.approx([30 + 2 * k, 40], abs=4)
            assert places[2] == pytest.approx([200, 100], abs=2)  # the engine sees whole px
    assert frames.num_faces == 2


async def test_face_that_is_missed_for_two_frames_is_the_same_afterwards(
    settings: Settings,
) -> None:
    async with room_of(finding_engine(), settings) as room:
        frames = PhotoFrames(room, settings, VideoOptions(), width=256, height=160)
        for frame in moving_squares(12, missing=[4, 5]):
            await frames.upscale(frame, seconds=0.04)
    assert frames.num_faces == 2


async def test_small_frames_are_taken_for_crops_of_a_face(
    tmp_path: Path, settings: Settings
) -> None:
    source, target = tmp_path / "in.mkv", tmp_path / "out.mkv"
    write_clip(source, [np.full((48, 40, 3), 80 + k, np.uint8) for k in range(5)])
    outcome = await upscaled(source, target, settings)
    assert (outcome.width, outcome.height, outcome.num_faces) == (107, 128, 1)
    frames, _ = read_frames(target)
    assert frames[4].shape == (128, 108, 3)  # an odd side has its edge twice
    assert frames[4].mean() == pytest.approx(84, abs=2)


async def test_mode_is_the_callers_choice(tmp_path: Path, settings: Settings) -> None:
    source = tmp_path / "in.mkv"
    write_clip(source, [draw_photo(128, 96, (40, 30, 30))] * 2)
    photo = VideoOptions(mode="photo", factor=4)
    outcome = await upscaled(source, tmp_path / "out.mkv", settings, options=photo)
    assert (outcome.width, outcome.num_faces) == (512, 1)


async def test_strength_zero_is_the_enlarged_frame(tmp_path: Path, settings: Settings) -> None:
    source = tmp_path / "in.mkv"
    write_clip(source, moving_squares(3))
    options = VideoOptions(mode="photo", factor=1, strength=0.0)
    await upscaled(source, tmp_path / "out.mkv", settings, options=options)
    before, after = read_frames(source)[0], read_frames(tmp_path / "out.mkv")[0]
    assert np.abs(before[2].astype(int) - after[2]).mean() < 1


async def test_corrupt_frames_are_counted(tmp_path: Path, settings: Settings) -> None:
    source = tmp_path / "in.mp4"
    write_clip(source, moving_squares(12))
    destroy_packets(source, [6])
    outcome = await upscaled(source, tmp_path / "out.mp4", settings)
    assert (outcome.num_frames, outcome.num_corrupt) == (11, 1)


@pytest.mark.parametrize(
    ("size", "options", "says"),
    [
        ((256, 16), VideoOptions(mode="face"), "crop the video or give --mode photo"),
        ((256, 160), VideoOptions(factor=4), "would have 655360 px; at most 500000 are made"),
    ],
)
async def test_unsuitable_frames_are_told_before_any_work(
    size: tuple[int, int], options: VideoOptions, says: str, tmp_path: Path
) -> None:
    settings = Settings(codec_threads=1, max_photo_output_pixels=500_000)
    write_clip(tmp_path / "in.mp4", [draw_photo(*size)])
    with pytest.raises(UnsuitableVideoError, match=says):
        await upscaled(tmp_path / "in.mp4", tmp_path / "out.mp4", settings, options=options)
    assert not (tmp_path / "out.mp4").exists()


async def test_unknown_model_is_told(tmp_path: Path, settings: Settings) -> None:
    write_clip(tmp_path / "in.mp4", [draw_photo(64, 64)])
    with pytest.raises(UnknownModelError, match="served: affectsrnet-x4@1"):
        await upscaled(
            tmp_path / "in.mp4",
            tmp_path / "out.mp4",
            settings,
            options=VideoOptions(model="esrgan"),
        )


async def test_stopped_work_leaves_no_file(tmp_path: Path, settings: Settings) -> None:
    source, target = tmp_path / "in.mp4", tmp_path / "out.mp4"
    write_clip(source, moving_squares(30))
    begun = asyncio.Event()
    async with room_of(finding_engine(), settings) as room:
        work = asyncio.create_task(
            upscale_video(source, target, room, settings, VideoOptions(), on_frame=begun.set)
        )
        await begun.wait()
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
async def test_memory_does_not_grow_with_the_clip(tmp_path: Path, settings: Settings) -> None:
    source, target = tmp_path / "in.mkv", tmp_path / "out.mkv"
    # `python -m tests.bench.bench_video --hour` does it with an hour of frames.
    num_frames = 300  # two thirds of them, if kept, would be 9 MB, and 10 MB enlarged
    write_clip(source, (np.full((128, 120, 3), k % 200, np.uint8) for k in range(num_frames)))
    engine = NearestEngine()
    resident: list[int] = []

    def on_frame() -> None:
        engine.batches.clear()  # it keeps what it was given
        resident.append(resident_bytes())

    async with room_of(engine, settings) as room:
        await upscale_video(source, target, room, settings, VideoOptions(), on_frame=on_frame)
    assert len(resident) == num_frames
    # By then the decoder's, the encoder's and the allocator's buffers are there.
    assert resident[-1] - resident[100] < 6 * 2**20


def resident_bytes() -> int:
    pages = int(Path("/proc/self/statm").read_text("ascii").split()[1])
    return pages * 4096
