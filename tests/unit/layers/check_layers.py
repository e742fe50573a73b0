#!/usr/bin/env python3
"""Fails where an include breaks the layers of docs/architecture.md.

The order is read from src/meson.build, and must be the one that the table in docs/architecture.md shows.
Run with the repository's root; --self-test proves on small trees that each rule is enforced.
"""
import re
import sys
import tempfile
from pathlib import Path

ROLES = ("gateway", "bus", "host", "lighthouse", "loadbalancer")

# Which folder of src/ may include a dependency's headers; all of them only in .cc files, since they
# cost seconds in every file that sees them, and in a folder's private *_impl.h. None: any folder.
HEAVY = [
    (re.compile(r"^toml(11)?[./]"), "base"),
    (re.compile(r"^nlohmann/json\.hpp"), None),
    (re.compile(r"^uv(\.h|/)"), "loop"),
    (re.compile(r"^sodium(\.h|/)"), "crypto"),
    (re.compile(r"^openssl/"), "tls"),
    (re.compile(r"^llhttp\.h"), "http"),
    (re.compile(r"^nghttp2/"), "http"),
    (re.compile(r"^sqlite3\.h"), "store"),
    (re.compile(r"^archive(_entry)?\.h"), "service"),
    (re.compile(r"^zstd\.h"), None),  # bundles, and the packs of compressed streams
    (re.compile(r"^CLI/"), "ctl"),
    (re.compile(r"^catch2/"), "tests"),
]

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.M)


def layer_order(root):
    return re.findall(r"^subdir\('(\w+)'\)", (root / "src/meson.build").read_text(), re.M)


def documented_order(root):
    section = (root / "docs/architecture.md").read_text().split("## Layers", 1)[-1].split("\n## ", 1)[0]
    rows = re.findall(r"^\| *(\w+) *\|", section, re.M)
    return [row for row in rows if row != "folder"]


def without_comments(text):
    """Blanks comments, keeping line numbers, so that a commented-out include does not count."""
    return re.sub(r"/\*.*?\*/|//[^\n]*", lambda m: re.sub(r"[^\n]", " ", m.group()), text, flags=re.S)


class Checker:
    def __init__(self, root):
        self.root = root
        self.order = layer_order(root)
        self.problems = []

    def report(self, path, text, at, message):
        line = text.count("\n", 0, at) + 1
        self.problems.append(f"{path.relative_to(self.root)}:{line}: {message}")

    def check_tree(self):
        documented = documented_order(self.root)
        if documented != self.order:
            self.problems.append(
                "docs/architecture.md: its table of layers and src/meson.build differ: "
                f"{documented} and {self.order}")
        for top in ("src", "roles", "tests"):
            for path in sorted((self.root / top).rglob("*")):
                if path.suffix in (".h", ".cc", ".cpp") and "node_modules" not in path.parts:
                    self.check_file(path)
        return self.problems

    def check_file(self, path):
        text = without_comments(path.read_text())
        parts = path.relative_to(self.root).parts
        if path.suffix == ".h" and not re.search(r"^#pragma once$", text, re.M):
            self.report(path, text, 0, "a header begins with #pragma once")
        for match in INCLUDE.finditer(text):
            quote, name = match.groups()
            problem = self.heavy_problem(parts, path, name)
            if problem is None and quote == '"':
                problem = self.own_include_problem(parts, path, name)
            if problem:
                self.report(path, text, match.start(), problem)

    def heavy_problem(self, parts, path, name):
        for pattern, owner in HEAVY:
            if not pattern.match(name):
                continue
            private = path.name.endswith("_impl.h")
            helper = parts[0] == "tests" and owner == "tests"
            if path.suffix == ".h" and not private and not helper:
                return f"<{name}> belongs in .cc files only: forward-declare, or hide it behind a class"
            if parts[0] == "tests":
                return None
            if owner == "tests":
                return f"<{name}> is for tests only"
            if owner is not None and (parts[0] != "src" or parts[1] != owner):
                return f"<{name}> may be included in src/{owner} only: use what that folder offers"
        return None

    def own_include_problem(self, parts, path, name):
        if ".." in Path(name).parts:
            return f'"{name}": write the path from src/, or from the role\'s own folder'
        if (path.parent / name).exists() and parts[0] != "src":
            return None  # a role's or a test's own file
        if parts[0] == "roles" and len(parts) > 3 and (self.root / "roles" / parts[1] / name).exists():
            return None  # from a folder in the role
        if parts[0] == "roles" and len(parts) == 2:
            # The registry is the one place that names all roles.
            if (self.root / "roles" / name).exists() and path.name.startswith("registry."):
                return None
        folder = Path(name).parts[0]
        if name.endswith("_impl.h") and parts[1] != folder and parts[0] != "tests":
            return f'"{name}" is private to src/{folder}'
        if parts[:2] == ("src", "proto") and name.endswith(".pb.h"):
            return None  # generated into the build folder
        if parts[0] == "src" and len(parts) == 2:  # main.cpp
            return None if (self.root / "src" / name).exists() or name == "registry.h" else (
                f'"{name}": there is no such file in src/')
        if folder not in self.order:
            return self.foreign_problem(parts, name)
        if not (self.root / "src" / name).exists():
            return self.foreign_problem(parts, name)
        limit = self.highest_layer(parts)
        if limit is not None and self.order.index(folder) > self.order.index(limit):
            return f'"{name}": {"/".join(parts[:-1])} may use {limit} and what is above it, not {folder}'
        return None

    def highest_layer(self, parts):
        """The last layer that a file may use; None: every one."""
        if parts[0] == "src":
            return parts[1]
        if parts[:2] == ("tests", "unit") and parts[2] in self.order:
            return parts[2]
        return None

    def foreign_problem(self, parts, name):
        folder = Path(name).parts[0]
        if parts[:2] == ("tests", "unit") and parts[2].startswith("role_"):
            # A part of a role may have tests of its own: role_bus_streams.
            rest = parts[2].removeprefix("role_")
            role = next((r for r in ROLES if rest == r or rest.startswith(r + "_")), rest)
            if (self.root / "roles" / role / name).exists():
                return None
        if parts[0] == "tests":
            # Fuzz targets, benchmarks and helpers link whatever they are about.
            if parts[1] != "unit" and any((self.root / "roles" / r / name).exists() for r in ROLES):
                return None
            if any((p / name).exists() for p in (self.root / "tests", self.root / "tests/unit")):
                return None
        if folder in ROLES or folder == "roles":
            return f'"{name}": a role is seen by nobody but itself and roles/registry.cc'
        return f'"{name}": there is no such file in src/ or in this folder'


# Each: what is wrong, the file that does it, its text, a part of the message expected.
BROKEN = [
    ("a lower layer uses a higher one", "src/base/a.cc", '#include "http/h.h"', "not http"),
    ("a role uses another", "roles/host/a.cc", '#include "gateway/g.h"', "seen by nobody"),
    ("a role reaches out of its folder", "roles/host/a.cc", '#include "../gateway/g.h"', "from src/"),
    ("src uses a role", "src/http/a.cc", '#include "gateway/g.h"', "seen by nobody"),
    ("uv.h outside src/loop", "src/http/a.cc", "#include <uv.h>", "src/loop only"),
    ("a heavy header in a header", "src/base/a.h", "#pragma once\n#include <nlohmann/json.hpp>", ".cc files only"),
    ("a heavy header in a role", "roles/gateway/a.cc", "#include <llhttp.h>", "src/http only"),
    ("a private header used elsewhere", "src/http/a.cc", '#include "base/b_impl.h"', "private"),
    ("Catch2 in the product", "src/base/a.cc", "#include <catch2/catch_test_macros.hpp>", "tests only"),
    ("no #pragma once", "src/base/a.h", "int a();", "#pragma once"),
    ("a file that is not there", "src/base/a.cc", '#include "base/none.h"', "no such file"),
    ("a unit test above its layer", "tests/unit/base/a.cc", '#include "http/h.h"', "not http"),
    ("a unit test of one role uses another", "tests/unit/role_host/a.cc", '#include "g.h"', "no such file"),
    ("the documented order differs", "docs/architecture.md", "## Layers\n| base | |\n", "differ"),
]
GOOD = [
    ("src/http/a.cc", '#include "base/b.h"\n#include "http/h.h"\n#include <llhttp.h>'),
    ("src/base/a.cc", '// #include "http/h.h"\n/*\n#include <uv.h>\n*/'),
    ("src/http/a_impl.h", "#pragma once\n#include <llhttp.h>"),
    ("roles/gateway/a.cc", '#include "g.h"\n#include "http/h.h"'),
    ("roles/registry.cc", '#include "gateway/g.h"\n#include "http/h.h"'),
    ("tests/unit/role_gateway/a.cc", '#include "g.h"\n#include <catch2/catch_test_macros.hpp>'),
]
TREE = {
    "src/meson.build": "subdir('base')\nsubdir('http')\n",
    "docs/architecture.md": "## Layers\n| folder | what |\n| --- | --- |\n| base | |\n| http | |\n## Next\n",
    "src/base/b.h": "#pragma once\n",
    "src/http/h.h": "#pragma once\n",
    "roles/gateway/g.h": "#pragma once\n",
}


def problems_with(path, text):
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name, content in {**TREE, path: text}.items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(content)
        (root / "tests").mkdir(exist_ok=True)
        return Checker(root).check_tree()


def self_test():
    failures = []
    for what, path, text, expected in BROKEN:
        found = problems_with(path, text)
        if len(found) != 1 or expected not in found[0]:
            failures.append(f"{what}: expected one problem with '{expected}', got {found}")
    for path, text in GOOD:
        found = problems_with(path, text)
        if found:
            failures.append(f"{path} is right, yet: {found}")
    return failures


if __name__ == "__main__":
    bad = self_test() if sys.argv[1] == "--self-test" else Checker(Path(sys.argv[1]).resolve()).check_tree()
    for line in bad:
        print(line)
    print(f"{len(bad)} problems")
    sys.exit(1 if bad else 0)
