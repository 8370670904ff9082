"""One call of ``ensemble``: published expression classifiers, averaged, become another version."""

from dataclasses import dataclass

from model_store.architectures import SingleClassifier, average_classifiers
from model_store.errors import ModelStoreError
from model_store.manifest import ModelManifest, TrainingRecord
from model_store.store import LoadedModel, ModelStore
from training.config import ExpressionDataConfig, PublishConfig
from training.data.expressions.dataset import ExpressionDataset
from training.errors import DataError, TrainingError
from training.provenance import current_commit
from training.publish.run import Candidate, GateOptions, Show, publish_candidate
from training.tasks.temperature import fit_temperature

_BATCH_SIZE = 100


@dataclass(frozen=True, kw_only=True)
class EnsembleOptions(GateOptions):
    """What the command line says of an ensemble.

    Attributes:
        name: Name of the model.
        members: References of published classifiers: at least two, or one if ``mirrored``.
        mirrored: Whether they read each face's mirror image as well.
    """

    name: str
    members: tuple[str, ...]
    mirrored: bool = False


def publish_ensemble(
    options: EnsembleOptions, *, store: ModelStore, show: Show = lambda comparison: None
) -> ModelManifest:
    """Average published classifiers, calibrate the mean, measure it and publish it.

    Nothing is learnt but the temperature, on the validation slice of what the members learnt from.

    Raises:
        PublishRefusedError: the gate objects and nobody allowed it.
        TrainingError: only one member is named and it is to read no mirrored faces, one is not
            there or tells no expressions apart, they learnt from different faces, or a pack cannot
            be used.
    """
    if len(options.members) < 2 and not options.mirrored:
        raise TrainingError(
            "an ensemble has at least two members; name another classifier, or --mirrored"
        )
    loaded = [_load(reference, store) for reference in options.members]
    record = _common_record(loaded, mirrored=options.mirrored)
    dataset = ExpressionDataset(ExpressionDataConfig(packs=tuple(record.data)), root=options.packs)
    for pack in dataset.packs:
        if pack.digest != record.data_digests[pack.name]:
            raise DataError(
                f"{options.packs / pack.name} is not the pack that the members learnt from; what "
                "they were not to see may be in another slice there"
            )
    network = average_classifiers(
        [_classifier_of(one) for one in loaded], mirrored=options.mirrored
    )
    fit_temperature(network, dataset.held_batches("validation", batch_size=_BATCH_SIZE))
    candidate = Candidate(
        name=options.name,
        network=network,
        record=record,
        thresholds=PublishConfig(),
        git_commit=current_commit(),
    )
    return publish_candidate(candidate, options, store=store, show=show)


def _load(reference: str, store: ModelStore) -> LoadedModel:
    try:
        return store.load(reference)
    except ModelStoreError as error:
        raise TrainingError(f"member {reference}: {error}") from error


def _classifier_of(loaded: LoadedModel) -> SingleClassifier:
    if not isinstance(loaded.module, SingleClassifier):
        raise TrainingError(
            f"member {loaded.manifest.reference} has the architecture "
            f"{loaded.manifest.architecture}; an ensemble is made of single expression classifiers"
        )
    return loaded.module


def _common_record(members: list[LoadedModel], *, mirrored: bool) -> TrainingRecord:
    """How the members were made, taken together; their configurations stand in their manifests.

    Raises:
        TrainingError: they learnt from different faces, so that what one was not to see may be what
            another learnt from.
    """
    references = ", ".join(one.manifest.reference for one in members)
    records = [one.manifest.training for one in members]
    digests = dict(records[0].data_digests)
    if any(dict(record.data_digests) != digests for record in records):
        raise TrainingError(
            f"{references} learnt from different packs; an ensemble's temperature is fitted on "
            "faces that none of its members learnt from, so they must share theirs"
        )
    return TrainingRecord(
        start=references,
        data=records[0].data,
        data_digests=digests,
        steps=0,
        images_seen=0,
        config={"members": [one.manifest.reference for one in members], "mirrored": mirrored},
    )
