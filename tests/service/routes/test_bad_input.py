"""Every kind of bad input gets a clear 4xx, never a 500, and the service lives on."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest

from service.settings import Settings
from tests.fakes import NearestEngine
from tests.service.images.hostile import png_that_says
from tests.service.support import (
    as_file,
    assert_nothing_is_left_to_the_collector,
    assert_problem,
    client_of,
    form_files,
    noise,
    post_image,
)

pytestmark = pytest.mark.anyio


@pytest.fixture
async def client(engine: NearestEngine) -> AsyncIterator[httpx.AsyncClient]:
    """An application that must still serve a good image when the test is over."""
    settings = Settings(
        codec_threads=1,
        max_body_bytes=200_000,
        max_image_bytes=100_000,
        max_images_per_request=3,
        upload_timeout_ms=50,
        max_request_timeout_ms=60_000,
    )
    async with client_of(settings, engine) as client:
        with assert_nothing_is_left_to_the_collector():
            yield client
        response = await post_image(client, as_file(noise()))
        assert response.status_code == 200


IMAGES = {
    "text named .png": (b"I am a text", 415, "unsupported-image-format", "no JPEG, PNG or WebP"),
    "an empty file": (b"", 400, "empty-image", "has 0 bytes"),
    "truncated JPEG": (as_file(noise(), "JPEG")[:-300], 400, "corrupt-image", "ends early"),
    "1x1": (as_file(noise(1, 1)), 422, "image-too-small", "1 x 1 px; each side must be 8 to 1024"),
    "4x2000": (as_file(noise(4, 2000)), 422, "image-too-small", "image is 4 x 2000 px"),
    "9000x9000": (png_that_says(9000, 9000), 413, "image-too-large", "image is 9000 x 9000 px"),
    "a bomb": (png_that_says(60000, 60000), 413, "image-too-large", "image is 60000 x 60000 px"),
    "a strip": (as_file(noise(8, 800)), 422, "image-too-narrow", "at most 4 times"),
    "too many bytes": (bytes(100_001), 413, "image-too-large", "100001 bytes; at most 100000"),
    "a GIF": (as_file(noise(), "GIF"), 415, "unsupported-image-format", "convert the image"),
}


@pytest.mark.parametrize(("data", "status", "kind", "says"), IMAGES.values(), ids=IMAGES)
async def test_bad_image_in_a_form(
    client: httpx.AsyncClient, data: bytes, status: int, kind: str, says: str
) -> None:
    response = await client.post("/v1/upscale", files=form_files(data))
    assert_problem(response, status=status, kind=kind, says=says)


@pytest.mark.parametrize(
    ("data", "status", "kind", "says"),
    [case for case in IMAGES.values() if case[0]],
    ids=[name for name, case in IMAGES.items() if case[0]],
)
async def test_bad_image_as_the_body(
    client: httpx.AsyncClient, data: bytes, status: int, kind: str, says: str
) -> None:
    response = await post_image(client, data)
    assert_problem(response, status=status, kind=kind, says=says)


@pytest.mark.parametrize("content_type", ["image/png", "", "text/plain"])
async def test_empty_body(client: httpx.AsyncClient, content_type: str) -> None:
    response = await client.post(
        "/v1/upscale", headers={"Content-Type": content_type} if content_type else {}
    )
    assert_problem(response, status=400, kind="empty-body", says="the request holds no image")


async def test_form_without_an_image(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/upscale", files={"scale": (None, "4")})
    assert_problem(response, status=400, kind="empty-body", says="file parts named image")


@pytest.mark.parametrize("content_type", ["application/x-www-form-urlencoded", "text/plain"])
async def test_body_of_another_type(client: httpx.AsyncClient, content_type: str) -> None:
    response = await client.post(
        "/v1/upscale", content=as_file(noise()), headers={"Content-Type": content_type}
    )
    assert_problem(response, status=415, kind="unsupported-media-type", says=content_type)


@pytest.mark.parametrize(
    ("content", "content_type"),
    [
        (b"--x\r\nnonsense", "multipart/form-data; boundary=x"),
        (b"whatever", "multipart/form-data"),
        (
            b"--x\r\nContent-Disposition: form-data\r\n\r\n1\r\n--x--",
            "multipart/form-data; boundary=x",
        ),
        (b"\xff" * 500, "multipart/form-data; boundary=x"),
    ],
)
async def test_broken_form(client: httpx.AsyncClient, content: bytes, content_type: str) -> None:
    response = await client.post(
        "/v1/upscale", content=content, headers={"Content-Type": content_type}
    )
    assert_problem(response, status=400, kind="malformed-body", says="cannot be read")


async def test_form_that_ends_inside_its_second_image(client: httpx.AsyncClient) -> None:
    request = client.build_request(
        "POST", "/v1/upscale", files=form_files(as_file(noise()), as_file(noise()))
    )
    response = await client.post(
        "/v1/upscale",
        content=request.read()[:-200],
        headers={"Content-Type": request.headers["content-type"]},
    )
    assert_problem(
        response, status=400, kind="malformed-body", says="ends before its closing boundary"
    )


async def test_image_as_a_text_field(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/upscale", files={"image": (None, "pixels")})
    assert_problem(response, status=400, kind="malformed-body", says="send it as a file")


@pytest.mark.parametrize("scale", ["3", "16", "0"])
async def test_wrong_scale(client: httpx.AsyncClient, scale: str) -> None:
    response = await post_image(client, as_file(noise()), query=f"?scale={scale}")
    assert_problem(
        response, status=422, kind="invalid-parameter", says=f"scale is {scale}; it must be 4 or 8"
    )


@pytest.mark.parametrize("scale", ["four", "", "-4", "4.0", "4" * 5000, "%00"])
async def test_scale_that_is_no_number(client: httpx.AsyncClient, scale: str) -> None:
    response = await post_image(client, as_file(noise()), query=f"?scale={scale}")
    assert_problem(response, status=422, kind="invalid-parameter", says="it must be a number")
    assert len(response.json()["detail"]) < 200


async def test_unknown_model(client: httpx.AsyncClient) -> None:
    response = await post_image(client, as_file(noise()), query="?model=../../etc/passwd")
    assert_problem(
        response,
        status=404,
        kind="unknown-model",
        says="served: affectsrnet-x4@1, affectsrnet-x8@1",
    )


async def test_version_that_is_not_served(client: httpx.AsyncClient) -> None:
    response = await post_image(client, as_file(noise()), query="?model=affectsrnet-x4@7")
    assert_problem(response, status=404, kind="unknown-model", says="'affectsrnet-x4@7'")


async def test_field_given_twice_with_different_values(client: httpx.AsyncClient) -> None:
    response = await client.post(
        "/v1/upscale?scale=4", files=form_files(as_file(noise())), data={"scale": "8"}
    )
    assert_problem(
        response, status=422, kind="conflicting-parameters", says="scale is given as '4' and as '8'"
    )


async def test_model_and_scale_that_disagree(client: httpx.AsyncClient) -> None:
    query = "?scale=4&model=affectsrnet-x8"
    response = await post_image(client, as_file(noise()), query=query)
    assert_problem(
        response, status=422, kind="conflicting-parameters", says="leave one of the two out"
    )


@pytest.mark.parametrize("name", ["scal", "Scale", "format"])
async def test_unknown_parameter(client: httpx.AsyncClient, name: str) -> None:
    response = await post_image(client, as_file(noise()), query=f"?{name}=4")
    assert_problem(
        response,
        status=422,
        kind="unknown-parameter",
        says=f"'{name}' is unknown; known: mode, scale, model, readout",
    )


async def test_unknown_file_part(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/upscale", files={"photo": ("a.png", as_file(noise()))})
    assert_problem(response, status=422, kind="unknown-parameter", says="name the file parts image")


async def test_too_many_images(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/upscale", files=form_files(*[as_file(noise(8, 8))] * 4))
    assert_problem(response, status=422, kind="too-many-images", says="more than 3 files")


async def test_declared_body_over_the_cap_is_refused_unread(client: httpx.AsyncClient) -> None:
    async def never_read() -> AsyncIterator[bytes]:
        raise AssertionError("the body was read")
        yield b""

    response = await client.post(
        "/v1/upscale",
        content=never_read(),
        headers={"Content-Type": "image/png", "Content-Length": "200001"},
    )
    assert_problem(
        response, status=413, kind="body-too-large", says="200001 bytes; at most 200000 are taken"
    )
    assert response.headers["connection"] == "close"


@pytest.mark.parametrize("content_type", ["image/png", "multipart/form-data; boundary=x"])
async def test_undeclared_body_over_the_cap_is_refused_where_it_passes_it(
    client: httpx.AsyncClient, content_type: str
) -> None:
    num_sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal num_sent
        yield b'--x\r\nContent-Disposition: form-data; name="image"; filename="a"\r\n\r\n'
        while True:
            num_sent += 50_000
            yield bytes(50_000)

    response = await client.post(
        "/v1/upscale", content=endless(), headers={"Content-Type": content_type}
    )
    assert_problem(response, status=413, kind="body-too-large", says="more than the 200000 bytes")
    assert num_sent <= 250_000


async def test_slow_upload(client: httpx.AsyncClient) -> None:
    async def stalling() -> AsyncIterator[bytes]:
        yield as_file(noise())[:100]
        await never.wait()

    never = asyncio.Event()
    response = await client.post(
        "/v1/upscale", content=stalling(), headers={"Content-Type": "image/png"}
    )
    assert_problem(response, status=408, kind="slow-upload", says="within 50 ms", retryable=True)
    assert response.headers["connection"] == "close"


@pytest.mark.parametrize("value", ["0", "-1", "soon", "60001", "1.5", "9" * 30])
async def test_deadline_out_of_bounds(client: httpx.AsyncClient, value: str) -> None:
    response = await post_image(client, as_file(noise()), x_request_timeout_ms=value)
    assert_problem(
        response, status=422, kind="invalid-parameter", says="a whole number of 1 to 60000"
    )


async def test_accept_without_an_image(client: httpx.AsyncClient) -> None:
    response = await post_image(client, as_file(noise()), accept="text/html")
    assert_problem(
        response,
        status=406,
        kind="not-acceptable",
        says="the result can be image/jpeg, image/webp, image/png, application/json",
    )


async def test_unknown_path(client: httpx.AsyncClient) -> None:
    response = await client.get("/v1/upscale/../../secret")
    assert_problem(response, status=404, kind="not-found", says="/docs lists what there is")


async def test_wrong_method(client: httpx.AsyncClient) -> None:
    response = await client.get("/v1/upscale")
    assert_problem(response, status=405, kind="method-not-allowed", says="GET is not possible")
    assert response.headers["allow"] == "POST"


async def test_wrong_method_is_told_all_the_right_ones(client: httpx.AsyncClient) -> None:
    response = await client.put("/v1/ecm/sets/nightly")
    assert_problem(response, status=405, kind="method-not-allowed", says="PUT is not possible")
    assert response.headers["allow"] == "GET, DELETE"
