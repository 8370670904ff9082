"""Everything that a run writes, at its most talkative: no file name, no pixel, no query."""

import base64
import json
import signal
from collections.abc import Callable

import httpx
import numpy as np
import pytest

from tests.e2e.conftest import ServerProcess
from tests.e2e.stub_server import RAISES
from tests.service.images.png_writer import RGB, chunk, write_png
from tests.service.support import as_file, noise, plain

pytestmark = pytest.mark.e2e

NAME, QUERY, PIXELS, NOTE = "anna-at-the-beach", "whoever-asks", b"THEPIXEL", b"THENOTE"

# The fields that a line may have.
FIELDS = {
    "time", "level", "logger", "message", "exception", "request_id", "trace_id", "parent_id",
    "method", "route", "status", "duration_ms", "problem", "detail",
}  # fmt: skip


def spelling_image() -> bytes:
    """A PNG whose pixels spell a word and whose metadata another."""
    row = np.frombuffer(PIXELS * 12, dtype=np.uint8).reshape(1, 32, 3)
    note = chunk(b"tEXt", b"Comment\x00" + NOTE)
    return write_png(np.repeat(row, 32, axis=0), RGB, 8, extra=note)


def test_no_line_of_a_run_holds_a_file_name_a_pixel_or_a_query(
    serve_stub: Callable[..., ServerProcess],
) -> None:
    server = serve_stub(log_level="debug", drain_delay_seconds=0)
    host, port = server.wait_for_address()
    image = spelling_image()
    bodies = [image, image[:-30], image[:90], as_file(plain(RAISES)), b"GIF89a" + PIXELS, PIXELS]
    bodies.append(as_file(noise(), "JPEG", comment=NOTE, exif=b"Exif\0\0" + NOTE))
    with httpx.Client(base_url=f"http://{host}:{port}", timeout=20) as client:
        for body in bodies:
            client.post("/v1/upscale", files=[("image", (f"{NAME}.png", body))])
            client.post("/v1/upscale", content=body, headers={"Content-Type": "image/png"})
        client.post("/v1/upscale", files=[(NAME, (f"{NAME}.png", image))])
        form = {"Content-Type": "multipart/form-data; boundary=x"}
        assert client.post("/v1/upscale", content=image, headers=form).status_code == 400
        client.post(f"/v1/upscale?scale=4&model={QUERY}", content=image)
        client.get(f"/{NAME}?{QUERY}")
        client.get("/livez", headers={"Authorization": f"Bearer {QUERY}"})
    server.signal(signal.SIGTERM)
    assert server.wait() == 0
    output = "\n".join(server.lines)
    assert len(server.lines) > 20
    # What a caller got wrong is told to it, and to nobody else.
    for secret in (NAME, QUERY, PIXELS.decode(), NOTE.decode(), PIXELS.hex(), "x89PNG", "IHDR"):
        assert secret not in output
    for offset in range(3):
        assert base64.b64encode(PIXELS[offset:] + PIXELS).decode()[2:8] not in output
    for line in server.lines:
        assert set(json.loads(line)) <= FIELDS
