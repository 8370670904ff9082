import math
from pathlib import Path

import numpy as np
import pytest
import torch

from model_store.emotion.recoverability import (
    AgreementCalibration,
    AgreementCalibrationConfig,
    agreement_features,
)
from model_store.errors import CalibrationMismatchError
from model_store.store import ModelStore
from tests.model_store.emotion.ecm.slow_reference import noisy_pairs
from tests.published import publish_untrained

CONFIG = AgreementCalibrationConfig(
    scale=8,
    upscaler="affectsrnet-x8@1",
    upscaler_sha256="a" * 64,
    classifier="emotion-ddamfn@1",
    classifier_sha256="b" * 64,
)
CERTAIN = [0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]
EVEN = [1 / 7] * 7


def test_features_by_hand() -> None:
    (row,) = agreement_features([[0.1, 0.8, 0.1, 0, 0, 0, 0]], [EVEN]).tolist()
    entropy = -(0.8 * math.log(0.8) + 0.2 * math.log(0.1))
    expected = [1, math.log(0.8 / 0.2), math.log((1 / 7) / (6 / 7)), entropy / math.log(7), 1]
    assert row[:5] == pytest.approx(expected)
    assert 0 < row[5] < 1
    assert row[6:] == [0, 1, 0, 0, 0, 0, 0]


def test_features_of_certain_readouts_stay_bounded() -> None:
    features = agreement_features([CERTAIN, CERTAIN], [CERTAIN, [1.0] + [0.0] * 6])
    assert features[:, 1].tolist() == [6, 6]
    assert features[:, 2].tolist() == [6, -6]
    assert features[:, 5] == pytest.approx([0, 1])
    assert np.isfinite(features).all()


def test_a_calibration_without_coefficients_says_a_half() -> None:
    calibration = AgreementCalibration(CONFIG)
    assert calibration.probability([CERTAIN], [EVEN]).tolist() == [0.5]


def test_the_probability_is_the_logistic_of_the_weighed_features() -> None:
    calibration = AgreementCalibration(CONFIG)
    torch.manual_seed(0)
    torch.nn.init.normal_(calibration.coefficients)
    sides = noisy_pairs(20, seed=0, noise=1.0)
    found = calibration.probability(*sides)
    weights = calibration.coefficients.double().numpy()
    for row, likely in zip(agreement_features(*sides), found, strict=True):
        assert likely == pytest.approx(1 / (1 + math.exp(-float(row @ weights))))


def test_it_is_published_with_what_it_was_fitted_for(tmp_path: Path) -> None:
    store = ModelStore(tmp_path)
    calibration = AgreementCalibration(CONFIG)
    torch.nn.init.constant_(calibration.coefficients, 0.25)
    manifest = publish_untrained(store, calibration, name="agreement-x8")
    assert (manifest.architecture, manifest.scale) == ("agreement-calibration", 8)
    assert manifest.num_parameters == 13
    assert manifest.config["classifier"] == "emotion-ddamfn@1"
    loaded = store.load("agreement-x8").module
    assert isinstance(loaded, AgreementCalibration)
    assert loaded.config == CONFIG
    sides = noisy_pairs(5, seed=0, noise=1.0)
    assert loaded.probability(*sides).tolist() == calibration.probability(*sides).tolist()


def test_other_networks_than_those_it_was_fitted_for_are_refused() -> None:
    calibration = AgreementCalibration(CONFIG)
    calibration.require_fits(upscaler_sha256="a" * 64, classifier_sha256="b" * 64)
    with pytest.raises(
        CalibrationMismatchError,
        match=r"fitted for the classifier emotion-ddamfn@1 \(bbbbbbbbbbbb\), not for one of cccc",
    ):
        calibration.require_fits(upscaler_sha256="a" * 64, classifier_sha256="c" * 64)
    with pytest.raises(CalibrationMismatchError, match="fitted for the upscaler affectsrnet-x8@1"):
        calibration.require_fits(upscaler_sha256="c" * 64, classifier_sha256="b" * 64)


def test_a_scale_that_no_network_has_is_refused() -> None:
    with pytest.raises(ValueError, match="scale is 2; it must be 4 or 8"):
        AgreementCalibrationConfig(
            scale=2, upscaler="", upscaler_sha256="", classifier="", classifier_sha256=""
        )
