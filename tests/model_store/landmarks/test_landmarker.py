import pytest
import torch
from torch import Tensor

from model_store.landmarks.fallback import choose_landmarks
from model_store.landmarks.landmarker import Landmarker, LandmarkerConfig


@pytest.fixture
def landmarker() -> Landmarker:
    """An untrained network with a random face model and lively statistics."""
    torch.manual_seed(0)
    network = Landmarker(LandmarkerConfig(num_coefficients=6))
    network.requires_grad_(False)
    network.basis.normal_(std=0.01)
    torch.nn.init.normal_(network.coefficients.weight, std=0.02)
    torch.nn.init.normal_(network.confidence.weight, std=0.1)
    return network.eval()


@pytest.fixture
def faces() -> Tensor:
    return torch.rand(4, 3, 32, 32, generator=torch.Generator().manual_seed(1))


def test_landmarks_and_confidence_come_for_each_face(landmarker: Landmarker, faces: Tensor) -> None:
    prediction = landmarker(faces)
    assert prediction.landmarks.shape == (4, 478, 3)
    assert prediction.confidence.shape == (4,)
    assert bool(((prediction.confidence > 0) & (prediction.confidence < 1)).all())


@pytest.mark.parametrize("side_px", [8, 16, 32, 100])
def test_crops_of_any_size_are_read(landmarker: Landmarker, side_px: int) -> None:
    assert landmarker(torch.rand(1, 3, side_px, side_px)).landmarks.shape == (1, 478, 3)


def test_stages_of_equal_width_are_built() -> None:
    network = Landmarker(LandmarkerConfig(widths=(8, 8, 16), blocks=(1, 1, 1))).eval()
    assert network(torch.rand(1, 3, 32, 32)).landmarks.shape == (1, 478, 3)


def test_the_size_stays_in_its_budget() -> None:
    network = Landmarker(LandmarkerConfig())
    assert sum(p.numel() for p in network.parameters()) <= 3_000_000
    macs = 0

    def count(module: torch.nn.Module, _inputs: object, output: Tensor) -> None:
        nonlocal macs
        if isinstance(module, torch.nn.Conv2d):
            macs += output[0].numel() * module.weight[0].numel()

    for module in network.modules():
        module.register_forward_hook(count)
    network.eval()(torch.rand(1, 3, 32, 32))
    assert round(macs / 1e9, 3) <= 0.1


def test_company_in_the_batch_changes_nothing(landmarker: Landmarker, faces: Tensor) -> None:
    together = landmarker(faces).landmarks
    alone = torch.cat([landmarker(face[None]).landmarks for face in faces])
    assert torch.allclose(together, alone, atol=1e-6)


def test_an_untrained_network_gives_the_mean_face() -> None:
    network = Landmarker(LandmarkerConfig()).eval()
    found = network(torch.rand(2, 3, 16, 16)).landmarks
    assert torch.allclose(found, network.mean_landmarks.expand_as(found))


def test_gradient_reaches_the_image(landmarker: Landmarker, faces: Tensor) -> None:
    faces.requires_grad_()
    landmarker(faces).landmarks.sum().backward()
    assert faces.grad is not None
    assert float(faces.grad.abs().sum()) > 0


def test_coordinates_keep_their_precision_under_bfloat16(
    landmarker: Landmarker, faces: Tensor
) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = landmarker(faces).landmarks
    assert half.dtype == torch.float32
    assert float((half - landmarker(faces).landmarks).abs().max()) < 0.1 / 128


def test_calibration_moves_the_confidence_only(landmarker: Landmarker, faces: Tensor) -> None:
    before = landmarker(faces)
    landmarker.calibration.copy_(torch.tensor([2.0, 1.0]))
    after = landmarker(faces)
    assert torch.allclose(after.confidence_logits, before.confidence_logits * 2 + 1, atol=1e-5)
    assert torch.equal(after.landmarks, before.landmarks)


def test_an_unsure_face_gets_the_mean_face_and_says_so(
    landmarker: Landmarker, faces: Tensor
) -> None:
    confidence = landmarker(faces).confidence
    threshold = float(confidence.sort().values[1:3].mean())  # two faces below, two above
    chosen = choose_landmarks(landmarker, faces, min_confidence=threshold)
    assert chosen.is_fallback.tolist() == (confidence < threshold).tolist()
    assert int(chosen.is_fallback.sum()) == 2
    mean = landmarker.mean_landmarks
    for face, fallback in zip(chosen.landmarks, chosen.is_fallback, strict=True):
        assert torch.equal(face, mean) == bool(fallback)
    assert torch.equal(chosen.confidence, confidence)
