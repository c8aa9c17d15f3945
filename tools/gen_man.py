#!/usr/bin/env python3
"""Writes the manual pages from the documentation: treadle(1) and treadle-workflow(5).

    tools/gen_man.py DIRECTORY VERSION      writes treadle.1 and treadle-workflow.5 there

The pages of docs/ are their only source; what is generated there (the commands' help, the tables of keys) is thereby
also what the manual pages say. Understood is the Markdown that those pages use: headings, paragraphs, lists, tables,
blocks of code, `code`, **bold**, *emphasis* and links. Anything else would stand in the manual as it is written.

A table becomes a list of tagged paragraphs, as manual pages have them: the first cell of a row is the tag.
"""
import pathlib
import re
import sys

DOCS = pathlib.Path(__file__).resolve().parent.parent / "docs"
WORKFLOW = ["language", "expressions", "prompts", "steps-command", "steps-models", "steps-flow", "steps-state",
            "steps-files", "steps-data", "code", "workspaces", "older-files"]
TITLES = {f"{name}.md": re.match(r"# (.*)", (DOCS / f"{name}.md").read_text())[1] for name in WORKFLOW}


def escape(text):
    """Plain text as roff wants it; a minus stays one that can be copied."""
    return text.replace("\\", "\\e").replace("-", "\\-")


def inline(text, bold=False):
    """`code`, **bold**, *emphasis* and [links](…) of a line of prose."""
    back = "\\fB" if bold else "\\fR"
    out = []
    for piece in re.split(r"(``.+?``|`[^`]+`|\*\*.+?\*\*|(?<!\w)\*[^*\s][^*]*\*|\[[^\]]+\]\([^)\s]+\))", text):
        link = re.fullmatch(r"\[([^\]]+)\]\(([^)\s]+)\)", piece)
        if link:
            words, target = link.groups()
            if re.fullmatch(r"[\w-]+\.md", words):  # a page: of this manual, or not
                words = TITLES[words].upper() if words in TITLES else f"docs/{words}"
            out.append(inline(words, bold) + (f" <{escape(target)}>" if target.startswith("http") else ""))
        elif re.fullmatch(r"``.+``|`[^`]+`", piece):
            out.append(f"\\fB{escape(piece.strip('`').strip())}{back}")
        elif piece.startswith("**") and len(piece) > 4:
            out.append(f"\\fB{inline(piece[2:-2], True)}{back}")
        elif re.fullmatch(r"\*[^*]+\*", piece):
            out.append(f"\\fI{escape(piece[1:-1])}{back}")
        else:
            out.append(escape(piece))
    return "".join(out)


def guard(line):
    """A line that begins with a dot or a quote would be a request."""
    return "\\&" + line if line[:1] in (".", "'") else line


def cells(row):
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", row.strip()[1:-1])]


def table(rows):
    head, body = cells(rows[0]), [cells(row) for row in rows[2:]]
    for row in body:
        tag = re.sub(r"\[(`[^`]+`)\]\([^)]*\)", r"\1", row[0])
        yield ".TP"
        if head == ["key", "type", "default", "meaning"]:
            default = "" if not row[2] else ", required" if "required" in row[2] else f", default {row[2]}"
            yield guard(f"{inline(tag)} ({inline(row[1] + default)})")
            yield guard(inline(row[3]) or "\\&")
            continue
        yield guard(inline(tag) or "\\&")
        said = [inline(row[1])] + [f"{name[:1].upper()}{name[1:]}: {inline(cell)}." for name, cell in
                                   zip(map(inline, head[2:]), row[2:]) if cell]
        yield guard(" ".join(part for part in said if part) or "\\&")


def roff(text, headings):
    """Lines of roff for a page of Markdown; `headings` maps its levels to SH, SS or None (a line in bold)."""
    text = re.sub(r"^<!--.*?-->\n", "", text, flags=re.M | re.S)
    lines, at, fresh = text.splitlines(), 0, True  # fresh: a paragraph begins by itself
    while at < len(lines):
        line = lines[at]
        heading = re.match(r"(#+) (.*)", line)
        if line.startswith("```"):
            end = lines.index("```", at + 1)
            yield from (".PP", ".RS 4", ".nf")
            yield from (guard(escape(code)) for code in lines[at + 1:end])
            yield from (".fi", ".RE")
            at, fresh = end, False
        elif heading:
            macro = headings[len(heading[1])]
            words = inline(heading[2], True).replace('"', "\\(dq")
            if macro == "SH":
                words = re.sub(r"(\\\w|\\\(\w\w)|(\w)", lambda m: m[1] or m[2].upper(), words)
            yield from ([f'.{macro} "{words}"'] if macro else [".PP", f"\\fB{words}\\fR"])
            fresh = bool(macro)
        elif line.startswith("|"):
            end = next((i for i in range(at, len(lines)) if not lines[i].startswith("|")), len(lines))
            yield from table(lines[at:end])
            at, fresh = end - 1, False
        elif re.match(r"(- |\d+\. )", line):
            mark, words = re.match(r"(-|\d+\.) (.*)", line).groups()
            while at + 1 < len(lines) and lines[at + 1].startswith("  "):
                at += 1
                words += " " + lines[at].strip()
            yield ".IP \\(bu 2" if mark == "-" else f'.IP "{mark}" 4'
            yield guard(inline(words))
            fresh = False
        elif line.strip():
            words = line
            while at + 1 < len(lines) and lines[at + 1].strip() and not re.match(r"#+ |- |\||```", lines[at + 1]):
                at += 1
                words += " " + lines[at].strip()
            if not fresh:
                yield ".PP"
            yield guard(inline(words))
            fresh = False
        at += 1


def contents_dropped(page):
    """Without the lists of links that lead around in a page: a manual page is searched."""
    return re.sub(r"^- (?:[\w ]*: )?\[[^\n]*\]\(#[^\n]*\n(?:  \[[^\n]*\n)*", "", page, flags=re.M)


def page(name, section, version, title, synopsis, body, see_also):
    lines = ['.\\" Made by tools/gen_man.py from the pages in docs.',
             f'.TH {name} {section} "" "treadle {version}" "Treadle"', ".ad l", ".nh",
             ".SH NAME", title, *synopsis, *body, '.SH "SEE ALSO"', see_also]
    return "\n".join(lines) + "\n"


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: gen_man.py DIRECTORY VERSION")
    directory, version = pathlib.Path(sys.argv[1]), sys.argv[2]
    directory.mkdir(parents=True, exist_ok=True)
    cli = re.sub(r"\A# .*\n", "## Description\n", (DOCS / "cli.md").read_text())
    synopsis = [".SH SYNOPSIS", "\\fBtreadle\\fR \\fICOMMAND\\fR [\\fIarguments\\fR]", ".br",
                "\\fBtreadle help\\fR [\\fICOMMAND\\fR]"]
    (directory / "treadle.1").write_text(page(
        "TREADLE", 1, version, "treadle \\- run workflows of models, commands and files, durably", synopsis,
        roff(cli, {2: "SH", 3: "SS", 4: None}), ".BR treadle\\-workflow (5)"))
    pages = [contents_dropped((DOCS / f"{name}.md").read_text()) for name in WORKFLOW]
    body = [line for text in pages for line in roff(text, {1: "SH", 2: "SS", 3: None, 4: None})]
    (directory / "treadle-workflow.5").write_text(page(
        "TREADLE\\-WORKFLOW", 5, version, "treadle\\-workflow \\- the language of Treadle's workflows", [],
        body, ".BR treadle (1)"))


if __name__ == "__main__":
    main()
