"""What upscales the frames of a clip one after the other, and what is wanted of it."""

import math
from dataclasses import dataclass
from typing import Literal, Protocol

from model_store.image_tensor import RgbImage
from service.engine.base import ServedModel
from service.engine_room import EngineRoom, StageTimes
from service.errors import CapacityError, ServiceError

VideoMode = Literal["auto", "photo", "face"]


@dataclass(frozen=True, kw_only=True)
class VideoOptions:
    """What is to be made of every frame.

    Attributes:
        mode: `photo` looks for faces in the frames, to `face` they are crops of one face, `auto`
            takes frames that are no larger than a network's result for crops.
        factor: output over input, of whole frames.
        scale: 4 or 8 for every face; None leaves it to each face's size.
        model: "name" or "name@version" for every face; None leaves it open.
        strength: 1 is the upscaled face, 0 the enlarged frame.
    """

    mode: VideoMode = "auto"
    factor: int = 2
    scale: int | None = None
    model: str | None = None
    strength: float = 1.0


class FrameUpscaler(Protocol):
    """Upscales the frames of one clip, in their order.

    Attributes:
        output_size: width and height of the results, in px.
        num_faces: that were seen so far.
    """

    @property
    def output_size(self) -> tuple[int, int]: ...
    @property
    def num_faces(self) -> int: ...

    async def upscale(self, frame: RgbImage, *, seconds: float) -> RgbImage:
        """Upscale an (H, W, 3) uint8 frame that comes so long after the one before.

        Raises:
            CapacityError: the device does not do its work.
        """


async def upscale_face(room: EngineRoom, face: RgbImage, model: ServedModel) -> RgbImage | None:
    """Upscale a face of any size; None where the network failed on it.

    Raises:
        CapacityError: the device does not do its work.
    """
    try:
        upscaled = await room.upscale(
            face, model, wants_readout=False, deadline=math.inf, times=StageTimes()
        )
    except CapacityError:
        raise
    except ServiceError:
        return None
    return upscaled.image.rgb
