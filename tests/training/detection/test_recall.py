from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from model_store.faces.finding import PhotoFace
from model_store.image_tensor import RgbImage
from tests.training.data.fake_faces import draw_face
from training.detection.recall import (
    count_false_faces,
    measure_recall,
    recall_text,
    scene_of,
)
from training.detection.scenes import Scene, faceless_pictures, pasted_scenes, read_photos, shrunk
from training.errors import DataError


def face(x: float, y: float, side: float) -> PhotoFace:
    """A face whose crop's middle is at a point."""
    left, top = x - side / 2, y - side / 2
    return PhotoFace(
        box=(left, top, side, side),
        crop_to_photo=np.array([[side, 0, left], [0, side, top]]),
        confidence=0.9,
        score=0.9,
    )


def scene(*faces: tuple[float, float, float]) -> Scene:
    return Scene(
        picture=np.zeros((100, 100, 3), np.uint8),
        middles=np.array([(x, y) for x, y, _ in faces]),
        sides=np.array([side for _, _, side in faces]),
    )


def test_a_hit_is_near_and_of_about_the_size_and_each_find_counts_once() -> None:
    found = [face(21, 20, 22), face(20, 20, 20), face(60, 67, 20), face(90, 90, 31)]
    # The second is the first's nearest find; the third is 0.35 sides off, the fourth too large.
    recall = measure_recall(
        lambda picture: found, [scene((20, 20, 20), (60, 60, 20), (90, 90, 20))]
    )
    assert (recall.num_faces, recall.num_found, recall.num_false) == (3, 1, 3)
    assert (recall.offset, recall.side_ratio) == (0, 1)
    assert recall.recall == pytest.approx(1 / 3)


def test_where_nothing_is_found_there_are_no_medians() -> None:
    recall = measure_recall(lambda picture: [], [scene((20, 20, 20))])
    assert recall.num_found == 0
    assert np.isnan(recall.offset)
    assert "0.0%" in recall_text([("photos", 20, recall)])


def test_what_is_found_without_a_face_is_false() -> None:
    def one_in_each(picture: RgbImage) -> Sequence[PhotoFace]:
        return [face(3, 3, 5)]

    assert count_false_faces(one_in_each, [np.zeros((8, 8, 3), np.uint8)] * 3) == 3


def test_a_photos_scene_shrinks_with_its_faces() -> None:
    full = scene_of(np.zeros((60, 80, 3), np.uint8), [face(40, 30, 20)])
    small = shrunk(full, 0.25)
    assert small.picture.shape == (15, 20, 3)
    assert small.middles.tolist() == [[10, 7.5]]
    assert small.sides.tolist() == [5]


def test_pasted_faces_lie_where_the_scene_says_and_fade_out() -> None:
    background = np.full((50, 70, 3), 30, np.uint8)
    white = np.full((128, 128, 3), 255, np.uint8)
    scenes = list(
        pasted_scenes([white, white], [background], side_px=40, rng=np.random.default_rng(0))
    )
    assert len(scenes) == 2
    for pasted in scenes:
        assert pasted.picture.shape == (128, 128, 3)
        [[x, y]] = pasted.middles.astype(int).tolist()
        assert pasted.picture[y, x].tolist() == [255, 255, 255]
        brightness = pasted.picture[..., 0] > 30
        rows, columns = np.nonzero(brightness)
        assert np.ptp(rows) <= 39
        assert np.ptp(columns) <= 39
        ring = pasted.picture[y, columns.min()]
        assert 30 < ring[0] < 255


def test_twenty_pictures_show_nobody() -> None:
    pictures = faceless_pictures()
    assert len(pictures) == 20
    assert all(picture.ndim == 3 and max(picture.shape[:2]) <= 640 for picture in pictures)


def test_a_folder_without_photos_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no photo"):
        read_photos(tmp_path)


def test_faces_of_a_pack_can_be_pasted() -> None:
    [pasted] = pasted_scenes(
        [draw_face(1)],
        [np.full((64, 64, 3), 90, np.uint8)],
        side_px=100,
        rng=np.random.default_rng(1),
    )
    assert pasted.picture.shape == (200, 200, 3)
