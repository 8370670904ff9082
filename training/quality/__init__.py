"""How good an image or a set of landmarks is, in numbers with their uncertainty."""

from training.quality.estimates import (
    Estimate,
    Resampler,
    Statistic,
    Values,
    count_measured,
    estimate_difference,
    estimate_mean,
    estimate_over_sets,
    paired_differences,
)
from training.quality.expressions import (
    Confusion,
    accuracy,
    confusion_matrix,
    macro_f1,
    mean_class_accuracy,
)
from training.quality.images import (
    PROTOCOLS,
    SFMNET,
    SPARNET,
    QualityProtocol,
    luma,
    psnr,
    ssim,
)
from training.quality.landmarks import (
    RIGHT_WITHIN_NME,
    calibration_error,
    mouth_opening,
    openings,
)
from training.quality.reliability import Reliability, ReliabilityBin, measure_reliability

__all__ = [
    "PROTOCOLS",
    "RIGHT_WITHIN_NME",
    "SFMNET",
    "SPARNET",
    "Confusion",
    "Estimate",
    "QualityProtocol",
    "Reliability",
    "ReliabilityBin",
    "Resampler",
    "Statistic",
    "Values",
    "accuracy",
    "calibration_error",
    "confusion_matrix",
    "count_measured",
    "estimate_difference",
    "estimate_mean",
    "estimate_over_sets",
    "luma",
    "macro_f1",
    "mean_class_accuracy",
    "measure_reliability",
    "mouth_opening",
    "openings",
    "paired_differences",
    "psnr",
    "ssim",
]
