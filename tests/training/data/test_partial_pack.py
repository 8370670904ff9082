import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.training.data.fake_faces import FakeTeacher, draw_face
from training.data import partial_pack
from training.data.face_maker import MadeFace
from training.data.pack import FaceRecord, SkippedFile, open_pack
from training.data.partial_pack import PartialPack
from training.errors import DataError

PLAN = '{"plan": 1}'
SKIPPED = SkippedFile(file="bad.png", reason="unreadable")


def made(number: int) -> MadeFace:
    record = FaceRecord(
        file=f"{number}.png", sha256="ab", group="g", split="train", sharpness=1 / (3 + number)
    )
    image = draw_face(number)
    return MadeFace(record, image, FakeTeacher().detect(image))


FACES = [made(number) for number in range(7)]
STEPS: list[tuple[Sequence[MadeFace], Sequence[SkippedFile]]] = [
    (FACES[:3], []),
    ([], [SKIPPED]),
    (FACES[3:5], [SKIPPED]),
    (FACES[5:], []),
]


def append_steps(pack: PartialPack) -> None:
    """Append the steps that are not there yet."""
    position = 0
    for faces, skipped in STEPS:
        if position >= pack.num_done:
            pack.append(faces, skipped=skipped, num_items=len(faces) + len(skipped))
        position += len(faces) + len(skipped)


def finish(pack: PartialPack) -> None:
    pack.finish(skipped=pack.skipped, duplicates=[])


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.fixture
def whole(tmp_path: Path) -> dict[str, bytes]:
    """The files of a pack that was made without a break."""
    pack = PartialPack(tmp_path / "whole", plan=PLAN)
    append_steps(pack)
    finish(pack)
    return contents(tmp_path / "whole")


@pytest.fixture
def begun(tmp_path: Path) -> Path:
    """A pack whose steps are all there, left before it was finished."""
    append_steps(PartialPack(tmp_path / "pack", plan=PLAN))
    return tmp_path / "pack"


def partial_of(target: Path) -> Path:
    return target.with_name(target.name + ".partial")


def test_a_finished_pack_opens_and_nothing_else_is_left(begun: Path) -> None:
    pack = PartialPack(begun, plan=PLAN)
    assert pack.num_done == 9
    finish(pack)
    opened = open_pack(begun, verify=True)
    assert [record.file for record in opened.records] == [f"{n}.png" for n in range(7)]
    assert (opened.images[4] == FACES[4].image).all()
    assert (opened.landmarks[6] == FACES[6].landmarks).all()
    assert not partial_of(begun).exists()


def test_a_journal_cut_at_any_byte_leads_to_the_same_pack(
    begun: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    journal = (partial_of(begun) / "journal.txt").read_bytes()
    for cut in range(0, len(journal), 97):
        target = tmp_path / f"cut{cut}"
        shutil.copytree(partial_of(begun), partial_of(target))
        (partial_of(target) / "journal.txt").write_bytes(journal[:cut])
        pack = PartialPack(target, plan=PLAN)
        append_steps(pack)
        finish(pack)
        assert contents(target) == whole


@pytest.mark.parametrize("name", ["images.npy", "landmarks.npy"])
@pytest.mark.parametrize("damage", ["cut", "grown", "changed", "gone"])
def test_damaged_arrays_take_their_step_and_the_later_ones_back(
    begun: Path, whole: dict[str, bytes], name: str, damage: str
) -> None:
    path = partial_of(begun) / "pack" / name
    content = bytearray(path.read_bytes())
    middle = 128 + (len(content) - 128) * 4 // 7 + 5  # in face 4, of the third step
    content[middle] ^= 1
    damaged = {
        "cut": bytes(content[:middle]),
        "grown": path.read_bytes() + b"a step that the journal does not know",
        "changed": bytes(content),
        "gone": b"",
    }[damage]
    path.write_bytes(damaged)
    pack = PartialPack(begun, plan=PLAN)
    assert pack.num_done == {"cut": 4, "changed": 4, "grown": 9, "gone": 0}[damage]
    append_steps(pack)
    finish(pack)
    assert contents(begun) == whole


def test_a_kill_while_finishing_leaves_no_pack_and_loses_nothing(
    begun: Path, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Path, "rename", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            finish(PartialPack(begun, plan=PLAN))
    assert not begun.exists()
    pack = PartialPack(begun, plan=PLAN)
    assert pack.num_done == 9
    finish(pack)
    assert contents(begun) == whole


def test_a_full_disk_is_told_and_the_steps_before_are_kept(
    tmp_path: Path, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    pack = PartialPack(tmp_path / "pack", plan=PLAN)
    pack.append(FACES[:3], skipped=[], num_items=3)
    with monkeypatch.context() as patch:

        def fill(path: Path, block: bytes) -> None:
            with path.open("ab") as file:
                file.write(block[:1000])
            raise OSError(28, "No space left on device")

        patch.setattr(partial_pack, "_append", fill)
        with pytest.raises(DataError, match=r"No space left.*same command goes on where it was"):
            pack.append([], skipped=[SKIPPED], num_items=1)
    again = PartialPack(tmp_path / "pack", plan=PLAN)
    assert again.num_done == 3
    append_steps(again)
    finish(again)
    assert contents(tmp_path / "pack") == whole


def test_a_disk_that_is_full_at_the_end_loses_nothing(
    begun: Path, whole: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fill(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(partial_pack, "complete_pack", fill)
        with pytest.raises(DataError, match=r"No space left.*same command goes on where it was"):
            finish(PartialPack(begun, plan=PLAN))
    finish(PartialPack(begun, plan=PLAN))
    assert contents(begun) == whole


def test_another_plan_does_not_go_on_with_what_was_begun(begun: Path) -> None:
    with pytest.raises(DataError, match=r"pack\.partial was begun with other files or options"):
        PartialPack(begun, plan='{"plan": 2}')


def test_the_faces_so_far_can_be_seen(begun: Path) -> None:
    view = PartialPack(begun, plan=PLAN).view()
    assert (view.images[2] == FACES[2].image).all()
    assert (view.landmarks[2] == FACES[2].landmarks).all()
    assert len(view.records) == 7
