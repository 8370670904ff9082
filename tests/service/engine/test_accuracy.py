"""The gate: what it measures on fakes, and every engine with the published models."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model_store.faces.detector import Judgement
from model_store.image_tensor import RgbImage
from model_store.store import ModelStore
from service.engine.accuracy import (
    Accuracy,
    check_accuracy,
    measure_accuracy,
    psnr_db,
    sample_faces,
)
from service.engine.base import Engine, TileProposals, UpscaledImage
from service.engine.loading import load_engine
from service.errors import EngineUnavailableError
from service.settings import Settings
from tests.fakes import NearestEngine, emotion_reading, served_classifier, served_detector
from tests.service.photo.drawn import square
from tests.service.support import as_array, plain

X4 = "affectsrnet-x4@1"


class ShiftedEngine(NearestEngine):
    """Adds some levels to every colour: to the first of a batch, and with company."""

    def __init__(self, levels: int, *, levels_of_company: int = 0) -> None:
        super().__init__(classifier=served_classifier())
        self.levels = levels
        self.levels_of_company = levels_of_company

    def upscale(self, reference: str, images: list[RgbImage]) -> list[UpscaledImage]:
        shift = self.levels + (self.levels_of_company if len(images) > 1 else 0)
        outcomes = super().upscale(reference, images)
        return [
            replace(outcome, rgb=outcome.rgb // 2 + shift)
            for outcome in outcomes
            if isinstance(outcome, UpscaledImage)
        ]


def test_psnr_is_that_of_all_pixels_together() -> None:
    # Mean squared error (0 + 4) / 2.
    assert psnr_db([plain(9), plain(9)], [plain(9), plain(11)]) == pytest.approx(
        10 * np.log10(255**2 / 2)
    )
    assert psnr_db([plain(9)], [plain(9)]) == float("inf")


def test_engine_like_the_reference_passes() -> None:
    check_accuracy(ShiftedEngine(0), ShiftedEngine(0))


def test_engine_that_is_off_is_refused_with_its_number() -> None:
    with pytest.raises(
        EngineUnavailableError, match=r"built-in faces: 48\.1 dB .* 50 is the least"
    ):
        check_accuracy(ShiftedEngine(1), ShiftedEngine(0))


def finding(*, left: float | None) -> NearestEngine:
    """An engine that finds a face there in every tile, or none."""
    engine = NearestEngine(detector=served_detector())
    engine.faces_in = lambda tile: TileProposals(proposals=(square(32, 32, 32),))
    if left is None:
        engine.judgement_of = lambda crop: Judgement(confidence=0.1, better_crop=np.eye(2, 3))
    else:
        better = np.array([[1.0, 0, (left - 32) / 32], [0, 1, 0]])
        engine.judgement_of = lambda crop: Judgement(confidence=0.9, better_crop=better)
    return engine


@pytest.mark.parametrize(
    ("left", "says"),
    [
        (33.0, r"face-detector@1: a built-in face is found 1\.0 px from where the reference"),
        (float("nan"), "is found nan px from where"),
        (None, "is found inf px from where"),
    ],
)
def test_engine_that_finds_faces_elsewhere_is_refused(left: float | None, says: str) -> None:
    with pytest.raises(EngineUnavailableError, match=says):
        check_accuracy(finding(left=left), finding(left=32))


def test_engine_may_find_a_face_a_little_off_and_what_the_reference_does_not() -> None:
    check_accuracy(finding(left=32.4), finding(left=32))
    check_accuracy(finding(left=32), finding(left=None))


def test_company_that_changes_a_face_is_refused() -> None:
    faces = sample_faces()
    measured = measure_accuracy(ShiftedEngine(0, levels_of_company=2), ShiftedEngine(2), X4, faces)
    assert measured.psnr_db == float("inf")
    assert measured.faults == ["company in the batch moves a colour by 2 levels; 1 is the most"]


def test_other_expression_is_refused() -> None:
    ours, theirs = ShiftedEngine(0), ShiftedEngine(0)
    ours.emotion_of = lambda image: emotion_reading(0.4, 0.6)
    theirs.emotion_of = lambda image: emotion_reading(0.6, 0.4)
    measured = measure_accuracy(ours, theirs, X4, sample_faces())
    assert measured.equal_readouts == 0
    assert measured.probability_shift == pytest.approx(0.2)
    assert len(measured.faults) == 2


def test_nothing_is_asked_of_expressions_where_none_are_read() -> None:
    measured = measure_accuracy(NearestEngine(), NearestEngine(), X4, sample_faces())
    assert (measured.equal_readouts, measured.probability_shift) == (None, None)
    assert measured.faults == []


def test_what_is_no_number_is_refused() -> None:
    measured = Accuracy(
        model=X4,
        num_faces=1,
        psnr_db=float("nan"),
        batch_levels=0,
        equal_readouts=float("nan"),
        probability_shift=float("nan"),
    )
    assert len(measured.faults) == 3


def test_engine_that_fails_on_a_built_in_face_is_refused() -> None:
    engine = NearestEngine()
    engine.is_poisoned = lambda image: True
    with pytest.raises(EngineUnavailableError, match="could not be computed: this image is poison"):
        check_accuracy(engine, NearestEngine())


# --- the published models ---


def load(engine: str, dtype: str) -> Engine:
    return load_engine(
        ModelStore(),
        Settings.model_validate(
            {
                "engine": engine,
                "cpu_dtype": dtype,
                "engine_cache_dir": None,
                "torch_num_threads": 1,  # others wait for each other on a busy machine
            }
        ),
    )


@pytest.fixture(scope="module")
def reference() -> Iterator[Engine]:
    engine = load("torch", "float32")
    yield engine
    engine.close()


def faces_of(data_root: Path, *, count: int) -> list[RgbImage]:
    """Test faces of all sets as they are, evenly drawn."""
    files = sorted((data_root / "faces" / "test").rglob("*.webp"))
    return [as_array(path.read_bytes()) for path in files[:: len(files) // count][:count]]


@pytest.fixture(scope="module", params=["openvino", "torch"])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    """In the arithmetic that the CPU is fastest in."""
    engine = load(request.param, "auto")
    yield engine
    engine.close()


def test_published_models_pass_on_the_built_in_faces(engine: Engine) -> None:
    refused = [
        title for title, why in engine.description.passed_over.items() if "bfloat16" not in why
    ]
    assert refused == []


# A tenth of what `affectsr bench engine --faces` measures.
@pytest.mark.slow
def test_published_models_pass_on_faces(engine: Engine, reference: Engine, data_root: Path) -> None:
    faces = faces_of(data_root, count=10)
    for model in engine.models:
        measured = measure_accuracy(engine, reference, model.reference, faces)
        assert measured.faults == []
        assert measured.num_faces == 10
