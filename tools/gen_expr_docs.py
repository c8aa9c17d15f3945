#!/usr/bin/env python3
"""Writes the function tables of docs/expressions.md from src/data/expr_functions.def.

    tools/gen_expr_docs.py            rewrite the page
    tools/gen_expr_docs.py --check    say whether it is up to date (exit 1 if not)
"""
import json
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
DEF = ROOT / "src/data/expr_functions.def"
PAGE = ROOT / "docs/expressions.md"
BEGIN = "<!-- functions: made by tools/gen_expr_docs.py from src/data/expr_functions.def -->\n"
END = "<!-- end of functions -->\n"
STRING = r'"(?:[^"\\]|\\.)*"'
ENTRY = re.compile(
    rf"^X\((?P<name>{STRING}), (?P<least>\d+), (?P<most>\d+), (?P<form>\w+), \w+, [^,]+, \w+,\s+(?P<group>{STRING}),"
    rf"\s+(?P<meaning>{STRING}),\s+(?P<example>{STRING}),\s+(?P<value>{STRING})\)$", re.MULTILINE)


def entries():
    text = re.sub(r"/\*.*?\*/", "", DEF.read_text(), flags=re.DOTALL)
    found = [{k: json.loads(v) if v.startswith('"') else v for k, v in m.groupdict().items()}
             for m in ENTRY.finditer(text)]
    if len(found) != len(re.findall(r"^X\(", text, re.MULTILINE)):
        sys.exit(f"{DEF}: an entry was not understood")
    return found


def cell(text):
    return text.replace("|", "\\|")


def code(text):
    return f"`{cell(text)}`"


def tables():
    out, group = [], None
    for e in entries():
        if e["group"] != group:
            group = e["group"]
            other = group == "Other spellings"
            out.append(f"\n### {group}\n\n| function | {'means' if other else 'meaning'} | example | gives |\n"
                       "|---|---|---|---|\n")
        value = json.dumps(json.loads(e["value"]), ensure_ascii=False)
        meaning = code(e["meaning"]) if group == "Other spellings" else cell(e["meaning"])
        out.append(f"| {code(e['name'])} | {meaning} | {code(e['example'])} | {code(value)} |\n")
    return "".join(out) + "\n"


def main():
    page = PAGE.read_text()
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    fresh = before + BEGIN + tables() + END + after
    if "--check" in sys.argv[1:]:
        if fresh != page:
            sys.exit(f"{PAGE.relative_to(ROOT)} is out of date: run tools/gen_expr_docs.py")
    else:
        PAGE.write_text(fresh)


if __name__ == "__main__":
    main()
