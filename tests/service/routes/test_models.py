import pytest

from service.engine.base import EngineDescription
from service.settings import Settings
from tests.fakes import NearestEngine, served_classifier
from tests.service.support import assert_problem, client_of

pytestmark = pytest.mark.anyio


async def test_models_are_listed_as_the_settings_order_them(
    settings: Settings, engine: NearestEngine
) -> None:
    async with client_of(settings, engine) as client:
        models = (await client.get("/v1/models")).json()["models"]
    assert [model["reference"] for model in models] == ["affectsrnet-x4@1", "affectsrnet-x8@1"]


async def test_engine_is_listed_with_those_that_were_passed_over(
    settings: Settings, engine: NearestEngine
) -> None:
    engine.description = EngineDescription(
        name="torch", device="cpu", dtype="bfloat16", passed_over={"openvino": "is not there"}
    )
    async with client_of(settings, engine) as client:
        listed = (await client.get("/v1/models")).json()
        metrics = (await client.get("/metrics")).text
    assert listed["engine"] == {
        "name": "torch",
        "device": "cpu",
        "dtype": "bfloat16",
        "passed_over": {"openvino": "is not there"},
    }
    expected = 'affectsr_engine_info{device="cpu",dtype="bfloat16",engine="torch"'
    assert expected + ',passed_over="openvino"} 1.0' in metrics


async def test_classifier_is_listed_with_what_it_tells_apart(settings: Settings) -> None:
    async with client_of(settings, NearestEngine(classifier=served_classifier())) as client:
        listed = (await client.get("/v1/models")).json()
    assert listed["classifier"] == {
        "name": "emotion-tiny",
        "version": "1",
        "sha256": "1" * 64,
        "num_parameters": 7,
        "expressions": ["neutral", "happy", "sad", "surprise", "fear", "disgust", "angry"],
        "metrics": {"accuracy": 0.875},
        "licence": "Apache-2.0",
    }


async def test_want_of_a_classifier_is_listed(settings: Settings, engine: NearestEngine) -> None:
    async with client_of(settings, engine) as client:
        assert (await client.get("/v1/models")).json()["classifier"] is None


@pytest.mark.parametrize("name", ["affectsrnet-x8", "affectsrnet-x8@1"])
async def test_one_model_is_shown_with_what_was_measured(
    name: str, settings: Settings, engine: NearestEngine
) -> None:
    async with client_of(settings, engine) as client:
        response = await client.get(f"/v1/models/{name}")
    assert response.json() == {
        "name": "affectsrnet-x8",
        "version": "1",
        "reference": "affectsrnet-x8@1",
        "scale": 8,
        "input_side_px": 16,
        "output_side_px": 128,
        "num_parameters": 7,
        "weights_sha256": "0" * 64,
        "metrics": {"psnr_gain_db": 3.5},
        "licence": "Apache-2.0",
    }


async def test_unknown_model_is_404(settings: Settings, engine: NearestEngine) -> None:
    async with client_of(settings, engine) as client:
        response = await client.get("/v1/models/srcnn")
    assert_problem(response, status=404, kind="unknown-model", says="model 'srcnn' is not served")
