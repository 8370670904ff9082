import pytest

from service.app import create_app
from service.lifecycle import State
from service.routes.services import services_in
from service.settings import Settings
from tests.fakes import NearestEngine
from tests.service.support import as_file, assert_problem, client_of, noise, post_image, running

pytestmark = pytest.mark.anyio


async def test_probes_of_a_ready_service(settings: Settings, engine: NearestEngine) -> None:
    async with client_of(settings, engine) as client:
        for path in ("/livez", "/readyz"):
            response = await client.get(path)
            assert response.status_code == 200
            assert response.json() == {"status": "ready"}
    assert engine.is_warm
    assert engine.is_closed


async def test_draining_service_is_live_not_ready_and_still_works(
    settings: Settings, engine: NearestEngine
) -> None:
    app = create_app(settings, engine=engine)
    async with running(app) as client:
        services_in(app).lifecycle.advance(State.DRAINING)
        live, ready = await client.get("/livez"), await client.get("/readyz")
        assert live.json() == {"status": "draining"}
        assert_problem(
            ready, status=503, kind="not-ready", says="the service is draining", retryable=True
        )
        assert int(ready.headers["retry-after"]) >= 1
        assert "affectsr_ready 0.0" in (await client.get("/metrics")).text
        assert (await post_image(client, as_file(noise()))).status_code == 200


async def test_dead_service_says_so(settings: Settings, engine: NearestEngine) -> None:
    app = create_app(settings, engine=engine)
    async with running(app) as client:
        services_in(app).lifecycle.advance(State.DEAD)
        response = await client.get("/livez")
    assert_problem(
        response, status=503, kind="not-ready", says="restart the process", retryable=True
    )


async def test_metrics_count_what_happened(settings: Settings, engine: NearestEngine) -> None:
    async with client_of(settings, engine) as client:
        await post_image(client, as_file(noise()))
        await post_image(client, b"text")
        response = await client.get("/metrics")
    assert response.headers["content-type"].startswith("text/plain; version=")
    for line in (
        'affectsr_requests_total{code="200",route="/v1/upscale"} 1.0',
        'affectsr_requests_total{code="415",route="/v1/upscale"} 1.0',
        'affectsr_rejected_total{reason="unsupported-image-format"} 1.0',
        'affectsr_landmark_source_total{source="landmarker"} 1.0',
        'affectsr_stage_seconds_count{stage="total"} 1.0',
        "affectsr_batch_size_count 1.0",
        "affectsr_queue_depth 0.0",
        "affectsr_inflight 0.0",
        "affectsr_ready 1.0",
        'affectsr_model_info{model="affectsrnet-x4",sha256="' + "0" * 64 + '",version="1"} 1.0',
    ):
        assert line in response.text
    assert "process_resident_memory_bytes" in response.text


async def test_metrics_come_as_openmetrics_when_asked(
    settings: Settings, engine: NearestEngine
) -> None:
    async with client_of(settings, engine) as client:
        response = await client.get(
            "/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"}
        )
    assert response.headers["content-type"].startswith("application/openmetrics-text")
    assert response.text.endswith("# EOF\n")


async def test_unknown_paths_do_not_make_series(settings: Settings, engine: NearestEngine) -> None:
    async with client_of(settings, engine) as client:
        await client.get("/a-path-that-somebody-typed")
        response = await client.get("/metrics")
    assert "somebody" not in response.text
    assert 'affectsr_requests_total{code="404",route="unmatched"} 1.0' in response.text
