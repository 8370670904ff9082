"""`affectsr upscale`: of images by one command, of a video by another."""

import argparse
import math
from pathlib import Path

from service.settings import Settings
from service.terminal import EXIT_USAGE, fail


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument(
        "images",
        nargs="+",
        metavar="IN",
        help="JPEG, PNG or WebP; a folder with all below it; a zip archive; a pattern in quotes; "
        "or one video",
    )
    parser.add_argument(
        "out",
        type=Path,
        metavar="OUT",
        help="file, its suffix says the format; a folder, made if there is none; a zip archive",
    )
    parser.add_argument("--scale", type=int, choices=(4, 8), help="default: by the image's size")
    parser.add_argument("--model", help="name or name@version; default: by the scale")
    parser.add_argument(
        "--mode",
        choices=("face", "photo", "auto"),
        help="what an image or a frame is: the crop of a face, or a whole photo whose faces are "
        "upscaled; default: face for images, auto for videos",
    )
    parser.add_argument(
        "--factor", type=int, choices=(1, 2, 4), default=2, help="of photos and videos; default: 2"
    )
    parser.add_argument(
        "--faces", choices=("all", "largest"), default="all", help="of photos; default: all"
    )
    parser.add_argument(
        "--strength",
        type=_share,
        default=1.0,
        metavar="0..1",
        help="of photos and videos: how much of the upscaled faces is shown; default: 1",
    )
    parser.add_argument(
        "--format", choices=("jpg", "png", "webp"), help="of all results; default: the input's"
    )
    parser.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="images at once; default: AFFECTSR_MAX_BATCH_SIZE",
    )
    parser.add_argument(
        "--overwrite", action="store_true", help="do all anew, and replace files that are there"
    )
    parser.add_argument(
        "--no-journal", action="store_true", help="leave nothing in the folder but results"
    )


def _share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = math.nan
    if not 0 <= share <= 1:
        raise argparse.ArgumentTypeError(f"{text} is no number from 0 to 1")
    return share


def run(settings: Settings, options: argparse.Namespace) -> int:
    """Upscale what the arguments name; returns the exit status."""
    from service.video.formats import is_video

    if any(is_video(Path(path)) for path in (*options.images, options.out)):
        return _upscale_video(settings, options)
    from service.upscale_command import UpscaleCommand, run_upscale
    from service.upscale_files.photos import PhotoWishes

    photo = None
    if options.mode not in (None, "face"):
        photo = PhotoWishes(
            mode=options.mode,
            factor=options.factor,
            faces=options.faces,
            strength=options.strength,
        )
    command = UpscaleCommand(
        inputs=tuple(options.images),
        out=options.out,
        scale=options.scale,
        model=options.model,
        photo=photo,
        suffix=options.format and f".{options.format}",
        workers=options.workers,
        may_overwrite=options.overwrite,
        keeps_journal=not options.no_journal,
    )
    return run_upscale(command, settings)


def _upscale_video(settings: Settings, options: argparse.Namespace) -> int:
    from service.video.frames import VideoOptions
    from service.video_command import run_video_upscale

    for name in ("format", "workers"):
        if getattr(options, name) is not None:
            return fail(f"--{name} means nothing for a video; leave it out", EXIT_USAGE)
    if options.faces != "all":
        return fail("--faces means nothing for a video; leave it out", EXIT_USAGE)
    video = VideoOptions(
        mode=options.mode or "auto",
        factor=options.factor,
        scale=options.scale,
        model=options.model,
        strength=options.strength,
    )
    return run_video_upscale(
        options.images, options.out, settings, video, may_overwrite=options.overwrite
    )
