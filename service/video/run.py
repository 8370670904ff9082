"""A video file through all of it: read, upscale frame by frame, write."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from av.packet import Packet

from service.catalogue import ModelCatalogue
from service.engine_room import EngineRoom
from service.settings import Settings
from service.video.clip_reader import ClipInfo, ClipReader
from service.video.clip_writer import ClipWriter
from service.video.crop_frames import CropFrames
from service.video.errors import UnsuitableVideoError
from service.video.frames import FrameUpscaler, VideoOptions
from service.video.photo_frames import PhotoFrames

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class VideoOutcome:
    """What was made of a video.

    Attributes:
        num_frames: that were written.
        num_corrupt: that were left out because they could not be decoded.
        num_faces: that were seen; one that is lost and comes back counts again.
        width: of its frames, in px.
        height: of its frames, in px.
    """

    num_frames: int
    num_corrupt: int
    num_faces: int
    width: int
    height: int


async def upscale_video(
    source: Path,
    target: Path,
    room: EngineRoom,
    settings: Settings,
    options: VideoOptions,
    *,
    on_frame: Callable[[], None] = lambda: None,
) -> VideoOutcome:
    """Upscale a video; no more than a few of its frames are in memory.

    Args:
        source: the video file.
        target: appears when it is whole, and replaces what was there.
        room: with the engine.
        settings: bounds of frames.
        options: what is to be made of them.
        on_frame: called after each.

    Raises:
        VideoError: the video cannot be read, upscaled or written; see the classes.
        RequestError: the options ask for a model that is not served, or no detector is loaded.
        CapacityError: the device does not do its work.
        OSError: a file cannot be read or written.
    """
    # One thread owns the files: what is cancelled has left them before they are closed.
    with ThreadPoolExecutor(1, thread_name_prefix="video-files") as files:
        loop = asyncio.get_running_loop()

        async def on_files(work: Callable[[], T]) -> T:
            return await loop.run_in_executor(files, work)

        reader = await on_files(lambda: ClipReader(source))
        try:
            upscaler = open_upscaler(reader.info, room, settings, options)
            width, height = upscaler.output_size
            writer = await on_files(
                lambda: ClipWriter(
                    target, reader.info, width=width, height=height, audio=reader.audio
                )
            )
            try:
                num_frames = await _copy(reader, writer, upscaler, on_files, on_frame)
                await on_files(writer.finish)
            finally:
                await on_files(writer.discard)
        finally:
            await on_files(reader.close)
    return VideoOutcome(
        num_frames=num_frames,
        num_corrupt=reader.num_corrupt,
        num_faces=upscaler.num_faces,
        width=width,
        height=height,
    )


class _OnFiles(Protocol):
    async def __call__(self, work: Callable[[], T]) -> T: ...


async def _copy(
    reader: ClipReader,
    writer: ClipWriter,
    upscaler: FrameUpscaler,
    on_files: _OnFiles,
    on_frame: Callable[[], None],
) -> int:
    """Upscale all frames and copy the sound; returns the number of frames."""
    events = reader.read()
    num_frames = 0
    last_pts: int | None = None
    while (event := await on_files(partial(next, events, None))) is not None:
        if isinstance(event, Packet):
            await on_files(partial(writer.write_audio, event))
            continue
        passed = 0 if last_pts is None else event.pts - last_pts
        seconds = float(passed * reader.info.time_base)
        upscaled = await upscaler.upscale(event.rgb, seconds=seconds)
        await on_files(partial(writer.write_frame, upscaled, pts=event.pts))
        last_pts = event.pts
        num_frames += 1
        on_frame()
    return num_frames


def open_upscaler(
    info: ClipInfo, room: EngineRoom, settings: Settings, options: VideoOptions
) -> FrameUpscaler:
    """Choose how the frames of a clip are upscaled.

    Raises:
        UnsuitableVideoError: they are too large, too small or too narrow for it.
        RequestError: the options ask for a model that is not served, or no detector is loaded.
    """
    catalogue = ModelCatalogue(room.models)
    longer, shorter = max(info.width, info.height), min(info.width, info.height)
    largest_result_px = max(model.lr_size_px * model.scale for model in room.models)
    if options.mode == "face" or (options.mode == "auto" and longer <= largest_result_px):
        limit = settings.max_image_side_px
        if (
            not settings.min_image_side_px <= shorter
            or longer > limit
            or longer > settings.max_aspect_ratio * shorter
        ):
            raise UnsuitableVideoError(
                f"the frames are {info.width} x {info.height} px; those of a face must be "
                f"{settings.min_image_side_px} to {limit} px a side, and no side more than "
                f"{settings.max_aspect_ratio:g} times the other: crop the video or give "
                "--mode photo"
            )
        wanted = catalogue.requested(name=options.model, scale=options.scale)
        model = wanted or catalogue.for_size(info.width, info.height)
        return CropFrames(room, model, width=info.width, height=info.height)
    pixels = info.width * info.height * options.factor**2
    if pixels > settings.max_photo_output_pixels:
        raise UnsuitableVideoError(
            f"the frames are {info.width} x {info.height} px and would have {pixels} px; at most "
            f"{settings.max_photo_output_pixels} are made: give a smaller --factor"
        )
    return PhotoFrames(room, settings, options, width=info.width, height=info.height)
