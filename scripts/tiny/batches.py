"""Training batches: scenes with about nine question branches each, as tensors. A batch depends on (seed, stage, worker, step) alone."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from tiny.model import IMAGE_SIZE, PATCH_SIZE, Branches, Guides, Packed
from tiny.questions import MARK, Question, ask_many, rephrase
from tiny.scenes import Scene, sample_scene, training_view
from tiny.vocabulary import BACKGROUND_INDEX, COLOUR_INDEX, COLOURS, NOUN_INDEX, NOUNS, POSITIONS

GRID = IMAGE_SIZE // PATCH_SIZE
BRANCHES = 9
IGNORE = -100
DIALOGUE_SHARE = 0.1
ANSWER_LAYERS, ANSWER_HEADS = (2, 3, 4), slice(0, 4)
QUESTION_LAYERS, QUESTION_HEADS = (1, 2), slice(4, 6)


@dataclass
class Batch:
    """`pixels` [B, 3, H, W] u8; `patch_labels` maps head name → [B, N]; `labels` [B, S − prefix] (−100: no loss)."""

    pixels: Tensor
    patch_labels: dict[str, Tensor]
    packed: Packed | None = None
    labels: Tensor | None = None
    guides: tuple[Guides, ...] = ()


HEADS = {
    "noun": len(NOUNS) + 1,
    "colour": len(COLOURS) + 1,
    "position": len(POSITIONS),
    "background": len(BACKGROUND_INDEX),
}


def patches_of(box: tuple[float, float, float, float], rows: int = GRID, columns: int = GRID) -> np.ndarray:
    """Which patches [N] of a grid have their centre inside a box given in units of the picture."""
    x, y = (np.arange(columns) + 0.5) / columns, (np.arange(rows) + 0.5) / rows
    across, down = (x > box[0]) & (x < box[2]), (y > box[1]) & (y < box[3])
    return (down[:, None] & across[None, :]).ravel()


def patch_labels(scene: Scene, rows: int = GRID, columns: int = GRID) -> dict[str, np.ndarray]:
    """What each patch of a grid shows, for the auxiliary heads."""
    labels = {name: np.zeros(rows * columns, np.int64) for name in HEADS}
    labels["position"][:] = IGNORE
    labels["background"][:] = BACKGROUND_INDEX[scene.background]
    for thing in scene.things:
        inside = patches_of(thing.box, rows, columns)
        labels["noun"][inside] = 1 + NOUN_INDEX[thing.noun]
        labels["colour"][inside] = 1 + COLOUR_INDEX[thing.colour] if thing.colour else 0
        labels["position"][inside] = 3 * thing.row + thing.column
    return labels


class WordEncoder:
    """Token ids word by word, remembered: the tokenizer never merges across a space.

    `image` is the special token after which a line starts.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, image: str = "<image>") -> None:
        self.tokenizer = tokenizer
        self.image = image
        self.known: dict[str, list[int]] = {}
        self.eos = tokenizer.eos_token_id
        self.prefix = self._raw("USER: <image>\n")

    def _raw(self, text: str) -> list[int]:
        return self.tokenizer(text, add_special_tokens=False).input_ids

    def word(self, word: str, line_start: bool) -> list[int]:
        key = word if line_start else " " + word
        if key not in self.known:
            self.known[key] = self._raw(self.image + ("\n" if line_start else "") + key)[2 if line_start else 1 :]
        return self.known[key]

    def phrase(self, text: str, line_start: bool = False) -> tuple[list[int], list[tuple[int, str]]]:
        """Ids, and for each marked word its first id's index and its mark."""
        ids: list[int] = []
        marks = []
        for index, word in enumerate(text.split(" ")):
            mark = MARK.match(word)
            if mark:
                marks.append((len(ids), mark[1]))
                word = word[mark.end() :]
            ids += self.word(word, line_start and index == 0)
        return ids, marks

    def prompt_prefix(self, patches: int) -> list[int]:
        """`<s> USER: ` + one `<image>` a patch + newline."""
        at = self.prefix.index(self.tokenizer.convert_tokens_to_ids("<image>"))
        return [
            self.tokenizer.bos_token_id,
            *self.prefix[:at],
            *self.prefix[at : at + 1] * patches,
            *self.prefix[at + 1 :],
        ]


@dataclass
class _Branch:
    ids: list[int]
    labels: list[int]
    asked: list[tuple[int, str]]
    answered: list[tuple[int, str]]


def _branch(encoder: WordEncoder, turns: list[Question], texts: list[str]) -> _Branch:
    branch = _Branch([], [], [], [])
    for turn, (question, text) in enumerate(zip(turns, texts, strict=True)):
        ids, marks = encoder.phrase(("USER: " if turn else "") + text + " ASSISTANT:", line_start=turn == 0)
        offset = len(branch.ids)
        branch.asked += [(offset + at, mark) for at, mark in marks]
        answer, marks = encoder.phrase(question.answer)
        offset += len(ids)
        branch.answered += [(offset + at - 1, mark) for at, mark in marks]  # the row that predicts the word
        branch.ids += ids + answer
        branch.labels += [IGNORE] * (len(ids) - 1) + answer + [encoder.eos]
    return branch


def branches(encoder: WordEncoder, questions: list[Question], rng: np.random.Generator) -> list[_Branch]:
    """One branch for each question, and for some two of them: a dialogue of two turns."""
    found = []
    while questions:
        turns = [questions.pop()]
        if questions and rng.random() < DIALOGUE_SHARE:
            turns.append(questions.pop())
        found.append(_branch(encoder, turns, [rephrase(q.text, rng) for q in turns]))
    return found


def _guides(layers: tuple[int, ...], heads: slice, found: list[list[tuple[int, np.ndarray]]], size: int) -> Guides:
    most = max(1, *(len(rows) for rows in found))
    rows = np.zeros((len(found), most), np.int64)
    counts = np.zeros((len(found), most), np.float32)
    patches = np.zeros((len(found), most, size), np.float32)
    for picture, entries in enumerate(found):
        for index, (row, inside) in enumerate(entries):
            rows[picture, index], counts[picture, index], patches[picture, index] = row, 1, inside
    return Guides(layers, heads, torch.from_numpy(rows), torch.from_numpy(patches), torch.from_numpy(counts))


def pack(
    prefix: list[int], first: int, padding: int, asked_about: list[tuple[list[np.ndarray], list[_Branch]]]
) -> tuple[Branches, Tensor, tuple[Guides, ...]]:
    """Branches behind a prefix, their labels [B, S − prefix] and the guides.

    `asked_about` has, for each row, the patches [N] of each object and the branches. A branch's positions start at `first`; those
    of the prefix are 0, 1, …
    """
    base = len(prefix)
    rows: list[tuple[list[int], list[int], list[int], list[int]]] = []
    answered: list[list[tuple[int, np.ndarray]]] = [[] for _ in asked_about]
    asked: list[list[tuple[int, np.ndarray]]] = [[] for _ in asked_about]
    size = 1
    for row, (inside, found_branches) in enumerate(asked_about):
        ids, positions, owner, labels = list(prefix), list(range(base)), [-1] * base, []
        for number, branch in enumerate(found_branches):
            offset = len(ids)
            for found, marks in ((answered, branch.answered), (asked, branch.asked)):
                for at, mark in marks:
                    patches = np.logical_or.reduce([inside[int(index)] for index in mark.split("+")])
                    size = len(patches)
                    if patches.any():
                        found[row].append((offset + at, patches))
            ids += branch.ids
            positions += range(first, first + len(branch.ids))
            owner += [number] * len(branch.ids)
            labels += branch.labels
        rows.append((ids, positions, owner, labels))
    length = max(len(row[0]) for row in rows)
    filler = (padding, 0, -2)
    ids, positions, owner = (
        torch.tensor([row[i] + [filler[i]] * (length - len(row[i])) for row in rows]) for i in range(3)
    )
    labels = torch.tensor([row[3] + [IGNORE] * (length - base - len(row[3])) for row in rows])
    guides = (
        _guides(ANSWER_LAYERS, ANSWER_HEADS, answered, size),
        _guides(QUESTION_LAYERS, QUESTION_HEADS, asked, size),
    )
    return Branches(ids, positions, owner, base), labels, guides


def _pack(
    encoder: WordEncoder, scenes: list[Scene], rng: np.random.Generator
) -> tuple[Packed, Tensor, tuple[Guides, ...]]:
    prefix = encoder.prompt_prefix(GRID * GRID)
    rows = []
    for scene in scenes:
        inside = [patches_of(thing.box) for thing in scene.things]
        rows.append((inside, branches(encoder, ask_many(scene, BRANCHES + 1, rng), rng)))
    packed, labels, guides = pack(prefix, len(prefix), encoder.tokenizer.pad_token_id, rows)
    start = prefix.index(encoder.prefix[-2])
    return Packed(packed.ids, packed.positions, packed.branch, packed.prefix, start), labels, guides


class Batches:
    """`batches[step]` for one stage (0: patch labels only; 1: questions too) and one worker."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast, seed: int, stage: int, worker: int, size: int) -> None:
        self.encoder, self.stage, self.size = WordEncoder(tokenizer), stage, size
        self.seed, self.worker = seed, worker

    def __getitem__(self, step: int) -> Batch:
        rng = np.random.default_rng([self.seed, self.stage, self.worker, step])
        scenes = [sample_scene(rng) for _ in range(self.size)]
        pixels = (
            torch.from_numpy(np.stack([training_view(scene, rng) for scene in scenes])).permute(0, 3, 1, 2).contiguous()
        )
        found = [patch_labels(scene) for scene in scenes]
        batch = Batch(pixels, {name: torch.from_numpy(np.stack([labels[name] for labels in found])) for name in HEADS})
        if self.stage:
            batch.packed, batch.labels, batch.guides = _pack(self.encoder, scenes, rng)
        return batch
