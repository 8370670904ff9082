"""From published networks and packs to a published calibration, and to its check in a report."""

from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from model_store.emotion.recoverability import AgreementCalibration
from model_store.landmarks.landmarker import Landmarker, LandmarkerConfig
from model_store.store import ModelStore
from tests.published import UNTRAINED, publish_untrained
from tests.tiny_baselines import tiny_baseline
from tests.tiny_classifiers import tiny_classifier
from tests.training.conftest import MakePack
from training.agreement import AgreementOptions, calibrate_agreement
from training.config import BlindDegradationConfig
from training.errors import PublishRefusedError, TrainingError
from training.evaluate import EvaluateOptions, evaluate, write_reports
from training.evaluation.agreement import AgreementCheck

pytestmark = pytest.mark.usefixtures("without_mediapipe")


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    store = ModelStore(tmp_path / "store")
    torch.manual_seed(0)
    publish_untrained(store, tiny_baseline("srcnn", scale=8), name="srcnn-x8")
    sizes = LandmarkerConfig(widths=(4, 4, 4, 4), blocks=(1, 1, 1, 1), num_coefficients=3)
    publish_untrained(store, Landmarker(sizes), name="landmarker")
    torch.manual_seed(1)
    classifier = tiny_classifier("mobilefacenet")
    # Untrained it sees one expression in everything; this has it see several.
    torch.nn.init.normal_(classifier.classes.weight, std=30.0)
    torch.nn.init.zeros_(classifier.classes.bias)
    publish_untrained(store, classifier, name="emotion-mobilefacenet")
    return store


@pytest.fixture
def options(make_pack: MakePack) -> AgreementOptions:
    make_pack("learnt", faces=40, validation=24)
    packs = make_pack("seen_by_nobody", faces=30, validation=0)
    return AgreementOptions(
        upscaler="srcnn-x8",
        packs=packs,
        fit=("learnt",),
        tests=("seen_by_nobody",),
        allow_worse="noise has no expression",
    )


def run(
    options: AgreementOptions, store: ModelStore, checks: list[AgreementCheck] | None = None
) -> AgreementCalibration:
    manifest = calibrate_agreement(
        options,
        store=store,
        target=store,
        notify=lambda line: None,
        show=lambda found: checks.extend(found) if checks is not None else None,
    )
    calibration = store.load(manifest.reference).module
    assert isinstance(calibration, AgreementCalibration)
    return calibration


def test_a_calibration_is_published_with_its_networks_and_its_check(
    store: ModelStore, options: AgreementOptions
) -> None:
    checks: list[AgreementCheck] = []
    calibration = run(options, store, checks)
    manifest = store.resolve("agreement-srcnn-x8@1")
    upscaler, classifier = store.resolve("srcnn-x8"), store.resolve("emotion-mobilefacenet")
    calibration.require_fits(
        upscaler_sha256=upscaler.weights_sha256, classifier_sha256=classifier.weights_sha256
    )
    assert (calibration.config.upscaler, calibration.config.scale) == ("srcnn-x8@1", 8)
    assert manifest.training.data == {"learnt:validation": 24}
    (check,) = checks
    assert check.faces == "seen_by_nobody"
    assert manifest.metrics["all/faces"] == check.reliability.share.n == 30
    assert manifest.metrics["all/brier"] == pytest.approx(check.reliability.brier.mean, abs=1e-5)


def test_an_evaluation_checks_the_calibration_of_its_models_and_of_no_others(
    store: ModelStore, options: AgreementOptions, tmp_path: Path
) -> None:
    checks: list[AgreementCheck] = []
    run(options, store, checks)
    torch.manual_seed(2)
    publish_untrained(store, tiny_baseline("edsr", scale=8), name="edsr-x8")
    asked = EvaluateOptions(
        models=("srcnn-x8", "edsr-x8"), packs=options.packs, tests=options.tests
    )
    evaluation = evaluate(asked, store=store, notify=lambda line: None)
    assert [check.title for check in evaluation.checks] == ["x8 srcnn-x8"]
    assert evaluation.checks[0].reliability == checks[0].reliability
    page = tmp_path / "page.html"
    write_reports(evaluation, title="Checked", json_path=None, html_path=page)
    assert "Is the expression recoverable?" in page.read_text()
    publish_untrained(store, tiny_classifier("ddamfn"), name="other")
    by_another = replace(asked, classifier="other")
    assert evaluate(by_another, store=store, notify=lambda line: None).checks == ()


def test_a_poor_fit_is_refused_unless_somebody_says_why(
    store: ModelStore, options: AgreementOptions
) -> None:
    # A calibration for noise does not hold on other noise.
    with pytest.raises(PublishRefusedError, match="the calibration is not published: its "):
        run(replace(options, allow_worse=None), store)
    assert store.versions("agreement-srcnn-x8") == []
    run(options, store)
    assert store.resolve("agreement-srcnn-x8").allowed_worse == "noise has no expression"


def test_what_cannot_be_calibrated_is_named(store: ModelStore, options: AgreementOptions) -> None:
    for change, message in (
        ({"upscaler": "runs/mine"}, "a calibration belongs to a published version"),
        ({"upscaler": "landmarker"}, "landmarker makes no images; name a network that upscales"),
        ({"classifier": "srcnn-x8"}, "--classifier srcnn-x8 is a srcnn, which reads no"),
        ({"fit": ("seen_by_nobody",)}, "seen_by_nobody has no validation slice to fit on"),
    ):
        with pytest.raises(TrainingError, match=message):
            run(replace(options, **change), store)  # type: ignore[arg-type]


def test_inputs_are_degraded_as_the_network_learnt_them(
    store: ModelStore, options: AgreementOptions
) -> None:
    config = {"degradation": {"kind": "blind", "blind": asdict(BlindDegradationConfig())}}
    twin = store.load("srcnn-x8").module
    published = publish_untrained(
        store, twin, name="affectsrnet-x8-real", training=replace(UNTRAINED, config=config)
    )
    clean, damaged = (
        run(replace(options, upscaler=name), store) for name in ("srcnn-x8", published.name)
    )
    # The same weights: what differs is what they were shown.
    assert store.resolve("srcnn-x8").weights_sha256 == published.weights_sha256
    assert not torch.equal(clean.coefficients, damaged.coefficients)
    assert store.versions("agreement-x8-real") == ["1"]
