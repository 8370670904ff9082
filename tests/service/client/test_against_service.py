"""The client and the service together: what one sends the other reads, and the other way round."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest

from service.app import create_app
from service.client import AsyncClient, InvalidRequestError, NotFoundError, PhotoOptions
from service.settings import Settings
from tests.service.photo.drawn import draw_photo, finding_engine
from tests.service.support import as_array, as_file, noise

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def client_of(settings: Settings) -> AsyncIterator[AsyncClient]:
    app = create_app(settings, engine=finding_engine())
    async with (
        app.router.lifespan_context(app),
        AsyncClient("http://test", transport=httpx.ASGITransport(app=app)) as client,
    ):
        yield client


async def test_faces_are_upscaled_and_read(settings: Settings) -> None:
    async with client_of(settings) as client:
        assert await client.ready()
        result = await client.upscale(as_file(noise(40, 48)), scale=4)
        unread = await client.upscale(as_file(noise()), readout=False)
    assert as_array(result.image).shape == (128, 107, 3)
    assert result.fields.model == "affectsrnet-x4@1"
    assert result.fields.expression is not None
    assert unread.fields.readout == "none"


async def test_photo_comes_back_with_its_faces(settings: Settings) -> None:
    photo = as_file(draw_photo(200, 120, (20, 30, 32), (120, 40, 24)))
    async with client_of(settings) as client:
        result = await client.photo(
            photo, PhotoOptions(factor=2, boxes=[(0, 0, 80, 120)], min_face_px=10, strength=0.8)
        )
        with pytest.raises(InvalidRequestError) as raised:
            await client.photo(as_file(draw_photo(200, 120)))
    assert as_array(result.image).shape == (240, 400, 3)
    assert [face.action for face in result.fields.faces] == ["upscaled", "not-selected"]
    assert raised.value.kind == "no-face"


async def test_sets_are_added_to_once_and_forgotten(settings: Settings) -> None:
    pair = (as_file(noise(seed=1)), as_file(noise(seed=2)))
    async with client_of(settings) as client:
        for _ in range(2):
            reply = await client.ecm([pair], add_to_set="nightly", idempotency_key="one")
        assert reply.set is not None
        assert reply.set.replayed
        assert (await client.ecm_set("nightly")).ecm.n == 1
        assert [entry.name for entry in (await client.ecm_sets()).sets] == ["nightly"]
        await client.delete_ecm_set("nightly")
        with pytest.raises(NotFoundError):
            await client.ecm_set("nightly")


async def test_models_are_listed_and_shown(settings: Settings) -> None:
    async with client_of(settings) as client:
        names = [model.reference for model in (await client.models()).models]
        assert names == ["affectsrnet-x4@1", "affectsrnet-x8@1"]
        assert (await client.model("affectsrnet-x8@1")).scale == 8
        with pytest.raises(NotFoundError, match="served: affectsrnet-x4@1"):
            await client.model("esrgan")
