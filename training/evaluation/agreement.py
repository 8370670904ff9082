"""Whether a result shows its original's expression, and how well a calibration knows it.

Made of what an evaluation has read already: the bicubic image is the network's input, enlarged.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_store.emotion.classifier import EMOTIONS
from model_store.emotion.ecm import Probabilities
from model_store.emotion.recoverability import RECOVERABLE_FROM, AgreementCalibration
from training.evaluation.comparison import Comparison, ModelResult
from training.evaluation.measures.expression import ECM_COLUMN, read_pairs
from training.evaluation.models import BICUBIC
from training.quality import Estimate, Reliability, estimate_mean, measure_reliability

ALL_SETS = "all sets"


@dataclass(frozen=True, eq=False)
class AgreementReadouts:
    """What a classifier read of N faces.

    Attributes:
        original: (N, 7) in the originals.
        result: (N, 7) in a model's images.
        network_input: (N, 7) in the LR images, enlarged by bicubic.
    """

    original: Probabilities
    result: Probabilities
    network_input: Probabilities

    @property
    def is_kept(self) -> npt.NDArray[np.bool_]:
        """(N,) whether the result's likeliest expression is the original's."""
        is_kept: npt.NDArray[np.bool_] = self.original.argmax(1) == self.result.argmax(1)
        return is_kept


@dataclass(frozen=True)
class ExpressionShare:
    """The results that show one expression.

    Attributes:
        expression: The result's likeliest.
        said: Mean probability that it is the original's.
        kept: Share of them of which it is.
    """

    expression: str
    said: float
    kept: Estimate


@dataclass(frozen=True)
class AgreementCheck:
    """How well a calibration knows which expressions were kept, on the faces of some sets.

    Attributes:
        title: The model, with its scale.
        faces: Name of the set, or of all together.
        reliability: Over all faces.
        by_expression: Those expressions that a result shows.
        share_recoverable: Share of the faces whose expression is called recoverable.
        recoverable_kept: Share of those of which it is kept; None where there are none.
    """

    title: str
    faces: str
    reliability: Reliability
    by_expression: tuple[ExpressionShare, ...]
    share_recoverable: float
    recoverable_kept: Estimate | None


def agreement_readouts(
    comparison: Comparison, result: ModelResult, sets: Sequence[str]
) -> AgreementReadouts:
    """Collect what was read of a model's faces in some sets of a comparison.

    Raises:
        ValueError: no expressions were read, or bicubic was not measured beside the model.
    """
    bicubic = comparison.find(BICUBIC, scale=result.description.scale)
    if bicubic is None or any(ECM_COLUMN not in result.values[name] for name in sets):
        raise ValueError(f"no expressions were read of {result.title} and of bicubic beside it")
    original, made = read_pairs(np.concatenate([result.values[n][ECM_COLUMN] for n in sets]))
    _, enlarged = read_pairs(np.concatenate([bicubic.values[n][ECM_COLUMN] for n in sets]))
    return AgreementReadouts(original, made, enlarged)


def check_comparison(
    comparison: Comparison, result: ModelResult, calibration: AgreementCalibration
) -> list[AgreementCheck]:
    """Check a calibration on all sets of a comparison together, then on each."""
    title = f"x{result.description.scale} {result.title}"
    names = list(comparison.num_faces)
    groups = {name: [name] for name in names}
    if len(names) > 1:
        groups = {ALL_SETS: names, **groups}
    return [
        check_agreement(
            agreement_readouts(comparison, result, group), calibration, title=title, faces=faces
        )
        for faces, group in groups.items()
    ]


def check_agreement(
    readouts: AgreementReadouts, calibration: AgreementCalibration, *, title: str, faces: str
) -> AgreementCheck:
    """Compare what a calibration says of faces with what became of their expressions."""
    said = calibration.probability(readouts.result, readouts.network_input)
    is_kept, shown = readouts.is_kept, readouts.result.argmax(1)
    is_recoverable = said >= RECOVERABLE_FROM
    return AgreementCheck(
        title=title,
        faces=faces,
        reliability=measure_reliability(said, is_kept),
        by_expression=tuple(
            ExpressionShare(
                name,
                float(said[shown == index].mean()),
                estimate_mean(is_kept[shown == index].astype(np.float64)),
            )
            for index, name in enumerate(EMOTIONS)
            if (shown == index).any()
        ),
        share_recoverable=float(is_recoverable.mean()),
        recoverable_kept=estimate_mean(is_kept[is_recoverable].astype(np.float64))
        if is_recoverable.any()
        else None,
    )
