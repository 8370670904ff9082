from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch
from PIL import Image

from model_store.emotion.alignment import align_expression_crops
from model_store.errors import FaceNotFoundError
from model_store.image_tensor import RgbImage, images_to_tensor, tensor_to_image
from model_store.landmarks.landmarker import Landmarker, LandmarkerConfig
from tests.training.data.expressions.labelled_faces import write_pictures
from training.__main__ import main
from training.data.expressions.pack import open_expression_pack
from training.data.expressions.prepare import SliceOptions, assign_slices, prepare_expressions
from training.data.expressions.sources import (
    ExpressionItem,
    ExpressionSource,
    open_expression_folders,
    open_rafdb,
)
from training.data.face_maker import LandmarkTeacher
from training.errors import DataError

WORDS = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger")
# Eyes and mouth at their usual places; the other nodes do not matter here.
LANDMARKS = np.random.default_rng(3).uniform(0.2, 0.8, (478, 3)).astype(np.float32)


class HalfBlindTeacher:
    """Finds a face in light pictures only."""

    def detect(self, image: RgbImage) -> npt.NDArray[np.float32]:
        if image.mean() < 128:
            raise FaceNotFoundError("too dark")
        return LANDMARKS


@contextmanager
def open_teacher() -> Iterator[LandmarkTeacher]:
    yield HalfBlindTeacher()


@contextmanager
def no_teacher() -> Iterator[LandmarkTeacher]:
    pytest.fail("aligned pictures need no landmarks")
    yield HalfBlindTeacher()


def landmarker(*, confidence: float) -> Landmarker:
    torch.manual_seed(0)
    network = Landmarker(LandmarkerConfig(num_coefficients=4, widths=(4, 4, 4, 4)))
    network.mean_landmarks.copy_(torch.from_numpy(LANDMARKS) + 0.01)
    network.calibration.copy_(torch.tensor([0.0, torch.logit(torch.tensor(confidence))]))
    return network.eval()


def prepare(source: ExpressionSource, target: Path, **options: object) -> str:
    slices = SliceOptions(**options)  # type: ignore[arg-type]
    teacher = no_teacher if source.is_aligned else open_teacher
    return prepare_expressions(
        source,
        target,
        open_teacher=teacher,
        landmarker=landmarker(confidence=0.9),
        slices=slices,
    ).to_text()


@pytest.fixture
def rafdb(tmp_path: Path) -> Path:
    for word in WORDS:
        write_pictures(tmp_path / "rafdb/train" / word, 25 if word == "happiness" else 10)
        write_pictures(tmp_path / "rafdb/test" / word, 2, stem="test")
    return tmp_path / "rafdb"


def test_every_face_of_rafdb_is_kept_and_only_resized(rafdb: Path, tmp_path: Path) -> None:
    text = prepare(open_rafdb(rafdb), tmp_path / "pack", validation_permille=200)
    pack = open_expression_pack(tmp_path / "pack", verify=True)
    assert Counter(r.split for r in pack.records) == {"train": 68, "validation": 17, "test": 14}
    assert {r.framing for r in pack.records} == {"official"}
    assert "aligned by: official 99; 0 files skipped" in text
    number = next(i for i, r in enumerate(pack.records) if r.file == "test/fear/test_0001.png")
    with Image.open(rafdb / "test/fear/test_0001.png") as picture:
        resized = np.asarray(picture.resize((112, 112), Image.Resampling.BICUBIC))
    assert np.array_equal(pack.images[number], resized)
    assert pack.labels[number] == 4


def test_the_validation_slice_has_its_share_of_each_expression(rafdb: Path, tmp_path: Path) -> None:
    prepare(open_rafdb(rafdb), tmp_path / "pack", validation_permille=200)
    pack = open_expression_pack(tmp_path / "pack")
    held = Counter(pack.labels[pack.rows("validation")].tolist())
    assert held == {0: 2, 1: 5, 2: 2, 3: 2, 4: 2, 5: 2, 6: 2}


def test_slices_follow_from_the_files_bytes_not_from_names_or_order() -> None:
    digests = {"a": "3", "b": "1", "c": "2", "d": "4", "copy of b": "1"}
    items = [ExpressionItem(name=name, expression="sad") for name in digests]
    options = SliceOptions(validation_permille=200)
    expected = dict.fromkeys("acd", "train") | {"b": "validation", "copy of b": "validation"}
    assert assign_slices(items, digests, options=options) == expected
    assert assign_slices(items[::-1], digests, options=options) == expected


def test_a_set_without_slices_can_be_put_into_one_whole(tmp_path: Path) -> None:
    for word in WORDS:
        write_pictures(tmp_path / "set" / word, 3)
    prepare(open_expression_folders(tmp_path / "set"), tmp_path / "pack", whole="test")
    pack = open_expression_pack(tmp_path / "pack")
    assert {record.split for record in pack.records} == {"test"}
    assert len(pack.records) == 21


def test_faces_without_landmarks_are_aligned_all_the_same_and_it_is_said_by_what(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "set/fear"
    folder.mkdir(parents=True)
    pictures = {"light": 200, "dark": 50}
    for name, level in pictures.items():
        gradient = np.linspace(level - 40, level + 40, 96, dtype=np.uint8)
        Image.fromarray(np.tile(gradient[:, None, None], (1, 96, 3))).save(folder / f"{name}.png")
    source = open_expression_folders(tmp_path / "set")
    for confidence, framing in ((0.9, "landmarker"), (0.1, "mean_face")):
        target = tmp_path / framing
        prepare_expressions(
            source,
            target,
            open_teacher=open_teacher,
            landmarker=landmarker(confidence=confidence),
            slices=SliceOptions(whole="train"),
        )
        pack = open_expression_pack(target)
        framings = {record.file: record.framing for record in pack.records}
        assert framings == {"fear/dark.png": framing, "fear/light.png": "mediapipe"}
    with Image.open(folder / "light.png") as light:
        pixels = images_to_tensor([np.asarray(light)])
    [crop] = align_expression_crops(pixels, torch.from_numpy(LANDMARKS)[None])
    assert np.array_equal(pack.images[1], tensor_to_image(crop))


def test_only_what_is_no_square_picture_is_skipped_and_listed(tmp_path: Path) -> None:
    write_pictures(tmp_path / "set/fear", 1)
    (tmp_path / "set/fear/broken.png").write_bytes(b"nothing")
    Image.new("RGB", (90, 60)).save(tmp_path / "set/fear/wide.png")
    text = prepare(open_expression_folders(tmp_path / "set"), tmp_path / "pack", whole="train")
    reasons = {item.file: item.reason for item in open_expression_pack(tmp_path / "pack").skipped}
    assert "unreadable image" in reasons["fear/broken.png"]
    assert (
        reasons["fear/wide.png"] == "90 x 60 px is not a square face crop; cut the face out first"
    )
    assert "2 files skipped" in text


def test_a_target_that_exists_is_left_alone(rafdb: Path, tmp_path: Path) -> None:
    (tmp_path / "pack").mkdir()
    with pytest.raises(DataError, match="pack exists; remove it or name another pack"):
        prepare(open_rafdb(rafdb), tmp_path / "pack")


def test_the_command_line_prepares_rafdb_without_mediapipe(
    rafdb: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    command = ["prepare", "--source", "rafdb", str(rafdb), str(tmp_path / "pack")]
    assert main([*command, "--align", "--workers", "2"]) == 1
    assert "--align, --workers means nothing with --source rafdb" in capsys.readouterr().err
    assert main(command) == 0
    assert "official 99" in capsys.readouterr().out
    faces = ["prepare", str(rafdb), str(tmp_path / "faces"), "--slice", "test"]
    assert main(faces) == 1
    assert "--slice means nothing with --source folder" in capsys.readouterr().err
