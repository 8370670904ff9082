import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from service.errors import ImageTooLargeError
from service.upscale_files.sources import open_sources


@pytest.fixture
def album(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with images, other files and hidden ones, and the working directory above it."""
    for name in ("b.png", "a.JPG", "sub/c.webp", "notes.txt", ".hidden.png", ".cache/d.png"):
        path = tmp_path / "album" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    monkeypatch.chdir(tmp_path)
    return tmp_path / "album"


def names(arguments: Sequence[str], out: str = "out") -> list[str]:
    with open_sources(arguments, out=Path(out), max_image_bytes=100) as found:
        return [source.name for source in found.sources]


def refusal(argument: str, out: str = "out") -> str:
    with (
        pytest.raises(ValueError) as raised,
        open_sources([argument], out=Path(out), max_image_bytes=100),
    ):
        pass
    return str(raised.value)


def test_folder_is_walked_with_names_below_it_and_other_files_are_counted(album: Path) -> None:
    with open_sources(["album"], out=Path("out"), max_image_bytes=100) as found:
        assert [source.name for source in found.sources] == ["a.JPG", "b.png", "sub/c.webp"]
        assert [source.read() for source in found.sources] == [b"a.JPG", b"b.png", b"sub/c.webp"]
        assert found.num_left_alone == 1


def test_results_inside_the_folder_are_no_sources_of_the_next_run(album: Path) -> None:
    (album / "out").mkdir()
    (album / "out" / "b.png").write_bytes(b"a result")
    assert names(["album"], "album/out") == ["a.JPG", "b.png", "sub/c.webp"]
    assert names(["album/**/*.png"], "album/out") == ["b.png"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("album/*.png", ["b.png"]),
        ("album/**/*.[wp][en][bg]*", ["b.png", "sub/c.webp"]),
        ("al*/sub/*", ["album/sub/c.webp"]),
    ],
)
def test_pattern_keeps_names_from_its_first_wildcard_on(
    pattern: str, expected: list[str], album: Path
) -> None:
    assert names([pattern]) == expected


def test_file_whose_name_looks_like_a_pattern_is_a_file(album: Path) -> None:
    (album / "[1].png").write_bytes(b"x")
    assert names(["album/[1].png"]) == ["[1].png"]


def test_arguments_keep_their_order(album: Path) -> None:
    assert names(["album/b.png", "album/sub", "album/a.JPG"]) == ["b.png", "c.webp", "a.JPG"]


def test_archive_gives_its_images_and_reads_none_that_is_too_large(album: Path) -> None:
    with zipfile.ZipFile("in.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x/one.png", b"1")
        archive.writestr("readme.txt", b"text")
        archive.writestr("bomb.png", bytes(101))
    with open_sources(["in.zip"], out=Path("out"), max_image_bytes=100) as found:
        small, large = found.sources
        assert (small.name, small.read(), small.label) == ("x/one.png", b"1", "in.zip: x/one.png")
        with pytest.raises(ImageTooLargeError, match="unpacks to 101 bytes; at most 100"):
            large.read()
        assert found.num_left_alone == 1


def test_what_means_nothing_is_told(album: Path) -> None:
    (album / "empty").mkdir()
    Path("broken.zip").write_bytes(b"no archive")
    with zipfile.ZipFile("slip.zip", "w") as archive:
        archive.writestr("../evil.png", b"x")
    with zipfile.ZipFile("texts.zip", "w") as archive:
        archive.writestr("a.txt", b"x")
    assert refusal("missing.png") == "missing.png is no file; name an image to read"
    assert refusal("album/*.gif") == "album/*.gif matches no file; name an image to read"
    assert refusal("album/empty").startswith("album/empty holds no image; its files must end in")
    assert refusal("texts.zip").startswith("texts.zip holds no image; its files must end in")
    assert refusal("broken.zip").startswith("broken.zip is no zip archive that can be read")
    assert "leads out of its folder" in refusal("slip.zip")
    assert "is an input and OUT" in refusal("album", "album/sub/..")
