from collections.abc import Sequence

import numpy as np
import pytest
import torch

from model_store.emotion.reader import EmotionReader
from model_store.image_tensor import RgbImage, images_to_tensor
from service.engine.base import EmotionReading
from service.engine.expression_reader import ExpressionReader
from service.errors import ItemFailedError
from tests.fakes import served_classifier
from tests.service.support import noise
from tests.service.tiny_models import tiny_classifier, tiny_landmarker


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def reader_with(*, confidence_logit: float = 3.0) -> ExpressionReader:
    return ExpressionReader(
        served_classifier(),
        tiny_classifier(),
        tiny_landmarker(confidence_logit=confidence_logit),
        min_confidence=0.5,
        device=torch.device("cpu"),
    )


def readings(reader: ExpressionReader, images: Sequence[RgbImage]) -> list[EmotionReading]:
    outcomes = reader.read(images)
    assert all(isinstance(outcome, EmotionReading) for outcome in outcomes)
    return [outcome for outcome in outcomes if isinstance(outcome, EmotionReading)]


def test_reading_is_that_of_the_reader_that_training_and_evaluation_use() -> None:
    images = [noise(48, 48, seed=seed) for seed in range(3)]
    with torch.inference_mode():
        expected = EmotionReader(tiny_landmarker(), tiny_classifier()).read(
            images_to_tensor(images)
        )
    for index, found in enumerate(readings(reader_with(), images)):
        assert np.allclose(found.probabilities, expected.probabilities[index], atol=1e-6)
        assert np.allclose(found.landmarks, expected.landmarks[index], atol=1e-6)
        assert found.landmark_confidence == pytest.approx(float(expected.confidences[index]))
        assert not found.is_fallback


def test_batch_of_any_sizes_equals_its_singles() -> None:
    sizes = ((128, 128), (16, 16), (40, 48), (128, 128), (100, 30), (8, 8), (300, 280), (16, 16))
    images = [noise(*size, seed=seed) for seed, size in enumerate(sizes)]
    reader = reader_with()
    together = readings(reader, images)
    for image, found in zip(images, together, strict=True):
        (alone,) = readings(reader, [image])
        assert np.allclose(found.probabilities, alone.probabilities, atol=1e-5)
        assert np.allclose(found.landmarks, alone.landmarks, atol=1e-5)


def test_other_images_are_other_readings() -> None:
    found = readings(reader_with(), [noise(64, 64, seed=seed) for seed in range(8)])
    assert len({reading.top_class for reading in found}) > 1


def test_narrow_image_is_read_as_the_square_that_its_edges_make() -> None:
    image = noise(24, 32)
    square = np.pad(image, ((0, 0), (4, 4), (0, 0)), mode="edge")
    narrow, whole = readings(reader_with(), [image, square])
    assert np.array_equal(narrow.probabilities, whole.probabilities)
    assert np.array_equal(narrow.landmarks, whole.landmarks)


def test_probabilities_sum_to_one_in_float64() -> None:
    (found,) = readings(reader_with(), [noise()])
    assert found.probabilities.dtype == np.float64
    assert found.probabilities.sum() == pytest.approx(1, abs=1e-6)


def test_unsure_landmarks_give_way_to_the_mean_face_and_it_is_said() -> None:
    (found,) = readings(reader_with(confidence_logit=-3.0), [noise()])
    assert found.is_fallback
    assert found.landmark_confidence == pytest.approx(torch.tensor(-3.0).sigmoid().item())
    assert np.array_equal(found.landmarks, tiny_landmarker().mean_landmarks)


def test_image_without_probabilities_fails_alone() -> None:
    classifier = tiny_classifier()
    reader = ExpressionReader(
        served_classifier(),
        classifier,
        tiny_landmarker(),
        min_confidence=0.5,
        device=torch.device("cpu"),
    )
    # The second of three loses its values on the way, as an overflow on a device would have it.
    classifier.classes.register_forward_hook(
        lambda module, inputs, logits: logits.index_fill(0, torch.tensor([1]), torch.nan)
    )
    first, second, third = reader.read([noise(seed=seed) for seed in range(3)])
    assert isinstance(first, EmotionReading)
    assert isinstance(second, ItemFailedError)
    assert isinstance(third, EmotionReading)
