import pytest
import torch

from tests.training.conftest import MakePack
from training.config import DataConfig
from training.data.datasets import FaceBatch, FaceDataset
from training.data.draws import BatchDraws
from training.errors import DataError


def draw(dataset: FaceDataset, batch_size: int, *, seed: int = 0, step: int = 0) -> FaceBatch:
    return dataset.train_batch(BatchDraws.of_step(seed=seed, step=step, batch_size=batch_size))


def test_a_batch_is_a_function_of_seed_and_step(make_pack: MakePack) -> None:
    dataset = FaceDataset(DataConfig(packs=("faces",)), root=make_pack())
    batches = [
        draw(dataset, 4, seed=seed, step=step).images
        for seed, step in ((0, 1), (0, 1), (0, 2), (1, 1))
    ]
    assert torch.equal(batches[0], batches[1])
    assert not torch.equal(batches[0], batches[2])
    assert not torch.equal(batches[0], batches[3])
    assert batches[0].shape == (4, 3, 128, 128)
    assert 0 <= float(batches[0].min()) <= float(batches[0].max()) <= 1


def test_validation_faces_are_never_learnt_from(make_pack: MakePack) -> None:
    root = make_pack(faces=12, validation=3)
    dataset = FaceDataset(DataConfig(packs=("faces",)), root=root)
    [held_out] = dataset.held_batches("validation", batch_size=10)
    assert len(held_out) == 3
    drawn = draw(dataset, 300)
    first_pixels = {tuple(face[:, 0, 0].tolist()) for face in drawn.images}
    assert not first_pixels & {tuple(face[:, 0, 0].tolist()) for face in held_out.images}
    assert len(first_pixels) == 9


def test_sharp_faces_are_drawn_more_often(make_pack: MakePack) -> None:
    root = make_pack(faces=12, validation=3)  # the training faces' sharpness is 4 to 12
    dataset = FaceDataset(DataConfig(packs=("faces",), sharpness_exponent=1.0), root=root)
    sharpest = torch.from_numpy(dataset.packs[0].images[11].copy()).permute(2, 0, 1)[:, 0, 0] / 255
    drawn = draw(dataset, 4000).images
    share = float((drawn[:, :, 0, 0] == sharpest).all(1).float().mean())
    assert share == pytest.approx(12 / sum(range(4, 13)), abs=0.03)


def test_packs_are_joined_and_the_validation_slice_is_bounded(make_pack: MakePack) -> None:
    make_pack("one", faces=10, validation=5)
    root = make_pack("second", faces=10, validation=5)
    dataset = FaceDataset(DataConfig(packs=("one", "second"), max_validation_faces=4), root=root)
    assert dataset.num_train_faces == 10
    assert sum(len(batch) for batch in dataset.held_batches("validation", batch_size=3)) == 4
    assert dataset.train_landmarks().shape == (10, 478, 3)


def test_faces_softer_than_asked_for_are_left_out_of_both_held_slices(make_pack: MakePack) -> None:
    root = make_pack(faces=12, validation=6)  # sharpness is 1 to 12, the first six held out
    config = DataConfig(packs=("faces",), min_validation_sharpness=5.0)
    dataset = FaceDataset(config, root=root)
    [held_out] = dataset.held_batches("validation", batch_size=10)
    assert held_out.ids.tolist() == [4, 5]
    [learnt] = dataset.held_batches("train", batch_size=10)
    assert len(learnt) == 2
    assert dataset.num_train_faces == 6  # soft faces are learnt from all the same
    with pytest.raises(DataError, match=r"0 \(of sharpness 50 and more\) for validation"):
        FaceDataset(DataConfig(packs=("faces",), min_validation_sharpness=50.0), root=root)


def test_a_set_without_validation_faces_is_refused(make_pack: MakePack) -> None:
    root = make_pack(validation=0)
    expected = r"12 faces for training and 0 \(of sharpness 0 and more\) for validation"
    with pytest.raises(DataError, match=expected):
        FaceDataset(DataConfig(packs=("faces",)), root=root)


def test_a_missing_pack_is_named(make_pack: MakePack) -> None:
    with pytest.raises(DataError, match="absent is no face pack"):
        FaceDataset(DataConfig(packs=("absent",)), root=make_pack())


def test_a_damaged_pack_is_refused_before_anything_is_learnt_from_it(make_pack: MakePack) -> None:
    root = make_pack()
    path = root / "faces" / "images.npy"
    content = bytearray(path.read_bytes())
    content[5000] ^= 1
    path.write_bytes(content)
    with pytest.raises(
        DataError, match=r"images\.npy is damaged \(checksum\); prepare the pack anew"
    ):
        FaceDataset(DataConfig(packs=("faces",)), root=root)
