from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image

from model_store.image_tensor import RgbImage
from service.engine.readout import EngineItem, Upscaled, upscale_and_read_out
from service.errors import ItemFailedError
from tests.fakes import NearestEngine, emotion_reading, served_classifier
from tests.service.support import noise, plain

X4 = "affectsrnet-x4@1"


@pytest.fixture
def engine() -> NearestEngine:
    return NearestEngine(classifier=served_classifier())


def read_out(engine: NearestEngine, *items: tuple[RgbImage, bool]) -> list[Upscaled]:
    outcomes = upscale_and_read_out(
        engine, X4, [EngineItem(image=image, wants_readout=wants) for image, wants in items]
    )
    assert all(isinstance(outcome, Upscaled) for outcome in outcomes)
    return [outcome for outcome in outcomes if isinstance(outcome, Upscaled)]


def levels(images: Sequence[RgbImage]) -> list[int]:
    return [int(image[0, 0, 0]) for image in images]


def test_only_those_that_want_it_are_read_all_in_one_batch(engine: NearestEngine) -> None:
    first, second, third = read_out(
        engine, (plain(10), True), (plain(20), False), (plain(30), True)
    )
    assert len(engine.batches) == 2
    assert levels(engine.batches[1]) == [10, 30, 10, 30]  # results, then inputs
    assert first.readout is not None
    assert second.readout is None
    assert third.readout is not None


def test_nothing_is_read_where_nobody_wants_it(engine: NearestEngine) -> None:
    read_out(engine, (plain(10), False))
    assert len(engine.batches) == 1


def test_without_a_classifier_there_is_no_readout() -> None:
    engine = NearestEngine()
    (upscaled,) = read_out(engine, (plain(10), True))
    assert upscaled.readout is None
    assert len(engine.batches) == 1


def test_each_gets_the_expressions_of_its_own_result_and_input(engine: NearestEngine) -> None:
    def by_level_and_size(image: RgbImage) -> object:
        is_sharp = image[0, 0, 0] == 10 and engine.batches[1][0] is image
        return emotion_reading(0.1, 0.9) if is_sharp else emotion_reading(0.9, 0.1)

    engine.emotion_of = by_level_and_size  # type: ignore[assignment]
    first, second = read_out(engine, (plain(10), True), (plain(30), True))
    assert first.readout is not None
    assert second.readout is not None
    assert (first.readout.result.top_class, first.readout.input.top_class) == (1, 0)
    assert not first.readout.agrees
    assert second.readout.agrees
    assert first.readout.classifier == engine.classifier


def test_small_input_is_enlarged_to_its_result_as_pillow_does(engine: NearestEngine) -> None:
    image = noise(40, 48) // 4 + 96  # no overshoot, which Pillow cuts off between its passes
    read_out(engine, (image, True))
    result, given = engine.batches[1]
    assert given.shape == result.shape == (128, 107, 3)
    expected = np.asarray(Image.fromarray(image).resize((107, 128), Image.Resampling.BICUBIC))
    assert np.abs(given.astype(int) - expected).max() <= 1


def test_large_input_is_read_as_it_is(engine: NearestEngine) -> None:
    image = noise(300, 280)
    read_out(engine, (image, True))
    assert engine.batches[1][1] is image


def test_readout_that_fails_costs_nobody_the_image(engine: NearestEngine) -> None:
    engine.emotion_of = lambda image: (
        ItemFailedError("no probabilities") if image[0, 0, 0] == 10 else emotion_reading(1.0)
    )
    first, second = read_out(engine, (plain(10), True), (plain(30), True))
    assert first.readout is None
    assert first.image.rgb[0, 0, 0] == 10
    assert second.readout is not None


def test_image_that_cannot_be_upscaled_is_not_read(engine: NearestEngine) -> None:
    engine.is_poisoned = lambda image: bool(image[0, 0, 0] == 10)
    failed, upscaled = upscale_and_read_out(
        engine,
        X4,
        [EngineItem(image=plain(level), wants_readout=True) for level in (10, 30)],
    )
    assert isinstance(failed, ItemFailedError)
    assert isinstance(upscaled, Upscaled)
    assert upscaled.readout is not None
    assert levels(engine.batches[1]) == [30, 30]
