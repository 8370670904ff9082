"""Which engine stands in for a GPU that is too small, too old or not there; pretended on a CPU."""

from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

from model_store.store import LoadedModel, ModelStore
from service.engine.base import Engine
from service.engine.device_engine import DeviceEngine
from service.engine.loading import load_engine
from service.errors import (
    DeviceLostError,
    DeviceMemoryError,
    EngineUnavailableError,
    StartupError,
)
from service.settings import Settings
from tests.service.tiny_models import publish_tiny_models

TOO_SMALL = "a batch of 2 images of affectsrnet-x8@1 does not fit the device's memory; lower it"


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> ModelStore:
    return publish_tiny_models(tmp_path_factory.mktemp("models"))


def settings_of(tmp_path: Path, **others: object) -> Settings:
    return Settings.model_validate(
        {
            "engine": "auto",
            "models": ("affectsrnet-x8",),
            "emotion_model": "",
            "engine_cache_dir": tmp_path,
            "cpu_dtype": "float32",
            "torch_num_threads": 1,
            "max_batch_size": 2,
            **others,
        }
    )


@dataclass
class Gpu:
    """What a pretended GPU fails at; None where it does not.

    Attributes:
        weights: loading a model onto it.
        graphs: capturing a network.
        batches: running batches of its size call by call.
    """

    weights: Exception | None = None
    graphs: Exception | None = None
    batches: Exception | None = None


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> Gpu:
    """A GPU whose weights lie on the CPU; what it would compute is not computed."""
    gpu = Gpu()
    load, warm_up = ModelStore.load, DeviceEngine.warm_up

    def load_onto(
        self: ModelStore, reference: str, *, device: torch.device | None = None
    ) -> LoadedModel:
        if device is not None and device.type == "cuda" and gpu.weights is not None:
            raise gpu.weights
        return load(self, reference)

    def capture(*_: object, **__: object) -> DeviceEngine:
        raise gpu.graphs or AssertionError("no test captures")

    def run_batches(self: DeviceEngine) -> None:
        if self.description.device == "cpu":
            return warm_up(self)
        if gpu.batches is not None:
            raise gpu.batches
        return None

    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    monkeypatch.setattr("torch.cuda.device_count", lambda: 1)
    monkeypatch.setattr(ModelStore, "load", load_onto)
    monkeypatch.setattr("service.engine.loading.cuda_engine", capture)
    monkeypatch.setattr(DeviceEngine, "warm_up", run_batches)
    return gpu


def chosen(engine: Engine) -> tuple[str, str]:
    return engine.description.name, engine.description.device


def test_gpu_that_does_not_hold_the_models_gives_way_to_the_cpu(
    gpu: Gpu, store: ModelStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gpu.weights = torch.OutOfMemoryError("CUDA out of memory.")
    engine = load_engine(store, settings_of(tmp_path))
    assert chosen(engine) == ("openvino", "cpu")
    assert (
        "affectsrnet-x8 does not fit the memory of cuda" in engine.description.passed_over["cuda"]
    )
    assert "engine cuda is passed over: affectsrnet-x8 does not fit" in caplog.text


def test_gpu_that_does_not_hold_the_graphs_computes_call_by_call(
    gpu: Gpu, store: ModelStore, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    gpu.graphs = EngineUnavailableError("affectsrnet-x8@1 cannot be captured: out of memory")
    engine = load_engine(store, settings_of(tmp_path))
    assert chosen(engine) == ("torch", "cuda")
    assert set(engine.description.passed_over) == {"cuda in bfloat16"}
    assert "engine cuda in bfloat16 is passed over: affectsrnet-x8@1 cannot be" in caplog.text


@pytest.mark.parametrize(
    "failure",
    [
        StartupError(TOO_SMALL),
        DeviceMemoryError("the device's memory does not hold this image now"),
        DeviceLostError("cuda failed for good: no kernel image is available"),
    ],
)
def test_gpu_that_cannot_run_the_batches_gives_way_to_the_cpu(
    failure: Exception, gpu: Gpu, store: ModelStore, tmp_path: Path
) -> None:
    gpu.graphs = EngineUnavailableError("affectsrnet-x8@1 cannot be captured: out of memory")
    gpu.batches = failure
    description = load_engine(store, settings_of(tmp_path)).description
    assert (description.name, description.device) == ("openvino", "cpu")
    assert description.passed_over["torch in float32 on cuda"] == str(failure)
    assert "cuda in bfloat16" in description.passed_over


def test_torch_that_is_asked_for_stays_torch_on_the_cpu(
    gpu: Gpu, store: ModelStore, tmp_path: Path
) -> None:
    gpu.batches = StartupError(TOO_SMALL)
    engine = load_engine(store, settings_of(tmp_path, engine="torch"))
    assert chosen(engine) == ("torch", "cpu")


@pytest.mark.parametrize("insisting", [{"engine": "cuda"}, {"device": "cuda:0"}])
def test_gpu_that_is_asked_for_and_too_small_keeps_the_service_from_starting(
    insisting: dict[str, str], gpu: Gpu, store: ModelStore, tmp_path: Path
) -> None:
    gpu.graphs = EngineUnavailableError("affectsrnet-x8@1 cannot be captured: out of memory")
    gpu.batches = StartupError(TOO_SMALL)
    with pytest.raises(StartupError, match=r"cannot be captured: out of memory.* set .* to auto"):
        load_engine(store, settings_of(tmp_path, **insisting))
    gpu.weights = torch.OutOfMemoryError("CUDA out of memory.")
    with pytest.raises(StartupError, match=r"does not fit the memory of cuda.* set .* to auto"):
        load_engine(store, settings_of(tmp_path, **insisting))


def test_cuda_that_is_asked_for_without_a_driver_keeps_the_service_from_starting(
    store: ModelStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(StartupError, match="install a CUDA build of PyTorch and its driver"):
        load_engine(store, settings_of(tmp_path, engine="cuda"))
