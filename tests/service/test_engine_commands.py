"""The engine by command line, on tiny networks."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from model_store.store import ModelStore
from service.cli import main
from service.engine.accuracy import sample_faces
from service.engine.export import export_model
from service.engine.face_graph import FaceGraph
from service.engine.loading import load_engine
from service.engine.roofline import Roofline, Work, measure_roofline, measure_work
from service.engine.tracing import torchscript_allowed, trace
from service.settings import Settings
from tests.service.support import as_file, noise
from tests.service.tiny_models import tiny_landmarker, tiny_network


@pytest.fixture(autouse=True)
def _one_tiny_model(tiny_models: None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "MODELS": "affectsrnet-x8",
        "CPU_DTYPE": "float32",
        "ENGINE_CACHE_DIR": "",
    }.items():
        monkeypatch.setenv(f"AFFECTSR_{name}", str(value))


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


# --- bench engine ---


def test_bench_tells_times_beside_limits_and_accuracy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    faces = tmp_path / "faces"
    faces.mkdir()
    for index in range(3):
        (faces / f"{index}.png").write_bytes(as_file(noise(40, 40, seed=index)))
    written = tmp_path / "bench.json"
    sizes = ("--batch-sizes", 1, 2, "--rounds", 2)
    assert run("bench", "engine", *sizes, "--faces", faces, "--json", written) == 0
    printed = capsys.readouterr().out
    assert "torch in float32 on cpu: loaded in" in printed
    assert "| affectsrnet-x8@1 | 2 | torch float32 |" in printed
    assert "inf dB from the reference, 100.0% of the readouts equal" in printed
    document = json.loads(written.read_text())
    assert [figure["batch_size"] for figure in document["figures"]] == [1, 2]
    for figure in document["figures"]:
        assert 0 < figure["roofline_ms"] < figure["bare_ms"]
        assert 0 < figure["best_face_ms"] <= figure["face_ms"]
    assert document["accuracy"][0]["num_faces"] == 3
    assert document["accuracy"][0]["psnr_db"] is None


def test_bench_without_faces_to_read_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("bench", "engine", "--faces", tmp_path) == 2
    assert "holds no JPEG, PNG or WebP image" in capsys.readouterr().err


def test_bench_of_nothing_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("bench", "engine", "--rounds", 0) == 2
    assert "--rounds is 0" in capsys.readouterr().err


def test_work_is_counted_as_two_operations_for_a_multiply_add() -> None:
    network = nn.Conv2d(3, 5, kernel_size=3, padding=1, bias=False)
    work = measure_work(network, (torch.rand(2, 3, 8, 8),))
    assert work.flops_per_face == 2 * 8 * 8 * 3 * 5 * 9
    assert work.num_parameters == 3 * 5 * 9


def test_limit_is_the_arithmetic_or_the_weights_whatever_takes_longer() -> None:
    roofline = Roofline(flops=100.0, bytes_per_second=10.0, bytes_per_number=2)
    work = Work(flops_per_face=50.0, num_parameters=10)
    assert roofline.seconds(work, num_faces=1) == 2.0  # 20 bytes
    assert roofline.seconds(work, num_faces=8) == 4.0  # 400 operations


def test_roofline_is_measured_in_the_arithmetic_asked_for() -> None:
    measured = measure_roofline(device=torch.device("cpu"), dtype=torch.float32)
    assert measured.bytes_per_number == 4
    assert measured.flops > 1e8
    assert measured.bytes_per_second > 1e7


# --- export ---


@pytest.mark.parametrize(
    ("form", "name"), [("torchscript", "x8.pt"), ("openvino", "x8.xml"), ("onnx", "x8.onnx")]
)
def test_exported_file_is_checked_against_the_model(
    form: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("export", form, "affectsrnet-x8", tmp_path / name) == 0
    printed = capsys.readouterr().out
    assert "affectsrnet-x8@1, (N, 16, 16, 3) uint8 faces in" in printed
    assert "levels of 255 off (1 is the most)" in printed
    assert (tmp_path / name).stat().st_size > 0


def test_exported_file_gives_what_the_engine_gives(tiny_model_root: Path, tmp_path: Path) -> None:
    out = tmp_path / "x8.pt"
    assert run("export", "torchscript", "affectsrnet-x8", out) == 0
    engine = load_engine(ModelStore(tiny_model_root), Settings())
    faces = [np.ascontiguousarray(face[::2, ::2]) for face in sample_faces()]
    with torchscript_allowed():
        images, is_finite, confidence = torch.jit.load(out)(torch.from_numpy(np.stack(faces)))
    assert is_finite.all()
    for index, result in enumerate(engine.upscale("affectsrnet-x8@1", faces)):
        assert np.abs(images[index].numpy().astype(int) - result.rgb).max() <= 1
        assert float(confidence[index]) == pytest.approx(result.landmark_confidence, abs=1e-5)


def test_file_that_is_not_the_model_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = FaceGraph(tiny_network(8), tiny_landmarker(), min_confidence=0.5).eval()
    other = FaceGraph(tiny_network(8), tiny_landmarker(), min_confidence=0.5).eval()
    torch.nn.init.ones_(other.network.network.conv_last.weight)
    traced = trace(other, (torch.zeros(2, 16, 16, 3, dtype=torch.uint8),))
    monkeypatch.setattr("service.engine.export.trace", lambda *_: traced)
    with pytest.raises(ValueError, match=r"levels of 255 and 1 is the most; do not use it"):
        export_model(graph, size_px=16, form="torchscript", out=tmp_path / "x.pt", name="x8")


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (("torchscript", "affectsrnet-x8", "x8.onnx"), 2, "must end in .pt to hold torchscript"),
        (("torchscript", "landmarker", "x.pt"), 3, "name models that upscale"),
        (("torchscript", "affectsrnet-x2", "x.pt"), 3, "there is no model 'affectsrnet-x2'"),
    ],
)
def test_export_that_cannot_be_says_why(
    arguments: tuple[str, ...], status: int, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("export", *arguments) == status
    assert says in capsys.readouterr().err


def test_missing_onnx_names_the_extra(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    assert run("export", "onnx", "affectsrnet-x8", tmp_path / "x8.onnx") == 3
    assert 'pip install "affectsr[onnx]"' in capsys.readouterr().err
