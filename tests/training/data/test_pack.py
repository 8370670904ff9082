import json
from pathlib import Path

import numpy as np
import pytest

from tests.training.conftest import MakePack
from training.data.pack import FACE_SIDE_PX, open_pack, write_pack
from training.errors import DataError


def test_a_pack_is_read_as_it_was_written(make_pack: MakePack) -> None:
    pack = open_pack(make_pack(faces=5, validation=2) / "faces", verify=True)
    assert pack.images.shape == (5, FACE_SIDE_PX, FACE_SIDE_PX, 3)
    assert pack.landmarks.shape == (5, 478, 3)
    assert pack.rows("validation").tolist() == [0, 1]
    assert pack.rows("train").tolist() == [2, 3, 4]
    assert pack.records[3].sharpness == 4.0


def test_a_pack_in_memory_cannot_be_changed(make_pack: MakePack) -> None:
    pack = open_pack(make_pack() / "faces")
    with pytest.raises(ValueError, match="read-only"):
        pack.images[0] = 0


def test_the_digest_follows_the_content(make_pack: MakePack) -> None:
    root = make_pack("faces")
    make_pack("another")
    assert open_pack(root / "faces").digest != open_pack(root / "another").digest


def test_a_folder_that_is_no_pack_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"pack\.json is missing; make it with 'prepare'"):
        open_pack(tmp_path)


def test_a_pack_is_never_overwritten_and_never_empty(tmp_path: Path) -> None:
    images = np.zeros((0, FACE_SIDE_PX, FACE_SIDE_PX, 3), np.uint8)
    landmarks = np.zeros((0, 478, 3), np.float32)
    with pytest.raises(DataError, match="no face was found"):
        write_pack(tmp_path / "p", [], images=images, landmarks=landmarks, skipped=[])


@pytest.mark.parametrize("name", ["images.npy", "landmarks.npy", "index.csv"])
def test_a_damaged_payload_is_found(make_pack: MakePack, name: str) -> None:
    folder = make_pack() / "faces"
    content = bytearray((folder / name).read_bytes())
    content[-3] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(DataError, match=f"{name} is damaged"):
        open_pack(folder, verify=True)


def test_a_truncated_payload_is_found_without_reading_it_all(make_pack: MakePack) -> None:
    folder = make_pack() / "faces"
    content = (folder / "images.npy").read_bytes()
    (folder / "images.npy").write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="is damaged"):
        open_pack(folder)


def test_an_index_that_lost_a_row_is_found(make_pack: MakePack) -> None:
    folder = make_pack() / "faces"
    lines = (folder / "index.csv").read_text().splitlines(keepends=True)
    (folder / "index.csv").write_text("".join(lines[:-1]))
    with pytest.raises(DataError, match="its arrays disagree"):
        open_pack(folder)


def test_packs_of_the_first_format_are_still_read_and_later_ones_refused(
    make_pack: MakePack,
) -> None:
    folder = make_pack() / "faces"
    summary = json.loads((folder / "pack.json").read_text())
    del summary["test_faces"], summary["duplicates"]
    (folder / "pack.json").write_text(json.dumps({**summary, "format": 1}))
    assert len(open_pack(folder, verify=True).records) == 12
    (folder / "pack.json").write_text(json.dumps({**summary, "format": 3}))
    with pytest.raises(DataError, match="has pack format 3, readable are 1 and 2; prepare"):
        open_pack(folder)


def test_a_slice_that_nobody_knows_is_damage(make_pack: MakePack) -> None:
    folder = make_pack() / "faces"
    text = (folder / "index.csv").read_text()
    (folder / "index.csv").write_text(text.replace("validation", "verification"))
    with pytest.raises(DataError, match=r"is damaged \(unknown slice 'verification'\)"):
        open_pack(folder)
