"""`affectsr serve` around an engine of settable cost, as a process of its own.

    python -m tests.e2e.stub_server [--base-ms 5] [--item-ms 1] [--load-seconds 0]
                                    [--reads-expressions]

All else comes from the settings' environment variables. An image whose first pixel has one of the
levels below shows no face, or makes the device misbehave.
"""

import argparse
import dataclasses
import logging
import sys
import threading
import time
from collections.abc import Sequence

from model_store.image_tensor import RgbImage
from service.engine.base import UpscaledImage
from service.errors import DeviceLostError, ServiceError
from service.logs import configure_logging
from service.server import serve
from service.settings import Settings
from tests.fakes import NearestEngine, served_classifier

logger = logging.getLogger(__name__)

FACELESS, LOSES_DEVICE, HANGS, RAISES = 250, 251, 252, 253


class StubEngine(NearestEngine):
    """Repeats pixels and takes its time for it, without taking the CPU's."""

    def __init__(
        self,
        *,
        base_seconds: float,
        item_seconds: float,
        load_seconds: float,
        reads_expressions: bool,
    ) -> None:
        super().__init__(classifier=served_classifier() if reads_expressions else None)
        self._base_seconds = base_seconds
        self._item_seconds = item_seconds
        self._load_seconds = load_seconds
        self.before_batch = self._misbehave

    def warm_up(self) -> None:
        logger.info("loading")
        time.sleep(self._load_seconds)

    def upscale(
        self, reference: str, images: Sequence[RgbImage]
    ) -> Sequence[UpscaledImage | ServiceError]:
        time.sleep(self._base_seconds + self._item_seconds * len(images))
        results = super().upscale(reference, images)
        self.batches.clear()  # a long test would fill the memory with them
        return [
            dataclasses.replace(result, landmark_source="fallback")
            if isinstance(result, UpscaledImage) and image[0, 0, 0] == FACELESS
            else result
            for image, result in zip(images, results, strict=True)
        ]

    def _misbehave(self, images: Sequence[RgbImage]) -> None:
        levels = {int(image[0, 0, 0]) for image in images}
        if LOSES_DEVICE in levels:
            raise DeviceLostError("the stub was told to lose its device")
        if HANGS in levels:
            threading.Event().wait()
        if RAISES in levels:
            raise RuntimeError("the stub was told to fail")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--base-ms", type=float, default=5)
    parser.add_argument("--item-ms", type=float, default=1)
    parser.add_argument("--load-seconds", type=float, default=0)
    parser.add_argument("--reads-expressions", action="store_true")
    options = parser.parse_args()
    settings = Settings()
    configure_logging(settings.log_level, settings.log_format)
    engine = StubEngine(
        base_seconds=options.base_ms / 1000,
        item_seconds=options.item_ms / 1000,
        load_seconds=options.load_seconds,
        reads_expressions=options.reads_expressions,
    )
    return serve(settings, engine=engine)


if __name__ == "__main__":
    sys.exit(main())
