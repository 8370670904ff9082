"""The page in front of the published models, with the sample face."""

from pathlib import Path

import numpy as np
from PIL import Image
from playwright.sync_api import expect

from model_store.image_tensor import RgbImage
from service.settings import Settings
from tests.service.studio.conftest import OpenStudio
from tests.service.support import as_array


def squared_error(one: RgbImage, other: RgbImage) -> float:
    return float(np.mean((one.astype(float) - other) ** 2))


def test_sample_comes_back_nearer_to_its_original_than_bicubic_brings_it(
    open_studio: OpenStudio, samples: Path
) -> None:
    # What starts soonest; and a busy machine is not taken for one that hangs.
    settings = Settings(
        engine="torch",
        device="cpu",
        models=("affectsrnet-x8",),
        max_batch_size=1,
        device_stall_seconds=60,
    )
    studio = open_studio(settings=settings, engine=None)
    studio.page.get_by_role("button", name="Try it with a sample face").click()
    expect(studio.page.get_by_alt_text("After: the result")).to_be_visible(timeout=30_000)
    expect(studio.face).to_contain_text("16 pixels, made 8 times larger by affectsrnet-x8@")
    expect(studio.face).to_contain_text("Landmarks were found in the small face")
    expect(studio.face.locator(".verdict").get_by_role("heading")).to_have_text(
        "Probably happy"  # as the portrait's smile is; see docs/samples
    )
    with studio.page.expect_download() as download:
        studio.page.get_by_role("link", name="Download").click()
    result = as_array(download.value.path().read_bytes())
    original = as_array((samples / "face_128px.png").read_bytes())
    small = Image.open(samples / "face_16px.png").convert("RGB")
    bicubic = np.asarray(small.resize((128, 128), Image.Resampling.BICUBIC))
    assert result.shape == (128, 128, 3)
    assert squared_error(result, original) < 0.8 * squared_error(bicubic, original)
