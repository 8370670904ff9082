"""From image files to upscaled image files: one method for each arrow of a request's way.

admit -> decode -> choose the model -> batch (engine) -> encode. The HTTP routes and the command
line both walk it; neither knows of threads, batches or torch.
"""

import asyncio
import math
import random
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

from model_store.image_tensor import RgbImage
from service.admission import Admission
from service.batching import BatchLimits, Claim, DynamicBatcher
from service.catalogue import ModelCatalogue
from service.engine.base import Engine, ServedModel, UpscaledImage
from service.engine.thread import EngineThread
from service.errors import CapacityError, DeadlineExceededError, ServiceError
from service.images import DecodedImage, ImageCodec, ImageLimits, MediaType, resize_alpha
from service.metrics import Metrics
from service.settings import Settings

AlphaTreatment = Literal["none", "kept", "on-white"]


@dataclass
class StageTimes:
    """Seconds by stage; of several images that go through a stage at once the slowest counts."""

    seconds: dict[str, float] = field(default_factory=dict)

    def record(self, stage: str, seconds: float) -> None:
        self.seconds[stage] = max(seconds, self.seconds.get(stage, 0.0))


@dataclass(frozen=True, kw_only=True)
class UpscaleOrder:
    """What a caller wants done.

    Attributes:
        images: files as they came.
        scale: None leaves it to the model, or to each image's size.
        model: "name" or "name@version"; None leaves it open.
        media_type: of the results.
        deadline: on the pipeline's clock.
    """

    images: Sequence[bytes]
    scale: int | None
    model: str | None
    media_type: MediaType
    deadline: float = math.inf


@dataclass(frozen=True, kw_only=True)
class UpscaledFile:
    """One upscaled image as a file, and how it came to be."""

    data: bytes
    media_type: MediaType
    width: int
    height: int
    input_width: int
    input_height: int
    alpha: AlphaTreatment
    model: ServedModel
    upscaled: UpscaledImage


class UpscalePipeline:
    """Everything that a request for upscaling walks through; made by `open_pipeline`."""

    def __init__(
        self,
        *,
        engine: Engine,
        thread: EngineThread,
        codec: ImageCodec,
        settings: Settings,
        metrics: Metrics,
        clock: Callable[[], float],
        rng: random.Random,
    ) -> None:
        self.catalogue = ModelCatalogue(engine.models)
        self._admission = Admission(
            settings.admission_capacity, rng=rng, on_change=metrics.inflight_changed
        )
        self.batcher: DynamicBatcher[RgbImage, UpscaledImage] = DynamicBatcher(
            self._run_batch,
            BatchLimits(
                max_batch_size=settings.max_batch_size,
                max_batch_cost=settings.max_batch_pixels,
                queue_capacity=settings.queue_capacity,
                max_wait_seconds=settings.max_wait_ms / 1000,
            ),
            observer=_QueueObserver(metrics, self._admission),
            clock=clock,
        )
        self._engine = engine
        self._thread = thread
        self._codec = codec
        self._metrics = metrics
        self._clock = clock

    async def upscale(
        self, order: UpscaleOrder, times: StageTimes
    ) -> list[UpscaledFile | ServiceError]:
        """Upscale every image; one that cannot be upscaled gives its error in its place.

        Raises:
            RequestError: the parameters are wrong.
            CapacityError: overloaded, stopping, or the deadline passed: nothing is returned.
        """
        wanted = self.catalogue.requested(name=order.model, scale=order.scale)
        with self._admission.admit(len(order.images)):
            async with self._until(order.deadline), asyncio.TaskGroup() as group:
                tasks = [
                    group.create_task(self._upscale_one(data, order, wanted, times))
                    for data in order.images
                ]
        outcomes = [task.result() for task in tasks]
        for outcome in outcomes:
            if isinstance(outcome, CapacityError):
                raise outcome
        return outcomes

    @asynccontextmanager
    async def _until(self, deadline: float) -> AsyncIterator[None]:
        seconds = deadline - self._clock()
        try:
            async with asyncio.timeout(None if math.isinf(seconds) else seconds):
                yield
        except TimeoutError:
            raise DeadlineExceededError(
                "the deadline passed before the result was ready; send X-Request-Timeout-Ms with "
                "a longer one, or retry when the service is less busy"
            ) from None

    async def _upscale_one(
        self, data: bytes, order: UpscaleOrder, wanted: ServedModel | None, times: StageTimes
    ) -> UpscaledFile | ServiceError:
        try:
            image = await self._decode(data, times)
            model = wanted or self.catalogue.for_size(image.width, image.height)
            upscaled = await self._run_model(image, model, order.deadline, times)
            return await self._encode(image, upscaled, model, order.media_type, times)
        except ServiceError as error:
            return error

    async def _decode(self, data: bytes, times: StageTimes) -> DecodedImage:
        started_at = self._clock()
        image = await self._codec.decode(data)
        times.record("decode", self._clock() - started_at)
        return image

    async def _run_model(
        self, image: DecodedImage, model: ServedModel, deadline: float, times: StageTimes
    ) -> UpscaledImage:
        # The model is the batcher's key: the engine brings images of every size to its one grid.
        batched = await self.batcher.submit(
            model.reference, image.rgb, cost=model.output_pixels, deadline=deadline
        )
        times.record("queue", batched.queue_seconds)
        times.record("infer", batched.run_seconds)
        self._metrics.image_upscaled(landmark_source=batched.result.landmark_source)
        return batched.result

    async def _encode(
        self,
        image: DecodedImage,
        upscaled: UpscaledImage,
        model: ServedModel,
        media_type: MediaType,
        times: StageTimes,
    ) -> UpscaledFile:
        started_at = self._clock()
        height, width = upscaled.rgb.shape[:2]
        treatment: AlphaTreatment = "none"
        alpha = None
        if image.alpha is not None:
            treatment = "on-white" if media_type == "image/jpeg" else "kept"
            alpha = resize_alpha(image.alpha, width=width, height=height)
        data = await self._codec.encode(upscaled.rgb, media_type, alpha=alpha)
        times.record("encode", self._clock() - started_at)
        return UpscaledFile(
            data=data,
            media_type=media_type,
            width=width,
            height=height,
            input_width=image.width,
            input_height=image.height,
            alpha=treatment,
            model=model,
            upscaled=upscaled,
        )

    async def _run_batch(
        self, key: str, claim: Claim[RgbImage]
    ) -> Sequence[UpscaledImage | ServiceError]:
        def run() -> Sequence[UpscaledImage | ServiceError]:
            images = claim()
            return self._engine.upscale(key, images) if images else []

        return await self._thread.run(run)


class _QueueObserver:
    """Passes on what the batcher tells: all of it to the metrics, the rate to admission."""

    def __init__(self, metrics: Metrics, admission: Admission) -> None:
        self._metrics = metrics
        self._admission = admission

    def queue_changed(self, *, num_items: int, cost: int) -> None:
        self._metrics.queue_changed(num_items=num_items, cost=cost)

    def batch_finished(self, *, num_items: int, run_seconds: float) -> None:
        self._metrics.batch_finished(num_items=num_items)
        self._admission.batch_finished(num_items=num_items, run_seconds=run_seconds)

    def item_dropped(self, reason: Literal["cancelled", "expired"]) -> None:
        self._metrics.item_dropped(reason)

    def item_failed(self) -> None:
        self._metrics.item_failed()


@asynccontextmanager
async def open_pipeline(
    settings: Settings,
    load_engine: Callable[[], Engine],
    *,
    metrics: Metrics,
    clock: Callable[[], float] = time.monotonic,
    rng: random.Random | None = None,
    warm_up: bool = True,
) -> AsyncIterator[UpscalePipeline]:
    """Load the engine on its thread, warm it up, start the batcher; end them all in reverse.

    Raises:
        ModelStoreError: a model cannot be trusted.
        StartupError: the engine cannot be had as the settings ask for it.
    """
    thread = EngineThread()
    codec = ImageCodec(
        ImageLimits(
            max_image_bytes=settings.max_image_bytes,
            min_image_side_px=settings.min_image_side_px,
            max_image_side_px=settings.max_image_side_px,
            max_aspect_ratio=settings.max_aspect_ratio,
        ),
        num_threads=settings.codec_threads,
    )
    try:
        engine = await thread.run(load_engine)
        if warm_up:
            await thread.run(engine.warm_up)
        pipeline = UpscalePipeline(
            engine=engine,
            thread=thread,
            codec=codec,
            settings=settings,
            metrics=metrics,
            clock=clock,
            rng=rng or random.Random(),
        )
        for model in engine.models:
            metrics.model_served(
                model=model.name, version=model.version, sha256=model.weights_sha256
            )
        pipeline.batcher.start()
        try:
            yield pipeline
        finally:
            await pipeline.batcher.close()
            await thread.run(engine.close)
    finally:
        thread.close()
        codec.close()
