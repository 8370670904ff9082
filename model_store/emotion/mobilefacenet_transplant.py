"""Puts a trained MobileFaceNet into a DDAMFN, which then starts by computing the same.

MixedFeatureNet is a MobileFaceNet with more blocks, wider last stages, larger depthwise kernels
and gates. A 3 x 3 kernel with zeros around it is a larger kernel; a residual block with a gain of 0
adds nothing; channels that are read with weight 0 are not there yet; a constant gate is taken out
by the gain before it. Not in the paper, which trained MixedFeatureNet on MS-Celeb-1M.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from model_store.emotion.convolution_blocks import Bottleneck, ConvolutionBlock
from model_store.emotion.ddamfn import DDAMFN
from model_store.emotion.mixed_feature_net import (
    DDAMFNConfig,
    MixedDepthwise,
    MixedFeatureNet,
    MixedSpatial,
    split_channels,
)
from model_store.emotion.mobilefacenet import (
    MobileFaceNet,
    MobileFaceNetClassifier,
    MobileFaceNetConfig,
    normalise_pixels,
)

# sigmoid(0) of the row times that of the column: where a gate learns fastest.
_START_GATE = 0.25


@torch.no_grad()
def transplant_identity(network: DDAMFN, identity: MobileFaceNetClassifier) -> None:
    """Let a DDAMFN's backbone start as a MobileFaceNet.

    On the same pixels the backbone then gives the MobileFaceNet's map, but for the outermost ring
    of the image (zero padding is ImageNet's mean colour here and mid-grey there). On 112 columns
    instead of 96 the last map has seven columns, half a column beside the six. So the pooling gets
    the mean of the two nearest kernels, which with the heads' untrained attention is a start and no
    equality. Heads and classes stay as they are.

    Args:
        network: Fresh, with ``depthwise_norm``; changed in place, unless an error is raised. What
            is new in it (channels, blocks) keeps its random weights.
        identity: What :func:`load_identity_backbone` filled.

    Raises:
        ValueError: the MobileFaceNet does not fit into the DDAMFN.
    """
    _require_room(network.config, identity.config)
    target, source = network.backbone, identity.backbone
    _transplant_stem(target.stem, source.stem, mean=network.mean, std=network.std)
    target.stem_depthwise.load_state_dict(source.stem_depthwise.state_dict())
    for gates in (m.attention.gates for m in target.modules() if isinstance(m, MixedSpatial)):
        for gate in (gates.row_gate, gates.column_gate):
            for parameter in gate.parameters():
                nn.init.zeros_(parameter)
    for blocks, old_blocks in zip(_stages(target), _stages(source), strict=True):
        for block, old in zip(blocks, old_blocks, strict=False):
            _transplant_block(block, old)
        for block in blocks[len(old_blocks) :]:
            nn.init.zeros_(block.project.norm.weight)
    _transplant_pointwise(target.last, source.last)
    _transplant_pool(network.pool, identity.pool)


@torch.no_grad()
def transplant_expressions(network: DDAMFN, classifier: MobileFaceNetClassifier) -> None:
    """Let a DDAMFN start as a MobileFaceNet that tells expressions apart: its classes come along.

    The attention heads stay as they are, so the start is as good as their untrained attention is
    even.

    Raises:
        ValueError: the MobileFaceNet does not fit into the DDAMFN.
    """
    transplant_identity(network, classifier)
    network.classes.load_state_dict(classifier.classes.state_dict())


def _require_room(ours: DDAMFNConfig, theirs: MobileFaceNetConfig) -> None:
    if not ours.depthwise_norm:
        raise ValueError("depthwise_norm is False; a MobileFaceNet fits only where it is True")
    for name in ("stem_width", "num_features"):
        if getattr(ours, name) != getattr(theirs, name):
            raise ValueError(
                f"{name} is {getattr(ours, name)}; it must be the MobileFaceNet's, "
                f"{getattr(theirs, name)}"
            )
    for name in ("widths", "expansions", "blocks"):
        if any(o < t for o, t in zip(getattr(ours, name), getattr(theirs, name), strict=True)):
            raise ValueError(
                f"{name} is {getattr(ours, name)}; none may be below the MobileFaceNet's "
                f"{getattr(theirs, name)}"
            )


def _stages(backbone: MixedFeatureNet | MobileFaceNet) -> list[list[Bottleneck]]:
    return [[b for b in stage.children() if isinstance(b, Bottleneck)] for stage in backbone.stages]


def _transplant_stem(
    block: ConvolutionBlock, old: ConvolutionBlock, *, mean: Tensor, std: Tensor
) -> None:
    """Fold the other normalisation of pixels in.

    With pixel p = std x + mean, the old network's u = a p + b is (a std) x + (a mean + b): the
    factor goes into the kernel, the constant into the norm's mean, as the convolution has no bias.
    """
    block.load_state_dict(old.state_dict())
    offset = normalise_pixels(mean)
    factor = normalise_pixels(mean + std) - offset
    block.conv.weight.copy_(old.conv.weight * factor)
    assert block.norm.running_mean is not None
    block.norm.running_mean -= (old.conv.weight * offset).sum(dim=(1, 2, 3))


def _transplant_block(block: Bottleneck, old: Bottleneck) -> None:
    """Lay a block into the first channels of a wider one, and into each kernel size alike."""
    spatial, old_spatial = block.spatial, old.spatial
    assert isinstance(spatial, MixedSpatial)
    assert isinstance(old_spatial, ConvolutionBlock)
    chosen = _chosen_channels(spatial.depthwise, len(old_spatial.conv.weight))
    _transplant_pointwise(block.expand, old.expand, rows=chosen)
    _transplant_kernels(spatial.depthwise, old_spatial.conv.weight, chosen)
    _copy_channels(spatial.norm, old_spatial.norm, chosen)
    _copy_channels(spatial.activation, old_spatial.activation, chosen)
    # PReLU(c x) = c PReLU(x) for c > 0, so the gain before it takes the constant gate out.
    for name in ("weight", "bias"):
        spatial.norm.get_parameter(name)[chosen] /= _START_GATE
    _transplant_pointwise(block.project, old.project, columns=chosen)


def _chosen_channels(depthwise: MixedDepthwise, count: int) -> Tensor:
    """Choose the first channels of each kernel size, as many in proportion."""
    chosen, start = [], 0
    for size, taken in zip(depthwise.sizes, split_channels(count, depthwise.sizes), strict=True):
        chosen.append(torch.arange(start, start + taken))
        start += size
    return torch.cat(chosen)


def _transplant_pointwise(
    block: ConvolutionBlock,
    old: ConvolutionBlock,
    *,
    rows: Tensor | None = None,
    columns: Tensor | None = None,
) -> None:
    """Copy a 1 x 1 convolution to some outputs (rows) and inputs (columns), the first by default.

    Those outputs read nothing of other inputs.
    """
    outputs, inputs = old.conv.weight.shape[:2]
    rows = torch.arange(outputs) if rows is None else rows
    columns = torch.arange(inputs) if columns is None else columns
    placed = old.conv.weight.new_zeros(outputs, *block.conv.weight.shape[1:])
    placed[:, columns] = old.conv.weight
    block.conv.weight[rows] = placed
    _copy_channels(block.norm, old.norm, rows)
    _copy_channels(block.activation, old.activation, rows)


def _transplant_kernels(depthwise: MixedDepthwise, kernels: Tensor, chosen: Tensor) -> None:
    start = 0
    for part, size in zip(depthwise.parts, depthwise.sizes, strict=True):
        is_here = (chosen >= start) & (chosen < start + size)
        weight = part.get_parameter("weight")
        border = (weight.shape[-1] - kernels.shape[-1]) // 2
        weight[chosen[is_here] - start] = F.pad(kernels[is_here], (border,) * 4)
        start += size


def _copy_channels(module: nn.Module, old: nn.Module, channels: Tensor) -> None:
    """Copy values that a norm or an activation has for each channel."""
    theirs = old.state_dict()
    for key, value in module.state_dict().items():
        if value.ndim:  # not the count of batches
            value[channels] = theirs[key]


def _transplant_pool(pool: ConvolutionBlock, old: ConvolutionBlock) -> None:
    """Read a map of 7 columns as the old kernel reads 6 that lie half a column beside them."""
    pool.load_state_dict({**old.state_dict(), "conv.weight": pool.conv.weight})
    kernel = old.conv.weight
    shifted = (F.pad(kernel, (1, 0)) + F.pad(kernel, (0, 1))) / 2
    pool.conv.weight.copy_(shifted / _START_GATE)
