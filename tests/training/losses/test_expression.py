import torch
from torch import Tensor

from model_store.emotion.alignment import align_expression_crops
from model_store.emotion.classifier import EmotionClassifier
from tests.tiny_classifiers import tiny_classifier
from tests.training.losses.tiny_networks import MeanColours, random_faces
from training.losses.expression import expression_distance


class FixedFeatures(EmotionClassifier):
    """Gives the red of a crop's halves as features, whatever the rest shows."""

    def __init__(self) -> None:
        super().__init__(2)

    def features(self, crops: Tensor) -> Tensor:
        return torch.stack([crops[:, 0, :, :56].mean((1, 2)), crops[:, 0, :, 56:].mean((1, 2))], 1)


def halves(*reds: tuple[float, float]) -> Tensor:
    """Images whose left and right half have these reds."""
    images = torch.zeros(len(reds), 3, 112, 112)
    for image, (left, right) in zip(images, reds, strict=True):
        image[0, :, :56], image[0, :, 56:] = left, right
    return images


def in_frame(count: int) -> Tensor:
    """Landmarks of faces that are in the classifier's frame already."""
    landmarks = torch.zeros(count, 478, 3)
    for nodes, place in (((33, 133), (28.5, 39.3)), ((263, 362), (81.2, 39.3))):
        landmarks[:, nodes, :2] = torch.tensor(place) / 112
    landmarks[:, (61, 291), :2] = torch.tensor((55.3, 83.1)) / 112
    return landmarks


def test_the_distance_is_that_of_directions() -> None:
    hr = halves((0.5, 0.0), (0.5, 0.0), (0.5, 0.5))
    sr = halves((0.9, 0.0), (0.0, 0.7), (0.5, 0.0))  # the same, a right angle, half of one
    distances = expression_distance(FixedFeatures(), sr, hr, landmarks=in_frame(3))
    expected = torch.tensor([0.0, 2.0, 2 - 2**0.5])
    # Where the halves meet, a column is blended.
    torch.testing.assert_close(distances, expected, atol=2e-3, rtol=0)


def test_both_faces_are_seen_in_the_frame_of_the_same_landmarks() -> None:
    sr, hr, landmarks = random_faces()
    classifier = tiny_classifier("ddamfn").double()
    found, wanted = (
        classifier.features(align_expression_crops(images, landmarks)) for images in (sr, hr)
    )
    cosine = torch.nn.functional.cosine_similarity(found, wanted)
    distances = expression_distance(classifier, sr, hr, landmarks=landmarks)
    torch.testing.assert_close(distances, 2 - 2 * cosine)


def test_only_the_sr_image_gets_a_gradient() -> None:
    sr, hr, landmarks = random_faces()
    for tensor in (sr, hr, landmarks):
        tensor.requires_grad_()
    expression_distance(MeanColours().double(), sr, hr, landmarks=landmarks).sum().backward()
    assert sr.grad is not None
    assert float(sr.grad.abs().sum()) > 0
    assert hr.grad is None
    assert landmarks.grad is None
