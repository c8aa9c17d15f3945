"""Mistakes in workflows that call one another: each is told once, in its own file, with the way down to it."""
import re
import time

HEAD = "workflow:\n  name: {}\n  steps:\n"
SAID = re.compile(r"^(\S+?\.yaml):(\d+):(\d+): error: (.*)$", re.M)


def tree(treadle, **files):
    for name, steps in files.items():
        path = treadle.cwd / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".yaml").write_text(HEAD.format(name.split("__")[-1]) + "".join(f"    - {s}\n" for s in steps))


def said(told):
    return [(name, int(line), int(col)) for name, line, col, _ in SAID.findall(told.err)]


def test_a_mistake_in_each_of_three_levels(treadle):
    tree(treadle,
         top=["{name: a, type: pipeline, pipeline_file: sub/mid.yaml}",
              "{name: b, type: pipeline, pipeline_file: sub/mid.yaml, config: {inherit_context: true}}",
              "{name: c, type: claude, promt: hi}"],
         sub__mid=["{name: one, type: pipeline, pipeline_file: deep.yaml}",
                   "{name: two, type: claude, prompt: \"{{ steps.zero.text }}\"}",
                   "{name: inn, type: pipeline, pipeline: {steps: [{name: bad, type: claud, prompt: x}, "
                   "{name: more, type: pipeline, pipeline_file: deep.yaml}]}}"],
         sub__deep=["{name: x, type: claude, prompt: hi}", "{name: y, type: test_eco, value: 1}"])
    told = treadle("validate", "top.yaml", code=2)
    assert said(told) == [
        ("sub/deep.yaml", 5, 23),
        ("sub/mid.yaml", 4, 50), ("sub/mid.yaml", 5, 45), ("sub/mid.yaml", 6, 72), ("sub/mid.yaml", 6, 135),
        ("top.yaml", 4, 48), ("top.yaml", 5, 48), ("top.yaml", 6, 31)]
    ways = [what for *_, what in SAID.findall(told.err) if "has mistakes (shown with it)" in what]
    assert [re.search(r"workflow (\S+) has", what).group(1) for what in ways] == [
        "sub/deep.yaml", "sub/deep.yaml", "sub/mid.yaml", "sub/mid.yaml"]


def test_what_only_one_caller_makes_a_mistake_is_told_too(treadle):
    tree(treadle,
         top=["{name: x, type: test_echo, value: 1}",
              "{name: a, type: pipeline, pipeline_file: mid.yaml, config: {inherit_context: true}}",
              "{name: b, type: pipeline, pipeline_file: mid.yaml}"],
         mid=["{name: one, type: test_echo, value: \"{{ steps.x }}\"}"])
    told = treadle("validate", "top.yaml", code=2)
    assert said(told) == [("mid.yaml", 4, 47), ("top.yaml", 6, 48)]


def test_stored_workflows(treadle):
    stored = treadle.home / "workflows"
    stored.mkdir(parents=True)
    (stored / "one.yaml").write_text(HEAD.format("one") + "    - {name: a, type: pipeline, pipeline_ref: deep/two}\n")
    (stored / "deep").mkdir()
    (stored / "deep/two.yaml").write_text(HEAD.format("two") + "    - {name: a, type: sleep, for: soon}\n")
    tree(treadle, top=["{name: a, type: pipeline, pipeline_ref: one}"])
    told = treadle("validate", "top.yaml", code=2)
    assert [(name.split("workflows/")[-1], line) for name, line, _ in said(told)] == [
        ("deep/two.yaml", 4), ("one.yaml", 4), ("top.yaml", 4)]


def test_a_missing_prompt_file_is_told_once(treadle):
    ask = "{name: ask, type: claude, prompt: [{type: file, path: missing.md}]}"
    tree(treadle,
         top=["{name: a, type: pipeline, pipeline_file: mid.yaml}",
              "{name: b, type: pipeline, pipeline_file: mid.yaml, "
              "config: {inherit_context: true}}", "{name: c, type: pipeline, pipeline_file: deep.yaml}"],
         mid=["{name: one, type: pipeline, pipeline_file: deep.yaml}"],
         deep=[ask])
    told = treadle("run", "top.yaml", "--mock", code=2)
    assert said(told) == [("deep.yaml", 4, 61)]


def test_many_ways_to_one_workflow(treadle):
    levels = 40
    for level in range(levels):
        last = level == levels - 1
        steps = ["{name: x, type: command, run: echo found}"] if last else [
            f"{{name: {k}, type: pipeline, pipeline_file: f{level + 1}{k}.yaml, condition: inputs.all}}" for k in "ab"]
        for k in "ab":
            tree(treadle, **{f"f{level}{k}": steps})
    began = time.monotonic()
    treadle("validate", "f0a.yaml", code=0)
    treadle("run", "f0a.yaml", "--input", "all=", "--mock", code=0)
    assert time.monotonic() - began < 20


def test_a_mistake_that_only_the_run_finds(treadle):
    tree(treadle,
         top=["{name: a, type: pipeline, pipeline_file: mid.yaml}"],
         mid=["{name: b, type: pipeline, pipeline_file: \"{{ 'de' + 'ep' }}.yaml\"}"],
         deep=["{name: y, type: test_eco, value: 1}"])
    told = treadle("run", "top.yaml", "--mock", "--json", code=1)
    error = told.json["error"]
    assert error["step"] == "a" and re.search(r"workflow `mid`: \S*deep.yaml:4:23: unknown step type", error["message"])
    assert error["code"] == "workflow"
    tree(treadle, deep=["{name: y, type: test_echo, value: \"{{ int('abc') }}\"}"])
    error = treadle("run", "top.yaml", "--mock", "--json", code=1).json["error"]
    assert re.search(r"workflow `mid`: workflow `deep`: \S*deep.yaml:4:\d+: ", error["message"]), error
