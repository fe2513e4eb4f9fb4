"""Convolutions over one, two or three spatial axes."""

import torch
from torch import Tensor, nn

from hardener.model.differentiation.nodes import Node, Operator, Step
from hardener.model.differentiation.windows import pad_sides, read_window, with_kernel

_CONV = {1: nn.functional.conv1d, 2: nn.functional.conv2d, 3: nn.functional.conv3d}
_TRANSPOSED = {
    1: nn.functional.conv_transpose1d,
    2: nn.functional.conv_transpose2d,
    3: nn.functional.conv_transpose3d,
}


def _conv(node: Node) -> Step:
    group = node.integer("group", 1)
    given = [node.integers(name) or [] for name in ("strides", "dilations", "kernel_shape")]
    pads = node.integers("pads") or []
    rank = max([len(pads) // 2, *(len(values) for values in given)])

    def by_weight(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        # Nothing tells the number of axes but the weight, or the padding depends on sizes.
        window = with_kernel(read_window(node, weight.shape[2:]), weight.shape[2:])
        before, after = window.padding(x.shape[2:])
        padding = before
        if before != after:
            x, padding = pad_sides(x, before, after, 0.0), [0] * len(before)
        convolve = _CONV[len(before)]
        return convolve(x, weight, bias, window.strides, padding, window.dilations, group)

    window = read_window(node, [1] * rank)
    if rank not in _CONV or window.auto_pad in ("SAME_UPPER", "SAME_LOWER"):
        return by_weight
    before, after = window.padding([0] * rank)
    if before != after:
        return by_weight
    convolve, strides, dilations = _CONV[rank], window.strides, window.dilations

    def step(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        return convolve(x, weight, bias, strides, before, dilations, group)

    return step


def _conv_transpose(node: Node) -> Step:
    group = node.integer("group", 1)
    wanted = node.integers("output_shape")

    def step(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        sizes, kernel = x.shape[2:], weight.shape[2:]
        rank = len(kernel)
        window = read_window(node, kernel)
        extra = node.integers("output_padding") or [0] * rank
        full = [
            (size - 1) * window.strides[i] + extra[i] + window.reach(i)
            for i, size in enumerate(sizes)
        ]
        target = wanted[-rank:] if wanted else None
        if target is None and window.auto_pad.startswith("SAME"):
            target = [size * stride for size, stride in zip(sizes, window.strides, strict=True)]
        if target is None:
            before, after = window.padding(sizes)
        else:
            missing = [large - small for large, small in zip(full, target, strict=True)]
            before = [
                total // 2 if window.auto_pad == "SAME_UPPER" else total - total // 2
                for total in missing
            ]
            after = [total - side for total, side in zip(missing, before, strict=True)]
        y = _TRANSPOSED[rank](x, weight, None, window.strides, 0, 0, group, window.dilations)
        # Cropping is a negative padding; output_padding adds zeros behind.
        y = pad_sides(
            y,
            [-side for side in before],
            [more - side for more, side in zip(extra, after, strict=True)],
            0.0,
        )
        return y if bias is None else y + bias.view(-1, *[1] * rank)

    return step


def _conv_integer(node: Node) -> Step:
    convolve = _conv(node)

    def step(
        x: Tensor, weight: Tensor, x_zero: Tensor | None = None, weight_zero: Tensor | None = None
    ) -> Tensor | tuple[Tensor, ...]:
        x, weight = x.to(torch.float32), weight.to(torch.float32)
        if x_zero is not None:
            x = x - x_zero.to(torch.float32)
        if weight_zero is not None:
            weight = weight - weight_zero.to(torch.float32).view(-1, *[1] * (weight.dim() - 1))
        return convolve(x, weight)

    return step


def _col2im(node: Node) -> Step:
    def step(columns: Tensor, image: Tensor, block: Tensor) -> Tensor:
        sizes, kernel = image.tolist(), block.tolist()
        window = read_window(node, kernel)
        before, after = window.padding(sizes)
        if before != after or len(sizes) != 2:
            raise node.refusal("only two axes with the same padding on both sides are supported")
        return nn.functional.fold(
            columns, tuple(sizes), tuple(kernel), window.dilations, tuple(before), window.strides
        )

    return step


STANDARD: dict[str, Operator] = {
    "Col2Im": Operator(_col2im, (1, 2)),
    "Conv": Operator(_conv),
    "ConvInteger": Operator(_conv_integer),
    "ConvTranspose": Operator(_conv_transpose),
}
