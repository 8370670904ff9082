"""Rewrites of a converted network, which OpenVINO then computes faster, and alike in any batch.

They change no weight, and results by no more than rounding.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import openvino


def rewrite(network: "openvino.Model") -> None:
    """Apply all rewrites to a converted network, in place."""
    _normalise_in_place(network)
    _project_by_convolution(network)
    network.validate_nodes_and_infer_types()


def _normalise_in_place(network: "openvino.Model") -> None:
    """Make instance norms of group norms with one channel a group.

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


def _project_by_convolution(network: "openvino.Model") -> None:
    """Make convolutions of 1 x 1 of linear layers on rows of an image each.

    Such layers are rounded to bfloat16 in other places when a batch has four rows than when it has
    fewer, and every pixel of a face hangs on them; convolutions are rounded alike.
    """
    ops = importlib.import_module("openvino.opset15")
    for node in network.get_ordered_ops():
        if node.get_type_name() != "MatMul":
            continue
        rows, weights = node.input_value(0), node.input_value(1)
        attributes = node.get_attributes()
        is_linear = weights.get_node().get_type_name() == "Constant" and attributes["transpose_b"]
        if not is_linear or attributes["transpose_a"] or len(rows.get_partial_shape()) != 2:
            continue
        axes = ops.constant([2, 3])
        projected = ops.convolution(
            ops.unsqueeze(rows, axes),
            ops.unsqueeze(weights, axes),
            strides=[1, 1],
            pads_begin=[0, 0],
            pads_end=[0, 0],
            dilations=[1, 1],
        )
        node.output(0).replace(ops.squeeze(projected, axes).output(0))
