import pickle
import zipfile
from pathlib import Path

import pytest

from tests.training.data.fake_faces import draw_face, save
from training.data.sources.image_files import open_images
from training.errors import DataError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save(tmp_path / "set" / "b" / "2.png", draw_face(2))
    save(tmp_path / "set" / "a.JPG", draw_face(1))
    (tmp_path / "set" / "readme.txt").write_text("not an image")
    return tmp_path / "set"


def pack_zip(folder: Path, target: Path) -> Path:
    with zipfile.ZipFile(target, "w") as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder))
        archive.writestr("__MACOSX/._a.JPG", b"no image")
    return target


def test_images_of_a_folder_are_named_in_order(folder: Path) -> None:
    files = open_images(folder)
    assert files.names() == ["a.JPG", "b/2.png"]
    assert files.read("b/2.png") == (folder / "b" / "2.png").read_bytes()


def test_a_zip_file_is_read_as_its_folder_would_be(folder: Path, tmp_path: Path) -> None:
    files = open_images(pack_zip(folder, tmp_path / "set.zip"))
    assert files.names() == ["a.JPG", "b/2.png"]
    assert files.read("a.JPG") == (folder / "a.JPG").read_bytes()


def test_a_folder_of_zip_files_names_each_files_images_by_it(folder: Path, tmp_path: Path) -> None:
    archives = tmp_path / "zips"
    archives.mkdir()
    pack_zip(folder, archives / "00000.zip")
    pack_zip(folder, archives / "01000.zip")
    files = open_images(archives)
    assert files.names() == ["00000/a.JPG", "00000/b/2.png", "01000/a.JPG", "01000/b/2.png"]


def test_zip_files_reach_another_process_by_their_paths(folder: Path, tmp_path: Path) -> None:
    files = open_images(pack_zip(folder, tmp_path / "set.zip"))
    files.names()
    copy = pickle.loads(pickle.dumps(files))
    assert copy.read("a.JPG") == files.read("a.JPG")


def test_what_is_missing_or_no_archive_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="nowhere does not exist; name a folder of images or a zip"):
        open_images(tmp_path / "nowhere")
    with pytest.raises(DataError, match=r"no image \(\.bmp, .*\) under"):
        open_images(tmp_path)
    broken = tmp_path / "broken.zip"
    broken.write_bytes(b"PK no archive")
    with pytest.raises(DataError, match=r"broken\.zip cannot be read as a zip file"):
        open_images(broken)
