"""From a run's best weights to an immutable model version, with what evaluation measured."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from model_store.architectures import Upscaler, needs_landmarks
from model_store.errors import ModelStoreError
from model_store.landmarks.landmarker import Landmarker
from model_store.manifest import ModelManifest, TrainingRecord
from model_store.store import ModelStore
from training.checkpoint import BEST_NAME, Checkpoint, load_checkpoint
from training.config import LandmarkTaskConfig, config_document
from training.data.datasets import FaceDataset
from training.data.pack import FacePack, open_pack
from training.errors import DataError, TrainingError
from training.evaluation import EvaluationReport, evaluate_network
from training.tasks.build import build_network_of, finish_network, load_landmarker

RESEARCH_ONLY_LICENCE = (
    "Research only: trained on face photographs whose terms allow non-commercial research. "
    "The code's licence does not cover these weights."
)


@dataclass(frozen=True)
class Trained:
    """A run's best weights in a network, and the landmarker that it was trained with."""

    network: nn.Module
    landmarker: Landmarker | None
    checkpoint: Checkpoint


def load_trained(run: Path, *, store: ModelStore) -> Trained:
    """Load the best weight average of a run.

    Raises:
        CheckpointError: the run has none.
        ConfigError: the landmarker that it was trained with is not published.
    """
    checkpoint = load_checkpoint(run / BEST_NAME)
    network = build_network_of(checkpoint.config)
    network.load_state_dict(checkpoint.ema)
    task = checkpoint.config.task
    landmarker = None
    if not isinstance(task, LandmarkTaskConfig) and needs_landmarks(task.network):
        landmarker = load_landmarker(task.landmarker, store)
    return Trained(network.eval(), landmarker, checkpoint)


def open_test_packs(root: Path, names: Sequence[str], *, learnt: Sequence[str]) -> list[FacePack]:
    """Open the packs to report on.

    Raises:
        DataError: one of them was learnt from.
    """
    seen = sorted(set(names) & set(learnt))
    if seen:
        raise DataError(f"{', '.join(seen)} was learnt from; a test set must not be")
    return [open_pack(root / name) for name in names]


def publish_run(
    run: Path,
    *,
    name: str | None,
    packs_root: Path,
    test_packs: Sequence[str],
    store: ModelStore,
    licence: str = RESEARCH_ONLY_LICENCE,
) -> tuple[ModelManifest, EvaluationReport]:
    """Evaluate a run's best weights and publish them as the next version of a model.

    The landmarker's confidence is calibrated on the validation slice before that.

    Args:
        run: The run's folder.
        name: Name of the model; None takes the run's.
        packs_root: Folder of the packs that the run learnt from and of the test packs.
        test_packs: Packs to report on; none of them may have been learnt from.
        store: Where the version goes.
        licence: Terms of the weights.

    Raises:
        TrainingError: the run, a pack or the landmarker cannot be used.
    """
    trained = load_trained(run, store=store)
    config = trained.checkpoint.config
    tests = open_test_packs(packs_root, test_packs, learnt=config.data.packs)
    dataset = FaceDataset(config.data, root=packs_root)
    finish_network(trained.network, config, dataset=dataset)
    model = name or config.name
    report = evaluate_network(trained.network, tests, model=model, landmarker=trained.landmarker)
    try:
        manifest = store.publish(
            trained.network,
            name=model,
            metrics=report.metrics(),
            training=TrainingRecord(
                start=trained.checkpoint.start,
                data=_count_faces(dataset),
                data_digests={pack.name: pack.digest for pack in dataset.packs},
                steps=trained.checkpoint.step,
                images_seen=trained.checkpoint.images_seen,
                config=config_document(config),
            ),
            licence=licence,
            git_commit=trained.checkpoint.git_commit,
        )
    except ValueError as error:
        raise TrainingError(str(error)) from error
    return manifest, report


def evaluate_model(
    model: str, *, packs_root: Path, test_packs: Sequence[str], store: ModelStore
) -> EvaluationReport:
    """Evaluate a published version, or the best weights of a run when a folder is named.

    Raises:
        TrainingError: the model or a pack cannot be used.
    """
    if (Path(model) / BEST_NAME).is_file():
        trained = load_trained(Path(model), store=store)
        network, landmarker = trained.network, trained.landmarker
        learnt: Sequence[str] = trained.checkpoint.config.data.packs
    else:
        try:
            loaded = store.load(model)
        except ModelStoreError as error:
            raise TrainingError(f"{error}; {model} is no run's folder either") from error
        network, learnt = loaded.module, list(loaded.manifest.training.data)
        fused = isinstance(network, Upscaler) and needs_landmarks(network.config)
        landmarker = load_landmarker("landmarker", store) if fused else None
    tests = open_test_packs(packs_root, test_packs, learnt=learnt)
    return evaluate_network(network, tests, model=model, landmarker=landmarker)


def _count_faces(dataset: FaceDataset) -> Mapping[str, int]:
    return {pack.name: len(pack.rows("train")) for pack in dataset.packs}
