"""The same tiny networks on OpenVINO and on PyTorch."""

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path

import numpy as np
import pytest
import torch

from model_store.affectsrnet.network import AffectSRNet
from model_store.image_tensor import RgbImage
from model_store.store import ModelStore
from service.engine import openvino_runtime
from service.engine.base import EmotionReading, Engine, UpscaledImage
from service.engine.device_engine import DeviceEngine
from service.engine.loading import load_engine
from service.engine.openvino_graphs import OpenVinoGraph, Outputs
from service.engine.openvino_runtime import OpenVinoRuntime
from service.errors import EngineUnavailableError, ItemFailedError, ServiceError, StartupError
from service.settings import Settings
from tests.conftest import ROOT
from tests.published import publish_untrained
from tests.service.support import noise, plain
from tests.service.tiny_models import publish_tiny_models, tiny_landmarker
from tests.tiny_baselines import BASELINES, tiny_baseline

X4, X8 = "affectsrnet-x4@1", "affectsrnet-x8@1"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    return publish_tiny_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared, so that these tests convert a network once."""
    return tmp_path_factory.mktemp("cache")


def settings_of(engine: str, cache: Path | None, **others: object) -> Settings:
    return Settings.model_validate(
        {
            "engine": engine,
            "engine_cache_dir": cache,
            "cpu_dtype": "float32",
            "torch_num_threads": 1,
            "max_batch_size": 2,
            **others,
        }
    )


def smallest(engine: str, cache: Path | None, **others: object) -> Settings:
    return settings_of(engine, cache, models=("affectsrnet-x8",), emotion_model="", **others)


@pytest.fixture(scope="module")
def engines(store: ModelStore, cache: Path) -> tuple[Engine, Engine]:
    """OpenVINO's and the reference."""
    return (
        load_engine(store, settings_of("openvino", cache)),
        load_engine(store, settings_of("torch", None)),
    )


def upscaled(engine: Engine, images: Sequence[RgbImage], reference: str) -> list[UpscaledImage]:
    outcomes = engine.upscale(reference, images)
    assert all(isinstance(outcome, UpscaledImage) for outcome in outcomes)
    return [outcome for outcome in outcomes if isinstance(outcome, UpscaledImage)]


def levels_between(one: RgbImage, other: RgbImage) -> int:
    return int(np.abs(one.astype(int) - other).max())


@pytest.mark.parametrize("reference", [X4, X8])
def test_results_are_those_of_the_reference(reference: str, engines: tuple[Engine, Engine]) -> None:
    images = [noise(32, 32), noise(40, 24, seed=1), noise(16, 16, seed=2)]
    for ours, theirs in zip(*(upscaled(e, images, reference) for e in engines), strict=True):
        assert levels_between(ours.rgb, theirs.rgb) <= 1
        assert (ours.resampling, ours.landmark_source) == (
            theirs.resampling,
            theirs.landmark_source,
        )
        assert ours.landmark_confidence == pytest.approx(theirs.landmark_confidence, abs=1e-5)


@pytest.mark.parametrize("reference", [X4, X8])
def test_batch_of_any_size_equals_its_singles_within_a_level(
    reference: str, engines: tuple[Engine, Engine]
) -> None:
    engine, _ = engines
    images = [noise(seed=seed) for seed in range(5)]
    for image, together in zip(images, upscaled(engine, images, reference), strict=True):
        (alone,) = upscaled(engine, [image], reference)
        assert levels_between(alone.rgb, together.rgb) <= 1


@pytest.mark.usefixtures("engines")
def test_face_that_has_all_cores_is_that_of_a_batch_within_a_level(
    store: ModelStore, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = load_engine(store, smallest("openvino", cache, torch_num_threads=2))
    alone: list[int] = []
    run = OpenVinoGraph.run

    def count(graph: OpenVinoGraph, *inputs: torch.Tensor) -> Outputs:
        if len(inputs) == 2:  # a network's, and not the landmarker's
            alone.append(len(inputs[0]))
        return run(graph, *inputs)

    monkeypatch.setattr(OpenVinoGraph, "run", count)
    images = [noise(seed=seed) for seed in range(5)]
    batch = upscaled(engine, images, X8)
    assert alone == [1]  # two and two have a core each, the fifth has both
    for image, together in zip(images, batch, strict=True):
        (single,) = upscaled(engine, [image], X8)
        assert levels_between(single.rgb, together.rgb) <= 1


@pytest.mark.usefixtures("engines")
def test_warm_up_runs_no_batch_that_is_nothing_new(
    store: ModelStore, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []
    upscale = DeviceEngine.upscale

    def count(
        engine: DeviceEngine, reference: str, images: Sequence[RgbImage]
    ) -> Sequence[UpscaledImage | ServiceError]:
        sizes.append(len(images))
        return upscale(engine, reference, images)

    monkeypatch.setattr(DeviceEngine, "upscale", count)
    others = {"torch_num_threads": 2, "max_batch_size": 16}
    engine = load_engine(store, smallest("openvino", cache, **others))
    compared = [size for size in sizes if size > 1]
    engine.warm_up()
    assert 16 not in sizes
    assert max(compared) >= 2
    load_engine(store, smallest("torch", None, **others)).warm_up()
    assert 16 in sizes


def test_expressions_are_those_of_the_reference(engines: tuple[Engine, Engine]) -> None:
    images = [noise(128, 128), noise(48, 40, seed=1), noise(300, 200, seed=2)]
    for ours, theirs in zip(*(engine.read_emotions(images) for engine in engines), strict=True):
        assert isinstance(ours, EmotionReading)
        assert isinstance(theirs, EmotionReading)
        np.testing.assert_allclose(ours.probabilities, theirs.probabilities, atol=1e-4)
        torch.testing.assert_close(ours.landmarks, theirs.landmarks, atol=1e-5, rtol=0)
        assert ours.is_fallback == theirs.is_fallback


def test_description_tells_what_computes(engines: tuple[Engine, Engine]) -> None:
    engine, _ = engines
    description = engine.description
    assert (description.name, description.device, description.dtype) == (
        "openvino",
        "cpu",
        "float32",
    )
    assert description.passed_over == {}


def test_result_stays_when_the_next_batch_runs(engines: tuple[Engine, Engine]) -> None:
    engine, _ = engines
    (first,) = upscaled(engine, [noise()], X4)
    kept = first.rgb.copy()
    upscaled(engine, [noise(seed=1)], X4)
    assert np.array_equal(first.rgb, kept)


@pytest.mark.usefixtures("engines")
def test_unsure_landmarks_give_way_to_the_mean_face(cache: Path, tmp_path: Path) -> None:
    store = publish_tiny_models(tmp_path)
    publish_untrained(store, tiny_landmarker(confidence_logit=-3.0), name="landmarker")
    engine = load_engine(store, smallest("openvino", cache))
    (result,) = upscaled(engine, [noise()], X8)
    assert result.landmark_source == "fallback"
    assert result.landmark_confidence == pytest.approx(torch.tensor(-3.0).sigmoid().item())


def test_output_that_is_no_number_fails_its_own_item(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def poisonable(
        self: AffectSRNet, lr: torch.Tensor, landmarks: torch.Tensor | None = None
    ) -> torch.Tensor:
        is_black = (lr.sum(1) == 0).flatten(1).all(1)[:, None, None, None]
        repeated = lr.repeat_interleave(4, 2).repeat_interleave(4, 3)
        return repeated / torch.where(is_black, 0.0, 1.0)

    monkeypatch.setattr(AffectSRNet, "forward", poisonable)
    store = publish_tiny_models(tmp_path)
    settings = settings_of("openvino", None, models=("affectsrnet-x4",), emotion_model="")
    engine = load_engine(store, settings)
    good, bad, other = engine.upscale(X4, [plain(9), plain(0), plain(8)])
    assert isinstance(good, UpscaledImage)
    assert isinstance(other, UpscaledImage)
    assert isinstance(bad, ItemFailedError)


@pytest.mark.parametrize("architecture", BASELINES)
def test_baseline_is_served(architecture: str, tmp_path: Path) -> None:
    store = publish_tiny_models(tmp_path)
    publish_untrained(store, tiny_baseline(architecture, scale=8), name=f"{architecture}-x8")
    models = {"models": (f"{architecture}-x8",), "emotion_model": ""}
    # Loading compares it with the reference.
    engine = load_engine(store, settings_of("openvino", None, **models))
    (result,) = upscaled(engine, [noise(16, 16)], f"{architecture}-x8@1")
    assert (result.landmark_source, result.landmark_confidence) == ("none", None)


# --- the cache ---


def never(*_: object) -> None:
    raise RuntimeError("a network was converted that is in the cache")


def test_second_start_converts_nothing(
    store: ModelStore,
    cache: Path,
    engines: tuple[Engine, Engine],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(openvino_runtime, "trace", never)
    engine = load_engine(store, settings_of("openvino", cache))
    (result,), (first,) = (upscaled(e, [noise()], X4) for e in (engine, engines[0]))
    assert np.array_equal(result.rgb, first.rgb)


@pytest.mark.usefixtures("engines")
def test_other_weights_newer_code_or_another_openvino_are_converted(
    store: ModelStore, cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(openvino_runtime, "trace", never)
    other = publish_tiny_models(tmp_path)
    publish_untrained(other, tiny_landmarker(confidence_logit=1.0), name="landmarker")
    with pytest.raises(StartupError, match="landmarker: a network was converted"):
        load_engine(other, settings_of("openvino", cache, landmarker_model="landmarker@2"))
    with monkeypatch.context() as newer:
        newer.setattr(openvino_runtime, "digest_of_code", lambda: "newer")
        with pytest.raises(StartupError, match="landmarker: a network was converted"):
            load_engine(store, settings_of("openvino", cache))
    monkeypatch.setattr("openvino.__version__", "1999.1")
    with pytest.raises(StartupError, match="landmarker: a network was converted"):
        load_engine(store, settings_of("openvino", cache))


@pytest.mark.usefixtures("engines")
def test_graph_that_this_openvino_cannot_read_is_converted_anew(
    store: ModelStore, cache: Path, caplog: pytest.LogCaptureFixture
) -> None:
    strange = b"a graph of another OpenVINO"
    for written in cache.glob("landmarker-*"):
        written.write_bytes(sha256(strange).digest() + strange)
    assert upscaled(load_engine(store, smallest("openvino", cache)), [noise()], X8)
    assert "OpenVINO cannot read landmarker-float32 in its cache" in caplog.text
    caplog.clear()
    assert upscaled(load_engine(store, smallest("openvino", cache)), [noise()], X8)
    assert "cannot read" not in caplog.text


@pytest.mark.usefixtures("engines")
@pytest.mark.parametrize(
    "damage", [lambda data: data[:-9], lambda data: b"", lambda data: b"x" * 99]
)
def test_damaged_cache_is_made_anew(
    damage: Callable[[bytes], bytes],
    store: ModelStore,
    cache: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    # Other tests leave there what they made of other landmarkers.
    for written in cache.glob("landmarker-*"):
        written.write_bytes(damage(written.read_bytes()))
    engine = load_engine(store, smallest("openvino", cache))
    assert upscaled(engine, [noise()], X8)
    assert "is damaged and made anew" in caplog.text
    caplog.clear()
    assert upscaled(load_engine(store, smallest("openvino", cache)), [noise()], X8)
    assert "damaged" not in caplog.text


def test_folder_that_cannot_be_written_costs_no_more_than_time(
    store: ModelStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.touch()
    engine = load_engine(store, smallest("openvino", in_the_way / "cache"))
    assert upscaled(engine, [noise()], X8)
    assert "the engine's cache cannot be written" in caplog.text


# --- which engine ---


@pytest.mark.usefixtures("engines")
def test_openvino_is_chosen_where_it_is_there(store: ModelStore, cache: Path) -> None:
    assert load_engine(store, smallest("auto", cache)).description.name == "openvino"


@pytest.mark.parametrize(("engine", "of_torch"), [("openvino", 1), ("torch", 3)])
def test_torch_has_threads_only_where_it_computes(
    engine: str, of_torch: int, store: ModelStore, cache: Path
) -> None:
    before = torch.get_num_threads()
    try:
        load_engine(store, smallest(engine, cache, torch_num_threads=3))
        assert torch.get_num_threads() == of_torch
    finally:
        torch.set_num_threads(before)


def test_torch_stands_in_where_openvino_is_missing(
    store: ModelStore,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    description = load_engine(store, smallest("auto", cache, cpu_dtype="auto")).description
    assert description.name == "torch"
    assert "pip install openvino" in description.passed_over["openvino in float32"]
    assert "engine openvino in float32 is passed over" in caplog.text


def test_openvino_that_is_asked_for_and_missing_keeps_the_service_from_starting(
    store: ModelStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    with pytest.raises(
        StartupError, match=r"AFFECTSR_ENGINE is openvino and cannot be had .*pip install openvino"
    ):
        load_engine(store, settings_of("openvino", None))


@pytest.mark.usefixtures("engines")
@pytest.mark.parametrize(
    ("asked", "engine"), [("auto", "openvino"), ("openvino", "openvino"), ("torch", "torch")]
)
def test_cpu_that_gains_nothing_by_bfloat16_computes_in_float32(
    asked: str,
    engine: str,
    store: ModelStore,
    cache: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    reason = "this CPU is no faster in bfloat16 than in float32"
    monkeypatch.setattr("service.engine.loading.why_not_bfloat16", lambda: reason)
    description = load_engine(store, smallest(asked, cache, cpu_dtype="auto")).description
    assert (description.name, description.dtype) == (engine, "float32")
    assert description.passed_over == {f"{engine} in bfloat16": reason}
    assert reason in caplog.text


@pytest.mark.usefixtures("engines")
def test_bfloat16_that_is_asked_for_and_missing_keeps_the_service_from_starting(
    store: ModelStore, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(OpenVinoRuntime, "has_bfloat16", property(lambda self: False))
    with pytest.raises(StartupError, match="this CPU does not compute in bfloat16"):
        load_engine(store, smallest("openvino", cache, cpu_dtype="bfloat16"))


@pytest.mark.usefixtures("engines")
def test_inaccurate_engine_is_passed_over(
    store: ModelStore, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(engine: Engine, reference: Engine, *, expected_of: object) -> None:
        raise EngineUnavailableError(f"{engine.description.name} is 12.0 dB from the reference")

    monkeypatch.setattr("service.engine.loading.check_accuracy", refuse)
    description = load_engine(store, smallest("auto", cache, cpu_dtype="auto")).description
    assert (description.name, description.dtype) == ("torch", "float32")
    assert "12.0 dB" in description.passed_over["openvino in float32"]
    with pytest.raises(StartupError, match=r"openvino in float32: openvino is 12\.0 dB"):
        load_engine(store, smallest("openvino", cache))


def test_openvino_on_a_cuda_device_says_what_to_change(store: ModelStore) -> None:
    with pytest.raises(StartupError, match="set the device to auto or cpu, or the engine to auto"):
        load_engine(store, settings_of("openvino", None, device="cuda:0"))


def test_choice_is_told_in_the_log(store: ModelStore, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="service.engine.loading")
    load_engine(store, settings_of("torch", None, models=("affectsrnet-x8",)))
    assert "engine torch in float32 on cpu" in caplog.text


# --- nobody is told ---

_WITHOUT_NETWORK = """
import sys
from pathlib import Path

def refuse(event, arguments):
    if event.startswith("socket.") or event == "subprocess.Popen":
        raise RuntimeError(f"{event} {arguments}")

sys.addaudithook(refuse)
from model_store.store import ModelStore
from service.engine.loading import load_engine
from service.settings import Settings

engine = load_engine(ModelStore(Path(sys.argv[1])), Settings())
engine.warm_up()
assert engine.description.name == "openvino", engine.description
assert sys.modules["openvino_telemetry"] is None
"""


def test_nobody_is_told_and_nothing_is_written_at_home(tmp_path: Path) -> None:
    home, models = tmp_path / "home", tmp_path / "models"
    publish_tiny_models(models)
    home.mkdir()
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "HOME": str(home),
        "AFFECTSR_ENGINE": "openvino",
        "AFFECTSR_ENGINE_CACHE_DIR": str(tmp_path / "cache"),
        "AFFECTSR_MODELS": "affectsrnet-x8",
        "AFFECTSR_TORCH_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-c", _WITHOUT_NETWORK, str(models)],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, json.dumps(done.stderr)
    assert list(home.iterdir()) == []
    assert list((tmp_path / "cache").iterdir()) != []


_SIGNALLED = """
import signal
from service.engine.openvino_runtime import OpenVinoRuntime

signal.signal(signal.SIGTERM, lambda number, _: print("caught", number))
first, second = (OpenVinoRuntime(num_threads=1, cache=None) for _ in range(2))
print(first.has_bfloat16 is second.has_bfloat16)
del first
del second
signal.raise_signal(signal.SIGTERM)
"""


def test_signals_are_caught_when_two_runtimes_have_gone_in_turn() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", _SIGNALLED],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (0, "True\ncaught 15\n"), done.stderr
