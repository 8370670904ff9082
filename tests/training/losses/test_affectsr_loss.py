import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tests.tiny_baselines import tiny_baseline
from tests.training.losses.tiny_networks import random_faces, random_networks
from training.config import LossConfig
from training.losses.affectsr_loss import AffectSRLoss, LossNetworks
from training.losses.expression import expression_distance
from training.losses.pixels import expressive_regions, l1_distance, region_distance
from training.perceptual.gram import gram_distance

NO_PIXELS = {"pixel_weight": 0.0}
# One term each, by the name under which it is reported.
ALONE = {
    "l1": LossConfig(),
    "psnr": LossConfig(pixel="psnr"),
    "lpips_squeeze": LossConfig(perceptual_weight=20, **NO_PIXELS),
    "vgg16": LossConfig(perceptual="vgg16", perceptual_weight=20, **NO_PIXELS),
    "gram": LossConfig(gram_weight=50, **NO_PIXELS),
    "nodes": LossConfig(node_weight=0.1, **NO_PIXELS),
    "expression": LossConfig(expression_weight=2, expression_network="any", **NO_PIXELS),
    "regions": LossConfig(region_weight=3, **NO_PIXELS),
}
EVERYTHING = LossConfig(
    perceptual_weight=20,
    gram_weight=50,
    node_weight=0.1,
    expression_weight=2,
    expression_network="any",
    region_weight=3,
)


@pytest.fixture(scope="module")
def networks() -> LossNetworks:
    return random_networks()


@pytest.mark.parametrize("name", ALONE)
def test_each_terms_gradient_is_that_of_finite_differences(
    name: str, networks: LossNetworks
) -> None:
    loss = AffectSRLoss(ALONE[name], networks)
    sr, hr, landmarks = random_faces(1)

    def total(images: Tensor) -> Tensor:
        return loss(images, hr, landmarks=landmarks).total

    sr.requires_grad_()
    # On the scale of the term: random networks make some of them very small.
    (gradient,) = torch.autograd.grad(total(sr), sr)
    scale = 1 / float(gradient.abs().max())
    assert torch.autograd.gradcheck(lambda x: scale * total(x), (sr,), fast_mode=True, atol=1e-5)


@pytest.mark.parametrize("name", ALONE)
def test_a_term_is_reported_under_its_name_before_weighting(
    name: str, networks: LossNetworks
) -> None:
    config = ALONE[name]
    sr, hr, landmarks = random_faces()
    result = AffectSRLoss(config, networks)(sr, hr, landmarks=landmarks)
    assert set(result.terms) == {name}
    weight = sum(
        (
            config.pixel_weight,
            config.perceptual_weight,
            config.gram_weight,
            config.node_weight,
            config.expression_weight,
            config.region_weight,
        )
    )
    assert float(result.total) == pytest.approx(weight * float(result.terms[name]))
    assert not result.terms[name].requires_grad


@pytest.mark.parametrize("name", sorted(ALONE.keys() - {"psnr"}))
def test_equal_images_cost_nothing(name: str, networks: LossNetworks) -> None:
    _, hr, landmarks = random_faces()
    assert float(AffectSRLoss(ALONE[name], networks)(hr, hr, landmarks=landmarks).total) == 0


def test_the_total_is_the_weighted_sum_of_the_terms(networks: LossNetworks) -> None:
    sr, hr, landmarks = random_faces()
    result = AffectSRLoss(EVERYTHING, networks)(sr, hr, landmarks=landmarks)
    assert list(result.terms) == ["l1", "lpips_squeeze", "gram", "nodes", "expression", "regions"]
    weights = {"l1": 1, "lpips_squeeze": 20, "gram": 50, "nodes": 0.1, "expression": 2}
    expected = sum(float(v) * {**weights, "regions": 3}[n] for n, v in result.terms.items())
    assert float(result.total) == pytest.approx(expected)


def test_terms_are_the_distances_of_their_modules(networks: LossNetworks) -> None:
    sr, hr, landmarks = random_faces()
    terms = AffectSRLoss(EVERYTHING, networks)(sr, hr, landmarks=landmarks).terms
    assert networks.lpips is not None
    assert networks.vgg16 is not None
    assert networks.nodes is not None
    assert networks.expression is not None
    pairs = list(zip(networks.vgg16(sr), networks.vgg16(hr), strict=True))
    mask = expressive_regions(landmarks, height=18, width=18)
    expected = {
        "l1": l1_distance(sr, hr),
        "lpips_squeeze": networks.lpips(sr, hr),
        "gram": sum(gram_distance(a, b) for a, b in pairs),
        "nodes": networks.nodes(sr, hr),
        "expression": expression_distance(networks.expression, sr, hr, landmarks=landmarks),
        "regions": region_distance(sr, hr, mask),
    }
    for name, distances in expected.items():
        torch.testing.assert_close(terms[name], distances.mean(), msg=name)
    features = LossConfig(perceptual="vgg16", perceptual_weight=1, gram_weight=1)
    by_vgg16 = AffectSRLoss(features, networks)(sr, hr, landmarks=landmarks).terms
    squares = sum((a - b).square().mean() for a, b in pairs)
    torch.testing.assert_close(by_vgg16["vgg16"], squares)
    torch.testing.assert_close(by_vgg16["gram"], terms["gram"])


def test_shares_of_a_batch_have_the_batchs_loss_on_average(networks: LossNetworks) -> None:
    loss = AffectSRLoss(EVERYTHING, networks)
    sr, hr, landmarks = random_faces(4)
    whole = loss(sr, hr, landmarks=landmarks).total
    halves = [loss(sr[s], hr[s], landmarks=landmarks[s]).total for s in (slice(2), slice(2, 4))]
    torch.testing.assert_close(sum(halves) / 2, whole)


def test_a_term_without_weight_is_not_computed() -> None:
    def refuse(*_: object) -> Tensor:
        raise AssertionError("a term of weight 0 was computed")

    networks = LossNetworks(lpips=refuse, vgg16=refuse, nodes=refuse, expression=refuse)
    sr, hr, landmarks = random_faces()
    result = AffectSRLoss(LossConfig(), networks)(sr, hr, landmarks=landmarks)
    assert set(result.terms) == {"l1"}


def test_a_term_with_weight_but_without_its_network_is_refused() -> None:
    with pytest.raises(ValueError, match="terms without their networks: lpips, vgg16, nodes, exp"):
        AffectSRLoss(EVERYTHING, LossNetworks())


def test_frozen_networks_stay_frozen(networks: LossNetworks) -> None:
    sr, hr, landmarks = random_faces()
    sr.requires_grad_()
    AffectSRLoss(EVERYTHING, networks)(sr, hr, landmarks=landmarks).total.backward()
    for module in (networks.lpips, networks.vgg16):
        assert module is not None
        assert all(p.grad is None and not p.requires_grad for p in module.parameters())


def test_the_loss_trains_a_baseline(networks: LossNetworks) -> None:
    torch.manual_seed(0)
    network = tiny_baseline("srcnn", scale=4).double()
    lr = torch.rand(2, 3, 5, 5).double()
    hr = F.interpolate(lr, scale_factor=4, mode="bilinear")
    landmarks = torch.rand(2, 478, 3).double()
    loss = AffectSRLoss(EVERYTHING, networks)
    optimizer = torch.optim.Adam(network.parameters(), lr=5e-3)
    totals = []
    for _ in range(4):
        result = loss(network(lr), hr, landmarks=landmarks)
        optimizer.zero_grad()
        result.total.backward()
        optimizer.step()
        totals.append(float(result.total.detach()))
    assert all(math.isfinite(total) for total in totals)
    assert totals[-1] < totals[0]


def test_under_bfloat16_autocast_terms_are_close_and_gradients_finite() -> None:
    networks = random_networks()
    for network in (networks.lpips, networks.vgg16):
        assert network is not None
        network.float()
    loss = AffectSRLoss(LossConfig(perceptual_weight=20, gram_weight=50, region_weight=3), networks)
    sr, hr, landmarks = (t.float() for t in random_faces())
    exact = loss(sr, hr, landmarks=landmarks).terms
    sr.requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        result = loss(sr, hr, landmarks=landmarks)
    result.total.backward()
    assert result.total.dtype == torch.float32
    assert bool(torch.isfinite(sr.grad).all())
    for name in ("l1", "lpips_squeeze", "regions"):
        torch.testing.assert_close(result.terms[name], exact[name], rtol=1e-6, atol=0)
    torch.testing.assert_close(result.terms["gram"], exact["gram"], rtol=0.1, atol=0)


BAD_WEIGHTS: list[tuple[Callable[[], LossConfig], str]] = [
    (lambda: LossConfig(gram_weight=-1.0), "gram_weight is -1.0; it must be a number of at least"),
    (lambda: LossConfig(pixel_weight=math.nan), "pixel_weight is nan"),
    (lambda: LossConfig(node_weight=math.inf), "node_weight is inf"),
    (lambda: LossConfig(pixel_weight=0.0), "all weights are 0; one of pixel_weight, perceptual_"),
    (lambda: LossConfig(expression_weight=1.0), "expression_network names none"),
]


@pytest.mark.parametrize(("make", "message"), BAD_WEIGHTS)
def test_weights_that_make_no_sense_are_refused(
    make: Callable[[], LossConfig], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        make()
