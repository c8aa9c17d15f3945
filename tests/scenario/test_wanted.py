"""What a workflow reads and nobody gives is told before its first step, all at once, unless its author asks for it."""
import json

import pytest

FIRST = {"name": "first", "type": "command", "run": "touch ran"}


def write(treadle, name, steps, **more):
    treadle.file(name, json.dumps({"workflow": {"name": "w", "steps": steps, **more}}, indent=1))
    return name


def echo(value, name="use", **more):
    return {"name": name, "type": "test_echo", "value": value, **more}


def started(treadle):
    return (treadle.cwd / "workspace/ran").exists()


def test_all_are_told_at_once_with_places_and_the_remedy(treadle):
    path = write(treadle, "w.yaml", [FIRST, echo("{{ inputs.one }} {{ inputs.two.x }} {{ inputs.one }}"),
                                     echo("{{ three }}", "older")])
    lines = (treadle.cwd / "w.yaml").read_text().split("\n")
    line = next(i for i, text in enumerate(lines, 1) if "inputs.one" in text)
    col = lines[line - 1].index("inputs.one") + 1
    refused = treadle("run", path, code=2)
    told = f"w.yaml:{line}:{col}: nothing gives what the workflow reads: inputs.one, inputs.two ({line}:"
    assert told + f"{lines[line - 1].index('inputs.two') + 1}), three (" in refused.err
    assert "--input one=… --input two=… --input three=…" in refused.err
    assert not started(treadle)
    assert "a run needs --input one=… --input two=…" in treadle("validate", path, code=0).out
    shown = treadle("run", "--help", path, code=0).out
    assert "--input one=VALUE --input two=VALUE" in shown and f"read at w.yaml:{line}:{col}" in shown
    treadle.file("in.json", '{"two": {"x": 2}}')
    got = treadle("run", path, "--inputs", "in.json", "--input", "one=1", "three=3", "--json", code=0).json
    assert got["results"]["use"] == "1 2 1" and got["results"]["older"] == "3"


def test_very_many_are_counted(treadle):
    path = write(treadle, "w.yaml", [echo(" ".join(f"{{{{ inputs.number_{i} }}}}" for i in range(300)))])
    said = treadle("run", path, code=2).err
    assert "reads: inputs.number_0, inputs.number_1 (" in said and " more; expected --input number_0=…" in said
    [line] = treadle("validate", path, code=0).out.splitlines()
    named = line.count("--input ")
    assert "a run needs --input number_0=… --input number_1=…" in line and len(line) < 600
    assert 10 < named < 40 and line.endswith(f"=… and {300 - named} more")


@pytest.mark.parametrize("value", [
    "{{ inputs.x || 'none' }}", "{{ default(inputs.x, 'none') }}", "{{ coalesce(inputs.x, 'none') }}",
    "{{ inputs.x exists ? inputs.x : 'none' }}", "{{ (inputs.x empty) ? 'none' : inputs.x.y }}",
    "{{ inputs.x exists and inputs.x > 3 || 'none' }}", "{{#if inputs.x}}{{ inputs.x }}{{else}}none{{/if}}",
    "{{ not (inputs.x exists) ? 'none' : inputs.x }}"])
def test_what_asks_wants_nothing(treadle, value):
    path = write(treadle, "w.yaml", [FIRST, echo(value)])
    assert treadle("run", path, "--json", code=0).json["results"]["use"] == "none"


@pytest.mark.parametrize("value", ["{{ inputs.x || 1 }} {{ inputs.x }}", "{{ inputs.y exists ? inputs.x : 1 }}",
                                   "{{ inputs.x ? inputs.x : 1 }}", "{{ map([1], (i) => i + inputs.x) }}"])
def test_what_asks_for_another_thing_does_not_help(treadle, value):
    path = write(treadle, "w.yaml", [FIRST, echo(value)])
    assert "reads: inputs.x; expected --input x=…" in treadle("run", path, code=2).err and not started(treadle)


def test_conditions_ask(treadle):
    path = write(treadle, "w.yaml", [
        echo("{{ inputs.x }}", condition="inputs.x > 3"),
        {"name": "both", "type": "switch", "condition": "inputs.y != null", "expression": "inputs.y",
         "cases": {"a": [echo("{{ inputs.y }}")]}}])
    got = treadle("run", path, "--json", code=0).json["results"]
    assert got["use"]["skipped"] and got["both"]["skipped"]
    assert treadle("run", path, "--input", "y=a", "--json", code=0).json["results"]["both"]["results"]["use"] == "a"


def test_a_variable_that_only_a_caller_could_set(treadle):
    path = write(treadle, "w.yaml", [FIRST, echo("{{ global_vars.given }}")])
    said = treadle("run", path, code=2).err
    assert "reads: global_vars.given; expected" in said and "`variables`" in said and not started(treadle)


CHILD = [echo("{{ inputs.x }}", "said")]


def call(**more):
    return {"name": "call", "type": "pipeline", **more}


def test_a_child_is_given_its_inputs_by_the_call(treadle):
    write(treadle, "child.yaml", CHILD)
    for called in ({"pipeline_file": "child.yaml"}, {"pipeline": {"name": "c", "steps": CHILD}}):
        for given in ({}, {"inputs": {"other": 1}}):
            path = write(treadle, "parent.yaml", [FIRST, call(**called, **given)])
            said = treadle("validate", path, code=2).err
            assert "nothing gives inputs.x, read first at " in said and "in `inputs` of the step" in said
        path = write(treadle, "parent.yaml", [call(**called, inputs={"x": "{{ 1 + 1 }}"})])
        assert treadle("run", path, "--json", code=0).json["results"]["call"]["said"] == 2


def test_a_child_that_a_run_comes_upon_is_asked_before_its_first_step(treadle):
    write(treadle, "child.yaml", [FIRST, *CHILD])
    path = write(treadle, "parent.yaml", [echo("child.yaml", "which"),
                                          call(pipeline_file="{{ steps.which.value }}", inputs={"y": 1})])
    failed = treadle("run", path, "--json", code=1)
    assert "nothing gives inputs.x, read first at " in failed.json["error"]["message"] and not started(treadle)


def test_a_callers_inputs_are_asked_for_where_they_are_the_childs(treadle):
    write(treadle, "child.yaml", CHILD)
    path = write(treadle, "parent.yaml", [FIRST, call(pipeline_file="child.yaml", config={"inherit_context": True})])
    said = treadle("run", path, code=2).err
    assert said.startswith("treadle: error: parent.yaml:") and "reads: inputs.x; expected --input x=…" in said
    assert not started(treadle)
    assert treadle("run", path, "--input", "x=7", "--json", code=0).json["results"]["call"]["said"] == "7"


def test_another_version_of_the_workflow(treadle):
    write(treadle, "w.yaml", [FIRST, {"name": "gate", "type": "command", "run": "test -e open"}])
    treadle("run", "w.yaml", "--run-id", "r", code=1)
    gate = {"name": "gate", "type": "command", "run": "true"}
    new = write(treadle, "new.yaml", [FIRST, gate, echo("{{ inputs.x }}")])
    assert "--set x=…" in treadle("resume", "r", "--workflow", new, code=2).err
    assert "--set x=…" in treadle("fork", "r", "--from", "gate", "--workflow", new, code=2).err
    got = treadle("fork", "r", "--from", "gate", "--workflow", new, "--set", "x=1", "--json", code=0).json
    assert got["results"]["use"] == "1"
