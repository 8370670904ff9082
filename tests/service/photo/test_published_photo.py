"""Photo mode with the published models, on a picture with the sample face in it."""

import base64
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model_store.image_tensor import RgbImage
from service.app import create_app
from service.settings import Settings
from tests.service.support import as_array, as_file, post_image, running

pytestmark = pytest.mark.anyio

# Smaller ones are upscaled by x8, others by x4.
PLACES = ((60, 60, 20), (170, 70, 38))


def draw_scene(face: Image.Image, *, factor: int) -> RgbImage:
    """A smooth picture with the face at two places, as large as the factor says."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(70, 180, (5, 7, 3), dtype=np.uint8))
    scene = coarse.resize((240 * factor, 140 * factor), Image.Resampling.BICUBIC)
    for x, y, side in PLACES:
        size = (side * factor, side * factor)
        part = face.resize(size, Image.Resampling.BICUBIC)
        scene.paste(part, ((x - side // 2) * factor, (y - side // 2) * factor))
    return np.asarray(scene)


async def test_a_face_of_a_photo_comes_nearer_to_the_original_than_by_lanczos(
    samples: Path,
) -> None:
    face = Image.open(samples / "face_128px.png").convert("RGB")
    large = draw_scene(face, factor=4)
    small = Image.fromarray(large).resize((240, 140), Image.Resampling.BICUBIC)
    app = create_app(
        Settings(
            codec_threads=1, torch_num_threads=1, max_detection_pixels=200_000, max_batch_size=2
        )
    )
    async with running(app) as client:
        response = await post_image(
            client,
            as_file(small),
            query="?mode=photo&factor=4",
            Accept="application/json",
        )
    body = response.json()
    assert response.status_code == 200, body
    result = as_array(base64.b64decode(body["image_base64"])).astype(float)
    plain = np.asarray(small.resize((960, 560), Image.Resampling.LANCZOS)).astype(float)
    assert [f["model"].partition("@")[0] for f in body["faces"]] == [
        "affectsrnet-x4",
        "affectsrnet-x8",
    ]
    x, y, side = PLACES[1]
    # Where the mask is whole.
    region = np.s_[4 * y - side : 4 * y + side, 4 * x - side : 4 * x + side]
    error = np.square(result[region] - large[region]).mean()
    assert error < 0.85 * np.square(plain[region] - large[region]).mean()
    assert all(face["expression"]["agrees"] in (True, False) for face in body["faces"])
    # Away from the faces nothing but Lanczos was done; its order of passes may differ by rounding.
    assert np.abs(result[:100] - plain[:100]).max() <= 2
