"""What can be measured: published versions, runs, Pillow's bicubic, folders of images."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from model_store.affectsrnet.network import AffectSRNet
from model_store.architectures import (
    Classifier,
    Network,
    Upscaler,
    needs_landmarks,
    network_from,
)
from model_store.errors import ModelStoreError
from model_store.image_tensor import RgbImage, tensor_to_image
from model_store.landmarks.landmarker import Landmarker
from model_store.store import ModelStore
from training.checkpoint import BEST_NAME, Checkpoint, load_checkpoint
from training.config import SuperResolutionTaskConfig
from training.errors import TrainingError
from training.evaluation.faces import LrFaces, enlarge_bicubic
from training.evaluation.folder import FOLDER_PREFIX, FolderUpscaler
from training.evaluation.landmark_controls import (
    LandmarkControl,
    LandmarkSource,
    choose_source,
    without_landmarks,
)
from training.evaluation.paper import COMPONENTS, METHODS, OURS, Component, Method
from training.tasks.build import load_landmarker

BICUBIC = "bicubic"
# Beside the longest of our networks' bodies a larger batch gains nothing on a CPU.
_BATCH_SIZE = 50


class FaceUpscaler(Protocol):
    """Makes 128 px faces of a set's LR images, from nothing else."""

    def upscale(self, faces: LrFaces) -> list[RgbImage]:
        """Return one (128, 128, 3) uint8 RGB image for each face, in order."""

    def landmarks(self, faces: LrFaces) -> Tensor | None:
        """Return the (N, 478, 3) landmarks that the network is given; None if it takes none."""


@dataclass(frozen=True, kw_only=True)
class ModelDescription:
    """What a report says of a model.

    Attributes:
        name: As it was named: a reference, a run's folder, "bicubic".
        scale: 4 or 8; None for a network that makes no images.
        architecture: Of the network; "bicubic" and "folder" for what is none.
        origin: How its weights were made, in a few words; empty for what has none.
        num_parameters: Trained values; 0 for what has none.
        learnt: Names and digests of the packs that it learnt from.
        control: Which landmarks it is given; None for a model that takes none.
        method: Its column in the paper's Tables I and II, if it has one.
        component: Its row in the paper's Table III, if it has one.
    """

    name: str
    scale: int | None
    architecture: str
    origin: str = ""
    num_parameters: int = 0
    learnt: tuple[str, ...] = ()
    control: LandmarkControl | None = None
    method: Method | None = None
    component: Component | None = None

    @property
    def title(self) -> str:
        """The name, with the landmark control if it is one."""
        is_control = self.control not in (None, "lr")
        return f"{self.name} [landmarks: {self.control}]" if is_control else self.name


@dataclass(frozen=True)
class Model:
    """A model that can be measured: what is said of it, and what makes its images."""

    description: ModelDescription
    upscaler: FaceUpscaler
    scale: int


class BicubicUpscaler:
    """The tables' first column."""

    def upscale(self, faces: LrFaces) -> list[RgbImage]:
        return [enlarge_bicubic(image) for image in faces.images]

    def landmarks(self, faces: LrFaces) -> Tensor | None:
        return None


class NetworkUpscaler:
    """A network in eval mode on the CPU, in float32, with its landmarks if it takes any."""

    def __init__(self, network: Upscaler, *, source: LandmarkSource | None) -> None:
        self._network = network
        self._source = source

    def upscale(self, faces: LrFaces) -> list[RgbImage]:
        given = self.landmarks(faces)
        images: list[RgbImage] = []
        for start in range(0, len(faces), _BATCH_SIZE):
            rows = slice(start, start + _BATCH_SIZE)
            inputs = (faces.tensor[rows],) if given is None else (faces.tensor[rows], given[rows])
            with torch.inference_mode():
                images += [tensor_to_image(face) for face in self._network(*inputs)]
        return images

    def landmarks(self, faces: LrFaces) -> Tensor | None:
        return None if self._source is None else self._source(faces)


@dataclass(frozen=True)
class Opened:
    """A network from the store or from a run, with what it needs and where it is from."""

    network: Network
    landmarker: Landmarker | None
    origin: str
    learnt: tuple[str, ...]


@dataclass(frozen=True)
class Trained:
    """A run's best weights in a network, and the landmarker that it was trained with."""

    network: Network
    landmarker: Landmarker | None
    checkpoint: Checkpoint


def load_trained(run: Path, *, store: ModelStore) -> Trained:
    """Load the best weight average of a run, or that of one of its checkpoints (a ``.pt`` file).

    Raises:
        CheckpointError: there is none.
        ConfigError: the landmarker that it was trained with is not published.
    """
    checkpoint = load_checkpoint(run if run.is_file() else run / BEST_NAME)
    network = network_from(checkpoint.config.task.network)
    network.load_state_dict(checkpoint.ema)
    task = checkpoint.config.task
    landmarker = None
    if isinstance(task, SuperResolutionTaskConfig) and needs_landmarks(task.network):
        landmarker = load_landmarker(task.landmarker, store)
    return Trained(network.eval(), landmarker, checkpoint)


def open_network(name: str, *, store: ModelStore) -> Opened:
    """Open a run's folder or checkpoint, or a published version by its reference.

    Raises:
        TrainingError: there is neither, or it cannot be used.
    """
    if (Path(name) / BEST_NAME).is_file() or (name.endswith(".pt") and Path(name).is_file()):
        trained = load_trained(Path(name), store=store)
        made = trained.checkpoint
        origin = describe_origin(made.start, steps=made.step, images_seen=made.images_seen)
        return Opened(trained.network, trained.landmarker, origin, tuple(made.config.data.packs))
    try:
        loaded = store.load(name)
    except ModelStoreError as error:
        raise TrainingError(f"{error}; {name} is no run's folder either") from error
    network, record = loaded.module, loaded.manifest.training
    if not isinstance(network, Upscaler | Landmarker | Classifier):
        what = loaded.manifest.architecture
        raise TrainingError(f"{name} is a {what}, which reads no faces; it cannot be evaluated")
    origin = describe_origin(record.start, steps=record.steps, images_seen=record.images_seen)
    takes_landmarks = isinstance(network, Upscaler) and needs_landmarks(network.config)
    landmarker = load_landmarker("landmarker", store) if takes_landmarks else None
    return Opened(network, landmarker, origin, (*record.data, *record.data_digests.values()))


def describe_origin(start: str, *, steps: int, images_seen: int) -> str:
    """Say in a few words how weights were made."""
    return f"{steps:,} steps, {images_seen:,} faces seen, from {start}"


def is_weightless(name: str) -> bool:
    """Whether a name is bicubic or a folder of images: what has no weights and no own scale."""
    return name == BICUBIC or name.startswith(FOLDER_PREFIX)


def weightless_model(name: str, *, scale: int) -> Model:
    """Open ``bicubic`` or ``folder:PATH``.

    Raises:
        DataError: there is no such folder.
    """
    if name == BICUBIC:
        described = ModelDescription(name=name, scale=scale, architecture=BICUBIC, method="Bicubic")
        return Model(described, BicubicUpscaler(), scale)
    described = ModelDescription(name=name, scale=scale, architecture="folder")
    return Model(described, FolderUpscaler(name), scale)


def network_model(
    name: str,
    opened: Opened,
    *,
    control: LandmarkControl = "lr",
    teacher: Mapping[str, Tensor] | None = None,
) -> Model:
    """Make a model of an upscaling network, given landmarks by one of the controls if it takes any.

    Args:
        name: How reports name it.
        opened: The network and its landmarker; without one, the control does not matter.
        control: Which landmarks it is given.
        teacher: Landmarks of the originals by set, for the control "teacher" alone.
    """
    network, landmarker = opened.network, opened.landmarker
    assert isinstance(network, Upscaler)
    description = describe_network(name, opened)
    source: LandmarkSource | None = None
    if landmarker is not None:
        description = replace(description, control=control)
        if control != "lr":
            description = replace(description, method=None, component=None)
        if control == "none":
            assert isinstance(network, AffectSRNet)
            network = without_landmarks(network)
        else:
            source = choose_source(control, landmarker, teacher=teacher or {})
    return Model(description, NetworkUpscaler(network, source=source), network.config.scale)


def describe_network(name: str, opened: Opened) -> ModelDescription:
    """Say of a network what a report says."""
    network = opened.network
    return ModelDescription(
        name=name,
        scale=network.config.scale if isinstance(network, Upscaler) else None,
        architecture=network.config.architecture,
        origin=opened.origin,
        num_parameters=sum(p.numel() for p in network.parameters()),
        learnt=opened.learnt,
        method=_method_of(network),
        component=_component_of(network),
    )


def _method_of(network: Network) -> Method | None:
    """The paper's column for a network; AffectSRNet without its landmarks is an ablation."""
    if isinstance(network, AffectSRNet):
        return OURS if network.config.landmark_fusion else None
    named = (m for m in METHODS if m.lower() == network.config.architecture)
    return next(named, None)


def _component_of(network: Network) -> Component | None:
    """The paper's row of Table III for an AffectSRNet with or without its parts."""
    if not isinstance(network, AffectSRNet):
        return None
    backbone, normalised, whole = COMPONENTS
    if network.config.landmark_fusion:
        return whole if network.config.instance_norm else None
    return normalised if network.config.instance_norm else backbone
