"""From a run's best weights to an immutable model version, with what evaluation measured."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from torch import nn

from model_store.architectures import Network
from model_store.errors import ModelStoreError
from model_store.landmarks.landmarker import Landmarker
from model_store.manifest import ModelManifest, TrainingRecord
from model_store.store import ModelStore
from training.config import PublishConfig, config_document
from training.errors import PublishRefusedError, TrainingError
from training.evaluate import evaluate_networks
from training.evaluation.comparison import Comparison, ModelResult
from training.evaluation.models import (
    BICUBIC,
    Opened,
    describe_network,
    describe_origin,
    load_trained,
    open_network,
)
from training.evaluation.readers import reader_kind
from training.publish.gate import list_objections
from training.tasks.build import finish_network, open_dataset

RESEARCH_ONLY_LICENCE = (
    "Research only: trained on face photographs whose terms allow non-commercial research. "
    "The code's licence does not cover these weights."
)


@dataclass(frozen=True, kw_only=True)
class GateOptions:
    """What the command line says of measuring a candidate, and of passing it all the same.

    Attributes:
        packs: Folder of the packs that it learnt from and of the test packs.
        tests: Packs to report on; none of them may have been learnt from.
        feature_weights: Folder of the LPIPS weights, if not the environment's.
        classifier: Published version that reads expressions; None takes the store's.
        allow_worse: Why the version is published even where the gate objects; None publishes
            nothing then.
        licence: Terms of the weights.
    """

    packs: Path
    tests: tuple[str, ...]
    feature_weights: Path | None = None
    classifier: str | None = None
    allow_worse: str | None = None
    licence: str = RESEARCH_ONLY_LICENCE


@dataclass(frozen=True, kw_only=True)
class PublishOptions(GateOptions):
    """What the command line says of publishing a run.

    Attributes:
        run: The run's folder.
        name: Name of the model; None takes the run's.
    """

    run: Path
    name: str | None = None


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A network that may become a version.

    Attributes:
        name: Name of the model.
        network: In eval mode, all that is to be done on its weights done.
        landmarker: That it was trained with, if it takes landmarks.
        record: How its weights were made.
        thresholds: What it must reach by itself.
        git_commit: Of the code that made the weights.
    """

    name: str
    network: Network
    landmarker: Landmarker | None = None
    record: TrainingRecord
    thresholds: PublishConfig
    git_commit: str


Show: TypeAlias = Callable[[Comparison], None]


def publish_run(
    options: PublishOptions, *, store: ModelStore, show: Show = lambda comparison: None
) -> ModelManifest:
    """Measure a run's best weights and publish them as the next version of a model.

    What is left to do on them (calibrating a confidence) is done before that.

    Args:
        options: What to publish.
        store: Where the version goes, and where the one that it replaces is.
        show: Is given the report before the gate decides.

    Raises:
        PublishRefusedError: the gate objects and nobody allowed it.
        TrainingError: the run, a pack or the landmarker cannot be used.
    """
    _check_reason(options.allow_worse)  # before the work that it is said for
    trained = load_trained(options.run, store=store)
    checkpoint = trained.checkpoint
    config = checkpoint.config
    dataset = open_dataset(config, root=options.packs)
    finish_network(trained.network, config, dataset=dataset)
    candidate = Candidate(
        name=options.name or config.name,
        network=trained.network,
        landmarker=trained.landmarker,
        record=TrainingRecord(
            start=checkpoint.start,
            data={pack.name: len(pack.rows("train")) for pack in dataset.packs},
            data_digests={pack.name: pack.digest for pack in dataset.packs},
            steps=checkpoint.step,
            images_seen=checkpoint.images_seen,
            share_of_run=checkpoint.share_of_run,
            config=config_document(config),
        ),
        thresholds=config.publish,
        git_commit=checkpoint.git_commit,
    )
    return publish_candidate(candidate, options, store=store, show=show)


def publish_candidate(
    candidate: Candidate,
    options: GateOptions,
    *,
    store: ModelStore,
    show: Show = lambda comparison: None,
) -> ModelManifest:
    """Measure a network and publish it, if the gate lets it pass.

    Its weights are measured as they are stored, in half precision, beside bicubic and the version
    that the bare name means now.

    Raises:
        PublishRefusedError: the gate objects and nobody allowed it.
        TrainingError: a pack cannot be used, or a test pack was learnt from.
    """
    reason = _check_reason(options.allow_worse)
    _round_to_half(candidate.network)
    name, record = candidate.name, candidate.record
    origin = describe_origin(record.start, steps=record.steps, images_seen=record.images_seen)
    learnt = (*record.data, *record.data_digests.values())
    opened = Opened(candidate.network, candidate.landmarker, origin, learnt)
    replaced = _open_replaced(name, opened, store)
    comparison = evaluate_networks(
        {**replaced, name: opened},
        packs=options.packs,
        tests=options.tests,
        store=store,
        feature_weights=options.feature_weights,
        classifier=options.classifier,
    )
    show(comparison)
    objections = list_objections(
        comparison,
        candidate=name,
        previous=next(iter(replaced), None),
        thresholds=candidate.thresholds,
    )
    if objections and not reason:
        raise PublishRefusedError(
            f"{name} is not published: {'; '.join(objections)}. Train on, or say why it is to be "
            'published all the same: --allow-worse "REASON"'
        )
    result = next(r for r in comparison.results if r.title == name)
    try:
        return store.publish(
            candidate.network,
            name=name,
            metrics=manifest_metrics(comparison, result),
            training=record,
            licence=options.licence,
            git_commit=candidate.git_commit,
            allowed_worse=reason if objections else "",
        )
    except ValueError as error:
        raise TrainingError(str(error)) from error


def _check_reason(allow_worse: str | None) -> str:
    reason = (allow_worse or "").strip()
    if allow_worse is not None and not reason:
        raise TrainingError(
            "--allow-worse is empty; say why a worse version is to be published, the manifest "
            "keeps it"
        )
    return reason


def _round_to_half(network: nn.Module) -> None:
    """Round weights to what the store keeps of them: what is measured is what is published."""
    state = network.state_dict()
    network.load_state_dict(
        {k: v.half().float() if v.is_floating_point() else v for k, v in state.items()}
    )


def _open_replaced(name: str, candidate: Opened, store: ModelStore) -> dict[str, Opened]:
    """The version that the bare name means now, by its reference; empty for a new name.

    Raises:
        TrainingError: it is another kind of network than the candidate, or cannot be read.
    """
    if not store.versions(name):
        return {}
    try:
        reference = store.resolve(name).reference
    except ModelStoreError as error:
        raise TrainingError(f"the version to replace cannot be read: {error}") from error
    opened = open_network(reference, store=store)
    ours, theirs = (describe_network(name, network) for network in (candidate, opened))
    is_alike = reader_kind(ours.architecture) is reader_kind(theirs.architecture)
    if ours.scale != theirs.scale or not is_alike:
        raise TrainingError(
            f"{reference} is for another scale or task than this run; publish it under another "
            "--name"
        )
    return {reference: opened}


def manifest_metrics(comparison: Comparison, result: ModelResult) -> dict[str, float]:
    """All numbers of a model as flat values: ``set/measure``, and ``mean/measure`` over the sets.

    Beside the model's own stand bicubic's PSNR and SSIM, and the gain over bicubic.
    """
    flat: dict[str, float] = {}
    bicubic = comparison.find(BICUBIC, scale=result.description.scale)
    gain = comparison.find_difference(result)
    for name in comparison.num_faces:
        flat |= {f"{name}/{column}": e.mean for column, e in result.estimates[name].items()}
        if bicubic is not None and gain is not None:
            flat |= {
                f"{name}/bicubic_psnr_db": bicubic.estimates[name]["psnr_db"].mean,
                f"{name}/psnr_gain_db": gain.estimates[name]["psnr_db"].mean,
                f"{name}/bicubic_ssim": bicubic.estimates[name]["ssim"].mean,
            }
    flat |= {f"mean/{column}": e.mean for column, e in result.means.items()}
    if bicubic is not None and gain is not None:
        flat |= {
            "mean/bicubic_psnr_db": bicubic.means["psnr_db"].mean,
            "mean/psnr_gain_db": gain.means["psnr_db"].mean,
            "mean/bicubic_ssim": bicubic.means["ssim"].mean,
        }
    return {key: round(value, 5) for key, value in flat.items() if math.isfinite(value)}
