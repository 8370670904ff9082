"""Faces to fit and to check agreement on: of face packs, and of expression packs.

An expression pack has the expressions that face packs lack. Its crops are framed as the classifier
wants them, tighter than what is upscaled otherwise and stretched sideways.
"""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from PIL import Image

from model_store.affectsrnet.config import HR_SIZE_PX
from model_store.image_tensor import RgbImage
from model_store.landmarks.topology import LANDMARK_COUNT
from training.data.expressions.pack import ExpressionPack, open_expression_pack
from training.data.pack import open_pack
from training.errors import DataError
from training.evaluation.faces import FaceSet, read_face_set


def open_fit_faces(folder: Path) -> FaceSet:
    """Read the validation slice of a pack, under a name and a digest of its own.

    A network that learnt from the pack's other slices has not learnt from this one.

    Raises:
        DataError: the folder is no pack, or has no such slice.
    """
    if _has_expressions(folder):
        pack = open_expression_pack(folder, verify=True)
        faces = _read_expressions(pack, pack.rows("validation").tolist())
    else:
        face_pack = open_pack(folder, verify=True)
        faces = read_face_set(face_pack, rows=face_pack.rows("validation"))
    if not len(faces):
        raise DataError(f"{folder} has no validation slice to fit on; name another --fit pack")
    return replace(faces, name=f"{faces.name}:validation", digest=f"{faces.digest}:validation")


def open_test_faces(folder: Path) -> FaceSet:
    """Read all faces of a face pack, or the test slice of an expression pack.

    Raises:
        DataError: the folder is no pack, or has no such slice.
    """
    if not _has_expressions(folder):
        return read_face_set(open_pack(folder, verify=True))
    pack = open_expression_pack(folder, verify=True)
    faces = _read_expressions(pack, pack.rows("test").tolist())
    if not len(faces):
        raise DataError(f"{folder} has no test slice to check on; name another --test pack")
    return faces


def _has_expressions(folder: Path) -> bool:
    try:
        summary = json.loads((folder / "pack.json").read_text(encoding="utf-8"))
        return bool(summary.get("kind") == "expressions")
    except (OSError, ValueError, AttributeError) as error:
        raise DataError(
            f"{folder} is no pack ({error}); make one with `python -m training prepare`"
        ) from error


def _read_expressions(pack: ExpressionPack, rows: Sequence[int]) -> FaceSet:
    return FaceSet(
        name=pack.name,
        digest=pack.digest,
        stems=tuple(PurePosixPath(pack.records[row].file).stem for row in rows),
        originals=tuple(_enlarge(pack.images[row]) for row in rows),
        landmarks=torch.full((len(rows), LANDMARK_COUNT, 3), torch.nan),
    )


def _enlarge(crop: RgbImage) -> RgbImage:
    size = (HR_SIZE_PX, HR_SIZE_PX)
    return np.asarray(Image.fromarray(crop).resize(size, Image.Resampling.BICUBIC))
