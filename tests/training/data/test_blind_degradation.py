from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from model_store.image_tensor import image_to_tensor
from training.config import BlindDegradationConfig, DegradationConfig
from training.data.degradation import degrade, downsample
from training.data.draws import BatchDraws
from training.data.item_draws import ItemDraws, item_seeds

BLIND = DegradationConfig(kind="blind")
IDS = torch.tensor([3, 14, 15, 92, 65, 35])
DRAWS = BatchDraws.of_step(seed=0, step=0, batch_size=6)
# A round that changes nothing but the size: straight to the LR side.
STILL = replace(
    BLIND.blind.first,
    blur_probability=0,
    noise_probability=0,
    jpeg_probability=0,
    resize_side=(8.0, 8.0),
)


@pytest.fixture
def faces() -> Tensor:
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (6, 8, 8, 3), dtype=np.uint8)
    large = [Image.fromarray(c).resize((128, 128), Image.Resampling.BICUBIC) for c in coarse]
    return torch.stack([image_to_tensor(np.asarray(image)) for image in large])


def degrade_at(faces: Tensor, ids: Tensor, *, step: int = 0, side_px: int = 32) -> Tensor:
    draws = BatchDraws.of_step(seed=7, step=step, batch_size=len(faces))
    return degrade(faces, side_px=side_px, config=BLIND, draws=draws, ids=ids)


@pytest.mark.parametrize("side_px", [16, 32])
def test_an_item_is_damaged_alike_in_any_company_and_at_any_place(
    faces: Tensor, side_px: int
) -> None:
    together = degrade_at(faces, IDS, side_px=side_px)
    order = torch.tensor([4, 1, 5, 0, 3, 2])
    shuffled = degrade_at(faces[order], IDS[order], side_px=side_px)
    assert torch.equal(shuffled, together[order])
    for row in range(len(faces)):
        alone = degrade_at(faces[row : row + 1], IDS[row : row + 1], side_px=side_px)
        assert torch.equal(alone[0], together[row])


def test_damage_does_not_depend_on_what_else_was_drawn(faces: Tensor) -> None:
    draws = BatchDraws.of_step(seed=7, step=0, batch_size=6)
    draws.uniform(1000)
    after = degrade(faces, side_px=32, config=BLIND, draws=draws, ids=IDS)
    assert torch.equal(after, degrade_at(faces, IDS))


def test_damage_changes_with_the_step_and_with_the_item(faces: Tensor) -> None:
    one_face = faces[:1].expand(6, -1, -1, -1)
    results = [*degrade_at(one_face, IDS), *degrade_at(one_face, IDS, step=1)]
    assert len({tuple(result.flatten().tolist()) for result in results}) == 12


def test_the_result_is_an_8_bit_picture_of_the_same_face(faces: Tensor) -> None:
    degraded = degrade_at(faces, IDS)
    assert degraded.shape == (6, 3, 32, 32)
    assert torch.equal((degraded * 255).round() / 255, degraded)
    clean = downsample(faces, side_px=32)
    assert float((degraded - clean).abs().mean()) < 0.12
    for ours, original in zip(degraded, clean, strict=True):
        pair = torch.stack([ours.flatten(), original.flatten()])
        assert float(torch.corrcoef(pair)[0, 1]) > 0.8


def test_rounds_without_damage_leave_a_resize(faces: Tensor) -> None:
    config = replace(BLIND, blind=BlindDegradationConfig(first=STILL, second=STILL))
    degraded = degrade(faces, side_px=16, config=config, draws=DRAWS, ids=IDS)
    # Box, triangle or cubic: not the same picture as bicubic, but a clean one.
    assert float((degraded - downsample(faces, side_px=16)).abs().mean()) < 0.03


@pytest.mark.parametrize(
    "damage",
    [
        {"blur_probability": 1.0, "blur_sigma": (0.8, 0.9)},
        {"noise_probability": 1.0, "noise_sigma": (20.0, 25.0)},
        {"jpeg_probability": 1.0, "jpeg_quality": (15.0, 20.0)},
        {"resize_side": (0.5, 0.5)},
    ],
    ids=["blur", "noise", "jpeg", "resize"],
)
@pytest.mark.parametrize("place", ["first", "second"])
def test_each_kind_of_damage_does_its_part_in_each_round(
    faces: Tensor, damage: dict[str, object], place: str
) -> None:
    rounds = {"first": STILL, "second": STILL}
    still = replace(BLIND, blind=BlindDegradationConfig(**rounds))
    rounds[place] = replace(STILL, **damage)  # type: ignore[arg-type]
    damaged = replace(BLIND, blind=BlindDegradationConfig(**rounds))
    results = [degrade(faces, side_px=16, config=c, draws=DRAWS, ids=IDS) for c in (still, damaged)]
    for clean, worse in zip(*results, strict=True):
        assert float((clean - worse).abs().mean()) > 0.003


@pytest.mark.gpu
def test_a_gpu_damages_as_the_cpu_does_but_for_the_noise(faces: Tensor) -> None:
    first, second = (
        replace(part, noise_probability=0.0) for part in (BLIND.blind.first, BLIND.blind.second)
    )
    config = replace(BLIND, blind=BlindDegradationConfig(first=first, second=second))
    here, there = (
        degrade(face, side_px=32, config=config, draws=DRAWS, ids=IDS).cpu()
        for face in (faces, faces.cuda())
    )
    # A coefficient in the middle between two steps of a JPEG may be rounded the other way.
    assert float((here - there).abs().mean()) < 0.002


def test_shot_noise_spares_the_dark() -> None:
    halves = torch.full((200, 3, 16, 16), 0.04)
    halves[..., 8:] = 0.64
    noisy = replace(
        STILL, noise_probability=1.0, noise_sigma=(20.0, 20.0), shot_noise_probability=1.0
    )
    config = replace(BLIND, blind=BlindDegradationConfig(first=STILL, second=noisy))
    made = degrade(
        halves,
        side_px=16,
        config=config,
        draws=DRAWS,
        ids=torch.arange(200),
    )
    # sqrt(0.64) / sqrt(0.04) = 4; a dark level that would fall below 0 is cut, so a little less.
    dark, light = made[..., 1:7].std(), made[..., 9:15].std()
    assert 3 < float(light / dark) < 4.6


def test_seeds_of_neighbouring_steps_and_items_are_all_different() -> None:
    ids = torch.arange(50)
    seeds = {seed for step in range(50) for seed in item_seeds(step, ids)}
    assert len(seeds) == 2500


def test_an_items_numbers_are_its_own() -> None:
    cpu = torch.device("cpu")
    both, second = ItemDraws([11, 22], device=cpu), ItemDraws([22], device=cpu)
    assert torch.equal(both.uniform(2, 5)[1:], second.uniform(2, 5))
    assert torch.equal(both.normal(3, 4)[1:], second.normal(3, 4))
    again = both.normal(3, 4)
    assert not torch.equal(again[0], again[1])
    numbers = ItemDraws(range(2000), device=cpu).uniform(2, 5)
    assert 2 <= float(numbers.min()) < 2.02
    assert 4.98 < float(numbers.max()) < 5
    assert float(numbers.mean()) == pytest.approx(3.5, abs=0.06)
