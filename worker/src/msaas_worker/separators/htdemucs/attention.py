"""Attention in blocks of queries, whose scores fit into the processor's cache."""

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from msaas_worker.separators.htdemucs.operators import Arithmetic, Dense, onednn_linear

#: Queries of a block: 448 × 2,688 scores are 2.4 MB in bfloat16.
_QUERIES = 448


class Attention:
    """scale · multi-head attention of x `[batch, queries, channels]` over `[batch, keys, channels]`."""

    def __init__(self, attention: Any, *, scale: Tensor, arithmetic: Arithmetic) -> None:
        query, key, value = attention.in_proj_weight.detach().chunk(3)
        query_bias, _, value_bias = attention.in_proj_bias.detach().chunk(3)
        weight, bias = attention.out_proj.weight.detach(), attention.out_proj.bias.detach()
        temperature = attention.head_dim**-0.5
        self._heads = attention.num_heads
        self._attend = _attend_in_blocks if arithmetic.device.type == "cpu" else _attend_at_once
        self._query = Dense(query * temperature, query_bias * temperature, arithmetic=arithmetic)
        # The bias of the keys adds the same to every score of a query, which does not change the softmax. The
        # bias of the values can be added after the softmax, because its weights sum to 1.
        self._key = Dense(key, None, arithmetic=arithmetic)
        self._value = Dense(value, None, arithmetic=arithmetic)
        bias = (bias + weight @ value_bias) * scale
        self._out = Dense(weight * scale[:, None], bias, arithmetic=arithmetic)

    def __call__(self, x: Tensor, memory: Tensor) -> Tensor:
        projections = self._query(x), self._key(memory), self._value(memory)
        query, key, value = (each.unflatten(-1, (self._heads, -1)).transpose(1, 2) for each in projections)
        return self._out(self._attend(query, key, value))


def _attend_at_once(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    """`[batch, heads, tokens, size]` → `[batch, queries, heads · size]`."""
    return F.scaled_dot_product_attention(query, key, value, scale=1.0).transpose(1, 2).flatten(2)


def _attend_in_blocks(query: Tensor, key: Tensor, value: Tensor) -> Tensor:
    batch, heads, queries, size = query.shape
    out = query.new_empty(batch, queries, heads, size)
    attend_head = _attend_head_onednn if query.dtype == torch.float32 else _attend_head
    for item in range(batch):
        for head in range(heads):
            attend_head(query[item, head], key[item, head], value[item, head], out=out[item, :, head])
    return out.flatten(2)


def _attend_head(query: Tensor, key: Tensor, value: Tensor, *, out: Tensor) -> None:
    for rows in _blocks(query):
        scores = query[rows] @ key.T
        out[rows] = torch.softmax(scores, dim=-1, out=scores) @ value


def _attend_head_onednn(query: Tensor, key: Tensor, value: Tensor, *, out: Tensor) -> None:
    """Use oneDNN's linear operator, which always uses AVX-512 in float32. It needs dense operands."""
    query, key, value = query.contiguous(), key.contiguous(), value.T.contiguous()
    for rows in _blocks(query):
        scores = onednn_linear(query[rows], key)
        out[rows] = onednn_linear(torch.softmax(scores, dim=-1, out=scores), value)


def _blocks(query: Tensor) -> list[slice]:
    return [slice(start, start + _QUERIES) for start in range(0, len(query), _QUERIES)]
