"""Matrix products."""

import torch
from torch import Tensor, nn

from hardener.model.differentiation.nodes import Node, Operator, Step, plain


def _matmul(a: Tensor, b: Tensor) -> Tensor:
    if a.dim() < 3 or b.dim() != 2:
        return torch.matmul(a, b)
    # For rows that do not lie one after the other torch would copy b for every image instead.
    return torch.mm(a.reshape(-1, a.shape[-1]), b).view(*a.shape[:-1], b.shape[-1])


def _affine(a: Tensor, b: Tensor, bias: Tensor) -> Tensor:
    return torch.addmm(bias, a.reshape(-1, a.shape[-1]), b).view(*a.shape[:-1], b.shape[-1])


def _gemm(node: Node) -> Step:
    alpha, beta = node.number("alpha", 1.0), node.number("beta", 1.0)
    turn_a, turn_b = bool(node.integer("transA", 0)), bool(node.integer("transB", 0))

    def step(a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
        a = a.t() if turn_a else a
        b = b if turn_b else b.t()
        if alpha == 1 and (c is None or (beta == 1 and c.dim() == 1)):
            return nn.functional.linear(a, b, c)
        product = alpha * nn.functional.linear(a, b)
        return product if c is None else product + beta * c

    return step


def _fused_matmul(node: Node) -> Step:
    alpha = node.number("alpha", 1.0)
    turns = node.integer("transA", 0), node.integer("transB", 0)
    if node.integer("transBatchA", 0) or node.integer("transBatchB", 0):
        raise node.refusal("transBatchA and transBatchB are not supported")

    def step(a: Tensor, b: Tensor) -> Tensor:
        a = a.transpose(-1, -2) if turns[0] and a.dim() > 1 else a
        b = b.transpose(-1, -2) if turns[1] and b.dim() > 1 else b
        return alpha * _matmul(a, b)

    return step


def _einsum(node: Node) -> Step:
    equation = node.text("equation", "")
    return lambda *inputs: torch.einsum(equation, *inputs)


def _matmul_integer(
    a: Tensor, b: Tensor, a_zero: Tensor | None = None, b_zero: Tensor | None = None
) -> Tensor:
    a, b = a.to(torch.float32), b.to(torch.float32)
    if a_zero is not None:
        # One zero a row of a, or one for all.
        a = a - (a_zero[..., None] if a_zero.dim() else a_zero).to(torch.float32)
    if b_zero is not None:
        b = b - b_zero.to(torch.float32)
    return _matmul(a, b)


STANDARD: dict[str, Operator] = {
    "Einsum": Operator(_einsum),
    "Gemm": Operator(_gemm),
    "MatMul": plain(_matmul),
    "MatMulInteger": plain(_matmul_integer),
}

OWN: dict[str, Operator] = {"Affine": plain(_affine)}

MICROSOFT: dict[str, Operator] = {"FusedMatMul": Operator(_fused_matmul)}
