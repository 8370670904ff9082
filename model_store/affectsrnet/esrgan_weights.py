"""Starts the backbone from published ESRGAN weights (IV-B), when a user names such a file.

RRDB_ESRGAN_x4 has 23 RRDBs, no InstanceNorm, takes RGB in [0, 1] and gives the whole image. So not
all of it has a place here, and what has none is reported, never dropped in silence.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from model_store.affectsrnet.network import AffectSRNet
from model_store.weight_files import read_weight_file

# The two key layouts in circulation, each as (its pattern, the same key here).
_ORIGINAL_KEYS = (
    (re.compile(r"RRDB_trunk\.(\d+)\.RDB(\d)\.conv(\d)\."), r"body.\1.rdb\2.conv\3."),
    (re.compile(r"trunk_conv\."), "conv_body."),
    (re.compile(r"upconv(\d)\."), r"conv_up\1."),
    (re.compile(r"HRconv\."), "conv_hr."),
)
_ORIGINAL_MARK = re.compile(r"RRDB_trunk\.\d+\.RDB\d\.")
_BASICSR_MARK = re.compile(r"body\.\d+\.rdb\d\.")
_WRAPPERS = ("params_ema", "params")  # BasicSR nests the weights in one of these, EMA preferred
_BLOCK_KEY = re.compile(r"body\.(\d+)\.")


@dataclass(frozen=True, kw_only=True)
class EsrganReport:
    """What a file gave to a network, and what it did not.

    Attributes:
        layout: "original" (RRDB_trunk.i.RDBj.convk) or "basicsr" (body.i.rdbj.convk).
        loaded: the network's keys that now hold the file's weights.
        skipped: by reason, the tensors without a place here, named as this network would.
        untouched: the backbone's keys of which the file says nothing, still as they were.
    """

    layout: str
    loaded: tuple[str, ...]
    skipped: Mapping[str, tuple[str, ...]]
    untouched: tuple[str, ...]

    def __str__(self) -> str:
        lines = [f"{len(self.loaded)} tensors loaded from the {self.layout} ESRGAN layout"]
        lines += [f"{len(keys)} not taken: {reason}" for reason, keys in self.skipped.items()]
        lines.append(f"{len(self.untouched)} of the backbone not in the file, left as they were")
        return "\n".join(lines)


def load_esrgan_backbone(network: AffectSRNet, path: Path) -> EsrganReport:
    """Copy the first `num_blocks` RRDBs of an ESRGAN, and the convs around them, into a network.

    conv_first is rewritten for our input 2x - 1, so that it gives ESRGAN's numbers everywhere but
    on the outermost pixel (where ESRGAN's zero padding is black and ours is mid-grey). conv_last is
    not taken: ESRGAN's paints the whole image, ours only what the bicubic image lacks.

    Args:
        network: built with 64 features and growth 32; changed in place, unless an error is raised.
        path: a `.pth` (read without running any code in it) or `.safetensors` file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the file is no weights file, follows neither layout, lacks a tensor that the
            network needs, or has one of another shape.
    """
    layout, weights = _translate_keys(read_weight_file(path, wrappers=_WRAPPERS), path)
    backbone = {
        key: value
        for key, value in network.state_dict().items()
        if not key.startswith(("gcn.", "merges."))
    }
    num_blocks = network.config.num_blocks
    skipped: dict[str, list[str]] = {}
    taken: dict[str, Tensor] = {}
    for key, value in weights.items():
        reason = _reason_to_skip(key, num_blocks, backbone)
        if reason is not None:
            skipped.setdefault(reason, []).append(key)
            continue
        if value.shape != backbone[key].shape:
            raise ValueError(
                f"{path.name}: {key} is {tuple(value.shape)}, the network's is "
                f"{tuple(backbone[key].shape)}; ESRGAN's x4 network with the same widths is needed"
            )
        taken[key] = value.to(backbone[key].dtype)
    _require_whole_backbone(backbone.keys() - taken.keys(), path, num_blocks)

    taken["conv_first.weight"], taken["conv_first.bias"] = _for_centred_input(
        taken["conv_first.weight"], taken["conv_first.bias"]
    )
    network.load_state_dict(taken, strict=False)
    return EsrganReport(
        layout=layout,
        loaded=tuple(taken),
        skipped={reason: tuple(keys) for reason, keys in skipped.items()},
        untouched=tuple(key for key in backbone if key not in taken),
    )


def _translate_keys(stored: Mapping[str, Tensor], path: Path) -> tuple[str, Mapping[str, Tensor]]:
    if any(_ORIGINAL_MARK.match(key) for key in stored):
        return "original", {_translate(key): value for key, value in stored.items()}
    if any(_BASICSR_MARK.match(key) for key in stored):
        return "basicsr", stored
    raise ValueError(
        f"{path.name} follows neither ESRGAN layout (RRDB_trunk.i.RDBj.convk or body.i.rdbj.convk);"
        f" its first keys are {sorted(stored)[:3]}"
    )


def _translate(key: str) -> str:
    for pattern, ours in _ORIGINAL_KEYS:
        if pattern.match(key):
            return pattern.sub(ours, key)
    return key


def _reason_to_skip(key: str, num_blocks: int, backbone: Mapping[str, Tensor]) -> str | None:
    block = _BLOCK_KEY.match(key)
    if block and int(block.group(1)) >= num_blocks:
        return f"blocks behind the first {num_blocks}"
    if key.startswith("conv_last."):
        return "conv_last paints the whole image there, only what bicubic lacks here"
    if key in backbone:
        return None
    if block and key.endswith(".bias"):
        return "biases that InstanceNorm cancels"
    return "no such layer here"


def _require_whole_backbone(missing: set[str], path: Path, num_blocks: int) -> None:
    # ESRGAN has no norms and no third upsampling, and its conv_last is left behind.
    elsewhere = re.compile(r"body\.\d+\.rdb\d\.norm\d\.|conv_up3\.|conv_last\.")
    lacking = sorted(key for key in missing if not elsewhere.match(key))
    if lacking:
        raise ValueError(
            f"{path.name} lacks {len(lacking)} tensors of a backbone of {num_blocks} blocks, the "
            f"first of them {lacking[0]}"
        )


def _for_centred_input(weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    # With u = 2 x - 1: W x + b = (W / 2) u + (b + sum of W / 2).
    half = weight / 2
    return half, bias + half.sum(dim=(1, 2, 3))
