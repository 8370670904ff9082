from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image

from model_store.image_tensor import RgbImage
from service.engine.readout import EngineItem, Upscaled, upscale_and_read_out
from service.errors import ItemFailedError
from tests.fakes import NearestEngine, emotion_reading, served_classifier
from tests.service.support import noise, plain
from tests.service.tiny_models import calibration_for

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


@pytest.mark.parametrize("size", [(32, 32), (40, 48), (300, 200), (20, 9)])
def test_input_is_read_as_the_network_got_it_enlarged(
    size: tuple[int, int], engine: NearestEngine
) -> None:
    image = noise(*size) // 4 + 96  # no overshoot, which Pillow cuts off between its passes
    read_out(engine, (image, True))
    result, given = engine.batches[1]
    assert given.shape == result.shape
    width, height = size
    side = max(size)
    before = ((side - height) // 2, (side - width) // 2)
    square = np.pad(
        image,
        (
            (before[0], side - height - before[0]),
            (before[1], side - width - before[1]),
            (0, 0),
        ),
        mode="edge",
    )
    on_grid = Image.fromarray(square).resize((32, 32), Image.Resampling.BICUBIC)
    enlarged = np.asarray(on_grid.resize((128, 128), Image.Resampling.BICUBIC))
    top, left = (round(edge * 128 / side) for edge in before)
    expected = enlarged[top : top + given.shape[0], left : left + given.shape[1]]
    assert np.abs(given.astype(int) - expected).max() <= 2


def test_calibration_of_the_model_says_how_likely_it_is_kept(engine: NearestEngine) -> None:
    calibration = calibration_for("0" * 64, "1" * 64)
    engine.calibrations[X4] = calibration
    engine.emotion_of = lambda image: emotion_reading(0.9, 0.1)
    (upscaled,) = read_out(engine, (plain(10), True))
    row = emotion_reading(0.9, 0.1).probabilities
    expected = float(calibration.probability([row], [row])[0])
    assert upscaled.readout is not None
    assert 0.5 < expected < 0.8
    assert upscaled.readout.kept_probability == expected
    assert upscaled.readout.is_recoverable is False


def test_without_a_calibration_nothing_is_said(engine: NearestEngine) -> None:
    engine.calibrations["affectsrnet-x8@1"] = calibration_for("0" * 64, "1" * 64)
    (upscaled,) = read_out(engine, (plain(10), True))
    assert upscaled.readout is not None
    assert upscaled.readout.kept_probability is None
    assert upscaled.readout.is_recoverable is None


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
