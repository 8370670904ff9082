"""`affectsr ecm`: two folders of image files, original and super-resolved, compared pair by pair.

Files are read through the same engine room as the service's, without HTTP. What cannot be compared
is left out by name; nothing is left out without a word.
"""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model_store.image_tensor import RgbImage
from service.command_room import open_command_room
from service.ecm_pipeline import Comparison, compare_readings
from service.engine.base import EmotionReading
from service.engine_room import EngineRoom, StageTimes
from service.errors import ServiceError
from service.settings import Settings

_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
_NO_DEADLINE = float("inf")


@dataclass(frozen=True)
class FilePair:
    """Two files of one name, whatever their suffixes."""

    name: str
    original: Path
    super_resolved: Path


@dataclass(frozen=True)
class LeftOut:
    """A name that is not compared, and why."""

    name: str
    reason: str


@dataclass(frozen=True)
class PairPlan:
    """The pairs of two folders, by name, and the names that make none."""

    pairs: tuple[FilePair, ...]
    left_out: tuple[LeftOut, ...]


@dataclass(frozen=True, eq=False)
class FolderComparison:
    """What became of the expressions in two folders.

    Attributes:
        names: Of the pairs that were compared, in the order of the comparison.
        comparison: None where no pair could be compared.
        left_out: Every other name.
    """

    names: tuple[str, ...]
    comparison: Comparison | None
    left_out: tuple[LeftOut, ...]


def plan_pairs(originals: Path, super_resolved: Path) -> PairPlan:
    """Pair two folders' images by their names without suffix, before anything is read or loaded.

    Raises:
        ValueError: one is no folder, both are the same, or no two files have one name.
    """
    folders = {"originals": originals, "results": super_resolved}
    for role, folder in folders.items():
        if not folder.is_dir():
            raise ValueError(f"{folder} is no folder; name the folder of the {role}")
    if originals.samefile(super_resolved):
        raise ValueError(f"{originals} is both folders; name the originals', then the results'")
    sides = [_images_by_name(folder) for folder in folders.values()]
    pairs: list[FilePair] = []
    left_out: list[LeftOut] = []
    for name in sorted({*sides[0], *sides[1]}):
        files = [side.get(name, []) for side in sides]
        if [len(of_side) for of_side in files] == [1, 1]:
            pairs.append(FilePair(name, files[0][0], files[1][0]))
        else:
            left_out.append(LeftOut(name, _why_no_pair(files, list(folders.values()))))
    if not pairs:
        raise ValueError(
            f"{originals} ({len(sides[0])} images) and {super_resolved} ({len(sides[1])}) have no "
            f"name in common; a result is named as its original, and ends in {', '.join(_SUFFIXES)}"
        )
    return PairPlan(tuple(pairs), tuple(left_out))


async def compare_folders(plan: PairPlan, settings: Settings) -> FolderComparison:
    """Read all pairs and compare those that can be.

    Args:
        plan: The pairs.
        settings: Name the classifier.

    Raises:
        ModelStoreError: a model cannot be trusted.
        NoClassifierError: the settings name none.
        StartupError: the engine cannot be had as the settings ask for it.
    """
    names: list[str] = []
    sides: tuple[list[EmotionReading], list[EmotionReading]] = ([], [])
    left_out = list(plan.left_out)
    async with open_command_room(settings) as room:
        classifier = room.require_classifier()
        for pairs in _portions(plan.pairs, settings.max_batch_size):
            outcomes = await asyncio.gather(*(_read_pair(room, pair, settings) for pair in pairs))
            for pair, outcome in zip(pairs, outcomes, strict=True):
                if isinstance(outcome, str):
                    left_out.append(LeftOut(pair.name, outcome))
                else:
                    names.append(pair.name)
                    for side, reading in zip(sides, outcome, strict=True):
                        side.append(reading)
    comparison = compare_readings(classifier, *sides) if names else None
    return FolderComparison(
        tuple(names), comparison, tuple(sorted(left_out, key=lambda left: left.name))
    )


def _images_by_name(folder: Path) -> dict[str, list[Path]]:
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in _SUFFIXES and path.is_file():
            found.setdefault(path.stem, []).append(path)
    return found


def _why_no_pair(files: Sequence[Sequence[Path]], folders: Sequence[Path]) -> str:
    for of_side, folder in zip(files, folders, strict=True):
        if not of_side:
            return f"is not in {folder}"
        if len(of_side) > 1:
            return f"is in {folder} {len(of_side)} times ({', '.join(p.name for p in of_side)})"
    raise AssertionError("one file on either side is a pair")


def _portions(pairs: Sequence[FilePair], size: int) -> Iterator[Sequence[FilePair]]:
    """Some pairs at a time: not all images are in memory."""
    for start in range(0, len(pairs), size):
        yield pairs[start : start + size]


async def _read_pair(
    room: EngineRoom, pair: FilePair, settings: Settings
) -> tuple[EmotionReading, EmotionReading] | str:
    """Return both sides' readings, or why there is none."""
    first, second = await asyncio.gather(
        _decode(room, pair.original), _decode(room, pair.super_resolved)
    )
    if isinstance(first, str):
        return f"original: {first}"
    if isinstance(second, str):
        return f"result: {second}"
    # Read in two batches, the same pixels would differ by rounding, and have a metric of it.
    is_same = np.array_equal(first, second)
    readings = await asyncio.gather(
        *(_read(room, image, settings) for image in ([first] if is_same else [first, second]))
    )
    original, super_resolved = readings[0], readings[-1]
    if isinstance(original, str):
        return f"original: {original}"
    if isinstance(super_resolved, str):
        return f"result: {super_resolved}"
    return original, super_resolved


async def _decode(room: EngineRoom, path: Path) -> RgbImage | str:
    try:
        image = await room.decode(await asyncio.to_thread(path.read_bytes), StageTimes())
    except (ServiceError, OSError) as error:
        return str(error)
    return image.rgb


async def _read(room: EngineRoom, image: RgbImage, settings: Settings) -> EmotionReading | str:
    try:
        reading = await room.read_emotion(image, deadline=_NO_DEADLINE, times=StageTimes())
    except ServiceError as error:
        return str(error)
    least = settings.min_face_confidence
    if reading.landmark_confidence < least:
        return f"no face was found (confidence {reading.landmark_confidence:.3f}, needed {least:g})"
    return reading
