import pytest
import torch

from tests.training.conftest import MakePack
from training.config import DataConfig
from training.data.datasets import FaceBatch, FaceDataset
from training.data.draws import BatchDraws
from training.errors import DataError

CPU = torch.device("cpu")


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
    with pytest.raises(DataError, match="0 for validation of sharpness 50 and more"):
        FaceDataset(DataConfig(packs=("faces",), min_validation_sharpness=50.0), root=root)


def test_a_set_without_validation_faces_is_refused(make_pack: MakePack) -> None:
    root = make_pack(validation=0)
    expected = "12 faces for training and 0 for validation of sharpness 0 and more"
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


def test_faces_on_the_device_are_the_faces_on_the_host(make_pack: MakePack) -> None:
    make_pack("one", faces=10, validation=5)
    root = make_pack("second", faces=9, validation=2)
    host, device = (
        FaceDataset(DataConfig(packs=("one", "second"), resident=place), root=root, device=CPU)
        for place in ("host", "device")
    )
    for step in range(3):
        expected, found = draw(host, 6, step=step), draw(device, 6, step=step)
        assert torch.equal(found.images, expected.images)
        assert torch.equal(found.landmarks, expected.landmarks)
        assert torch.equal(found.ids, expected.ids)


def test_by_itself_a_cpu_maps_its_faces_from_disk(make_pack: MakePack) -> None:
    dataset = FaceDataset(DataConfig(packs=("faces",)), root=make_pack())
    assert dataset._resident is None


@pytest.mark.parametrize(("free_bytes", "is_resident"), [(10**9, True), (10**4, False)])
def test_a_gpu_holds_the_faces_where_it_has_room(
    free_bytes: int, is_resident: bool, make_pack: MakePack, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = FaceDataset(DataConfig(packs=("faces",)), root=make_pack())
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free_bytes, 10**10))
    monkeypatch.setattr(dataset, "_device", torch.device("cuda", 0))
    assert dataset._is_resident("auto") is is_resident
    assert dataset._is_resident("device")
    assert not dataset._is_resident("host")


def test_a_device_without_room_is_named(
    make_pack: MakePack, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: FaceDataset, array: object) -> None:
        raise torch.OutOfMemoryError

    monkeypatch.setattr(FaceDataset, "_carry", fail)
    with pytest.raises(DataError, match=r"cpu has no room for 9 faces; set data\.resident"):
        FaceDataset(DataConfig(packs=("faces",), resident="device"), root=make_pack())


def test_as_many_training_faces_are_held_to_be_scored_every_time_the_same(
    make_pack: MakePack,
) -> None:
    root = make_pack(faces=12, validation=3)
    [first] = FaceDataset(DataConfig(packs=("faces",)), root=root).held_batches(
        "train", batch_size=10
    )
    [again] = FaceDataset(DataConfig(packs=("faces",)), root=root).held_batches(
        "train", batch_size=10
    )
    assert len(first) == 3
    assert torch.equal(first.ids, again.ids)
    assert all(3 <= number < 12 for number in first.ids.tolist())


@pytest.mark.gpu
@pytest.mark.parametrize("place", ["host", "device"])
def test_a_gpu_is_given_the_faces_that_a_cpu_is(place: str, make_pack: MakePack) -> None:
    root = make_pack()
    config = DataConfig(packs=("faces",), resident="host" if place == "host" else "device")
    expected = draw(FaceDataset(DataConfig(packs=("faces",)), root=root), 6)
    found = draw(FaceDataset(config, root=root, device=torch.device("cuda", 0)), 6)
    assert found.images.device.type == "cuda"
    assert torch.allclose(found.images.cpu(), expected.images, atol=1e-6)
    assert torch.equal(found.landmarks.cpu(), expected.landmarks)
