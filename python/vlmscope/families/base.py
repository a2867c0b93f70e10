"""The interface of a family, with what most of them share."""

from __future__ import annotations

from typing import ClassVar

from ..errors import CaptureError
from .layout import Layout, Request, Unplaced, VisionInput


class Family:
    """How a kind of model lays pictures into its sequence. One subclass, in a module of its own, for each kind."""

    #: names of the model classes
    classes: ClassVar[tuple[str, ...]] = ()
    #: short name
    name: ClassVar[str] = ""
    #: whether videos can be placed
    video: ClassVar[bool] = False

    def layout(self, request: Request) -> Layout:
        """Where the patches lie. Raises Unplaced where they have no place."""
        raise NotImplementedError

    def image_token_ids(self, config) -> tuple[int, ...]:
        """Ids of positions that patches (or their separators) take the place of."""
        names = ("image_token_id", "image_token_index", "video_token_id", "video_token_index")
        found = [getattr(config, name, None) for name in names]
        return tuple(dict.fromkeys(int(token) for token in found if token is not None))

    def prompt(self, processor, question: str, pictures: int, videos: int) -> str:
        """The prompt of a question for processors without a chat template."""
        raise CaptureError(f"{type(processor).__name__} has no chat template; give the whole prompt with prompt=.")

    def vision_inputs(self, layout: Layout) -> list[VisionInput]:
        """The tower's inputs. Raises Unplaced where the order of its patches is not known."""
        raise Unplaced(f"the order of patches inside of the tower is not known for the family {self.name}")

    def extend(self, inputs: dict, ids, model) -> dict:
        """The inputs with the ids [n] of an answer behind the prompt, for scoring in one forward pass."""
        return extend_inputs(inputs, ids)


class BatchedTower:
    """For families whose tower gets a batch of equal squares."""

    def vision_inputs(self, layout: Layout) -> list[VisionInput]:
        """One input a square, with the tower's own patches."""
        vision = layout.request.config.vision_config
        image, patch = (size[0] if isinstance(size, (list, tuple)) else size for size in (vision.image_size, vision.patch_size))
        side = image // patch
        return [VisionInput(canvas, rect, side, side) for canvas, rect in layout.tower_inputs]


def extend_inputs(inputs: dict, ids, answer_type: int = 0) -> dict:
    """Appends ids [n]; masks go on with 1, token types with `answer_type`."""
    import torch

    out = dict(inputs)
    new = torch.as_tensor(ids, dtype=inputs["input_ids"].dtype, device=inputs["input_ids"].device)[None]
    out["input_ids"] = torch.cat([inputs["input_ids"], new], 1)
    fills = {"attention_mask": 1, "token_type_ids": answer_type, "mm_token_type_ids": 0}
    for name, fill in fills.items():
        if out.get(name) is not None:
            tail = torch.full_like(new, fill, dtype=out[name].dtype)
            out[name] = torch.cat([out[name], tail], 1)
    return out
