"""Writes a bundle folder: everything into a temporary folder beside it, checked, then renamed into place."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tqdm import tqdm

from .decoder import Decoder
from .embed import write_embed
from .errors import ExportError
from .graph import Graph, WeightFile
from .manifest import manifest
from .relevancy import Attribution, PromptRelevancy, RowsRelevancy
from .relevancy_vision import VisionRelevancy
from .spec import Source
from .vision import Vision

MANIFEST = "manifest.json"
GRAPHS = (
    "vision",
    "vision_attention",
    "relevancy_vision",
    "embed",
    "decoder",
    "relevancy",
    "relevancy_rows",
    "attribution",
)
BYTES_OF_DTYPE = {"f32": 4, "f16": 2}


@dataclass
class Bundle:
    """The parts of a bundle while it is being written."""

    source: Source
    folder: Path
    name: str
    dtype: str
    image_feature_scale: float = 1.0
    graphs: dict[str, dict] = field(default_factory=dict)
    files: dict[str, dict] = field(default_factory=dict)

    def write(self) -> None:
        """Writes graphs, weights, tokenizer and manifest into the folder."""
        check_disk_space(self.folder, weight_bytes(self.source, self.dtype))
        with progress(weight_bytes(self.source, self.dtype)) as advance:
            self._vision(advance)
            self._text(advance)
        self._tokenizer()
        content = manifest(self.source, self.name, self.dtype, self.graphs, self.files, self.image_feature_scale)
        text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        (self.folder / MANIFEST).write_text(text, encoding="utf-8")

    def _vision(self, advance) -> None:
        weights = WeightFile(self.folder, "vision.data", advance)
        for name, with_attention in (("vision", False), ("vision_attention", True)):
            self._save(name, Vision(self.source, self.dtype, weights, with_attention).write())
        self._save(
            "relevancy_vision", VisionRelevancy(self.source, self.dtype, weights, self.image_feature_scale).write()
        )
        self._close(weights)

    def _text(self, advance) -> None:
        embed_weights = WeightFile(self.folder, "embed.data", advance)
        self._save("embed", write_embed(self.source, self.dtype, embed_weights, self.image_feature_scale))
        decoder_weights = WeightFile(self.folder, "decoder.data", advance)
        writers = {
            "decoder": Decoder,
            "relevancy": PromptRelevancy,
            "relevancy_rows": RowsRelevancy,
            "attribution": Attribution,
        }
        for name, writer in writers.items():
            self._save(name, writer(self.source, self.dtype, decoder_weights, embed_weights).write())
        self._close(embed_weights)
        self._close(decoder_weights)

    def _save(self, name: str, graph: Graph) -> None:
        file = f"{name}.onnx"
        graph.save(self.folder / file)
        self.graphs[name] = graph.to_manifest(file)
        self._hash(file, "graph")

    def _close(self, weights: WeightFile) -> None:
        size, sha256 = weights.close()
        self.files[weights.name] = {"bytes": size, "sha256": sha256, "role": "weights"}

    def _tokenizer(self) -> None:
        backend = self.source.processor.tokenizer.backend_tokenizer
        backend.no_padding()
        backend.no_truncation()
        backend.save(str(self.folder / "tokenizer.json"), pretty=False)
        self._hash("tokenizer.json", "tokenizer")

    def _hash(self, file: str, role: str) -> None:
        data = (self.folder / file).read_bytes()
        self.files[file] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), "role": role}


def weight_bytes(source: Source, dtype: str) -> int:
    """About how many bytes the data files take. Tied weights count once."""
    return sum(p.numel() for p in source.model.parameters()) * BYTES_OF_DTYPE[dtype]


def check_disk_space(folder: Path, needed: int) -> None:
    free = shutil.disk_usage(folder).free
    margin = 64 << 20
    if free < needed + margin:
        raise ExportError(
            f"{folder.parent} has {free / 1e9:.1f} GB free, but the bundle takes about {(needed + margin) / 1e9:.1f} GB. "
            "Free some space, choose another --out, or export with --dtype f16."
        )


@contextmanager
def progress(total: int):
    """A bar over the bytes of weights written; silent where stderr is no terminal."""
    with tqdm(total=total, unit="B", unit_scale=True, desc="Writing weights", disable=None, leave=False) as bar:
        yield bar.update


@contextmanager
def replacing(target: Path, force: bool):
    """Yields a temporary folder whose files become the bundle at `target` if the block succeeds; it is removed in any case.

    A new bundle appears by one rename. In a folder that exists, only the bundle's own files are replaced or removed, the manifest last:
    whatever else lies there (a model card, sample pictures, a checkpoint) is not ours.
    """
    check_target(target, force)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.parent / f".{target.name}.{os.getpid()}.part"
        temporary.mkdir()
    except OSError as error:
        raise ExportError(f"{target} cannot be written: {error}.") from error
    try:
        yield temporary
        if target.exists():
            _move_into(temporary, target)
        else:
            temporary.rename(target)
    except OSError as error:
        raise ExportError(f"Writing {target} failed: {error}.") from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def check_target(target: Path, force: bool) -> None:
    """Refuses to write over anything that is not a bundle, and over a bundle without `force`."""
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    if not target.is_dir():
        raise ExportError(f"{target} is a file. Choose another --out.")
    if not force:
        raise ExportError(
            f"{target} exists. Remove it, choose another --out, or pass --force to replace the bundle in it."
        )
    foreign = [n for n in ("tokenizer.json", *(f"{g}.onnx" for g in GRAPHS)) if (target / n).exists()]
    if foreign and not (target / MANIFEST).is_file():
        raise ExportError(
            f"{target} holds {', '.join(foreign)} but is not a bundle (it has no {MANIFEST}), so --force does not replace them. "
            "Choose another --out."
        )


def _move_into(source: Path, target: Path) -> None:
    try:
        old = set(json.loads((target / MANIFEST).read_text(encoding="utf-8"))["files"])
    except (OSError, ValueError, KeyError, TypeError):
        old = set()
    new = sorted((p.name for p in source.iterdir()), key=lambda name: name == MANIFEST)
    for name in new:
        (source / name).replace(target / name)
    for name in old.difference(new):
        if name == Path(name).name:
            (target / name).unlink(missing_ok=True)
