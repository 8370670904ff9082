"""Reading weights that others trained, from files that a user names."""

import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor


def read_weight_file(path: Path, *, wrappers: Sequence[str]) -> Mapping[str, Tensor]:
    """Read a table of tensors from a ``.safetensors`` file or from one that torch wrote.

    No code in the file is run.

    Args:
        path: The file.
        wrappers: Keys under which its makers nest the weights, the preferred one first.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is no weights file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"{path} does not exist; name a .pth or .safetensors file")
    if path.suffix == ".safetensors":
        try:
            return load_file(path)
        except SafetensorError as error:
            raise ValueError(f"{path.name} is no safetensors file: {error}") from error
    try:
        stored: object = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise ValueError(
            f"{path.name} cannot be read as weights alone (a .pth of tensors, or .safetensors)"
        ) from error
    for wrapper in wrappers:
        if isinstance(stored, Mapping) and wrapper in stored:
            stored = stored[wrapper]
            break
    if not isinstance(stored, Mapping):
        raise ValueError(f"{path.name} holds a {type(stored).__name__}, not a table of tensors")
    weights = {key: value for key, value in stored.items() if isinstance(value, Tensor)}
    if len(weights) < len(stored):
        raise ValueError(f"{path.name} holds more than tensors; save the state dict by itself")
    return weights


def require_same_tensors(
    found: Mapping[str, Tensor], wanted: Mapping[str, Tensor], *, path: Path, kind: str
) -> None:
    """Refuse weights that are not, name by name and shape by shape, what a network needs.

    Args:
        found: What the file holds, named as the network names it.
        wanted: The network's tensors.
        path: The file, for the message.
        kind: What the file should hold, such as "an identity MobileFaceNet".

    Raises:
        ValueError: a tensor is missing, unknown or of another shape.
    """
    missing, unknown = sorted(wanted.keys() - found.keys()), sorted(found.keys() - wanted.keys())
    if missing:
        raise ValueError(
            f"{path.name} lacks {len(missing)} tensors of {kind}, the first of them {missing[0]}"
        )
    if unknown:
        raise ValueError(
            f"{path.name} holds {len(unknown)} tensors that {kind} does not have, the first of "
            f"them {unknown[0]}"
        )
    for key, value in wanted.items():
        if found[key].shape != value.shape:
            raise ValueError(
                f"{path.name}: {key} is {tuple(found[key].shape)}, the network's is "
                f"{tuple(value.shape)}; {kind} with the same sizes is needed"
            )
