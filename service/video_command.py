"""`affectsr upscale` of a video as its user sees it: checks, progress, exit status."""

import asyncio
import importlib.util
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from model_store.errors import ModelStoreError
from service.command_room import open_command_room
from service.errors import RequestError, ServiceError, StartupError
from service.settings import Settings
from service.terminal import EXIT_FAILED, EXIT_NO_START, EXIT_STOPPED, EXIT_USAGE, fail
from service.video.errors import UnwritableVideoError, VideoError
from service.video.formats import is_video, written_format
from service.video.frames import VideoOptions


def run_video_upscale(
    inputs: Sequence[str],
    out: Path,
    settings: Settings,
    options: VideoOptions,
    *,
    may_overwrite: bool,
) -> int:
    """Upscale a video and print what becomes of it; returns the exit status.

    Args:
        inputs: one video file.
        out: a video file, or a folder for one of the same name.
        settings: name the models.
        options: what is to be made of the frames.
        may_overwrite: replace a file of that name in a folder.
    """
    if importlib.util.find_spec("av") is None:
        return fail("videos need PyAV, an extra: pip install 'affectsr[video]'", EXIT_USAGE)
    try:
        source, target = _plan(inputs, out, may_overwrite=may_overwrite)
        asyncio.run(_upscale(source, target, settings, options))
    except KeyboardInterrupt:
        return fail("stopped; nothing was written", EXIT_STOPPED)
    except (ValueError, RequestError, UnwritableVideoError) as error:
        return fail(str(error), EXIT_USAGE)
    except (ModelStoreError, StartupError) as error:
        return fail(str(error), EXIT_NO_START)
    except (VideoError, ServiceError, OSError) as error:
        return fail(str(error), EXIT_FAILED)
    return 0


def _plan(inputs: Sequence[str], out: Path, *, may_overwrite: bool) -> tuple[Path, Path]:
    """The file to read and the one to write.

    Raises:
        ValueError: there is not one of each, or the latter cannot be written.
        UnwritableVideoError: it has no format that is written.
    """
    source = Path(inputs[0])
    if len(inputs) > 1:
        raise ValueError(
            f"{len(inputs)} inputs, and a video among them or as OUT; upscale one video at a time"
        )
    if not source.is_file():
        raise ValueError(f"{source} is no file; name a video to read")
    if not is_video(source):
        raise ValueError(f"{source} is no video file; name one to read")
    target = out / source.name if out.is_dir() else out
    written_format(target)
    if not target.parent.is_dir():
        raise ValueError(f"{target.parent} is no folder; make it first")
    if target.exists() and target.samefile(source):
        raise ValueError(f"{target} is the input; it would be overwritten: name another OUT")
    if out.is_dir() and target.exists() and not may_overwrite:
        raise ValueError(f"{target} would be replaced; give --overwrite or name another OUT")
    try:
        with tempfile.TemporaryFile(dir=target.parent):
            pass
    except OSError as error:
        raise ValueError(
            f"{target.parent} cannot be written ({error.strerror}); make it writable or name "
            "another OUT"
        ) from error
    return source, target


async def _upscale(source: Path, target: Path, settings: Settings, options: VideoOptions) -> None:
    # What is imported only here needs PyAV.
    from tqdm import tqdm

    from service.video.clip_reader import look_at_clip
    from service.video.run import upscale_video

    info = await asyncio.to_thread(look_at_clip, source)
    async with open_command_room(settings) as room:
        with tqdm(
            total=info.num_frames or None,
            unit="frame",
            dynamic_ncols=True,
            disable=not sys.stderr.isatty(),
        ) as bar:

            def advance() -> None:
                bar.update()

            done = await upscale_video(source, target, room, settings, options, on_frame=advance)
    print(
        f"{target}: {done.num_frames} frames, {info.width}x{info.height} -> "
        f"{done.width}x{done.height}, {done.num_faces} faces"
    )
    if done.num_corrupt:
        print(
            f"affectsr: warning: {done.num_corrupt} corrupt frames were left out", file=sys.stderr
        )
