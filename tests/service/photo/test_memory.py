"""What a large photo takes: a fixed number of bytes for each pixel of the result.

3 megapixels here; `python -m tests.bench.bench_photo` measures 12 with the published models.
"""

import io

import numpy as np
import pytest
from PIL import Image

from service.engine.memory_limit import read_process_memory, reset_peak
from service.engine_room import StageTimes, open_engine_room
from service.lifecycle import Lifecycle
from service.metrics import Metrics
from service.photo import PhotoFile, PhotoOrder, PhotoPipeline
from service.settings import Settings
from tests.service.photo.drawn import draw_photo, finding_engine

pytestmark = pytest.mark.anyio

SIZE = (2000, 1500)
NUM_RESULT_PIXELS = 4 * SIZE[0] * SIZE[1]
# The search holds one level of the pyramid; a file in the making holds some rows.
FIXED_BYTES = 40 * 2**20


def as_png(photo: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(photo).save(file, "PNG", compress_level=1)
    return file.getvalue()


@pytest.mark.parametrize(
    ("num_channels", "bytes_a_pixel"),
    # Three for the result, four while it is in Pillow, nearly two for the photo; with transparency
    # one more, and three for the result on white.
    [(3, 9), (4, 14)],
)
async def test_memory_is_bounded_by_the_pixels_of_the_result(
    num_channels: int, bytes_a_pixel: int
) -> None:
    settings = Settings(codec_threads=1)
    photo = draw_photo(*SIZE, (300, 300, 40), (900, 700, 32))
    if num_channels == 4:
        photo = np.dstack([photo, np.full(photo.shape[:2], 200, np.uint8)])
    order = PhotoOrder(image=as_png(photo), media_type="image/jpeg", wants_readout=False)
    del photo
    async with open_engine_room(
        settings,
        finding_engine,
        metrics=Metrics(max_batch_size=settings.max_batch_size),
        lifecycle=Lifecycle(),
    ) as room:
        reset_peak()
        before = read_process_memory()
        if before is None or before.peak > before.resident + 2**20:
            pytest.skip("this system does not tell the peak of a process's memory anew")
        result = await PhotoPipeline(room, settings).upscale(order, StageTimes())
        after = read_process_memory()
    assert isinstance(result, PhotoFile)
    assert [face.action for face in result.fields.faces] == ["upscaled", "upscaled"]
    assert after is not None
    taken = after.peak - before.resident
    assert taken < NUM_RESULT_PIXELS * bytes_a_pixel + FIXED_BYTES
