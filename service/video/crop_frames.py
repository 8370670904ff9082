"""Frames that are crops of one face."""

import numpy as np
from PIL import Image

from model_store.image_tensor import RgbImage
from service.engine.base import ServedModel
from service.engine.grid import GridPlacement
from service.engine_room import EngineRoom
from service.errors import ItemFailedError
from service.video.detail import SteadyDetail
from service.video.frames import upscale_face


class CropFrames:
    """Upscales every frame as a whole by one network; a `FrameUpscaler`."""

    num_faces = 1

    def __init__(self, room: EngineRoom, model: ServedModel, *, width: int, height: int) -> None:
        self._room = room
        self._model = model
        self._detail = SteadyDetail()
        placement = GridPlacement.of(np.zeros((height, width, 3), np.uint8), model)
        left, top, right, bottom = placement.output_box
        self.output_size = right - left, bottom - top

    async def upscale(self, frame: RgbImage, *, seconds: float) -> RgbImage:
        """See `FrameUpscaler`; the longer side becomes the network's.

        Raises:
            ItemFailedError: the network failed on the frame.
        """
        result = await upscale_face(self._room, frame, self._model)
        if result is None:
            raise ItemFailedError("the network failed on a frame; give another --model")

        def steady() -> RgbImage:
            plain = Image.fromarray(frame).resize(self.output_size, Image.Resampling.BICUBIC)
            return self._detail.update(np.asarray(plain), result)

        return await self._room.compute(steady)
