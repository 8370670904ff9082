"""From a configuration to the task that it describes."""

from functools import partial
from pathlib import Path

import torch
from torch import nn

from model_store.architectures import needs_landmarks, network_from
from model_store.emotion.classifier import EmotionClassifier
from model_store.errors import ModelStoreError
from model_store.landmarks.landmarker import Landmarker
from model_store.store import ModelStore
from training.config import (
    DataConfig,
    ExpressionTaskConfig,
    LandmarkTaskConfig,
    TrainConfig,
)
from training.data.datasets import FaceDataset
from training.data.expressions.dataset import ExpressionDataset
from training.errors import ConfigError
from training.tasks.build_loss import build_loss
from training.tasks.calibration import calibrate_confidence
from training.tasks.distillation import load_teacher
from training.tasks.expressions import ExpressionTask
from training.tasks.landmarks import LandmarkTask
from training.tasks.super_resolution import SuperResolutionTask
from training.tasks.task import TrainingTask
from training.tasks.temperature import fit_temperature

_CALIBRATION_BATCH = 100
_CPU = torch.device("cpu")

Dataset = FaceDataset | ExpressionDataset
"""The faces that a run learns from and is validated on."""


def open_dataset(config: TrainConfig, *, root: Path, device: torch.device = _CPU) -> Dataset:
    """Open the faces of a run.

    Raises:
        DataError: a pack under ``root`` is missing or damaged, or holds no faces for the run.
    """
    data = config.data
    if isinstance(data, DataConfig):
        return FaceDataset(data, root=root, device=device)
    return ExpressionDataset(data, root=root, device=device)


def build_task(
    config: TrainConfig,
    *,
    dataset: Dataset,
    store: ModelStore,
    device: torch.device,
    feature_weights: Path | None = None,
) -> TrainingTask:
    """Build the network and the loss of a run, its weights drawn from the run's seed.

    Args:
        config: The run's.
        dataset: What open_dataset gave of the same configuration.
        store: Where the networks are published that the run needs.
        device: Where everything runs.
        feature_weights: Folder with the weights of the loss's feature networks; None takes the
            environment's.

    Raises:
        ConfigError: a network that the run needs is not published.
        FeatureWeightsError: a feature network of the loss has no weights.
    """
    torch.manual_seed(config.seed)
    task = config.task
    if isinstance(task, ExpressionTaskConfig):
        assert isinstance(dataset, ExpressionDataset)
        return ExpressionTask(config, task=task, dataset=dataset, device=device)
    assert isinstance(dataset, FaceDataset)
    if isinstance(task, LandmarkTaskConfig):
        return LandmarkTask(config, task=task, dataset=dataset, device=device)
    landmarker = None
    if needs_landmarks(task.network) or task.loss.node_weight > 0 or task.distillation.teacher:
        landmarker = load_landmarker(task.landmarker, store).to(device)
    return SuperResolutionTask(
        config,
        task=task,
        landmarker=landmarker if needs_landmarks(task.network) else None,
        make_loss=partial(
            build_loss,
            config=task.loss,
            landmarker=landmarker,
            store=store,
            feature_weights=feature_weights,
            device=device,
        ),
        dataset=dataset,
        device=device,
        teacher=load_teacher(
            task.distillation,
            student=task.network,
            landmarker=landmarker,
            store=store,
            device=device,
        ),
    )


def build_network_of(config: TrainConfig) -> nn.Module:
    """Build the untrained network that a run trains."""
    return network_from(config.task.network)


def finish_network(network: nn.Module, config: TrainConfig, *, dataset: Dataset) -> None:
    """Do what is left to do on a run's best weights before they are published.

    Args:
        network: In eval mode, on the dataset's device.
        config: The run's.
        dataset: The faces that it learnt from and was validated on.
    """
    if isinstance(network, Landmarker):
        assert isinstance(dataset, FaceDataset)
        assert isinstance(config.task, LandmarkTaskConfig)
        faces = dataset.held_batches("validation", batch_size=_CALIBRATION_BATCH)
        calibrate_confidence(network, faces, config=config, task=config.task)
    if isinstance(network, EmotionClassifier):
        assert isinstance(dataset, ExpressionDataset)
        fit_temperature(network, dataset.held_batches("validation", batch_size=_CALIBRATION_BATCH))


def load_landmarker(reference: str, store: ModelStore) -> Landmarker:
    """Load a published Landmarker.

    Raises:
        ConfigError: there is none under the reference, or it is something else.
    """
    try:
        module = store.load(reference).module
    except ModelStoreError as error:
        raise ConfigError(
            f"task.landmarker: {error}; train and publish a landmarker first, or set "
            "task.network.landmark_fusion = false and task.loss.node_weight = 0"
        ) from error
    if not isinstance(module, Landmarker):
        raise ConfigError(f"task.landmarker: {reference} is no landmarker")
    return module
