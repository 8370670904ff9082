"""The `affectsr` command: serve | upscale | ecm | bench | export | models | settings | openapi.

Exit status: 0 done; 1 an image could not be upscaled, or a pair not be compared; 2 the command
line or the settings are wrong; 3 the models cannot be loaded or the server cannot start; 4 the
device was lost; 130 stopped by Ctrl-C.
"""

import argparse
import asyncio
import json
import math
import os
import signal
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from service.bench.command import add_bench_arguments, bench
from service.settings import (
    Settings,
    describe_invalid_settings,
    environment_name,
    settings_markdown,
    unknown_environment_names,
)

if TYPE_CHECKING:  # it imports torch
    from service.ecm_files import FolderComparison

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_NO_START = 3

_BENCH_ENGINE = "bench-engine"

# The columns of a line in `affectsr models`; a version has those that are of its kind.
_HEADLINE_METRICS = (
    "psnr_gain_db",
    "ssim",
    "lpips_squeeze",
    "ecm",
    "expression_agreement",
    "nme_32px",
    "nme_16px",
    "mouth_correlation_32px",
    "mouth_correlation_16px",
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if arguments[:2] == ["bench", "engine"]:  # where `affectsr bench` has a URL
        arguments[:2] = [_BENCH_ENGINE]
    options = _parser().parse_args(arguments)
    overrides = {
        name: value
        for name in ("http_host", "http_port", "emotion_model")
        if (value := getattr(options, name, None)) is not None
    }
    try:
        settings = Settings(**overrides)
    except ValidationError as error:
        return _fail(f"wrong settings: {describe_invalid_settings(error)}", EXIT_USAGE)
    for name in unknown_environment_names():
        print(f"affectsr: warning: {name} is set and means nothing here", file=sys.stderr)
    # Pillow warns of bad EXIF by what stands in it; we take such images and log no bytes of them.
    warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")
    # torch takes seconds to import; what does not need it should not wait for it.
    match options.command:
        case "serve":
            return _serve(settings)
        case "upscale":
            return _upscale(settings, options)
        case "ecm":
            return _ecm(settings, options)
        case "bench":
            return _bench(options)
        case "bench-engine":
            return _bench_engine(settings, options)
        case "export":
            return _export(settings, options)
        case "models":
            return _models(settings)
        case "openapi":
            return _openapi(settings)
        case _:
            return _settings(settings, as_markdown=options.markdown)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="affectsr", description="Expression-preserving super-resolution of face crops."
    )
    commands = parser.add_subparsers(dest="command", required=True)

    serve = commands.add_parser("serve", help="answer HTTP requests until told to stop")
    serve.add_argument("--host", dest="http_host", help="address to listen on")
    serve.add_argument("--port", dest="http_port", type=int, help="port to listen on")

    _add_upscale(commands.add_parser("upscale", help="upscale image files, without a server"))

    ecm = commands.add_parser("ecm", help="say how well expressions were kept in a folder")
    ecm.add_argument("originals", type=Path, metavar="ORIGINAL_DIR")
    ecm.add_argument(
        "super_resolved", type=Path, metavar="SR_DIR", help="results, named as their originals"
    )
    ecm.add_argument(
        "--classifier", dest="emotion_model", metavar="NAME[@VERSION]", help="who reads expressions"
    )
    ecm.add_argument("--csv", type=Path, metavar="FILE", help="also write a line for each pair")
    ecm.add_argument("--worst", type=int, default=10, metavar="N", help="pairs to show (10)")

    add_bench_arguments(
        commands.add_parser("bench", help="load a running service, or a stub, and tell how it went")
    )
    bench_engine = commands.add_parser(
        _BENCH_ENGINE,
        prog="affectsr bench engine",
        help="`bench engine`: time the engine beside the bare network and the device's limits",
    )
    _add_bench_engine(bench_engine)
    export = commands.add_parser("export", help="write a model as a file for other programs")
    export.add_argument("form", choices=("onnx", "openvino", "torchscript"))
    export.add_argument("model", metavar="NAME[@VERSION]", help="one that upscales")
    export.add_argument("out", type=Path, metavar="OUT", help=".onnx, .xml or .pt")
    commands.add_parser("models", help="list the published models")
    settings = commands.add_parser("settings", help="show the settings as they are now")
    settings.add_argument("--markdown", action="store_true", help="the table of the README")
    commands.add_parser("openapi", help="print the OpenAPI document of the HTTP interface")
    return parser


def _add_bench_engine(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--against",
        action="append",
        choices=("torch", "openvino", "cuda"),
        default=[],
        help="another engine to measure in turn with that of the settings; may be given again",
    )
    parser.add_argument(
        "--batch-sizes", type=int, nargs="+", default=[1, 2, 4, 8], metavar="N", help="(1 2 4 8)"
    )
    parser.add_argument("--rounds", type=int, default=9, metavar="N", help="medians are of (9)")
    parser.add_argument(
        "--faces",
        type=Path,
        metavar="FOLDER",
        help="also compare the engine with PyTorch in float32 on images of it",
    )
    parser.add_argument("--num-faces", type=int, default=100, metavar="N", help="of --faces (100)")
    parser.add_argument("--json", type=Path, dest="json_file", metavar="FILE")


def _add_upscale(upscale: argparse.ArgumentParser) -> None:
    upscale.add_argument(
        "images",
        nargs="+",
        metavar="IN",
        help="JPEG, PNG or WebP; a folder with all below it; a zip archive; a pattern in quotes; "
        "or one video",
    )
    upscale.add_argument(
        "out",
        type=Path,
        metavar="OUT",
        help="file, its suffix says the format; a folder, made if there is none; a zip archive",
    )
    upscale.add_argument("--scale", type=int, choices=(4, 8), help="default: by the image's size")
    upscale.add_argument("--model", help="name or name@version; default: by the scale")
    upscale.add_argument(
        "--mode",
        choices=("face", "photo", "auto"),
        help="what an image or a frame is: the crop of a face, or a whole photo whose faces are "
        "upscaled; default: face for images, auto for videos",
    )
    upscale.add_argument(
        "--factor", type=int, choices=(1, 2, 4), default=2, help="of photos and videos; default: 2"
    )
    upscale.add_argument(
        "--faces", choices=("all", "largest"), default="all", help="of photos; default: all"
    )
    upscale.add_argument(
        "--strength",
        type=_share,
        default=1.0,
        metavar="0..1",
        help="of photos and videos: how much of the upscaled faces is shown; default: 1",
    )
    upscale.add_argument(
        "--format", choices=("jpg", "png", "webp"), help="of all results; default: the input's"
    )
    upscale.add_argument(
        "--workers",
        type=int,
        metavar="N",
        help="images at once; default: AFFECTSR_MAX_BATCH_SIZE",
    )
    upscale.add_argument(
        "--overwrite", action="store_true", help="do all anew, and replace files that are there"
    )
    upscale.add_argument(
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


def _serve(settings: Settings) -> int:
    # Until the server has handlers of its own, which imports and loading precede by seconds, there
    # is nothing to finish: a stop is a clean end.
    signal.signal(signal.SIGTERM, lambda number, frame: os._exit(0))
    from service.logs import configure_logging
    from service.server import serve

    configure_logging(settings.log_level, settings.log_format)
    return serve(settings)


def _upscale(settings: Settings, options: argparse.Namespace) -> int:
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
            return _fail(f"--{name} means nothing for a video; leave it out", EXIT_USAGE)
    if options.faces != "all":
        return _fail("--faces means nothing for a video; leave it out", EXIT_USAGE)
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


def _ecm(settings: Settings, options: argparse.Namespace) -> int:
    from model_store.errors import ModelStoreError
    from service.ecm_files import compare_folders, plan_pairs
    from service.errors import NoClassifierError, StartupError

    if options.csv is not None and (options.csv.is_dir() or not options.csv.parent.is_dir()):
        return _fail(f"{options.csv} is no file to write; name one in a folder", EXIT_USAGE)
    try:
        plan = plan_pairs(options.originals, options.super_resolved)
    except (OSError, ValueError) as error:
        return _fail(str(error), EXIT_USAGE)
    try:
        found = asyncio.run(compare_folders(plan, settings))
    except NoClassifierError as error:
        return _fail(str(error), EXIT_USAGE)
    except (ModelStoreError, StartupError) as error:
        return _fail(str(error), EXIT_NO_START)
    return _show_comparison(found, csv=options.csv, num_worst=options.worst)


def _show_comparison(found: "FolderComparison", *, csv: Path | None, num_worst: int) -> int:
    from service.ecm_report import expression_rows, metric_lines, worst_rows, write_csv

    for line in metric_lines(found):
        print(line)
    if found.comparison is not None:
        for rows in (expression_rows(found.comparison), worst_rows(found, count=num_worst)):
            print()
            _print_table(rows)
    for left in found.left_out:
        print(f"affectsr: left out: {left.name}: {left.reason}", file=sys.stderr)
    if csv is not None:
        try:
            write_csv(csv, found)
        except OSError as error:
            return _fail(f"{csv} cannot be written: {error}", EXIT_FAILED)
    if found.left_out:
        total = len(found.names) + len(found.left_out)
        return _fail(f"{len(found.left_out)} of {total} names were left out", EXIT_FAILED)
    return 0


def _bench(options: argparse.Namespace) -> int:
    try:
        report = bench(options)
    except (OSError, ValueError) as error:
        return _fail(str(error), EXIT_USAGE)
    except RuntimeError as error:
        return _fail(str(error), EXIT_NO_START)
    if "200" not in report.statuses:
        return _fail("no request was answered with 200", EXIT_FAILED)
    return 0


def _bench_engine(settings: Settings, options: argparse.Namespace) -> int:
    from model_store.errors import ModelStoreError
    from service.engine_commands import EngineBench, bench_engine
    from service.errors import StartupError

    wanted = EngineBench(
        against=options.against,
        batch_sizes=options.batch_sizes,
        num_rounds=options.rounds,
        faces=options.faces,
        num_faces=options.num_faces,
        json_file=options.json_file,
    )
    try:
        is_accurate = bench_engine(wanted, settings)
    except (OSError, ValueError) as error:
        return _fail(str(error), EXIT_USAGE)
    except (ModelStoreError, StartupError) as error:
        return _fail(str(error), EXIT_NO_START)
    return 0 if is_accurate else _fail("the engine is not accurate enough", EXIT_FAILED)


def _export(settings: Settings, options: argparse.Namespace) -> int:
    from model_store.errors import ModelStoreError
    from service.engine_commands import export
    from service.errors import StartupError

    try:
        print(export(options.form, options.model, options.out, settings))
    except (OSError, ValueError) as error:
        return _fail(str(error), EXIT_USAGE)
    except (ModelStoreError, StartupError) as error:
        return _fail(str(error), EXIT_NO_START)
    return 0


def _models(settings: Settings) -> int:
    from model_store.errors import ModelStoreError
    from service.app import open_store

    store = open_store(settings)
    try:
        manifests = store.manifests()
        defaults = {store.resolve(name).reference for name in store.names()}
    except ModelStoreError as error:
        return _fail(str(error), EXIT_NO_START)
    header = ("MODEL", "DEFAULT", "KIND", "SCALE", "PARAMETERS", "MEASURED")
    rows = [
        (
            manifest.reference,
            "yes" if manifest.reference in defaults else "",
            manifest.architecture,
            "" if manifest.scale is None else f"x{manifest.scale}",
            f"{manifest.num_parameters:,}",
            _describe_metrics(manifest.metrics),
        )
        for manifest in manifests
    ]
    _print_table([header, *rows])
    return 0


def _openapi(settings: Settings) -> int:
    from service.app import create_app

    print(json.dumps(create_app(settings).openapi(), indent=2))
    return 0


def _settings(settings: Settings, *, as_markdown: bool) -> int:
    if as_markdown:
        print(settings_markdown(), end="")
        return 0
    rows = [("VARIABLE", "VALUE", "MEANING")]
    for name, field in Settings.model_fields.items():
        value = getattr(settings, name)
        shown = ",".join(value) if isinstance(value, tuple) else str(value)
        rows.append((environment_name(name), shown, field.description or ""))
    _print_table(rows)
    return 0


def _describe_metrics(metrics: Mapping[str, float]) -> str:
    """What tells versions apart, as means over the test sets; the manifest has every number."""
    means = {name: metrics.get(f"mean/{name}", metrics.get(name)) for name in _HEADLINE_METRICS}
    return " ".join(f"{name}={value:g}" for name, value in means.items() if value is not None)


def _print_table(rows: Sequence[Sequence[str]]) -> None:
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())


def _fail(message: str, status: int) -> int:
    print(f"affectsr: error: {message}", file=sys.stderr)
    return status
