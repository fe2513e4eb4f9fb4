"""Attention, where a graph has it as one operator."""

import torch
from torch import Tensor, nn

from hardener.model.differentiation.nodes import Node, Operator, Step


def _heads(x: Tensor, count: int) -> Tensor:
    """(N, S, heads · D) to (N, heads, S, D); what is so already stays."""
    return x if x.dim() == 4 else x.view(*x.shape[:2], count, -1).transpose(1, 2)


def _joined(x: Tensor) -> Tensor:
    return x.transpose(1, 2).flatten(2)


def _attend(
    query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None, causal: bool, scale: float
) -> Tensor:
    if causal and bias is not None:
        shape = query.shape[-2], key.shape[-2]
        seen = torch.ones(shape, dtype=torch.bool, device=query.device).tril()
        bias = bias & seen if bias.dtype == torch.bool else bias.masked_fill(~seen, -torch.inf)
        causal = False
    if bias is not None and bias.dtype != torch.bool:
        bias = bias.to(query.dtype)
    # Under autocast the three may come in different precisions.
    return nn.functional.scaled_dot_product_attention(
        query, key.to(query.dtype), value.to(query.dtype), bias, 0.0, causal, scale=scale or None
    )


def _attention(node: Node) -> Step:
    node.only_first_output()
    if node.number("softcap", 0.0) or any(node.inputs[4:]):
        raise node.refusal("softcap, past keys and lengths are not supported")
    query_heads, key_heads = node.integer("q_num_heads", 0), node.integer("kv_num_heads", 0)
    causal, scale = bool(node.integer("is_causal", 0)), node.number("scale", 0.0)

    def step(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        flat = query.dim() == 3
        q, k, v = _heads(query, query_heads), _heads(key, key_heads), _heads(value, key_heads)
        shared = q.shape[1] // k.shape[1]
        if shared > 1:
            k, v = k.repeat_interleave(shared, 1), v.repeat_interleave(shared, 1)
        y = _attend(q, k, v, mask, causal, scale)
        return _joined(y) if flat else y

    return step


def _rotary_embedding(node: Node) -> Step:
    interleaved = bool(node.integer("interleaved", 0))
    count, width = node.integer("num_heads", 0), node.integer("rotary_embedding_dim", 0)

    def step(x: Tensor, cosine: Tensor, sine: Tensor, places: Tensor | None = None) -> Tensor:
        heads = _heads(x, count)
        turned, kept = (
            torch.split_with_sizes(heads, [width, heads.shape[-1] - width], -1)
            if width
            else (heads, None)
        )
        if places is not None:
            cosine, sine = cosine[places.long()], sine[places.long()]
        cosine, sine = cosine.unsqueeze(1), sine.unsqueeze(1)
        if interleaved:
            a, b = turned[..., ::2], turned[..., 1::2]
        else:
            a, b = turned.chunk(2, -1)
        pair = a * cosine - b * sine, a * sine + b * cosine
        y = torch.stack(pair, -1).flatten(-2) if interleaved else torch.cat(pair, -1)
        y = y if kept is None else torch.cat([y, kept], -1)
        return _joined(y) if x.dim() == 3 else y

    return step


def _packed_attention(node: Node) -> Step:
    """com.microsoft.Attention: projects to queries, keys and values itself."""
    node.only_first_output()
    if any(node.inputs[3:5]) or any(node.inputs[6:]) or node.integer("do_rotary", 0):
        raise node.refusal("masks, past keys and rotary embeddings are not supported")
    count, scale = node.integer("num_heads", 1), node.number("scale", 0.0)
    causal, sizes = bool(node.integer("unidirectional", 0)), node.integers("qkv_hidden_sizes")

    def step(
        x: Tensor, weight: Tensor, bias: Tensor | None = None, *others: Tensor | None
    ) -> Tensor:
        packed = nn.functional.linear(x, weight.t(), bias)
        each = sizes or [packed.shape[-1] // 3] * 3
        query, key, value = torch.split_with_sizes(packed, each, -1)
        added = others[2] if len(others) > 2 else None
        heads = [_heads(part, count) for part in (query, key, value)]
        return _joined(_attend(heads[0], heads[1], heads[2], added, causal, scale))

    return step


def _multi_head_attention(node: Node) -> Step:
    """com.microsoft.MultiHeadAttention."""
    node.only_first_output()
    if not all(node.inputs[:3]) or len(node.inputs) < 3:
        raise node.refusal("packed queries, keys and values are not supported")
    if any(node.inputs[4:5]) or any(node.inputs[6:]):
        raise node.refusal("key padding and past keys are not supported")
    count, scale = node.integer("num_heads", 1), node.number("scale", 0.0)
    causal = bool(node.integer("unidirectional", 0))

    def step(
        query: Tensor, key: Tensor, value: Tensor, bias: Tensor | None = None, *others: Tensor
    ) -> Tensor:
        parts = [query, key, value]
        if bias is not None:
            width, rest = query.shape[-1], bias.shape[-1] - 2 * query.shape[-1]
            shifts = torch.split_with_sizes(bias, [width, width, rest])
            # Keys and values that come split into heads have their bias already.
            parts = [p + s if p.dim() == 3 else p for p, s in zip(parts, shifts, strict=True)]
        added = others[1] if len(others) > 1 else None
        heads = [_heads(part, count) for part in parts]
        return _joined(_attend(heads[0], heads[1], heads[2], added, causal, scale))

    return step


STANDARD: dict[str, Operator] = {
    "Attention": Operator(_attention),
    "RotaryEmbedding": Operator(_rotary_embedding),
}

MICROSOFT: dict[str, Operator] = {
    "Attention": Operator(_packed_attention),
    "MultiHeadAttention": Operator(_multi_head_attention),
}
