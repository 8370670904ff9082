"""The versions in the repository, through the engine that serves them."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from model_store.image_tensor import RgbImage
from model_store.store import ModelStore
from service.engine.base import Engine, UpscaledImage
from service.engine.loading import load_engine
from service.settings import Settings
from tests.service.support import as_array

UPSCALERS = tuple(name for name in ModelStore().names() if name.startswith("affectsrnet-"))


@pytest.fixture(scope="module")
def engines() -> Iterator[dict[str, Engine]]:
    """The same models in both arithmetics."""
    loaded = {
        dtype: load_engine(
            ModelStore(),
            Settings.model_validate({"models": UPSCALERS, "cpu_dtype": dtype, "device": "cpu"}),
        )
        for dtype in ("float32", "bfloat16")
    }
    yield loaded
    for engine in loaded.values():
        engine.close()


def psnr(one: RgbImage, other: RgbImage) -> float:
    error = np.mean((one.astype(float) - other) ** 2)
    return float(10 * np.log10(255**2 / max(error, 1e-9)))


def upscaled(engine: Engine, name: str, face: RgbImage) -> UpscaledImage:
    reference = next(model.reference for model in engine.models if model.name == name)
    (result,) = engine.upscale(reference, [face])
    assert isinstance(result, UpscaledImage)
    return result


def read(path: Path) -> RgbImage:
    return as_array(path.read_bytes())


def read_lr_face(samples: Path, name: str) -> RgbImage:
    scale = ModelStore().resolve(name).scale
    assert scale is not None
    return read(samples / f"face_{128 // scale}px.png")


@pytest.mark.parametrize("name", UPSCALERS)
def test_bfloat16_is_as_good_as_the_reference(
    name: str, engines: dict[str, Engine], samples: Path
) -> None:
    face = read_lr_face(samples, name)
    results = [upscaled(engine, name, face).rgb for engine in engines.values()]
    # Both rounded to 8 bits, which by itself is 59 dB; the gate for the arithmetic is 50.
    assert psnr(*results) >= 50


@pytest.mark.parametrize("name", UPSCALERS)
def test_sample_face_is_nearer_to_its_original_than_by_bicubic(
    name: str, engines: dict[str, Engine], samples: Path
) -> None:
    face = read_lr_face(samples, name)
    original = read(samples / "face_128px.png")
    bicubic = Image.fromarray(face).resize((128, 128), Image.Resampling.BICUBIC)
    result = upscaled(engines["float32"], name, face)
    assert result.landmark_source == "landmarker"
    assert psnr(result.rgb, original) >= psnr(np.asarray(bicubic), original) + 1.5
