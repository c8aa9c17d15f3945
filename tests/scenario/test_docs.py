"""The documentation is true: every workflow in it loads and runs, every command works, every table is the program's.

Blocks of a page run in one directory, in order. A YAML block that begins with `# NAME` is saved under that name first;
one with the key `workflow` is validated (no warnings) and run with --mock; `sh` blocks are run by a shell that stops at
the first failure. A line that ends in `# exit N` must exit so. Comments right before a block change this:

    <!-- run: ARGUMENTS -->    further arguments of `treadle run`      <!-- fixtures: FILE -->  --mock FILE
    <!-- before: COMMANDS -->  shell commands to run first             <!-- exit: N -->         how the run ends
    <!-- not run: REASON -->   only looked at; for what needs keys, a network, or the whole repository
"""
import json
import os
import pathlib
import re
import shlex
import subprocess

import pytest

from conftest import ROOT, program

PAGES = [ROOT / "README.md", ROOT / "ARCHITECTURE.md", *sorted((ROOT / "docs").glob("*.md"))]
EXCERPTS = {"cli.md"}  # the help texts, whose examples are of made-up files; test_cli.py tests the commands
CONFINED = {"README.md", "sandbox.md"}  # show what only the strict sandbox does
TABLES = [page for page in PAGES if "<!-- table: " in page.read_text()]  # made by tools/gen_step_docs.c
LAYERS = sorted(path.name for path in (ROOT / "src").iterdir())
BLOCK = re.compile(r"((?:^<!-- [^\n]* -->\n)*)^```(\w*)\n(.*?)^```$", re.M | re.S)


def sections(text):
    """(level, heading, text) of each, without what only looks like a heading inside of a block."""
    found, inside = [], False
    for line in text.split("\n"):
        inside ^= line.startswith("```")
        heading = None if inside else re.match(r"(#+) (.*)", line)
        if heading:
            found.append([len(heading[1]), heading[2], ""])
        elif found:
            found[-1][2] += line + "\n"
    return found


def step_types():
    text = (ROOT / "docs/language.md").read_text()
    return re.findall(r"^\| \[`(\w+)`\]\(([\w.-]+)#\w+\)", text, re.M)


@pytest.mark.parametrize("kind, page", step_types())
def test_every_step_type_is_told_whole(kind, page):
    """Purpose, keys, result, errors, and an example that runs (as all of them do)."""
    all_of_page = sections((ROOT / "docs" / page).read_text())
    at = next(i for i, (_, heading, _) in enumerate(all_of_page) if heading == kind)
    level, _, text = all_of_page[at]
    purpose = text.split("<!-- table")[0].strip()
    alone = sum(known == page for _, known in step_types()) == 1  # then other sections are about it too
    for deeper, heading, more in all_of_page[at + 1:]:
        if deeper <= level and not alone:
            break
        text += f"{heading}\n{more}"
    examples = [code for _, language, code in BLOCK.findall(text) if re.search(rf"\btype: {kind}\b", code)]
    assert len(purpose) > 30, purpose
    assert f"<!-- table: keys {kind} -->" in text
    prose = re.sub(r"^\|.*$", "", BLOCK.sub("", text), flags=re.M)  # rows of keys and examples do not count
    assert re.search(r"\b[Rr]esult", prose), "what it returns"
    assert re.search(r"\bfail(s|ed)?\b|\berrors?\b|\bclass\b", prose), "how it fails"
    assert any("workflow:" in code for code in examples), "an example"


def test_there_are_all_step_types():
    schema = json.loads((ROOT / "docs/workflow.schema.json").read_text())
    known = [name.removeprefix("step_") for name, one in schema["definitions"].items()
             if name.startswith("step_") and "properties" in one]
    assert sorted(kind for kind, _ in step_types()) == sorted(known)


def blocks(path):
    for comments, language, text in BLOCK.findall(path.read_text()):
        marks = dict(re.match(r"<!-- ([\w ]+?)(?:: (.*?))? -->", line).groups() for line in comments.splitlines())
        name = re.match(r"# ([\w.-]+\.ya?ml)\n", text)
        yield marks, language, text, name and name.group(1)


def script(text):
    """A shell script that ends at the first line that does not exit as it says."""
    lines = ["set -eu"]
    for line in text.splitlines():
        wanted = re.search(r"\s# exit (\d+)$", line)
        if wanted:
            code = wanted.group(1)
            line = f"rc=0; {line[:wanted.start()]} || rc=$?; [ $rc = {code} ] || {{ echo \"exit $rc\"; exit 99; }}"
        lines.append(line)
    return "\n".join(lines) + "\n"


def shell(treadle, text, **more):
    done = subprocess.run(["bash", "-c", text], env=treadle.env, cwd=treadle.cwd, stdin=subprocess.DEVNULL,
                          capture_output=True, text=True, timeout=120, **more)
    assert done.returncode == 0, f"{text}\nexit {done.returncode}\n{done.stdout}\n{done.stderr}"


def run_workflow(treadle, name, marks):
    checked = treadle("validate", name)
    assert checked.code == 0 and not checked.err, checked
    fixtures = [marks["fixtures"]] if "fixtures" in marks else []
    wanted = int(marks.get("exit", 0))
    result = treadle("run", name, "--mock", *fixtures, "--json", *shlex.split(marks.get("run", "")), code=wanted)
    if wanted == 0 and "\n  output:" in (treadle.cwd / name).read_text():
        assert result.json["output"] not in (None, ""), result


@pytest.mark.parametrize("page", [pytest.param(p, marks=[pytest.mark.strict] if p.name in CONFINED else [])
                                  for p in PAGES if p.name not in EXCERPTS], ids=lambda p: p.name)
def test_examples_work(page, treadle, tmp_path):
    names = tmp_path / "bin"
    names.mkdir()
    (names / "treadle").symlink_to(treadle.path)
    treadle.env["PATH"] = f"{names}:{treadle.env['PATH']}"
    found = [b for b in blocks(page) if "not run" not in b[0]]
    for number, (_, language, text, name) in enumerate(found):
        if language == "yaml" and (name or re.search(r"^workflow:", text, re.M)):
            treadle.file(name or f"block{number}.yaml", text)
    for number, (marks, language, text, name) in enumerate(found):
        if "before" in marks:
            shell(treadle, marks["before"])
        if language == "yaml" and re.search(r"^workflow:", text, re.M):
            run_workflow(treadle, name or f"block{number}.yaml", marks)
        elif language == "sh":
            shell(treadle, script(text))


def test_blocks_are_recognised():
    counts = {page.name: [b[1] for b in blocks(page)] for page in PAGES}
    assert counts["language.md"].count("yaml") >= 9 and counts["steps-flow.md"].count("yaml") >= 8
    assert "sh" in counts["README.md"] and counts["testing.md"].count("sh") >= 3
    for page in PAGES:  # a fence that the pattern misses would silently not be tested
        assert len(re.findall(r"^```", page.read_text(), re.M)) == 2 * len(counts[page.name]), page


def test_a_wrong_exit_is_noticed(treadle):
    shell(treadle, script("true\n(exit 3)   # exit 3\n"))
    with pytest.raises(AssertionError):
        shell(treadle, script("(exit 2)   # exit 3\n"))
    with pytest.raises(AssertionError):
        shell(treadle, script("false\ntrue\n"))


def test_tables_are_those_of_the_program(tmp_path):
    tool = program("gen_step_docs")
    done = subprocess.run([tool, "--check", *TABLES], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    # And the check can fail: a table that somebody edited, or one of a thing that is gone.
    page = tmp_path / "page.md"
    text = (ROOT / "docs/steps-flow.md").read_text()
    edited = ("| `max_iterations` |", "| `max_iteration` |")
    gone = ("<!-- table: keys for_loop -->", "<!-- table: keys four_loop -->")
    for change in (edited, gone):
        assert change[0] in text
        page.write_text(text.replace(*change, 1))
        assert subprocess.run([tool, "--check", page], capture_output=True).returncode == 1


def anchors(text):
    """What GitHub makes of the headings."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", text, flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"https?:", target):
            continue
        path, _, anchor = target.partition("#")
        there = page if not path else pathlib.Path(os.path.normpath(page.parent / path))
        assert there.exists(), f"{target}: no such file"
        if anchor:
            assert anchor in anchors(there.read_text()), f"{target}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_rows_have_as_many_cells_as_their_head(page):
    """A bar in a cell ends it, also inside of backticks."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S)
    for table in re.findall(r"(?:^\|[^\n]*\|\n)+", text, re.M):
        counts = [len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()]
        for row, count in zip(table.splitlines(), counts):
            assert count == counts[0], row


def test_named_files_exist():
    """Paths of the source in ARCHITECTURE.md and the tests named in reliability.md."""
    for page in (ROOT / "ARCHITECTURE.md", ROOT / "docs/reliability.md"):
        for path in re.findall(r"`((?:src|tests|tools|docs|examples|bench|" + "|".join(LAYERS) + r")/[\w./]+\.\w+)`",
                               page.read_text()):
            known = (ROOT / path).exists() or (ROOT / "src" / path).exists()
            assert known, f"{page.name}: {path} does not exist"


def test_every_error_class_has_its_remedy():
    classes = re.findall(r'^X\(RC_\w+,\s+"(\w+)"', (ROOT / "src/base/err.def").read_text(), re.M)
    headings = re.findall(r"^### `(\w+)`$", (ROOT / "docs/troubleshooting.md").read_text(), re.M)
    assert headings == [name for name in classes if name != "ok"]


def test_every_command_is_named():
    page = (ROOT / "README.md").read_text()
    listed = re.search(r"^Commands: `([\w ]+)`", page, re.M).group(1).split()
    table = re.search(r"#define COMMANDS\(X\)(.*?)\n\n", (ROOT / "src/cli/commands.h").read_text(), re.S).group(1)
    assert sorted(listed) == sorted(re.findall(r"X\((\w+)\)", table))


def test_every_variable_of_the_environment_is_named():
    """In the table of docs/cli.md: what the program reads by name. Some are between its own processes, or for tests."""
    table = re.search(r"^## Environment$(.*?)^## ", (ROOT / "docs/cli.md").read_text(), re.M | re.S).group(1)
    own = {"TREADLE_FAULT", "TREADLE_SERVE_HANDED", "TREADLE_LIBRARY"}
    found = {name for path in (ROOT / "src").rglob("*.[ch]")
             for name in re.findall(r'"((?:TREADLE|ANTHROPIC|GEMINI|OPENAI|GOOGLE|CLAUDE|PIPELINE)_[A-Z_]+)"',
                                    path.read_text())}
    assert len(found) > 15 and own <= found
    assert {name for name in found - own if f"`{name}`" not in table} == set()


def test_tests_named_as_proof_exist():
    page = (ROOT / "docs/reliability.md").read_text()
    for path, names in re.findall(r"`(tests/[\w/.]+)` \((`[^)]*`)\)", page):
        for name in re.findall(r"`(\w+)`", names):
            assert re.search(rf"\b{name}\b", (ROOT / path).read_text()), f"{path} has no {name}"
