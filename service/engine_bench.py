"""What an engine costs a face, beside the bare network, another engine and the device's limits.

Rounds alternate between all engines and sizes, so that a busy machine hurts them alike. Each case
is run once before it is timed, for the case before it has left its own weights in the CPU's caches,
and engine and bare network take turns at being first.
"""

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError

from model_store.image_tensor import RgbImage
from model_store.store import ModelStore
from service.engine.accuracy import Accuracy, measure_accuracy, sample_faces
from service.engine.base import ServedModel
from service.engine.device_engine import DeviceEngine
from service.engine.loaded_models import load_models
from service.engine.loading import load_engine
from service.engine.openvino_engine import upscaler_conversion
from service.engine.readout import EngineItem, upscale_and_read_out
from service.engine.roofline import Roofline, Work, measure_roofline, measure_work
from service.settings import Settings

_IMAGE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp"})


@dataclass(frozen=True, kw_only=True)
class EngineFigures:
    """One engine, one model, one size of batch; times are medians of the rounds, by the face.

    Attributes:
        engine: its name.
        dtype: arithmetic of the network.
        model: its reference.
        batch_size: faces at once.
        face_ms: through the engine, from 8-bit images on the grid to 8-bit results.
        best_face_ms: the fastest round's.
        bare_ms: the network alone, on tensors that are ready, its landmarks among them.
        over_bare: median of the rounds' own ratios of the two, which a busy machine moves least.
        readout_ms: what reading the expressions of result and input takes besides; None without.
        roofline_ms: the least that the device's measured limits allow for the bare network.
    """

    engine: str
    dtype: str
    model: str
    batch_size: int
    face_ms: float
    best_face_ms: float
    bare_ms: float
    over_bare: float
    readout_ms: float | None
    roofline_ms: float


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """An engine and what it took to have it.

    Attributes:
        engine: ready.
        load_seconds: reading, verifying, converting or taking from the cache, the gate.
        warm_up_seconds: every size of batch once.
        roofline: of the device in the engine's arithmetic.
    """

    engine: DeviceEngine
    load_seconds: float
    warm_up_seconds: float
    roofline: Roofline


@dataclass
class _Samples:
    """Seconds of each round."""

    engine: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    readout: list[float] = field(default_factory=list)


def load(store: ModelStore, settings: Settings) -> Loaded:
    """Load the engine that the settings name.

    Raises:
        ModelStoreError: a model cannot be trusted.
        StartupError: the engine cannot be had as the settings ask for it.
    """
    started_at = time.perf_counter()
    engine = load_engine(store, settings)
    loaded_at = time.perf_counter()
    engine.warm_up()
    warm_at = time.perf_counter()
    dtype = torch.bfloat16 if engine.description.dtype == "bfloat16" else torch.float32
    return Loaded(
        engine=engine,
        load_seconds=loaded_at - started_at,
        warm_up_seconds=warm_at - loaded_at,
        roofline=measure_roofline(device=torch.device(engine.description.device), dtype=dtype),
    )


def count_work(store: ModelStore, settings: Settings) -> dict[str, Work]:
    """Count what each model of the settings asks of a device, by its reference."""
    models = load_models(store, settings, torch.device("cpu"))
    conversions = [upscaler_conversion(models, index) for index in range(len(models.upscalers))]
    return {
        conversion.name: measure_work(conversion.network, conversion.examples)
        for conversion in conversions
    }


def measure_engines(
    loaded: Sequence[Loaded],
    works: Mapping[str, Work],
    *,
    batch_sizes: Sequence[int],
    num_rounds: int,
) -> list[EngineFigures]:
    """Measure every model of every engine at every size of batch.

    Args:
        loaded: they hold the same models.
        works: by the models' references; see `count_work`.
        batch_sizes: faces at once.
        num_rounds: of which the medians are taken.
    """
    cases = [
        (one, model, size)
        for model in loaded[0].engine.models
        for size in batch_sizes
        for one in loaded
    ]
    samples = [_Samples() for _ in cases]
    for number in range(num_rounds):
        for (one, model, size), sample in zip(cases, samples, strict=True):
            _run_once(one.engine, model, size, sample, is_bare_first=number % 2 == 1)
    return [
        _figures(one, model, size, sample, works[model.reference])
        for (one, model, size), sample in zip(cases, samples, strict=True)
    ]


def measure_gate(
    store: ModelStore, settings: Settings, engine: DeviceEngine, faces: Sequence[RgbImage]
) -> list[Accuracy]:
    """Compare an engine with PyTorch in float32 on faces of any size."""
    reference = load_engine(
        store, settings.model_copy(update={"engine": "torch", "cpu_dtype": "float32"})
    )
    return [measure_accuracy(engine, reference, model.reference, faces) for model in engine.models]


def read_faces(folder: Path, *, most: int) -> list[RgbImage]:
    """Read images of a folder and those below it, evenly drawn by name.

    Raises:
        ValueError: there is no image, or one cannot be read.
    """
    files = sorted(p for p in folder.rglob("*") if p.suffix.lower() in _IMAGE_SUFFIXES)
    if not files:
        raise ValueError(f"{folder} holds no JPEG, PNG or WebP image; name a folder that does")
    step = max(1, len(files) // most)
    faces = []
    for path in files[::step][:most]:
        try:
            with Image.open(path) as image:
                faces.append(np.asarray(image.convert("RGB")))
        except (OSError, UnidentifiedImageError) as error:
            raise ValueError(f"{path} cannot be read: {error}") from error
    return faces


def as_json(
    loaded: Sequence[Loaded], figures: Sequence[EngineFigures], gate: Sequence[Accuracy]
) -> dict[str, object]:
    """The bench as a document."""
    return {
        "engines": [
            {
                **asdict(one.engine.description),
                "num_threads": torch.get_num_threads(),
                "load_seconds": one.load_seconds,
                "warm_up_seconds": one.warm_up_seconds,
                "roofline": asdict(one.roofline),
            }
            for one in loaded
        ],
        "figures": [asdict(figure) for figure in figures],
        # JSON has no infinity, which is that of equal images.
        "accuracy": [
            {**asdict(one), "psnr_db": None if math.isinf(one.psnr_db) else one.psnr_db}
            for one in gate
        ],
    }


def _run_once(
    engine: DeviceEngine, model: ServedModel, size: int, sample: _Samples, *, is_bare_first: bool
) -> None:
    faces = _faces_on_grid(model, size)
    bare = engine.bare_run(model.reference, faces)
    bare()
    timed: list[tuple[list[float], Callable[[], object]]] = [
        (sample.engine, lambda: engine.upscale(model.reference, faces)),
        (sample.bare, bare),
    ]
    for seconds, work in reversed(timed) if is_bare_first else timed:
        seconds.append(_seconds(work))
    if engine.classifier is not None:
        items = [EngineItem(image=face, wants_readout=True) for face in faces]
        whole = _seconds(lambda: upscale_and_read_out(engine, model.reference, items))
        sample.readout.append(whole - sample.engine[-1])


def _figures(
    one: Loaded, model: ServedModel, size: int, sample: _Samples, work: Work
) -> EngineFigures:
    def by_face(seconds: float) -> float:
        return 1000 * seconds / size

    return EngineFigures(
        engine=one.engine.description.name,
        dtype=one.engine.description.dtype,
        model=model.reference,
        batch_size=size,
        face_ms=by_face(statistics.median(sample.engine)),
        best_face_ms=by_face(min(sample.engine)),
        bare_ms=by_face(statistics.median(sample.bare)),
        over_bare=statistics.median(
            whole / bare for whole, bare in zip(sample.engine, sample.bare, strict=True)
        ),
        readout_ms=by_face(statistics.median(sample.readout)) if sample.readout else None,
        roofline_ms=by_face(one.roofline.seconds(work, num_faces=size)),
    )


def _faces_on_grid(model: ServedModel, size: int) -> list[RgbImage]:
    """The built-in faces at the network's own size, over and over."""
    samples = sample_faces()
    step = samples[0].shape[0] // model.lr_size_px
    return [np.ascontiguousarray(samples[i % len(samples)][::step, ::step]) for i in range(size)]


def _seconds(work: Callable[[], object]) -> float:
    started_at = time.perf_counter()
    work()
    return time.perf_counter() - started_at
