"""Labels of positions: piece, kind, turn, word. The same rules as `vlmscope ask`."""

from __future__ import annotations

import numpy as np

from ..trace.schema import Token

WORD_STARTS = ("▁", "Ġ")


class Pieces:
    """Pieces and classes of a tokenizer's ids."""

    def __init__(self, processor):
        self.tokenizer = getattr(processor, "tokenizer", processor)
        added = getattr(self.tokenizer, "added_tokens_decoder", {})
        self.special = set(self.tokenizer.all_special_ids) | {id_ for id_, token in added.items() if token.special}
        self._byte_level = _is_byte_level(self.tokenizer)
        self._known: dict[int, str] = {}

    def piece(self, token: int) -> str:
        """The vocabulary's piece, `▁` marking a word start; bytes that are not a whole character as `<0xE7>`."""
        if token not in self._known:
            piece = self.tokenizer.convert_ids_to_tokens(int(token))
            piece = f"<{token}>" if piece is None else str(piece)
            if self._byte_level and token not in self.special:
                text = self.tokenizer.decode([int(token)], skip_special_tokens=False, clean_up_tokenization_spaces=False)
                if "\ufffd" in text:
                    text = _marked_bytes(piece) or text
                piece = "▁" + text[1:] if text.startswith(" ") else text
            self._known[token] = piece
        return self._known[token]

    def is_separator(self, token: int) -> bool:
        """Whether nothing of a token can be seen."""
        return not self.tokenizer.decode([int(token)], skip_special_tokens=True).strip()


def _is_byte_level(tokenizer) -> bool:
    backend = getattr(tokenizer, "backend_tokenizer", None)
    return backend is not None and "ByteLevel" in str(getattr(backend, "decoder", ""))


def _byte_of_character() -> dict[str, int]:
    """A byte-level vocabulary writes the bytes that Latin-1 can print as themselves, the others as U+0100 and so on."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(0x100 + at): byte for at, byte in enumerate(others)}


_BYTES = _byte_of_character()


def _marked_bytes(piece: str) -> str | None:
    """The text of a byte-level piece, with bytes that form no character as `<0xE7>`."""
    if any(character not in _BYTES for character in piece):
        return None
    text = bytes(_BYTES[character] for character in piece).decode("utf-8", "surrogateescape")
    return "".join(f"<0x{ord(c) - 0xDC00:02X}>" if "\udc80" <= c <= "\udcff" else c for c in text)


class Labeller:
    """Numbers words: a piece that begins with `▁` starts one; separators, patches and control tokens end it."""

    def __init__(self, pieces: Pieces):
        self.pieces = pieces
        self._next = 0
        self._open: tuple[int, str, int] | None = None

    def label(self, token: int, kind: str, turn: int) -> Token:
        """Labels the next position."""
        text = self.pieces.piece(token)
        wordless = kind in ("image", "special", "separator") or token in self.pieces.special
        if wordless or self.pieces.is_separator(token):
            self._open = None
            return Token(int(token), text, kind, turn, None)
        goes_on = self._open is not None and self._open[1:] == (kind, turn) and not text.startswith(WORD_STARTS)
        word = self._open[0] if goes_on else self._next
        self._next = max(self._next, word + 1)
        self._open = (word, kind, turn)
        return Token(int(token), text, kind, turn, word)


def kinds_of(
    ids: np.ndarray, image: np.ndarray, separators: set[int], special: set[int], answers: np.ndarray, has_picture: bool
) -> list[str]:
    """The kind of each prompt position. `image` are positions of patches; `answers` marks words of earlier answers: [P] bool."""
    patches = set(image.tolist())
    first = min(patches, default=0)
    kinds = []
    for position, token in enumerate(ids.tolist()):
        if position in separators:
            kinds.append("separator")
        elif position in patches:
            kinds.append("image")
        elif token in special:
            kinds.append("special")
        elif answers[position]:
            kinds.append("answer")
        elif has_picture and position < first:
            kinds.append("system")
        else:
            kinds.append("question")
    return kinds


def earlier_turns(ids: np.ndarray, text: str | None, messages: list | None, tokenizer) -> tuple[np.ndarray, np.ndarray]:
    """Which positions are words of earlier answers [P] bool, and the turn of each [P]; by aligning the prompt's text from its end.

    The text before the last picture is not aligned (its picture tokens are expanded), and belongs to turn 0.
    """
    answers, turns = np.zeros(len(ids), bool), np.zeros(len(ids), np.int64)
    spoken = [_text_of(message) for message in messages or [] if message.get("role") == "assistant"]
    if not spoken or text is None or not getattr(tokenizer, "is_fast", False):
        return answers, turns
    encoded = tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)
    ranges, cursor = [], 0
    for answer in spoken:
        start = text.find(answer.strip(), cursor)
        if start < 0:
            return answers, turns
        cursor = start + len(answer.strip())
        ranges.append((start, cursor))
    position = len(ids) - 1
    for token, (start, end) in zip(reversed(encoded["input_ids"]), reversed(encoded["offset_mapping"]), strict=True):
        if position < 0 or ids[position] != token:
            break
        answers[position] = any(start < last and end > first for first, last in ranges)
        turns[position] = sum(last <= start for _, last in ranges)
        position -= 1
    return answers, turns


def _text_of(message: dict) -> str:
    content = message.get("content", "")
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content if part.get("type") == "text")
