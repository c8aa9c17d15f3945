#!/usr/bin/env python3
"""Writes the reference part of docs/cli.md from what the program itself says with --help.

    tools/gen_cli_docs.py            rewrite the page
    tools/gen_cli_docs.py --check    say whether it is up to date (exit 1 if not)

The program is build/release/treadle; TREADLE_BUILD names another build directory.
"""
import os
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PROGRAM = pathlib.Path(os.environ.get("TREADLE_BUILD") or ROOT / "build" / "release") / "treadle"
PAGE = ROOT / "docs/cli.md"
BEGIN = "<!-- commands: made by tools/gen_cli_docs.py from --help -->\n"
END = "<!-- end of commands -->\n"


def say(*args):
    environment = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
    done = subprocess.run([PROGRAM, *args], capture_output=True, text=True, env=environment)
    if done.returncode:
        sys.exit(f"treadle {' '.join(args)}: exit {done.returncode}\n{done.stderr}")
    return done.stdout


def cell(text):
    return text.strip().replace("|", "\\|")


def section(name):
    """One command: its summary, synopsis, paragraphs, examples and options."""
    head, _, options = say("help", name).partition("\nOptions:\n")
    title, _, body = head.partition("\n\n")
    usage, _, details = body.strip().partition("\n\n")
    summary = title.partition(" - ")[2]
    prose, _, examples = details.partition("Examples:\n")
    usage = usage.removeprefix("Usage: ").strip()
    out = [f"### treadle {name}\n\n{summary[0].upper()}{summary[1:]}.\n\n```\n{usage}\n```\n"]
    if prose.strip():
        out.append(f"\n{prose.strip()}\n")
    rows = re.findall(r"^  ((?:-\w, |    )--\S+(?: \S+)?) +(.*)$", options, re.M)
    if len(rows) != len(options.strip().splitlines()):
        sys.exit(f"treadle help {name}: an option was not understood")
    out.append("\n| option | meaning |\n|---|---|\n")
    out += [f"| `{cell(option)}` | {cell(meaning)} |\n" for option, meaning in rows]
    if examples.strip():
        lines = "\n".join(line.removeprefix("  ") for line in examples.rstrip().splitlines())
        out.append(f"\n```text\n{lines}\n```\n")
    return "".join(out)


def reference():
    listing = re.findall(r"^  (\w+) +(.*)$", say("help").partition("\nFirst steps")[0], re.M)
    table = "".join(f"| [`{name}`](#treadle-{name}) | {cell(summary)} |\n" for name, summary in listing)
    sections = "\n".join(section(name) for name, _ in listing)
    return f"\n| command | what it does |\n|---|---|\n{table}\n{sections}\n"


def main():
    page = PAGE.read_text()
    before, rest = page.split(BEGIN)
    _, after = rest.split(END)
    fresh = before + BEGIN + reference() + END + after
    if "--check" in sys.argv[1:]:
        if fresh != page:
            sys.exit(f"{PAGE.relative_to(ROOT)} is out of date: run tools/gen_cli_docs.py")
    else:
        PAGE.write_text(fresh)


if __name__ == "__main__":
    main()
