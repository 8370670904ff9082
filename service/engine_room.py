"""What every request shares: admission in front, the codec, one batcher to the one engine thread.

Both pipelines walk through it; neither they nor the routes know of threads, batches or torch.
"""

import math
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from model_store.emotion.classifier import CROP_PX, EMOTIONS
from model_store.faces.detector import Judgement
from model_store.image_tensor import RgbImage
from service.admission import Admission
from service.batching import Batched, BatchLimits, Claim, DynamicBatcher
from service.engine.base import (
    EmotionReading,
    Engine,
    EngineDescription,
    ServedModel,
    ServedVersion,
    TileProposals,
)
from service.engine.readout import EngineItem, Upscaled, upscale_and_read_out
from service.engine.thread import EngineThread
from service.errors import (
    DeadlineExceededError,
    NoClassifierError,
    NoFaceDetectorError,
    ServiceError,
)
from service.images import AlphaMask, DecodedImage, ImageCodec, ImageLimits, MediaType
from service.lifecycle import Lifecycle
from service.metrics import Metrics
from service.queue_observer import QueueObserver
from service.settings import Settings
from service.time_limit import TimeLimit

EngineResult = Upscaled | EmotionReading | TileProposals | Judgement

ResultT = TypeVar("ResultT", Upscaled, EmotionReading, TileProposals, Judgement)
ItemT = TypeVar("ItemT")
T = TypeVar("T")


@dataclass
class StageTimes:
    """Seconds by stage; of several images that go through a stage at once the slowest counts."""

    seconds: dict[str, float] = field(default_factory=dict)

    def record(self, stage: str, seconds: float) -> None:
        self.seconds[stage] = max(seconds, self.seconds.get(stage, 0.0))


class EngineRoom:
    """The way of an image to the engine and back; made by `open_engine_room`."""

    def __init__(
        self,
        *,
        engine: Engine,
        thread: EngineThread,
        codec: ImageCodec,
        settings: Settings,
        metrics: Metrics,
        lifecycle: Lifecycle,
        clock: Callable[[], float],
        rng: random.Random,
    ) -> None:
        self.admission = Admission(
            settings.admission_capacity, rng=rng, clock=clock, on_change=metrics.inflight_changed
        )
        self.batcher: DynamicBatcher[EngineItem, EngineResult] = DynamicBatcher(
            self._run_batch,
            BatchLimits(
                max_batch_size=settings.max_batch_size,
                max_batch_cost=settings.max_batch_pixels,
                queue_capacity=settings.queue_capacity,
                max_wait_seconds=settings.max_wait_ms / 1000,
                stall_seconds=settings.device_stall_seconds,
            ),
            observer=QueueObserver(metrics, self.admission, lifecycle),
            clock=clock,
        )
        self._engine = engine
        self._thread = thread
        self._codec = codec
        self.metrics = metrics
        self._clock = clock

    @property
    def engine(self) -> EngineDescription:
        return self._engine.description

    @property
    def models(self) -> Sequence[ServedModel]:
        return self._engine.models

    @property
    def classifier(self) -> ServedVersion | None:
        return self._engine.classifier

    def require_classifier(self) -> ServedVersion:
        """Return the expression classifier.

        Raises:
            NoClassifierError: none is loaded.
        """
        if self.classifier is None:
            raise NoClassifierError(
                "no expression classifier is loaded here; the operator names one in "
                "AFFECTSR_EMOTION_MODEL, such as emotion-mobilefacenet"
            )
        return self.classifier

    @property
    def has_detector(self) -> bool:
        """Whether faces can be found in photos."""
        return self._engine.detector is not None

    def require_detector(self) -> ServedVersion:
        """Return the face detector.

        Raises:
            NoFaceDetectorError: none is loaded.
        """
        if self._engine.detector is None:
            raise NoFaceDetectorError(
                "no face detector is loaded here; the operator names one in "
                "AFFECTSR_FACE_DETECTOR_MODEL, such as face-detector"
            )
        return self._engine.detector

    @asynccontextmanager
    async def admitted(self, num_images: int, *, deadline: float) -> AsyncIterator[None]:
        """Let a request's images in until the block ends, which its deadline may end early.

        Raises:
            OverloadedError: there is no room for them.
            DeadlineExceededError: the deadline passed.
        """
        with self.admission.admit(num_images):
            async with self.within(deadline):
                yield

    def within(self, deadline: float) -> TimeLimit:
        """End the block when its deadline passes, by DeadlineExceededError."""
        return TimeLimit(
            deadline - self._clock(),
            lambda: DeadlineExceededError(
                "the deadline passed before the result was ready; send X-Request-Timeout-Ms "
                "with a longer one, or retry when the service is less busy"
            ),
        )

    async def decode(self, data: bytes, times: StageTimes) -> DecodedImage:
        """See `decode_image`."""
        started_at = self._clock()
        image = await self._codec.decode(data)
        times.record("decode", self._clock() - started_at)
        return image

    async def decode_all(
        self, files: Sequence[bytes], times: StageTimes
    ) -> list[DecodedImage | ServiceError]:
        """Decode several files, or say why one cannot be; see `decode_image`."""
        started_at = self._clock()
        images = await self._codec.decode_all(files)
        times.record("decode", self._clock() - started_at)
        return images

    async def decode_photo(self, data: bytes, times: StageTimes) -> DecodedImage:
        """See `decode_image`; within the bounds of whole photos."""
        started_at = self._clock()
        image = await self._codec.decode_photo(data)
        times.record("decode", self._clock() - started_at)
        return image

    @contextmanager
    def timed(self, stage: str, times: StageTimes) -> Iterator[None]:
        """Record what the block takes as a stage."""
        started_at = self._clock()
        yield
        times.record(stage, self._clock() - started_at)

    async def compute(self, work: Callable[[], T]) -> T:
        """Do work that takes a processor's time in the codec's threads, off the event loop."""
        return await self._codec.compute(work)

    async def compute_each(self, work: Callable[[ItemT], T], items: Sequence[ItemT]) -> list[T]:
        """Like `compute`, the items spread over all threads; results come in order."""
        return await self._codec.compute_each(work, items)

    async def propose_faces(
        self, tile: RgbImage, *, deadline: float, times: StageTimes
    ) -> TileProposals:
        """Say what may be a face in a tile of a photo, in a batch with others.

        Raises:
            NoFaceDetectorError: no detector is loaded.
            ServiceError: see `DynamicBatcher.submit`.
        """
        detector = self.require_detector()
        height, width = tile.shape[:2]
        batched = await self.batcher.submit(
            detector.reference, EngineItem(image=tile), cost=height * width, deadline=deadline
        )
        return _taken_out(TileProposals, batched, times)

    async def judge_face(self, crop: RgbImage, *, deadline: float, times: StageTimes) -> Judgement:
        """Judge a crop of what was proposed, in a batch with others.

        Raises:
            NoFaceDetectorError: no detector is loaded.
            ServiceError: see `DynamicBatcher.submit`.
        """
        height, width = crop.shape[:2]
        batched = await self.batcher.submit(
            _judging(self.require_detector()),
            EngineItem(image=crop),
            cost=height * width,
            deadline=deadline,
        )
        return _taken_out(Judgement, batched, times)

    async def upscale(
        self,
        image: RgbImage,
        model: ServedModel,
        *,
        wants_readout: bool,
        deadline: float,
        times: StageTimes,
    ) -> Upscaled:
        """Upscale an image of any size in a batch with others.

        Args:
            image: (H, W, 3) uint8.
            model: of `models`.
            wants_readout: read its expressions, too; without a classifier there is none to read.
            deadline: on the room's clock.
            times: told how long it waited and ran.

        Raises:
            ServiceError: see `DynamicBatcher.submit`.
        """
        item = EngineItem(image=image, wants_readout=wants_readout)
        # The model is the batcher's key: the engine brings images of every size to its one grid.
        batched = await self.batcher.submit(
            model.reference, item, cost=model.output_pixels, deadline=deadline
        )
        upscaled = _taken_out(Upscaled, batched, times)
        self.metrics.image_upscaled(landmark_source=upscaled.image.landmark_source)
        if upscaled.readout is not None:
            self.metrics.expression_read(
                expression=EMOTIONS[upscaled.readout.input.top_class],
                agrees=upscaled.readout.agrees,
            )
        return upscaled

    async def read_emotion(
        self, image: RgbImage, *, deadline: float, times: StageTimes
    ) -> EmotionReading:
        """Read the expression of an image of any size in a batch with others.

        Raises:
            NoClassifierError: none is loaded.
            ServiceError: see `DynamicBatcher.submit`.
        """
        classifier = self.require_classifier()
        batched = await self.batcher.submit(
            classifier.reference, EngineItem(image=image), cost=CROP_PX**2, deadline=deadline
        )
        return _taken_out(EmotionReading, batched, times)

    async def encode(
        self, rgb: RgbImage, media_type: MediaType, *, alpha: AlphaMask | None, times: StageTimes
    ) -> bytes:
        """See `encode_image`."""
        started_at = self._clock()
        data = await self._codec.encode(rgb, media_type, alpha=alpha)
        times.record("encode", self._clock() - started_at)
        return data

    def _run_batch(
        self, key: str, claim: Claim[EngineItem]
    ) -> Awaitable[Sequence[EngineResult | ServiceError]]:
        def run() -> Sequence[EngineResult | ServiceError]:
            items = claim()
            if not items:
                return []
            if self.classifier is not None and key == self.classifier.reference:
                return self._engine.read_emotions([item.image for item in items])
            detector = self._engine.detector
            if detector is not None and key == detector.reference:
                return self._engine.propose_faces([item.image for item in items])
            if detector is not None and key == _judging(detector):
                return self._engine.judge_faces([item.image for item in items])
            return upscale_and_read_out(self._engine, key, items)

        return self._thread.run(run)


def _judging(detector: ServedVersion) -> str:
    """The batcher's key of crops that are judged."""
    return f"{detector.reference} judging"


def _taken_out(kind: type[ResultT], batched: Batched[EngineResult], times: StageTimes) -> ResultT:
    """A batch's result as what its key makes of an item."""
    times.record("queue", batched.queue_seconds)
    times.record("infer", batched.run_seconds)
    if not isinstance(batched.result, kind):
        raise TypeError(f"the engine gave a {type(batched.result).__name__}, not {kind.__name__}")
    return batched.result


@asynccontextmanager
async def open_engine_room(
    settings: Settings,
    load_engine: Callable[[], Engine],
    *,
    metrics: Metrics,
    lifecycle: Lifecycle,
    clock: Callable[[], float] = time.monotonic,
    rng: random.Random | None = None,
    warm_up: bool = True,
    thread: EngineThread | None = None,
) -> AsyncIterator[EngineRoom]:
    """Load the engine on its thread, warm it up, start the batcher; end them all in reverse.

    The thread is one of its own, unless `thread` is there already.

    Raises:
        ModelStoreError: a model cannot be trusted.
        StartupError: the engine cannot be had as the settings ask for it.
    """
    thread = thread or EngineThread()
    codec = ImageCodec(
        ImageLimits(
            max_image_bytes=settings.max_image_bytes,
            min_image_side_px=settings.min_image_side_px,
            max_image_side_px=settings.max_image_side_px,
            max_aspect_ratio=settings.max_aspect_ratio,
        ),
        photo_limits=ImageLimits(
            max_image_bytes=settings.max_body_bytes,
            min_image_side_px=settings.min_image_side_px,
            max_image_side_px=settings.max_photo_pixels // settings.min_image_side_px,
            max_aspect_ratio=math.inf,
            max_image_pixels=settings.max_photo_pixels,
            remedy="scale the photo down",
        ),
        num_threads=settings.codec_threads,
    )
    try:
        engine = await thread.run(load_engine)
        if warm_up:
            await thread.run(engine.warm_up)
        room = EngineRoom(
            engine=engine,
            thread=thread,
            codec=codec,
            settings=settings,
            metrics=metrics,
            lifecycle=lifecycle,
            clock=clock,
            rng=rng or random.Random(),
        )
        metrics.engine_chosen(
            engine=engine.description.name,
            device=engine.description.device,
            dtype=engine.description.dtype,
            passed_over=", ".join(engine.description.passed_over),
        )
        others = [served for served in (engine.classifier, engine.detector) if served is not None]
        for served in (*engine.models, *others):
            metrics.model_served(
                model=served.name, version=served.version, sha256=served.weights_sha256
            )
        room.batcher.start()
        try:
            yield room
        finally:
            await room.batcher.close()
            if room.batcher.has_lost_device:
                thread.abandon()
            else:
                await thread.run(engine.close)
    finally:
        thread.close()
        codec.close()
