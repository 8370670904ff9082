"""The versions that come along: complete, small enough, and as good as their manifests say."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from model_store.affectsrnet.network import AffectSRNet
from model_store.image_tensor import RgbImage, images_to_tensor, resize_bicubic
from model_store.landmarks.fallback import choose_landmarks
from model_store.landmarks.landmarker import Landmarker
from model_store.store import DEFAULT_ROOT, ModelStore
from model_store.upscaling import upscale_batch

MAX_WEIGHTS_BYTES = 16 * 2**20
UPSCALERS = (("affectsrnet-x4", 32), ("affectsrnet-x8", 16))


@pytest.fixture(scope="module")
def store() -> ModelStore:
    return ModelStore()


@pytest.fixture(scope="module")
def landmarker(store: ModelStore) -> Landmarker:
    module = store.load("landmarker").module
    assert isinstance(module, Landmarker)
    return module


def load_upscaler(store: ModelStore, name: str) -> AffectSRNet:
    module = store.load(name).module
    assert isinstance(module, AffectSRNet)
    return module


def upscale(network: AffectSRNet, landmarker: Landmarker, lr: Tensor) -> Tensor:
    with torch.inference_mode():
        return upscale_batch(network, lr, landmarker=landmarker).clamp(0, 1)


def psnr(images: Tensor, references: Tensor) -> Tensor:
    """RGB PSNR in dB of each image, an 8 px border left out."""
    squared = (images - references)[..., 8:-8, 8:-8].square()
    return -10 * torch.log10(squared.mean((1, 2, 3)))


def gain_over_bicubic(sr: Tensor, lr: Tensor, hr: Tensor) -> Tensor:
    side = hr.shape[-1]
    bicubic = resize_bicubic(lr, height=side, width=side).clamp(0, 1)
    return psnr(sr, hr) - psnr(bicubic, hr)


def read_rgb(path: Path, *, side_px: int | None = None) -> RgbImage:
    with Image.open(path) as opened:
        image = opened.convert("RGB")
    if side_px is not None:
        image = image.resize((side_px, side_px), Image.Resampling.BICUBIC)
    return np.asarray(image)


def test_every_version_loads_and_is_small_enough(store: ModelStore) -> None:
    references = [manifest.reference for manifest in store.manifests()]
    assert {store.resolve(name).reference for name in store.names()} <= set(references)
    for reference in references:
        loaded = store.load(reference)
        name, _, version = reference.partition("@")
        weights = DEFAULT_ROOT / name / version / "weights.safetensors"
        assert weights.stat().st_size <= MAX_WEIGHTS_BYTES, reference
        assert loaded.manifest.metrics
        if loaded.manifest.training.steps == 0 and not loaded.manifest.training.data:
            assert "MediaPipe" in loaded.manifest.licence  # converted, not trained
        else:
            assert "Research only" in loaded.manifest.licence


def test_the_service_finds_the_models_that_it_serves_by_default(store: ModelStore) -> None:
    assert {"affectsrnet-x4", "affectsrnet-x8", "landmarker"} <= set(store.names())


@pytest.mark.parametrize(("name", "side_px"), UPSCALERS)
def test_the_sample_face_comes_out_better_than_bicubic(
    store: ModelStore, landmarker: Landmarker, samples: Path, name: str, side_px: int
) -> None:
    lr = images_to_tensor([read_rgb(samples / f"face_{side_px}px.png")])
    hr = images_to_tensor([read_rgb(samples / "face_128px.png")])
    sr = upscale(load_upscaler(store, name), landmarker, lr)
    assert not bool(choose_landmarks(landmarker, lr).is_fallback)
    assert float(gain_over_bicubic(sr, lr, hr)) > 1.5


@pytest.mark.parametrize("side_px", [16, 32])
def test_a_picture_without_a_face_is_not_believed(landmarker: Landmarker, side_px: int) -> None:
    generator = torch.Generator().manual_seed(0)
    noise = torch.rand(8, 3, side_px, side_px, generator=generator)
    grey = torch.full((1, 3, side_px, side_px), 0.5)
    chosen = choose_landmarks(landmarker, torch.cat([noise, grey]))
    assert bool(chosen.is_fallback.all())
    assert torch.equal(chosen.landmarks[0], landmarker.mean_landmarks)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "side_px"), UPSCALERS)
def test_faces_never_learnt_from_gain_what_the_manifest_says(
    store: ModelStore, landmarker: Landmarker, data_root: Path, name: str, side_px: int
) -> None:
    files = sorted((data_root / "faces" / "test" / "ffhq").iterdir())[:24]
    hr = images_to_tensor([read_rgb(path) for path in files])
    lr = images_to_tensor([read_rgb(path, side_px=side_px) for path in files])
    sr = upscale(load_upscaler(store, name), landmarker, lr)
    measured = float(gain_over_bicubic(sr, lr, hr).mean())
    metrics = store.resolve(name).metrics
    # Packs are named by whoever makes them; what they end with names the set.
    [stated] = [value for key, value in metrics.items() if key.endswith("ffhq/psnr_gain_db")]
    # The manifest's number is of Y and of 250 faces; these are 24, in RGB.
    assert measured == pytest.approx(stated, abs=0.6)
