"""Tests of the check for cycles of imports: python3 -m unittest discover -s scripts -p 'test_*.py'."""

from __future__ import annotations

import tempfile
import unittest
from pathlib import Path

from check_arrows import cycles
from import_graph import Graph, components


def graph_of(files: dict[str, str]) -> Graph:
    """The graph of a crate `demo` with these files."""
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder)
        for name, text in files.items():
            path = source / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        return Graph(source, "demo")


def uses(files: dict[str, str]) -> dict[str, set[str]]:
    return {name: set(used) for name, used in graph_of(files).uses().items() if used}


LIB = "mod a;\nmod b;\n"


class Edges(unittest.TestCase):
    def test_a_plain_import_is_a_use(self) -> None:
        files = {"lib.rs": LIB, "a.rs": "use crate::b::Thing;", "b.rs": "pub struct Thing;"}
        self.assertEqual(uses(files), {"a.rs": {"b.rs"}})

    def test_grouped_nested_and_renamed_imports(self) -> None:
        files = {
            "lib.rs": "mod a; mod b; mod c;",
            "a.rs": "use crate::{b::{Thing as Other, deep::{self, Inner}}, c::made};\n",
            "b/mod.rs": "pub mod deep;\npub struct Thing;",
            "b/deep.rs": "pub struct Inner;",
            "c.rs": "pub fn made() {}",
        }
        self.assertEqual(uses(files), {"a.rs": {"b/mod.rs", "b/deep.rs", "c.rs"}})

    def test_super_and_self(self) -> None:
        files = {
            "lib.rs": "mod a;",
            "a/mod.rs": "mod one;\nmod two;\npub struct Top;\nfn f() { self::one::go(); }",
            "a/one.rs": "use super::two::Two;\npub fn go() {}",
            "a/two.rs": "use super::super::a::Top;\npub struct Two;",
        }
        self.assertEqual(
            uses(files), {"a/mod.rs": {"a/one.rs"}, "a/one.rs": {"a/two.rs"}, "a/two.rs": {"a/mod.rs"}}
        )

    def test_a_path_in_code_and_through_an_imported_module(self) -> None:
        files = {
            "lib.rs": "mod a; mod b; mod c;",
            "a.rs": "use crate::b;\nfn f() -> u32 { b::number() + crate::c::NUMBER }",
            "b.rs": "pub fn number() -> u32 { 1 }",
            "c.rs": "pub const NUMBER: u32 = 1;",
        }
        self.assertEqual(uses(files), {"a.rs": {"b.rs", "c.rs"}})

    def test_importing_a_module_without_using_it_is_no_use(self) -> None:
        files = {"lib.rs": LIB, "a.rs": "use crate::b;", "b.rs": "pub struct Thing;"}
        self.assertEqual(uses(files), {})

    def test_a_re_export_belongs_to_the_file_that_defines_the_item(self) -> None:
        files = {
            "lib.rs": "mod a; mod b; pub use b::Inner;",
            "a.rs": "use crate::b::Inner;\nuse demo::Inner as Again;",
            "b/mod.rs": "mod deep;\npub use deep::Inner;",
            "b/deep.rs": "pub struct Inner;",
        }
        self.assertEqual(uses(files), {"a.rs": {"b/deep.rs"}})

    def test_a_glob_re_export(self) -> None:
        files = {
            "lib.rs": "mod a; mod b;",
            "a.rs": "use crate::b::{Inner, Own};",
            "b/mod.rs": "mod deep;\npub use deep::*;\npub struct Own;",
            "b/deep.rs": "pub struct Inner;",
        }
        self.assertEqual(uses(files), {"a.rs": {"b/deep.rs", "b/mod.rs"}})

    def test_tests_comments_and_strings_are_no_uses(self) -> None:
        files = {
            "lib.rs": LIB,
            "a.rs": (
                "// use crate::b::Thing;\n/* crate::b::Thing */\nconst TEXT: &str = \"crate::b::Thing\";\n"
                "const RAW: &str = r#\"crate::b::Thing \"quoted\"\"#;\nconst QUOTE: char = '\"';\n"
                "#[cfg(test)]\nmod tests {\n    use crate::b::Thing;\n    fn f() { let _ = [1, 2]; }\n}\n"
            ),
            "b.rs": "pub struct Thing;",
        }
        self.assertEqual(uses(files), {})

    def test_code_after_a_test_module_is_read(self) -> None:
        files = {
            "lib.rs": LIB,
            "a.rs": "#[cfg(test)]\n#[allow(dead_code)]\nmod tests { fn f() {} }\nuse crate::b::Thing;",
            "b.rs": "pub struct Thing;",
        }
        self.assertEqual(uses(files), {"a.rs": {"b.rs"}})

    def test_super_in_an_inline_module_is_its_file(self) -> None:
        files = {
            "lib.rs": LIB,
            "a.rs": "pub struct Own;\nmod inner { use super::Own; fn f() { super::super::b::go(); } }",
            "b.rs": "pub fn go() {}",
        }
        self.assertEqual(uses(files), {"a.rs": {"b.rs"}})

    def test_other_crates_are_no_uses(self) -> None:
        files = {"lib.rs": LIB, "a.rs": "use std::{fmt, b::Thing};\nfn f() { b::go(); }", "b.rs": "pub fn go() {}"}
        self.assertEqual(uses(files), {})

    def test_modules_at_the_root_are_named_through_groups(self) -> None:
        graph = graph_of({"lib.rs": LIB, "a.rs": "pub use crate::{b::{Thing}};", "b.rs": "pub struct Thing;"})
        self.assertEqual(graph.modules_named("a.rs"), {"b"})


class Cycles(unittest.TestCase):
    CIRCLE = {
        "lib.rs": "mod a; mod b; mod c; mod d;",
        "a.rs": "use crate::b::B; pub struct A;",
        "b.rs": "use super::c::C; pub struct B;",
        "c.rs": "use crate::{a::A}; pub struct C;",
        "d.rs": "use crate::a::A;",
    }

    def test_a_circle_of_three_is_found(self) -> None:
        self.assertEqual(components(graph_of(self.CIRCLE).uses()), [["a.rs", "b.rs", "c.rs"]])

    def test_a_cycle_is_told_with_its_imports(self) -> None:
        (line,) = cycles(graph_of(self.CIRCLE))
        self.assertIn("3 files import each other", line)
        self.assertIn("src/c.rs uses src/a.rs (crate::a::A)", line)
        self.assertNotIn("d.rs", line)

    def test_parent_and_child_may_form_a_cycle(self) -> None:
        files = {
            "lib.rs": "mod a;",
            "a/mod.rs": "mod child;\npub struct Top;\nfn f() { child::go(); }",
            "a/child.rs": "use super::Top;\npub fn go() {}",
        }
        self.assertEqual(components(graph_of(files).uses()), [["a/child.rs", "a/mod.rs"]])

    def test_a_facade_that_only_re_exports_is_no_cycle(self) -> None:
        files = {
            "lib.rs": "mod a;",
            "a/mod.rs": "mod one;\nmod two;\npub use one::One;\npub use two::Two;",
            "a/one.rs": "use super::Two;\npub struct One;",
            "a/two.rs": "pub struct Two;",
        }
        self.assertEqual(cycles(graph_of(files)), [])


if __name__ == "__main__":
    unittest.main()
