"""What the reference computes is kept from start to start, and computed anew where it must be."""

from pathlib import Path

import numpy as np
import pytest

from model_store.image_tensor import RgbImage
from service.engine.accuracy import Expected, expect, sample_faces
from service.engine.base import UpscaledImage
from service.engine.graph_cache import GraphCache
from service.engine.reference import Reference
from service.errors import ServiceError
from tests.fakes import NearestEngine, served_classifier

X4 = "affectsrnet-x4@1"


class CountingEngine(NearestEngine):
    """Counts the batches that it upscales."""

    def __init__(self, *, reads_expressions: bool = True) -> None:
        super().__init__(classifier=served_classifier() if reads_expressions else None)
        self.num_batches = 0

    def upscale(self, reference: str, images: list[RgbImage]) -> list[UpscaledImage | ServiceError]:
        self.num_batches += 1
        return super().upscale(reference, images)

    def expected(self, cache: Path | None, *, depends_on: str = "weights") -> Expected:
        """As a start of its own asks for it."""
        kept_in = None if cache is None else GraphCache(cache)
        return Reference(self, cache=kept_in, depends_on=depends_on, num_threads=1).expected(X4)


def assert_equal(found: Expected, wanted: Expected) -> None:
    assert all(np.array_equal(*pair) for pair in zip(found.images, wanted.images, strict=True))
    assert found.top_classes == wanted.top_classes
    if wanted.probabilities is None:
        assert found.probabilities is None
    else:
        assert found.probabilities is not None
        assert np.array_equal(found.probabilities, wanted.probabilities)


@pytest.mark.parametrize("reads_expressions", [True, False])
def test_second_start_computes_nothing_and_expects_the_same(
    reads_expressions: bool, tmp_path: Path
) -> None:
    engine = CountingEngine(reads_expressions=reads_expressions)
    wanted = expect(engine, X4, sample_faces())
    for _ in range(2):
        assert_equal(engine.expected(tmp_path), wanted)
    assert engine.num_batches == 2


def test_other_weights_code_or_torch_are_computed_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = CountingEngine()
    engine.expected(tmp_path)
    engine.expected(tmp_path, depends_on="other weights")
    assert engine.num_batches == 2
    monkeypatch.setattr("service.engine.reference.digest_of_code", lambda: "newer")
    engine.expected(tmp_path)
    assert engine.num_batches == 3
    monkeypatch.setattr("torch.__version__", "1999.1")
    engine.expected(tmp_path)
    assert engine.num_batches == 4


def test_without_a_cache_every_start_computes() -> None:
    engine = CountingEngine()
    engine.expected(None)
    engine.expected(None)
    assert engine.num_batches == 2


def test_what_cannot_be_read_is_computed_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = CountingEngine()
    monkeypatch.setattr(GraphCache, "read", lambda *_, **__: b"no archive")
    engine.expected(tmp_path)
    engine.expected(tmp_path)
    assert engine.num_batches == 2
