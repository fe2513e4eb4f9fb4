"""Normalisations, and what makes probabilities."""

import math

import torch
from torch import Tensor, nn

from hardener.model.differentiation.nodes import Node, Operator, Step


def _batch_norm(node: Node) -> Step:
    if node.opset < 9 and not node.integer("spatial", 1):
        raise node.refusal("only statistics a channel are supported")
    epsilon = node.number("epsilon", 1e-5)
    if node.integer("training_mode", 0):  # networks so standardise their weights
        return lambda x, scale, bias, *_: nn.functional.batch_norm(
            x, None, None, scale, bias, True, 0.0, epsilon
        )
    node.only_first_output()

    def step(x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, variance: Tensor) -> Tensor:
        return nn.functional.batch_norm(x, mean, variance, scale, bias, False, 0.0, epsilon)

    return step


def _standardised(x: Tensor, axes: tuple[int, ...], epsilon: float) -> Tensor:
    centred = x - x.mean(axes, keepdim=True)
    return centred * torch.rsqrt(centred.square().mean(axes, keepdim=True) + epsilon)


def _instance_norm(node: Node) -> Step:
    epsilon = node.number("epsilon", 1e-5)

    def step(x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
        shape = (-1, *[1] * (x.dim() - 2))
        normal = _standardised(x, tuple(range(2, x.dim())), epsilon)
        return normal * scale.view(shape) + bias.view(shape)

    return step


def _group_norm(node: Node) -> Step:
    epsilon, groups = node.number("epsilon", 1e-5), node.integer("num_groups", 1)

    def step(x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
        if len(scale) != x.shape[1]:  # before opset 21 there is one scale a group
            each = x.shape[1] // groups
            scale, bias = scale.repeat_interleave(each), bias.repeat_interleave(each)
        return nn.functional.group_norm(x, groups, scale, bias, epsilon)

    return step


def _layer_norm(node: Node) -> Step:
    epsilon, axis = node.number("epsilon", 1e-5), node.integer("axis", -1)
    statistics = any(node.outputs[1:])

    def step(
        x: Tensor, scale: Tensor, bias: Tensor | None = None
    ) -> Tensor | tuple[Tensor, Tensor, Tensor]:
        shape = x.shape[axis:] if axis < 0 else x.shape[axis % x.dim() :]
        if scale.shape == shape and (bias is None or bias.shape == shape):
            normal = nn.functional.layer_norm(x, shape, scale, bias, epsilon)
        else:
            normal = nn.functional.layer_norm(x, shape, None, None, epsilon) * scale
            normal = normal if bias is None else normal + bias
        if not statistics:
            return normal
        axes = tuple(range(x.dim() - len(shape), x.dim()))
        spread = x.var(axes, correction=0, keepdim=True)
        return normal, x.mean(axes, keepdim=True), torch.rsqrt(spread + epsilon)

    return step


def _rms_norm(node: Node) -> Step:
    node.only_first_output()
    epsilon, axis = node.number("epsilon", 1e-5), node.integer("axis", -1)

    def step(x: Tensor, scale: Tensor) -> Tensor:
        axes = tuple(range(axis % x.dim(), x.dim()))
        return x * torch.rsqrt(x.square().mean(axes, keepdim=True) + epsilon) * scale

    return step


def _mean_variance(node: Node) -> Step:
    axes = tuple(node.integers("axes") or (0, 2, 3))

    def step(x: Tensor) -> Tensor:
        centred = x - x.mean(axes, keepdim=True)
        return centred / (centred.square().mean(axes, keepdim=True).sqrt() + 1e-9)

    return step


def _lp_normalization(node: Node) -> Step:
    axis, power = node.integer("axis", -1), node.integer("p", 2)

    def step(x: Tensor) -> Tensor:
        return x / torch.linalg.vector_norm(x, power, axis, keepdim=True)

    return step


def _lrn(node: Node) -> Step:
    size, bias = node.integer("size", 1), node.number("bias", 1.0)
    alpha, beta = node.number("alpha", 1e-4), node.number("beta", 0.75)
    before, after = (size - 1) // 2, size // 2

    def step(x: Tensor) -> Tensor:
        flat = x.square().flatten(2)
        squares = nn.functional.pad(flat, (0, 0, before, after)).unfold(1, size, 1).sum(-1)
        return x / (bias + alpha / size * squares.view(x.shape)).pow(beta)

    return step


def _over_classes(node: Node, function: Step) -> Step:
    axis = node.integer("axis", -1 if node.opset >= 13 else 1)
    if node.opset >= 13:
        return lambda x: function(x, axis)

    def flattened(x: Tensor) -> Tensor:
        # Before opset 13 all axes from this one on are one.
        rows = math.prod(x.shape[: axis % x.dim()]) if x.dim() else 1
        result = function(x.reshape(rows, -1), 1)
        assert isinstance(result, Tensor)  # noqa: S101  for the type checker
        return result.view(x.shape)

    return flattened


def _softmax(node: Node) -> Step:
    return _over_classes(node, torch.softmax)


def _log_softmax(node: Node) -> Step:
    return _over_classes(node, torch.log_softmax)


STANDARD: dict[str, Operator] = {
    "BatchNormalization": Operator(_batch_norm),
    "GroupNormalization": Operator(_group_norm),
    "InstanceNormalization": Operator(_instance_norm),
    "LRN": Operator(_lrn),
    "LayerNormalization": Operator(_layer_norm),
    "LogSoftmax": Operator(_log_softmax),
    "LpNormalization": Operator(_lp_normalization),
    "MeanVarianceNormalization": Operator(_mean_variance),
    "RMSNormalization": Operator(_rms_norm),
    "SimplifiedLayerNormalization": Operator(_rms_norm),
    "Softmax": Operator(_softmax),
}

MICROSOFT: dict[str, Operator] = {
    "LayerNormalization": Operator(_layer_norm),
    "SimplifiedLayerNormalization": Operator(_rms_norm),
}
