import base64
import io
import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from service.settings import Settings
from tests.fakes import NearestEngine
from tests.service.support import (
    URN,
    as_array,
    as_file,
    assert_problem,
    client_of,
    form_files,
    noise,
    plain,
    post_image,
)

pytestmark = pytest.mark.anyio


# --- one image ---


async def test_raw_body_comes_back_as_jpeg_of_the_upscaled_size(
    settings: Settings, engine: NearestEngine
) -> None:
    async with client_of(settings, engine) as client:
        response = await post_image(client, as_file(plain(90)))
    assert response.status_code == 200
    assert response.headers["content-type"] == "image/jpeg"
    image = as_array(response.content)
    assert image.shape == (128, 128, 3)
    assert np.abs(image.astype(int) - 90).max() <= 1


async def test_headers_tell_how_it_was_made(settings: Settings, engine: NearestEngine) -> None:
    async with client_of(settings, engine) as client:
        response = await post_image(client, as_file(noise(40, 48)))
    headers = response.headers
    assert headers["x-affectsr-model"] == "affectsrnet-x4@1"
    assert headers["x-affectsr-scale"] == "4"
    assert headers["x-affectsr-landmarks"] == "landmarker"
    assert headers["x-affectsr-landmark-confidence"] == "0.900"
    assert headers["x-affectsr-resampled"] == "40x48 -> 32x32"
    assert headers["x-affectsr-alpha"] == "none"
    assert headers["cache-control"] == "no-store"
    stages = [part.partition(";dur=")[0] for part in headers["server-timing"].split(", ")]
    assert stages == ["read", "decode", "queue", "infer", "encode", "total"]


async def test_image_of_the_grids_size_is_not_resampled(
    settings: Settings, engine: NearestEngine
) -> None:
    async with client_of(settings, engine) as client:
        response = await post_image(client, as_file(noise(32, 32)))
    assert response.headers["x-affectsr-resampled"] == "no"


async def test_multipart_and_raw_give_the_same(settings: Settings, engine: NearestEngine) -> None:
    data = as_file(noise())
    async with client_of(settings, engine) as client:
        raw = await post_image(client, data, accept="image/png")
        form = await client.post(
            "/v1/upscale", files=form_files(data), headers={"Accept": "image/png"}
        )
    assert raw.content == form.content


@pytest.mark.parametrize(
    ("side", "reference"),
    [(16, "affectsrnet-x8@1"), (22, "affectsrnet-x8@1"), (23, "affectsrnet-x4@1")],
)
async def test_scale_is_chosen_from_the_size(
    side: int, reference: str, settings: Settings, engine: NearestEngine
) -> None:
    async with client_of(settings, engine) as client:
        response = await post_image(client, as_file(noise(side, side)))
    assert response.headers["x-affectsr-model"] == reference


@pytest.mark.parametrize("query", ["?scale=8", "?model=affectsrnet-x8", "?model=affectsrnet-x8@1"])
async def test_parameters_in_the_query_choose_the_model(
    query: str, settings: Settings, engine: NearestEngine
) -> None:
    async with client_of(settings, engine) as client:
        response = await post_image(client, as_file(noise()), query=query)
    assert response.headers["x-affectsr-model"] == "affectsrnet-x8@1"


async def test_parameters_may_be_form_fields_and_repeat_each_other(
    settings: Settings, engine: NearestEngine
) -> None:
    async with client_of(settings, engine) as client:
        response = await client.post(
            "/v1/upscale?scale=8",
            files=form_files(as_file(noise())),
            data={"scale": "8", "model": "affectsrnet-x8"},
        )
    assert response.headers["x-affectsr-scale"] == "8"


@pytest.mark.parametrize(
    ("accept", "form"), [("image/png", "PNG"), ("image/webp", "WEBP"), ("image/jpeg", "JPEG")]
)
async def test_accept_decides_the_format(
    accept: str, form: str, settings: Settings, engine: NearestEngine
) -> None:
    async with client_of(settings, engine) as client:
        response = await post_image(client, as_file(noise()), accept=accept)
    assert response.headers["content-type"] == accept
    assert Image.open(io.BytesIO(response.content)).format == form


async def test_json_holds_the_image_and_its_fields(
    settings: Settings, engine: NearestEngine
) -> None:
    async with client_of(settings, engine) as client:
        response = await post_image(client, as_file(noise(40, 48)), accept="application/json")
    body = response.json()
    image = as_array(base64.b64decode(body.pop("image_base64")))
    assert image.shape == (128, 107, 3)
    assert body == {
        "model": "affectsrnet-x4@1",
        "scale": 4,
        "landmarks": "landmarker",
        "landmark_confidence": 0.9,
        "input": {"width": 40, "height": 48},
        "output": {"width": 107, "height": 128},
        "resampled": {
            "from": {"width": 40, "height": 48},
            "to": {"width": 32, "height": 32},
        },
        "alpha": "none",
        "media_type": "image/png",
        "readout": "no-classifier",
        "expression": None,
    }


async def test_alpha_is_kept_where_the_format_has_it(
    settings: Settings, engine: NearestEngine
) -> None:
    rgba = np.dstack([plain(10), plain(128)[..., 0]])
    async with client_of(settings, engine) as client:
        as_png = await post_image(client, as_file(Image.fromarray(rgba)), accept="image/png")
        as_jpeg = await post_image(client, as_file(Image.fromarray(rgba)))
    upscaled = np.asarray(Image.open(io.BytesIO(as_png.content)))
    assert upscaled.shape == (128, 128, 4)
    assert (upscaled[..., 3] == 128).all()
    assert as_png.headers["x-affectsr-alpha"] == "kept"
    assert as_jpeg.headers["x-affectsr-alpha"] == "on-white"


async def test_result_is_upright_and_uncropped_for_a_turned_photo(
    settings: Settings, engine: NearestEngine
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    async with client_of(settings, engine) as client:
        response = await post_image(client, as_file(Image.fromarray(noise(48, 32)), exif=exif))
    assert as_array(response.content).shape == (128, 85, 3)
    assert response.headers["x-affectsr-resampled"] == "32x48 -> 32x32"


async def test_callers_request_id_comes_back(settings: Settings, engine: NearestEngine) -> None:
    async with client_of(settings, engine) as client:
        taken = await post_image(client, as_file(noise()), x_request_id="abc-123")
        replaced = await post_image(client, as_file(noise()), x_request_id="bad id\tand more")
    assert taken.headers["x-request-id"] == "abc-123"
    assert len(replaced.headers["x-request-id"]) == 32


# --- several images ---


async def test_several_come_back_in_order_each_with_its_fields(
    settings: Settings, engine: NearestEngine
) -> None:
    files = [as_file(plain(level, side, side)) for level, side in ((10, 32), (20, 16), (30, 64))]
    async with client_of(settings, engine) as client:
        response = await client.post("/v1/upscale", files=form_files(*files))
    body = response.json()
    assert response.headers["content-type"] == "application/json"
    assert body["request_id"] == response.headers["x-request-id"]
    assert [item["index"] for item in body["items"]] == [0, 1, 2]
    results = [item["result"] for item in body["items"]]
    levels = [as_array(base64.b64decode(r["image_base64"]))[0, 0, 0] for r in results]
    assert levels == [10, 20, 30]
    assert [r["scale"] for r in results] == [4, 8, 4]


async def test_one_bad_image_hurts_no_other(settings: Settings, engine: NearestEngine) -> None:
    engine.is_poisoned = lambda image: bool(image[0, 0, 0] == 66)
    files = form_files(as_file(plain(10)), b"text", as_file(plain(66)), as_file(plain(20, 4, 4)))
    async with client_of(settings, engine) as client:
        response = await client.post("/v1/upscale", files=files)
    items = response.json()["items"]
    assert response.status_code == 200
    assert items[0]["result"]["landmarks"] == "landmarker"
    assert items[0]["problem"] is None
    problems = [item["problem"] for item in items[1:]]
    assert [problem["type"] for problem in problems] == [
        URN + "unsupported-image-format",
        URN + "item-failed",
        URN + "image-too-small",
    ]
    assert [problem["status"] for problem in problems] == [415, 500, 422]
    assert all(item["result"] is None for item in items[1:])


async def test_archive_holds_the_files_and_their_fields(
    settings: Settings, engine: NearestEngine
) -> None:
    files = form_files(as_file(plain(10)), b"text", as_file(plain(30)))
    async with client_of(settings, engine) as client:
        response = await client.post(
            "/v1/upscale", files=files, headers={"Accept": "application/zip"}
        )
    assert response.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        assert archive.namelist() == ["000.png", "002.png", "results.json"]
        assert as_array(archive.read("002.png"))[0, 0, 0] == 30
        items = json.loads(archive.read("results.json"))["items"]
    assert items[0]["result"]["file"] == "000.png"
    assert items[1]["problem"]["type"] == URN + "unsupported-image-format"


async def test_several_cannot_be_one_image(settings: Settings, engine: NearestEngine) -> None:
    files = form_files(as_file(noise()), as_file(noise()))
    async with client_of(settings, engine) as client:
        response = await client.post("/v1/upscale", files=files, headers={"Accept": "image/png"})
    assert_problem(
        response,
        status=406,
        kind="not-acceptable",
        says="several results can only be application/json or application/zip",
    )


async def test_form_may_end_without_a_line_break(settings: Settings, engine: NearestEngine) -> None:
    async with client_of(settings, engine) as client:
        request = client.build_request("POST", "/v1/upscale", files=form_files(as_file(noise())))
        response = await client.post(
            "/v1/upscale",
            content=request.read().rstrip(b"\r\n"),
            headers={"Content-Type": request.headers["content-type"]},
        )
    assert response.status_code == 200
