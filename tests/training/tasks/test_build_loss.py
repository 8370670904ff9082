from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from model_store.affectsrnet.config import AffectSRNetConfig
from model_store.affectsrnet.network import AffectSRNet
from model_store.landmarks.landmarker import Landmarker, LandmarkerConfig
from model_store.store import ModelStore
from tests.published import publish_untrained
from tests.tiny_baselines import tiny_baseline, tiny_configs
from tests.tiny_classifiers import tiny_classifier
from tests.training.conftest import MakePack
from training.config import LossConfig, SuperResolutionTaskConfig, TrainConfig
from training.data.datasets import FaceDataset
from training.data.draws import BatchDraws
from training.errors import ConfigError, FeatureWeightsError
from training.losses.affectsr_loss import AffectSRLoss
from training.perceptual.weight_files import FEATURE_WEIGHTS_VARIABLE
from training.tasks.build import build_task
from training.tasks.build_loss import build_loss

CPU = torch.device("cpu")
FUSED = AffectSRNetConfig(
    scale=4, num_features=8, growth_channels=4, num_blocks=1, graph_map_channels=8, gcn_features=4
)
NODES = LossConfig(node_weight=0.1)
FULL = LossConfig(perceptual_weight=20.0, gram_weight=50.0, node_weight=0.1, region_weight=1.0)


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    """A landmarker, a fused AffectSRNet, one without landmarks, and a baseline."""
    store = ModelStore(tmp_path / "store")
    landmarker = Landmarker(LandmarkerConfig(num_coefficients=4))
    nn.init.normal_(landmarker.basis, std=0.02)
    nn.init.normal_(landmarker.coefficients.weight, std=0.02)
    publish_untrained(store, landmarker, name="landmarker")
    publish_untrained(store, AffectSRNet(FUSED), name="fused-x4")
    publish_untrained(store, AffectSRNet(replace(FUSED, landmark_fusion=False)), name="plain-x4")
    publish_untrained(store, tiny_baseline("edsr", scale=4), name="edsr-x4")
    return store


def build(config: LossConfig, network: nn.Module, store: ModelStore) -> AffectSRLoss:
    landmarker = store.load("landmarker").module
    assert isinstance(landmarker, Landmarker)
    return build_loss(
        network,
        config=config,
        landmarker=landmarker,
        store=store,
        feature_weights=None,
        device=CPU,
    )


def gradient_norm(loss: AffectSRLoss) -> float:
    generator = torch.Generator().manual_seed(0)
    sr, hr = torch.rand(2, 1, 3, 32, 32, generator=generator)
    loss(sr.requires_grad_(), hr, landmarks=torch.rand(1, 478, 3)).total.backward()
    assert sr.grad is not None
    return float(sr.grad.norm())


@pytest.mark.parametrize("embeddings", ["landmarks", "fused-x4", "fused-x4@1"])
def test_a_baseline_takes_its_embeddings_from_elsewhere(embeddings: str, store: ModelStore) -> None:
    config = replace(NODES, pixel_weight=0.0, node_embeddings=embeddings)
    assert gradient_norm(build(config, tiny_baseline("edsr", scale=4), store)) > 0


def test_affectsrnet_embeds_by_its_own_graph_network_and_does_not_train_it(
    store: ModelStore,
) -> None:
    network = AffectSRNet(FUSED)
    loss = build(replace(NODES, pixel_weight=0.0), network, store)
    assert gradient_norm(loss) > 0
    assert all(p.grad is None for p in network.parameters())
    assert network.gcn is not None
    for parameter in network.gcn.parameters():
        nn.init.zeros_(parameter)
    assert gradient_norm(loss) == 0


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (NODES, 'node_embeddings is "network", but EDSR has no graph network here; name a publ'),
        (replace(NODES, node_embeddings="plain-x4"), "plain-x4 has no graph network; name an Aff"),
        (replace(NODES, node_embeddings="landmarker"), "landmarker has no graph network"),
        (replace(NODES, node_embeddings="gone"), r"node_embeddings: there is no model 'gone'"),
        (
            LossConfig(expression_weight=1.0, expression_network="gone@2"),
            "task.loss.expression_network: there is no model 'gone'",
        ),
        (
            LossConfig(expression_weight=1.0, expression_network="edsr-x4"),
            "edsr-x4 is a EDSR, which reads no expressions",
        ),
    ],
)
def test_a_network_that_does_not_serve_is_named(
    config: LossConfig, message: str, store: ModelStore
) -> None:
    with pytest.raises(ConfigError, match=message):
        build(config, tiny_baseline("edsr", scale=4), store)


@pytest.mark.parametrize("architecture", ["ddamfn", "mobilefacenet"])
def test_a_published_classifier_compares_expressions(architecture: str, store: ModelStore) -> None:
    publish_untrained(store, tiny_classifier(architecture), name="emotion-tiny")
    config = LossConfig(pixel_weight=0.0, expression_weight=1.0, expression_network="emotion-tiny")
    assert gradient_norm(build(config, tiny_baseline("edsr", scale=4), store)) > 0


def test_feature_weights_are_asked_for_only_where_a_term_has_weight(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv(FEATURE_WEIGHTS_VARIABLE, raising=False)
    network = tiny_baseline("edsr", scale=4)
    assert gradient_norm(build(LossConfig(region_weight=1.0), network, store)) > 0
    for config in (LossConfig(perceptual_weight=1.0), LossConfig(gram_weight=1.0)):
        with pytest.raises(FeatureWeightsError, match="no folder of feature weights is named"):
            build(config, network, store)
    monkeypatch.setenv(FEATURE_WEIGHTS_VARIABLE, str(tmp_path))
    for perceptual, wanted in (
        ("lpips_squeeze", "SqueezeNet 1.1 for ImageNet"),
        ("lpips_vgg", "torchvision's VGG16 for ImageNet"),
        ("vgg16", "the authors' Caffe VGG16"),
    ):
        config = LossConfig(perceptual=perceptual, perceptual_weight=1.0)
        with pytest.raises(FeatureWeightsError, match=wanted):
            build(config, network, store)


def full_task_config(base: TrainConfig, loss: LossConfig) -> TrainConfig:
    task = SuperResolutionTaskConfig(network=tiny_configs(8)["edsr"], loss=loss)
    return replace(base, task=task)


def test_a_baselines_task_compares_landmarks_but_is_given_none(
    tiny_config: TrainConfig, make_pack: MakePack, store: ModelStore
) -> None:
    loss = replace(NODES, region_weight=1.0, node_embeddings="fused-x4")
    config = full_task_config(tiny_config, loss)
    dataset = FaceDataset(config.data, root=make_pack())
    task = build_task(config, dataset=dataset, store=store, device=CPU)
    draws = BatchDraws.of_step(seed=1, step=0, batch_size=2)
    result = task.compute_loss(draws)
    assert set(result.terms) == {"l1", "nodes", "regions"}
    assert all(float(value) > 0 for value in result.terms.values())


def test_the_papers_loss_by_the_published_feature_networks(
    tiny_config: TrainConfig, make_pack: MakePack, store: ModelStore, data_root: Path
) -> None:
    config = full_task_config(tiny_config, replace(FULL, node_embeddings="fused-x4"))
    config = replace(config, precision="bfloat16")
    dataset = FaceDataset(config.data, root=make_pack())
    task = build_task(
        config,
        dataset=dataset,
        store=store,
        device=CPU,
        feature_weights=data_root / "weights",
    )
    draws = BatchDraws.of_step(seed=1, step=0, batch_size=1)
    result = task.compute_loss(draws)
    result.total.backward()
    assert set(result.terms) == {"l1", "lpips_squeeze", "gram", "nodes", "regions"}
    gradients = [p.grad for p in task.network.parameters()]
    assert all(g is not None and bool(torch.isfinite(g).all()) for g in gradients)


def test_a_loss_that_compares_landmarks_needs_a_published_landmarker(
    tiny_config: TrainConfig, make_pack: MakePack, tmp_path: Path
) -> None:
    config = full_task_config(tiny_config, replace(NODES, node_embeddings="landmarks"))
    dataset = FaceDataset(config.data, root=make_pack())
    with pytest.raises(ConfigError, match=r"publish a landmarker first, .*node_weight = 0"):
        build_task(config, dataset=dataset, store=ModelStore(tmp_path / "empty"), device=CPU)


@pytest.mark.parametrize(
    ("loss", "score_name"),
    [
        (LossConfig(pixel="psnr", region_weight=1.0), "psnr_gain_db"),
        (replace(NODES, node_embeddings="landmarks"), "negative_loss"),
    ],
)
def test_the_best_is_chosen_by_psnr_only_while_pixels_alone_are_compared(
    loss: LossConfig,
    score_name: str,
    tiny_config: TrainConfig,
    make_pack: MakePack,
    store: ModelStore,
) -> None:
    config = full_task_config(tiny_config, loss)
    dataset = FaceDataset(config.data, root=make_pack())
    task = build_task(config, dataset=dataset, store=store, device=CPU)
    scores = task.validate(task.network, "validation")
    assert task.score_name == score_name
    assert set(scores) == {"psnr_db", "psnr_gain_db", score_name}


def test_the_validation_loss_is_the_mean_over_faces(
    tiny_config: TrainConfig,
    make_pack: MakePack,
    store: ModelStore,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = full_task_config(tiny_config, replace(NODES, node_embeddings="landmarks"))
    dataset = FaceDataset(config.data, root=make_pack())
    task = build_task(config, dataset=dataset, store=store, device=CPU)
    at_once = task.validate(task.network, "validation")["negative_loss"]
    monkeypatch.setattr("training.tasks.super_resolution._VALIDATION_BATCH", 2)  # 2 and 1 faces
    again = build_task(config, dataset=dataset, store=store, device=CPU)
    again.network.load_state_dict(task.network.state_dict())
    in_parts = again.validate(again.network, "validation")["negative_loss"]
    assert at_once < 0
    assert in_parts == pytest.approx(at_once, rel=1e-4)
