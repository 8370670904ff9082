"""Bad input to POST /v1/ecm gets a 4xx that says which image and what to do."""

from collections.abc import AsyncIterator

import httpx
import pytest

from service.errors import ItemFailedError
from service.settings import Settings
from tests.fakes import NearestEngine, emotion_reading, served_classifier
from tests.service.routes.test_ecm import form, post_pairs
from tests.service.support import (
    as_file,
    assert_nothing_is_left_to_the_collector,
    assert_problem,
    client_of,
    noise,
    plain,
)

pytestmark = pytest.mark.anyio

FACELESS, POISONED = 66, 77


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    """An application that must still compare a good pair when the test is over."""
    engine = NearestEngine(classifier=served_classifier())
    engine.emotion_of = lambda image: {
        FACELESS: emotion_reading(1.0, confidence=0.004),
        POISONED: ItemFailedError("the classifier gave no probabilities for this image"),
    }.get(int(image[0, 0, 0]), emotion_reading(0.5, 0.5))
    settings = Settings(
        codec_threads=1, max_body_bytes=200_000, max_image_bytes=100_000, max_images_per_request=6
    )
    async with client_of(settings, engine) as client:
        with assert_nothing_is_left_to_the_collector():
            yield client
        assert (await post_pairs(client, (10, 30))).status_code == 200


def part(name: str, data: bytes) -> tuple[str, tuple[str, bytes]]:
    return name, ("a-name-that-no-answer-repeats", data)


GOOD = as_file(plain(10))


@pytest.mark.parametrize(("originals", "results"), [(2, 1), (1, 3), (1, 0), (0, 2)])
async def test_unequal_counts_are_told(
    client: httpx.AsyncClient, originals: int, results: int
) -> None:
    files = [part("original", GOOD)] * originals + [part("super_resolved", GOOD)] * results
    response = await client.post("/v1/ecm", files=files)
    assert_problem(
        response,
        status=422,
        kind="unpaired-images",
        says=f"{originals} files named original and {results} named super_resolved",
    )


async def test_images_without_a_face_are_all_named(client: httpx.AsyncClient) -> None:
    response = await post_pairs(client, (10, 20), (FACELESS, 20), (10, FACELESS))
    assert_problem(
        response,
        status=422,
        kind="no-face",
        says="no face was found in original 1 (confidence 0.004), super_resolved 2 (confidence "
        "0.004); a face has a confidence of at least 0.02",
    )


async def test_only_pair_without_a_face_needs_no_number(client: httpx.AsyncClient) -> None:
    response = await post_pairs(client, (10, FACELESS))
    assert_problem(response, status=422, kind="no-face", says="found in super_resolved (confid")


@pytest.mark.parametrize(
    ("data", "status", "kind", "says"),
    [
        (b"I am a text", 415, "unsupported-image-format", "super_resolved 1: "),
        (b"", 400, "empty-image", "super_resolved 1: "),
        (as_file(noise(), "JPEG")[:-300], 400, "corrupt-image", "super_resolved 1: the JPEG"),
        (as_file(noise(4, 4)), 422, "image-too-small", "super_resolved 1: image is 4 x 4 px"),
        (bytes(100_001), 413, "image-too-large", "super_resolved 1: the image has 100001 bytes"),
        (as_file(plain(POISONED)), 500, "item-failed", "super_resolved 1: the classifier gave no"),
    ],
)
async def test_image_that_cannot_be_read_is_named(
    client: httpx.AsyncClient, data: bytes, status: int, kind: str, says: str
) -> None:
    files = [
        part("original", GOOD),
        part("original", GOOD),
        part("super_resolved", GOOD),
        part("super_resolved", data),
    ]
    response = await client.post("/v1/ecm", files=files)
    assert_problem(response, status=status, kind=kind, says=says)
    assert "a-name-that" not in response.text


async def test_too_many_images(client: httpx.AsyncClient) -> None:
    response = await post_pairs(client, *[(10, 20)] * 4)
    assert_problem(response, status=422, kind="too-many-images", says="more than 6 files")


async def test_form_without_a_file(client: httpx.AsyncClient) -> None:
    response = await client.post(
        "/v1/ecm",
        content=b"--x--\r\n",
        headers={"Content-Type": "multipart/form-data; boundary=x"},
    )
    assert_problem(response, status=400, kind="empty-body", says="one of each for every pair")


async def test_image_as_the_body(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/ecm", content=GOOD, headers={"Content-Type": "image/png"})
    assert_problem(
        response,
        status=415,
        kind="unsupported-media-type",
        says="Content-Type is 'image/png'; send multipart/form-data with file parts named original",
    )


async def test_unknown_file_part(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/ecm", files=[part("image", GOOD)])
    assert_problem(response, status=422, kind="unknown-parameter", says="'image' is unknown; name")


async def test_image_as_a_text_field(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/ecm", files={"original": (None, "pixels")})
    assert_problem(response, status=400, kind="malformed-body", says="send it as a file")


async def test_set_as_a_form_field(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/ecm", files=form((10, 20)), data={"set": "a"})
    assert_problem(response, status=422, kind="unknown-parameter", says="set goes into the query")


async def test_unknown_parameter(client: httpx.AsyncClient) -> None:
    response = await post_pairs(client, (10, 20), query="?name=a")
    assert_problem(response, status=422, kind="unknown-parameter", says="'name' is unknown; known")


async def test_two_sets(client: httpx.AsyncClient) -> None:
    response = await post_pairs(client, (10, 20), query="?set=a&set=b")
    assert_problem(
        response, status=422, kind="conflicting-parameters", says="set is given as 'a' and as 'b'"
    )


@pytest.mark.parametrize("key", ["", "a b", "k" * 129, "\t"])
async def test_idempotency_key_of_the_wrong_form(client: httpx.AsyncClient, key: str) -> None:
    response = await post_pairs(client, (10, 20), query="?set=a", Idempotency_Key=key)
    assert_problem(
        response, status=422, kind="invalid-parameter", says="1 to 128 visible ASCII characters"
    )


async def test_want_of_a_classifier_says_how_to_get_one(settings: Settings) -> None:
    async with client_of(settings, NearestEngine()) as client:
        response = await post_pairs(client, (10, 20))
    assert_problem(
        response,
        status=404,
        kind="no-classifier",
        says="the operator names one in AFFECTSR_EMOTION_MODEL",
    )
