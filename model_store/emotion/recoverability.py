"""Whether a result shows the expression of its original, which nobody has: a calibrated guess.

A face of 16 px may not hold its expression. What the classifier reads in the result and in the
network's input tells how likely both are to agree with what it would have read in the original;
how much they tell is fitted on faces whose originals are known (training.agreement).
"""

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from model_store.emotion.classifier import EMOTIONS
from model_store.emotion.ecm import Probabilities, checked_pairs, entropy, pair_measures
from model_store.errors import CalibrationMismatchError

RECOVERABLE_FROM = 0.8
"""Probability from which an expression is called recoverable: of five such results, at least four
show the expression of their original."""

# Beyond 1/400 of a probability a classifier's own errors outweigh what it says.
_MAX_LOGIT = 6.0
_NUM_FEATURES = 6 + len(EMOTIONS)


@dataclass(frozen=True, kw_only=True)
class AgreementCalibrationConfig:
    """What a calibration was fitted for; of other networks it says nothing.

    Attributes:
        scale: 4 or 8.
        upscaler: Reference of the network that made the results.
        upscaler_sha256: Digest of its weights.
        classifier: Reference of the classifier that read them.
        classifier_sha256: Digest of its weights.
    """

    architecture: ClassVar[str] = "agreement-calibration"

    scale: int
    upscaler: str
    upscaler_sha256: str
    classifier: str
    classifier_sha256: str

    def __post_init__(self) -> None:
        if self.scale not in (4, 8):
            raise ValueError(f"scale is {self.scale}; it must be 4 or 8")


class AgreementCalibration(nn.Module):
    """A logistic model: from readouts of a result and of its input to a probability.

    Attributes:
        config: What it was fitted for.
        coefficients: One for each of ``agreement_features``.
    """

    def __init__(self, config: AgreementCalibrationConfig) -> None:
        super().__init__()
        self.config = config
        self.coefficients = nn.Parameter(torch.zeros(_NUM_FEATURES), requires_grad=False)

    def probability(
        self, result: npt.ArrayLike, network_input: npt.ArrayLike
    ) -> npt.NDArray[np.float64]:
        """Say how likely each original's likeliest expression is the result's.

        Args:
            result: (N, 7) probabilities read in the results.
            network_input: (N, 7) read in what the network was given, enlarged to the result's size
                by bicubic.

        Returns:
            (N,) in (0, 1).

        Raises:
            ValueError: rows that are no probabilities, or different numbers of them.
        """
        features = agreement_features(result, network_input)
        logits = features @ self.coefficients.double().cpu().numpy()
        likely: npt.NDArray[np.float64] = 1 / (1 + np.exp(-logits))
        return likely

    def require_fits(self, *, upscaler_sha256: str, classifier_sha256: str) -> None:
        """Refuse networks that the calibration was not fitted for.

        Raises:
            CalibrationMismatchError: the digest of either is another one.
        """
        given = {"upscaler": upscaler_sha256, "classifier": classifier_sha256}
        fitted = {
            "upscaler": (self.config.upscaler, self.config.upscaler_sha256),
            "classifier": (self.config.classifier, self.config.classifier_sha256),
        }
        for role, (reference, digest) in fitted.items():
            if given[role] != digest:
                raise CalibrationMismatchError(
                    f"the calibration was fitted for the {role} {reference} ({digest[:12]}), not "
                    f"for one of {given[role][:12]}; fit it anew: "
                    "python -m training calibrate-agreement"
                )


def agreement_features(
    result: npt.ArrayLike, network_input: npt.ArrayLike
) -> npt.NDArray[np.float64]:
    """(N, 7) twice -> (N, 13) what the logistic model weighs, all of the order of 1.

    A constant; the logit of the result's likeliest class, in the result and in the input; both
    entropies and the Jensen-Shannon divergence between the two, by their largest values; and
    which class it is, as classifiers err more on some than on others.

    Raises:
        ValueError: rows that are no probabilities, or different numbers of them.
    """
    first, second = checked_pairs(result, network_input)
    rows, top = np.arange(len(first)), first.argmax(1)
    largest_entropy = math.log(first.shape[1])
    return np.column_stack(
        [
            np.ones(len(first)),
            _logit(first[rows, top]),
            _logit(second[rows, top]),
            entropy(first) / largest_entropy,
            entropy(second) / largest_entropy,
            pair_measures(first, second).jensen_shannon / math.log(2),
            np.eye(len(EMOTIONS))[top],
        ]
    )


def _logit(probabilities: Probabilities) -> npt.NDArray[np.float64]:
    inside = np.clip(probabilities, 1e-9, 1 - 1e-9)
    return np.clip(np.log(inside / (1 - inside)), -_MAX_LOGIT, _MAX_LOGIT)
