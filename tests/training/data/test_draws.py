from pathlib import Path

import pytest
import torch
from torch import Tensor

from tests.training.conftest import MakePack
from training.config import AugmentationConfig, DataConfig, DegradationConfig
from training.data.augmentation import augment_faces
from training.data.datasets import FaceDataset
from training.data.degradation import degrade
from training.data.draws import BatchDraws

CPU = torch.device("cpu")
BATCH = 6
DAMAGE = DegradationConfig(blur_probability=0.5, noise_probability=0.5, jpeg_probability=0.5)


def draws_for(rows: range | None = None, *, seed: int = 3, step: int = 7) -> BatchDraws:
    return BatchDraws.of_step(seed=seed, step=step, batch_size=BATCH, rows=rows)


@pytest.mark.parametrize(("seed", "step"), [(3, 8), (4, 7)])
def test_draws_are_a_function_of_seed_and_step(seed: int, step: int) -> None:
    assert torch.equal(draws_for().uniform(4), draws_for().uniform(4))
    assert not torch.equal(draws_for().uniform(4), draws_for(seed=seed, step=step).uniform(4))


def test_a_part_of_the_batch_has_the_draws_of_its_places() -> None:
    whole, part = draws_for(), draws_for(range(2, 5))
    assert torch.equal(part.uniform(4), whole.uniform(4)[2:5])
    assert torch.equal(part.normal(3, 2, device=CPU), whole.normal(3, 2, device=CPU)[2:5])
    seeds = [[g.initial_seed() for g in draws.per_face()] for draws in (whole, part)]
    assert seeds[1] == seeds[0][2:5]
    assert torch.equal(part.uniform(), whole.uniform()[2:5])


def test_drawing_for_selected_faces_leaves_the_stream_alone() -> None:
    used, unused = draws_for(), draws_for()
    selected = used.select(torch.tensor([1, 4]))
    assert selected.uniform(2).shape == (2, 2)
    unused.select(torch.tensor([0]))
    assert torch.equal(used.uniform(), unused.uniform())


def prepare(
    dataset: FaceDataset, draws: BatchDraws, damage: DegradationConfig
) -> tuple[Tensor, Tensor, Tensor]:
    """Everything that a step does to its faces before the network: HR, landmarks, LR."""
    faces = dataset.train_batch(draws)
    config = AugmentationConfig(warp_probability=0.5, grey_probability=0.5)
    hr, landmarks = augment_faces(faces.images, faces.landmarks, config=config, draws=draws)
    lr = degrade(hr, side_px=16, config=damage, draws=draws, ids=faces.ids)
    return hr, landmarks, lr


@pytest.mark.parametrize("damage", [DAMAGE, DegradationConfig(kind="blind")], ids=["own", "blind"])
@pytest.mark.parametrize("parts", [2, 3, 6])
def test_processes_that_share_a_batch_prepare_the_faces_that_one_would(
    make_pack: MakePack, parts: int, damage: DegradationConfig
) -> None:
    root: Path = make_pack()
    dataset = FaceDataset(DataConfig(packs=("faces",)), root=root)
    share = BATCH // parts
    shares = [
        prepare(dataset, draws_for(range(start, start + share)), damage)
        for start in range(0, BATCH, share)
    ]
    together = prepare(dataset, draws_for(), damage)
    for whole, pieces in zip(together, zip(*shares, strict=True), strict=True):
        assert torch.allclose(whole, torch.cat(pieces), atol=1e-6)


@pytest.mark.gpu
def test_a_gpu_prepares_the_faces_that_a_cpu_does(make_pack: MakePack) -> None:
    root, cuda = make_pack(), torch.device("cuda", 0)
    on_cpu = FaceDataset(DataConfig(packs=("faces",)), root=root)
    on_gpu = FaceDataset(DataConfig(packs=("faces",), resident="device"), root=root, device=cuda)
    hr, landmarks, lr = prepare(on_gpu, draws_for(), damage=DegradationConfig())
    expected = prepare(on_cpu, draws_for(), damage=DegradationConfig())
    for found, wanted in zip((hr, landmarks, lr), expected, strict=True):
        assert found.device.type == "cuda"
        # One level of 255, where rounding to 8 bits fell to the other side.
        assert torch.allclose(found.cpu(), wanted, atol=1.01 / 255)
