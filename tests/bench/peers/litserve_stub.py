"""LitServe around a device that takes 5 + n ms; it reads no raw bodies, so they come in JSON.

Run by tests/bench/bench_peers.py in an environment of its own:

    litserve_stub.py echo|images PORT

`echo` gives back the text that came; `images` decodes, enlarges and encodes.
"""

import base64
import sys

import litserve
from device import MAX_BATCH_SIZE, decode, encode, enlarge_all, take_time
from PIL import Image


class Echo(litserve.LitAPI):
    def setup(self, device: str) -> None:
        """There is nothing to load."""

    def decode_request(self, request: dict[str, str]) -> str:
        return request["image"]

    def batch(self, inputs: list[str]) -> list[str]:
        return inputs

    def predict(self, images: list[str]) -> list[str]:
        take_time(len(images))
        return images

    def unbatch(self, output: list[str]) -> list[str]:
        return output

    def encode_response(self, output: str) -> dict[str, str]:
        return {"image": output}


class Images(litserve.LitAPI):
    def setup(self, device: str) -> None:
        """There is nothing to load."""

    def decode_request(self, request: dict[str, str]) -> Image.Image:
        return decode(base64.b64decode(request["image"]))

    def batch(self, inputs: list[Image.Image]) -> list[Image.Image]:
        return inputs

    def predict(self, images: list[Image.Image]) -> list[Image.Image]:
        return enlarge_all(images)

    def unbatch(self, output: list[Image.Image]) -> list[Image.Image]:
        return output

    def encode_response(self, output: Image.Image) -> dict[str, str]:
        return {"image": base64.b64encode(encode(output)).decode()}


if __name__ == "__main__":
    stub = Images if sys.argv[1] == "images" else Echo
    server = litserve.LitServer(stub(max_batch_size=MAX_BATCH_SIZE), accelerator="cpu", devices=1)
    server.run(
        host="127.0.0.1",
        port=int(sys.argv[2]),
        num_api_servers=1,
        generate_client_file=False,
        log_level="error",
    )
