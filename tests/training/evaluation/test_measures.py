from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from model_store.image_tensor import RgbImage, images_to_tensor
from model_store.landmarks.landmarker import Landmarker
from model_store.landmarks.topology import LEFT_EYE, MOUTH, RIGHT_EYE
from tests.training.evaluation.sets import make_face_set
from training.evaluation.faces import FaceSet
from training.evaluation.measures.image_quality import ImageQuality
from training.evaluation.measures.landmark_distance import LandmarkDistance, LandmarkerFinder
from training.evaluation.measures.measure import Column
from training.evaluation.measures.perceptual import PerceptualDistance
from training.perceptual.lpips import Lpips, load_squeeze_lpips
from training.perceptual.squeezenet import SqueezeNetFeatures
from training.quality import SFMNET, SPARNET, Estimate, QualityProtocol, luma, psnr, ssim


class KnownFinder:
    """Finds what it is told."""

    name = "known"
    title = "a table"

    def __init__(self, landmarks: Tensor) -> None:
        self._landmarks = landmarks

    def find(self, images: Sequence[RgbImage]) -> Tensor:
        return self._landmarks


def darker(faces: FaceSet) -> list[RgbImage]:
    return [image // 2 for image in faces.originals]


@pytest.mark.parametrize(("protocol", "prefix"), [(SFMNET, ""), (SPARNET, "sparnet_")])
def test_image_quality_is_measured_by_its_protocol(protocol: QualityProtocol, prefix: str) -> None:
    faces = make_face_set()
    images = darker(faces)
    measure = ImageQuality(protocol)
    values = measure.measure(images, faces)
    assert [c.name for c in measure.columns] == list(values)
    assert {c.basis for c in measure.columns} == {protocol.name}
    planes = [luma(images_to_tensor(side)) for side in (images, faces.originals)]
    expected = psnr(*planes, crop_border=protocol.crop_border)
    assert values[f"{prefix}psnr_db"].tolist() == pytest.approx(expected.tolist())
    by_hand = [ssim(a, b, protocol=protocol) for a, b in zip(images, faces.originals, strict=True)]
    assert values[f"{prefix}ssim"].tolist() == pytest.approx(by_hand)
    border = protocol.crop_border
    inner = slice(border, 128 - border)
    difference = images[0][inner, inner].astype(float) - faces.originals[0][inner, inner]
    rgb = 10 * np.log10(255**2 / np.mean(difference**2))
    assert values[f"{prefix}psnr_rgb_db"][0] == pytest.approx(rgb, abs=1e-4)


def test_landmark_distance_is_told_apart_by_region() -> None:
    faces = make_face_set(faces=3)
    found = faces.landmarks.clone()
    found[0, list(MOUTH), 0] += 0.04  # a tenth of the 0.4 between the eyes' outer corners
    found[1, [*LEFT_EYE, *RIGHT_EYE], 1] -= 0.08
    found[2] = torch.nan  # no face
    values = LandmarkDistance(KnownFinder(found)).measure(faces.originals, faces)
    assert values["nme_known_mouth"][:2].tolist() == pytest.approx([0.1, 0], abs=1e-5)
    assert values["nme_known_eyes"][:2].tolist() == pytest.approx([0, 0.2], abs=1e-5)
    assert values["nme_known"][0] == pytest.approx(0.1 * len(MOUTH) / 478, abs=1e-5)
    assert all(np.isnan(of_region[2]) for of_region in values.values())


def test_the_landmarker_finds_no_face_where_it_doubts(landmarker: Landmarker) -> None:
    faces = make_face_set()
    finder = LandmarkerFinder(landmarker)
    assert not finder.find(faces.originals).isnan().any()
    torch.nn.init.constant_(landmarker.confidence.bias, -9.0)
    assert finder.find(faces.originals).isnan().all()


def test_lpips_is_zero_for_the_original_alone() -> None:
    torch.manual_seed(0)
    measure = PerceptualDistance(Lpips(SqueezeNetFeatures()).eval())
    faces = make_face_set(faces=2)
    assert measure.measure(faces.originals, faces)["lpips_squeeze"].tolist() == [0, 0]
    assert measure.measure(darker(faces), faces)["lpips_squeeze"].min() > 0


def test_published_lpips_finds_bicubic_further_off_than_a_little_noise(data_root: Path) -> None:
    measure = PerceptualDistance(load_squeeze_lpips(data_root / "weights"))
    faces = make_face_set(faces=2)
    rng = np.random.default_rng(0)
    near = [
        np.clip(image + rng.normal(0, 2, image.shape), 0, 255).astype(np.uint8)
        for image in faces.originals
    ]
    far, close = (
        measure.measure(images, faces)["lpips_squeeze"].mean() for images in (darker(faces), near)
    )
    assert 0 < close < far < 1


def test_a_column_knows_which_way_is_worse() -> None:
    better, worse, unsure = (
        Estimate(1, 0.5, 2, 9),
        Estimate(-1, -2, -0.5, 9),
        Estimate(0, -1, 1, 9),
    )
    gain = Column("psnr_db", "PSNR", "", higher_is_better=True, decimals=2)
    error = Column("nme", "NME", "", higher_is_better=False, decimals=2)
    fact = Column("given_nme", "NME", "", higher_is_better=None, decimals=2)
    assert [gain.is_worse(d) for d in (better, worse, unsure)] == [False, True, False]
    assert [error.is_worse(d) for d in (better, worse, unsure)] == [True, False, False]
    assert not any(fact.is_worse(d) for d in (better, worse, unsure))


def test_a_column_with_a_statistic_pairs_the_faces_of_both_sides() -> None:
    spread = Column(
        "spread",
        "Spread",
        "",
        higher_is_better=None,
        decimals=2,
        statistic=lambda rows: float(rows.max() - rows.min()),
    )
    rows = np.random.default_rng(0).uniform(0, 1, (30, 1))
    assert spread.difference([(3 * rows, 3 * rows)]) == Estimate(0, 0, 0, 30)
    difference = spread.difference([(3 * rows, rows)])
    assert difference is not None
    assert difference.mean == pytest.approx(2 * float(np.ptp(rows)))
    assert spread.difference([(np.full((2, 1), np.nan), np.ones((2, 1)))]) is None
