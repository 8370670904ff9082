"""The README's examples in shell, Python and JavaScript, run as they stand there."""

import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from tests.e2e.conftest import ServerProcess

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text("utf-8")
ADDRESS = "http://127.0.0.1:8000"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place to run in that has the samples where the examples look for them."""
    folder = tmp_path_factory.mktemp("examples")
    shutil.copytree(ROOT / "docs" / "samples", folder / "docs" / "samples")
    return folder


def example(introduction: str) -> str:
    """The indented block after the paragraph that begins so."""
    section = README.partition("### From a program")[2].partition("\n### ")[0]
    paragraph = section[section.index(introduction) :]
    block = re.search(r"\n\n((?:    .*\n|\n)+)", paragraph)
    assert block is not None
    return textwrap.dedent(block[1])


def run(command: list[str], folder: Path) -> str:
    ended = subprocess.run(
        command, cwd=folder, capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_examples_do_what_they_say(serve: Callable[..., ServerProcess], folder: Path) -> None:
    host, port = serve().wait_for_address()

    def here(text: str) -> str:
        assert ADDRESS in text
        return text.replace(ADDRESS, f"http://{host}:{port}")

    if shutil.which("curl") is not None:
        run(["sh", "-c", here(example("With curl"))], folder)
        assert taken(folder / "face.png").size == (128, 128)

    python = f"import sys; sys.path.insert(0, {str(ROOT)!r})\n" + here(example("In Python"))
    said = run([sys.executable, "-c", python], folder).splitlines()
    assert said[0].startswith("affectsrnet-x8@1 classifier=")
    assert said[1].endswith(" 1")
    assert taken(folder / "upscaled_face_32px.png").size == (128, 128)
    assert taken(folder / "face.png").size == (128, 128)

    if shutil.which("node") is None:
        pytest.skip("shell and Python have passed; JavaScript needs node")
    (folder / "example.mjs").write_text(here(example("In JavaScript")), "utf-8")
    assert run(["node", "example.mjs"], folder).startswith("affectsrnet-x8@1 ")
    assert taken(folder / "face.png").size == (128, 128)


def taken(path: Path) -> Image.Image:
    """The picture of a file, which is gone afterwards, so that the next one is its own."""
    with Image.open(path) as image:
        image.load()
    path.unlink()
    return image
