"""Turn the pictures of a labelled data set into an expression pack: framing, labels, slices.

RAF-DB's own alignment is kept: its 100 px crops are only resized, and no face of it is lost.
Pictures of other sets are aligned by their landmarks: MediaPipe's where it finds a face, else our
Landmarker's, else the mean face's, as the service would. Each record says which.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from model_store.emotion.alignment import align_expression_crops
from model_store.emotion.classifier import CROP_PX, EMOTIONS
from model_store.errors import FaceNotFoundError
from model_store.image_tensor import RgbImage, images_to_tensor, tensor_to_image
from model_store.landmarks.fallback import choose_landmarks
from model_store.landmarks.landmarker import Landmarker
from training.data.expressions.pack import (
    ExpressionFace,
    ExpressionRecord,
    Framing,
    open_expression_pack,
    write_expression_pack,
)
from training.data.expressions.sources import ExpressionItem, ExpressionSource
from training.data.face_maker import LandmarkTeacher, check_square, decode_image, read_file
from training.data.pack import SPLITS, SkippedFile, Split
from training.data.workers import TeacherFactory
from training.errors import DataError

_LINES_SHOWN = 10

Progress = Callable[[int, int], None]
"""Told (items done, items in all)."""


@dataclass(frozen=True)
class ExpressionReport:
    """What became of the pictures of a source.

    Attributes:
        faces: How many faces each slice has of each expression, in EMOTIONS' order.
        framings: How many were aligned by what.
        skipped: Files that gave no face.
    """

    faces: Mapping[Split, Sequence[int]]
    framings: Mapping[Framing, int]
    skipped: tuple[SkippedFile, ...]

    def to_text(self) -> str:
        """A table for the terminal, and the first files that were skipped."""
        head = "".join(f"{name:>10}" for name in EMOTIONS)
        lines = [f"{'':12}{head}{'all':>10}"]
        for split, counts in self.faces.items():
            cells = "".join(f"{count:>10}" for count in (*counts, sum(counts)))
            lines.append(f"{split:12}{cells}")
        aligned = ", ".join(f"{name} {count}" for name, count in sorted(self.framings.items()))
        lines.append(f"aligned by: {aligned}; {len(self.skipped)} files skipped")
        lines += [f"  skipped {item.file}: {item.reason}" for item in self.skipped[:_LINES_SHOWN]]
        return "\n".join(lines)


@dataclass(frozen=True, kw_only=True)
class SliceOptions:
    """How faces go to slices where their set's authors have not said.

    Attributes:
        validation_permille: Share of each expression's training faces, in thousandths, that is
            cut off for validation.
        whole: Puts all faces of a set without slices of its own into this one.
    """

    validation_permille: int = 80
    whole: Split | None = None


def prepare_expressions(
    source: ExpressionSource,
    target: Path,
    *,
    open_teacher: TeacherFactory,
    landmarker: Landmarker,
    slices: SliceOptions,
    progress: Progress = lambda done, total: None,
) -> ExpressionReport:
    """Make the pack ``target`` of a source's pictures.

    Only files that are no readable square picture are skipped; ``pack.json`` lists them.

    Args:
        source: Pictures and their labels.
        target: Folder of the pack; must not exist.
        open_teacher: Opens MediaPipe; not called for a source that is aligned.
        landmarker: In eval mode, for faces that the teacher does not find.
        slices: Which faces are held for validation.
        progress: Told how far it is.

    Raises:
        DataError: no picture gave a face; ``target`` exists; the disk is full.
    """
    write_expression_pack(
        target,
        _make_faces(
            source,
            open_teacher=open_teacher,
            landmarker=landmarker,
            slices=slices,
            progress=progress,
        ),
    )
    pack = open_expression_pack(target)
    faces = {
        split: np.bincount(pack.labels[pack.rows(split)], minlength=len(EMOTIONS)).tolist()
        for split in SPLITS
        if len(pack.rows(split))
    }
    framings = Counter(record.framing for record in pack.records)
    return ExpressionReport(faces, framings, pack.skipped)


def assign_slices(
    items: Sequence[ExpressionItem], digests: Mapping[str, str], *, options: SliceOptions
) -> dict[str, Split]:
    """Say for each file which slice it belongs to.

    Of each expression's training faces the same share is cut off: those whose digests come first
    in order. What the faces are called and in which order they are listed does not matter, and
    copies of one file go the same way.

    Args:
        items: Those that have a digest.
        digests: Of each file's bytes, by name.
        options: Share, or one slice for all.
    """
    splits: dict[str, Split] = {}
    training: dict[str, list[str]] = {}
    for item in items:
        splits[item.name] = item.split or options.whole or "train"
        is_whole = item.split is None and options.whole is not None
        if splits[item.name] == "train" and not is_whole:
            training.setdefault(item.expression, []).append(item.name)
    for names in training.values():
        count = round(len(names) * options.validation_permille / 1000)
        held = {digests[name] for name in sorted(names, key=lambda name: digests[name])[:count]}
        splits |= {name: "validation" for name in names if digests[name] in held}
    return splits


class ExpressionFramer:
    """Brings pictures to the classifier's framing, those of an aligned set by resizing alone."""

    def __init__(self, teacher: LandmarkTeacher | None, landmarker: Landmarker) -> None:
        self._teacher = teacher
        self._landmarker = landmarker

    def frame(self, picture: RgbImage) -> tuple[RgbImage, Framing]:
        """Return a (112, 112, 3) crop of a square picture, and what it was aligned by."""
        check_square(picture, remedy="cut the face out first")
        if self._teacher is None:
            size = (CROP_PX, CROP_PX)
            resized = Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC)
            return np.asarray(resized), "official"
        pixels = images_to_tensor([picture])
        landmarks, framing = self._find_landmarks(picture, self._teacher)
        [crop] = align_expression_crops(pixels, torch.from_numpy(landmarks)[None])
        return tensor_to_image(crop), framing

    def _find_landmarks(
        self, picture: RgbImage, teacher: LandmarkTeacher
    ) -> tuple[npt.NDArray[np.float32], Framing]:
        try:
            return teacher.detect(picture), "mediapipe"
        except FaceNotFoundError:
            with torch.inference_mode():
                chosen = choose_landmarks(self._landmarker, images_to_tensor([picture]))
            framing: Framing = "mean_face" if bool(chosen.is_fallback[0]) else "landmarker"
            return chosen.landmarks[0].numpy(), framing


def _make_faces(
    source: ExpressionSource,
    *,
    open_teacher: TeacherFactory,
    landmarker: Landmarker,
    slices: SliceOptions,
    progress: Progress,
) -> Iterator[ExpressionFace | SkippedFile]:
    yield from source.skipped
    digests: dict[str, str] = {}
    for item in source.items:
        try:
            digests[item.name] = hashlib.sha256(read_file(source.files, item.name)).hexdigest()
        except DataError as error:
            yield SkippedFile(file=item.name, reason=str(error))
    items = [item for item in source.items if item.name in digests]
    splits = assign_slices(items, digests, options=slices)
    with ExitStack() as stack:
        teacher = None if source.is_aligned else stack.enter_context(open_teacher())
        framer = ExpressionFramer(teacher, landmarker)
        for done, item in enumerate(items, start=1):
            try:
                picture = decode_image(read_file(source.files, item.name), turn=True)
                crop, framing = framer.frame(picture)
            except DataError as error:
                yield SkippedFile(file=item.name, reason=str(error))
            else:
                record = ExpressionRecord(
                    file=item.name,
                    sha256=digests[item.name],
                    expression=item.expression,
                    split=splits[item.name],
                    framing=framing,
                )
                yield ExpressionFace(record, crop)
            progress(done, len(items))
