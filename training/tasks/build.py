"""From a configuration to the task that it describes."""

from functools import partial
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from model_store.affectsrnet.network import LANDMARK_BRANCH_PREFIXES
from model_store.architectures import needs_landmarks, network_from
from model_store.errors import ModelStoreError
from model_store.landmarks.landmarker import Landmarker
from model_store.store import ModelStore
from training.checkpoint import load_checkpoint
from training.config import LandmarkTaskConfig, TrainConfig
from training.data.datasets import FaceDataset
from training.errors import CheckpointError, ConfigError
from training.tasks.build_loss import build_loss
from training.tasks.calibration import calibrate_confidence
from training.tasks.landmarks import LandmarkTask
from training.tasks.super_resolution import SuperResolutionTask
from training.tasks.task import TrainingTask

_CALIBRATION_BATCH = 100
_BACKBONE_SUFFIX = ":backbone"


def build_task(
    config: TrainConfig,
    *,
    dataset: FaceDataset,
    store: ModelStore,
    device: torch.device,
    feature_weights: Path | None = None,
) -> TrainingTask:
    """Build the network and the loss of a run, its weights drawn from the run's seed.

    Args:
        config: The run's.
        dataset: The faces to learn from.
        store: Where the networks are published that the run needs.
        device: Where everything runs.
        feature_weights: Folder with the weights of the loss's feature networks; None takes the
            environment's.

    Raises:
        ConfigError: a network that the run needs is not published.
        FeatureWeightsError: a feature network of the loss has no weights.
    """
    torch.manual_seed(config.seed)
    if isinstance(config.task, LandmarkTaskConfig):
        return LandmarkTask(config, task=config.task, dataset=dataset, device=device)
    task = config.task
    landmarker = None
    if needs_landmarks(task.network) or task.loss.node_weight > 0:
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
    )


def build_network_of(config: TrainConfig) -> nn.Module:
    """Build the untrained network that a run trains."""
    return network_from(config.task.network)


def finish_network(network: nn.Module, config: TrainConfig, *, dataset: FaceDataset) -> None:
    """Do what is left to do on a run's best weights before they are published.

    Args:
        network: In eval mode, on the dataset's device.
        config: The run's.
        dataset: The faces that it learnt from and was validated on.
    """
    if isinstance(network, Landmarker) and isinstance(config.task, LandmarkTaskConfig):
        batches = dataset.held_batches("validation", batch_size=_CALIBRATION_BATCH)
        calibrate_confidence(network, batches, config=config, task=config.task)


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


def initialise_from(network: nn.Module, start: str, *, store: ModelStore) -> list[str]:
    """Take the weights that ``start`` has into a network of the same or a larger architecture.

    Args:
        network: Keeps its own values where ``start`` has none (a branch added since).
        start: A published version (``NAME@VERSION``), a ``.safetensors`` file, or a run's
            checkpoint (``.pt``), of which the weight average is taken. With ``:backbone`` behind
            it, the landmark branch is left there.
        store: Where published versions are looked up.

    Returns:
        Names of the parameters that ``start`` does not have.

    Raises:
        CheckpointError: nothing under that name, or weights of another architecture.
    """
    try:
        weights = _load_weights(start, store)
    except (ModelStoreError, SafetensorError, OSError) as error:
        raise CheckpointError(f"--init {start}: {error}") from error
    own = network.state_dict()
    alien = [k for k, v in weights.items() if k not in own or own[k].shape != v.shape]
    if alien:
        first = alien[0]
        here = str(tuple(own[first].shape)) if first in own else "missing"
        raise CheckpointError(
            f"--init {start} holds weights of another architecture: {len(alien)} of "
            f"{len(weights)} do not fit, first {first}, {tuple(weights[first].shape)} there and "
            f"{here} here; start from a version of this network, or give [task.network] the sizes "
            "that the weights were trained with"
        )
    network.load_state_dict({key: value.float() for key, value in weights.items()}, strict=False)
    return sorted(set(own) - set(weights))


def _load_weights(start: str, store: ModelStore) -> dict[str, Tensor]:
    if start.endswith(_BACKBONE_SUFFIX):
        weights = _load_weights(start.removesuffix(_BACKBONE_SUFFIX), store)
        return {k: v for k, v in weights.items() if not k.startswith(LANDMARK_BRANCH_PREFIXES)}
    if start.endswith(".safetensors"):
        return load_file(start)
    if start.endswith(".pt"):
        return load_checkpoint(Path(start)).ema
    return dict(store.load(start).module.state_dict())
