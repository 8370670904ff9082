"""`affectsr bench engine`: the engine alone, without HTTP, as its user sees it."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

from service.app import open_store
from service.engine.accuracy import Accuracy
from service.engine_bench import (
    EngineFigures,
    Loaded,
    as_json,
    count_work,
    load,
    measure_engines,
    measure_gate,
    read_faces,
)
from service.settings import Settings

_ENGINES = ("auto", "torch", "openvino")


def add_engine_bench_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments; models, threads and the engine are those of the settings."""
    parser.add_argument(
        "--against",
        action="append",
        choices=_ENGINES,
        default=[],
        help="another engine to measure in turn with it; may be given again",
    )
    parser.add_argument(
        "--batch-sizes", type=int, nargs="+", default=[1, 2, 4, 8], metavar="N", help="(1 2 4 8)"
    )
    parser.add_argument("--rounds", type=int, default=9, metavar="N", help="medians are of (9)")
    parser.add_argument(
        "--faces",
        type=Path,
        metavar="FOLDER",
        help="also compare the engine with PyTorch in float32 on 100 images of it",
    )
    parser.add_argument("--num-faces", type=int, default=100, metavar="N", help="of --faces (100)")
    parser.add_argument("--json", type=Path, dest="json_file", metavar="FILE")


def bench_engine(options: argparse.Namespace, settings: Settings) -> bool:
    """Measure, print, and write the JSON if asked to; returns whether the engine is accurate.

    Raises:
        ModelStoreError: a model cannot be trusted.
        StartupError: an engine cannot be had.
        ValueError: an argument is out of bounds, or a face cannot be read.
        OSError: the JSON file cannot be written.
    """
    if options.rounds < 1 or min(options.batch_sizes) < 1 or options.num_faces < 1:
        raise ValueError("--rounds, --batch-sizes and --num-faces must be at least 1")
    faces = None if options.faces is None else read_faces(options.faces, most=options.num_faces)
    store = open_store(settings)
    settings = settings.model_copy(update={"max_batch_size": max(options.batch_sizes)})
    loaded = [
        load(store, settings.model_copy(update={"engine": name}))
        for name in (settings.engine, *options.against)
    ]
    for line in _describe_engines(loaded):
        print(line)
    figures = measure_engines(
        loaded,
        count_work(store, settings),
        batch_sizes=options.batch_sizes,
        num_rounds=options.rounds,
    )
    for line in _table(figures):
        print(line)
    gate = [] if faces is None else measure_gate(store, settings, loaded[0].engine, faces)
    for accuracy in gate:
        print(_describe_accuracy(accuracy))
    if options.json_file is not None:
        document = as_json(loaded, figures, gate)
        options.json_file.write_text(json.dumps(document, indent=2) + "\n", "utf-8")
    return not any(accuracy.faults for accuracy in gate)


def _describe_engines(loaded: Sequence[Loaded]) -> list[str]:
    lines = []
    for one in loaded:
        description = one.engine.description
        lines.append(
            f"{description.name} in {description.dtype} on {description.device}: loaded in "
            f"{one.load_seconds:.1f} s, warm {one.warm_up_seconds:.1f} s later; this device "
            f"multiplies matrices at {one.roofline.flops / 1e9:.0f} GFLOP/s and copies at "
            f"{one.roofline.bytes_per_second / 1e9:.1f} GB/s"
        )
        lines += [
            f"  passed over: {title}: {why}" for title, why in description.passed_over.items()
        ]
    return lines


def _table(figures: Sequence[EngineFigures]) -> list[str]:
    """Times by the face, as Markdown."""
    lines = [
        "",
        "| model | faces at once | engine | ms a face | fastest round | bare network | "
        "engine / bare | roofline / engine | readout | MiB a batch |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for one in figures:
        readout = "" if one.readout_ms is None else f"+{one.readout_ms:.1f}"
        memory = "" if one.batch_mib is None else f"{one.batch_mib:.0f}"
        lines.append(
            f"| {one.model} | {one.batch_size} | {one.engine} {one.dtype} | {one.face_ms:.1f} | "
            f"{one.best_face_ms:.1f} | {one.bare_ms:.1f} | {one.face_ms / one.bare_ms:.2f} | "
            f"{one.roofline_ms / one.face_ms:.0%} | {readout} | {memory} |"
        )
    return lines


def _describe_accuracy(accuracy: Accuracy) -> str:
    told = f"{accuracy.model}: {accuracy.psnr_db:.1f} dB from the reference"
    if accuracy.equal_readouts is not None:
        told += f", {accuracy.equal_readouts:.1%} of the readouts equal"
    told += f", {accuracy.batch_levels} levels moved by company, on {accuracy.num_faces} faces"
    return f"{told}; {'refused' if accuracy.faults else 'accepted'}"
