"""What the reference computes of the built-in faces, kept from one start to the next.

PyTorch in float32 takes longer for them than the engine that is compared with it, and its results
follow from weights and code.
"""

import contextlib
import io
import zipfile
from collections.abc import Iterator
from hashlib import sha256

import numpy as np
import torch

from service.engine.accuracy import Expected, expect, sample_faces
from service.engine.base import Engine
from service.engine.graph_cache import GraphCache, digest_of_code


class Reference:
    """The reference, and what is kept of its results.

    Args:
        engine: computes what is not kept.
        cache: None keeps nothing.
        depends_on: all that its results follow from, besides code, model and PyTorch: digests of
            weights, settings.
        num_threads: that compute what is not kept.
    """

    def __init__(
        self, engine: Engine, *, cache: GraphCache | None, depends_on: str, num_threads: int
    ) -> None:
        self.engine = engine
        self._cache = cache
        self._depends_on = depends_on
        self._num_threads = num_threads

    def expected(self, model: str) -> Expected:
        """Results for `sample_faces`, of a model by its reference.

        Raises:
            EngineUnavailableError: a face could not be computed.
        """
        name, key = f"{model}-reference", self._key(model)
        kept = None if self._cache is None else self._cache.read(name, key=key)
        found = None if kept is None else _unpack(kept)
        if found is None:
            with _torch_threads(self._num_threads):
                found = expect(self.engine, model, sample_faces())
            if self._cache is not None:
                self._cache.write(name, _pack(found), key=key)
        return found

    def _key(self, model: str) -> str:
        parts = (
            model,
            self._depends_on,
            torch.__version__,
            torch.backends.cpu.get_cpu_capability(),
            digest_of_code(),
        )
        return sha256("\n".join(parts).encode()).hexdigest()


@contextlib.contextmanager
def _torch_threads(count: int) -> Iterator[None]:
    """Let PyTorch compute with so many threads meanwhile."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _pack(expected: Expected) -> bytes:
    arrays = {"images": np.stack(expected.images)}
    if expected.top_classes is not None and expected.probabilities is not None:
        arrays["top_classes"] = np.array(expected.top_classes)
        arrays["probabilities"] = np.stack(expected.probabilities)
    packed = io.BytesIO()
    np.savez(packed, **arrays)
    return packed.getvalue()


def _unpack(data: bytes) -> Expected | None:
    """None where it is not what `_pack` gives."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            images = list(arrays["images"])
            if "probabilities" not in arrays:
                return Expected(images=images, top_classes=None, probabilities=None)
            return Expected(
                images=images,
                top_classes=[(int(one), int(other)) for one, other in arrays["top_classes"]],
                probabilities=list(arrays["probabilities"]),
            )
    except (KeyError, ValueError, zipfile.BadZipFile):
        return None
