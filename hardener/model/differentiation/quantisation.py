"""Quantisation: whole numbers held in float32, with a gradient straight through the rounding.

Source: Bengio et al. 2013 (straight-through estimator); Jacob et al. 2018 for the clipping.
"""

import onnx
import torch
from torch import Tensor

from hardener.model.differentiation.nodes import Node, Operator, Step, plain

_RANGES: dict[int, tuple[int, int]] = {
    onnx.TensorProto.UINT8: (0, 255),
    onnx.TensorProto.INT8: (-128, 127),
    onnx.TensorProto.UINT16: (0, 65535),
    onnx.TensorProto.INT16: (-32768, 32767),
}
_RANGE_OF = {
    torch.uint8: (0, 255),
    torch.int8: (-128, 127),
    torch.uint16: (0, 65535),
    torch.int16: (-32768, 32767),
}


class _Quantise(torch.autograd.Function):
    """x / scale, rounded half to even, shifted and clipped; the gradient ignores the rounding."""

    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx,
        x: Tensor,
        scale: Tensor,
        zero: Tensor | float,
        low: int,
        high: int,
    ) -> Tensor:
        quantised = torch.round(x / scale) + zero
        ctx.save_for_backward((quantised >= low) & (quantised <= high), scale)
        return quantised.clamp_(low, high)

    @staticmethod
    def backward(
        ctx: torch.autograd.function.BackwardCFunction, gradient: Tensor
    ) -> tuple[Tensor, None, None, None, None]:
        inside, scale = tuple(ctx.saved_tensors)
        return gradient * inside / scale, None, None, None, None


class _QuantiseAndBack(torch.autograd.Function):
    """What a value becomes when it is quantised and dequantised again."""

    @staticmethod
    def forward(
        ctx: torch.autograd.function.FunctionCtx,
        x: Tensor,
        scale: Tensor,
        zero: Tensor | float,
        low: int,
        high: int,
    ) -> Tensor:
        quantised = torch.round(x / scale) + zero
        ctx.save_for_backward((quantised >= low) & (quantised <= high))
        return quantised.clamp_(low, high).sub_(zero).mul_(scale)

    @staticmethod
    def backward(
        ctx: torch.autograd.function.BackwardCFunction, gradient: Tensor
    ) -> tuple[Tensor, None, None, None, None]:
        return gradient * ctx.saved_tensors[0], None, None, None, None


def _along(values: Tensor, x: Tensor, axis: int) -> Tensor:
    """One value for all, or one for each place of an axis."""
    values = values.to(torch.float32)
    if values.numel() == 1:
        return values.reshape(())
    shape = [1] * x.dim()
    shape[axis] = -1
    return values.view(shape)


def _no_blocks(node: Node) -> None:
    if node.integer("block_size", 0):
        raise node.refusal("quantisation by blocks is not supported")


def _rounding(node: Node, function: type[_Quantise] | type[_QuantiseAndBack]) -> Step:
    _no_blocks(node)
    axis, wanted = node.integer("axis", 1), node.integer("output_dtype", 0)
    if wanted and wanted not in _RANGES:
        raise node.refusal("only whole numbers of 8 and 16 bits are supported")

    def step(x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
        if zero is not None and zero.dtype in _RANGE_OF:
            low, high = _RANGE_OF[zero.dtype]
        elif zero is not None and not wanted:
            raise node.refusal(f"zero points of {zero.dtype} are not supported")
        else:
            low, high = _RANGES[wanted or onnx.TensorProto.UINT8]
        shift = 0.0 if zero is None else _along(zero, x, axis)
        with torch.autocast(x.device.type, enabled=False):
            return function.apply(x.to(torch.float32), _along(scale, x, axis), shift, low, high)

    return step


def _quantise(node: Node) -> Step:
    return _rounding(node, _Quantise)


def _quantise_and_back(node: Node) -> Step:
    return _rounding(node, _QuantiseAndBack)


def _dequantise(node: Node) -> Step:
    _no_blocks(node)
    axis = node.integer("axis", 1)

    def step(x: Tensor, scale: Tensor, zero: Tensor | None = None) -> Tensor:
        real = x.to(torch.float32)
        if zero is not None:
            real = real - _along(zero, x, axis)
        return real * _along(scale, x, axis)

    return step


def _dynamic_quantise(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    low, high = x.detach().amin().clamp(max=0), x.detach().amax().clamp(min=0)
    scale = (high - low).to(torch.float32) / 255
    zero = torch.round((-low / scale).clamp(0, 255))
    return _Quantise.apply(x.to(torch.float32), scale, zero, 0, 255), scale, zero


STANDARD: dict[str, Operator] = {
    "DequantizeLinear": Operator(_dequantise),
    "DynamicQuantizeLinear": plain(_dynamic_quantise),
    "QuantizeLinear": Operator(_quantise),
}

MICROSOFT: dict[str, Operator] = {
    "DequantizeLinear": Operator(_dequantise),
    "QuantizeLinear": Operator(_quantise),
}

OWN: dict[str, Operator] = {"QuantizeAndBack": Operator(_quantise_and_back)}
