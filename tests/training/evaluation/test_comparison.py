from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest
from torch import Tensor

from model_store.affectsrnet.network import AffectSRNet
from model_store.image_tensor import RgbImage
from model_store.landmarks.landmarker import Landmarker
from tests.training.evaluation.sets import make_face_set
from training.errors import DataError
from training.evaluate import with_bicubic
from training.evaluation.comparison import Comparison, measure_models
from training.evaluation.faces import FaceSet, LrFaces
from training.evaluation.landmarker import LANDMARKER_COLUMNS, measure_landmarker
from training.evaluation.measures.image_quality import ImageQuality
from training.evaluation.measures.measure import Column
from training.evaluation.models import Model, ModelDescription, Opened, network_model
from training.quality import SFMNET, Values

Rows = Mapping[str, Sequence[float]]


class Labels:
    """An upscaler whose images are one grey level, by which a measure can tell them."""

    def __init__(self, level: int) -> None:
        self._level = level

    def upscale(self, faces: LrFaces) -> list[RgbImage]:
        return [np.full((128, 128, 3), self._level, dtype=np.uint8) for _ in faces.images]

    def landmarks(self, faces: LrFaces) -> Tensor | None:
        return None


class Scores:
    """A measure read from a table: by the model's level, then by the set."""

    columns = (Column("score", "Score", "a table", higher_is_better=True, decimals=2),)

    def __init__(self, table: Mapping[int, Rows]) -> None:
        self._table = table

    def measure(self, images: Sequence[RgbImage], faces: FaceSet) -> Mapping[str, Values]:
        level = int(images[0][0, 0, 0])
        return {"score": np.array(self._table[level][faces.name], dtype=np.float64)}


def model(name: str, level: int, *, scale: int = 8, learnt: tuple[str, ...] = ()) -> Model:
    description = ModelDescription(name=name, scale=scale, architecture="srcnn", learnt=learnt)
    return Model(description, Labels(level), scale)


@pytest.fixture
def compared() -> Comparison:
    sets = [make_face_set("one", faces=3), make_face_set("other", faces=2)]
    nan = float("nan")
    table = {
        1: {"one": [1, 2, 3], "other": [10, 20]},
        2: {"one": [2, 3, 4], "other": [11, nan]},
        3: {"one": [1, 2, 4], "other": [nan, nan]},
    }
    models = [model("bicubic", 1), model("ours", 2), model("theirs", 3)]
    return measure_models(models, sets, measures=[Scores(table)])


def test_every_number_stands_with_its_count(compared: Comparison) -> None:
    ours = compared.find("ours", scale=8)
    assert ours is not None
    assert ours.estimates["one"]["score"].mean == 3
    assert ours.estimates["one"]["score"].n == 3
    assert ours.estimates["other"]["score"].n == 1
    assert ours.means["score"].mean == (3 + 11) / 2
    assert compared.num_faces == {"one": 3, "other": 2}


def test_a_set_without_any_measured_face_has_no_number_and_no_mean(compared: Comparison) -> None:
    theirs = compared.find("theirs", scale=8)
    assert theirs is not None
    assert "score" not in theirs.estimates["other"]
    assert "score" not in theirs.means
    assert theirs.estimates["one"]["score"].mean == pytest.approx(7 / 3)


def test_faces_that_were_not_found_are_said(compared: Comparison) -> None:
    assert compared.notes == (
        "Images without a face, left out there (a table): ours x8: 1 of 2 of other; "
        "theirs x8: 2 of 2 of other.",
    )


def test_differences_are_paired_against_bicubic_and_the_first_model(compared: Comparison) -> None:
    pairs = [(d.title, d.reference) for d in compared.differences]
    assert pairs == [("ours", "bicubic"), ("theirs", "bicubic"), ("theirs", "ours")]
    gain = compared.differences[0]
    assert gain.estimates["one"]["score"].low == gain.estimates["one"]["score"].high == 1
    assert gain.estimates["other"]["score"].mean == 1  # the face that both sides have
    assert gain.means["score"].mean == 1
    behind = compared.differences[2].estimates["one"]["score"]
    assert behind.mean == pytest.approx(-2 / 3)


def test_another_reference_can_be_named() -> None:
    faces = make_face_set("one", faces=2)
    table = {level: {"one": [level, level]} for level in (1, 2, 3)}
    models = [model("bicubic", 1), model("ours", 2), model("theirs", 3)]
    compared = measure_models(models, [faces], measures=[Scores(table)], against="theirs")
    pairs = [(d.title, d.reference) for d in compared.differences]
    assert pairs == [
        ("bicubic", "theirs"),
        ("ours", "bicubic"),
        ("ours", "theirs"),
        ("theirs", "bicubic"),
    ]


def test_scales_are_not_compared_with_each_other() -> None:
    models = with_bicubic([model("a", 2, scale=8), model("b", 3, scale=4)])
    compared = measure_models(
        models, [make_face_set("one", faces=2)], measures=[ImageQuality(SFMNET)]
    )
    assert compared.scales == (4, 8)
    assert [(r.title, r.description.scale) for r in compared.results] == [
        ("bicubic", 4),
        ("b", 4),
        ("bicubic", 8),
        ("a", 8),
    ]
    pairs = [(d.title, d.reference, d.scale) for d in compared.differences]
    assert pairs == [("b", "bicubic", 4), ("a", "bicubic", 8)]


def test_controls_stand_beside_their_own_network(
    fused: AffectSRNet, landmarker: Landmarker
) -> None:
    faces = make_face_set()
    opened = Opened(fused, landmarker, "", ())
    models = [
        network_model("net", opened),
        network_model("net", opened, control="mean"),
        network_model("net", opened, control="none"),
    ]
    compared = measure_models(with_bicubic(models), [faces], measures=[ImageQuality(SFMNET)])
    pairs = [(d.title, d.reference) for d in compared.differences]
    assert pairs == [
        ("net", "bicubic"),
        ("net [landmarks: mean]", "net"),
        ("net [landmarks: none]", "net"),
    ]
    assert compared.differences[1].estimates["test_faces"]["psnr_db"].mean != 0
    own, mean = (compared.find(t, scale=8) for t in ("net", "net [landmarks: mean]"))
    assert own is not None
    assert mean is not None
    assert own.estimates["test_faces"]["given_nme"] != mean.estimates["test_faces"]["given_nme"]
    without = compared.find("net [landmarks: none]", scale=8)
    assert without is not None
    assert "given_nme" not in without.estimates["test_faces"]


@pytest.mark.parametrize("learnt", ["one", "digest of one"])
def test_a_model_is_not_measured_on_what_it_learnt_from(learnt: str) -> None:
    faces = make_face_set("one")
    with pytest.raises(DataError, match="one was learnt from by ours; a test set must not be"):
        measure_models([model("ours", 2, learnt=(learnt,))], [faces], measures=[])


def test_a_landmarker_that_knows_the_answer_has_no_error(landmarker: Landmarker) -> None:
    faces = make_face_set(faces=6)
    with_truth = replace(faces, landmarks=landmarker(faces.at_scale(4).tensor).landmarks.detach())
    description = ModelDescription(name="marks", scale=None, architecture="landmarker")
    result = measure_landmarker(description, landmarker, [with_truth])
    estimates = result.estimates["test_faces"]
    assert set(estimates) == {column.name for column in LANDMARKER_COLUMNS}
    assert estimates["nme_32px"].mean == pytest.approx(0, abs=1e-6)
    assert estimates["nme_16px"].mean > 0
    assert estimates["mouth_correlation_32px"].mean == pytest.approx(1)
    # Sure of 12 pictures, 6 of which hold no face.
    assert estimates["face_confidence_32px"].mean == pytest.approx(1, abs=1e-3)
    assert estimates["confidence_ece_32px"].mean == pytest.approx(0.5, abs=1e-3)
