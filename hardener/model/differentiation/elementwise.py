"""Operators that treat every value alone, and those that broadcast two or more tensors."""

import functools
from collections.abc import Callable

import torch
from torch import Tensor, nn

from hardener.model.differentiation.nodes import Builder, Node, Step


def _plain(function: Step) -> Builder:
    """An operator without attributes."""
    return lambda _: function


def _divide(a: Tensor, b: Tensor) -> Tensor:
    if a.is_floating_point() or b.is_floating_point():
        return a / b
    return torch.div(a, b, rounding_mode="trunc")


def _power(base: Tensor, exponent: Tensor) -> Tensor:
    # A Python number takes torch's short ways for squares and roots.
    raised = torch.pow(base, exponent.item() if exponent.numel() == 1 else exponent)
    return raised if base.is_floating_point() else raised.to(base.dtype)


def _prelu(x: Tensor, slope: Tensor) -> Tensor:
    return torch.where(x >= 0, x, x * slope)


def _variadic(function: Callable[[Tensor, Tensor], Tensor]) -> Builder:
    return _plain(lambda *inputs: functools.reduce(function, inputs))


def _mean(*inputs: Tensor) -> Tensor:
    return functools.reduce(torch.add, inputs) / len(inputs)


def _clip(node: Node) -> Step:
    if node.opset < 11:
        lowest, highest = node.number("min", -torch.inf), node.number("max", torch.inf)
        return lambda x: torch.clamp(x, lowest, highest)

    def step(x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
        if low is None and high is None:
            return x
        return torch.clamp(
            x, None if low is None else low.item(), None if high is None else high.item()
        )

    return step


def _mod(node: Node) -> Step:
    return torch.fmod if node.integer("fmod", 0) else torch.remainder


def _leaky_relu(node: Node) -> Step:
    alpha = node.number("alpha", 0.01)
    return lambda x: nn.functional.leaky_relu(x, alpha)


def _elu(node: Node) -> Step:
    alpha = node.number("alpha", 1.0)
    return lambda x: nn.functional.elu(x, alpha)


def _celu(node: Node) -> Step:
    alpha = node.number("alpha", 1.0)
    return lambda x: nn.functional.celu(x, alpha)


def _selu(node: Node) -> Step:
    alpha = node.number("alpha", 1.67326319217681884765625)
    gamma = node.number("gamma", 1.05070102214813232421875)
    return lambda x: gamma * nn.functional.elu(x, alpha)


def _hard_sigmoid(node: Node) -> Step:
    alpha, beta = node.number("alpha", 0.2), node.number("beta", 0.5)
    return lambda x: torch.clamp(alpha * x + beta, 0, 1)


def _thresholded_relu(node: Node) -> Step:
    alpha = node.number("alpha", 1.0)
    return lambda x: torch.where(x > alpha, x, torch.zeros((), dtype=x.dtype))


def _shrink(node: Node) -> Step:
    bias, limit = node.number("bias", 0.0), node.number("lambd", 0.5)

    def step(x: Tensor) -> Tensor:
        kept = torch.where(x > limit, x - bias, x + bias)
        return torch.where(x.abs() > limit, kept, torch.zeros((), dtype=x.dtype))

    return step


def _gelu(node: Node) -> Step:
    approximate = node.one_of("approximate", "none", ("none", "tanh"))
    return lambda x: nn.functional.gelu(x, approximate=approximate)


def _swish(node: Node) -> Step:
    alpha = node.number("alpha", 1.0)
    if alpha == 1.0:
        return nn.functional.silu
    return lambda x: x * torch.sigmoid(alpha * x)


def _quick_gelu(node: Node) -> Step:
    alpha = node.number("alpha", 1.702)
    return lambda x: x * torch.sigmoid(alpha * x)


def _is_inf(node: Node) -> Step:
    if not node.integer("detect_negative", 1):
        return torch.isposinf
    return torch.isinf if node.integer("detect_positive", 1) else torch.isneginf


def _where(condition: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return torch.where(condition, a, b)


STANDARD: dict[str, Builder] = {
    "Abs": _plain(torch.abs),
    "Acos": _plain(torch.acos),
    "Acosh": _plain(torch.acosh),
    "Add": _plain(torch.add),
    "And": _plain(torch.logical_and),
    "Asin": _plain(torch.asin),
    "Asinh": _plain(torch.asinh),
    "Atan": _plain(torch.atan),
    "Atanh": _plain(torch.atanh),
    "Ceil": _plain(torch.ceil),
    "Celu": _celu,
    "Clip": _clip,
    "Cos": _plain(torch.cos),
    "Cosh": _plain(torch.cosh),
    "Div": _plain(_divide),
    "Elu": _elu,
    "Equal": _plain(torch.eq),
    "Erf": _plain(torch.erf),
    "Exp": _plain(torch.exp),
    "Floor": _plain(torch.floor),
    "Gelu": _gelu,
    "Greater": _plain(torch.gt),
    "GreaterOrEqual": _plain(torch.ge),
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _plain(nn.functional.hardswish),
    "IsInf": _is_inf,
    "IsNaN": _plain(torch.isnan),
    "LeakyRelu": _leaky_relu,
    "Less": _plain(torch.lt),
    "LessOrEqual": _plain(torch.le),
    "Log": _plain(torch.log),
    "Max": _variadic(torch.maximum),
    "Mean": _plain(_mean),
    "Min": _variadic(torch.minimum),
    "Mish": _plain(nn.functional.mish),
    "Mod": _mod,
    "Mul": _plain(torch.mul),
    "Neg": _plain(torch.neg),
    "Not": _plain(torch.logical_not),
    "Or": _plain(torch.logical_or),
    "PRelu": _plain(_prelu),
    "Pow": _plain(_power),
    "Reciprocal": _plain(torch.reciprocal),
    "Relu": _plain(torch.relu),
    "Round": _plain(torch.round),
    "Selu": _selu,
    "Shrink": _shrink,
    "Sigmoid": _plain(torch.sigmoid),
    "Sign": _plain(torch.sign),
    "Sin": _plain(torch.sin),
    "Sinh": _plain(torch.sinh),
    "Softplus": _plain(nn.functional.softplus),
    "Softsign": _plain(nn.functional.softsign),
    "Sqrt": _plain(torch.sqrt),
    "Sub": _plain(torch.sub),
    "Sum": _variadic(torch.add),
    "Swish": _swish,
    "Tan": _plain(torch.tan),
    "Tanh": _plain(torch.tanh),
    "ThresholdedRelu": _thresholded_relu,
    "Where": _plain(_where),
    "Xor": _plain(torch.logical_xor),
}

OWN: dict[str, Builder] = {"ReluInPlace": _plain(torch.relu_)}

MICROSOFT: dict[str, Builder] = {
    "Gelu": _plain(nn.functional.gelu),
    "QuickGelu": _quick_gelu,
}
