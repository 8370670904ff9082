"""A zip archive of images as the body of POST /v1/upscale."""

import io
import json
import zipfile
from collections.abc import Mapping

import httpx
import pytest

from service.settings import Settings
from tests.fakes import NearestEngine
from tests.service.support import as_array, as_file, assert_problem, client_of, plain

pytestmark = pytest.mark.anyio


def packed(files: Mapping[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


async def post_archive(
    client: httpx.AsyncClient, data: bytes, *, accept: str = "*/*", query: str = ""
) -> httpx.Response:
    return await client.post(
        f"/v1/upscale{query}",
        content=data,
        headers={"Content-Type": "application/zip", "Accept": accept},
    )


async def test_archive_comes_back_as_one_with_folders_and_names_kept(
    settings: Settings, engine: NearestEngine
) -> None:
    files = {"b/two.jpg": as_file(plain(20), "JPEG"), "one.webp": as_file(plain(10), "WEBP")}
    async with client_of(settings, engine) as client:
        response = await post_archive(client, packed(files))
    assert response.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        assert archive.namelist() == ["b/two.png", "one.png", "results.json"]
        assert as_array(archive.read("b/two.png")).shape == (128, 128, 3)
        items = json.loads(archive.read("results.json"))["items"]
    assert [(item["name"], item["result"]["file"]) for item in items] == [
        ("b/two.jpg", "b/two.png"),
        ("one.webp", "one.png"),
    ]


async def test_archive_of_one_image_is_answered_as_an_archive_or_as_json(
    settings: Settings, engine: NearestEngine
) -> None:
    data = packed({"only.png": as_file(plain(1))})
    async with client_of(settings, engine) as client:
        as_zip = await post_archive(client, data)
        as_json = await post_archive(client, data, accept="application/json", query="?scale=8")
        as_jpeg = await post_archive(client, data, accept="image/jpeg")
    assert as_zip.headers["content-type"] == "application/zip"
    (item,) = as_json.json()["items"]
    assert (item["name"], item["result"]["scale"]) == ("only.png", 8)
    assert_problem(
        as_jpeg, status=406, kind="not-acceptable", says="the request holds an archive; several"
    )


async def test_file_that_is_no_image_is_a_problem_of_its_own(
    settings: Settings, engine: NearestEngine
) -> None:
    data = packed({"notes.txt": b"no image", "face.png": as_file(plain(5))})
    async with client_of(settings, engine) as client:
        response = await post_archive(client, data)
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        assert archive.namelist() == ["face.png", "results.json"]
        first, second = json.loads(archive.read("results.json"))["items"]
    assert first["problem"]["type"] == "urn:affectsr:problem:unsupported-image-format"
    assert second["problem"] is None


async def test_results_of_one_name_are_refused_before_any_work(
    settings: Settings, engine: NearestEngine
) -> None:
    image = as_file(plain(5))
    data = packed({"x.png": image, "a.jpg": image, "A.png": image})
    async with client_of(settings, engine) as client:
        refused = await post_archive(client, data)
        assert engine.batches == []
        as_json = await post_archive(client, data, accept="application/json")
    assert_problem(
        refused, status=422, kind="ambiguous-names", says="files 2 and 3 of the archive would get"
    )
    assert [item["name"] for item in as_json.json()["items"]] == ["x.png", "a.jpg", "A.png"]


async def test_archives_that_are_refused_say_why(engine: NearestEngine) -> None:
    settings = Settings(
        codec_threads=1, max_images_per_request=2, max_image_bytes=5000, max_body_bytes=6000
    )
    many = packed({f"{number}.png": b"x" for number in range(3)})
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("bomb.png", bytes(1_000_000))
    async with client_of(settings, engine) as client:
        broken = await post_archive(client, b"PK no archive")
        too_many = await post_archive(client, many)
        bomb = await post_archive(client, buffer.getvalue())
        empty = await post_archive(client, packed({}))
    assert_problem(broken, status=400, kind="corrupt-archive", says="pack it again")
    assert_problem(too_many, status=422, kind="too-many-images", says="one request may hold 2")
    assert_problem(bomb, status=413, kind="archive-too-large", says="1000000 bytes; at most 5000")
    assert_problem(empty, status=400, kind="empty-body", says="the archive holds no image")
