"""The published face detector: MediaPipe's answers, and small and turned faces found."""

import importlib.util
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from model_store.faces.blazeface import BlazeFace
from model_store.faces.detector import FaceDetector, Judgement
from model_store.faces.finding import PhotoFace, find_faces
from model_store.faces.framing import transform
from model_store.faces.tflite_weights import load_blazeface, read_convolutions
from model_store.image_tensor import RgbImage, stack_levels
from model_store.landmarks.landmarker import Landmarker
from model_store.store import ModelStore

# The sample's own crop is looser than the framing that faces are cut out by.
SIDE_OF_SAMPLE = 0.838


@pytest.fixture(scope="module")
def network() -> BlazeFace:
    module = ModelStore().load("face-detector").module
    assert isinstance(module, BlazeFace)
    return module


@pytest.fixture(scope="module")
def detector(network: BlazeFace) -> FaceDetector:
    landmarker = ModelStore().load("landmarker").module
    assert isinstance(landmarker, Landmarker)
    return FaceDetector(network.look_at, landmarker)


@pytest.fixture(scope="module")
def face(samples: Path) -> Image.Image:
    return Image.open(samples / "face_128px.png").convert("RGB")


@pytest.fixture(scope="module")
def mediapipe_file() -> Path:
    found = importlib.util.find_spec("mediapipe")
    if found is None or found.origin is None:
        pytest.skip("needs mediapipe, an extra: pip install '.[mediapipe]'")
    folder = Path(found.origin).parent / "modules" / "face_detection"
    return folder / "face_detection_full_range_sparse.tflite"


def find(detector: FaceDetector, photo: RgbImage, *, min_face_px: float = 12) -> list[PhotoFace]:
    return find_faces(
        photo,
        lambda tile: detector.propose(stack_levels([tile.pixels]))[0],
        lambda crops: detector.judge(stack_levels(crops)),
        min_face_px=min_face_px,
        max_level_pixels=500_000,
    )


def with_face(
    face: Image.Image, *, side: int, at: tuple[int, int], size: tuple[int, int], degrees: float = 0
) -> RgbImage:
    """A smooth picture with the face around a point, turned clockwise."""
    rows, columns = np.mgrid[0 : size[1], 0 : size[0]]
    ramp = np.stack([90 + columns % 256 // 8, 110 + rows % 256 // 8, 100 + 0 * rows], -1)
    photo = Image.fromarray(ramp.astype(np.uint8))
    small = face.resize((side, side), Image.Resampling.BICUBIC).convert("RGBA")
    turned = small.rotate(-degrees, Image.Resampling.BICUBIC, expand=True)
    photo.paste(turned, (at[0] - turned.width // 2, at[1] - turned.height // 2), turned)
    return np.asarray(photo)


@torch.inference_mode()
def test_the_network_answers_what_mediapipe_answers(
    network: BlazeFace, face: Image.Image, mediapipe_file: Path
) -> None:
    from mediapipe.python.solutions.face_detection import FaceDetection

    picture = with_face(face, side=80, at=(90, 84), size=(192, 192))
    maps = network.look_at(stack_levels([picture]))
    [box], [points] = maps.faces_at(0, maps.scores[0].flatten().topk(1).indices)
    with FaceDetection(min_detection_confidence=0.5, model_selection=1) as reference:
        [detection] = reference.process(picture).detections
    assert float(maps.scores.max()) == pytest.approx(detection.score[0], abs=1e-3)
    found = detection.location_data.relative_bounding_box
    # MediaPipe averages boxes that overlap; beside the best there are some here, too.
    size = 192 * np.array([found.width, found.height])
    assert box[2:].numpy() == pytest.approx(size, rel=0.03)
    expected = [(192 * p.x, 192 * p.y) for p in detection.location_data.relative_keypoints]
    assert points.numpy() == pytest.approx(np.array(expected), abs=1.5)


def test_the_published_weights_are_those_of_mediapipes_file(
    network: BlazeFace, mediapipe_file: Path
) -> None:
    read = load_blazeface(mediapipe_file).state_dict()
    published = network.state_dict()
    assert list(read) == list(published)
    for name, values in published.items():
        assert torch.equal(values, read[name].half().float()), name
    # Pruned: that half of the values is 0 shows that the sparse ones were taken apart.
    kernels = [kernel for kernel, _ in read_convolutions(mediapipe_file) if kernel.size > 4000]
    assert 0.4 < np.mean([np.mean(kernel == 0) for kernel in kernels]) < 0.9


@pytest.mark.parametrize("data", [b"", b"TFL3", bytes(200)])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"model\.tflite"):
        load_blazeface(path)


@pytest.mark.parametrize("side", [16, 24, 48, 110])
def test_a_face_of_any_size_is_found_where_it_is(
    detector: FaceDetector, face: Image.Image, side: int
) -> None:
    photo = with_face(face, side=side, at=(150, 90), size=(320, 240))
    [found] = find(detector, photo)
    middle = transform(found.crop_to_photo, np.array([[0.5, 0.5]]))[0]
    assert middle == pytest.approx([150, 90], abs=0.08 * side + 1)
    assert found.side_px == pytest.approx(SIDE_OF_SAMPLE * side, rel=0.06)
    assert found.confidence > 0.5


@pytest.mark.parametrize("degrees", [-30, 30])
def test_a_turned_face_gives_a_turned_crop(
    detector: FaceDetector, face: Image.Image, degrees: float
) -> None:
    photo = with_face(face, side=64, at=(130, 110), size=(256, 224), degrees=degrees)
    [found] = find(detector, photo)
    right = found.crop_to_photo[:, 0]
    assert np.degrees(np.arctan2(right[1], right[0])) == pytest.approx(degrees, abs=6)


def test_nothing_is_found_where_nobody_is(detector: FaceDetector, face: Image.Image) -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (160, 224, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(noise[::20, ::20]).resize((224, 160)))
    tiles = np.asarray(face).reshape(4, 32, 4, 32, 3).swapaxes(1, 2).reshape(16, 32, 32, 3)
    shuffled = rng.permutation(tiles).reshape(4, 4, 32, 32, 3).swapaxes(1, 2)
    for photo in (noise, smooth, shuffled.reshape(128, 128, 3)):
        assert find(detector, np.ascontiguousarray(photo)) == []


def test_two_faces_side_by_side_are_two(detector: FaceDetector, face: Image.Image) -> None:
    photo = with_face(face, side=24, at=(120, 90), size=(320, 240))
    small = face.resize((24, 24), Image.Resampling.BICUBIC)
    pasted = Image.fromarray(photo)
    pasted.paste(small, (120 + 12, 90 - 12))  # where the first one's crop ends
    found = find(detector, np.asarray(pasted))
    assert sorted(round(one.middle[0]) for one in found) == pytest.approx([120, 144], abs=4)


def test_each_face_is_judged_about_once(detector: FaceDetector, face: Image.Image) -> None:
    judged = []
    photo = with_face(face, side=48, at=(150, 90), size=(320, 240))

    def judge(crops: Sequence[RgbImage]) -> list[Judgement]:
        judged.extend(crops)
        return detector.judge(stack_levels(crops))

    propose = lambda tile: detector.propose(stack_levels([tile.pixels]))[0]  # noqa: E731
    assert len(find_faces(photo, propose, judge, min_face_px=12, max_level_pixels=500_000)) == 1
    assert len(judged) <= 3
