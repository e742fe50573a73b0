#!/usr/bin/env python3
"""Finds the statements with co_await that g++ 12 miscompiles: those that also contain a braced
temporary, a lambda or a ?: (src/loop/task.h). It reads tokens, not types, so it also finds harmless
ones of the same shape; name the value first, and both compilers and readers are served.
./dev lint looks for the same in the syntax tree.

Run with the repository's root, or with --self-test.
"""
import re
import sys
from pathlib import Path

TOKEN = re.compile(
    r'R"(?P<d>[^()\s]*)\(.*?\)(?P=d)"|"(?:\\.|[^"\\\n])*"'  # string literals
    r"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'"  # character literals, not digit separators
    r"|//[^\n]*|/\*.*?\*/|^[ \t]*#(?:\\\n|[^\n])*"  # comments, preprocessor lines
    r"|[A-Za-z_]\w*|::|->|[^\s\w]|\d[\w.']*", re.S | re.M)
BLOCK_BEFORE = {")", "else", "do", "try", "{", "}", ";", ":", "const", "noexcept", "override", "final",
                "mutable"}


class Statement:
    """What one statement has shown so far. Nested blocks are statements of their own."""

    def __init__(self):
        self.words = []
        self.line = 0
        self.awaits = False
        self.found = []

    def add(self, token, line):
        self.line = self.line or line
        self.words.append(token)
        if token == "co_await":
            self.awaits = True
            self.line = line
        elif token == "?":
            self.found.append("a conditional (?:)")


class Reader:
    def __init__(self, text):
        self.tokens = []
        line, at = 1, 0
        for match in TOKEN.finditer(text):
            line += text.count("\n", at, match.start())
            at = match.start()
            token = match.group()
            if token.startswith(("//", "/*", "#")) or token.lstrip().startswith("#"):
                continue
            literal = token[0] in "\"'" or token.startswith('R"')
            self.tokens.append(("literal" if literal else token, line))
        self.at = 0
        self.problems = []

    def finish(self, statement):
        if statement.awaits:
            for what in dict.fromkeys(statement.found):
                self.problems.append((statement.line, what))

    def read_block(self):
        """Reads statements up to the closing brace of this block, or the end of the file."""
        statement, depth = Statement(), 0
        while self.at < len(self.tokens):
            token, line = self.tokens[self.at]
            self.at += 1
            if token == "}":
                break
            if token == "{":
                if depth == 0 and not self.initialises(statement):
                    self.finish(statement)
                    statement = Statement()
                    self.read_block()
                elif self.is_lambda_body(statement):
                    statement.found.append("a lambda")
                    statement.add(token, line)
                    self.read_block()
                    statement.add("}", line)
                else:
                    # The braces of a variable's own initialiser make no temporary.
                    if depth > 0 or not self.names_variable(statement):
                        statement.found.append("a braced temporary")
                    self.read_braced(statement)
                continue
            if token == ";":
                # In a for or if header each part is a full expression of its own.
                self.finish(statement)
                statement = Statement()
                continue
            if token in "([":
                depth += 1
            elif token in ")]":
                depth -= 1
            statement.add(token, line)
        self.finish(statement)

    def read_braced(self, statement):
        """Reads a braced initialiser: what it contains belongs to the statement around it."""
        statement.add("{", self.tokens[self.at - 1][1])
        while self.at < len(self.tokens):
            token, line = self.tokens[self.at]
            self.at += 1
            if token == "}":
                break
            if token == "{":
                if self.is_lambda_body(statement):
                    statement.found.append("a lambda")
                    statement.add(token, line)
                    self.read_block()
                    statement.add("}", line)
                else:
                    statement.found.append("a braced temporary")
                    self.read_braced(statement)
                continue
            statement.add(token, line)
        statement.add("}", line)

    @staticmethod
    def initialises(statement):
        """At the depth of the statement itself: is this brace part of an expression?"""
        words = statement.words
        if not words or words[0] in ("namespace", "struct", "class", "enum", "union", "extern", "template"):
            return False
        if Reader.is_lambda_body(statement):
            return True
        if words[-1] in BLOCK_BEFORE:
            return False
        return bool({"=", "return", "co_return", "co_await", "co_yield"} & set(words))

    @staticmethod
    def names_variable(statement):
        return not ({"=", "return", "co_return", "co_await"} & set(statement.words))

    @staticmethod
    def is_lambda_body(statement):
        """Does the text before this brace end in a lambda's introducer?"""
        words, at = statement.words, len(statement.words) - 1
        # A trailing return type and specifiers stand between the parameters and the body.
        arrow = at
        while arrow >= 0 and words[arrow] not in ("->", "{", "}", ";", "="):
            arrow -= 1
        if arrow > 0 and words[arrow] == "->" and words[arrow - 1] in (")", "]", "mutable", "noexcept"):
            between = words[arrow + 1:]
            if between.count("(") == between.count(")"):
                at = arrow - 1
        while at >= 0 and words[at] in ("mutable", "noexcept", "constexpr"):
            at -= 1
        if at >= 0 and words[at] == ")":
            at = Reader.opening(words, at, "(", ")") - 1
        if at < 0 or words[at] != "]":
            return False
        at = Reader.opening(words, at, "[", "]")
        # An index follows a value; a lambda follows anything else.
        return at == 0 or not re.match(r"[\w)\]]", words[at - 1]) or words[at - 1] in ("return", "co_return")

    @staticmethod
    def opening(words, at, left, right):
        depth = 0
        while at >= 0:
            depth += (words[at] == right) - (words[at] == left)
            if depth == 0:
                return at
            at -= 1
        return 0


def problems_in(text):
    reader = Reader(text)
    while reader.at < len(reader.tokens):
        reader.read_block()
    return reader.problems


BROKEN = [
    ("auto r = co_await send(Message{1});", "braced"),
    ("auto r = co_await send({1, 2});", "braced"),
    ("co_await send(std::vector<int>{1});", "braced"),
    ("x = Foo{co_await f()};", "braced"),
    ("co_return Foo{co_await f()};", "braced"),
    ("co_await offload(loop, [a] { return a; });", "lambda"),
    ("co_await offload(loop, [a](int b) mutable -> Result<int> { return a; });", "lambda"),
    ("auto r = x ? co_await a() : co_await b();", "conditional"),
    ("if (auto r = co_await f(X{}); !r) { g(); }", "braced"),
    ("auto work = [] { co_await send(X{}); };", "braced"),
    ("void f() { if (a) { co_await g(b ? 1 : 2); } }", "conditional"),
]
GOOD = [
    "Message m{1}; auto r = co_await send(std::move(m));",
    "auto work = [a](int b) -> Task<void> { co_await f(b); }; co_await offload(loop, std::move(work));",
    "if (auto r = co_await f(); !r) { x = a ? b : c; }",
    "while (!(co_await next())) { Foo{}.go(); }",
    "for (int i = 0; i < n; ++i) { co_await f(a[i]); }",
    "Task<Result<int>> f() { int x{0}; co_await g(); co_return x; }",
    'co_await f("a ? {b} : [c]{}"); // co_await g(X{})',
    "struct A { Task<void> f() const { co_await g(); } int x{0}; };",
    "Result<int> r{co_await f()};",
    "switch (co_await f()) { case 1: { Foo{}; break; } default: g(a ? 1 : 2); }",
    "auto r = co_await f(1'000'000, 'x', '?');",
    "do { co_await f(); } while (a ? b : c);",
    "group.spawn([](Loop& l) -> Task<void> { co_await sleep_for(l, 1); }(loop));",
]


def self_test():
    failures = []
    for text, expected in BROKEN:
        found = problems_in(text)
        if not any(expected in what for _, what in found):
            failures.append(f"not found ({expected}): {text}: {found}")
    for text in GOOD:
        found = problems_in(text)
        if found:
            failures.append(f"false alarm: {text}: {found}")
    return failures


def check_tree(root):
    problems = []
    for top in ("src", "roles"):
        for path in sorted((root / top).rglob("*")):
            if path.suffix in (".h", ".cc", ".cpp"):
                for line, what in problems_in(path.read_text()):
                    problems.append(f"{path.relative_to(root)}:{line}: {what} in a statement with co_await: "
                                    "name the value first")
    return problems


if __name__ == "__main__":
    bad = self_test() if sys.argv[1] == "--self-test" else check_tree(Path(sys.argv[1]).resolve())
    for line in bad:
        print(line)
    print(f"{len(bad)} problems")
    sys.exit(1 if bad else 0)
