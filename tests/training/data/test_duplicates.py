import io
from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image

from model_store.image_tensor import RgbImage
from tests.training.data.fake_faces import FakeTeacher, draw_face, draw_photo
from training.data import duplicates
from training.data.duplicates import MAX_DISTANCE, find_duplicates, hash_faces
from training.data.pack import FacePack, FaceRecord


def pack_of(images: Sequence[RgbImage], *, name: str = "faces") -> FacePack:
    records = tuple(
        FaceRecord(file=f"{n}.png", sha256="", group=str(n), split="train", sharpness=1.0)
        for n in range(len(images))
    )
    landmarks = np.stack([FakeTeacher().detect(image) for image in images])
    return FacePack(name, "", records, np.stack(images), landmarks)


def recoded(image: RgbImage) -> RgbImage:
    """Shrunk, saved as a poor JPEG, brightened: another file of the same photograph."""
    small = Image.fromarray(image).resize((90, 90), Image.Resampling.BICUBIC)
    buffer = io.BytesIO()
    small.point(lambda level: min(255, level * 1.1)).save(buffer, "JPEG", quality=50)
    large = Image.open(buffer).convert("RGB").resize((128, 128), Image.Resampling.BICUBIC)
    return np.asarray(large)


def test_another_file_of_a_photograph_is_found_and_other_faces_are_not() -> None:
    images = [draw_face(seed, cells=24) for seed in range(20)]
    images.append(recoded(images[7]))
    [pair] = find_duplicates(pack_of(images), [])
    assert (pair.file, pair.other, pair.pack) == ("7.png", "20.png", None)
    assert 0 < pair.distance <= MAX_DISTANCE


def test_a_photograph_that_is_cut_differently_is_found() -> None:
    wide = draw_photo(3, size=(128, 128), face_side=90, corner=(20, 25))
    [pair] = find_duplicates(pack_of([draw_face(3), draw_face(4), wide]), [])
    assert (pair.file, pair.other) == ("0.png", "2.png")


def test_faces_of_other_packs_are_named_with_their_pack() -> None:
    train = pack_of([draw_face(n) for n in range(5)])
    tests = [
        pack_of([draw_face(9), draw_face(2)], name="test"),
        pack_of([draw_face(8), draw_face(7)], name="clean"),
    ]
    [pair] = find_duplicates(train, tests)
    assert (pair.file, pair.other, pair.pack, pair.distance) == ("2.png", "1.png", "test", 0)


def test_distances_are_the_bits_that_differ() -> None:
    face = draw_face(1, cells=24)
    pack = pack_of([face, recoded(face)])
    hashes = hash_faces(pack)
    assert hashes.shape == (2, 255)
    [pair] = find_duplicates(pack, [])
    assert pair.distance == int((hashes[0] != hashes[1]).sum())


def test_pairs_are_the_same_however_the_faces_are_tiled(monkeypatch: pytest.MonkeyPatch) -> None:
    pack = pack_of([draw_face(n % 4) for n in range(11)])
    whole = find_duplicates(pack, [pack])
    monkeypatch.setattr(duplicates, "_TILE", 3)
    assert find_duplicates(pack, [pack]) == whole
    within = sum(pair.pack is None for pair in whole)
    # 0, 1, 2 stand there three times each, 3 twice: 3 * 3 + 1 pairs, and 3 * 9 + 4 to itself.
    assert (within, len(whole) - within) == (10, 31)
