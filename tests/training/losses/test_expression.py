import pytest
import torch
from torch import Tensor

from tests.training.losses.tiny_networks import MeanColours, random_faces
from training.losses.expression import ExpressionNetwork, expression_distance


class FixedFeatures:
    """Gives the images' first two values as features, whatever the rest shows."""

    def features(self, images: Tensor) -> Tensor:
        return images.flatten(1)[:, :2]


def test_the_distance_is_that_of_directions() -> None:
    hr = torch.zeros(3, 3, 2, 2)
    hr[:, 0, 0, 0] = 1.0
    sr = hr.clone()
    sr[0, 0, 0, 0] = 7.0  # the same direction
    sr[1, 0, 0] = torch.tensor([0.0, 2.0])  # a right angle
    sr[2, 0, 0, 0] = -1.0  # the opposite
    distances = expression_distance(FixedFeatures(), sr, hr)
    torch.testing.assert_close(distances, torch.tensor([0.0, 2.0, 4.0]))


def test_only_the_sr_image_gets_a_gradient() -> None:
    sr, hr, _ = random_faces()
    sr.requires_grad_()
    hr.requires_grad_()
    expression_distance(MeanColours(), sr, hr).sum().backward()
    assert sr.grad is not None
    assert float(sr.grad.abs().sum()) > 0
    assert hr.grad is None


@pytest.mark.parametrize(("candidate", "reads"), [(MeanColours(), True), (object(), False)])
def test_what_gives_features_reads_expressions(candidate: object, reads: bool) -> None:
    assert isinstance(candidate, ExpressionNetwork) is reads
