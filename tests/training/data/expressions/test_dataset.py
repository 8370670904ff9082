from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from model_store.emotion.classifier import EMOTIONS
from tests.training.data.expressions.labelled_faces import write_tinted_pack
from training.config import ExpressionDataConfig
from training.data.draws import BatchDraws
from training.data.expressions.dataset import ExpressionDataset
from training.errors import DataError

COUNTS = [4, 40, 4, 4, 1, 2, 4]
CONFIG = ExpressionDataConfig(packs=("tints",))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_tinted_pack(tmp_path / "tints", COUNTS, splits=("train", "validation", "test"))
    return tmp_path


def drawn_shares(dataset: ExpressionDataset, *, draws: int = 2000) -> list[float]:
    batch = dataset.train_batch(BatchDraws.of_step(seed=0, step=0, batch_size=draws))
    return (np.bincount(batch.labels.numpy(), minlength=7) / draws).tolist()


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0])
def test_classes_are_drawn_by_the_power_of_their_count(root: Path, exponent: float) -> None:
    dataset = ExpressionDataset(replace(CONFIG, class_exponent=exponent), root=root)
    weights = np.array(COUNTS) ** (1 - exponent)
    assert drawn_shares(dataset) == pytest.approx((weights / weights.sum()).tolist(), abs=0.03)


def test_a_batch_follows_from_the_step_and_can_be_shared(root: Path) -> None:
    dataset = ExpressionDataset(CONFIG, root=root)
    whole = dataset.train_batch(BatchDraws.of_step(seed=3, step=5, batch_size=6))
    again = dataset.train_batch(BatchDraws.of_step(seed=3, step=5, batch_size=6))
    part = dataset.train_batch(BatchDraws.of_step(seed=3, step=5, batch_size=6, rows=range(2, 4)))
    other = dataset.train_batch(BatchDraws.of_step(seed=3, step=6, batch_size=6))
    assert torch.equal(whole.images, again.images)
    assert torch.equal(part.images, whole.images[2:4])
    assert torch.equal(part.labels, whole.labels[2:4])
    assert not torch.equal(other.images, whole.images)
    assert whole.images.shape == (6, 3, 112, 112)
    assert 0 <= float(whole.images.min()) < float(whole.images.max()) <= 1


def test_validation_holds_its_own_slice_and_the_test_slice_is_never_touched(root: Path) -> None:
    dataset = ExpressionDataset(CONFIG, root=root)
    [pack] = dataset.packs
    seen = torch.cat([b.images for b in dataset.held_batches("validation", batch_size=10)])
    wanted = torch.from_numpy(pack.images[pack.rows("validation")]).permute(0, 3, 1, 2) / 255
    assert torch.equal(seen, wanted)
    assert dataset.num_train_faces == sum(COUNTS)
    assert sum(len(b) for b in dataset.held_batches("train", batch_size=10)) == sum(COUNTS)


def test_validation_can_be_thinned_out_evenly(root: Path) -> None:
    dataset = ExpressionDataset(replace(CONFIG, max_validation_faces=5), root=root)
    [batch] = dataset.held_batches("validation", batch_size=10)
    assert batch.labels.tolist() == [0, 1, 1, 2, 6]


def test_packs_are_drawn_from_together(root: Path) -> None:
    write_tinted_pack(root / "more", [0, 0, 0, 0, 30, 0, 0], splits=("train",))
    config = ExpressionDataConfig(packs=("tints", "more"), class_exponent=0.0)
    dataset = ExpressionDataset(config, root=root)
    assert dataset.num_train_faces == sum(COUNTS) + 30
    share = drawn_shares(dataset)[EMOTIONS.index("fear")]
    assert share == pytest.approx(31 / 89, abs=0.03)


def test_an_expression_without_a_face_to_learn_from_is_named(tmp_path: Path) -> None:
    write_tinted_pack(tmp_path / "tints", [1, 1, 1, 1, 0, 0, 1])
    with pytest.raises(DataError, match="5 faces for validation and none to learn fear and disg"):
        ExpressionDataset(CONFIG, root=tmp_path)
    write_tinted_pack(tmp_path / "whole", [1] * 7, splits=("train",))
    with pytest.raises(DataError, match="leave 0 faces for validation"):
        ExpressionDataset(replace(CONFIG, packs=("whole",)), root=tmp_path)
