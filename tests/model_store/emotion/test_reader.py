import pytest
import torch
from torch import Tensor

from model_store.emotion.alignment import align_expression_crops
from model_store.emotion.reader import EmotionReader
from model_store.landmarks.landmarker import Landmarker, LandmarkerConfig
from tests.tiny_classifiers import tiny_classifier


@pytest.fixture
def reader() -> EmotionReader:
    """An untrained classifier behind a landmarker that is sure of some faces only."""
    torch.manual_seed(0)
    landmarker = Landmarker(LandmarkerConfig(num_coefficients=4))
    torch.nn.init.normal_(landmarker.confidence.weight, std=0.3)
    landmarker.requires_grad_(False)
    landmarker.mean_landmarks.uniform_()
    landmarker.basis.normal_(std=0.02)
    torch.nn.init.normal_(landmarker.coefficients.weight, std=0.02)
    return EmotionReader(landmarker, tiny_classifier("mobilefacenet")).eval().requires_grad_(False)


@pytest.fixture
def faces() -> Tensor:
    return torch.rand(4, 3, 48, 40, generator=torch.Generator().manual_seed(1))


def test_a_reading_is_the_classifiers_of_the_crop_by_the_landmarks(
    reader: EmotionReader, faces: Tensor
) -> None:
    readings = reader.read(faces)
    crops = align_expression_crops(faces, readings.landmarks)
    assert torch.equal(readings.probabilities, reader.classifier.probabilities(crops))
    assert readings.probabilities.shape == (4, 7)
    assert readings.landmarks.shape == (4, 478, 3)


def test_the_mean_face_stands_in_for_an_unsure_one_and_the_reading_says_so(
    reader: EmotionReader, faces: Tensor
) -> None:
    found = reader.landmarker(faces)
    reader.min_confidence = float(found.confidence.sort().values[1:3].mean())
    readings = reader.read(faces)
    assert torch.equal(readings.confidences, found.confidence)
    assert readings.is_fallback.tolist() == (found.confidence < reader.min_confidence).tolist()
    assert int(readings.is_fallback.sum()) == 2
    mean = reader.landmarker.mean_landmarks
    for i, fallback in enumerate(readings.is_fallback):
        assert torch.equal(readings.landmarks[i], mean if fallback else found.landmarks[i])


def test_company_in_the_batch_changes_nothing(reader: EmotionReader, faces: Tensor) -> None:
    alone = torch.cat([reader.read(face[None]).probabilities for face in faces])
    torch.testing.assert_close(reader.read(faces).probabilities, alone, atol=1e-5, rtol=0)
