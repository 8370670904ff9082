from dataclasses import replace
from pathlib import Path

import pytest
import torch

from model_store.landmarks.landmarker import Landmarker
from model_store.store import ModelStore
from tests.training.conftest import MakePack
from training.config import AugmentationConfig, LandmarkTaskConfig, OptimizerConfig, TrainConfig
from training.data.datasets import FaceDataset
from training.data.draws import BatchDraws
from training.tasks.build import build_task, finish_network
from training.tasks.calibration import collect_confidence
from training.tasks.landmarks import LandmarkTask

STILL = AugmentationConfig(flip_probability=0, warp_probability=0)


def make_task(config: TrainConfig, *, packs: Path) -> tuple[LandmarkTask, FaceDataset]:
    dataset = FaceDataset(config.data, root=packs)
    task = build_task(config, dataset=dataset, store=ModelStore(packs), device=torch.device("cpu"))
    assert isinstance(task, LandmarkTask)
    return task, dataset


def test_the_linear_face_model_spans_the_training_faces(
    landmark_config: TrainConfig, make_pack: MakePack
) -> None:
    task, dataset = make_task(landmark_config, packs=make_pack(faces=40))
    landmarker = task.network
    assert isinstance(landmarker, Landmarker)
    truth = torch.from_numpy(dataset.train_landmarks())
    mean = landmarker.mean_landmarks
    assert float((mean - truth.mean(0)).abs().max()) < 0.02
    offsets = (truth - mean).flatten(1).double()
    basis = landmarker.basis.double()
    coefficients = torch.linalg.lstsq(basis.T, offsets.T).solution
    residual = offsets - (basis.T @ coefficients).T
    assert float(residual.abs().max()) * 128 < 0.2  # px


def test_a_step_has_finite_terms_and_reaches_every_parameter(
    landmark_config: TrainConfig, make_pack: MakePack
) -> None:
    task, _ = make_task(landmark_config, packs=make_pack())
    draws = BatchDraws.of_step(seed=0, step=0, batch_size=6)
    loss = task.compute_loss(draws)
    assert set(loss.terms) == {"landmark_distance", "opening", "confidence", "nme"}
    loss.total.backward()
    for name, parameter in task.network.named_parameters():
        assert parameter.grad is not None, name
        assert float(parameter.grad.abs().sum()) > 0, name


def test_validation_scores_both_sizes(landmark_config: TrainConfig, make_pack: MakePack) -> None:
    task, _ = make_task(landmark_config, packs=make_pack())
    scores = task.validate(task.network.eval(), "validation")
    assert {"nme_16px", "nme_32px", "mouth_correlation_16px", "negative_nme"} <= set(scores)
    assert scores["negative_nme"] == pytest.approx(-(scores["nme_16px"] + scores["nme_32px"]) / 2)


def test_the_finished_confidence_is_calibrated_to_be_right(
    landmark_config: TrainConfig, make_pack: MakePack
) -> None:
    config = replace(
        landmark_config, augmentation=STILL, optimizer=OptimizerConfig(learning_rate=1e-3)
    )
    task, dataset = make_task(config, packs=make_pack(faces=30, validation=24))
    network = task.network.eval()
    assert isinstance(network, Landmarker)
    torch.nn.init.normal_(network.confidence.weight, std=0.1)
    before = network.calibration.clone()
    finish_network(network, config, dataset=dataset)
    assert not torch.equal(network.calibration, before)
    assert isinstance(config.task, LandmarkTaskConfig)
    logits, is_right = collect_confidence(
        network, dataset.held_batches("validation", batch_size=100), config=config, task=config.task
    )
    # Platt scaling matches the mean of the confidence to the share that is right.
    assert float(torch.sigmoid(logits).mean()) == pytest.approx(float(is_right.mean()), abs=0.02)
