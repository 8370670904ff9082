"""POST /v1/ecm with pairs whose readings are known."""

import asyncio
import math

import httpx
import numpy as np
import pytest

from model_store.emotion.classifier import EMOTIONS
from model_store.emotion.ecm import bootstrap_interval, emotion_consistency, pair_measures
from model_store.image_tensor import RgbImage
from service.engine.base import EmotionReading
from service.routes.ecm_openapi import EXAMPLE
from service.schemas import EcmReply
from service.settings import Settings
from tests.fakes import NearestEngine, emotion_reading, served_classifier
from tests.service.support import as_file, client_of, plain, post_image

pytestmark = pytest.mark.anyio

CLASSIFIER = {"name": "emotion-tiny", "version": "1", "sha256": "1" * 64}

SIDES = ("original", "super_resolved")

# What is read in a plain image of a level: neutral and happy alone.
READINGS = {
    10: emotion_reading(0.75, 0.25),
    20: emotion_reading(0.25, 0.75),
    30: emotion_reading(0.5, 0.5),
    40: emotion_reading(0.75, 0.25, landmark_shift=0.02),
    50: emotion_reading(0.75, 0.25, confidence=0.25),
}


def read(image: RgbImage) -> EmotionReading:
    return READINGS[int(image[0, 0, 0])]


@pytest.fixture
def engine() -> NearestEngine:
    engine = NearestEngine(classifier=served_classifier())
    engine.emotion_of = read
    return engine


def form(*levels: tuple[int, int]) -> list[tuple[str, tuple[str, bytes, str]]]:
    """Pairs of (original, super-resolved), all originals first."""
    sides = zip(SIDES, zip(*levels, strict=True), strict=True)
    return [
        (side, (f"{level}.png", as_file(plain(level)), "image/png"))
        for side, side_levels in sides
        for level in side_levels
    ]


async def post_pairs(
    client: httpx.AsyncClient, *levels: tuple[int, int], query: str = "", **headers: str
) -> httpx.Response:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return await client.post(f"/v1/ecm{query}", files=form(*levels), headers=named)


def entropy_of(*probabilities: float) -> float:
    return -sum(p * math.log(p) for p in probabilities)


async def test_one_pair_has_both_readings_and_how_they_compare(
    settings: Settings, engine: NearestEngine
) -> None:
    async with client_of(settings, engine) as client:
        response = await post_pairs(client, (10, 30))
    assert response.status_code == 200
    body = response.json()
    assert body["request_id"] == response.headers["x-request-id"]
    assert body["classifier"] == CLASSIFIER
    (pair,) = body["pairs"]
    assert pair["index"] == 0
    original = pair["original"]
    assert tuple(original["probabilities"]) == EMOTIONS
    assert original["probabilities"]["neutral"] == 0.75
    assert original["expression"] == "neutral"
    assert original["entropy"] == pytest.approx(entropy_of(0.75, 0.25))
    assert original["landmarks"] == "landmarker"
    assert original["landmark_confidence"] == 0.9
    assert pair["super_resolved"]["probabilities"]["happy"] == 0.5
    difference = math.log(2) - entropy_of(0.75, 0.25)
    assert pair["entropy_difference"] == pytest.approx(difference)
    between = entropy_of(0.625, 0.375) - (entropy_of(0.75, 0.25) + math.log(2)) / 2
    assert pair["jensen_shannon"] == pytest.approx(between)
    assert pair["top1_agrees"] is True
    shift = pair["probability_shift"]
    assert (shift["neutral"], shift["happy"], shift["sad"]) == (-0.25, 0.25, 0)
    assert pair["landmark_distance"] == 0


async def test_metric_of_one_pair_is_the_literal_value(
    settings: Settings, engine: NearestEngine
) -> None:
    async with client_of(settings, engine) as client:
        body = (await post_pairs(client, (10, 30))).json()
    # Two classes move to another bin of width 0.1: 2 x (10^2 + 10^2).
    l_conf = math.log(2) - entropy_of(0.75, 0.25)
    assert body["ecm"]["l_h"] == 400
    assert body["ecm"]["l_conf"] == pytest.approx(l_conf)
    assert body["ecm"]["value"] == pytest.approx(200 + math.log(l_conf))
    assert (body["ecm"]["n"], body["ecm"]["degenerate"]) == (1, False)
    assert body["interval"] is None
    assert body["set"] is None


async def test_equal_entropies_are_degenerate_not_a_number_of_ours(
    settings: Settings, engine: NearestEngine
) -> None:
    async with client_of(settings, engine) as client:
        body = (await post_pairs(client, (10, 20))).json()
    assert body["ecm"] == {"value": None, "l_h": 400, "l_conf": 0, "n": 1, "degenerate": True}
    assert body["pairs"][0]["top1_agrees"] is False


async def test_several_pairs_give_the_metric_of_the_set_and_a_row_each(
    settings: Settings, engine: NearestEngine
) -> None:
    async with client_of(settings, engine) as client:
        body = (await post_pairs(client, (10, 30), (20, 20), (30, 30))).json()
    assert [pair["index"] for pair in body["pairs"]] == [0, 1, 2]
    assert [pair["original"]["expression"] for pair in body["pairs"]] == [
        "neutral", "happy", "neutral"
    ]  # fmt: skip
    # One of three pairs moves: each of four bins differs by 1 / (3 x 0.1).
    assert body["ecm"]["l_h"] == pytest.approx(4 * (10 / 3) ** 2)
    assert body["ecm"]["l_conf"] == pytest.approx((math.log(2) - entropy_of(0.75, 0.25)) / 3)
    assert body["ecm"]["n"] == 3
    assert body["interval"]["method"] == "bootstrap"
    assert body["interval"]["low"] <= body["interval"]["high"]


async def test_sides_may_be_interleaved_and_of_different_sizes(
    settings: Settings, engine: NearestEngine
) -> None:
    images = [plain(10, 32, 32), plain(30, 128, 96), plain(20, 64, 64), plain(20, 16, 16)]
    names = ["original", "super_resolved"] * 2
    files = [(name, ("x", as_file(image))) for name, image in zip(names, images, strict=True)]
    async with client_of(settings, engine) as client:
        body = (await client.post("/v1/ecm", files=files)).json()
    assert [pair["top1_agrees"] for pair in body["pairs"]] == [True, True]
    assert body["pairs"][1]["original"]["expression"] == "happy"


async def test_landmark_distance_is_in_distances_between_the_eyes(
    settings: Settings, engine: NearestEngine
) -> None:
    async with client_of(settings, engine) as client:
        body = (await post_pairs(client, (10, 40))).json()
    # Everything moved by 0.02 of the crop, the outer eye corners are 0.4 apart.
    assert body["pairs"][0]["landmark_distance"] == pytest.approx(0.05, abs=1e-6)


async def test_fallback_landmarks_are_said_and_have_no_distance(
    settings: Settings, engine: NearestEngine
) -> None:
    async with client_of(settings, engine) as client:
        response = await post_pairs(client, (10, 50))
    assert response.status_code == 200
    (pair,) = response.json()["pairs"]
    assert pair["original"]["landmarks"] == "landmarker"
    assert pair["super_resolved"]["landmarks"] == "fallback"
    assert pair["super_resolved"]["landmark_confidence"] == 0.25
    assert pair["landmark_distance"] is None


async def test_all_images_of_a_request_share_batches(
    settings: Settings, engine: NearestEngine
) -> None:
    files = [
        (side, ("x", as_file(plain(level, 32 + n, 40))))
        for n in range(8)
        for side, level in zip(SIDES, (10, 30), strict=True)
    ]
    async with client_of(settings, engine) as client:
        engine.may_run.clear()
        posted = asyncio.create_task(client.post("/v1/ecm", files=files))
        while not engine.is_running.is_set():
            await asyncio.sleep(0.005)
        engine.may_run.set()
        assert (await posted).status_code == 200
    assert sum(map(len, engine.batches)) == 16
    assert max(map(len, engine.batches)) == settings.max_batch_size


async def test_equal_images_are_read_once_so_that_nothing_differs_by_rounding(
    settings: Settings, engine: NearestEngine
) -> None:
    async with client_of(settings, engine) as client:
        body = (await post_pairs(client, (10, 10), (20, 20), (10, 20))).json()
    assert sorted(int(image[0, 0, 0]) for batch in engine.batches for image in batch) == [10, 20]
    assert [pair["entropy_difference"] for pair in body["pairs"][:2]] == [0, 0]
    assert body["pairs"][2]["original"]["expression"] == "neutral"
    assert body["pairs"][2]["super_resolved"]["expression"] == "happy"


async def test_equal_bytes_of_another_shape_are_another_image(
    settings: Settings, engine: NearestEngine
) -> None:
    images = (plain(10, 32, 64), plain(10, 64, 32))
    files = [(side, ("x", as_file(image))) for side, image in zip(SIDES, images, strict=True)]
    async with client_of(settings, engine) as client:
        assert (await client.post("/v1/ecm", files=files)).status_code == 200
    assert sum(map(len, engine.batches)) == 2


async def test_upscaling_and_comparing_share_one_admission(engine: NearestEngine) -> None:
    settings = Settings(queue_capacity=5, max_images_per_request=4, codec_threads=1)
    async with client_of(settings, engine) as client:
        engine.may_run.clear()
        posted = asyncio.create_task(post_pairs(client, (10, 30)))
        while "affectsr_inflight 2.0" not in (await client.get("/metrics")).text:
            await asyncio.sleep(0.005)
        refused = await post_pairs(client, (10, 30), (10, 30))
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 1
        assert "2 images are being worked on and 4 more" in refused.json()["detail"]
        also = asyncio.create_task(post_image(client, as_file(plain(10)), query="?readout=none"))
        while "affectsr_inflight 3.0" not in (await client.get("/metrics")).text:
            await asyncio.sleep(0.005)
        assert (await post_pairs(client, (10, 30))).status_code == 429
        engine.may_run.set()
        assert (await posted).status_code == 200
        assert (await also).status_code == 200


async def test_reply_tells_the_time_of_each_stage(
    settings: Settings, engine: NearestEngine
) -> None:
    async with client_of(settings, engine) as client:
        headers = (await post_pairs(client, (10, 30))).headers
    stages = [part.partition(";dur=")[0] for part in headers["server-timing"].split(", ")]
    assert stages == ["read", "decode", "queue", "infer", "total"]
    assert headers["cache-control"] == "no-store"


async def test_expired_deadline_is_504(settings: Settings, engine: NearestEngine) -> None:
    async with client_of(settings, engine) as client:
        engine.may_run.clear()
        response = await post_pairs(client, (10, 30), X_Request_Timeout_Ms="30")
        engine.may_run.set()
    assert response.status_code == 504


async def test_openapi_document_tells_all_of_it(settings: Settings, engine: NearestEngine) -> None:
    async with client_of(settings, engine) as client:
        document = (await client.get("/openapi.json")).json()
    operation = document["paths"]["/v1/ecm"]["post"]
    content = operation["requestBody"]["content"]["multipart/form-data"]
    assert content["schema"]["required"] == ["original", "super_resolved"]
    assert {p["name"] for p in operation["parameters"]} == {
        "set", "Idempotency-Key", "X-Request-Timeout-Ms"
    }  # fmt: skip
    assert {"200", "404", "409", "415", "422", "429", "503"} <= set(operation["responses"])
    assert set(document["paths"]["/v1/ecm/sets/{name}"]) == {"get", "delete"}
    assert "get" in document["paths"]["/v1/ecm/sets"]
    assert operation["responses"]["200"]["content"]["application/json"]["example"] == EXAMPLE
    EcmReply.model_validate(EXAMPLE)


def test_example_of_the_documentation_adds_up() -> None:
    pairs = EXAMPLE["pairs"]
    sides = [[list(pair[side]["probabilities"].values()) for pair in pairs] for side in SIDES]
    result, interval = emotion_consistency(*sides), bootstrap_interval(*sides)
    assert interval is not None
    assert EXAMPLE["ecm"] == {
        "value": pytest.approx(result.ecm, abs=1e-5),
        "l_h": result.l_h,
        "l_conf": pytest.approx(result.l_conf, abs=1e-5),
        "n": 2,
        "degenerate": False,
    }
    assert EXAMPLE["interval"]["low"] == pytest.approx(interval.low, abs=1e-5)
    assert EXAMPLE["interval"]["high"] == pytest.approx(interval.high, abs=1e-5)
    measures = pair_measures(*sides)
    for index, pair in enumerate(pairs):
        for name in ("entropy_difference", "jensen_shannon"):
            assert pair[name] == pytest.approx(getattr(measures, name)[index], abs=1e-5)
        shift = list(pair["probability_shift"].values())
        assert shift == pytest.approx(measures.probability_shift[index])
        for side, rows in zip(SIDES, sides, strict=True):
            assert pair[side]["entropy"] == pytest.approx(entropy_of(*rows[index]), abs=1e-5)


async def test_probabilities_are_given_to_the_last_bit(
    settings: Settings, engine: NearestEngine
) -> None:
    thirds = np.float64(np.float32(1) / np.float32(3))
    engine.emotion_of = lambda image: emotion_reading(*[thirds] * 3)
    async with client_of(settings, engine) as client:
        body = (await post_pairs(client, (10, 30))).json()
    assert body["pairs"][0]["original"]["probabilities"]["sad"] == thirds
