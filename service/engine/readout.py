"""Upscaling a batch and reading the expressions of those that want it, while it is on the device.

A readout that went through the queue by itself would wait there a second time.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from model_store.image_tensor import (
    RgbImage,
    image_to_tensor,
    resize_bicubic,
    tensor_to_image,
)
from service.engine.base import EmotionReading, Engine, ServedVersion, UpscaledImage
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
    """The expression of a result beside that of its input, as one classifier reads them."""

    classifier: ServedVersion
    result: EmotionReading
    input: EmotionReading

    @property
    def agrees(self) -> bool:
        """Whether both show the same likeliest expression."""
        return self.result.top_class == self.input.top_class


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
    wanting = [
        index
        for index, (item, outcome) in enumerate(zip(items, outcomes, strict=True))
        if item.wants_readout and isinstance(outcome, UpscaledImage)
    ]
    readouts: dict[int, ExpressionReadout | None] = {}
    if wanting and engine.classifier is not None:
        found = _read_out(engine, engine.classifier, items, outcomes, wanting)
        readouts = dict(zip(wanting, found, strict=True))
    return [
        outcome
        if isinstance(outcome, ServiceError)
        else Upscaled(image=outcome, readout=readouts.get(index))
        for index, outcome in enumerate(outcomes)
    ]


def _read_out(
    engine: Engine,
    classifier: ServedVersion,
    items: Sequence[EngineItem],
    outcomes: Sequence[UpscaledImage | ServiceError],
    wanting: Sequence[int],
) -> list[ExpressionReadout | None]:
    pairs = [
        (outcome.rgb, _at_least_as_large(items[index].image, outcome.rgb))
        for index in wanting
        if isinstance(outcome := outcomes[index], UpscaledImage)
    ]
    results, inputs = zip(*pairs, strict=True)
    readings = engine.read_emotions([*results, *inputs])
    return [
        ExpressionReadout(classifier=classifier, result=of_result, input=of_input)
        if isinstance(of_result, EmotionReading) and isinstance(of_input, EmotionReading)
        else None
        for of_result, of_input in zip(readings[: len(pairs)], readings[len(pairs) :], strict=True)
    ]


def _at_least_as_large(image: RgbImage, result: RgbImage) -> RgbImage:
    """The input as it would be shown beside its result: enlarged by bicubic where it is smaller."""
    height, width = result.shape[:2]
    if image.shape[0] >= height or image.shape[1] >= width:
        return image
    enlarged = resize_bicubic(image_to_tensor(image)[None], height=height, width=width)
    return tensor_to_image(enlarged[0])
