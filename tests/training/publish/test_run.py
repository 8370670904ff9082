import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from model_store.landmarks.landmarker import Landmarker
from model_store.manifest import ModelManifest
from model_store.store import ModelStore
from tests.published import publish_untrained
from tests.tiny_baselines import tiny_baseline
from tests.training.conftest import MakePack
from tests.training.runs import run
from training.__main__ import main
from training.checkpoint import load_checkpoint, save_checkpoint
from training.config import PublishConfig, SuperResolutionTaskConfig, TrainConfig
from training.errors import DataError, PublishRefusedError, TrainingError
from training.evaluation.comparison import Comparison
from training.publish import PublishOptions, publish_run


def train(config: TrainConfig, *, packs: Path, store: ModelStore, runs: Path) -> Path:
    """Run a configuration to its end and return the run's folder."""
    run(config, packs=packs, runs=runs, store=store)
    return runs / config.name


def publish(
    run: Path,
    *,
    packs: Path,
    store: ModelStore,
    tests: tuple[str, ...] = ("test_faces",),
    name: str | None = None,
    allow_worse: str | None = "tiny networks learn nothing",
    show: Callable[[Comparison], None] = lambda comparison: None,
) -> ModelManifest:
    options = PublishOptions(run=run, packs=packs, tests=tests, name=name, allow_worse=allow_worse)
    return publish_run(options, store=store, show=show)


pytestmark = pytest.mark.usefixtures("without_mediapipe")


@pytest.fixture
def store(tmp_path: Path) -> ModelStore:
    return ModelStore(tmp_path / "store")


def test_a_landmarker_then_a_fused_network_go_from_pack_to_published_version(
    tiny_config: TrainConfig,
    landmark_config: TrainConfig,
    make_pack: MakePack,
    store: ModelStore,
    tmp_path: Path,
) -> None:
    make_pack("test_faces", faces=4, validation=0)
    packs = make_pack()
    marks = train(landmark_config, packs=packs, store=store, runs=tmp_path)
    landmarker = publish(marks, packs=packs, store=store, name="landmarker")
    assert landmarker.reference == "landmarker@1"
    assert {"test_faces/nme_16px", "mean/mouth_correlation_32px"} <= set(landmarker.metrics)
    network = store.load("landmarker").module
    assert isinstance(network, Landmarker)
    assert network.calibration.tolist() != [1.0, 0.0]

    assert isinstance(tiny_config.task, SuperResolutionTaskConfig)
    fused = replace(tiny_config.task.network, landmark_fusion=True, graph_map_channels=8)
    config = replace(tiny_config, task=SuperResolutionTaskConfig(network=fused))
    folder = train(config, packs=packs, store=store, runs=tmp_path)
    reports: list[Comparison] = []
    manifest = publish(folder, packs=packs, store=store, show=reports.append)
    assert manifest.reference == "tiny@1"
    assert manifest.training.data == {"faces": 9}
    assert manifest.training.start == "nothing"
    assert manifest.git_commit == "abc"
    assert manifest.training.steps in (0, 2, 4, 6)
    assert "Research only" in manifest.licence
    assert manifest.allowed_worse == "tiny networks learn nothing"
    (report,) = reports
    measured = report.differences[0].estimates["test_faces"]["psnr_db"]
    assert measured.n == 4
    assert manifest.metrics["test_faces/psnr_gain_db"] == pytest.approx(measured.mean, abs=1e-5)
    assert store.load("tiny").module(torch.rand(1, 3, 32, 32), torch.rand(1, 478, 3)).shape == (
        1,
        3,
        128,
        128,
    )


def test_what_was_learnt_from_is_no_test_set(
    tiny_config: TrainConfig, make_pack: MakePack, store: ModelStore, tmp_path: Path
) -> None:
    packs = make_pack()
    folder = train(tiny_config, packs=packs, store=store, runs=tmp_path)
    with pytest.raises(DataError, match="faces was learnt from by tiny; a test set must not be"):
        publish(folder, packs=packs, store=store, tests=("faces",))
    assert store.names() == []


def test_the_command_line_trains_evaluates_and_publishes(
    make_pack: MakePack, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_pack("test_faces", faces=4, validation=0)
    packs = make_pack()
    config = tmp_path / "tiny.toml"
    config.write_text(
        "name = 'tiny'\nmax_steps = 2\nbatch_size = 2\nvalidate_every = 2\n"
        "[data]\npacks = ['faces']\n[task]\nkind = 'super_resolution'\n[task.network]\nscale = 8\n"
        "num_features = 8\ngrowth_channels = 4\nnum_blocks = 1\nlandmark_fusion = false\n"
    )
    places = ["--packs", str(packs)]
    train_it = ["train", str(config), *places, "--runs", str(tmp_path), "--device", "cpu"]
    assert main(train_it) == 0
    assert "stopped by max_steps at step 2" in capsys.readouterr().out
    assert main(train_it) == 1
    assert "--resume goes on with it" in capsys.readouterr().err
    assert main([*train_it, "--resume", "--init", "x@1"]) == 1
    assert "exclude each other" in capsys.readouterr().err

    report = tmp_path / "report.json"
    tests = [*places, "--test", "test_faces"]
    assert main(["evaluate", str(tmp_path / "tiny"), *tests, "--json", str(report)]) == 0
    assert "tiny minus bicubic" in capsys.readouterr().out
    result = json.loads(report.read_text())["models"][1]
    estimates = result["sets"]["test_faces"]["estimates"]
    assert estimates["ssim"]["low"] <= estimates["ssim"]["mean"] <= estimates["ssim"]["high"]

    store = ["--store", str(tmp_path / "store")]
    publish_it = ["publish", str(tmp_path / "tiny"), *tests, *store, "--allow-worse"]
    assert main([*publish_it, "  "]) == 1
    assert "--allow-worse is empty; say why" in capsys.readouterr().err
    assert main([*publish_it, "a test of the command"]) == 0
    assert "published tiny@1" in capsys.readouterr().out
    assert main(["evaluate", "absent", *tests]) == 1
    assert "no run's folder either" in capsys.readouterr().err


def test_nothing_below_its_thresholds_is_published_without_a_reason(
    tiny_config: TrainConfig, make_pack: MakePack, store: ModelStore, tmp_path: Path
) -> None:
    make_pack("test_faces", faces=4, validation=0)
    packs = make_pack()
    asking = replace(tiny_config, publish=PublishConfig(minimum_psnr_gain_db=90.0))
    folder = train(asking, packs=packs, store=store, runs=tmp_path)
    reports: list[Comparison] = []
    with pytest.raises(
        PublishRefusedError,
        match=r"tiny is not published: psnr_db is .* dB over bicubic; "
        r'publish\.minimum_psnr_gain_db is 90\.0\. Train on, or .*--allow-worse "REASON"',
    ):
        publish(folder, packs=packs, store=store, allow_worse=None, show=reports.append)
    assert store.names() == []
    assert len(reports) == 1  # the report is shown all the same
    manifest = publish(folder, packs=packs, store=store, allow_worse=" as a mark ")
    assert manifest.allowed_worse == "as a mark"
    assert store.resolve("tiny").allowed_worse == "as a mark"


def test_a_version_that_is_worse_than_the_one_it_replaces_needs_a_reason(
    tiny_config: TrainConfig, make_pack: MakePack, store: ModelStore, tmp_path: Path
) -> None:
    make_pack("test_faces", faces=4, validation=0)
    packs = make_pack()
    easy = replace(tiny_config, publish=PublishConfig(minimum_psnr_gain_db=-90.0))
    folder = train(easy, packs=packs, store=store, runs=tmp_path)
    assert publish(folder, packs=packs, store=store, allow_worse=None).version == "1"
    # The same weights again are no worse: what is measured is what the store keeps.
    again = publish(folder, packs=packs, store=store, allow_worse="not needed")
    assert (again.version, again.allowed_worse) == ("2", "")

    path = folder / "best.pt"
    checkpoint = load_checkpoint(path)
    spoilt = {key: value + 0.3 for key, value in checkpoint.ema.items()}
    save_checkpoint(path, replace(checkpoint, ema=spoilt))
    with pytest.raises(
        PublishRefusedError, match=r"psnr_db is worse than tiny@2's by -\d.* 4 of 4"
    ):
        publish(folder, packs=packs, store=store, allow_worse=None)
    assert store.versions("tiny") == ["1", "2"]
    assert publish(folder, packs=packs, store=store, allow_worse="why not").version == "3"
    # Going back to the better weights is no step down.
    save_checkpoint(path, checkpoint)
    assert publish(folder, packs=packs, store=store, allow_worse=None).allowed_worse == ""


def test_a_name_of_another_task_is_not_replaced(
    tiny_config: TrainConfig, make_pack: MakePack, store: ModelStore, tmp_path: Path
) -> None:
    make_pack("test_faces", faces=4, validation=0)
    packs = make_pack()
    publish_untrained(store, tiny_baseline("srcnn", scale=8), name="tiny")
    folder = train(tiny_config, packs=packs, store=store, runs=tmp_path)
    with pytest.raises(
        TrainingError, match=r"tiny@1 is for another scale or task .* another --name"
    ):
        publish(folder, packs=packs, store=store)
