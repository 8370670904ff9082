"""Whether an engine computes what the reference does; one that does not is not served.

The reference is PyTorch in float32. At each start a few built-in faces tell a broken conversion, a
damaged cache or a CPU that rounds otherwise; `affectsr bench engine --faces` takes a folder.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

from model_store.faces.detector import Judgement
from model_store.faces.finding import PhotoFace, find_in_tiles
from model_store.faces.pyramid import whole_tile
from model_store.image_tensor import RgbImage
from service.engine.base import EmotionReading, Engine, TileProposals, UpscaledImage
from service.engine.readout import EngineItem, Upscaled, upscale_and_read_out
from service.errors import EngineUnavailableError

MIN_PSNR_DB = 50.0
"""Of an engine's 8-bit results against the reference's; rounding alone gives 59 dB."""
MAX_BATCH_LEVELS = 1
"""How far a face's company in the batch may move its colours, in levels of 255."""
MIN_EQUAL_READOUTS = 0.995
"""Share of the readouts whose likeliest expression, of result and of input, is the reference's."""
MAX_PROBABILITY_SHIFT = 1e-3
"""Of an expression in the very same image: expressions are read in float32 everywhere."""
MAX_FACE_SHIFT_PX = 0.5
"""How far a corner of a face's crop may lie from the reference's; bfloat16 alone gives 0.3."""

T = TypeVar("T", UpscaledImage, EmotionReading, Upscaled, TileProposals, Judgement)

_SAMPLE = Path(__file__).with_name("sample_face.png")
_BATCH_SIZE = 8
_NUM_ALONE = 3
_NUM_ALONE_AT_START = 1  # a service that is not ready waits for each


@dataclass(frozen=True, kw_only=True)
class Accuracy:
    """How far an engine is from the reference with one model.

    Attributes:
        model: its reference, "name@version".
        num_faces: that were compared.
        psnr_db: over all pixels together; infinite if all are equal.
        batch_levels: the most that company in the batch moved a colour, in levels of 255.
        equal_readouts: share of readouts with the same likeliest expressions; None without any.
        probability_shift: the largest, of expressions in the same images; None without any.
    """

    model: str
    num_faces: int
    psnr_db: float
    batch_levels: int
    equal_readouts: float | None
    probability_shift: float | None

    @property
    def faults(self) -> list[str]:
        """What is out of bounds, with value and bound."""
        found = []
        # Written so that a NaN is out of bounds.
        if not self.psnr_db >= MIN_PSNR_DB:
            found.append(f"{self.psnr_db:.1f} dB from the reference; {MIN_PSNR_DB:g} is the least")
        if self.batch_levels > MAX_BATCH_LEVELS:
            found.append(
                f"company in the batch moves a colour by {self.batch_levels} levels; "
                f"{MAX_BATCH_LEVELS} is the most"
            )
        if self.equal_readouts is not None and not self.equal_readouts >= MIN_EQUAL_READOUTS:
            found.append(
                f"{self.equal_readouts:.1%} of the readouts are the reference's; "
                f"{MIN_EQUAL_READOUTS:.1%} is the least"
            )
        shift = self.probability_shift
        if shift is not None and not shift <= MAX_PROBABILITY_SHIFT:
            found.append(
                f"an expression's probability is {shift:.4f} from the reference's; "
                f"{MAX_PROBABILITY_SHIFT:g} is the most"
            )
        return found


@dataclass(frozen=True, kw_only=True, eq=False)
class Expected:
    """What the reference computes of some faces with one model.

    Attributes:
        images: (H, W, 3) uint8 each.
        top_classes: likeliest expressions of result and input; None without a classifier.
        probabilities: (7,) of the images, each read by itself; None without a classifier.
    """

    images: Sequence[RgbImage]
    top_classes: Sequence[tuple[int, int] | None] | None
    probabilities: Sequence[npt.NDArray[np.float64]] | None


def check_accuracy(
    engine: Engine, reference: Engine, *, expected_of: Callable[[str], Expected] | None = None
) -> None:
    """Compare an engine with the reference on the built-in faces, with every model.

    Args:
        engine: to be checked.
        reference: has a detector if the engine has one.
        expected_of: by a model's reference, what is expected of `sample_faces`, where that is known
            already.

    Raises:
        EngineUnavailableError: they disagree, or the engine fails; the message has the numbers.
    """
    faces = sample_faces()
    for model in engine.models:
        name = model.reference
        expected = expect(reference, name, faces) if expected_of is None else expected_of(name)
        measured = _compare(engine, expected, name, faces, num_alone=_NUM_ALONE_AT_START)
        if measured.faults:
            raise EngineUnavailableError(
                f"{name} on the built-in faces: {'; '.join(measured.faults)}"
            )
    if engine.detector is not None:
        _check_found_faces(engine, reference, detector=engine.detector.reference)


def measure_accuracy(
    engine: Engine, reference: Engine, model: str, faces: Sequence[RgbImage]
) -> Accuracy:
    """Compare an engine with the reference, which holds the same models.

    Args:
        engine: to be measured.
        reference: PyTorch in float32.
        model: reference of the model to upscale with.
        faces: (H, W, 3) uint8, at least one.

    Raises:
        EngineUnavailableError: a face could not be computed.
    """
    expected = expect(reference, model, faces)
    return _compare(engine, expected, model, faces, num_alone=_NUM_ALONE)


def expect(reference: Engine, model: str, faces: Sequence[RgbImage]) -> Expected:
    """Compute what engines are compared with; see `measure_accuracy`."""
    found = _read_out(reference, model, faces)
    images = [one.image.rgb for one in found]
    if reference.classifier is None:
        return Expected(images=images, top_classes=None, probabilities=None)
    return Expected(
        images=images,
        top_classes=[_top_classes(one) for one in found],
        probabilities=_probabilities(reference, images),
    )


def _compare(
    engine: Engine,
    expected: Expected,
    model: str,
    faces: Sequence[RgbImage],
    *,
    num_alone: int,
) -> Accuracy:
    """Compare an engine with what is expected of the same faces; see `measure_accuracy`.

    The first `num_alone` are computed without company besides.
    """
    ours = _read_out(engine, model, faces)
    alone = [_of(UpscaledImage, engine.upscale(model, [face])[0]) for face in faces[:num_alone]]
    equal_readouts = probability_shift = None
    if engine.classifier is not None and expected.top_classes is not None:
        pairs = zip([_top_classes(one) for one in ours], expected.top_classes, strict=True)
        equal_readouts = float(np.mean([a == b and a is not None for a, b in pairs]))
    if engine.classifier is not None and expected.probabilities is not None:
        probabilities = _probabilities(engine, expected.images)
        probability_shift = float(np.abs(np.subtract(probabilities, expected.probabilities)).max())
    return Accuracy(
        model=model,
        num_faces=len(faces),
        psnr_db=psnr_db([one.image.rgb for one in ours], expected.images),
        batch_levels=max(
            _levels_between(one.rgb, together.image.rgb)
            for one, together in zip(alone, ours, strict=False)
        ),
        equal_readouts=equal_readouts,
        probability_shift=probability_shift,
    )


def check_batch(engine: Engine, model: str, size: int) -> None:
    """Compare a built-in face in a batch of its likes with it alone.

    A size may be computed by kernels of its own, which `check_accuracy` has not seen.

    Raises:
        EngineUnavailableError: they differ, or the engine fails.
    """
    face, *_ = sample_faces()
    alone = _of(UpscaledImage, engine.upscale(model, [face])[0])
    if size == 1:
        return
    together = [_of(UpscaledImage, one) for one in engine.upscale(model, [face] * size)]
    levels = max(_levels_between(alone.rgb, one.rgb) for one in together)
    if levels > MAX_BATCH_LEVELS:
        raise EngineUnavailableError(
            f"a batch of {size} images moves a colour of {model} by {levels} levels; "
            f"{MAX_BATCH_LEVELS} is the most. Set AFFECTSR_CPU_DTYPE to float32, or "
            "AFFECTSR_ENGINE to torch"
        )


def sample_faces() -> list[RgbImage]:
    """A face of 32 px, its mirror image, and it too dark and too bright: (32, 32, 3) uint8 each.

    As many as a batch has that would be warmed up all the same.
    """
    with Image.open(_SAMPLE) as image:
        face: RgbImage = np.asarray(image.convert("RGB"))
    return [face, np.ascontiguousarray(face[:, ::-1]), face // 3, 255 - (255 - face) // 3]


def _levels_between(one: RgbImage, other: RgbImage) -> int:
    """The most that a colour differs, in levels of 255."""
    return int(np.abs(one.astype(int) - other).max())


def psnr_db(images: Sequence[RgbImage], references: Sequence[RgbImage]) -> float:
    """PSNR over all pixels of equally large 8-bit images together; infinite if all are equal."""
    errors = [
        np.mean((one.astype(float) - other) ** 2)
        for one, other in zip(images, references, strict=True)
    ]
    mean = float(np.mean(errors))
    return float("inf") if mean == 0 else float(10 * np.log10(255**2 / mean))


def _check_found_faces(engine: Engine, reference: Engine, *, detector: str) -> None:
    """Raises EngineUnavailableError."""
    face, *_ = sample_faces()
    # Two sizes and two shapes: tiles of photos have many.
    tiles = [np.pad(face, ((32, 32), (32, across), (0, 0)), mode="edge") for across in (32, 64)]
    for tile in tiles:
        ours = _find_faces(engine, tile)
        for expected in _find_faces(reference, tile):
            shifts = [
                float(np.abs((one.crop_to_photo - expected.crop_to_photo).sum(1)).max())
                for one in ours
            ]
            shift = min(shifts, default=math.inf)
            if not shift <= MAX_FACE_SHIFT_PX:  # so that a NaN is out of bounds
                raise EngineUnavailableError(
                    f"{detector}: a built-in face is found {shift:.1f} px from where the reference "
                    f"finds it (inf: not at all); {MAX_FACE_SHIFT_PX:g} px is the most"
                )


def _find_faces(engine: Engine, picture: RgbImage) -> list[PhotoFace]:
    return find_in_tiles(
        [whole_tile(picture)],
        lambda tile: _of(TileProposals, engine.propose_faces([tile.pixels])[0]).proposals,
        lambda crops: [_of(Judgement, outcome) for outcome in engine.judge_faces(crops)],
    )


def _read_out(engine: Engine, model: str, faces: Sequence[RgbImage]) -> list[Upscaled]:
    items = iter([EngineItem(image=face, wants_readout=True) for face in faces])
    found: list[Upscaled] = []
    while batch := list(islice(items, _BATCH_SIZE)):
        found += [_of(Upscaled, outcome) for outcome in upscale_and_read_out(engine, model, batch)]
    return found


def _top_classes(one: Upscaled) -> tuple[int, int] | None:
    return (
        None if one.readout is None else (one.readout.result.top_class, one.readout.input.top_class)
    )


def _probabilities(engine: Engine, images: Sequence[RgbImage]) -> list[npt.NDArray[np.float64]]:
    found = []
    for start in range(0, len(images), _BATCH_SIZE):
        readings = engine.read_emotions(images[start : start + _BATCH_SIZE])
        found += [_of(EmotionReading, reading).probabilities for reading in readings]
    return found


def _of(kind: type[T], outcome: object) -> T:
    if not isinstance(outcome, kind):
        raise EngineUnavailableError(f"a face could not be computed: {outcome}")
    return outcome
