"""`affectsr bench engine` and `affectsr export`: the engine without HTTP, as its user sees it."""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch

from service.engine.accuracy import Accuracy
from service.engine.export import MAX_LEVELS, ExportFormat, export_model
from service.engine.face_graph import FaceGraph
from service.engine.loaded_models import load_models
from service.engine.loading import open_store
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


@dataclass(frozen=True, kw_only=True)
class EngineBench:
    """What to measure; models, threads and the engine are those of the settings.

    Attributes:
        against: other engines, measured in turn with it.
        batch_sizes: faces at once.
        num_rounds: of which the medians are taken.
        faces: a folder; on images of it the engine is compared with PyTorch in float32.
        num_faces: at most so many of them.
        json_file: is written, too.
    """

    against: Sequence[Literal["torch", "openvino", "cuda"]]
    batch_sizes: Sequence[int]
    num_rounds: int
    faces: Path | None
    num_faces: int
    json_file: Path | None


def bench_engine(wanted: EngineBench, settings: Settings) -> bool:
    """Measure, print, and write the JSON if asked to; returns whether the engine is accurate.

    Raises:
        ModelStoreError: a model cannot be trusted.
        StartupError: an engine cannot be had.
        ValueError: an argument is out of bounds, or a face cannot be read.
        OSError: the JSON file cannot be written.
    """
    for name, value in (
        ("--rounds", wanted.num_rounds),
        ("--batch-sizes", min(wanted.batch_sizes)),
        ("--num-faces", wanted.num_faces),
    ):
        if value < 1:
            raise ValueError(f"{name} is {value}; it must be at least 1")
    faces = None if wanted.faces is None else read_faces(wanted.faces, most=wanted.num_faces)
    store = open_store(settings)
    settings = settings.model_copy(update={"max_batch_size": max(wanted.batch_sizes)})
    loaded = [
        load(store, settings.model_copy(update={"engine": name}))
        for name in (settings.engine, *wanted.against)
    ]
    for line in _describe_engines(loaded):
        print(line)
    figures = measure_engines(
        loaded,
        count_work(store, settings),
        batch_sizes=wanted.batch_sizes,
        num_rounds=wanted.num_rounds,
    )
    for line in _table(figures):
        print(line)
    gate = [] if faces is None else measure_gate(store, settings, loaded[0].engine, faces)
    for accuracy in gate:
        print(_describe_accuracy(accuracy))
    if wanted.json_file is not None:
        document = as_json(loaded, figures, gate)
        wanted.json_file.write_text(json.dumps(document, indent=2) + "\n", "utf-8")
    return not any(accuracy.faults for accuracy in gate)


def export(form: ExportFormat, name: str, out: Path, settings: Settings) -> str:
    """Write a model that upscales, with the settings' landmarker in it; returns what to print.

    Raises:
        ModelStoreError: a model cannot be trusted.
        StartupError: a model is not there or does not upscale, or what the format needs is not
            installed.
        ValueError: the file's suffix does not fit, or its results are not the model's.
        OSError: it cannot be written.
    """
    alone = settings.model_copy(update={"models": (name,), "emotion_model": ""})
    models = load_models(open_store(settings), alone, torch.device("cpu"))
    ((model, network),) = models.upscalers
    graph = FaceGraph(
        network, models.landmarker, min_confidence=settings.min_landmark_confidence
    ).eval()
    check = export_model(graph, size_px=model.lr_size_px, form=form, out=out, name=model.reference)
    psnr = "equal" if math.isinf(check.psnr_db) else f"{check.psnr_db:.1f} dB"
    return (
        f"{out}: {model.reference}, (N, {model.lr_size_px}, {model.lr_size_px}, 3) uint8 faces in; "
        f"read back and compared on the built-in faces: colours {check.levels} levels of 255 off "
        f"({MAX_LEVELS} is the most), {psnr}, confidence {check.confidence:.1e} off"
    )


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
        "engine / bare | roofline / engine | readout |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for one in figures:
        readout = "" if one.readout_ms is None else f"+{one.readout_ms:.1f}"
        lines.append(
            f"| {one.model} | {one.batch_size} | {one.engine} {one.dtype} | {one.face_ms:.1f} | "
            f"{one.best_face_ms:.1f} | {one.bare_ms:.1f} | {one.over_bare:.2f} | "
            f"{one.roofline_ms / one.face_ms:.0%} | {readout} |"
        )
    return lines


def _describe_accuracy(accuracy: Accuracy) -> str:
    told = f"{accuracy.model}: {accuracy.psnr_db:.1f} dB from the reference"
    if accuracy.equal_readouts is not None:
        told += f", {accuracy.equal_readouts:.1%} of the readouts equal"
    told += f", {accuracy.batch_levels} levels moved by company, on {accuracy.num_faces} faces"
    return f"{told}; {'refused' if accuracy.faults else 'accepted'}"
