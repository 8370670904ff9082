"""The whole service around an engine that repeats pixels and takes a set time for a batch.

    python -m service.bench.stub [--base-ms 5] [--item-ms 1]

A batch of n images takes base + n item, without using a core for it, as a GPU does; what is
measured then is everything but the network. All else comes from the settings.
"""

import argparse
import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from model_store.emotion.recoverability import AgreementCalibration
from model_store.faces.detector import Judgement
from model_store.image_tensor import RgbImage
from service.bench.connection import Address
from service.engine.base import (
    EmotionReading,
    EngineDescription,
    ServedModel,
    ServedVersion,
    TileProposals,
    UpscaledImage,
)
from service.engine.grid import GridPlacement
from service.errors import NoClassifierError, NoFaceDetectorError, ServiceError
from service.logs import configure_logging
from service.server import serve
from service.settings import Settings, environment_name

_START_SECONDS = 120


class StubEngine:
    """Takes its time and repeats pixels; reads no expressions and finds no faces."""

    description = EngineDescription(name="torch", device="cpu", dtype="float32")
    classifier: ServedVersion | None = None
    detector: ServedVersion | None = None
    calibrations: Mapping[str, AgreementCalibration] = {}

    def __init__(self, *, base_seconds: float, item_seconds: float) -> None:
        self.models = (_model(scale=4, lr_size_px=32), _model(scale=8, lr_size_px=16))
        self._base_seconds = base_seconds
        self._item_seconds = item_seconds

    def warm_up(self) -> None:
        """There is nothing to warm."""

    def upscale(
        self, reference: str, images: Sequence[RgbImage]
    ) -> Sequence[UpscaledImage | ServiceError]:
        ends_at = time.perf_counter() + self._base_seconds + self._item_seconds * len(images)
        model = next(model for model in self.models if model.reference == reference)
        results = [_repeat_pixels(image, model) for image in images]
        # What the results took is part of the time that was set.
        time.sleep(max(0.0, ends_at - time.perf_counter()))
        return results

    def read_emotions(self, images: Sequence[RgbImage]) -> Sequence[EmotionReading | ServiceError]:
        raise NoClassifierError("the stub has no expression classifier")

    def propose_faces(self, tiles: Sequence[RgbImage]) -> Sequence[TileProposals | ServiceError]:
        raise NoFaceDetectorError("the stub has no face detector")

    def judge_faces(self, crops: Sequence[RgbImage]) -> Sequence[Judgement | ServiceError]:
        raise NoFaceDetectorError("the stub has no face detector")

    def close(self) -> None:
        """There is nothing to close."""


@dataclass(frozen=True, kw_only=True)
class RunningStub:
    """A process that serves, and where."""

    address: Address
    process: subprocess.Popen[bytes]


@contextlib.contextmanager
def running_stub(
    *, base_ms: float, item_ms: float, cores: Sequence[int] = (), settings: Mapping[str, object]
) -> Iterator[RunningStub]:
    """Run the stub as a process of its own while the block runs, from when it is ready.

    Args:
        base_ms: what a batch costs, whatever is in it.
        item_ms: what each of its images adds.
        cores: that it may use; none means all.
        settings: by field, beyond those of the environment.

    Raises:
        RuntimeError: it does not start.
    """
    address = Address(host="127.0.0.1", port=_free_port())
    variables = {environment_name(name): str(value) for name, value in settings.items()}
    variables[environment_name("http_port")] = str(address.port)
    variables.setdefault(environment_name("log_level"), "warning")
    command = [sys.executable, "-m", "service.bench.stub"]
    command += [f"--base-ms={base_ms}", f"--item-ms={item_ms}"]
    with subprocess.Popen(command, env={**os.environ, **variables}) as process:
        try:
            if cores:
                os.sched_setaffinity(process.pid, cores)
            _wait_until_it_listens(process, address)
            yield RunningStub(address=address, process=process)
        finally:
            process.terminate()
            process.wait()


def _wait_until_it_listens(process: subprocess.Popen[bytes], address: Address) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"the stub ended with status {process.returncode} as it started")
        with socket.socket() as probe:
            if probe.connect_ex((address.host, address.port)) == 0:
                return
        time.sleep(0.1)
    raise RuntimeError(f"the stub does not listen after {_START_SECONDS} s")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _model(*, scale: int, lr_size_px: int) -> ServedModel:
    return ServedModel(
        name=f"affectsrnet-x{scale}",
        version="0",
        scale=scale,
        lr_size_px=lr_size_px,
        num_parameters=0,
        weights_sha256="0" * 64,
        licence="none: it is a stub",
        metrics={},
    )


def _repeat_pixels(image: RgbImage, model: ServedModel) -> UpscaledImage:
    height, width = image.shape[:2]
    placement = GridPlacement.of(image, model)
    left, top, right, bottom = placement.output_box
    rows = np.arange(bottom - top) * height // (bottom - top)
    columns = np.arange(right - left) * width // (right - left)
    return UpscaledImage(
        rgb=np.ascontiguousarray(image[rows][:, columns]),
        resampling=placement.resampling,
        landmark_source="none",
        landmark_confidence=None,
    )


def main() -> int:
    """Serve until told to stop."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--base-ms", type=float, default=5)
    parser.add_argument("--item-ms", type=float, default=1)
    options = parser.parse_args()
    settings = Settings()
    configure_logging(settings.log_level, settings.log_format)
    engine = StubEngine(base_seconds=options.base_ms / 1000, item_seconds=options.item_ms / 1000)
    return serve(settings, engine=engine)


if __name__ == "__main__":
    sys.exit(main())
