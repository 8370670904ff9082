from dataclasses import replace
from pathlib import Path

from model_store.store import ModelStore
from tests.training.conftest import MakePack
from tests.training.runs import CPU, run
from training.config import DegradationConfig, TrainConfig
from training.data.datasets import FaceDataset
from training.tasks.build import build_task


def test_a_network_is_trained_and_validated_on_damaged_images(
    tiny_config: TrainConfig, make_pack: MakePack, tmp_path: Path
) -> None:
    packs = make_pack()
    blind = replace(tiny_config, degradation=DegradationConfig(kind="blind"))
    results = [
        run(blind, packs=packs, runs=tmp_path / name).best_score for name in ("one", "again")
    ]
    assert results[0] == results[1]

    def bicubic_psnr(config: TrainConfig) -> float:
        """What the validation's LR images give by bicubic: low where they are damaged."""
        dataset = FaceDataset(config.data, root=packs)
        task = build_task(config, dataset=dataset, store=ModelStore(tmp_path), device=CPU)
        score = task.validate(task.network, "validation")
        return score["psnr_db"] - score["psnr_gain_db"]

    assert bicubic_psnr(blind) < bicubic_psnr(tiny_config) - 0.3
    assert bicubic_psnr(blind) == bicubic_psnr(blind)
