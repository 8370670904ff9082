"""From image files to upscaled image files: one method for each arrow of a request's way.

cache -> admit -> decode -> choose the model -> batch (engine) -> encode. The HTTP route and the
command line both walk it.
"""

import asyncio
import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from service.cache import CacheSource, ResponseCache
from service.catalogue import ModelCatalogue
from service.engine.base import Resampling, ServedModel
from service.engine.readout import Upscaled
from service.engine_room import EngineRoom, StageTimes
from service.errors import CapacityError, ServiceError
from service.images import DecodedImage, MediaType, resize_alpha
from service.readings import describe_readout
from service.schemas import Resampled, Size, UpscaledFields

AlphaTreatment = Literal["none", "kept", "on-white"]

# Below it a digest takes less time than a thread's turn.
_DIGEST_IN_THREAD_BYTES = 256 * 1024


@dataclass(frozen=True, kw_only=True)
class UpscaleOrder:
    """What a caller wants done.

    Attributes:
        images: files as they came.
        scale: None leaves it to the model, or to each image's size.
        model: "name" or "name@version"; None leaves it open.
        media_type: of the results.
        wants_readout: the expressions of result and input are read, too.
        deadline: on the pipeline's clock.
        owner: on whose behalf; nobody is given what was made for another.
        may_use_cache: a result may come from the cache, and be kept there.
    """

    images: Sequence[bytes]
    scale: int | None
    model: str | None
    media_type: MediaType
    wants_readout: bool
    deadline: float = math.inf
    owner: str = ""
    may_use_cache: bool = True


@dataclass(frozen=True, kw_only=True)
class UpscaledFile:
    """One upscaled image as a file, and how it came to be, as replies tell it.

    Attributes:
        data: the file.
        fields: what replies tell of it.
        source: where it came from; None where no cache was asked.
    """

    data: bytes
    fields: UpscaledFields
    source: CacheSource | None = None


class UpscaledFileForm:
    """An upscaled file as the cache keeps it."""

    def fields_of(self, value: UpscaledFile) -> bytes:
        return value.fields.model_dump_json(by_alias=True).encode()

    def data_of(self, value: UpscaledFile) -> bytes:
        return value.data

    def value_of(self, fields: bytes, data: bytes) -> UpscaledFile:
        return UpscaledFile(data=data, fields=UpscaledFields.model_validate_json(fields))


class UpscalePipeline:
    """What a request for upscaling walks through."""

    def __init__(self, room: EngineRoom, cache: ResponseCache[UpscaledFile] | None = None) -> None:
        self.catalogue = ModelCatalogue(room.models)
        self.engine = room.engine
        self.classifier = room.classifier
        self._room = room
        self._cache = cache

    async def upscale(
        self, order: UpscaleOrder, times: StageTimes
    ) -> list[UpscaledFile | ServiceError]:
        """Upscale every image; one that cannot be upscaled gives its error in its place.

        Raises:
            RequestError: the parameters are wrong.
            CapacityError: overloaded, stopping, or the deadline passed: nothing is returned.
        """
        wanted = self.catalogue.requested(name=order.model, scale=order.scale)
        if self._cache is None or not order.may_use_cache:
            outcomes = await self._make(order, wanted, times)
        else:
            outcomes = await self._find_or_make(self._cache, order, wanted, times)
        for outcome in outcomes:
            if isinstance(outcome, CapacityError):
                raise outcome
        return outcomes

    async def _make(
        self, order: UpscaleOrder, wanted: ServedModel | None, times: StageTimes
    ) -> list[UpscaledFile | ServiceError]:
        if len(order.images) == 1:  # nearly always, and a task costs more than a call
            async with self._room.admitted(1, deadline=order.deadline):
                return [await self._upscale_one(order.images[0], order, wanted, times)]
        async with (
            self._room.admitted(len(order.images), deadline=order.deadline),
            asyncio.TaskGroup() as group,
        ):
            tasks = [
                group.create_task(self._upscale_one(data, order, wanted, times))
                for data in order.images
            ]
        return [task.result() for task in tasks]

    async def _find_or_make(
        self,
        cache: ResponseCache[UpscaledFile],
        order: UpscaleOrder,
        wanted: ServedModel | None,
        times: StageTimes,
    ) -> list[UpscaledFile | ServiceError]:
        # The owner is part of the key: a hit, or an answer that is quick, would tell one caller
        # that another has sent this very face.
        parts = [
            order.owner,
            "by size" if wanted is None else wanted.reference,
            order.media_type,
            "readout" if order.wants_readout else "no readout",
        ]
        async with self._room.within(order.deadline):
            keys = [cache.key(parts, await _digest(data)) for data in order.images]
            # What is made may outlast this request, if others wait for it.
            lasting = replace(order, deadline=math.inf)
            makers = {
                key: partial(self._upscale_one, data, lasting, wanted, times)
                for key, data in zip(keys, order.images, strict=True)
            }
            found = await cache.get_or_make(makers, admission=self._room.admission)
        outcomes = [found[key] for key in keys]
        return [
            outcome
            if isinstance(outcome, ServiceError)
            else replace(outcome.value, source=outcome.source)
            for outcome in outcomes
        ]

    async def _upscale_one(
        self, data: bytes, order: UpscaleOrder, wanted: ServedModel | None, times: StageTimes
    ) -> UpscaledFile | ServiceError:
        try:
            image = await self._room.decode(data, times)
            model = wanted or self.catalogue.for_size(image.width, image.height)
            upscaled = await self._room.upscale(
                image.rgb,
                model,
                wants_readout=order.wants_readout,
                deadline=order.deadline,
                times=times,
            )
            return await self._encode(image, upscaled, model, order, times)
        except ServiceError as error:
            return error

    async def _encode(
        self,
        image: DecodedImage,
        upscaled: Upscaled,
        model: ServedModel,
        order: UpscaleOrder,
        times: StageTimes,
    ) -> UpscaledFile:
        rgb, media_type = upscaled.image.rgb, order.media_type
        height, width = rgb.shape[:2]
        treatment: AlphaTreatment = "none"
        alpha = None
        if image.alpha is not None:
            treatment = "on-white" if media_type == "image/jpeg" else "kept"
            alpha = resize_alpha(image.alpha, width=width, height=height)
        data = await self._room.encode(rgb, media_type, alpha=alpha, times=times)
        resampling, readout = upscaled.image.resampling, upscaled.readout
        fields = UpscaledFields(
            model=model.reference,
            scale=model.scale,
            landmarks=upscaled.image.landmark_source,
            landmark_confidence=upscaled.image.landmark_confidence,
            input=Size(width=image.width, height=image.height),
            output=Size(width=width, height=height),
            resampled=None if resampling is None else _describe_resampling(resampling),
            alpha=treatment,
            media_type=media_type,
            readout="expression" if readout is not None else self._why_unread(order),
            expression=None if readout is None else describe_readout(readout),
        )
        return UpscaledFile(data=data, fields=fields)

    def _why_unread(self, order: UpscaleOrder) -> Literal["none", "no-classifier", "failed"]:
        """Not asked for, nothing to read with, or no probabilities came out."""
        if not order.wants_readout:
            return "none"
        return "no-classifier" if self.classifier is None else "failed"


async def _digest(data: bytes) -> bytes:
    if len(data) < _DIGEST_IN_THREAD_BYTES:
        return hashlib.sha256(data).digest()
    return await asyncio.to_thread(lambda: hashlib.sha256(data).digest())


def _describe_resampling(resampling: Resampling) -> Resampled:
    return Resampled(
        from_size=Size(width=resampling.from_width, height=resampling.from_height),
        to_size=Size(width=resampling.to_width, height=resampling.to_height),
    )
