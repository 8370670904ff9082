"""The published face detector on OpenVINO and on PyTorch."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from model_store.faces.blazeface import BlazeFace
from model_store.faces.detector import FaceDetector
from model_store.image_tensor import RgbImage
from model_store.landmarks.landmarker import Landmarker
from model_store.store import ModelStore
from service.engine.face_finder import FaceFinder
from service.engine.graph_cache import GraphCache
from service.engine.openvino_faces import OpenVinoBlazeFace, order_detector
from service.engine.openvino_runtime import OpenVinoRuntime
from tests.fakes import served_detector


@pytest.fixture(scope="module")
def networks() -> tuple[BlazeFace, Landmarker]:
    store = ModelStore()
    network, landmarker = (store.load(name).module for name in ("face-detector", "landmarker"))
    assert isinstance(network, BlazeFace)
    assert isinstance(landmarker, Landmarker)
    return network, landmarker


def open_finder(networks: tuple[BlazeFace, Landmarker], cache: Path) -> FaceFinder:
    runtime = OpenVinoRuntime(num_threads=1, cache=GraphCache(cache))
    with runtime.compiler() as compiler:
        graphs = order_detector(compiler, served_detector(), networks[0], dtype="float32")
    blazeface = OpenVinoBlazeFace([graph.result() for graph in graphs])
    detector = FaceDetector(blazeface.look_at, networks[1])
    return FaceFinder(served_detector(), detector, torch.device("cpu"))


@pytest.fixture(scope="module")
def tiles(samples: Path) -> list[RgbImage]:
    """Tiles of several shapes with the sample face, one of them without."""
    face = Image.open(samples / "face_128px.png").convert("RGB").resize((48, 48))
    found = [np.full((96, 64, 3), 90, np.uint8)]
    for width, height in ((96, 96), (160, 96), (96, 96), (288, 224)):
        tile = Image.new("RGB", (width, height), (90, 100, 110))
        tile.paste(face, (width // 4, height // 4))
        found.append(np.asarray(tile))
    return found


def test_faces_are_found_where_pytorch_finds_them_in_tiles_of_any_size(
    networks: tuple[BlazeFace, Landmarker],
    tiles: list[RgbImage],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    cache = tmp_path_factory.mktemp("cache")
    reference = FaceFinder(
        served_detector(), FaceDetector(networks[0].look_at, networks[1]), torch.device("cpu")
    )
    expected = reference.propose(tiles)
    assert [bool(found.proposals) for found in expected] == [False, True, True, True, True]
    # The second one is read from the cache.
    for _ in range(2):
        for ours, theirs in zip(open_finder(networks, cache).propose(tiles), expected, strict=True):
            assert len(ours.proposals) == len(theirs.proposals)
            for one, other in zip(ours.proposals, theirs.proposals, strict=True):
                assert one.box == pytest.approx(other.box, abs=0.05)
                assert one.crop_to_picture == pytest.approx(other.crop_to_picture, abs=0.05)
                assert one.score == pytest.approx(other.score, abs=1e-3)


def test_crops_are_judged_as_pytorch_judges_them(
    networks: tuple[BlazeFace, Landmarker], samples: Path, tmp_path: Path
) -> None:
    face = np.asarray(Image.open(samples / "face_128px.png").convert("RGB").resize((64, 64)))
    crops = [face, np.full_like(face, 90)]
    reference = FaceFinder(
        served_detector(), FaceDetector(networks[0].look_at, networks[1]), torch.device("cpu")
    )
    expected = reference.judge(crops)
    assert [judgement.confidence > 0.5 for judgement in expected] == [True, False]
    for ours, theirs in zip(open_finder(networks, tmp_path).judge(crops), expected, strict=True):
        assert ours.confidence == pytest.approx(theirs.confidence, abs=1e-3)
        assert ours.better_crop == pytest.approx(theirs.better_crop, abs=1e-3)
