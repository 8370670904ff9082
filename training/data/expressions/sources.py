"""Data sets with expression labels: which file shows what, before a picture is decoded."""

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal

from training.data.expressions.labels import find_expression, find_rafdb_expression
from training.data.pack import SkippedFile, Split
from training.data.sources.image_files import open_images
from training.data.sources.source import ImageFiles, read_annotation
from training.errors import DataError

_RAFDB_SPLITS: dict[str, Split] = {"train": "train", "test": "test"}


@dataclass(frozen=True, kw_only=True)
class ExpressionItem:
    """One picture with one face and its label.

    Attributes:
        name: Name of its file among the source's.
        expression: One of EMOTIONS.
        split: The slice that the set's authors put it in; None where they made none.
    """

    name: str
    expression: str
    split: Split | None = None


@dataclass(frozen=True, kw_only=True)
class ExpressionSource:
    """A labelled data set, listed.

    Attributes:
        files: Where the items' bytes are.
        items: In a fixed order.
        skipped: Files that have no label among EMOTIONS.
        is_aligned: The pictures are framed as the classifier wants them already.
    """

    files: ImageFiles
    items: tuple[ExpressionItem, ...]
    skipped: tuple[SkippedFile, ...]
    is_aligned: bool = False


def open_expression_source(
    path: Path, *, kind: Literal["rafdb", "expressions"], labels: Path | None
) -> ExpressionSource:
    """List the pictures of a labelled data set.

    Args:
        path: Its folder, or a zip file.
        kind: RAF-DB, or any other set.
        labels: Table of labels; None takes those that the folders are named for.

    Raises:
        DataError: the set is not there as it should be; the message names what is missing.
    """
    if kind == "rafdb":
        if labels is not None:
            raise DataError("--labels is for --source expressions; RAF-DB's folders are its labels")
        return open_rafdb(path)
    return open_expression_folders(path) if labels is None else open_labelled_folder(path, labels)


def open_rafdb(path: Path) -> ExpressionSource:
    """List RAF-DB's basic set (Li et al. 2017): ``train|test/CLASS/*_aligned.jpg``.

    CLASS is a word or the set's number, 1 (surprise) to 7 (neutral). Its aligned crops are what
    the classifier's framing was taken from.

    Raises:
        DataError: no picture lies in such folders, or one of the two splits is missing.
    """
    files = open_images(path)
    items, skipped = [], []
    for name in files.names():
        parts = PurePosixPath(name).parts
        split = _RAFDB_SPLITS.get(parts[-3]) if len(parts) > 2 else None
        expression = find_rafdb_expression(parts[-2]) if len(parts) > 1 else None
        if split is None or expression is None:
            skipped.append(SkippedFile(file=name, reason="not in train or test, by expression"))
        else:
            items.append(ExpressionItem(name=name, expression=expression, split=split))
    missing = sorted(set(_RAFDB_SPLITS) - {str(item.split) for item in items})
    if missing:
        raise DataError(
            f"{path} holds no pictures in {' and '.join(f'{m}/CLASS' for m in missing)}; name the "
            "folder with RAF-DB's train and test, each with a folder an expression"
        )
    return ExpressionSource(
        files=files, items=tuple(items), skipped=tuple(skipped), is_aligned=True
    )


def open_expression_folders(path: Path) -> ExpressionSource:
    """List a folder with a folder for each expression, such as AffectNet's.

    Raises:
        DataError: no picture lies in a folder that is named for an expression.
    """
    files = open_images(path)
    items, skipped = [], []
    for name in files.names():
        folder = PurePosixPath(name).parent.name
        expression = find_expression(folder)
        if expression is None:
            reason = f"its folder {folder!r} is none of the seven expressions"
            skipped.append(SkippedFile(file=name, reason=reason))
        else:
            items.append(ExpressionItem(name=name, expression=expression))
    if not items:
        raise DataError(
            f"no picture under {path} lies in a folder named for an expression; give a table of "
            "labels with --labels"
        )
    return ExpressionSource(files=files, items=tuple(items), skipped=tuple(skipped))


def open_labelled_folder(path: Path, labels: Path) -> ExpressionSource:
    """List a folder of faces whose labels stand in a table.

    Args:
        path: Folder or zip file of pictures.
        labels: CSV with the columns ``image`` (a file's name; its suffix does not matter) and
            ``emotion``. Pictures that it gives two different labels are skipped.

    Raises:
        DataError: the table cannot be read, or none of its rows is of a picture there.
    """
    files = open_images(path)
    words = _read_labels(labels)
    items, skipped = [], []
    for name in files.names():
        said = words.get(PurePosixPath(name).stem, set())
        expressions = {find_expression(word) for word in said}
        expression = next(iter(expressions)) if len(expressions) == 1 else None
        if expression is None:
            reason = f"labelled {_listed(said)}" if said else f"no row in {labels.name}"
            skipped.append(SkippedFile(file=name, reason=reason))
        else:
            items.append(ExpressionItem(name=name, expression=expression))
    if not items:
        raise DataError(f"{labels} gives none of the {len(skipped)} pictures under {path} a label")
    return ExpressionSource(files=files, items=tuple(items), skipped=tuple(skipped))


def _read_labels(path: Path) -> dict[str, set[str]]:
    rows = csv.DictReader(read_annotation(path).splitlines())
    columns = set(rows.fieldnames or ())
    if not {"image", "emotion"} <= columns:
        raise DataError(
            f"{path} has the columns {_listed(columns) or 'none'}; it needs image and emotion"
        )
    words: dict[str, set[str]] = {}
    for row in rows:
        words.setdefault(PurePosixPath(row["image"]).stem, set()).add(row["emotion"].strip())
    return words


def _listed(words: Iterable[str]) -> str:
    return " and ".join(sorted(words))
