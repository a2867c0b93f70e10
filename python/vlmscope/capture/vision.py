"""Attention of the vision tower: every query of every layer, in raster order of the patches."""

from __future__ import annotations

import numpy as np
import torch

from ..errors import CaptureError
from ..families import Family, Layout, Unplaced
from ..trace.schema import ATTENTION_SCALE
from .modules import Decoder, tower_attention
from .rows import softmax_rows, to_stored

#: More than this is refused: attention of a tower grows with the square of the patches.
LIMIT_BYTES = 4 << 30


class VisionRecorder:
    """Collects what the tower's attention modules compute in one answer."""

    def __init__(self, model, decoder: Decoder, family: Family):
        self.modules = tower_attention(model, decoder.module)
        self.family = family
        self._index = {id(module): number for number, module in enumerate(self.modules)}
        #: a list of [H, n, n] f16 for each module that was called, in the order of the first call
        self.calls: dict[int, list[np.ndarray]] = {}
        self._bytes = 0

    def clear(self) -> None:
        """Forgets what was collected."""
        self.calls, self._bytes = {}, 0

    def take(self, module, query, key, mask, keywords: dict, weights) -> bool:
        """Observer; returns whether the module is the tower's."""
        if id(module) not in self._index:
            return False
        batch, heads, count = query.shape[0], query.shape[1], query.shape[2]
        self._bytes += batch * heads * count * key.shape[2] * 2
        if self._bytes > LIMIT_BYTES:
            raise CaptureError(
                f"the tower's attention takes more than {LIMIT_BYTES >> 30} GB ({count} patches at a time). Use a smaller picture, or "
                "leave out vision=True."
            )
        found = self.calls.setdefault(self._index[id(module)], [])
        causal = keywords.get("is_causal")
        causal = getattr(module, "is_causal", True) if causal is None else causal
        for number in range(batch):
            if weights is not None:
                found.append(to_stored(weights[number].float(), ATTENTION_SCALE).numpy())
                continue
            part = None if mask is None else mask[min(number, mask.shape[0] - 1)]
            out = np.empty((heads, count, key.shape[2]), np.float16)
            rows = torch.arange(count, device=query.device)
            for place, chunk in softmax_rows(query[number], key[number], part, keywords.get("scaling"), bool(causal), rows):
                out[:, place] = to_stored(chunk, ATTENTION_SCALE).numpy()
            found.append(out)
        return True

    def tensors(self, layout: Layout) -> tuple[list[dict], dict[str, np.ndarray]]:
        """Metadata `vision` and the tensors vision.V.attention [Lv, Hv, n, n]."""
        if not layout.canvases:
            return [], {}
        try:
            inputs = self.family.vision_inputs(layout)
        except Unplaced as reason:
            raise CaptureError(f"{reason}; leave out vision=True.") from reason
        layers = list(self.calls.values())
        if not layers:
            raise CaptureError("the tower's attention does not go through transformers' interface; leave out vision=True.")
        meta, named = [], {}
        for number, one in enumerate(inputs):
            maps = [self._map(calls, inputs, number) for calls in layers]
            class_tokens = maps[0].shape[-1] - one.rows * one.columns
            if class_tokens < 0 or any(map_.shape != maps[0].shape for map_ in maps):
                raise CaptureError("the layers of the tower attend to different numbers of patches; leave out vision=True.")
            named[f"vision.{number}.attention"] = np.stack(maps)
            rect = {name: float(getattr(one.rect, name)) for name in ("x", "y", "width", "height")}
            meta.append(
                {
                    "canvas": one.canvas, "rect": rect, "rows": one.rows, "columns": one.columns, "class_tokens": class_tokens,
                    "layers": list(range(len(layers))),
                }
            )  # fmt: skip
        return meta, named

    def _map(self, calls: list[np.ndarray], inputs: list, number: int) -> np.ndarray:
        """Attention of one input in one layer."""
        one = inputs[number]
        if one.order is None:
            if len(calls) != len(inputs):
                raise CaptureError(f"the tower was called with {len(calls)} pictures, but {len(inputs)} are placed.")
            return calls[number]
        # Packed: the inputs stand behind each other, cut into segments that attend within themselves.
        start = sum(len(other.order) for other in inputs[:number])
        end, offset = start + len(one.order), 0
        out = np.zeros((calls[0].shape[0], len(one.order), len(one.order)), np.float16)
        for segment in calls:
            low, high = max(start, offset), min(end, offset + segment.shape[-1])
            if low < high:
                places = one.order[low - start : high - start]
                inside = slice(low - offset, high - offset)
                out[:, places[:, None], places] = segment[:, inside, inside]
            offset += segment.shape[-1]
        if offset != sum(len(other.order) for other in inputs):
            raise CaptureError(f"the tower attended to {offset} patches, but the pictures have {sum(len(i.order) for i in inputs)}.")
        return out
