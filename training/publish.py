"""From a run's best weights to an immutable model version, with what evaluation measured."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from model_store.manifest import ModelManifest, TrainingRecord
from model_store.store import ModelStore
from training.config import config_document
from training.data.datasets import FaceDataset
from training.errors import TrainingError
from training.evaluate import evaluate_networks
from training.evaluation.comparison import Comparison, ModelResult
from training.evaluation.faces import open_face_sets
from training.evaluation.models import BICUBIC, Opened, describe_origin, load_trained
from training.tasks.build import finish_network

RESEARCH_ONLY_LICENCE = (
    "Research only: trained on face photographs whose terms allow non-commercial research. "
    "The code's licence does not cover these weights."
)


def publish_run(
    run: Path,
    *,
    name: str | None,
    packs_root: Path,
    test_packs: Sequence[str],
    store: ModelStore,
    feature_weights: Path | None = None,
    licence: str = RESEARCH_ONLY_LICENCE,
) -> tuple[ModelManifest, Comparison]:
    """Evaluate a run's best weights and publish them as the next version of a model.

    The landmarker's confidence is calibrated on the validation slice before that.

    Args:
        run: The run's folder.
        name: Name of the model; None takes the run's.
        packs_root: Folder of the packs that the run learnt from and of the test packs.
        test_packs: Packs to report on; none of them may have been learnt from.
        store: Where the version goes.
        feature_weights: Folder of the LPIPS weights, if not the environment's.
        licence: Terms of the weights.

    Raises:
        TrainingError: the run, a pack or the landmarker cannot be used.
    """
    trained = load_trained(run, store=store)
    checkpoint = trained.checkpoint
    config = checkpoint.config
    sets = open_face_sets(packs_root, test_packs)
    dataset = FaceDataset(config.data, root=packs_root)
    finish_network(trained.network, config, dataset=dataset)
    model = name or config.name
    origin = describe_origin(
        checkpoint.start, steps=checkpoint.step, images_seen=checkpoint.images_seen
    )
    learnt = {pack.name: pack.digest for pack in dataset.packs}
    candidate = Opened(trained.network, trained.landmarker, origin, (*learnt, *learnt.values()))
    comparison = evaluate_networks(
        {model: candidate}, sets, store=store, feature_weights=feature_weights
    )
    result = next(r for r in comparison.results if r.title == model)
    try:
        manifest = store.publish(
            trained.network,
            name=model,
            metrics=manifest_metrics(comparison, result),
            training=TrainingRecord(
                start=checkpoint.start,
                data=_count_faces(dataset),
                data_digests=learnt,
                steps=checkpoint.step,
                images_seen=checkpoint.images_seen,
                config=config_document(config),
                share_of_run=checkpoint.share_of_run,
            ),
            licence=licence,
            git_commit=checkpoint.git_commit,
        )
    except ValueError as error:
        raise TrainingError(str(error)) from error
    return manifest, comparison


def _count_faces(dataset: FaceDataset) -> Mapping[str, int]:
    return {pack.name: len(pack.rows("train")) for pack in dataset.packs}


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
