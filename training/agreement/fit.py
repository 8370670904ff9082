"""Fitting the logistic model of agreement, by Newton's method on a convex loss."""

import numpy as np
import numpy.typing as npt
import torch

from model_store.emotion.recoverability import AgreementCalibration, agreement_features
from training.errors import DataError
from training.evaluation.agreement import AgreementReadouts

# On every coefficient but the constant, in units of faces: the classes that are rare among the
# faces stay near the others. From 0.1 to 10 the loss on held-out faces hardly differs.
_RIDGE = 1.0
_MAX_STEPS = 100
_CONVERGED = 1e-10


def fit_agreement(calibration: AgreementCalibration, readouts: AgreementReadouts) -> None:
    """Set a calibration's coefficients to the most likely ones, as half precision holds them.

    Raises:
        DataError: all expressions were kept, or none: there is nothing to tell apart.
    """
    is_kept = readouts.is_kept
    if is_kept.all() or not is_kept.any():
        raise DataError(
            f"of {len(is_kept)} faces the expression of {'every' if is_kept.all() else 'no'} one "
            "is kept; there is nothing to tell apart: fit on more faces"
        )
    features = agreement_features(readouts.result, readouts.network_input)
    coefficients = fit_logistic(features, is_kept)
    # What the store will hold, so that what is measured is what is published.
    calibration.coefficients.data.copy_(torch.from_numpy(coefficients).half().float())


def fit_logistic(
    features: npt.NDArray[np.float64], outcomes: npt.NDArray[np.bool_]
) -> npt.NDArray[np.float64]:
    """Return the coefficients of the least ridge-penalised log loss.

    Args:
        features: (N, K); the first column is constant and goes unpenalised.
        outcomes: (N,).

    Returns:
        (K,).
    """
    penalty = np.full(features.shape[1], _RIDGE)
    penalty[0] = 0.0
    coefficients = np.zeros(features.shape[1])
    for _ in range(_MAX_STEPS):
        likely = 1 / (1 + np.exp(-features @ coefficients))
        gradient = features.T @ (likely - outcomes) + penalty * coefficients
        curvature = (features.T * (likely * (1 - likely))) @ features + np.diag(penalty)
        step = np.linalg.solve(curvature, gradient)
        coefficients = coefficients - step
        if np.abs(step).max() < _CONVERGED:
            return coefficients
    raise DataError(
        f"the fit of {len(outcomes)} faces did not settle in {_MAX_STEPS} steps; fit on more faces"
    )
