import asyncio
import base64

import httpx
import numpy as np
import pytest
from PIL import Image

from service.engine.base import TileProposals
from service.errors import ItemFailedError
from service.settings import Settings
from tests.fakes import NearestEngine, served_detector
from tests.service.photo.drawn import RED, draw_photo, finding_engine, square
from tests.service.support import (
    as_array,
    as_file,
    assert_problem,
    client_of,
    form_files,
    noise,
    post_image,
)

pytestmark = pytest.mark.anyio

# Three faces, for x4, for x8, and too large for either.
FACES = ((20, 20, 32), (80, 30, 16), (110, 20, 60))


@pytest.fixture
def engine() -> NearestEngine:
    return finding_engine()


async def post_photo(
    client: httpx.AsyncClient,
    photo: np.ndarray | bytes,
    query: str = "",
    *,
    accept: str = "image/png",
) -> httpx.Response:
    data = photo if isinstance(photo, bytes) else as_file(photo)
    return await post_image(client, data, query=f"?mode=photo&{query}", Accept=accept)


def actions(response: httpx.Response) -> list[str]:
    assert response.status_code == 200, response.text
    return [face["action"] for face in response.json()["faces"]]


# --- what comes back ---


async def test_a_photo_comes_back_enlarged_with_its_faces_counted(
    settings: Settings, engine: NearestEngine
) -> None:
    async with client_of(settings, engine) as client:
        response = await post_photo(client, draw_photo(200, 120, *FACES))
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "image/png"
    assert as_array(response.content).shape == (240, 400, 3)
    assert response.headers["x-affectsr-mode"] == "photo"
    assert response.headers["x-affectsr-faces"] == "3"
    assert response.headers["x-affectsr-faces-upscaled"] == "2"
    stages = [part.partition(";")[0] for part in response.headers["server-timing"].split(", ")]
    assert stages == ["read", "decode", "detect", "queue", "infer", "paste", "encode", "total"]


async def test_json_tells_of_each_face_where_it_is_and_what_became_of_it(
    settings: Settings, engine: NearestEngine
) -> None:
    async with client_of(settings, engine) as client:
        response = await post_photo(
            client, draw_photo(200, 120, *FACES), "factor=4", accept="application/json"
        )
    body = response.json()
    image = as_array(base64.b64decode(body.pop("image_base64")))
    assert image.shape == (480, 800, 3)
    faces = body.pop("faces")
    assert body == {
        "request_id": response.headers["x-request-id"],
        "mode": "photo",
        "factor": 4,
        "background": "lanczos",
        "strength": 1.0,
        "input": {"width": 200, "height": 120},
        "output": {"width": 800, "height": 480},
        "alpha": "none",
        "media_type": "image/png",
        "faces_found": 3,
        "notes": [],
    }
    large, middle, small = faces
    assert (large["action"], large["model"], large["landmarks"]) == ("left-alone", None, None)
    assert "above 48 px" in large["reason"]
    assert large["readout"] == "none"
    assert [face["model"] for face in (middle, small)] == ["affectsrnet-x4@1", "affectsrnet-x8@1"]
    assert [face["scale"] for face in (middle, small)] == [4, 8]
    assert middle["reason"] is None
    assert middle["size_px"] == pytest.approx(32, abs=2)
    box = middle["box"]
    assert [box["x"], box["y"], box["width"]] == pytest.approx([20, 20, 32], abs=2)
    assert middle["detection_confidence"] == pytest.approx(0.95)
    assert middle["expression"]["result"]["expression"] == "neutral"
    assert [face["index"] for face in faces] == [0, 1, 2]


async def test_strength_0_is_the_plain_enlarged_photo(
    settings: Settings, engine: NearestEngine
) -> None:
    photo = draw_photo(120, 80, (20, 20, 32))
    wide = Image.fromarray(photo).resize((240, 80), Image.Resampling.LANCZOS)
    expected = np.asarray(wide.resize((240, 160), Image.Resampling.LANCZOS))
    async with client_of(settings, engine) as client:
        plain = await post_photo(client, photo, "strength=0")
        whole = await post_photo(client, photo)
    assert np.array_equal(as_array(plain.content), expected)
    assert not np.array_equal(as_array(whole.content), expected)


async def test_colours_outside_of_the_faces_are_those_of_the_enlarged_photo(
    settings: Settings, engine: NearestEngine
) -> None:
    async with client_of(settings, engine) as client:
        response = await post_photo(client, draw_photo(200, 120, *FACES))
    image = as_array(response.content)
    assert (image[200:] == 100).all()
    assert np.abs(image[72, 72].astype(int) - RED).max() <= 3


# --- which faces ---


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("faces=all", ["upscaled", "upscaled"]),
        ("faces=largest", ["upscaled", "not-selected"]),
        ("box=75,25,30,30", ["not-selected", "upscaled"]),
        ("box=75,25,30,30&box=0,0,60,60", ["upscaled", "upscaled"]),
        ("min_face_px=25", ["upscaled", "not-selected"]),
    ],
)
async def test_faces_are_chosen(
    settings: Settings, engine: NearestEngine, query: str, expected: list[str]
) -> None:
    async with client_of(settings, engine) as client:
        response = await post_photo(
            client, draw_photo(200, 120, *FACES[:2]), query, accept="application/json"
        )
    assert actions(response) == expected


async def test_a_scale_holds_for_every_face(settings: Settings, engine: NearestEngine) -> None:
    async with client_of(settings, engine) as client:
        response = await post_photo(
            client, draw_photo(200, 120, *FACES[:2]), "scale=8", accept="application/json"
        )
    assert [face["scale"] for face in response.json()["faces"]] == [8, 8]


async def test_the_readout_is_left_out_on_request(
    settings: Settings, engine: NearestEngine
) -> None:
    async with client_of(settings, engine) as client:
        response = await post_photo(
            client, draw_photo(120, 80, FACES[0]), "readout=none", accept="application/json"
        )
    [face] = response.json()["faces"]
    assert (face["readout"], face["expression"]) == ("none", None)


# --- what goes wrong ---


async def test_one_face_that_fails_is_left_alone_and_the_photo_is_returned(
    settings: Settings, engine: NearestEngine
) -> None:
    engine.is_poisoned = lambda crop: crop[len(crop) // 2, len(crop) // 2, 1] < 15
    photo = draw_photo(200, 120, *FACES[:2])
    photo[30:46, 80:96] = (230, 10, 20)
    async with client_of(settings, engine) as client:
        response = await post_photo(client, photo, accept="application/json")
    assert actions(response) == ["upscaled", "left-alone"]
    assert response.json()["faces"][1]["reason"] == "this image is poisoned"
    assert response.json()["faces"][1]["model"] is None


async def test_a_tile_that_fails_fails_the_photo(settings: Settings, engine: NearestEngine) -> None:
    engine.faces_in = lambda tile: ItemFailedError("this tile is poisoned")
    async with client_of(settings, engine) as client:
        response = await post_photo(client, draw_photo(120, 80))
    assert_problem(response, status=500, kind="item-failed", says="this tile is poisoned")


async def test_a_photo_without_a_face_is_refused_with_a_remedy(
    settings: Settings, engine: NearestEngine
) -> None:
    async with client_of(settings, engine) as client:
        response = await post_photo(client, draw_photo(300, 200))
    assert_problem(response, status=422, kind="no-face", says="no face was found in the photo of 3")
    assert "12 px" in response.json()["detail"]


async def test_more_faces_than_the_bound_are_told_in_a_note(engine: NearestEngine) -> None:
    settings = Settings(max_faces_per_photo=2, codec_threads=1)
    photo = draw_photo(300, 100, (10, 10, 20), (60, 10, 30), (120, 10, 40))
    async with client_of(settings, engine) as client:
        response = await post_photo(client, photo, accept="application/json")
    body = response.json()
    assert body["faces_found"] == 3
    assert [round(face["size_px"]) for face in body["faces"]] == pytest.approx([40, 30], abs=2)
    assert body["notes"] == [
        "3 faces were found; the 2 largest are dealt with, the others are enlarged like the rest "
        "of the photo"
    ]
    assert response.headers["x-affectsr-note"].startswith("3 faces were found")


async def test_many_faces_never_hold_more_of_the_queue_than_the_photo_was_admitted_for(
    engine: NearestEngine,
) -> None:
    # A queue that holds 17 refuses whoever sends more at once.
    settings = Settings(
        max_faces_per_photo=300, max_batch_size=4, queue_capacity=17, codec_threads=1
    )
    places = [(10 + 40 * x, 10 + 40 * y, 20) for x in range(10) for y in range(6)]
    async with client_of(settings, engine) as client:
        response = await post_photo(
            client,
            draw_photo(420, 260, *places),
            "readout=none&factor=1",
            accept="application/json",
        )
    assert actions(response) == ["upscaled"] * 60
    assert settings.photo_cost == 8
    assert max(len(batch) for batch in engine.batches) <= 4


async def test_a_photo_that_is_too_large_for_the_search_says_what_may_be_missed(
    engine: NearestEngine,
) -> None:
    settings = Settings(max_detection_pixels=10_000, codec_threads=1)
    async with client_of(settings, engine) as client:
        response = await post_photo(
            client, draw_photo(400, 200, (20, 20, 90)), accept="application/json"
        )
    [note] = response.json()["notes"]
    assert note == ("in a photo of this size faces whose crop is below 79 px may have been missed")


@pytest.mark.parametrize(
    ("size", "query", "says"),
    [
        ((120, 120), "", "image is 120 x 120 px, 14400 in all; at most 10000 are taken: scale"),
        ((90, 90), "factor=4", "would be 360 x 360 px, 129600 in all; at most 100000 are made"),
    ],
)
async def test_pixels_are_bounded_before_and_after(
    engine: NearestEngine, size: tuple[int, int], query: str, says: str
) -> None:
    settings = Settings(max_photo_pixels=10_000, max_photo_output_pixels=100_000, codec_threads=1)
    async with client_of(settings, engine) as client:
        response = await post_photo(client, draw_photo(*size), query)
    assert_problem(response, status=413, kind="image-too-large", says=says)


@pytest.mark.parametrize(
    ("query", "kind", "says"),
    [
        ("factor=3", "invalid-parameter", "factor is '3'; it must be 1 or 2 or 4"),
        ("faces=some", "invalid-parameter", "faces is 'some'; it must be all or largest"),
        ("strength=1.5", "invalid-parameter", "strength is '1.5'; it must be a number from 0 to 1"),
        ("strength=nan", "invalid-parameter", "strength is 'nan'"),
        ("min_face_px=0", "invalid-parameter", "min_face_px is '0'; it must be a number from 1"),
        ("box=1,2,3", "invalid-parameter", "box is '1,2,3'; it must be x,y,width,height"),
        ("box=1,2,0,4", "invalid-parameter", "its width and height must be above 0"),
        ("scale=3", "invalid-parameter", "scale is 3"),
        ("factor=2&factor=4", "conflicting-parameters", "factor is given as '2' and as '4'"),
        ("size=3", "unknown-parameter", "parameter 'size' is unknown"),
    ],
)
async def test_wrong_parameters_name_value_and_limit(
    settings: Settings, engine: NearestEngine, query: str, kind: str, says: str
) -> None:
    async with client_of(settings, engine) as client:
        response = await post_photo(client, draw_photo(120, 80, FACES[0]), query)
    assert_problem(response, status=422, kind=kind, says=says)


@pytest.mark.parametrize(
    ("query", "says"),
    [
        ("?mode=portrait", "mode is 'portrait'; it must be face or photo or auto"),
        ("?factor=2", "factor is given and mode is face"),
        ("?box=1,2,3,4", "box is given and mode is face"),
    ],
)
async def test_modes_are_told_apart(
    settings: Settings, engine: NearestEngine, query: str, says: str
) -> None:
    async with client_of(settings, engine) as client:
        response = await post_image(client, as_file(noise()), query=query)
    assert response.status_code == 422
    assert says in response.json()["detail"]


async def test_several_photos_at_once_are_refused(
    settings: Settings, engine: NearestEngine
) -> None:
    photo = as_file(draw_photo(120, 80, FACES[0]))
    async with client_of(settings, engine) as client:
        response = await client.post(
            "/v1/upscale", files=form_files(photo, photo), data={"mode": "photo"}
        )
    assert_problem(response, status=422, kind="too-many-images", says="send one photo a request")


async def test_without_a_detector_photos_are_refused(settings: Settings) -> None:
    async with client_of(settings, NearestEngine()) as client:
        response = await post_photo(client, draw_photo(120, 80))
    assert_problem(response, status=404, kind="no-face-detector", says="AFFECTSR_FACE_DETECTOR")


async def test_a_photo_that_finds_no_room_is_told_when_to_come_back(
    engine: NearestEngine,
) -> None:
    settings = Settings(queue_capacity=18, max_images_per_request=16, codec_threads=1)
    engine.may_run.clear()
    photo = as_file(draw_photo(120, 80, FACES[0]))
    async with client_of(settings, engine) as client:
        first = asyncio.create_task(post_photo(client, photo))
        while not engine.is_running.is_set():
            await asyncio.sleep(0)
        second = await post_photo(client, photo)
        engine.may_run.set()
        assert (await first).status_code == 200
    assert second.status_code == 429
    assert int(second.headers["retry-after"]) >= 1


# --- auto ---


async def test_auto_takes_a_photo_with_a_small_face_for_a_photo(
    settings: Settings, engine: NearestEngine
) -> None:
    async with client_of(settings, engine) as client:
        response = await post_image(
            client, as_file(draw_photo(120, 80, FACES[0])), query="?mode=auto"
        )
    assert response.headers["x-affectsr-mode"] == "photo"


@pytest.mark.parametrize(
    ("faces", "note"),
    [
        ((), "no face was found; upscaled as the crop of a face"),
        (((4, 4, 40),), "a face fills the image; upscaled as the crop of a face"),
    ],
)
async def test_auto_takes_anything_else_for_a_crop_and_says_so(
    settings: Settings, engine: NearestEngine, faces: tuple[tuple[int, int, int], ...], note: str
) -> None:
    async with client_of(settings, engine) as client:
        response = await post_image(client, as_file(draw_photo(48, 48, *faces)), query="?mode=auto")
    assert response.status_code == 200
    assert response.headers["x-affectsr-mode"] == "face"
    assert response.headers["x-affectsr-note"] == note
    assert response.headers["x-affectsr-model"] == "affectsrnet-x4@1"
    assert as_array(response.content).shape == (128, 128, 3)


async def test_auto_enlarges_a_face_that_a_network_would_reduce(
    settings: Settings, engine: NearestEngine
) -> None:
    photo = as_file(draw_photo(90, 90, (10, 10, 70)))
    async with client_of(settings, engine) as client:
        response = await post_image(client, photo, query="?mode=auto")
    assert response.status_code == 200
    assert response.headers["x-affectsr-mode"] == "photo"
    assert as_array(response.content).shape == (180, 180, 3)


async def test_auto_enlarges_a_photo_without_a_face_plainly_and_says_so(
    settings: Settings, engine: NearestEngine
) -> None:
    async with client_of(settings, engine) as client:
        response = await post_image(client, as_file(draw_photo(200, 120)), query="?mode=auto")
    assert response.status_code == 200
    assert response.headers["x-affectsr-mode"] == "photo"
    assert response.headers["x-affectsr-faces"] == "0"
    assert response.headers["x-affectsr-note"].startswith(
        "no face was found; the photo is enlarged by Lanczos alone"
    )
    assert as_array(response.content).shape == (240, 400, 3)


# --- kinds of pixels ---


@pytest.mark.parametrize(
    ("media_type", "treatment"), [("image/png", "kept"), ("image/jpeg", "on-white")]
)
async def test_transparency_is_enlarged_or_laid_on_white(
    settings: Settings, engine: NearestEngine, media_type: str, treatment: str
) -> None:
    photo = draw_photo(120, 80, FACES[0])
    rgba = np.dstack([photo, np.full(photo.shape[:2], 255, np.uint8)])
    rgba[60:, :, 3] = 0
    async with client_of(settings, engine) as client:
        response = await post_photo(client, as_file(Image.fromarray(rgba)), accept=media_type)
    assert response.headers["x-affectsr-alpha"] == treatment
    if treatment == "on-white":
        assert (as_array(response.content)[130:] > 250).all()


async def test_an_orientation_is_applied_before_faces_are_looked_for(
    settings: Settings, engine: NearestEngine
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter clockwise
    lying = Image.fromarray(np.rot90(draw_photo(120, 80, (20, 20, 32))).copy())
    async with client_of(settings, engine) as client:
        response = await post_photo(
            client, as_file(lying, "JPEG", quality=95, exif=exif), accept="application/json"
        )
    body = response.json()
    assert body["input"] == {"width": 120, "height": 80}
    [face] = body["faces"]
    assert [face["box"]["x"], face["box"]["y"]] == pytest.approx([20, 20], abs=3)


async def test_a_face_beyond_the_photos_border_is_upscaled_all_the_same(
    settings: Settings,
) -> None:
    engine = NearestEngine(detector=served_detector())
    engine.faces_in = lambda tile: TileProposals(proposals=(square(-6, -6, 30),))
    async with client_of(settings, engine) as client:
        response = await post_photo(client, noise(100, 80), accept="application/json")
    assert "upscaled" in actions(response)
