"""From image files to upscaled image files: one method for each arrow of a request's way.

admit -> decode -> choose the model -> batch (engine) -> encode. The HTTP route and the command
line both walk it.
"""

import asyncio
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from service.catalogue import ModelCatalogue
from service.engine.base import Resampling, ServedModel
from service.engine.readout import Upscaled
from service.engine_room import EngineRoom, StageTimes
from service.errors import CapacityError, ServiceError
from service.images import DecodedImage, MediaType, resize_alpha
from service.readings import describe_readout
from service.schemas import Resampled, Size, UpscaledFields

AlphaTreatment = Literal["none", "kept", "on-white"]


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
    """

    images: Sequence[bytes]
    scale: int | None
    model: str | None
    media_type: MediaType
    wants_readout: bool
    deadline: float = math.inf


@dataclass(frozen=True, kw_only=True)
class UpscaledFile:
    """One upscaled image as a file, and how it came to be, as replies tell it."""

    data: bytes
    fields: UpscaledFields


class UpscalePipeline:
    """What a request for upscaling walks through."""

    def __init__(self, room: EngineRoom) -> None:
        self.catalogue = ModelCatalogue(room.models)
        self.classifier = room.classifier
        self._room = room

    async def upscale(
        self, order: UpscaleOrder, times: StageTimes
    ) -> list[UpscaledFile | ServiceError]:
        """Upscale every image; one that cannot be upscaled gives its error in its place.

        Raises:
            RequestError: the parameters are wrong.
            CapacityError: overloaded, stopping, or the deadline passed: nothing is returned.
        """
        wanted = self.catalogue.requested(name=order.model, scale=order.scale)
        async with (
            self._room.admitted(len(order.images), deadline=order.deadline),
            asyncio.TaskGroup() as group,
        ):
            tasks = [
                group.create_task(self._upscale_one(data, order, wanted, times))
                for data in order.images
            ]
        outcomes = [task.result() for task in tasks]
        for outcome in outcomes:
            if isinstance(outcome, CapacityError):
                raise outcome
        return outcomes

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


def _describe_resampling(resampling: Resampling) -> Resampled:
    return Resampled(
        from_size=Size(width=resampling.from_width, height=resampling.from_height),
        to_size=Size(width=resampling.to_width, height=resampling.to_height),
    )
