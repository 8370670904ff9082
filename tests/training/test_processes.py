import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn

from tests.training.conftest import MakePack
from training.__main__ import main
from training.batch_statistics import KeptBuffers, share_batch_statistics
from training.errors import ConfigError, TrainingError
from training.processes import Processes, open_processes

UPSCALER = """
[task]
kind = "super_resolution"
landmarker = "landmarker@1"
[task.network]
scale = 8
num_features = 8
growth_channels = 4
num_blocks = 1
gcn_features = 8
graph_map_channels = 8
msaf_block_dropout = {dropout}
"""
LANDMARKER = """
[degradation]
noise_probability = 0.5
blur_probability = 0.5
[task]
kind = "landmarks"
face_model_draws = 600
[task.network]
num_coefficients = 4
widths = [4, 4, 4, 4]
"""
HEAD = """
name = "shared"
max_steps = {steps}
batch_size = 8
validate_every = 5
precision = "float32"
"""
OPTIMIZER = """
[data]
packs = ["faces"]
[optimizer]
learning_rate = 1e-3
warmup_steps = 1
ema_decay = 0.5
"""
# Largest relative difference of a loss in ten steps. Sums are rounded in another order, and Adam
# turns the sign of a gradient that is nothing but rounding into a whole step. Measured: 7e-7 and
# 2e-4.
TOLERANCES = {"upscaler": 2e-5, "landmarker": 1e-3}
SCORES = {
    "upscaler": ("psnr_db", "psnr_gain_db", "train_psnr_db"),
    "landmarker": ("nme_16px", "nme_32px", "train_nme_16px"),
}
# Before any step only the sums differ.
FIRST_TOLERANCE = 1e-6


class TwoProcesses(Processes):
    """As the second of two would see itself; makes no collectives."""

    def __init__(self) -> None:
        super().__init__(Accelerator(cpu=True))
        self.index, self.count = 1, 2


def test_one_process_is_the_main_one_and_takes_the_whole_batch() -> None:
    with open_processes("auto" if not torch.cuda.is_available() else "cpu") as alone:
        assert (alone.index, alone.count, alone.is_main) == (0, 1, True)
        assert alone.device.type == "cpu"
        assert alone.share_of(5) == range(5)
        weights = nn.Linear(2, 1).weight
        weights.grad = torch.ones(1, 2)
        gradient = weights.grad
        alone.average_gradients([weights])
        assert weights.grad is gradient
        assert (alone.maximum(3), alone.number_from_main(2.5)) == (3, 2.5)


def test_shares_of_a_batch_are_even_or_refused() -> None:
    second = TwoProcesses()
    assert second.share_of(6) == range(3, 6)
    with pytest.raises(ConfigError, match=r"batch_size is 5, which 2 processes .* multiple of 2"):
        second.share_of(5)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_a_device_that_is_not_there_is_refused() -> None:
    with pytest.raises(TrainingError, match="sees no CUDA device; install"), open_processes("cuda"):
        pass


def test_without_accelerate_the_command_names_the_remedy(
    make_pack: MakePack,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "accelerate", None)
    assert train(write_config(tmp_path, UPSCALER, steps=1), make_pack(), tmp_path) == 1
    assert "accelerate, which is not installed; run `python3 run.py setup training`" in (
        capsys.readouterr().err
    )


def write_config(folder: Path, task: str, *, steps: int, dropout: float = 0.0) -> Path:
    path = folder / "shared.toml"
    text = HEAD.format(steps=steps) + OPTIMIZER
    path.write_text(text + task.replace("{dropout}", str(dropout)))
    return path


def train(config: Path, packs: Path, runs: Path) -> int:
    places = ["--packs", str(packs), "--runs", str(runs), "--device", "cpu"]
    return main(["train", str(config), *places])


def train_by_two(config: Path, packs: Path, runs: Path, *more: str) -> str:
    """Train in two processes that torchrun starts and gloo joins; returns what they printed."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    places = ["--packs", str(packs), "--runs", str(runs), "--device", "cpu"]
    done = subprocess.run(
        [sys.executable, *launcher, "-m", "training", "train", str(config), *places, *more],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": "1"},
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-9000:]
    return done.stdout


def read_losses(runs: Path) -> list[float]:
    """The loss of every step, from the TensorBoard events."""
    events = EventAccumulator(str(runs / "shared")).Reload()
    return [event.value for event in events.Scalars("train/loss")]


def read_curve(runs: Path) -> list[dict[str, float]]:
    lines = (runs / "shared/curve.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["upscaler", "landmarker"])
def test_two_processes_learn_what_one_does(kind: str, make_pack: MakePack, tmp_path: Path) -> None:
    task = UPSCALER if kind == "upscaler" else LANDMARKER
    packs, config = make_pack(faces=20), write_config(tmp_path, task, steps=10)
    assert train(config, packs, tmp_path / "one") == 0
    printed = train_by_two(config, packs, tmp_path / "two")
    assert printed.count("stopped by max_steps at step 10") == 1
    one, two = (read_losses(tmp_path / who) for who in ("one", "two"))
    assert len(one) == 10
    assert two[0] == pytest.approx(one[0], rel=FIRST_TOLERANCE)
    assert two == pytest.approx(one, rel=TOLERANCES[kind])
    one_curve, two_curve = read_curve(tmp_path / "one"), read_curve(tmp_path / "two")
    assert [line["step"] for line in two_curve] == [0, 5, 10]
    for name in SCORES[kind]:
        expected, found = ([line[name] for line in curve] for curve in (one_curve, two_curve))
        assert found == pytest.approx(expected, rel=10 * TOLERANCES[kind])
        assert expected[0] != pytest.approx(expected[-1], rel=1e-3)  # something was learnt


@pytest.mark.slow
def test_processes_stop_together_and_go_on_together(make_pack: MakePack, tmp_path: Path) -> None:
    packs, config = make_pack(), write_config(tmp_path, UPSCALER, steps=3, dropout=0.2)
    printed = train_by_two(config, packs, tmp_path, "--max-minutes", "0")
    assert "stopped by max_minutes at step 1" in printed
    assert "2 process(es) on cpu, forward passes in float32" in printed
    printed = train_by_two(config, packs, tmp_path, "--resume")
    assert "stopped by max_steps at step 3" in printed
    assert [line["step"] for line in read_curve(tmp_path)] == [0, 1, 3]


class Tower(nn.Module):
    """Both kinds of batch norm."""

    def __init__(self) -> None:
        super().__init__()
        self.maps = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        self.norm = nn.BatchNorm1d(4)

    def forward(self, images: Tensor) -> Tensor:
        normalised: Tensor = self.norm(self.maps(images).mean((2, 3)))
        return normalised


def make_tower() -> Tower:
    torch.manual_seed(0)
    return Tower()


def test_sharing_statistics_keeps_names_values_and_evaluation() -> None:
    plain, shared = make_tower().eval(), make_tower().eval()
    share_batch_statistics(shared)
    assert list(shared.state_dict()) == list(plain.state_dict())
    images = torch.rand(5, 3, 8, 8)
    assert torch.equal(shared(images), plain(images))


SHARED_STATISTICS = """
import os, sys
import torch
import torch.distributed as dist
from tests.training.test_processes import make_tower
from training.batch_statistics import share_batch_statistics
rank, folder = int(sys.argv[1]), sys.argv[2]
dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
tower = make_tower().train()
share_batch_statistics(tower)
images = torch.load(f"{folder}/images.pt")[rank * 4 : rank * 4 + 4]
result = tower(images)
result.square().mul(torch.arange(4)).mean().backward()
gradients = [parameter.grad / 2 for parameter in tower.parameters()]
for gradient in gradients:
    dist.all_reduce(gradient)
torch.save([result.detach(), gradients, tower.state_dict()], f"{folder}/{rank}.pt")
dist.destroy_process_group()
"""


@pytest.mark.slow
def test_shared_statistics_are_those_of_the_whole_batch(tmp_path: Path) -> None:
    images = torch.randn(8, 3, 8, 8) * torch.arange(1, 9)[:, None, None, None] + 5
    torch.save(images, tmp_path / "images.pt")
    root = Path(__file__).parents[2]
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", SHARED_STATISTICS, str(rank), str(tmp_path)], cwd=root
        )
        for rank in ("0", "1")
    ]
    assert [worker.wait(timeout=120) for worker in workers] == [0, 0]
    parts = [torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1)]
    tower = make_tower().train()
    expected = tower(images)
    expected.square().mul(torch.arange(4)).mean().backward()
    assert torch.allclose(torch.cat([part[0] for part in parts]), expected, atol=1e-5)
    for _, gradients, state in parts:
        for gradient, parameter in zip(gradients, tower.parameters(), strict=True):
            assert parameter.grad is not None
            assert torch.allclose(gradient, parameter.grad, rtol=1e-3, atol=1e-5)
        for key, value in tower.state_dict().items():
            assert torch.allclose(state[key], value, rtol=1e-5, atol=1e-6), key


def test_kept_buffers_bring_running_statistics_back() -> None:
    tower = make_tower().train()
    kept = KeptBuffers(tower)
    tower(torch.rand(4, 3, 8, 8))
    kept.keep()
    before = {key: value.clone() for key, value in tower.state_dict().items()}
    tower(torch.full((4, 3, 8, 8), torch.nan))
    assert not torch.isfinite(tower.norm.running_mean).all()
    kept.restore()
    assert all(torch.equal(value, before[key]) for key, value in tower.state_dict().items())
