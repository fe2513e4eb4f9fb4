"""Operators that treat every value alone, and those that broadcast two or more tensors."""

import functools
from collections.abc import Callable

import torch
from torch import Tensor, nn

from hardener.model.differentiation.nodes import Node, Operator, Step, plain


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


def _variadic(function: Callable[[Tensor, Tensor], Tensor]) -> Operator:
    return plain(lambda *inputs: functools.reduce(function, inputs))


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


STANDARD: dict[str, Operator] = {
    "Abs": plain(torch.abs),
    "Acos": plain(torch.acos),
    "Acosh": plain(torch.acosh),
    "Add": plain(torch.add),
    "And": plain(torch.logical_and),
    "Asin": plain(torch.asin),
    "Asinh": plain(torch.asinh),
    "Atan": plain(torch.atan),
    "Atanh": plain(torch.atanh),
    "Ceil": plain(torch.ceil),
    "Celu": Operator(_celu),
    "Clip": Operator(_clip, (1, 2)),
    "Cos": plain(torch.cos),
    "Cosh": plain(torch.cosh),
    "Div": plain(_divide),
    "Elu": Operator(_elu),
    "Equal": plain(torch.eq),
    "Erf": plain(torch.erf),
    "Exp": plain(torch.exp),
    "Floor": plain(torch.floor),
    "Gelu": Operator(_gelu),
    "Greater": plain(torch.gt),
    "GreaterOrEqual": plain(torch.ge),
    "HardSigmoid": Operator(_hard_sigmoid),
    "HardSwish": plain(nn.functional.hardswish),
    "IsInf": Operator(_is_inf),
    "IsNaN": plain(torch.isnan),
    "LeakyRelu": Operator(_leaky_relu),
    "Less": plain(torch.lt),
    "LessOrEqual": plain(torch.le),
    "Log": plain(torch.log),
    "Max": _variadic(torch.maximum),
    "Mean": plain(_mean),
    "Min": _variadic(torch.minimum),
    "Mish": plain(nn.functional.mish),
    "Mod": Operator(_mod),
    "Mul": plain(torch.mul),
    "Neg": plain(torch.neg),
    "Not": plain(torch.logical_not),
    "Or": plain(torch.logical_or),
    "PRelu": plain(_prelu),
    "Pow": plain(_power),
    "Reciprocal": plain(torch.reciprocal),
    "Relu": plain(torch.relu),
    "Round": plain(torch.round),
    "Selu": Operator(_selu),
    "Shrink": Operator(_shrink),
    "Sigmoid": plain(torch.sigmoid),
    "Sign": plain(torch.sign),
    "Sin": plain(torch.sin),
    "Sinh": plain(torch.sinh),
    "Softplus": plain(nn.functional.softplus),
    "Softsign": plain(nn.functional.softsign),
    "Sqrt": plain(torch.sqrt),
    "Sub": plain(torch.sub),
    "Sum": _variadic(torch.add),
    "Swish": Operator(_swish),
    "Tan": plain(torch.tan),
    "Tanh": plain(torch.tanh),
    "ThresholdedRelu": Operator(_thresholded_relu),
    "Where": plain(_where),
    "Xor": plain(torch.logical_xor),
}

OWN: dict[str, Operator] = {"ReluInPlace": plain(torch.relu_)}

MICROSOFT: dict[str, Operator] = {
    "Gelu": plain(nn.functional.gelu),
    "QuickGelu": Operator(_quick_gelu),
}
