#!/usr/bin/env python3
"""Holds the code to its map: which module may use which, who may name which crate, no cycle of imports between files.

The rules are the ones in ARCHITECTURE.md. Prints one line per breach and exits 1.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path

from import_graph import NOISE, Graph, components

ROOT = Path(__file__).resolve().parent.parent
SOURCE = ROOT / "src"

# module → modules of ours that it may use
ARROWS: dict[str, set[str]] = {
    "files": set(),
    "terminal": set(),
    "trace": {"files"},
    "analysis": {"trace"},
    "edit": {"trace", "analysis", "files"},
    "job": set(),
    "logging": set(),
    "crash": {"job", "gpu", "terminal"},
    "model": {"trace", "analysis", "job", "files"},
    "view": {"trace", "analysis", "files"},
    "table": {"trace", "analysis", "view", "files", "job"},
    "gpu": {"trace", "analysis", "view"},
    "record": {"gpu", "view", "job", "trace", "files", "terminal"},
    "ui": {"edit", "view", "gpu", "analysis", "job", "record", "model", "table", "trace", "settings", "files", "terminal", "crash"},
    "settings": {"view", "analysis", "model", "trace", "files"},
    "cli": {"trace", "analysis", "edit", "job", "model", "view", "table", "gpu", "record", "ui", "settings", "files", "terminal", "crash"},
}

# Every module may use these.
UTILITIES = {"logging"}

# crate (or path) → the only places that may name it
ONLY_IN: dict[str, tuple[str, ...]] = {
    r"\bort::": ("model/session",),
    r"\btokenizers::": ("model/tokenizer",),
    r"\b(arrow_\w+|parquet|csv|tar)::": ("table/",),
    r"\bzstd::": ("table/", "model/remote/frame"),
    r"\begui(_\w+)?::": ("ui/",),
    r"\bwinit::": ("ui/", "gpu/target"),
    r"\bwgpu::": ("gpu/", "ui/", "cli/doctor"),
    # Texts from anywhere go through the filter of control characters.
    r"\bio::std(out|err)\(\)|\be?print(ln)?!": ("terminal",),
    r"\bCommand::new\b": ("record/encoder", "model/session", "model/template", "model/remote/process"),
}

# type → the only places of `src/ui` that may name it: panels send intents, commands change the app.
UI_ONLY_IN: dict[str, tuple[str, ...]] = {
    r"\bApp\b": (
        "ui/app", "ui/commands/", "ui/frame", "ui/headless", "ui/window", "ui/window_bench", "ui/mod", "ui/command_table",
    ),
    r"&mut App\b": ("ui/app", "ui/commands/", "ui/frame", "ui/headless", "ui/window"),
}

USE = re.compile(r"\bcrate::(\w+)|\bvlmscope::(\w+)")


def breaches() -> list[str]:
    found: list[str] = []
    graph = Graph(SOURCE, "vlmscope")
    for path in sorted(SOURCE.rglob("*.rs")):
        relative = path.relative_to(SOURCE).as_posix()
        module = relative.split("/")[0].removesuffix(".rs")
        text = NOISE.sub(" ", path.read_text(encoding="utf-8"))
        if module not in {"lib", "main"}:
            allowed = ARROWS.get(module)
            if allowed is None:
                found.append(f"src/{relative}: module `{module}` has no arrows in scripts/check_arrows.py")
                continue
            named = {match.group(1) or match.group(2) for match in USE.finditer(text)} | graph.modules_named(relative)
            for used in sorted(named):
                if used in ARROWS and used != module and used not in allowed | UTILITIES:
                    found.append(f"src/{relative}: `{module}` must not use `{used}`")
        for pattern, places in ONLY_IN.items():
            if re.search(pattern, text) and not relative.startswith(places):
                found.append(f"src/{relative}: {pattern} belongs in {', '.join(places)} only")
        for pattern, places in UI_ONLY_IN.items():
            if relative.startswith("ui/") and re.search(pattern, text) and not relative.startswith(places):
                found.append(f"src/{relative}: {pattern} belongs in {', '.join(places)} only; panels see a PaneContext")
    return found + cycles(graph) + unpaired_passes() + unmapped_folders()


def cycles(graph: Graph) -> list[str]:
    """One line for each set of files that import each other in a circle, with the imports that make it."""
    edges = graph.uses()
    found = []
    for component in components(edges):
        imports = [
            f"    src/{name} uses src/{used} ({path})"
            for name in component
            for used, path in sorted(edges[name].items())
            if used in component
        ]
        found.append("\n".join([f"src/{component[0]}: {len(component)} files import each other in a circle:", *imports]))
    return found


def unpaired_passes() -> list[str]:
    """One pass = one Rust file and at least one WGSL file whose name starts with its stem."""
    passes = {path.stem for path in (SOURCE / "gpu" / "passes").glob("*.rs")} - {"mod", "text"}
    shaders = {path.stem for path in (ROOT / "shaders").glob("*.wgsl")}
    found = [f"src/gpu/passes/{stem}.rs has no shaders/{stem}.wgsl" for stem in sorted(passes - shaders)]
    orphans = {stem for stem in shaders if not any(stem == p or stem.startswith(p + "_") for p in passes)}
    return found + [f"shaders/{stem}.wgsl has no src/gpu/passes/{stem}.rs" for stem in sorted(orphans)]


def unmapped_folders() -> list[str]:
    """ARCHITECTURE.md names every module that exists, and none that does not."""
    text = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`src/(\w+)(?:/|\.rs)`", text)) - {"main", "lib"}
    real = {path.stem for path in SOURCE.iterdir() if path.is_dir() or path.suffix == ".rs"} - {"main", "lib"}
    return [f"ARCHITECTURE.md does not name `src/{name}/`" for name in sorted(real - named)] + [
        f"ARCHITECTURE.md names `src/{name}/`, which does not exist" for name in sorted(named - real)
    ]


if __name__ == "__main__":
    lines = breaches()
    print("\n".join(lines) if lines else "arrows: every module stays within its map; no cycle of imports")
    sys.exit(1 if lines else 0)
