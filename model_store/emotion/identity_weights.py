"""Starts a MobileFaceNet from weights that tell faces' identities apart, when a user names them.

The layout is that of the public PyTorch MobileFaceNet for faces of 112 x 96 px: a checkpoint with
``net_state_dict``, whose blocks are numbered through and whose blocks' layers are too.
"""

import re
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from model_store.emotion.mobilefacenet import MobileFaceNetClassifier, MobileFaceNetConfig
from model_store.weight_files import read_weight_file, require_same_tensors

_WRAPPERS = ("net_state_dict",)
_KIND = "an identity MobileFaceNet (conv1, dw_conv1, blocks, conv2, linear7)"
_OUTER_LAYERS = {
    "conv1": "backbone.stem",
    "dw_conv1": "backbone.stem_depthwise",
    "conv2": "backbone.last",
    "linear7": "pool",
}
_PARTS = {"conv": "conv", "bn": "norm", "prelu": "activation"}
_BLOCK_KEY = re.compile(r"blocks\.(\d+)\.conv\.([0-7])\.(\w+)")
_BLOCK_LAYERS = (
    "expand.conv",
    "expand.norm",
    "expand.activation",
    "spatial.conv",
    "spatial.norm",
    "spatial.activation",
    "project.conv",
    "project.norm",
)
_EMBEDDING = "linear1."


def load_identity_backbone(network: MobileFaceNetClassifier, path: Path) -> None:
    """Copy an identity network's convolutions and its global pooling into a classifier.

    The identity embedding (linear1) is not taken; the classes and the temperature stay as they
    are.

    Args:
        network: Of the published sizes; changed in place, unless an error is raised.
        path: A ``.ckpt`` or ``.pth`` (read without running any code in it) or ``.safetensors``.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is no weights file, lacks a tensor, or has one that the network has
            not or has in another shape.
    """
    found = {
        _translate(key, network.config): value
        for key, value in read_weight_file(path, wrappers=_WRAPPERS).items()
        if not key.startswith(_EMBEDDING)
    }
    require_same_tensors(found, _identity_tensors(network), path=path, kind=_KIND)
    network.load_state_dict(found, strict=False)


def _identity_tensors(network: MobileFaceNetClassifier) -> Mapping[str, Tensor]:
    ours = ("backbone.", "pool.")
    return {key: value for key, value in network.state_dict().items() if key.startswith(ours)}


def _translate(key: str, config: MobileFaceNetConfig) -> str:
    """Name a tensor as the classifier does; an unknown one keeps its name."""
    block = _BLOCK_KEY.fullmatch(key)
    if block:
        stage, position = _place_of(int(block[1]), config)
        return f"backbone.stages.{stage}.{position}.{_BLOCK_LAYERS[int(block[2])]}.{block[3]}"
    layer, _, rest = key.partition(".")
    part, _, name = rest.partition(".")
    if layer in _OUTER_LAYERS and part in _PARTS:
        return f"{_OUTER_LAYERS[layer]}.{_PARTS[part]}.{name}"
    return key


def _place_of(block: int, config: MobileFaceNetConfig) -> tuple[int, int]:
    """From a block's running number to its stage and its place in it."""
    for stage, residuals in enumerate(config.blocks):
        if block < 1 + residuals:
            return stage, block
        block -= 1 + residuals
    return len(config.blocks), block
