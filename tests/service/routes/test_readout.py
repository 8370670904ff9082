"""The expression readout of POST /v1/upscale."""

import pytest

from service.errors import ItemFailedError
from service.settings import Settings
from tests.fakes import NearestEngine, emotion_reading, served_classifier
from tests.service.support import as_file, assert_problem, client_of, noise, post_image
from tests.service.tiny_models import calibration_for

pytestmark = pytest.mark.anyio

NAMES = ("neutral", "happy", "sad", "surprise", "fear", "disgust", "angry")


@pytest.fixture
def engine() -> NearestEngine:
    """Reads "happy" in a result and "neutral", unsure of the face, in its input."""
    engine = NearestEngine(classifier=served_classifier())
    engine.emotion_of = lambda image: (
        emotion_reading(0.25, 0.75)
        if image is engine.batches[-1][0]
        else emotion_reading(0.625, 0.375, confidence=0.25)
    )
    return engine


async def test_headers_tell_expression_agreement_and_landmarks(
    settings: Settings, engine: NearestEngine
) -> None:
    async with client_of(settings, engine) as client:
        headers = (await post_image(client, as_file(noise()))).headers
    assert headers["x-affectsr-readout"] == "expression"
    assert headers["x-affectsr-classifier"] == "emotion-tiny@1"
    assert headers["x-affectsr-expression"] == "happy"
    assert headers["x-affectsr-expression-probability"] == "0.750"
    assert headers["x-affectsr-expression-landmarks"] == "landmarker"
    assert headers["x-affectsr-input-expression"] == "neutral"
    assert headers["x-affectsr-input-expression-probability"] == "0.625"
    assert headers["x-affectsr-input-expression-landmarks"] == "fallback"
    assert headers["x-affectsr-expression-agrees"] == "no"


async def test_json_tells_all_probabilities(settings: Settings, engine: NearestEngine) -> None:
    async with client_of(settings, engine) as client:
        response = await post_image(client, as_file(noise()), accept="application/json")
    body = response.json()
    assert body["readout"] == "expression"
    expression = body["expression"]
    assert expression["classifier"] == {
        "name": "emotion-tiny", "version": "1", "sha256": "1" * 64
    }  # fmt: skip
    assert expression["agrees"] is False
    result, given = expression["result"], expression["input"]
    assert tuple(result["probabilities"]) == NAMES
    assert result["probabilities"]["happy"] == 0.75
    assert result["expression"] == "happy"
    assert result["entropy"] == pytest.approx(0.5623, abs=1e-4)  # -1/4 ln 1/4 - 3/4 ln 3/4
    assert (given["landmarks"], given["landmark_confidence"]) == ("fallback", 0.25)


async def test_recoverability_is_told_where_a_calibration_fits(
    settings: Settings, engine: NearestEngine
) -> None:
    engine.calibrations["affectsrnet-x4@1"] = calibration_for("0" * 64, "1" * 64)
    async with client_of(settings, engine) as client:
        headers = (await post_image(client, as_file(noise()))).headers
        body = (await post_image(client, as_file(noise()), accept="application/json")).json()
    # The result is happy by 3 to 1: its log-odds, weighed by a half.
    probability = 1 / (1 + 3**-0.5)
    assert headers["x-affectsr-expression-recoverable"] == "no"
    assert headers["x-affectsr-expression-recoverable-probability"] == f"{probability:.3f}"
    assert body["expression"]["recoverable"] is False
    assert body["expression"]["recoverable_probability"] == pytest.approx(probability)


async def test_want_of_a_calibration_says_nothing_of_it(
    settings: Settings, engine: NearestEngine
) -> None:
    async with client_of(settings, engine) as client:
        response = await post_image(client, as_file(noise()))
        body = (await post_image(client, as_file(noise()), accept="application/json")).json()
    assert "x-affectsr-expression-recoverable" not in response.headers
    assert body["expression"]["recoverable"] is None


async def test_metrics_count_agreement_by_the_inputs_expression(
    settings: Settings, engine: NearestEngine
) -> None:
    async with client_of(settings, engine) as client:
        await post_image(client, as_file(noise()))
        engine.emotion_of = lambda image: emotion_reading(1.0)
        await post_image(client, as_file(noise()))
        metrics = (await client.get("/metrics")).text
    assert 'affectsr_expression_agreement_count{expression="neutral"} 2.0' in metrics
    assert 'affectsr_expression_agreement_sum{expression="neutral"} 1.0' in metrics
    assert 'affectsr_model_info{model="emotion-tiny",' in metrics


async def test_request_may_leave_it_out(settings: Settings, engine: NearestEngine) -> None:
    async with client_of(settings, engine) as client:
        response = await post_image(client, as_file(noise()), query="?readout=none")
    assert response.headers["x-affectsr-readout"] == "none"
    assert "x-affectsr-expression" not in response.headers
    assert len(engine.batches) == 1


async def test_setting_leaves_it_out_where_the_request_does_not_ask(
    engine: NearestEngine,
) -> None:
    settings = Settings(codec_threads=1, readout="none")
    async with client_of(settings, engine) as client:
        silent = await post_image(client, as_file(noise()))
        asked = await post_image(client, as_file(noise()), query="?readout=expression")
    assert silent.headers["x-affectsr-readout"] == "none"
    assert asked.headers["x-affectsr-readout"] == "expression"


async def test_want_of_a_classifier_is_said(settings: Settings) -> None:
    async with client_of(settings, NearestEngine()) as client:
        response = await post_image(client, as_file(noise()))
    assert response.status_code == 200
    assert response.headers["x-affectsr-readout"] == "no-classifier"


async def test_readout_that_fails_is_said_and_the_image_comes(
    settings: Settings, engine: NearestEngine
) -> None:
    engine.emotion_of = lambda image: ItemFailedError("no probabilities")
    async with client_of(settings, engine) as client:
        response = await post_image(client, as_file(noise()), accept="application/json")
    assert response.status_code == 200
    assert response.json()["readout"] == "failed"
    assert response.json()["expression"] is None


async def test_other_readouts_are_refused(settings: Settings, engine: NearestEngine) -> None:
    async with client_of(settings, engine) as client:
        response = await post_image(client, as_file(noise()), query="?readout=mood")
    assert_problem(
        response,
        status=422,
        kind="invalid-parameter",
        says="readout is 'mood'; it must be expression or none",
    )
