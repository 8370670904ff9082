"""Reads the weights that DDAMFN's authors published, when a user names such a file.

They carry no licence, so none lie here. A checkpoint holds ``model_state_dict``; what its network
declares but never calls (a norm of the classes, each head's 7 x 7 convolution, norm and PReLU
behind the mixed convolutions) is left out.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from model_store.emotion.ddamfn import DDAMFN
from model_store.weight_files import read_weight_file, require_same_tensors

_WRAPPERS = ("model_state_dict",)
_KIND = "the authors' DDAMFN (features, cat_head, Linear, fc)"
# ``features`` is a plain sequence of nine modules.
_BACKBONE = {
    "features.0": "stem",
    "features.1": "stem_depthwise",
    "features.2": "stages.0.0",
    "features.4": "stages.1.0",
    "features.6": "stages.2.0",
    "features.8": "last",
}
_RESIDUAL_STAGES = {"features.3": 0, "features.5": 1, "features.7": 2}
_UNUSED = re.compile(
    r"bn\..*|cat_head\d+\.CoordAtt\.Linear\..*|features\..*\.conv_dw\.(bn|prelu)\..*"
)
_GATES = {"conv1": "reduce", "bn1": "norm", "conv2": "row_gate", "conv3": "column_gate"}
# Each as (how a name starts there, how it starts here).
_BLOCK_PARTS = (
    ("conv_dw.mixed_depthwise_conv.", "spatial.depthwise.parts."),
    *((f"CA.{theirs}.", f"spatial.attention.gates.{ours}.") for theirs, ours in _GATES.items()),
    ("project.conv.", "project.conv."),
    ("project.bn.", "project.norm."),
    ("conv.conv.", "expand.conv."),
    ("conv.bn.", "expand.norm."),
    ("conv.prelu.", "expand.activation."),
)
_LAYER_PARTS = (("conv.", "conv."), ("bn.", "norm."), ("prelu.", "activation."))
_HEAD_PARTS = (
    *((f"Linear_h.{theirs}", f"rows.{ours}") for theirs, ours in _LAYER_PARTS),
    *((f"Linear_w.{theirs}", f"columns.{ours}") for theirs, ours in _LAYER_PARTS),
    *((f"{theirs}.", f"gates.{ours}.") for theirs, ours in _GATES.items()),
)
_BACKBONE_KEY = re.compile(r"(features\.\d)\.(.*)")
_RESIDUAL_KEY = re.compile(r"model\.(\d+)\.(.*)")
_HEAD_KEY = re.compile(r"cat_head(\d+)\.CoordAtt\.(.*)")


def load_official_weights(network: DDAMFN, path: Path) -> None:
    """Copy the authors' weights into a network; its temperature stays as it is.

    Args:
        network: Of the public sizes, without ``depthwise_norm``; changed in place, unless an error
            is raised.
        path: A ``.pth`` (read without running any code in it) or ``.safetensors`` file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the network has norms that the weights were not trained with; or the file is no
            weights file, lacks a tensor, or has one that the network has not or in another shape.
    """
    if network.config.depthwise_norm:
        raise ValueError(
            "depthwise_norm is True; the authors' weights were trained without, so build the "
            "network with depthwise_norm = False"
        )
    found = {
        _translate(key): value
        for key, value in read_weight_file(path, wrappers=_WRAPPERS).items()
        if not _UNUSED.fullmatch(key)
    }
    require_same_tensors(found, _published_tensors(network), path=path, kind=_KIND)
    network.load_state_dict(found, strict=False)


def _published_tensors(network: DDAMFN) -> Mapping[str, Tensor]:
    return {key: value for key, value in network.state_dict().items() if key != "temperature"}


def _translate(key: str) -> str:
    """Name a tensor as our network does; an unknown one keeps its name."""
    head, outer = _HEAD_KEY.fullmatch(key), _BACKBONE_KEY.fullmatch(key)
    if head:
        return f"heads.{head[1]}.{_rename(head[2], _HEAD_PARTS)}"
    if outer and outer[1] in _RESIDUAL_STAGES:
        inner = _RESIDUAL_KEY.fullmatch(outer[2])
        if inner:
            place = f"stages.{_RESIDUAL_STAGES[outer[1]]}.{int(inner[1]) + 1}"
            return f"backbone.{place}.{_rename(inner[2], _BLOCK_PARTS)}"
    if outer and outer[1] in _BACKBONE:
        ours = _BACKBONE[outer[1]]
        parts = _BLOCK_PARTS if ours.startswith("stages") else _LAYER_PARTS
        return f"backbone.{ours}.{_rename(outer[2], parts)}"
    if key.startswith("Linear."):
        return f"pool.{_rename(key.removeprefix('Linear.'), _LAYER_PARTS)}"
    if key.startswith("fc."):
        return f"classes.{key.removeprefix('fc.')}"
    return key


def _rename(name: str, parts: tuple[tuple[str, str], ...]) -> str:
    for theirs, ours in parts:
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    return name
