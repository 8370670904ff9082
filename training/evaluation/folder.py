"""A folder of images that somebody else's model made of a set's faces."""

from pathlib import Path

import numpy as np
from PIL import Image
from torch import Tensor

from model_store.affectsrnet.config import HR_SIZE_PX
from model_store.image_tensor import RgbImage
from training.errors import DataError
from training.evaluation.faces import LrFaces

FOLDER_PREFIX = "folder:"
_SUFFIXES = (".png", ".webp", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")
_NAMED_AT_MOST = 20


class FolderUpscaler:
    """Reads results instead of computing them: ``folder:PATH``, one 128 px image a face.

    An image belongs to the face whose file has the same stem. With results for several sets, each
    set's stand in a subfolder of its name; files that belong to no face are let be.

    Raises:
        DataError: there is no such folder.
    """

    def __init__(self, name: str) -> None:
        self._root = Path(name.removeprefix(FOLDER_PREFIX))
        if not self._root.is_dir():
            raise DataError(f"{self._root} is no folder; name one as {FOLDER_PREFIX}PATH")

    def upscale(self, faces: LrFaces) -> list[RgbImage]:
        """Read the image of every face.

        Raises:
            DataError: images are missing, unreadable, of another size, or two have one stem; all
                of them are listed. Or two faces of the set have one stem.
        """
        twins = sorted({stem for stem in faces.stems if faces.stems.count(stem) > 1})
        if twins:
            raise DataError(
                f"{faces.set_name} has several faces named {', '.join(twins[:_NAMED_AT_MOST])}; "
                "images in a folder cannot be told apart. Prepare the pack from unique file names"
            )
        folder = self._root / faces.set_name
        folder = folder if folder.is_dir() else self._root
        by_stem: dict[str, list[Path]] = {}
        for path in sorted(folder.iterdir()):
            if path.suffix.lower() in _SUFFIXES:
                by_stem.setdefault(path.stem, []).append(path)
        images: list[RgbImage] = []
        problems: list[str] = []
        for stem in faces.stems:
            image = _read_one(stem, by_stem.get(stem, []))
            if isinstance(image, str):
                problems.append(image)
            else:
                images.append(image)
        if problems:
            raise DataError(_describe(problems, folder=folder, faces=faces))
        return images

    def landmarks(self, faces: LrFaces) -> Tensor | None:
        """Nobody knows which, if any, were used."""
        return None


def _read_one(stem: str, paths: list[Path]) -> RgbImage | str:
    """Return the image, or what is wrong with it."""
    if not paths:
        return f"{stem} is missing"
    if len(paths) > 1:
        return f"{stem} is there {len(paths)} times ({', '.join(path.name for path in paths)})"
    try:
        with Image.open(paths[0]) as opened:
            image = np.asarray(opened.convert("RGB"))
    except (OSError, ValueError, Image.DecompressionBombError) as error:
        return f"{paths[0].name} cannot be read ({error})"
    height, width = image.shape[:2]
    if (width, height) != (HR_SIZE_PX, HR_SIZE_PX):
        return f"{paths[0].name} is {width} x {height} px"
    return image


def _describe(problems: list[str], *, folder: Path, faces: LrFaces) -> str:
    listed = "; ".join(problems[:_NAMED_AT_MOST])
    more = len(problems) - _NAMED_AT_MOST
    rest = f"; and {more} more" if more > 0 else ""
    return (
        f"{folder} does not hold {faces.set_name}: {listed}{rest}; each of the {len(faces)} "
        f"faces needs one image of {HR_SIZE_PX} x {HR_SIZE_PX} px with the name of its file"
    )
