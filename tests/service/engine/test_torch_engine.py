from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

from model_store.errors import ChecksumMismatchError, FaceNotFoundError
from model_store.image_tensor import RgbImage, images_to_tensor, tensor_to_image
from model_store.store import ModelStore
from service.engine.base import EmotionReading, Resampling, ServedModel, UpscaledImage
from service.engine.device_engine import DeviceEngine
from service.engine.landmark_finders import LandmarkerFinder, MediaPipeFinder
from service.engine.loading import load_engine
from service.engine.torch_engine import torch_engine
from service.errors import ItemFailedError, ServiceError, StartupError
from service.settings import Settings
from tests.fakes import served_model
from tests.published import publish_untrained
from tests.service.support import noise, plain
from tests.service.tiny_models import (
    calibration_for,
    publish_tiny_models,
    tiny_landmarker,
    tiny_network,
)
from tests.tiny_baselines import BASELINES, tiny_baseline

X4, X8 = served_model(scale=4), served_model(scale=8, lr_size_px=16)
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    return publish_tiny_models(tmp_path_factory.mktemp("models"))


def engine_with(*, confidence_logit: float = 3.0, landmark_fusion: bool = True) -> DeviceEngine:
    return torch_engine(
        [
            (X4, tiny_network(4, landmark_fusion=landmark_fusion)),
            (X8, tiny_network(8, landmark_fusion=landmark_fusion)),
        ],
        LandmarkerFinder(tiny_landmarker(confidence_logit=confidence_logit), min_confidence=0.5),
        device=CPU,
    )


def upscaled(
    engine: DeviceEngine, images: Sequence[RgbImage], model: ServedModel = X4
) -> list[UpscaledImage]:
    outcomes = engine.upscale(model.reference, images)
    assert all(isinstance(outcome, UpscaledImage) for outcome in outcomes)
    return [outcome for outcome in outcomes if isinstance(outcome, UpscaledImage)]


def test_image_on_the_grid_goes_through_the_network_as_it_is() -> None:
    network, landmarker = tiny_network(4), tiny_landmarker()
    image = noise(32, 32)
    (result,) = upscaled(engine_with(), [image])
    with torch.inference_mode():
        lr = images_to_tensor([image])
        expected = tensor_to_image(network(lr, landmarker(lr).landmarks)[0])
    assert np.abs(result.rgb.astype(int) - expected).max() <= 1
    assert result.resampling is None
    assert result.landmark_source == "landmarker"
    assert result.landmark_confidence == pytest.approx(torch.tensor(3.0).sigmoid().item())


def test_other_sizes_are_resampled_as_pillow_does_and_rounded_to_eight_bits() -> None:
    image = noise(80, 80)
    small = np.asarray(Image.fromarray(image).resize((32, 32), Image.Resampling.BICUBIC))
    (from_large,) = upscaled(engine_with(), [image])
    (from_small,) = upscaled(engine_with(), [small])
    difference = np.abs(from_large.rgb.astype(int) - from_small.rgb)
    assert difference.max() <= 3  # Pillow's fixed-point weights are off by a level here and there
    assert from_large.resampling == Resampling(
        from_width=80, from_height=80, to_width=32, to_height=32
    )


def test_result_of_a_narrow_image_is_its_part_of_the_square() -> None:
    image = noise(24, 32)
    square = np.pad(image, ((0, 0), (4, 4), (0, 0)), mode="edge")
    engine = engine_with()
    (narrow,), (whole,) = upscaled(engine, [image]), upscaled(engine, [square])
    assert narrow.rgb.shape == (128, 96, 3)
    assert np.array_equal(narrow.rgb, whole.rgb[:, 16:112])


def test_batch_of_any_sizes_equals_its_singles_within_a_level() -> None:
    images = [noise(w, h, seed=w) for w, h in ((32, 32), (16, 16), (40, 48), (100, 30), (8, 8))]
    engine = engine_with()
    together = upscaled(engine, images)
    for image, result in zip(images, together, strict=True):
        (alone,) = upscaled(engine, [image])
        assert np.abs(alone.rgb.astype(int) - result.rgb).max() <= 1
        assert alone.resampling == result.resampling


def test_eight_fold_model_has_a_grid_of_its_own() -> None:
    (result,) = upscaled(engine_with(), [noise(16, 16)], X8)
    assert result.rgb.shape == (128, 128, 3)
    assert result.resampling is None


def test_unsure_landmarks_give_way_to_the_mean_face() -> None:
    network, landmarker = tiny_network(4), tiny_landmarker()
    image = noise()
    (result,) = upscaled(engine_with(confidence_logit=-3.0), [image])
    with torch.inference_mode():
        expected = network(images_to_tensor([image]), landmarker.mean_landmarks[None])[0]
    assert np.abs(result.rgb.astype(int) - tensor_to_image(expected)).max() <= 1
    assert result.landmark_source == "fallback"
    assert result.landmark_confidence == pytest.approx(torch.tensor(-3.0).sigmoid().item())


def test_model_without_landmarks_says_none() -> None:
    (result,) = upscaled(engine_with(landmark_fusion=False), [noise()])
    assert (result.landmark_source, result.landmark_confidence) == ("none", None)


def test_output_that_is_no_number_fails_its_own_item() -> None:
    class Poisonable(torch.nn.Module):
        """Gives NaN for an image whose first pixel is black."""

        def __init__(self) -> None:
            super().__init__()
            self.config = tiny_network(4).config

        def forward(self, lr: torch.Tensor, landmarks: torch.Tensor) -> torch.Tensor:
            is_black = (lr[:, :, 0, 0].sum(1) == 0)[:, None, None, None]
            repeated = lr.repeat_interleave(4, 2).repeat_interleave(4, 3)
            return torch.where(is_black, torch.nan, repeated)

    engine = torch_engine(
        [(X4, Poisonable())],  # type: ignore[list-item]
        LandmarkerFinder(tiny_landmarker(), min_confidence=0.5),
        device=CPU,
    )
    good, bad, other = engine.upscale(X4.reference, [plain(9), plain(0), plain(8)])
    assert isinstance(good, UpscaledImage)
    assert isinstance(other, UpscaledImage)
    assert isinstance(bad, ItemFailedError)
    assert "no colours" in str(bad)


def test_bfloat16_stays_close_to_the_reference() -> None:
    engine = torch_engine(
        [(X4, tiny_network(4))],
        LandmarkerFinder(tiny_landmarker(), min_confidence=0.5),
        device=CPU,
        cpu_dtype=torch.bfloat16,
    )
    image = noise()
    (reduced,), (reference,) = upscaled(engine, [image]), upscaled(engine_with(), [image])
    error = reduced.rgb.astype(float) - reference.rgb
    assert 10 * np.log10(255**2 / max(np.mean(error**2), 1e-9)) > 45


class FakeMesh:
    """Finds a face in bright crops only."""

    def __init__(self) -> None:
        self.is_closed = False

    def detect(self, image: RgbImage) -> npt.NDArray[np.float32]:
        if image.mean() < 128:
            raise FaceNotFoundError("too dark")
        return np.full((478, 3), 0.25, dtype=np.float32)

    def close(self) -> None:
        self.is_closed = True


def test_mediapipe_is_asked_face_by_face_and_the_mean_face_stands_in() -> None:
    mesh = FakeMesh()
    mean = torch.full((478, 3), 0.5)
    finder = MediaPipeFinder(mesh, mean_landmarks=mean)  # type: ignore[arg-type]
    found = finder.find(images_to_tensor([plain(200), plain(20)]))
    assert found.sources == ["mediapipe", "fallback"]
    assert found.confidences == [None, None]
    assert found.landmarks[0].eq(0.25).all()
    assert torch.equal(found.landmarks[1], mean)
    finder.close()
    assert mesh.is_closed


# --- loading ---


def test_published_models_are_loaded_in_the_order_of_the_settings(store: ModelStore) -> None:
    engine = load_engine(
        store, Settings(models=("affectsrnet-x8", "affectsrnet-x4@1"), torch_num_threads=1)
    )
    assert [model.reference for model in engine.models] == ["affectsrnet-x8@1", "affectsrnet-x4@1"]
    assert [model.lr_size_px for model in engine.models] == [16, 32]
    assert [model.scale for model in engine.models] == [8, 4]
    engine.warm_up()
    (result,) = engine.upscale("affectsrnet-x8@1", [noise()])
    assert isinstance(result, UpscaledImage)
    engine.close()
    assert engine.models == []


def test_sizes_that_have_run_are_not_warmed_up_again(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(models=("affectsrnet-x8",), cpu_dtype="float32", engine="torch")
    engine = load_engine(store, settings)
    upscale = engine.upscale
    sizes: list[int] = []

    def count(reference: str, images: list[RgbImage]) -> Sequence[UpscaledImage | ServiceError]:
        sizes.append(len(images))
        return upscale(reference, images)

    engine.upscale("affectsrnet-x8@1", [noise()] * 4)
    monkeypatch.setattr(engine, "upscale", count)
    engine.warm_up()
    assert sizes == [1, 1, 8]  # beside each size the face alone, with which it is compared


def test_batch_that_changes_its_faces_ends_the_warm_up(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(models=("affectsrnet-x8",), cpu_dtype="float32", engine="torch")
    engine = load_engine(store, settings)
    upscale = engine.upscale

    def darken(reference: str, images: list[RgbImage]) -> list[UpscaledImage]:
        results = [one for one in upscale(reference, images) if isinstance(one, UpscaledImage)]
        return [replace(one, rgb=one.rgb // 2 if len(images) == 8 else one.rgb) for one in results]

    monkeypatch.setattr(engine, "upscale", darken)
    with pytest.raises(StartupError, match="a batch of 8 images moves a colour"):
        engine.warm_up()


def test_memory_that_is_too_small_ends_the_warm_up(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.engine.loading.memory_limit_bytes", lambda: 2**20)
    engine = load_engine(store, Settings(torch_num_threads=1))
    with pytest.raises(StartupError, match="this process may use 1 MiB; give it more memory"):
        engine.warm_up()


@pytest.mark.parametrize("architecture", BASELINES)
def test_baseline_is_served_without_landmarks(architecture: str, tmp_path: Path) -> None:
    store = publish_tiny_models(tmp_path)
    network = tiny_baseline(architecture, scale=8)
    publish_untrained(store, network, name=f"{architecture}-x8")
    settings = Settings(
        models=(f"{architecture}-x8",), cpu_dtype="float32", torch_num_threads=1, max_batch_size=2
    )
    engine = load_engine(store, settings)
    engine.warm_up()
    image = noise(16, 16)
    (result,) = engine.upscale(f"{architecture}-x8@1", [image])
    assert isinstance(result, UpscaledImage)
    with torch.inference_mode():
        expected = tensor_to_image(network(images_to_tensor([image]))[0])
    assert np.abs(result.rgb.astype(int) - expected).max() <= 1
    assert (result.landmark_source, result.landmark_confidence) == ("none", None)


def test_model_that_is_not_published_is_named(store: ModelStore) -> None:
    with pytest.raises(
        StartupError, match=r"AFFECTSR_MODELS names affectsrnet-x2, and there is no"
    ):
        load_engine(store, Settings(models=("affectsrnet-x2",)))


def test_weights_that_were_changed_are_not_served(tmp_path: Path) -> None:
    store = publish_tiny_models(tmp_path)
    weights = tmp_path / "affectsrnet-x4" / "1" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\xff")
    with pytest.raises(ChecksumMismatchError, match=r"weights\.safetensors has sha256"):
        load_engine(store, Settings())


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        (
            {"models": ("landmarker",)},
            "names landmarker, whose architecture is landmarker; name models",
        ),
        ({"landmarker_model": "affectsrnet-x4"}, "is affectsrnet; name a landmarker"),
        ({"emotion_model": "landmarker"}, "landmarker; name an expression classifier"),
        ({"emotion_model": "emotion-x"}, "AFFECTSR_EMOTION_MODEL names emotion-x, and there is no"),
        ({"device": "cuda:7"}, "set it to auto or cpu"),
        ({"engine": "cuda", "device": "cpu"}, "AFFECTSR_DEVICE is cpu .* set the engine to auto"),
    ],
)
def test_settings_that_cannot_be_served_say_what_to_change(
    settings: dict[str, object], says: str, store: ModelStore
) -> None:
    with pytest.raises(StartupError, match=says):
        load_engine(store, Settings.model_validate(settings))


def test_gpu_without_its_driver_is_told(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("torch.version.cuda", "12.8")
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    description = load_engine(store, Settings(cpu_dtype="float32")).description
    assert "finds no device; install the driver" in description.passed_over["cuda in bfloat16"]
    assert "engine cuda is passed over: PyTorch is built for CUDA 12.8" in caplog.text


def test_named_classifier_is_loaded_warmed_and_reads(store: ModelStore) -> None:
    settings = Settings.model_validate({"emotion_model": "emotion-mobilefacenet"})
    engine = load_engine(store, settings)
    assert engine.classifier is not None
    assert engine.classifier.reference == "emotion-mobilefacenet@1"
    engine.warm_up()
    (reading,) = engine.read_emotions([noise(48, 40)])
    assert isinstance(reading, EmotionReading)
    assert reading.probabilities.shape == (7,)


def test_calibration_is_taken_for_the_networks_that_it_was_fitted_for(tmp_path: Path) -> None:
    store = publish_tiny_models(tmp_path)
    upscaler, classifier = (
        store.resolve(name).weights_sha256 for name in ("affectsrnet-x4", "emotion-mobilefacenet")
    )
    publish_untrained(store, calibration_for(upscaler, classifier), name="agreement-x4")
    publish_untrained(store, calibration_for(upscaler, "0" * 64), name="agreement-x4-of-another")
    engine = load_engine(store, Settings.model_validate({"emotion_model": "emotion-mobilefacenet"}))
    assert set(engine.calibrations) == {"affectsrnet-x4@1"}
    assert engine.calibrations["affectsrnet-x4@1"].config.classifier_sha256 == classifier


def test_engine_does_without_a_classifier(store: ModelStore) -> None:
    engine = load_engine(store, Settings.model_validate({"emotion_model": ""}))
    assert engine.classifier is None


def test_missing_mediapipe_names_the_extra(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_installed() -> None:
        raise ImportError("No module named 'mediapipe'")

    monkeypatch.setattr("service.engine.loading.MediaPipeMesh", not_installed)
    with pytest.raises(StartupError, match=r'pip install "affectsr\[mediapipe\]"'):
        load_engine(store, Settings(landmarks="mediapipe"))


def test_time_of_the_landmarks_is_told_for_each_batch(store: ModelStore) -> None:
    told: list[float] = []
    engine = load_engine(
        store, Settings.model_validate({"emotion_model": ""}), on_landmarks=told.append
    )
    told.clear()  # the check of its accuracy found some, too
    engine.upscale("affectsrnet-x4@1", [noise(), noise()])
    engine.upscale("affectsrnet-x8@1", [noise()])
    assert len(told) == 2
    assert min(told) > 0
