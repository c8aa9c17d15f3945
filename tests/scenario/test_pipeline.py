"""Workflows that call workflows: files, places, pinning, and what a run does when a file has changed since."""
import json

import pytest

CHILD = """
workflow:
  name: child
  inputs: {n: {type: integer, required: true}}
  output: {n: "{{ inputs.n }}", word: "{{ steps.say.stdout }}", mark: "{{ steps.mark }}"}
  steps:
    - {name: say, type: command, run: "echo called >> calls; cat calls | wc -l"}
    - {name: gate, type: command, run: "test -e open", on_interrupt: retry}
    - {name: mark, type: test_echo, value: first}
"""
PARENT = """
workflow:
  name: parent
  inputs: {file: {type: string, default: lib/child.yaml}}
  steps:
    - {name: before, type: command, run: "echo before >> calls"}
    - {name: call, type: pipeline, %s, inputs: {n: 7}}
"""


def put(treadle, name, text):
    path = treadle.cwd / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


SOURCES = ["pipeline_file: lib/child.yaml", 'pipeline_file: "{{ inputs.file }}"', "pipeline_ref: child"]


@pytest.mark.parametrize("source", SOURCES)
def test_a_run_keeps_the_text_it_began_with(treadle, source):
    """It fails behind the gate; the file is edited, then removed; the resumed run does what the first text says."""
    where = "home/workflows/child.yaml" if "ref" in source else "lib/child.yaml"
    env = {"TREADLE_HOME": str(treadle.cwd / "home")} if "ref" in source else {}
    child = put(treadle, where, CHILD)
    put(treadle, "parent.yaml", PARENT % source)
    treadle("run", "parent.yaml", "--run-id", "r", "--workspace", "ws", env=env, code=1)
    child.write_text(CHILD.replace("first", "second"))
    (treadle.cwd / "ws/open").touch()
    child.unlink()
    got = treadle("resume", "r", "--json", env=env, code=0).json
    assert got["results"]["call"] == {"n": 7, "word": "2\n", "mark": "first"}
    assert (treadle.cwd / "ws/calls").read_text() == "before\ncalled\n"  # nothing was done twice


def test_resume_with_the_workflow_sees_that_a_called_file_differs(treadle):
    child = put(treadle, "lib/child.yaml", CHILD)
    put(treadle, "parent.yaml", PARENT % SOURCES[0])
    treadle("run", "parent.yaml", "--run-id", "r", "--workspace", "ws", code=1)
    child.write_text(CHILD.replace("first", "second"))
    (treadle.cwd / "ws/open").touch()
    got = treadle("resume", "r", "--workflow", "parent.yaml", "--json", code=0)
    assert "differs from step `call`" in got.err
    assert got.json["results"]["call"]["mark"] == "second"
    assert (treadle.cwd / "ws/calls").read_text() == "before\ncalled\ncalled\n"
    child.unlink()  # and the new text is what the run is pinned to now
    again = treadle("fork", "r", "--from", "call", "--json", code=0).json
    assert again["results"]["call"]["mark"] == "second"


def test_an_unchanged_file_changes_nothing(treadle):
    put(treadle, "lib/child.yaml", CHILD)
    put(treadle, "parent.yaml", PARENT % SOURCES[0])
    treadle("run", "parent.yaml", "--run-id", "r", "--workspace", "ws", code=1)
    (treadle.cwd / "ws/open").touch()
    got = treadle("resume", "r", "--workflow", "parent.yaml", "--json", code=0)
    assert "differs" not in got.err
    assert (treadle.cwd / "ws/calls").read_text() == "before\ncalled\n"


def test_fork_takes_another_version_of_the_called_file(treadle):
    child = put(treadle, "lib/child.yaml", CHILD)
    put(treadle, "parent.yaml", PARENT % SOURCES[0])
    (treadle.cwd / "ws").mkdir()
    (treadle.cwd / "ws/open").touch()
    treadle("run", "parent.yaml", "--run-id", "r", "--workspace", "ws", code=0)
    child.write_text(CHILD.replace("first", "second"))
    got = treadle("fork", "r", "--from", "call", "--json", "--run-id", "old", code=0).json
    assert got["results"]["call"]["mark"] == "first"
    got = treadle("fork", "r", "--from", "call", "--workflow", "parent.yaml", "--json", code=0).json
    assert got["results"]["call"]["mark"] == "second"


def test_files_are_beside_the_file_that_names_them(treadle):
    put(treadle, "lib/inner/leaf.yaml", "workflow: {name: leaf, steps: [{name: ask, type: claude, prompt: "
        "[{type: file, path: words.md}]}]}")
    put(treadle, "lib/inner/words.md", "from the leaf's directory")
    put(treadle, "lib/middle.yaml", "workflow: {name: middle, steps: [{name: down, type: pipeline, "
        "pipeline_file: inner/leaf.yaml}]}")
    put(treadle, "top/main.yaml", "workflow: {name: main, inputs: {f: {type: string, default: middle.yaml}}, steps: ["
        "{name: known, type: pipeline, pipeline_file: ../lib/middle.yaml}, "
        "{name: found, type: pipeline, pipeline_file: \"lib/{{ inputs.f }}\"}]}")
    got = treadle("run", "top/main.yaml", "--mock", "--json", code=0).json["results"]
    assert got["known"]["down"]["ask"]["text"] == "from the leaf's directory"
    assert got["found"]["down"]["ask"]["text"] == "from the leaf's directory"


@pytest.mark.parametrize("name", ["../secret.yaml", "/etc/passwd", "lib/../../secret.yaml", "lib/link.yaml"])
def test_a_name_from_a_template_does_not_lead_out(treadle, name):
    put(treadle, "secret.yaml", "workflow: {name: s, steps: [{name: a, type: test_echo, value: leaked}]}")
    put(treadle, "in/lib/x", "")
    (treadle.cwd / "in/lib/link.yaml").symlink_to(treadle.cwd / "secret.yaml")
    put(treadle, "in/main.yaml", "workflow: {name: m, inputs: {f: {type: string}}, steps: [{name: call, "
        "type: pipeline, "
        "pipeline_file: \"{{ inputs.f }}\"}]}")
    inputs = ["--input", f"f={name}"]
    got = treadle("run", "main.yaml", *inputs, "--json", cwd=treadle.cwd / "in", code=1)
    assert "leaked" not in got.out and got.json["error"]["step"] == "call"


@pytest.mark.parametrize("step", [
    "{name: a, type: claude, prompt: [{type: file, path: %s}]}",
    "{name: a, type: claude, prompt: [{type: file, path: %s*}]}",
    "{name: a, type: test_echo, value: '{{file:%s}}'}",
    "{name: a, type: pipeline, pipeline_file: %s}",
    "{name: a, type: pipeline, pipeline: {steps: [{name: b, type: pipeline, pipeline_file: %s}]}}"])
@pytest.mark.parametrize("name", ["/etc/passwd", "../secret.yaml"])
def test_a_workflow_found_in_the_run_names_no_files_outside(treadle, step, name):
    put(treadle, "secret.yaml", "workflow: {name: s, steps: [{name: a, type: test_echo, value: leaked}]}")
    put(treadle, "in/found.yaml", "workflow: {name: f, steps: [" + step % name + "]}")
    put(treadle, "in/main.yaml", "workflow: {name: m, inputs: {f: {type: string, default: found.yaml}}, steps: ["
        "{name: call, type: pipeline, pipeline_file: \"{{ inputs.f }}\"}]}")
    got = treadle("run", "main.yaml", "--mock", "--json", cwd=treadle.cwd / "in", code=1)
    assert "leaked" not in got.out and "root:" not in got.out
    assert got.json["error"]["class"] in ("invalid", "not_found"), got


def test_mistakes_in_a_file_found_in_the_run(treadle):
    put(treadle, "bad.yaml", "workflow:\n  name: b\n  steps:\n    - {name: a, type: test_ecko}\n")
    put(treadle, "main.yaml", "workflow: {name: m, inputs: {f: {type: string}}, steps: [{name: call, type: pipeline, "
        "pipeline_file: \"{{ inputs.f }}\"}]}")
    error = treadle("run", "main.yaml", "--input", "f=bad.yaml", "--json", code=1).json["error"]
    assert "bad.yaml:4:23: unknown step type `test_ecko`" in error["message"] and error["class"] == "invalid"
    error = treadle("run", "main.yaml", "--input", "f=none.yaml", "--json", code=1).json["error"]
    assert error["class"] == "not_found" and "none.yaml" in error["message"]


LIMITS = """
workflow:
  name: limits
  steps:
    - name: deep
      type: pipeline
      on_error: continue
      config: {max_depth: 3}
      pipeline: {name: one, steps: [{name: a, type: pipeline, pipeline: {name: two, steps: [{name: b, type: pipeline,
                 pipeline: {name: three, steps: [{name: c, type: pipeline, pipeline: {name: four, steps: [
                 {name: x, type: test_echo}]}}]}}]}}]}
    - name: many
      type: pipeline
      config: {max_total_steps: 5, continue_on_error: true}
      pipeline: {name: steps, steps: [{name: l, type: while_loop, condition: "true", max_iterations: 1000,
                 steps: [{name: x, type: test_echo}]}]}
    - name: slow
      type: pipeline
      config: {timeout_seconds: 0.2, fallback_value: {answer: none}}
      pipeline: {name: time, steps: [{name: x, type: command, run: sleep 30}]}
    - {name: kind, type: test_echo, value: "{{ steps.deep.error.code }} {{ steps.many.error.code }}"}
    - {name: after, type: test_echo, value: reached, condition: "steps.slow.error.code == 'timeout_exceeded'"}
"""


def test_limits_stop_the_called_workflow_and_nothing_else(treadle):
    put(treadle, "limits.yaml", LIMITS)
    got = treadle("run", "limits.yaml", "--json", code=0).json["results"]
    assert got["kind"] == "max_depth_exceeded max_total_steps_exceeded"
    assert "four ← three ← two ← one ← limits" in got["deep"]["error"]["message"]
    assert "more than 5 steps" in got["many"]["error"]["message"]
    assert got["slow"]["answer"] == "none" and got["slow"]["success"] is False and got["after"] == "reached"


INHERIT = """
workflow:
  name: inherit
  variables: {x: 1, mine: outer}
  defaults: {claude_model: opus}
  steps:
    - {name: prior, type: test_echo, value: {v: seen}}
    - name: closed
      type: pipeline
      pipeline: {name: c, variables: {x: 5}, steps: [
        {name: s, type: set_variable, variables: {x: "{{ x + 1 }}"}},
        {name: e, type: test_echo, value: "{{ state.x }}"}]}
    - name: open
      type: pipeline
      config: {inherit_context: true}
      pipeline: {name: o, variables: {x: 7}, steps: [
        {name: e, type: test_echo, value: "{{ steps.prior.v }} {{ state.mine }} {{ x }}"},
        {name: s, type: set_variable, variables: {mine: inner}},
        {name: m, type: claude, prompt: hello}]}
    - {name: after, type: test_echo, value: "{{ x }} {{ mine }}"}
"""


def test_what_is_inherited(treadle):
    put(treadle, "inherit.yaml", INHERIT)
    got = treadle("run", "inherit.yaml", "--mock", "--json", code=0).json["results"]
    assert got["closed"]["e"] == 6 and got["open"]["e"] == "seen outer 7"
    assert got["after"] == "1 outer"  # what is set inside stays there
    assert "opus" in got["open"]["m"]["model"]


def test_problems_of_called_files_are_shown_once(treadle):
    put(treadle, "bad.yaml", "workflow:\n  name: b\n  steps:\n    - {name: a, type: test_ecko}\n")
    put(treadle, "main.yaml", "workflow: {name: m, steps: [{name: a, type: pipeline, pipeline_file: bad.yaml}, "
        "{name: b, type: pipeline, pipeline_file: ./bad.yaml}]}")
    got = treadle("validate", "main.yaml", code=2)
    assert got.err.count("test_ecko`") == 1 and got.err.count("has mistakes") == 2


def test_models_of_called_workflows_need_their_keys_before_the_start(treadle):
    put(treadle, "child.yaml", "workflow: {name: c, steps: [{name: ask, type: gemini, prompt: x}]}")
    put(treadle, "main.yaml", "workflow: {name: m, steps: [{name: first, type: command, run: touch ran}, "
        "{name: a, type: pipeline, pipeline_file: child.yaml}]}")
    got = treadle("run", "main.yaml", env={"GEMINI_API_KEY": ""}, code=4)
    assert "GEMINI_API_KEY" in got.err and not list(treadle.cwd.rglob("ran"))


def test_the_journal_says_which_texts(treadle):
    put(treadle, "child.yaml", "workflow: {name: c, steps: [{name: a, type: test_echo}]}")
    put(treadle, "main.yaml", "workflow: {name: m, steps: [{name: a, type: pipeline, pipeline_file: child.yaml}]}")
    treadle("run", "main.yaml", "--run-id", "r", code=0)
    records = treadle("logs", "r", "--json", code=0).out
    assert "child.yaml" in records
    assert json.loads(records.splitlines()[0])
