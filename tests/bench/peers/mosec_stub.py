"""mosec around a device that takes 5 + n ms; raw bodies.

Run by tests/bench/bench_peers.py in an environment of its own:

    mosec_stub.py echo|images WAIT_MS [mosec's own options]

`echo` gives back the bytes that came. `images` decodes, enlarges and encodes, each in a stage of
its own, as mosec has it for work beside the model.
"""

import sys

from device import MAX_BATCH_SIZE, decode, encode, enlarge_all, take_time
from mosec import Server, Worker
from PIL import Image


class Raw(Worker):
    """Bytes in, bytes out."""

    def deserialize(self, data: bytes) -> bytes:
        return data

    def serialize(self, data: bytes) -> bytes:
        return data


class Echo(Raw):
    def forward(self, data: list[bytes]) -> list[bytes]:
        take_time(len(data))
        return data


class Decode(Raw):
    def forward(self, data: bytes) -> Image.Image:
        return decode(data)


class Enlarge(Raw):
    def forward(self, data: list[Image.Image]) -> list[Image.Image]:
        return enlarge_all(data)


class Encode(Raw):
    def forward(self, data: Image.Image) -> bytes:
        return encode(data)


if __name__ == "__main__":
    kind, wait_ms = sys.argv[1], int(sys.argv[2])
    server = Server()
    if kind == "images":
        server.append_worker(Decode)
    device = Enlarge if kind == "images" else Echo
    server.append_worker(device, max_batch_size=MAX_BATCH_SIZE, max_wait_time=wait_ms)
    if kind == "images":
        server.append_worker(Encode)
    server.run()
