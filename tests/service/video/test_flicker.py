"""A still face, filmed with a camera's noise, flickers hardly more upscaled than before.

Measured with the published networks: the mean difference of pixels from frame to frame, in the
face, of the result and of the clip enlarged by Lanczos.
"""

from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model_store.image_tensor import RgbImage
from model_store.store import ModelStore
from service.engine.loading import load_engine
from service.engine_room import EngineRoom, open_engine_room
from service.lifecycle import Lifecycle
from service.metrics import Metrics
from service.settings import Settings
from service.video.crop_frames import CropFrames
from service.video.frames import FrameUpscaler, VideoOptions
from service.video.photo_frames import PhotoFrames

pytestmark = pytest.mark.anyio

NUM_FRAMES = 7
# By then the filters have seen what is there.
FIRST_MEASURED = 3
NOISE_LEVELS = 1.5
MOST = 1.2


@pytest.fixture(scope="module")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="module")
def settings() -> Settings:
    # The network that faces of this size are given, and no other, is loaded and compared.
    return Settings(
        engine="torch",
        models=["affectsrnet-x4"],
        emotion_model="",
        codec_threads=2,
        device_stall_seconds=600,
    )


@pytest.fixture(scope="module")
async def room(settings: Settings) -> AsyncIterator[EngineRoom]:
    async with open_engine_room(
        settings,
        lambda: load_engine(ModelStore(), settings),
        metrics=Metrics(max_batch_size=1),
        lifecycle=Lifecycle(),
        warm_up=False,
    ) as room:
        yield room


@pytest.fixture
def face(samples: Path) -> Image.Image:
    return Image.open(samples / "face_128px.png").convert("RGB")


def filmed(picture: Image.Image) -> list[RgbImage]:
    rng = np.random.default_rng(0)
    still = np.asarray(picture, dtype=np.float64)
    noisy = (still + rng.normal(0, NOISE_LEVELS, still.shape) for _ in range(NUM_FRAMES))
    return [np.rint(frame).clip(0, 255).astype(np.uint8) for frame in noisy]


def flicker(frames: list[RgbImage], box: tuple[int, int, int, int]) -> float:
    left, top, right, bottom = box
    parts = [f[top:bottom, left:right].astype(np.float64) for f in frames[FIRST_MEASURED:]]
    return float(np.mean([np.abs(a - b).mean() for a, b in pairwise(parts)]))


async def upscaled(frames: list[RgbImage], upscaler: FrameUpscaler) -> list[RgbImage]:
    return [await upscaler.upscale(frame, seconds=0.04) for frame in frames]


def enlarged(frames: list[RgbImage], size: tuple[int, int]) -> list[RgbImage]:
    return [np.asarray(Image.fromarray(f).resize(size, Image.Resampling.LANCZOS)) for f in frames]


async def test_still_face_in_a_photo_flickers_no_more_than_before(
    room: EngineRoom, settings: Settings, face: Image.Image
) -> None:
    picture = Image.new("RGB", (160, 128), (110, 120, 100))
    picture.paste(face.resize((48, 48), Image.Resampling.BICUBIC), (50, 40))
    frames = filmed(picture)
    upscaler = PhotoFrames(room, settings, VideoOptions(), width=160, height=128)
    results = await upscaled(frames, upscaler)
    assert upscaler.num_faces == 1
    box = (108, 88, 188, 168)  # twice the face's
    before = enlarged(frames, (320, 256))
    assert np.abs(results[-1].astype(int) - before[-1]).max() > 20  # it was upscaled
    assert flicker(results, box) <= MOST * flicker(before, box)


async def test_still_crop_flickers_no_more_than_before(room: EngineRoom, face: Image.Image) -> None:
    frames = filmed(face.resize((48, 48), Image.Resampling.BICUBIC))
    [x4] = room.models
    results = await upscaled(frames, CropFrames(room, x4, width=48, height=48))
    box = (0, 0, 128, 128)
    assert flicker(results, box) <= MOST * flicker(enlarged(frames, (128, 128)), box)
