#!/usr/bin/python3
"""What every file of the repository must and must not look like: length, white space, words, host names.

    tools/check_text.py              all files that git has or would add
    tools/check_text.py --self-test  proves that the checker still finds violations
"""
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
MAX_LINES = 1000  # of a source file
MAX_COLUMNS = 120
SOURCE = {".c", ".h", ".def", ".py", ".sh", ".sql"}
# Byte-exact or foreign files: only the words are checked.
VERBATIM = ("tests/fuzz/corpus/", "tests/json-schema-suite/", "LICENSE")
VERBATIM_SUFFIXES = {".sse", ".http", ".golden", ".patch"}

# Package registries are reached through their clients by package name. The names are in pieces so that this file
# passes its own check.
REGISTRIES = ["pypi" + ".org", "pythonhosted" + ".org", "npmjs" + ".org", "npmjs" + ".com", "yarnpkg" + ".com",
              "index.crates" + ".io", "static.crates" + ".io", "proxy.golang" + ".org", "sum.golang" + ".org",
              "repo1.maven" + ".org", "repo.maven" + ".apache.org", "deb.debian" + ".org",
              "security.debian" + ".org"]
# (pattern, which files, why): the repository speaks of the product, and what is left undone is not hidden in it.
WORDS = [
    (r"/work/" + r"(main|shared|\.library)\b|/tmp/" + r"brief\b", "all", "a path of one machine"),
    (r"(?i)co-authored" + r"-by:|generated (with|by) \[?(claude|chatgpt|copilot)", "all", "credits belong elsewhere"),
    (r"(?i)\bas an ai\b|\bai" + r"[- ](assistant|helper)", "all", "the repository speaks of the product"),
    (r"\b(TO" + r"DO|FIX" + r"ME|X" + r"XX|HA" + r"CK)\b", "source", "finish it or open a ticket"),
    (r"^(<<<<<<<|>>>>>>>) ", "all", "a merge left over"),
]


def check_text(path, text):
    suffix = pathlib.PurePath(path).suffix
    source = suffix in SOURCE and not path.startswith("examples/")
    for host in REGISTRIES:
        if host in text:
            yield f"{path}:{line_of(text, text.index(host))}: names the package registry {host}"
    for pattern, where, why in WORDS:
        if where == "source" and not source:
            continue
        match = re.search(pattern, text, re.M)
        if match:
            yield f"{path}:{line_of(text, match.start())}: '{match.group().strip()}': {why}"
    if path.startswith(VERBATIM) or suffix in VERBATIM_SUFFIXES:
        return
    if "\r" in text:
        yield f"{path}:{line_of(text, text.index(chr(13)))}: carriage return"
    if text and not text.endswith("\n"):
        yield f"{path}:{text.count(chr(10)) + 1}: no newline at the end"
    lines = text.splitlines()
    if source and len(lines) > MAX_LINES:
        yield f"{path}:{MAX_LINES}: {len(lines)} lines, more than {MAX_LINES}: split it"
    for number, line in enumerate(lines, 1):
        if line != line.rstrip() and suffix != ".md":
            yield f"{path}:{number}: white space at the end of the line"
        if source and "\t" in line and suffix != ".sh":
            yield f"{path}:{number}: tab"
        if suffix in (".py", ".sh") and len(line) > MAX_COLUMNS:  # of C, clang-format takes care
            yield f"{path}:{number}: {len(line)} columns, more than {MAX_COLUMNS}"


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


def files():
    """What git tracks or would add; without git or a repository, everything but build products."""
    try:
        out = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT,
                             capture_output=True, check=True).stdout
        names = [os.fsdecode(name) for name in out.split(b"\0") if name]
    except (OSError, subprocess.CalledProcessError):
        names = []
        for top, directories, here in os.walk(ROOT):
            directories[:] = [d for d in directories if d not in (".git", "build", "__pycache__", ".venv")]
            names += [os.path.relpath(os.path.join(top, name), ROOT) for name in here]
    return sorted(set(names))


def self_test():
    samples = [  # path, text, what the complaint must contain (None: none)
        ("src/a.c", "int x;\n", None),
        ("src/a.c", "int x;", "no newline"),
        ("src/a.c", "int x; \n", "white space"),
        ("src/a.c", "\tint x;\n", "tab"),
        ("src/a.c", "int x;\r\n", "carriage return"),
        ("src/a.c", "x\n" * 1001, "split it"),
        ("docs/a.md", "x\n" * 1001, None),
        ("src/a.py", "x" * 121 + "\n", "columns"),
        ("src/a.c", "/* TO" + "DO: later */\n", "finish it"),
        ("src/a.c", 'mkostemp("a.XXXXXX");\n', None),
        ("examples/a.py", "# TO" + "DO: the user's\n", None),
        ("docs/a.md", "see https://py" + "pi.org/x\n", "registry"),
        ("docs/a.md", "see /work/" + "shared/x\n", "path of one machine"),
        ("tests/fuzz/corpus/fuzz_sse/a", "data: x\r\n\r\n", None),
        ("tests/unit/stream.sse", "data: x\r\n\r\n", None),
    ]
    failed = 0
    for path, text, wanted in samples:
        found = list(check_text(path, text))
        good = not found if wanted is None else bool(found) and all(wanted in line for line in found[:1])
        if not good:
            failed += 1
            print(f"self-test: {path}: {text[:40]!r}: wanted {wanted!r}, got {found[:3]}", file=sys.stderr)
    print(f"check_text: self-test: {len(samples) - failed} passed, {failed} failed")
    return failed


def main():
    if sys.argv[1:] == ["--self-test"]:
        return 1 if self_test() else 0
    problems = []
    for name in files():
        path = ROOT / name
        if not path.is_file() or path.is_symlink():
            continue
        data = path.read_bytes()
        if b"\0" in data[:8000]:
            continue  # a picture, a database
        problems += check_text(name, data.decode("utf-8", errors="replace").replace("\u2028", " "))
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
