"""Files with the weights of feature networks: what each must hold, and where one gets it.

They are looked for in one folder of the machine, which ``--feature-weights`` or the environment
names; a configuration names networks only. A network's name stands for exactly one set of weights,
because a file with other values is refused.
"""

import os
import pickle
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path

import torch
from torch import Tensor

from training.errors import FeatureWeightsError

FEATURE_WEIGHTS_VARIABLE = "AFFECTSR_FEATURE_WEIGHTS"


@dataclass(frozen=True, kw_only=True)
class WeightFile:
    """One file of published weights.

    Attributes:
        names: Names under which it is looked for, in this order.
        content: What it holds.
        source: Where one gets it.
        digest: :func:`weights_digest` of the tensors that are used, where it is known.
        file_digest: First digits of the whole file's SHA-256, as torch.hub's file names have them,
            where no more is known.
    """

    names: tuple[str, ...]
    content: str
    source: str
    digest: str | None = None
    file_digest: str | None = None


def feature_weights_folder(named: Path | None = None) -> Path:
    """Return the folder that holds the weight files: ``named``, or else the environment's.

    Raises:
        FeatureWeightsError: neither names a folder, or what they name is none.
    """
    text = os.environ.get(FEATURE_WEIGHTS_VARIABLE)
    folder = named or (Path(text) if text else None)
    if folder is None:
        raise FeatureWeightsError(
            "no folder of feature weights is named; name it by --feature-weights or in "
            f"{FEATURE_WEIGHTS_VARIABLE}"
        )
    if not folder.is_dir():
        raise FeatureWeightsError(f"the folder of feature weights, {folder}, does not exist")
    return folder


def read_weights(
    folder: Path, file: WeightFile, *, expected: Mapping[str, torch.Size]
) -> dict[str, Tensor]:
    """Read the tensors that a network needs; a file may hold more (a classifier, say).

    Args:
        folder: Where the file lies.
        file: Which file it is.
        expected: The tensors that are needed, by name, and their shapes.

    Returns:
        Exactly the expected tensors, float32.

    Raises:
        FeatureWeightsError: the file is missing or broken, lacks a tensor, or holds other weights.
    """
    path = _find(folder, file)
    try:
        stored: object = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, ValueError, pickle.UnpicklingError) as error:
        raise FeatureWeightsError(f"{path} cannot be read; {_wanted(file)}") from error
    state = stored if isinstance(stored, Mapping) else {}
    weights: dict[str, Tensor] = {}
    for name, shape in expected.items():
        value = state.get(name)
        if not isinstance(value, Tensor) or value.shape != shape:
            found = f"of shape {tuple(value.shape)}" if isinstance(value, Tensor) else "missing"
            raise FeatureWeightsError(
                f"{path}: {name} is {found}, not of shape {tuple(shape)}; {_wanted(file)}"
            )
        weights[name] = value.float()
    if not _is_published(path, weights, file):
        raise FeatureWeightsError(f"{path} holds weights of other values; {_wanted(file)}")
    return weights


def weights_digest(weights: Mapping[str, Tensor]) -> str:
    """SHA-256 over names and float32 values, whatever file and order they were stored in."""
    digest = sha256()
    for name in sorted(weights):
        digest.update(name.encode("ascii"))
        digest.update(weights[name].detach().float().contiguous().cpu().numpy().tobytes())
    return digest.hexdigest()


def _is_published(path: Path, weights: Mapping[str, Tensor], file: WeightFile) -> bool:
    if file.digest is not None:
        return weights_digest(weights) == file.digest
    with path.open("rb") as stream:
        whole = file_digest(stream, "sha256").hexdigest()
    return file.file_digest is not None and whole.startswith(file.file_digest)


def _find(folder: Path, file: WeightFile) -> Path:
    for name in file.names:
        if (folder / name).is_file():
            return folder / name
    raise FeatureWeightsError(f"{folder} has no {' or '.join(file.names)}; {_wanted(file)}")


def _wanted(file: WeightFile) -> str:
    return f"it must be {file.content}, to be had from {file.source}"
