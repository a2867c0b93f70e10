"""Which Rust file of a crate uses which other, and the cycles among them.

A file uses another when it names an item that the other defines, whether through `use` (grouped, nested, renamed, `super::`,
`self::`), through a path in its code, or through a module that it has imported. A name that a module only re-exports
belongs to the file that defines it. `pub use` itself, `mod` declarations and code under `#[cfg(test)]` are not uses.
Calls of methods are not seen: they need no import.
"""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

Module = tuple[str, ...]  # ("view", "figure") is crate::view::figure

NOISE = re.compile(
    r"//[^\n]*"
    r"|/\*.*?\*/"
    r"|b?r(?P<hashes>#*)\".*?\"(?P=hashes)"
    r"|b?\"(?:\\.|[^\"\\])*\""
    r"|b?'(?:\\(?:x[0-9a-fA-F]{2}|u\{[0-9a-fA-F_]+\}|.)|[^\\'\n])'",
    re.DOTALL,
)
DEFINES = {"const", "enum", "fn", "static", "struct", "trait", "type", "union"}
TOKEN = re.compile(r"r#\w+|\w+|::|[{}();,*#\[\]!]|\S")


@dataclass
class File:
    """What one file says, before names are resolved."""

    module: Module
    children: set[str] = field(default_factory=set)
    defined: set[str] = field(default_factory=set)
    # Each import: the module that it stands in, its path, the name that it binds ("*" for a glob), whether it is public.
    imports: list[tuple[Module, list[str], str, bool]] = field(default_factory=list)
    paths: list[tuple[Module, list[str]]] = field(default_factory=list)


def module_of(relative: Path) -> Module:
    """`view/figure/mod.rs` → ("view", "figure"); `lib.rs` → ()."""
    parts = list(relative.with_suffix("").parts)
    if parts[-1] in {"mod", "lib"}:
        parts.pop()
    return tuple(parts)


def use_tree(tokens: list[str], at: int, prefix: list[str]) -> tuple[list[tuple[list[str], str]], int]:
    """Reads one use tree from `at`: its leaves as (path, bound name), and the place after it."""
    path = list(prefix)
    while True:
        token = tokens[at]
        if token == "{":
            leaves: list[tuple[list[str], str]] = []
            at += 1
            while tokens[at] != "}":
                inner, at = use_tree(tokens, at, path)
                leaves += inner
                if tokens[at] == ",":
                    at += 1
            return leaves, at + 1
        if token == "*":
            return [(path, "*")], at + 1
        if token == "::":
            at += 1
            continue
        if token == "self" and path:
            at += 1
        else:
            path.append(token.removeprefix("r#"))
            at += 1
        if tokens[at] == "::":
            continue
        if tokens[at] == "as":
            return [(path, tokens[at + 1])], at + 2
        return [(path, path[-1])], at


def end_of_attribute(tokens: list[str], at: int) -> int:
    """The place after `#[…]` or `#![…]` that starts at `at`."""
    depth = 0
    for place in range(at, len(tokens)):
        depth += {"[": 1, "]": -1}.get(tokens[place], 0)
        if tokens[place] == "]" and depth == 0:
            return place + 1
    return len(tokens)


def end_of_item(tokens: list[str], at: int) -> int:
    """The place after the item that starts at `at`: its `;`, or the brace that closes its body."""
    depth = 0
    for place in range(at, len(tokens)):
        token = tokens[place]
        depth += {"{": 1, "(": 1, "[": 1, "}": -1, ")": -1, "]": -1}.get(token, 0)
        if depth == 0 and token in {";", "}"}:
            return place + 1
    return len(tokens)


def parse(text: str, module: Module) -> File:
    """Reads the imports and paths of one file."""
    found = File(module)
    tokens = TOKEN.findall(NOISE.sub(" ", text))
    tokens += [""] * 4
    inside: list[tuple[Module, int]] = [(module, 0)]  # inline modules and the depth at which each closes
    depth = at = 0
    public = False
    while at < len(tokens) - 4:
        token = tokens[at]
        current = inside[-1][0]
        if token == "#" and (tokens[at + 1] == "[" or tokens[at + 1 : at + 3] == ["!", "["]):
            end = end_of_attribute(tokens, at)
            if tokens[at + 1 : end] == ["[", "cfg", "(", "test", ")", "]"]:
                while tokens[end] == "#":
                    end = end_of_attribute(tokens, end)
                end = end_of_item(tokens, end)
            at = end
        elif token == "pub":
            public = True
            at += 1
            if tokens[at] == "(":
                while tokens[at] != ")":
                    at += 1
                at += 1
        elif token == "use":
            leaves, at = use_tree(tokens, at + 1, [])
            found.imports += [(current, path, name, public) for path, name in leaves]
            public = False
        elif token == "mod" and tokens[at + 2] == ";":
            if current == module:
                found.children.add(tokens[at + 1])
            public = False
            at += 3
        elif token == "mod" and tokens[at + 2] == "{":
            depth += 1
            inside.append(((*current, tokens[at + 1]), depth))
            public = False
            at += 3
        elif re.match(r"[A-Za-z_]", token):
            public = False
            if token in DEFINES and current == module:
                found.defined.add(tokens[at + 1])
            before = tokens[at - 1] if at else ""
            path = [token]
            at += 1
            while tokens[at] == "::" and re.match(r"\w", tokens[at + 1] or ""):
                path.append(tokens[at + 1])
                at += 2
            if len(path) > 1 and before not in {"::", "."}:
                found.paths.append((current, path))
        else:
            public = False
            depth += {"{": 1, "}": -1}.get(token, 0)
            if len(inside) > 1 and depth < inside[-1][1]:
                inside.pop()
            at += 1
    return found


class Graph:
    """The files of a crate and what they use."""

    def __init__(self, source: Path, crate: str) -> None:
        self.crate = crate
        self.files: dict[Module, File] = {}
        self.names: dict[Module, str] = {}
        for path in sorted(source.rglob("*.rs")):
            relative = path.relative_to(source)
            if relative.name == "main.rs" and len(relative.parts) == 1:
                continue
            module = module_of(relative)
            self.files[module] = parse(path.read_text(encoding="utf-8"), module)
            self.names[module] = relative.as_posix()
        self.exports: dict[Module, dict[str, list[tuple[Module, list[str]]]]] = defaultdict(lambda: defaultdict(list))
        self.bound: dict[Module, dict[str, tuple[Module, list[str]]]] = defaultdict(dict)
        for file in self.files.values():
            for current, path, name, public in file.imports:
                if public:
                    self.exports[current][name].append((current, path))
                self.bound[current][name] = (current, path)

    def absolute(self, current: Module, path: list[str]) -> list[str] | None:
        """`path` as seen from the module `current`, counted from the root of the crate; None where it leaves the crate."""
        parts = list(path)
        if parts[0] in {"crate", self.crate}:
            return parts[1:]
        if parts[0] in {"self", "super"}:
            base = list(current)
            while parts and parts[0] in {"self", "super"}:
                if parts.pop(0) == "super":
                    if not base:
                        return None
                    base.pop()
            return base + parts
        first = parts[0]
        file = self.files.get(current)
        if file and first in file.children:
            return [*current, *parts]
        if first in self.bound[current]:
            origin, target = self.bound[current][first]
            if target != path and target[0] != first:
                start = self.absolute(origin, target)
                return None if start is None else start + parts[1:]
        return None

    def definer(self, path: list[str], seen: frozenset[tuple[str, ...]] = frozenset()) -> Module | None:
        """The module that defines the item at an absolute path; None where the path names a module itself."""
        if tuple(path) in seen:
            return None
        seen = seen | {tuple(path)}
        length = next((n for n in range(len(path), -1, -1) if tuple(path[:n]) in self.files), None)
        if length is None:
            return None
        module, rest = tuple(path[:length]), path[length:]
        if not rest:
            return None
        for origin, target in self.exports[module].get(rest[0], []):
            start = self.absolute(origin, target)
            if start is None:
                return None  # a re-export of another crate
            if tuple(start) in self.files and len(rest) == 1:
                return None
            return self.definer(start + rest[1:], seen)
        for origin, target in self.exports[module].get("*", []):
            start = self.absolute(origin, target)
            if start and tuple(start) in self.files and rest[0] in self.files[tuple(start)].defined:
                return tuple(start)
        return module

    def modules_named(self, name: str) -> set[str]:
        """Modules at the root of the crate that a file names in any import or path, re-exports included."""
        module = module_of(Path(name))
        if module not in self.files:
            return set()
        file = self.files[module]
        starts = [self.absolute(current, path) for current, path, _, _ in file.imports]
        starts += [self.absolute(current, path) for current, path in file.paths]
        return {start[0] for start in starts if start}

    def uses(self) -> dict[str, dict[str, str]]:
        """File → the files that it uses, each with one path by which it does; all relative to the source folder."""
        edges: dict[str, dict[str, str]] = {name: {} for name in self.names.values()}
        for module, file in self.files.items():
            wanted: dict[Module, str] = {}
            for current, path, name, public in file.imports:
                start = self.absolute(current, path)
                if start is None or public:
                    continue
                if name == "*" and tuple(start) in self.files:
                    wanted.setdefault(tuple(start), "::".join([*path, "*"]))
                elif (target := self.definer(start)) is not None:
                    wanted.setdefault(target, "::".join(path))
            for current, path in file.paths:
                start = self.absolute(current, path)
                if start is not None and (target := self.definer(start)) is not None:
                    wanted.setdefault(target, "::".join(path))
            edges[self.names[module]] = {self.names[target]: path for target, path in wanted.items() if target != module}
        return edges


def components(edges: dict[str, dict[str, str]]) -> list[list[str]]:
    """Sets of files that use each other in a circle (strongly connected components of more than one file)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []
    for root in sorted(edges):
        if root in index:
            continue
        work = [(root, iter(sorted(edges[root])))]
        index[root] = low[root] = len(index)
        stack.append(root)
        while work:
            node, rest = work[-1]
            following = next(rest, None)
            if following is None:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    component = []
                    while True:
                        component.append(stack.pop())
                        if component[-1] == node:
                            break
                    if len(component) > 1:
                        found.append(sorted(component))
            elif following not in index:
                index[following] = low[following] = len(index)
                stack.append(following)
                work.append((following, iter(sorted(edges[following]))))
            elif following in stack:
                low[node] = min(low[node], index[following])
    return sorted(found)
