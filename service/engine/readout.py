"""Upscaling a batch and reading the expressions of those that want it, while it is on the device.

A readout that went through the queue by itself would wait there a second time.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from model_store.emotion.recoverability import RECOVERABLE_FROM, AgreementCalibration
from model_store.image_tensor import (
    RgbImage,
    enlarge_bicubic,
    levels_to_unit,
    tensor_to_image,
)
from service.engine.base import (
    EmotionReading,
    Engine,
    ServedModel,
    ServedVersion,
    UpscaledImage,
)
from service.engine.grid import GridPlacement, faces_on_grid
from service.errors import ServiceError


@dataclass(frozen=True, kw_only=True, eq=False)
class EngineItem:
    """One image on its way to the engine.

    Attributes:
        image: (H, W, 3) uint8.
        wants_readout: the expressions of its result and of itself are read, too.
    """

    image: RgbImage
    wants_readout: bool = False


@dataclass(frozen=True, kw_only=True, eq=False)
class ExpressionReadout:
    """The expression of a result beside that of what the network was given.

    Attributes:
        classifier: read both.
        result: of the upscaled image.
        input: of the image as it was on the network's grid, enlarged to the result by bicubic.
        kept_probability: how likely the result shows the expression of its original, which nobody
            has here; None where no calibration fits the model and the classifier.
    """

    classifier: ServedVersion
    result: EmotionReading
    input: EmotionReading
    kept_probability: float | None

    @property
    def agrees(self) -> bool:
        """Whether both show the same likeliest expression."""
        return self.result.top_class == self.input.top_class

    @property
    def is_recoverable(self) -> bool | None:
        """Whether the result's expression is to be believed; None where that cannot be said."""
        return None if self.kept_probability is None else self.kept_probability >= RECOVERABLE_FROM


@dataclass(frozen=True, kw_only=True, eq=False)
class Upscaled:
    """An upscaled image and its readout; None where none was wanted or an image gave none."""

    image: UpscaledImage
    readout: ExpressionReadout | None


def upscale_and_read_out(
    engine: Engine, reference: str, items: Sequence[EngineItem]
) -> list[Upscaled | ServiceError]:
    """Upscale a batch with one model; a readout that fails costs nobody the image."""
    outcomes = engine.upscale(reference, [item.image for item in items])
    pairs = {
        index: (item.image, outcome.rgb)
        for index, (item, outcome) in enumerate(zip(items, outcomes, strict=True))
        if item.wants_readout and isinstance(outcome, UpscaledImage)
    }
    readouts: dict[int, ExpressionReadout | None] = {}
    if pairs and engine.classifier is not None:
        found = _read_out(engine, engine.classifier, reference, list(pairs.values()))
        readouts = dict(zip(pairs, found, strict=True))
    return [
        outcome
        if isinstance(outcome, ServiceError)
        else Upscaled(image=outcome, readout=readouts.get(index))
        for index, outcome in enumerate(outcomes)
    ]


def _read_out(
    engine: Engine,
    classifier: ServedVersion,
    reference: str,
    pairs: Sequence[tuple[RgbImage, RgbImage]],
) -> list[ExpressionReadout | None]:
    """Read (image, result) pairs in one batch."""
    model = next(model for model in engine.models if model.reference == reference)
    images, results = [image for image, _ in pairs], [result for _, result in pairs]
    readings = engine.read_emotions([*results, *_network_inputs(images, model)])
    both = {
        index: (result, given)
        for index, (result, given) in enumerate(
            zip(readings[: len(pairs)], readings[len(pairs) :], strict=True)
        )
        if isinstance(result, EmotionReading) and isinstance(given, EmotionReading)
    }
    kept = _kept_probabilities(engine.calibrations.get(reference), list(both.values()))
    readouts = {
        index: ExpressionReadout(
            classifier=classifier, result=result, input=given, kept_probability=probability
        )
        for (index, (result, given)), probability in zip(both.items(), kept, strict=True)
    }
    return [readouts.get(index) for index in range(len(pairs))]


def _network_inputs(images: Sequence[RgbImage], model: ServedModel) -> list[RgbImage]:
    """What the network saw of images, as large as their results and with the same parts cut out."""
    on_grid = levels_to_unit(faces_on_grid(images, grid_px=model.lr_size_px))
    found = []
    for image, enlarged in zip(images, enlarge_bicubic(on_grid, scale=model.scale), strict=True):
        left, top, right, bottom = GridPlacement.of(image, model).output_box
        found.append(tensor_to_image(enlarged[:, top:bottom, left:right]))
    return found


def _kept_probabilities(
    calibration: AgreementCalibration | None,
    readings: Sequence[tuple[EmotionReading, EmotionReading]],
) -> Sequence[float | None]:
    if calibration is None or not readings:
        return [None] * len(readings)
    results, inputs = ([one.probabilities for one in side] for side in zip(*readings, strict=True))
    found: list[float] = calibration.probability(results, inputs).tolist()
    return found
