"""Attention whose backward pass gives each layer's Ā, and keeps the gradients of answer tokens apart."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from ..capture.rows import softmax_rows

#: All scores of a chunk of rows, with what is made of them.
CHUNK_BYTES = 64 << 20


@dataclass
class Recursion:
    """Rows of R for all answer tokens: `added` [G, T] is what was added to the unit vectors of `queries` [G]."""

    queries: torch.Tensor
    added: torch.Tensor
    prompt_len: int
    layers_done: int = 0

    @classmethod
    def begin(cls, queries: list[int], positions: int, prompt_len: int, device) -> Recursion:
        """All rows start at their own position."""
        kind = torch.float32 if torch.device(device).type == "mps" else torch.float64
        return cls(torch.tensor(queries, device=device), torch.zeros(len(queries), positions, dtype=kind, device=device), prompt_len)

    def entries(self, rows: torch.Tensor) -> torch.Tensor:
        """Columns `rows` of R: [G, r]."""
        return self.added[:, rows] + (self.queries[:, None] == rows[None, :]).to(self.added.dtype)


class RelevancyAttention(torch.autograd.Function):
    """query [H, S, d], key [Hkv, S, d], value [Hkv, S, dv] → [S, H, dv]; `forward` is the model's own attention, given as a result."""

    @staticmethod
    def forward(context, query, key, value, output, mask, scaling, causal, recursion):
        """Returns the output that was computed."""
        context.save_for_backward(query, key, value)
        context.rest = (mask, scaling, causal, recursion)
        return output.view_as(output)

    @staticmethod
    def backward(context, gradient):
        """Gradients, and one step of the recursion."""
        query, key, value = context.saved_tensors
        mask, scaling, causal, recursion = context.rest
        scaling = query.shape[-1] ** -0.5 if scaling is None else scaling
        heads, count, _ = query.shape
        groups = key.shape[0]
        share = heads // groups
        gradient = gradient.transpose(0, 1).float()  # [H, S, dv]
        keys, values = key.float(), value.float()
        to_query = torch.zeros(heads, count, query.shape[-1], device=query.device)
        to_key, to_value = torch.zeros_like(keys), torch.zeros_like(values)
        added = torch.zeros_like(recursion.added)
        for rows in _row_parts(count, recursion.prompt_len, heads * key.shape[1] * 4, query.device):
            # Under a causal mask these queries give keys after the last row no weight: those keys are left out.
            seen = int(rows[-1]) + 1 if causal and mask is None else key.shape[1]
            ((_, weights),) = softmax_rows(query, key[:, :seen], mask, scaling, causal, rows, 1 << 62)
            incoming = gradient[:, rows]
            by_group = incoming.reshape(groups, share * len(rows), -1)
            to_weights = (by_group @ values[:, :seen].transpose(1, 2)).view(heads, len(rows), -1)
            product = to_weights * weights
            abar = product.clamp(min=0).mean(0).to(dtype=added.dtype)
            # Layers may be on other devices than the rows of R.
            added[:, :seen] += recursion.entries(rows.to(added.device)) @ abar.to(added.device)
            to_scores = (product - weights * product.sum(-1, keepdim=True)) * scaling
            grouped = to_scores.reshape(groups, share * len(rows), -1)
            to_query[:, rows] = (grouped @ keys[:, :seen]).view(heads, len(rows), -1)
            queries = query[:, rows].float()
            if int(rows[0]) < recursion.prompt_len:
                to_key[:, :seen] += grouped.transpose(1, 2) @ queries.reshape(groups, share * len(rows), -1)
                to_value[:, :seen] += weights.reshape(groups, share * len(rows), -1).transpose(1, 2) @ by_group
            else:  # only the own key and value: what other positions hold does not depend on this token
                own = to_scores[:, torch.arange(len(rows)), rows, None]
                to_key[:, rows] += (own * queries).view(groups, share, len(rows), -1).sum(1)
                own = weights[:, torch.arange(len(rows)), rows, None]
                to_value[:, rows] += (own * incoming).view(groups, share, len(rows), -1).sum(1)
        recursion.added += added
        recursion.layers_done += 1
        return to_query.to(query.dtype), to_key.to(key.dtype), to_value.to(value.dtype), None, None, None, None, None


def _row_parts(count: int, prompt_len: int, row_bytes: int, device):
    """Rows in parts of a limited number of scores, none across the end of the prompt."""
    step = max(1, CHUNK_BYTES // (4 * row_bytes))
    for begin, end in ((0, min(prompt_len, count)), (prompt_len, count)):
        for start in range(begin, end, step):
            yield torch.arange(start, min(start + step, end), device=device)
