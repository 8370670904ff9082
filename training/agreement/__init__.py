"""Fitting how likely a result shows its original's expression, and publishing that."""

from training.agreement.calibrate import AgreementOptions, calibrate_agreement

__all__ = ["AgreementOptions", "calibrate_agreement"]
