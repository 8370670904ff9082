"""Rewrites of a converted network, which OpenVINO then computes faster.

They change results by no more than rounding.
"""

import importlib
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    import openvino

_Weights = npt.NDArray[np.float32]


def rewrite(network: "openvino.Model") -> None:
    """Rewrite a converted network, in place."""
    passes = importlib.import_module("openvino.passes")
    manager = passes.Manager()
    # A bias's shape is computed from its convolution's result, which would be used for ever.
    manager.register_pass(passes.ConstantFolding())
    manager.run_passes(network)
    normalise_in_place(network)
    convolve_before_doubling(network)


def normalise_in_place(network: "openvino.Model") -> None:
    """Make instance norms of a converted network's group norms with one channel a group.

    OpenVINO brings the input of a group norm to another layout and back, and cannot fuse what
    follows; an upscaler has 120 of them, which took a fifth of its time and more.
    """
    ops = importlib.import_module("openvino.opset15")
    for node in network.get_ordered_ops():
        if node.get_type_name() != "GroupNormalization":
            continue
        features, gains, biases = (node.input_value(port) for port in range(3))
        channels = features.get_partial_shape()[1]
        attributes = node.get_attributes()
        if channels.is_dynamic or channels.get_length() != attributes["num_groups"]:
            continue
        normal = ops.mvn(features, ops.constant([2, 3]), True, attributes["epsilon"], "inside_sqrt")
        by_channel = ops.constant([1, channels.get_length(), 1, 1])
        scaled = ops.multiply(normal, ops.reshape(gains, by_channel, False))
        shifted = ops.add(scaled, ops.reshape(biases, by_channel, False))
        node.output(0).replace(shifted.output(0))
    network.validate_nodes_and_infer_types()


def convolve_before_doubling(network: "openvino.Model") -> None:
    """Let convolutions work before the sides are doubled by repeating pixels, instead of after it.

    A 3x3 kernel sees of doubled pixels 2x2 that differ. What it makes of those is one of four 2x2
    kernels, one for each place within the doubled pixel, whose weights are sums of its own: 16
    multiplications where there were 36. Bias and LeakyReLU follow each of the four, and their
    results are then put in each other's gaps.
    """
    ops = importlib.import_module("openvino.opset15")
    for node in network.get_ordered_ops():
        if not _doubles_sides(node):
            continue
        convolution = _only_consumer(node, "Convolution")
        if convolution is None or not _is_plain_3x3(convolution):
            continue
        biased = _only_consumer(convolution, "Add")
        activated = None if biased is None else _only_consumer(biased, "PRelu")
        if biased is None or activated is None:
            continue
        weights = convolution.input_value(1).get_node().get_data()
        bias, slope = biased.input_value(1), activated.input_value(1)
        parts = []
        for place in product((0, 1), (0, 1)):
            before, after = [1 - step for step in place], list(place)
            part = ops.convolution(
                node.input_value(0),
                ops.constant(_seen_from(place, weights)),
                [1, 1],
                before,
                after,
                [1, 1],
            )
            parts.append(ops.prelu(ops.add(part, bias), slope))
        doubled = ops.depth_to_space(ops.concat(parts, 1), "blocks_first", 2)
        activated.output(0).replace(doubled.output(0))
    network.validate_nodes_and_infer_types()


def _seen_from(place: tuple[int, int], weights: _Weights) -> _Weights:
    """(O, I, 3, 3) weights as they fall on the pixels before they are doubled: (O, I, 2, 2).

    Args:
        place: row and column, 0 or 1, within the doubled pixel.
        weights: of the convolution after it.
    """
    for axis, step in zip((2, 3), place, strict=True):
        first, middle, last = np.moveaxis(weights, axis, 0)
        both = (first, middle + last) if step == 0 else (first + middle, last)
        weights = np.stack(both, axis)
    return weights


def _doubles_sides(node: "openvino.Node") -> bool:
    """Whether a node repeats each pixel of (N, C, H, W), of known H and W, twice either way."""
    if node.get_type_name() != "Interpolate":
        return False
    attributes = node.get_attributes()
    ways = [attributes[name] for name in ("mode", "coordinate_transformation_mode", "nearest_mode")]
    if ways != ["nearest", "asymmetric", "floor"]:
        return False
    before, after = node.input_value(0).get_partial_shape(), node.output(0).get_partial_shape()
    sides = [(before[axis], after[axis]) for axis in (2, 3)]
    return all(
        small.is_static and large.is_static and large.get_length() == 2 * small.get_length()
        for small, large in sides
    )


def _is_plain_3x3(convolution: "openvino.Node") -> bool:
    """Whether it keeps the sides, and its weights are known."""
    attributes = convolution.get_attributes()
    steps = [attributes[name] for name in ("strides", "dilations", "pads_begin", "pads_end")]
    weights = convolution.input_value(1).get_node()
    return (
        steps == [[1, 1]] * 4
        and weights.get_type_name() == "Constant"
        and weights.get_output_shape(0)[2:] == [3, 3]
    )


def _only_consumer(node: "openvino.Node", kind: str) -> "openvino.Node | None":
    """The one node that uses a node's output, if it is of this kind."""
    consumers = [port.get_node() for port in node.output(0).get_target_inputs()]
    return consumers[0] if [one.get_type_name() for one in consumers] == [kind] else None
