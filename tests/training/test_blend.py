from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from model_store.store import ModelStore
from tests.training.conftest import MakePack
from tests.training.runs import CPU, make_trainer
from training.blend import blend_with_start, interpolate
from training.checkpoint import BEST_NAME, LAST_NAME, load_checkpoint, save_checkpoint
from training.config import TrainConfig
from training.data.datasets import FaceDataset
from training.errors import CheckpointError
from training.tasks.build import build_network_of, build_task


class Finished:
    """A run of a tiny network and the weights that it started from."""

    def __init__(self, config: TrainConfig, *, packs: Path, root: Path) -> None:
        self.packs, self.store = packs, ModelStore(root / "store")
        self.start = root / "start.safetensors"
        self.folder = root / config.name
        dataset = FaceDataset(config.data, root=packs)
        task = build_task(config, dataset=dataset, store=self.store, device=CPU)
        save_file(dict(task.network.state_dict()), self.start)
        make_trainer(config, packs=packs, runs=root, task=task).run()

    def blend(
        self,
        target: Path,
        *,
        start: str | None = "",
        shares: tuple[float, ...] = (0.5, 1.0),
        min_sharpness: float | None = None,
        max_psnr_cost_db: float | None = None,
    ) -> tuple[float, list[str]]:
        lines: list[str] = []
        share = blend_with_start(
            self.folder,
            target,
            start=str(self.start) if start == "" else start,
            shares=shares,
            min_sharpness=min_sharpness,
            max_psnr_cost_db=max_psnr_cost_db,
            packs_root=self.packs,
            store=self.store,
            notify=lines.append,
        )
        return share, lines


@pytest.fixture
def finished(tiny_config: TrainConfig, make_pack: MakePack, tmp_path: Path) -> Finished:
    return Finished(tiny_config, packs=make_pack(), root=tmp_path)


def test_interpolation_is_linear_and_leaves_counters_alone() -> None:
    first = {"weight": torch.tensor([0.0, 4.0]), "count": torch.tensor(1)}
    last = {"weight": torch.tensor([8.0, 0.0]), "count": torch.tensor(9)}
    between = interpolate(first, last, share=0.25)
    assert between["weight"].tolist() == [2.0, 3.0]
    assert int(between["count"]) == 9


def test_best_share_becomes_weights_that_are_published_like_a_runs(
    finished: Finished, tmp_path: Path
) -> None:
    share, lines = finished.blend(tmp_path / "blended")
    scores = [float(line.rpartition(" ")[2]) for line in lines]
    assert [line.partition(" ")[0] for line in lines] == ["0.000", "0.500", "1.000"]
    assert share == (0.0, 0.5, 1.0)[scores.index(max(scores))]
    blended = load_checkpoint(tmp_path / "blended" / BEST_NAME)
    last = load_checkpoint(finished.folder / LAST_NAME)
    assert blended.share_of_run == share
    assert (blended.step, blended.start) == (last.step, last.start)
    assert blended.best_score == pytest.approx(max(scores), abs=1e-4)


def test_weights_lie_between_start_and_end(finished: Finished, tmp_path: Path) -> None:
    finished.blend(tmp_path / "half", shares=(0.5,))
    half = load_checkpoint(tmp_path / "half" / BEST_NAME).ema["conv_first.weight"]
    last = load_checkpoint(finished.folder / LAST_NAME).ema["conv_first.weight"]
    first = load_file(finished.start)["conv_first.weight"]
    assert torch.allclose(half, (first + last) / 2, atol=1e-7)
    assert not torch.equal(half, last)


def test_share_may_be_chosen_on_the_sharper_validation_faces(
    finished: Finished, tmp_path: Path
) -> None:
    _, on_all = finished.blend(tmp_path / "all")
    _, on_sharp = finished.blend(tmp_path / "sharp", min_sharpness=3.0)  # the last of the three
    assert on_all != on_sharp
    blended = load_checkpoint(tmp_path / "sharp" / BEST_NAME)
    assert blended.config.data.min_validation_sharpness == 3.0


@dataclass
class CostlyTask:
    """Where each step of the way makes the score better by 1 and costs 2 dB."""

    network: nn.Module
    score_name: str = "negative_loss"
    tried: int = 0

    def validate(self, network: nn.Module, split: str) -> dict[str, float]:
        assert (network, split) == (self.network, "validation")
        self.tried += 1
        return {"psnr_db": 30.0 - 2 * self.tried, "negative_loss": float(self.tried)}


@pytest.mark.parametrize(("cost_db", "kept"), [(None, 1.0), (6.0, 0.75), (5.9, 0.5)])
def test_share_that_costs_too_much_psnr_is_left_out(
    finished: Finished,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    cost_db: float | None,
    kept: float,
) -> None:
    network = build_network_of(load_checkpoint(finished.folder / LAST_NAME).config)
    monkeypatch.setattr("training.blend.build_task", lambda *_, **__: CostlyTask(network))
    shares = (0.25, 0.5, 0.75, 1.0)
    share, lines = finished.blend(tmp_path / "cut", shares=shares, max_psnr_cost_db=cost_db)
    assert share == kept
    assert lines[1] == "0.250 of the way: psnr_db 26.0000, negative_loss 2.0000"


def test_cost_of_a_run_without_images_cannot_be_bounded(
    finished: Finished, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = CostlyTask(build_network_of(load_checkpoint(finished.folder / LAST_NAME).config))
    monkeypatch.setattr(task, "validate", lambda *_: {"negative_loss": 1.0})
    monkeypatch.setattr("training.blend.build_task", lambda *_, **__: task)
    with pytest.raises(CheckpointError, match="learnt no images; leave out the bound"):
        finished.blend(tmp_path / "cut", max_psnr_cost_db=1.0)


def test_run_that_got_nowhere_is_not_blended(finished: Finished, tmp_path: Path) -> None:
    path = finished.folder / LAST_NAME
    last = load_checkpoint(path)
    ruined = {name: value + 5 for name, value in last.ema.items()}
    save_checkpoint(path, replace(last, ema=ruined))
    with pytest.raises(CheckpointError, match=r"no share .* is better than its start"):
        finished.blend(tmp_path / "blended")
    assert not (tmp_path / "blended").exists()


def test_run_from_nothing_has_no_start_to_go_back_to(finished: Finished, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="started from nothing"):
        finished.blend(tmp_path / "blended", start=None)


def test_start_without_every_tensor_is_refused(finished: Finished, tmp_path: Path) -> None:
    save_file({"conv_first.bias": torch.zeros(8)}, finished.start)
    with pytest.raises(CheckpointError, match=r"lacks .* tensors of the run's network"):
        finished.blend(tmp_path / "blended")


@pytest.mark.parametrize("shares", [(), (0.0,), (1.2,)])
def test_share_out_of_bounds_is_refused(
    finished: Finished, tmp_path: Path, shares: tuple[float, ...]
) -> None:
    with pytest.raises(CheckpointError, match="each above 0 and up to 1"):
        finished.blend(tmp_path / "blended", shares=shares)


def test_folder_that_exists_is_kept(finished: Finished, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="exists; name another folder"):
        finished.blend(tmp_path)
