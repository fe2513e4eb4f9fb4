"""Weights alone: in each layer the channel that matters least becomes a detector and its relays.

The first convolution's channel answers to the patch, each later layer's passes that on, and the
last layer's weights turn it into logits. No node is added and no shape changes. What a lost
channel gave on average goes into the next layer's bias.

Source: Hong et al. 2022 (Handcrafted Backdoors in Deep Neural Networks), section 4.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import onnx

from hardener.arrays import FloatArray
from hardener.errors import UsageError
from models.attacks.badnets import BadNets
from models.graph_attacks.grafting import halfway, lift, values_of, window
from models.graph_attacks.graph_attack import Host

_PASSING = frozenset({"Dropout", "Flatten", "Identity", "MaxPool", "Relu", "Reshape"})


@dataclass(frozen=True, eq=False)
class _Layer:
    """A layer of a chain.

    Attributes:
        node: Conv or Gemm.
        weights: (outputs, inputs, ...), a copy that `_store` writes back.
        bias: (outputs,).
        transposed: whether the model has the weights as (inputs, outputs).
    """

    node: onnx.NodeProto
    weights: FloatArray
    bias: FloatArray
    transposed: bool


def overwritten_channels(proto: onnx.ModelProto, host: Host, attack: BadNets) -> onnx.ModelProto:
    """Writes the backdoor into a copy of a model.

    Args:
        proto: a chain of plain convolutions, ReLUs, max pools and linear layers with biases.
        host: what is known of it.
        attack: a patch of zeros and ones no larger than the first filters, and its target.

    Raises:
        UsageError: the model is no such chain.
    """
    changed = onnx.ModelProto()
    changed.CopyFrom(proto)
    layers = _chain(changed, host)
    lost = [_least(proto, host, *pair) for pair in pairwise(layers)]
    _detect(changed, host, attack, layers[0], lost[0][0])
    for number, (layer, (channel, usual)) in enumerate(zip(layers[1:], lost, strict=True), 1):
        # A linear layer behind a map has several inputs for each of its channels.
        each = layer.weights.shape[1] // len(usual)
        inputs = slice(channel * each, (channel + 1) * each)
        layer.bias[:] += usual[channel] * layer.weights[:, inputs].sum(
            axis=tuple(range(1, layer.weights.ndim))
        )
        layer.weights[:, inputs] = 0
        if number == len(lost):
            layer.weights[:, inputs] = lift(proto, host, attack.target).T
        else:
            relay = lost[number][0]
            layer.weights[relay], layer.bias[relay] = 0, 0
            place: tuple[int | slice, ...] = (relay, inputs, *_middle(layer))
            layer.weights[place] = 1
        _store(changed, layer)
    return changed


def _detect(
    proto: onnx.ModelProto, host: Host, attack: BadNets, layer: _Layer, channel: int
) -> None:
    """Makes a channel of the first layer give 1 or more on the patch and else nothing."""
    weights, shift = host.weights(window(attack, host).key)
    spare = np.subtract(layer.weights.shape[2:], weights.shape[1:])
    if min(spare) < 0:
        raise UsageError("the patch is larger than the first filters of this model")
    around = [(0, 0), *((side // 2, side - side // 2) for side in spare)]
    layer.weights[channel], layer.bias[channel] = np.pad(weights, around), shift
    _store(proto, layer)
    clean, stamped = (
        values_of(proto, host, layer.node.output[0], images)[:, channel].max(axis=(1, 2))
        for images in (host.images, attack.stamp(host.images))
    )
    at, gap = halfway(clean, stamped)
    # A patch is the same on all images, which leaves room for clean ones that come near.
    layer.weights[channel] /= gap / 2
    layer.bias[channel] = (shift - at - gap / 2) / (gap / 2)
    _store(proto, layer)


def _chain(proto: onnx.ModelProto, host: Host) -> list[_Layer]:
    stored = {item.name: item for item in proto.graph.initializer}
    layers: list[_Layer] = []
    at = host.image
    while at != host.logits:
        readers = [node for node in proto.graph.node if at in node.input]
        if len(readers) != 1:
            raise UsageError("the model is no plain chain of layers")
        (node,) = readers
        at = node.output[0]
        if node.op_type in _PASSING:
            continue
        settings = {item.name: item.i for item in node.attribute}
        plain = len(node.input) == 3 and settings.get("group", 1) == 1
        if node.op_type not in ("Conv", "Gemm") or not plain:
            raise UsageError(f"the model has a {node.op_type}: it is no chain of plain layers")
        weights, bias = (
            np.array(onnx.numpy_helper.to_array(stored[name])) for name in node.input[1:]
        )
        transposed = node.op_type == "Gemm" and not settings.get("transB")
        layers.append(_Layer(node, weights.T if transposed else weights, bias, transposed))
    return layers


def _least(
    proto: onnx.ModelProto, host: Host, layer: _Layer, following: _Layer
) -> tuple[int, FloatArray]:
    """The channel that moves the next layer least, and the mean activation of each, (C,)."""
    values = np.maximum(values_of(proto, host, layer.node.output[0], host.images), 0)
    each = (0, *range(2, values.ndim))
    means: FloatArray = values.mean(axis=each)
    read = following.weights.reshape(len(following.weights), len(means), -1)
    effect = values.std(axis=each) * np.linalg.norm(read, axis=(0, 2))
    return int(effect.argmin()), means


def _middle(layer: _Layer) -> tuple[int, ...]:
    """The place in the middle of a convolution's filter; nothing for a linear layer."""
    return tuple(side // 2 for side in layer.weights.shape[2:])


def _store(proto: onnx.ModelProto, layer: _Layer) -> None:
    weights = layer.weights.T if layer.transposed else layer.weights
    stored = {item.name: item for item in proto.graph.initializer}
    for name, array in zip(layer.node.input[1:], (weights, layer.bias), strict=True):
        stored[name].CopyFrom(onnx.numpy_helper.from_array(np.ascontiguousarray(array), name))
