from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from model_store.baselines.dic import DIC, DICConfig
from model_store.baselines.fsrnet import FSRNet, FSRNetConfig
from model_store.baselines.stages import Stages
from model_store.landmarks.topology import FLIP_PERMUTATION
from model_store.store import ModelStore
from tests.tiny_baselines import tiny_configs
from tests.training.conftest import MakePack
from training.config import AugmentationConfig, SuperResolutionTaskConfig, TrainConfig
from training.data.datasets import FaceDataset
from training.data.draws import BatchDraws
from training.data.heatmaps import draw_heatmaps
from training.losses.terms import LossTerms
from training.tasks import super_resolution
from training.tasks.build import build_task
from training.tasks.supervision import StagedNetwork, supervise_stages

LANDMARKS = torch.full((2, 478, 3), 0.5)


def tiny_fsrnet() -> FSRNet:
    config = tiny_configs(4)["fsrnet"]
    assert isinstance(config, FSRNetConfig)
    return FSRNet(config)


def tiny_dic() -> DIC:
    config = tiny_configs(4)["dic"]
    assert isinstance(config, DICConfig)
    return DIC(config)


def test_true_stages_cost_nothing() -> None:
    hr = torch.rand(2, 3, 128, 128)
    stages = Stages((hr, torch.rand_like(hr)), (draw_heatmaps(LANDMARKS, side_px=64),))
    assert supervise_stages(tiny_fsrnet(), stages, hr=hr, landmarks=LANDMARKS).total == 0


def test_fsrnet_counts_a_value_of_a_heatmap_as_one_of_the_image() -> None:
    hr = torch.zeros(2, 3, 128, 128)
    heatmaps = draw_heatmaps(LANDMARKS, side_px=64) + 0.1
    loss = supervise_stages(
        tiny_fsrnet(), Stages((hr + 0.25, hr), (heatmaps,)), hr=hr, landmarks=LANDMARKS
    )
    # 0.01 for each of 68 x 64 x 64 values, in units of the image's 3 x 128 x 128.
    assert loss.total.item() == pytest.approx(0.25 + 0.01 * (68 * 64 * 64) / (3 * 128 * 128))
    assert loss.terms["stage_l1"].item() == pytest.approx(0.25)
    assert loss.terms["heatmap_mse"].item() == pytest.approx(0.01)


def test_dic_adds_up_its_steps_and_weighs_heatmaps_by_a_tenth() -> None:
    hr = torch.zeros(2, 3, 128, 128)
    truth = draw_heatmaps(LANDMARKS, side_px=32)
    stages = Stages((hr + 0.3, hr - 0.2, hr + 9), (truth + 0.1, truth - 0.2, truth + 0.3))
    loss = supervise_stages(tiny_dic(), stages, hr=hr, landmarks=LANDMARKS)
    # The last image, far off, is another loss's matter; the last heatmaps are not.
    assert loss.total.item() == pytest.approx(0.3 + 0.2 + 0.1 * (0.01 + 0.04 + 0.09), rel=1e-4)


@pytest.mark.parametrize("architecture", ["fsrnet", "dic"])
def test_stages_are_told_of_the_face_as_it_was_augmented(
    architecture: str,
    tiny_config: TrainConfig,
    make_pack: MakePack,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen: list[tuple[Tensor, Tensor]] = []

    def spy(network: StagedNetwork, stages: Stages, *, hr: Tensor, landmarks: Tensor) -> LossTerms:
        seen.append((hr, landmarks))
        return supervise_stages(network, stages, hr=hr, landmarks=landmarks)

    monkeypatch.setattr(super_resolution, "supervise_stages", spy)
    always_mirrored = AugmentationConfig(
        flip_probability=1, warp_probability=0, colour_probability=0, grey_probability=0
    )
    config = replace(
        tiny_config,
        task=SuperResolutionTaskConfig(network=tiny_configs(4)[architecture]),
        augmentation=always_mirrored,
    )
    dataset = FaceDataset(config.data, root=make_pack())
    task = build_task(
        config, dataset=dataset, store=ModelStore(tmp_path), device=torch.device("cpu")
    )
    faces = dataset.train_batch(BatchDraws.of_step(seed=0, step=0, batch_size=2))
    loss = task.compute_loss(BatchDraws.of_step(seed=0, step=0, batch_size=2))

    [(hr, landmarks)] = seen
    mirrored = faces.landmarks[:, list(FLIP_PERMUTATION)] * torch.tensor([-1.0, 1, 1])
    torch.testing.assert_close(landmarks, mirrored + torch.tensor([1.0, 0, 0]))
    torch.testing.assert_close(hr, faces.images.flip(3))
    assert set(loss.terms) >= {"l1", "stage_l1", "heatmap_mse"}
    assert loss.total > loss.terms["l1"] + loss.terms["stage_l1"]
