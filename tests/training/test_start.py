"""Where a training starts from, and what a training machine must have."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from model_store.affectsrnet.network import AffectSRNet
from model_store.architectures import classifier_from
from model_store.emotion.mixed_feature_net import DDAMFNConfig
from model_store.emotion.mobilefacenet import MobileFaceNetConfig
from model_store.landmarks.landmarker import Landmarker, LandmarkerConfig
from model_store.store import DEFAULT_ROOT, ModelStore
from tests.published import publish_untrained
from tests.training.conftest import MakePack
from tests.training.runs import run
from training.__main__ import main
from training.checkpoint import load_checkpoint
from training.config import SuperResolutionTaskConfig, TrainConfig
from training.errors import CheckpointError
from training.tasks.build import build_network_of
from training.tasks.start import initialise_from
from training.train import describe_new


def test_a_warm_start_takes_what_it_has_and_names_what_is_new(
    tiny_config: TrainConfig, tmp_path: Path
) -> None:
    store = ModelStore(tmp_path)
    backbone = build_network_of(tiny_config)
    publish_untrained(store, backbone, name="tiny-x4")
    assert isinstance(tiny_config.task, SuperResolutionTaskConfig)
    network = replace(tiny_config.task.network, landmark_fusion=True, graph_map_channels=8)
    fused = AffectSRNet(network).eval()
    new = initialise_from(fused, "tiny-x4@1", store=store)
    assert new
    assert all(key.startswith(("gcn.", "merges.")) for key in new)
    lr = torch.rand(1, 3, 32, 32)
    started = store.load("tiny-x4@1").module
    assert torch.allclose(fused(lr, torch.rand(1, 478, 3)), started(lr), atol=1e-6)


def test_a_start_of_another_architecture_is_refused(
    tiny_config: TrainConfig, tmp_path: Path
) -> None:
    store = ModelStore(tmp_path)
    publish_untrained(store, Landmarker(LandmarkerConfig(num_coefficients=4)), name="landmarker")
    network = build_network_of(tiny_config)
    with pytest.raises(CheckpointError, match="weights of another architecture"):
        initialise_from(network, "landmarker@1", store=store)
    with pytest.raises(CheckpointError, match="there is no model 'absent'"):
        initialise_from(network, "absent@1", store=store)


def test_backbone_alone_fits_a_network_with_another_landmark_branch(
    tiny_config: TrainConfig, tmp_path: Path
) -> None:
    store = ModelStore(tmp_path)
    assert isinstance(tiny_config.task, SuperResolutionTaskConfig)
    fused = replace(tiny_config.task.network, landmark_fusion=True, graph_map_channels=8)
    publish_untrained(store, AffectSRNet(fused), name="fused-x4")
    pooled = AffectSRNet(replace(fused, graph_map="pooled", gcn_features=16))
    with pytest.raises(CheckpointError, match="weights of another architecture"):
        initialise_from(pooled, "fused-x4@1", store=store)
    branch = {k: v.clone() for k, v in pooled.gcn.state_dict().items()} if pooled.gcn else {}
    new = initialise_from(pooled, "fused-x4@1:backbone", store=store)
    assert all(key.startswith(("gcn.", "merges.")) for key in new)
    published = store.load("fused-x4@1").module.state_dict()
    assert torch.equal(pooled.state_dict()["conv_last.weight"], published["conv_last.weight"])
    assert branch
    assert all(torch.equal(pooled.state_dict()[f"gcn.{k}"], v) for k, v in branch.items())
    alone = AffectSRNet(tiny_config.task.network)
    assert initialise_from(alone, "fused-x4@1:backbone", store=store) == []


def test_a_misfit_is_named_with_both_shapes_and_the_remedy(
    tiny_config: TrainConfig, tmp_path: Path
) -> None:
    assert isinstance(tiny_config.task, SuperResolutionTaskConfig)
    wide = AffectSRNet(replace(tiny_config.task.network, num_features=16))
    save_file(wide.state_dict(), tmp_path / "wide.safetensors")
    message = (
        r"wide\.safetensors holds weights of another architecture: \d+ of \d+ do not fit, first "
        r"body\.0\.rdb1\.conv1\.weight, \(4, 16, 3, 3\) there and \(4, 8, 3, 3\) here; start from"
    )
    with pytest.raises(CheckpointError, match=message):
        initialise_from(
            build_network_of(tiny_config),
            str(tmp_path / "wide.safetensors"),
            store=ModelStore(tmp_path),
        )


def test_a_file_that_holds_no_weights_is_named(tiny_config: TrainConfig, tmp_path: Path) -> None:
    path = tmp_path / "text.safetensors"
    path.write_text("nothing")
    for start in (path, tmp_path / "absent.safetensors"):
        with pytest.raises(CheckpointError, match=f"--init {start}: "):
            initialise_from(build_network_of(tiny_config), str(start), store=ModelStore(tmp_path))


def test_a_checkpoint_gives_its_average_to_a_new_run(
    tiny_config: TrainConfig, make_pack: MakePack, tmp_path: Path
) -> None:
    run(tiny_config, packs=make_pack(), runs=tmp_path)
    path = tmp_path / "tiny/last.pt"
    network = build_network_of(tiny_config)
    assert initialise_from(network, str(path), store=ModelStore(tmp_path)) == []
    average = load_checkpoint(path).ema
    assert all(torch.equal(value, average[key]) for key, value in network.state_dict().items())


def test_a_classifier_starts_from_a_network_of_identities(data_root: Path) -> None:
    start = str(data_root / "weights/mobilefacenet_identity_112x96.ckpt")
    network = classifier_from(MobileFaceNetConfig())
    untouched = network.classes.weight.clone()
    stem = network.state_dict()["backbone.stem.conv.weight"].clone()
    new = initialise_from(network, start, store=ModelStore(data_root))
    assert new == ["classes.bias", "classes.weight", "temperature"]
    assert torch.equal(network.classes.weight, untouched)
    assert not torch.equal(network.state_dict()["backbone.stem.conv.weight"], stem)
    reference = classifier_from(DDAMFNConfig())
    new = initialise_from(reference, start, store=ModelStore(data_root))
    assert {name.split(".")[0] for name in new} == {"classes", "heads", "temperature"}


def test_a_ddamfn_starts_from_a_published_classifier_of_expressions() -> None:
    network = classifier_from(DDAMFNConfig())
    published = ModelStore(DEFAULT_ROOT)
    new = initialise_from(network, "emotion-mobilefacenet@1", store=published)
    assert {name.split(".")[0] for name in new} == {"heads"}
    wanted = published.load("emotion-mobilefacenet@1").module.state_dict()["classes.weight"]
    assert torch.equal(network.classes.weight, wanted)


def test_a_ddamfn_without_room_refuses_a_published_classifier() -> None:
    network = classifier_from(DDAMFNConfig(depthwise_norm=False))
    with pytest.raises(CheckpointError, match=r"emotion-mobilefacenet@1: depthwise_norm is False"):
        initialise_from(network, "emotion-mobilefacenet@1", store=ModelStore(DEFAULT_ROOT))


def test_only_classifiers_start_from_identities(tiny_config: TrainConfig, tmp_path: Path) -> None:
    start = str(tmp_path / "faces.ckpt")
    with pytest.raises(CheckpointError, match="of ours only classifiers of expressions can start"):
        initialise_from(build_network_of(tiny_config), start, store=ModelStore(tmp_path))
    with pytest.raises(CheckpointError, match=r"--init .*faces\.ckpt"):
        initialise_from(classifier_from(MobileFaceNetConfig()), start, store=ModelStore(tmp_path))


def test_what_is_new_is_listed_by_its_part() -> None:
    names = ["gcn.layers.0.weight", "gcn.layers.1.weight", "merges.0.fuse.bias"]
    assert describe_new(names) == "3 tensors are new: gcn.layers (2), merges.0 (1)"
    assert describe_new([]) == "it has every tensor of the network"


def test_the_command_line_says_what_it_starts_from(
    tiny_config: TrainConfig,
    make_pack: MakePack,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    packs = make_pack()
    run(tiny_config, packs=packs, runs=tmp_path)
    config = tmp_path / "next.toml"
    config.write_text(NEXT)
    start = str(tmp_path / "tiny/best.pt")
    places = ["--packs", str(packs), "--runs", str(tmp_path), "--device", "cpu"]
    assert main(["train", str(config), *places, "--init", start]) == 0
    printed = capsys.readouterr().out
    assert f"starting from {start}; it has every tensor of the network" in printed
    assert load_checkpoint(tmp_path / "next/last.pt").start == "tiny/best.pt"


NEXT = """
name = "next"
max_steps = 1
batch_size = 2
[data]
packs = ["faces"]
[task]
kind = "super_resolution"
[task.network]
scale = 4
num_features = 8
growth_channels = 4
num_blocks = 1
landmark_fusion = false
"""
# What a machine that only trains need not have; importing one of them fails.
TRAIN_WITHOUT = """
import sys
for name in ("mediapipe", "pydantic", "fastapi", "starlette", "uvicorn", "httpx"):
    sys.modules[name] = None
from training.__main__ import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_a_training_machine_needs_neither_mediapipe_nor_the_service(
    make_pack: MakePack, tmp_path: Path
) -> None:
    config = tmp_path / "next.toml"
    config.write_text(NEXT)
    places = ["--packs", str(make_pack()), "--runs", str(tmp_path), "--device", "cpu"]
    done = subprocess.run(
        [sys.executable, "-c", TRAIN_WITHOUT, "train", str(config), *places],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "stopped by max_steps at step 1" in done.stdout
