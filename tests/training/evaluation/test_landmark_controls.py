"""What a network is given, and above all: nothing that was read from the original."""

from dataclasses import fields, replace
from typing import get_type_hints

import numpy as np
import pytest
import torch
from torch import Tensor

from model_store.affectsrnet.network import AffectSRNet
from model_store.landmarks.landmarker import Landmarker
from tests.training.evaluation.sets import make_face_set
from training.errors import DataError
from training.evaluation.faces import FaceSet, LrFaces
from training.evaluation.landmark_controls import (
    LANDMARK_CONTROLS,
    LandmarkControl,
    without_landmarks,
)
from training.evaluation.models import Model, Opened, network_model


def open_fused(
    fused: AffectSRNet, landmarker: Landmarker, control: LandmarkControl, faces: FaceSet
) -> Model:
    return network_model(
        "fused",
        Opened(fused, landmarker, "", ()),
        control=control,
        teacher={faces.name: faces.landmarks},
    )


def given_to(model: Model, faces: FaceSet) -> Tensor:
    given = model.upscaler.landmarks(faces.at_scale(8))
    assert given is not None
    return given


@pytest.mark.parametrize("control", [c for c in LANDMARK_CONTROLS if c != "teacher"])
def test_landmarks_of_the_original_never_reach_the_network(
    fused: AffectSRNet, landmarker: Landmarker, control: LandmarkControl
) -> None:
    """Whatever the originals' landmarks are, the images are the same to the bit."""
    faces = make_face_set()
    forged = replace(faces, landmarks=torch.full_like(faces.landmarks, torch.nan))
    honest = open_fused(fused, landmarker, control, faces).upscaler.upscale(faces.at_scale(8))
    blind = open_fused(fused, landmarker, control, forged).upscaler.upscale(forged.at_scale(8))
    assert all(map(np.array_equal, honest, blind))


def test_only_the_control_that_is_named_leakage_sees_the_originals_landmarks(
    fused: AffectSRNet, landmarker: Landmarker
) -> None:
    faces = make_face_set()
    oracle = open_fused(fused, landmarker, "teacher", faces)
    assert torch.equal(given_to(oracle, faces), faces.landmarks)
    assert oracle.description.title == "fused [landmarks: teacher]"
    for control in ("lr", "mean", "shuffled"):
        given = given_to(open_fused(fused, landmarker, control, faces), faces)
        assert not torch.equal(given, faces.landmarks), control


def test_what_a_model_is_shown_holds_no_hr_image_and_no_landmarks() -> None:
    assert {f.name for f in fields(LrFaces)} == {"set_name", "stems", "images", "scale"}
    assert get_type_hints(LrFaces)["images"] != Tensor
    shown = make_face_set().at_scale(8)
    assert {image.shape for image in shown.images} == {(16, 16, 3)}


def test_lr_landmarks_are_what_serving_finds(fused: AffectSRNet, landmarker: Landmarker) -> None:
    faces = make_face_set()
    given = given_to(open_fused(fused, landmarker, "lr", faces), faces)
    with torch.inference_mode():
        expected = landmarker(faces.at_scale(8).tensor).landmarks
    assert torch.equal(given, expected)
    assert not torch.equal(given[0], given[1])


def test_mean_landmarks_are_the_same_for_all(fused: AffectSRNet, landmarker: Landmarker) -> None:
    faces = make_face_set()
    given = given_to(open_fused(fused, landmarker, "mean", faces), faces)
    assert all(torch.equal(face, landmarker.mean_landmarks) for face in given)


def test_shuffled_landmarks_are_all_there_and_nobody_keeps_their_own(
    fused: AffectSRNet, landmarker: Landmarker
) -> None:
    faces = make_face_set(faces=7)
    own = given_to(open_fused(fused, landmarker, "lr", faces), faces)
    shuffled = given_to(open_fused(fused, landmarker, "shuffled", faces), faces)
    match = torch.tensor([[torch.equal(a, b) for b in own] for a in shuffled])
    assert match.sum(0).tolist() == match.sum(1).tolist() == [1] * 7
    assert not match.diagonal().any()
    again = given_to(open_fused(fused, landmarker, "shuffled", faces), faces)
    assert torch.equal(again, shuffled)


def test_one_face_alone_cannot_be_shuffled(fused: AffectSRNet, landmarker: Landmarker) -> None:
    faces = make_face_set(faces=1)
    with pytest.raises(DataError, match="test_faces has one face; landmarks are shuffled between"):
        open_fused(fused, landmarker, "shuffled", faces).upscaler.upscale(faces.at_scale(8))


def test_without_landmarks_what_remains_is_the_backbone(
    fused: AffectSRNet, landmarker: Landmarker
) -> None:
    lr = make_face_set().at_scale(8)
    backbone = without_landmarks(fused)
    for merge in fused.merges:  # a fused network whose merges add nothing is its backbone
        torch.nn.init.zeros_(merge.fuse.weight)
    with torch.inference_mode():
        expected = fused(lr.tensor, landmarker(lr.tensor).landmarks)
        assert torch.allclose(backbone(lr.tensor), expected, atol=1e-6)
    assert backbone.gcn is None
