"""Turn the pictures of a data set into a face pack: framing, teacher landmarks, slices, duplicates.

The only step of training that needs MediaPipe (extra ``training``). It works in steps that are each
safe on the disk; killed at any moment, the same command goes on where it was.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from training.data.duplicates import find_duplicates
from training.data.face_maker import FramingOptions, MadeFace, choose_split
from training.data.pack import Duplicate, SkippedFile, Split, open_pack
from training.data.partial_pack import PartialPack
from training.data.sources.source import FaceSource, SourceItem
from training.data.workers import TeacherFactory, make_faces
from training.errors import DataError

# Faces of one step: what a kill costs, against one write to the disk each.
_CHUNK_ITEMS = 32
_REASONS_SHOWN = 3
_LINES_SHOWN = 20

Progress = Callable[[int, int], None]
"""Told (items done, items in all) after every step."""


@dataclass(frozen=True, kw_only=True)
class PrepareOptions:
    """How a source becomes a pack.

    Attributes:
        framing: How pictures become crops, and crops go to slices.
        only: Keep these slices; None keeps all.
        against: Folders of packs whose faces are compared with these for duplicates.
        num_workers: Processes that make faces. The pack is the same for any number.
    """

    framing: FramingOptions = field(default_factory=FramingOptions)
    only: tuple[Split, ...] | None = None
    against: tuple[Path, ...] = ()
    num_workers: int = 1


@dataclass(frozen=True)
class PrepareReport:
    """What became of the pictures of a source.

    Attributes:
        faces: How many faces each slice has.
        skipped: Files that gave no face.
        duplicates: Faces that are likely the same photograph.
        num_across_slices: How many of the duplicates, within the pack, are of two slices.
    """

    faces: dict[Split, int]
    skipped: tuple[SkippedFile, ...]
    duplicates: tuple[Duplicate, ...]
    num_across_slices: int

    def to_text(self) -> str:
        """Counts, and the first files and pairs, for the terminal."""
        slices = ", ".join(f"{count} {split}" for split, count in sorted(self.faces.items()))
        lines = [f"{sum(self.faces.values())} faces ({slices}), {len(self.skipped)} files skipped"]
        lines += [f"  skipped {item.file}: {item.reason}" for item in self.skipped[:_LINES_SHOWN]]
        if self.duplicates:
            lines.append(
                f"{len(self.duplicates)} pairs are likely one photograph each, "
                f"{self.num_across_slices} of them in two slices of this pack"
            )
        lines += [_describe(pair) for pair in self.duplicates[:_LINES_SHOWN]]
        return "\n".join(lines)


def prepare_pack(
    source: FaceSource,
    target: Path,
    *,
    open_teacher: TeacherFactory,
    options: PrepareOptions,
    progress: Progress = lambda done, total: None,
) -> PrepareReport:
    """Make the pack ``target`` of a source's pictures, or go on where a killed call was.

    A file that is unreadable, cannot be framed or shows no face to the teacher is skipped, counted
    and listed in the pack's ``pack.json``; so are likely duplicates, which stay in the pack.

    Args:
        source: Pictures and what is known of them.
        target: Folder of the pack; must not exist.
        open_teacher: Opens a teacher, in each process one.
        options: How faces are made.
        progress: Told how far it is.

    Raises:
        DataError: no picture gave a face; ``target`` exists; another pack is begun under its name;
            a pack to compare with is none; the disk is full; a worker died.
    """
    items = _choose_items(source, options)
    others = [open_pack(folder, verify=True) for folder in options.against]
    partial = PartialPack(target, plan=_plan(items, source.skipped, options))
    progress(partial.num_done, len(items))
    made = make_faces(
        list(_chunks(items[partial.num_done :])),
        files=source.files,
        open_teacher=open_teacher,
        options=options.framing,
        num_workers=options.num_workers,
    )
    for results in made:
        _append(results, partial)
        progress(partial.num_done, len(items))
    skipped = (*source.skipped, *partial.skipped)
    if not partial.records:
        partial.discard()
        raise DataError(f"none of the {len(items)} images shows a usable face: {_count(skipped)}")
    duplicates = tuple(find_duplicates(partial.view(), others))
    partial.finish(skipped=skipped, duplicates=duplicates)
    splits = {record.file: record.split for record in partial.records}
    return PrepareReport(
        faces=dict(Counter(splits.values())),
        skipped=skipped,
        duplicates=duplicates,
        num_across_slices=sum(
            pair.pack is None and splits[pair.file] != splits[pair.other] for pair in duplicates
        ),
    )


def _choose_items(source: FaceSource, options: PrepareOptions) -> list[SourceItem]:
    only = options.only
    items = [
        item for item in source.items if only is None or choose_split(item, options.framing) in only
    ]
    if not items:
        wanted = f" of the slice {' or '.join(only)}" if only else ""
        raise DataError(f"the source has no picture{wanted} that can become a face")
    return items


def _append(results: Iterable[MadeFace | SkippedFile], partial: PartialPack) -> None:
    faces: list[MadeFace] = []
    skipped: list[SkippedFile] = []
    for result in results:
        if isinstance(result, MadeFace):
            faces.append(result)
        else:
            skipped.append(result)
    partial.append(faces, skipped=skipped, num_items=len(faces) + len(skipped))


def _plan(
    items: Sequence[SourceItem], skipped: Iterable[SkippedFile], options: PrepareOptions
) -> str:
    """Tell in one line what decides the faces, but for the files' contents."""
    listing = hashlib.sha256(repr((items, tuple(skipped))).encode()).hexdigest()
    return json.dumps({"items": listing, "framing": asdict(options.framing)})


def _chunks(items: Sequence[SourceItem]) -> Iterator[Sequence[SourceItem]]:
    for start in range(0, len(items), _CHUNK_ITEMS):
        yield items[start : start + _CHUNK_ITEMS]


def _count(skipped: Iterable[SkippedFile]) -> str:
    """The most frequent reasons, for a message."""
    reasons = Counter(item.reason for item in skipped)
    common = reasons.most_common(_REASONS_SHOWN)
    return "; ".join(f"{reason} ({count} files)" for reason, count in common)


def _describe(pair: Duplicate) -> str:
    where = f" of {pair.pack}" if pair.pack else ""
    return f"  {pair.file} and {pair.other}{where}: {pair.distance} bits apart"
