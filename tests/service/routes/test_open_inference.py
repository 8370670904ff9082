import pytest

from service.app import create_app
from service.lifecycle import State
from service.routes.services import services_in
from service.settings import Settings
from tests.fakes import NearestEngine
from tests.service.support import assert_problem, client_of, running

pytestmark = pytest.mark.anyio


async def test_health_follows_the_probes(settings: Settings, engine: NearestEngine) -> None:
    app = create_app(settings, engine=engine)
    async with running(app) as client:
        assert (await client.get("/v2/health/live")).json() == {"live": True}
        assert (await client.get("/v2/health/ready")).json() == {"ready": True}
        services_in(app).lifecycle.advance(State.DRAINING)
        assert (await client.get("/v2/health/live")).json() == {"live": True}
        ready = await client.get("/v2/health/ready")
        assert_problem(
            ready, status=503, kind="not-ready", says="the service is draining", retryable=True
        )


async def test_server_says_its_name(settings: Settings, engine: NearestEngine) -> None:
    async with client_of(settings, engine) as client:
        body = (await client.get("/v2")).json()
    assert body["name"] == "affectsr"
    assert body["extensions"] == []


@pytest.mark.parametrize("path", ["affectsrnet-x8", "affectsrnet-x8/versions/1"])
async def test_model_is_described_by_name_and_version(
    path: str, settings: Settings, engine: NearestEngine
) -> None:
    async with client_of(settings, engine) as client:
        body = (await client.get(f"/v2/models/{path}")).json()
        ready = (await client.get(f"/v2/models/{path}/ready")).json()
    assert body == {
        "name": "affectsrnet-x8",
        "versions": ["1"],
        "platform": "pytorch",
        "inputs": [{"name": "image", "datatype": "UINT8", "shape": [-1, -1, 3]}],
        "outputs": [{"name": "image", "datatype": "UINT8", "shape": [-1, -1, 3]}],
    }
    assert ready == {"name": "affectsrnet-x8", "ready": True}


@pytest.mark.parametrize("path", ["other", "affectsrnet-x8/versions/2", "other/ready"])
async def test_model_that_is_not_served_is_not_found(
    path: str, settings: Settings, engine: NearestEngine
) -> None:
    async with client_of(settings, engine) as client:
        response = await client.get(f"/v2/models/{path}")
    assert_problem(response, status=404, kind="unknown-model", says="is not served here")


async def test_model_of_a_draining_service_is_not_ready(
    settings: Settings, engine: NearestEngine
) -> None:
    app = create_app(settings, engine=engine)
    async with running(app) as client:
        services_in(app).lifecycle.advance(State.DRAINING)
        response = await client.get("/v2/models/affectsrnet-x4/ready")
        assert response.status_code == 503
        assert (await client.get("/v2/models/affectsrnet-x4")).status_code == 200
