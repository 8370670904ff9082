import math

import numpy as np
import pytest

from model_store.faces.finding import PhotoFace
from model_store.faces.framing import Similarity, transform
from service.video.tracks import FaceTrack, FaceTracks, nearest

SECONDS = 0.04


def crop_at(x: float, y: float, side: float = 40, degrees: float = 0) -> Similarity:
    a, b = side * math.cos(math.radians(degrees)), side * math.sin(math.radians(degrees))
    turned = np.array([[a, -b], [b, a]])
    return np.column_stack([turned, np.array([x, y]) - turned @ (0.5, 0.5)])


def face_at(x: float, y: float, side: float = 40) -> PhotoFace:
    return PhotoFace(
        box=(x - side / 2, y - side / 2, side, side),
        crop_to_photo=crop_at(x, y, side),
        confidence=0.9,
        score=0.9,
    )


def begun(*faces: PhotoFace) -> list[FaceTrack]:
    return FaceTracks().add_new(faces)


def middle(track: FaceTrack) -> list[float]:
    values: list[float] = transform(track.crop_to_frame, np.array([[0.5, 0.5]]))[0].tolist()
    return values


def test_track_begins_where_its_face_was_found() -> None:
    (track,) = begun(face_at(100, 80, 24))
    assert track.crop_to_frame == pytest.approx(crop_at(100, 80, 24))
    assert (track.id, track.presence) == (1, 1.0)


def test_jitter_of_a_still_face_is_taken_away() -> None:
    rng = np.random.default_rng(0)
    (track,) = begun(face_at(100, 80))
    places = []
    for jitter in rng.normal(0, 0.4, (60, 2)):
        track.follow(crop_at(100 + jitter[0], 80 + jitter[1]), seconds=SECONDS)
        places.append(middle(track))
    steps = np.abs(np.diff(np.array(places[10:]), axis=0)).mean()
    assert steps < 0.1  # the found places step by 0.45 px
    assert middle(track) == pytest.approx([100, 80], abs=0.4)


def test_moving_and_turning_face_is_followed_closely() -> None:
    (track,) = begun(face_at(100, 80))
    for k in range(1, 26):  # in a second across twice its size, and a quarter round
        track.follow(crop_at(100 + 3.2 * k, 80, 40 + 0.2 * k, 3.6 * k), seconds=SECONDS)
    assert middle(track) == pytest.approx([180, 80], abs=3.2)
    assert track.side_px == pytest.approx(45, abs=1)
    angle = math.degrees(math.atan2(track.crop_to_frame[1, 0], track.crop_to_frame[0, 0]))
    assert angle == pytest.approx(90, abs=8)


def test_turn_past_the_straight_angle_goes_the_short_way() -> None:
    (track,) = begun(
        PhotoFace(box=(0, 0, 40, 40), crop_to_photo=crop_at(50, 50, 40, 178), confidence=1, score=1)
    )
    track.follow(crop_at(50, 50, 40, -178), seconds=SECONDS)
    angle = math.degrees(math.atan2(track.crop_to_frame[1, 0], track.crop_to_frame[0, 0]))
    assert abs(angle) >= 177


def test_faces_that_are_known_begin_no_second_track() -> None:
    tracks = FaceTracks()
    first, second = tracks.add_new([face_at(50, 50), face_at(150, 50)])
    assert [first.id, second.id] == [1, 2]
    (third,) = tracks.add_new([face_at(52, 49), face_at(150, 130), face_at(148, 52, 44)])
    assert (third.id, tracks.num_seen) == (3, 3)
    assert third.presence < 0.2  # it came later, so it fades in


def test_each_track_takes_the_face_that_is_nearest_and_no_strangers() -> None:
    left, right = begun(face_at(50, 50), face_at(72, 50, 60))
    found = [face_at(54, 50), face_at(73, 51, 58), face_at(200, 50)]
    assert nearest(left, found) is found[0]
    assert nearest(right, found) is found[1]
    assert nearest(left, [found[2]]) is None


def test_lost_face_fades_and_is_then_gone() -> None:
    tracks = FaceTracks()
    (track,) = tracks.add_new([face_at(50, 50)])
    track.miss()
    tracks.drop_gone()
    assert tracks.present == [track]
    assert 0.8 < track.presence < 1
    assert middle(track) == pytest.approx([50, 50])
    track.follow(crop_at(50, 50), seconds=SECONDS)
    assert track.presence == 1
    for _ in range(6):
        track.miss()
    tracks.drop_gone()
    assert tracks.present == []
