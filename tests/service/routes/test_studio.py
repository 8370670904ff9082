"""The web page as it is served; tests/service/studio looks at it in a browser."""

import json
import re
from pathlib import Path

import pytest

from service.app import create_app
from service.engine.base import ServedVersion
from service.lifecycle import State
from service.routes.services import services_in
from service.routes.studio import read_studio_files
from service.settings import Settings
from tests.fakes import NearestEngine, served_detector
from tests.service.access.keys import key_line
from tests.service.support import as_file, assert_problem, client_of, noise, post_image, running

pytestmark = pytest.mark.anyio

MAX_PAGE_BYTES = 60_000


async def test_page_and_all_that_it_names_are_served(
    settings: Settings, engine: NearestEngine
) -> None:
    async with client_of(settings, engine) as client:
        page = await client.get("/")
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        names = re.findall(r'(?:src|href)="studio/([^"]+)"', page.text)
        for name in names:  # grows by what the scripts import
            file = await client.get(f"/studio/{name}")
            assert file.status_code == 200, name
            assert file.headers["content-type"] in {
                "image/png", "image/svg+xml", "text/css; charset=utf-8",
                "text/javascript; charset=utf-8",
            }  # fmt: skip
            imported = re.findall(r'from "\./(\w+\.js)"', file.text) if ".js" in name else []
            names += [each for each in imported if each not in names]
    assert set(names) == set(read_studio_files()) - {"index.html"}


async def test_page_has_no_script_of_its_own_and_may_call_nobody_else(
    settings: Settings, engine: NearestEngine
) -> None:
    async with client_of(settings, engine) as client:
        page = await client.get("/")
        script = await client.get("/studio/main.js")
    for response in (page, script):
        policy = dict(
            part.strip().split(" ", 1)
            for part in response.headers["content-security-policy"].split(";")
        )
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert "unsafe" not in response.headers["content-security-policy"]
        assert response.headers["x-content-type-options"] == "nosniff"
        assert response.headers["referrer-policy"] == "no-referrer"
    assert re.findall(r"<script(?![^>]*\ssrc=)", page.text) == []
    assert re.findall(r"\s(?:style|on\w+)=", page.text) == []


def test_whole_page_is_light() -> None:
    assert sum(len(file.body) for file in read_studio_files().values()) < MAX_PAGE_BYTES


def test_sample_is_the_repositorys(samples: Path) -> None:
    assert read_studio_files()["sample.png"].body == (samples / "face_16px.png").read_bytes()


@pytest.mark.parametrize("path", ["/", "/studio/page.css"])
async def test_unchanged_file_is_not_sent_again(
    settings: Settings, engine: NearestEngine, path: str
) -> None:
    async with client_of(settings, engine) as client:
        first = await client.get(path)
        tag = first.headers["etag"]
        assert first.headers["cache-control"] == "no-cache"
        for known in (tag, f"W/{tag}", f'"another", {tag}'):
            again = await client.get(path, headers={"If-None-Match": known})
            assert (again.status_code, again.content) == (304, b"")
            assert again.headers["etag"] == tag
        changed = await client.get(path, headers={"If-None-Match": '"another"'})
        assert changed.content == first.content
        head = await client.head(path)
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-length"] == str(len(first.content))


@pytest.mark.parametrize("path", ["/studio/no.js", "/studio/..%2Fapp.py", "/studio/%2e%2e/app.py"])
async def test_nothing_but_the_pages_files_is_served(
    settings: Settings, engine: NearestEngine, path: str
) -> None:
    async with client_of(settings, engine) as client:
        response = await client.get(path)
    assert_problem(response, status=404, kind="not-found", says="nothing at this path")


async def test_page_can_be_switched_off(engine: NearestEngine) -> None:
    async with client_of(Settings(studio=False, codec_threads=1), engine) as client:
        for path in ("/", "/studio/main.js", "/studio/state"):
            assert (await client.get(path)).status_code == 404
        assert (await client.get("/docs")).status_code == 200
        assert (await post_image(client, as_file(noise()))).status_code == 200


async def test_page_needs_no_key_and_upscaling_does(engine: NearestEngine, tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_text(key_line("anna", "secret"))
    settings = Settings(api_keys_file=path, codec_threads=1, readout="none")
    async with client_of(settings, engine) as client:
        for open_path in ("/", "/studio/main.js", "/studio/state"):
            assert (await client.get(open_path)).status_code == 200
        assert (await post_image(client, as_file(noise()))).status_code == 401
        assert (await client.get("/v1/models")).status_code == 401


async def test_state_tells_readiness_and_how_full_the_service_is(engine: NearestEngine) -> None:
    settings = Settings(queue_capacity=17, codec_threads=1)
    app = create_app(settings, engine=engine)
    services = services_in(app)
    async with running(app) as client:
        assert services.admission is not None
        with services.admission.admit(3):
            response = await client.get("/studio/state")
        assert response.json() == {
            "status": "ready", "inflight": 3, "capacity": 16, "has_photo_mode": False
        }  # fmt: skip
        assert response.headers["cache-control"] == "no-store"
        services.lifecycle.device_stalled(is_stalled=True)
        assert (await client.get("/studio/state")).json()["status"] == "stalled"
        services.lifecycle.device_stalled(is_stalled=False)
        services.lifecycle.advance(State.DRAINING)
        assert (await client.get("/studio/state")).json()["status"] == "draining"


@pytest.mark.parametrize("detector", [None, served_detector()])
async def test_state_tells_whether_faces_are_found_in_photos(
    settings: Settings, detector: ServedVersion | None
) -> None:
    async with client_of(settings, NearestEngine(detector=detector)) as client:
        state = (await client.get("/studio/state")).json()
    assert state["has_photo_mode"] is (detector is not None)


async def test_page_is_no_part_of_the_documented_interface(
    settings: Settings, engine: NearestEngine
) -> None:
    async with client_of(settings, engine) as client:
        document = (await client.get("/openapi.json")).json()
    assert "/" not in document["paths"]
    assert "studio" not in json.dumps(document).lower()
