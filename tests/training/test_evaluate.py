"""The command: any model beside any other, on the same faces."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from model_store.affectsrnet.config import AffectSRNetConfig
from model_store.affectsrnet.network import AffectSRNet
from model_store.landmarks.landmarker import Landmarker, LandmarkerConfig
from model_store.store import ModelStore
from tests.conftest import ROOT
from tests.published import publish_untrained
from tests.tiny_baselines import tiny_baseline
from tests.tiny_classifiers import tiny_classifier
from tests.training.conftest import MakePack
from training.__main__ import main
from training.data.pack import FacePack, FaceRecord, open_pack, write_pack
from training.errors import TrainingError
from training.evaluate import EvaluateOptions, Evaluation, evaluate, write_reports
from training.evaluation.report.tables import paper_tables
from training.evaluation.report.text import comparison_text

pytestmark = pytest.mark.usefixtures("without_mediapipe")


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    torch.manual_seed(0)
    store = ModelStore(tmp_path / "store")
    publish_untrained(store, tiny_baseline("srcnn", scale=8), name="srcnn-x8")
    publish_untrained(store, tiny_baseline("edsr", scale=4), name="edsr-x4")
    sizes = LandmarkerConfig(widths=(4, 4, 4, 4), blocks=(1, 1, 1, 1), num_coefficients=3)
    landmarker = Landmarker(sizes)
    torch.nn.init.uniform_(landmarker.mean_landmarks)
    publish_untrained(store, landmarker, name="landmarker")
    return store


@pytest.fixture
def packs(make_pack: MakePack) -> Path:
    return make_pack("test_faces", faces=5, validation=2)


@pytest.fixture
def fused() -> AffectSRNet:
    torch.manual_seed(1)
    config = AffectSRNetConfig(
        scale=8, num_features=8, growth_channels=4, num_blocks=1, graph_map_channels=8
    )
    return AffectSRNet(config)


def options(packs: Path, *models: str) -> EvaluateOptions:
    return EvaluateOptions(models=models, packs=packs, tests=("test_faces",))


def run(options: EvaluateOptions, store: ModelStore) -> Evaluation:
    return evaluate(options, store=store, notify=lambda line: None)


def rows(evaluation: Evaluation) -> list[tuple[str, int | None]]:
    return [(r.title, r.description.scale) for r in evaluation.comparison.results]


def write_folder(folder: Path, pack: FacePack) -> str:
    folder.mkdir()
    for record, image in zip(pack.records, pack.images, strict=True):
        Image.fromarray(np.array(image)).save(folder / record.file)
    return f"folder:{folder}"


def test_rivals_folders_and_bicubic_are_measured_on_the_same_faces(
    store: ModelStore, packs: Path, tmp_path: Path
) -> None:
    folder = write_folder(tmp_path / "theirs", open_pack(packs / "test_faces"))
    evaluation = run(options(packs, "srcnn-x8", "bicubic", folder), store)
    assert rows(evaluation) == [("bicubic", 8), ("srcnn-x8", 8), (folder, 8)]
    bicubic, srcnn, perfect = evaluation.comparison.results
    for column in ("psnr_db", "ssim", "psnr_rgb_db", "sparnet_psnr_db", "sparnet_ssim"):
        assert {r.estimates["test_faces"][column].n for r in (bicubic, srcnn, perfect)} == {5}
    assert math.isinf(perfect.estimates["test_faces"]["psnr_db"].mean)
    assert perfect.estimates["test_faces"]["ssim"].mean == pytest.approx(1)
    assert srcnn.description.architecture == "srcnn"
    assert srcnn.description.num_parameters > 0


def test_bicubic_stands_at_every_scale_of_the_networks(store: ModelStore, packs: Path) -> None:
    evaluation = run(options(packs, "srcnn-x8", "edsr-x4"), store)
    assert rows(evaluation) == [
        ("bicubic", 4),
        ("edsr-x4", 4),
        ("bicubic", 8),
        ("srcnn-x8", 8),
    ]


def test_bicubic_alone_needs_a_scale(store: ModelStore, packs: Path, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"bicubic has no scale of its own.*--scale 8"):
        run(options(packs, "bicubic"), store)
    alone = run(replace(options(packs, "bicubic"), scale=4), store)
    assert rows(alone) == [("bicubic", 4)]
    folder = write_folder(tmp_path / "theirs", open_pack(packs / "test_faces"))
    with pytest.raises(TrainingError, match="networks beside it are: x4 and x8; say --scale"):
        run(options(packs, "srcnn-x8", "edsr-x4", folder), store)


def test_the_landmark_controls_are_measured_side_by_side(
    store: ModelStore, packs: Path, fused: AffectSRNet
) -> None:
    publish_untrained(store, fused, name="fused-x8")
    asked = replace(
        options(packs, "fused-x8", "srcnn-x8"),
        controls=("lr", "none", "mean", "shuffled", "teacher"),
    )
    evaluation = run(asked, store)
    assert [title for title, _ in rows(evaluation)] == [
        "bicubic",
        "fused-x8",
        "fused-x8 [landmarks: none]",
        "fused-x8 [landmarks: mean]",
        "fused-x8 [landmarks: shuffled]",
        "fused-x8 [landmarks: teacher]",
        "srcnn-x8",
    ]
    notes = "\n".join(evaluation.comparison.notes)
    assert "Landmarks 'teacher': LEAKAGE: MediaPipe's landmarks of the original" in notes
    oracle = evaluation.comparison.find("fused-x8 [landmarks: teacher]", scale=8)
    assert oracle is not None
    assert oracle.estimates["test_faces"]["given_nme"].mean == 0


def test_what_could_not_be_measured_is_said(store: ModelStore, packs: Path) -> None:
    evaluation = run(options(packs, "srcnn-x8"), store)
    names = {column.name for column in evaluation.comparison.columns}
    assert {"psnr_db", "sparnet_ssim", "nme_landmarker", "nme_landmarker_mouth"} <= names
    assert not {"lpips_squeeze", "nme_mediapipe", "given_nme"} & names
    notes = evaluation.comparison.notes
    assert any("LPIPS was not measured: no folder of feature weights was named" in n for n in notes)
    assert any("by MediaPipe was not measured: mediapipe is not installed" in n for n in notes)
    assert "ecm" not in names
    assert any("|dH| were not measured: no expression classifier is published" in n for n in notes)


def test_expressions_are_read_by_the_published_classifier_or_by_the_named_one(
    store: ModelStore, packs: Path
) -> None:
    publish_untrained(store, tiny_classifier("mobilefacenet"), name="emotion-mobilefacenet")
    publish_untrained(store, tiny_classifier("ddamfn"), name="mine")
    for named, reference in ((None, "emotion-mobilefacenet@1"), ("mine@1", "mine@1")):
        asked = replace(options(packs, "srcnn-x8"), classifier=named)
        comparison = run(asked, store).comparison
        columns = {column.name: column for column in comparison.columns}
        digest = store.resolve(reference).weights_sha256[:12]
        assert columns["ecm"].basis == f"read by {reference} ({digest})"
        for result in comparison.results:
            estimates = result.estimates["test_faces"]
            assert estimates["ecm"].n == estimates["expression_agreement"].n == 5
        assert "ecm" in comparison.differences[0].estimates["test_faces"]
        assert not any("ECM" in note for note in comparison.notes)


def test_a_named_classifier_that_reads_no_expressions_is_an_error_and_no_gap(
    store: ModelStore, packs: Path
) -> None:
    asked = options(packs, "srcnn-x8")
    with pytest.raises(TrainingError, match="--classifier absent: there is no model 'absent'"):
        run(replace(asked, classifier="absent"), store)
    with pytest.raises(TrainingError, match="--classifier edsr-x4 is a edsr, which reads no"):
        run(replace(asked, classifier="edsr-x4"), store)


def test_a_named_folder_without_the_weights_is_an_error_and_no_gap(
    store: ModelStore, packs: Path, tmp_path: Path
) -> None:
    with pytest.raises(TrainingError, match=r"has no squeezenet1_1_features\.pth"):
        run(replace(options(packs, "srcnn-x8"), feature_weights=tmp_path), store)


def test_lpips_is_measured_where_its_weights_are(
    store: ModelStore, packs: Path, data_root: Path
) -> None:
    asked = replace(options(packs, "srcnn-x8"), feature_weights=data_root / "weights")
    estimates = run(asked, store).comparison.results[0].estimates["test_faces"]
    assert 0 < estimates["lpips_squeeze"].mean < 2


def test_fewer_faces_can_be_asked_for(store: ModelStore, packs: Path) -> None:
    evaluation = run(replace(options(packs, "srcnn-x8"), max_faces=3), store)
    assert evaluation.comparison.num_faces == {"test_faces": 3}


def test_what_cannot_be_evaluated_is_named(store: ModelStore, packs: Path) -> None:
    with pytest.raises(TrainingError, match="absent is no run's folder either"):
        run(options(packs, "absent"), store)
    publish_untrained(store, tiny_classifier("ddamfn"), name="emotion-tiny")
    with pytest.raises(TrainingError, match=r"is a pack of kind faces, .* needs kind expressions"):
        run(options(packs, "emotion-tiny"), store)
    with pytest.raises(TrainingError, match="landmarker finds landmarks, srcnn-x8 not; eval"):
        run(options(packs, "landmarker", "srcnn-x8"), store)
    with pytest.raises(TrainingError, match=r"--against x is none of the models.*srcnn-x8"):
        run(replace(options(packs, "srcnn-x8"), against="x"), store)


def test_a_landmarker_is_measured_by_its_landmarks(
    store: ModelStore, packs: Path, tmp_path: Path
) -> None:
    evaluation = run(options(packs, "landmarker"), store)
    assert rows(evaluation) == [("landmarker", None)]
    assert evaluation.comparison.results[0].estimates["test_faces"]["nme_16px"].mean > 0
    write_reports(evaluation, title="Marks", json_path=None, html_path=tmp_path / "marks.html")
    assert "Calibration error of the confidence" in (tmp_path / "marks.html").read_text()


def test_a_report_that_cannot_be_written_is_named(
    store: ModelStore, packs: Path, tmp_path: Path
) -> None:
    evaluation = run(options(packs, "landmarker"), store)
    (tmp_path / "taken").write_text("a file")
    with pytest.raises(TrainingError, match="cannot write the report"):
        write_reports(evaluation, title="", json_path=tmp_path / "taken" / "r.json", html_path=None)


def test_the_command_prints_the_report_and_writes_it(
    packs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    report, page = tmp_path / "new" / "report.json", tmp_path / "new" / "report.html"
    command = ["evaluate", "bicubic", "--scale", "8", "--packs", str(packs), "--max-faces", "3"]
    command += ["--test", "test_faces", "--json", str(report), "--html", str(page)]
    assert main(command) == 0
    printed = capsys.readouterr()
    assert "x8 bicubic" in printed.out
    assert "measuring bicubic at x8" in printed.err
    assert json.loads(report.read_text())["sets"][0]["faces"] == 3
    written = page.read_text()
    assert "Table II: methods at x8" in written
    assert "best: +0.00 dB" not in written  # bicubic alone has no gain to choose faces by


@pytest.mark.slow
def test_published_models_beat_bicubic_on_real_faces_by_their_manifests_gain(
    data_root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The evaluator's own walk from image files to a gain, beside what the manifest states."""
    files = sorted((data_root / "faces" / "test" / "ffhq").iterdir())[:24]
    images = np.stack([np.asarray(Image.open(path).convert("RGB")) for path in files])
    records = [
        FaceRecord(file=p.name, sha256="0" * 64, group=p.stem, split="train", sharpness=1.0)
        for p in files
    ]
    landmarks = np.full((len(files), 478, 3), 0.5, dtype=np.float32)
    landmarks[:, 33, 0] = 0.3  # eye corners apart, so that errors have a unit
    write_pack(tmp_path / "few", records, images=images, landmarks=landmarks, skipped=[])
    asked = EvaluateOptions(models=("affectsrnet-x8@1",), packs=tmp_path, tests=("few",))
    store = ModelStore()
    comparison = run(asked, store).comparison
    gain = comparison.differences[0].estimates["few"]["psnr_db"]
    stated = store.resolve("affectsrnet-x8@1").metrics["test_ffhq/psnr_gain_db"]
    # The manifest's number is of 250 faces, this one of 24.
    assert gain.mean == pytest.approx(stated, abs=0.6)
    assert gain.is_above_zero


def test_faces_are_degraded_as_a_configuration_says(store: ModelStore, packs: Path) -> None:
    real = ROOT / "training" / "configs" / "affectsrnet-x4-real.toml"
    clean = run(options(packs, "edsr-x4"), store).comparison
    damaged = run(replace(options(packs, "edsr-x4"), degradation=real), store).comparison
    for title in ("bicubic", "edsr-x4"):
        before, after = (found.find(title, scale=4) for found in (clean, damaged))
        assert before is not None
        assert after is not None
        # Of these faces of noise damage may even improve it.
        assert after.means["psnr_db"].mean != before.means["psnr_db"].mean
    assert "LR images: degraded as affectsrnet-x4-real.toml says." in comparison_text(damaged)
    assert "LR images: Pillow's bicubic in 8 bits." in comparison_text(clean)
    # The paper's numbers are of other inputs.
    assert (len(paper_tables(clean)), len(paper_tables(damaged))) == (1, 0)


def test_degradation_of_no_file_or_for_readers_is_refused(store: ModelStore, packs: Path) -> None:
    lost = Path("lost.toml")
    for name, message in (
        ("edsr-x4", "cannot read config lost.toml"),
        ("landmarker", "--degradation is for networks that make images"),
    ):
        with pytest.raises(TrainingError, match=message):
            run(replace(options(packs, name), degradation=lost), store)
