"""What names mean while a workflow runs, and what the steps of the language return."""
import json

import pytest

NAMES = """
workflow:
  name: names
  inputs: {who: {type: string, default: me}, n: {type: integer, default: 2}}
  variables: {seen: []}
  env: [GREETING]
  output: {sum: "{{ state.total }}", seen: "{{ seen }}"}
  steps:
    - {name: an, type: test_echo, value: {score: 5, list: [1, 2], text: '{"inner": 7}'}}
    - {name: bare, type: test_echo, value: "{{ an.score + 1 }}"}
    - {name: old, type: test_echo, value: "{{ previous_response:an.score }} of {{ inputs.who }}"}
    - {name: json, type: test_echo, value: "{{ steps.an.inner }}"}
    - {name: typed, type: test_echo, value: "{{ inputs.n * 1.5 }}"}
    - {name: env, type: test_echo, value: "{{ env.GREETING }}"}
    - {name: never, type: test_echo, value: 1, condition: "an.score > 9"}
    - {name: skipped, type: test_echo, value: "{{ steps.never.skipped }}"}
    - {name: fallback, type: test_echo, value: "{{ steps.an.missing || 'none' }}"}
    - name: outer
      type: for_loop
      iterator: row
      data_source: previous_response:an.list
      steps:
        - name: inner
          type: for_loop
          iterator: cell
          data_source: [a, b]
          steps:
            - {name: at, type: test_echo, value: "{{ loop.parent.item }}{{ cell }}{{ loop.index }}{{ loop.last }}"}
            - {name: keep, type: set_variable, variables: {seen: "{{ seen + [steps.at.result] }}"}}
        - {name: local, type: set_variable, scope: local, variables: {mine: "{{ row }}"}}
        - {name: use, type: test_echo, value: "{{ mine * 10 }}"}
    - {name: total, type: set_variable, variables: {total: "{{ sum([1, 2, inputs.n]) }}"}}
"""


def test_names(treadle):
    treadle.file("names.yaml", NAMES)
    got = treadle("run", "names.yaml", "--json", "--input", "n=4", env={"GREETING": "hi"}, code=0).json
    steps = got["results"]
    assert steps["bare"] == 6 and steps["old"] == "5 of me" and steps["json"] == 7
    assert steps["typed"] == 6.0 and steps["env"] == "hi" and steps["skipped"] is True and steps["fallback"] == "none"
    assert got["output"] == {"sum": 7, "seen": ["1a0false", "1b1true", "2a0false", "2b1true"]}
    assert [i["results"]["use"] for i in steps["outer"]["iterations"]] == [10, 20]


FAILURES = """
workflow:
  name: failures
  variables: {tries: 0}
  steps:
    - {name: soft, type: command, run: "echo no >&2; exit 3", on_error: continue}
    - {name: reads, type: test_echo, value: "{{ steps.soft.exit_code }} {{ steps.soft.error.class }}"}
    - name: handled
      type: test_echo
      fail: true
      error_message: boom
      on_error: {steps: [{name: note, type: set_variable, variables: {why: "{{ error.message }}"}}]}
    - {name: jump, type: test_echo, fail: true, on_error: {goto: landing}}
    - {name: between, type: command, run: "touch between"}
    - {name: landing, type: test_echo, value: "{{ why }} {{ steps.jump.error.class }}"}
    - name: again
      type: command
      retry: {max_attempts: 3, delay: 10ms}
      run: "mkdir -p .git; echo x >> tries; echo x >> .git/tries; test $(wc -l < .git/tries) -ge 3"
    - {name: slow, type: command, run: "sleep 20", timeout: 300ms, on_error: continue}
    - {name: shows, type: test_echo, value: "{{ steps.slow.error.class }} {{ steps.slow.timed_out }}"}
"""


@pytest.mark.strict
def test_failures(treadle):
    treadle.file("failures.yaml", FAILURES)
    got = treadle("run", "failures.yaml", "--json", "--workspace", "ws", code=0).json
    steps = got["results"]
    assert steps["reads"] == "3 command" and steps["landing"] == "boom step" and steps["shows"] == "timeout true"
    assert steps["handled"]["success"] is False and "between" not in steps
    assert not (treadle.cwd / "ws/between").exists() and (treadle.cwd / "ws/.git/tries").read_text() == "x\n" * 3
    assert (treadle.cwd / "ws/tries").read_text() == "x\n"  # what the first two attempts wrote was taken back
    assert steps["again"]["success"] is True, json.dumps(steps["again"])


SOURCES = """
workflow:
  name: sources
  inputs: {pairs: {type: object, default: {a: 1, b: 2}}}
  variables: {queue: [7, 8], nested: {files: [p, q]}}
  steps:
    - {name: scan, type: test_echo, value: {success: true, text: '["x", "y"]'}}
    - {name: plain, type: test_echo, value: [1, 2, 3, 4, 5]}
    - name: category
      type: for_loop
      as: category
      over: [{name: one, items: [1, 2]}]
      steps:
        - name: inner
          type: for_loop
          data_source: loop.category.items
          steps: &echo [{name: e, type: test_echo, value: "{{ item }}"}]
    - {name: by_name, type: for_loop, data_source: scan, steps: *echo}
    - {name: by_step, type: for_loop, data_source: steps.scan, steps: *echo}
    - {name: by_response, type: for_loop, data_source: "previous_response:scan", steps: *echo}
    - {name: by_state, type: for_loop, data_source: state.queue, steps: *echo}
    - {name: by_path, type: for_loop, data_source: state.nested.files, steps: *echo}
    - {name: by_chunk, type: for_loop, data_source: "{{ chunk(steps.plain, 2) }}", steps: *echo}
    - name: by_object
      type: for_loop
      data_source: inputs.pairs
      steps: [{name: e, type: test_echo, value: "{{ item.key }}={{ item.value }}"}]
    - name: by_results
      type: for_loop
      data_source: steps.by_state.results
      steps: [{name: e, type: test_echo, value: "{{ item.results.e }}"}]
    - name: first
      type: for_loop
      data_source: plain
      max_iterations: 2
      ordered_results: true
      memory_limit: 500MB
      steps: *echo
    - name: ends
      type: for_loop
      data_source: [a, b, c]
      steps: [{name: e, type: test_echo, value: "{{ loop.is_first }} {{ loop.is_last }} {{ loop.length }}"}]
"""


def test_sources_of_loops(treadle):
    treadle.file("sources.yaml", SOURCES)
    results = treadle("run", "sources.yaml", "--json", code=0).json["results"]
    got = {name: [i["results"]["e"] for i in result["iterations"]]
           for name, result in results.items() if name.startswith("by_")}
    assert got == {"by_name": ["x", "y"], "by_step": ["x", "y"], "by_response": ["x", "y"], "by_state": [7, 8],
                   "by_path": ["p", "q"], "by_chunk": [[1, 2], [3, 4], [5]], "by_object": ["a=1", "b=2"],
                   "by_results": [7, 8]}
    assert [i["results"]["e"] for i in results["ends"]["iterations"]] == \
        ["true false 3", "false false 3", "false true 3"]
    assert len(results["first"]["iterations"]) == 2
    inner = results["category"]["iterations"][0]["results"]["inner"]
    assert [i["item"] for i in inner["iterations"]] == [1, 2]


def test_the_environment_bounds_where_the_workflow_does_not(treadle):
    steps = "  steps: [" + ", ".join(f"{{name: s{i}, type: test_echo, value: 1}}" for i in range(5)) + "]\n"
    free = treadle.file("free.yaml", "workflow:\n  name: w\n" + steps)
    own = treadle.file("own.yaml", "workflow:\n  name: w\n  limits: {frames: 100, wall: 1h}\n" + steps)
    few = {"PIPELINE_MAX_STEPS": "3", "PIPELINE_TIMEOUT": "0.001"}
    assert treadle("run", free, "--json", env={"PIPELINE_MAX_STEPS": "3"}, code=1).json["error"]["code"] == "frames"
    treadle("run", own, env=few, code=0)
    treadle("run", free, env={"PIPELINE_MAX_STEPS": "many"}, code=0)
    ask = treadle.file("ask.yaml", "workflow:\n  name: w\n  steps:\n    - {name: a, type: claude, prompt: hi}\n"
                       "    - {name: b, type: claude, prompt: hi}\n")
    spent = treadle("run", ask, "--mock", "--json", "--run-id", "r", env={"PIPELINE_MAX_COST": "0.00001"}, code=3).json
    assert spent["status"] == "waiting" and list(spent["results"]) == ["a"]
    assert "raise PIPELINE_MAX_COST and resume" in treadle("resume", "r", code=3).err
    again = treadle("resume", "r", "--json", code=3).json  # the bound was recorded with the run
    assert again["status"] == "waiting"
    again = treadle("resume", "r", "--json", env={"PIPELINE_MAX_COST": "much"}, code=3).json
    assert again["status"] == "waiting"
    treadle("resume", "r", "--json", env={"PIPELINE_MAX_COST": "1"}, code=0)  # whoever resumes it says anew


@pytest.mark.parametrize("first, later", [("PIPELINE_MAX_MEMORY_MB", "PIPELINE_MEMORY_LIMIT"),
                                          ("PIPELINE_MEMORY_LIMIT", "PIPELINE_MAX_MEMORY_MB")])
def test_what_is_set_later_counts_by_either_name(treadle, first, later):
    """And who is over a bound of the environment is told the variable's name, not to change the workflow."""
    file = treadle.file("w.yaml", "workflow:\n  name: w\n  variables: {s: x}\n  steps:\n"
                        "    - {name: l, type: for_loop, data_source: 'range(1, 22)', steps: [\n"
                        "       {name: d, type: set_variable, variables: {s: '{{ s + s }}'}}]}\n")
    told = treadle("run", file, "--run-id", "r", env={first: "1"}, code=1)
    assert f"takes more than 1 MB of memory for its values ({first}; set it higher)" in told.err
    told = treadle("resume", "r", env={later: "2"}, code=1)
    assert f"takes more than 2 MB of memory for its values ({later}; set it higher)" in told.err
    treadle("resume", "r", env={later: "4000"}, code=0)


@pytest.mark.parametrize("own, later, code", [("", "3", 1), ("", "30", 0), ("", "", 0), ("", "many", 0),
                                              ("limits: {frames: 8}", "3", 0), ("limits: {frames: 4}", "30", 1)])
def test_a_bound_counts_in_the_life_that_was_given_it(treadle, own, later, code):
    """Templates go on reading what the variable was at the start, and what the file says stands."""
    few = {"name": "few", "type": "test_echo", "value": "{{ env.PIPELINE_MAX_STEPS }}"}
    steps = [{"name": "wait", "type": "wait_signal", "signal": "go"}] + [{**few, "name": f"s{i}"} for i in range(5)]
    file = treadle.file("w.yaml", f"workflow:\n  name: w\n  {own}\n  env: [PIPELINE_MAX_STEPS]\n"
                                  f"  steps: {json.dumps(steps)}\n")
    treadle("run", file, "--run-id", "r", env={"PIPELINE_MAX_STEPS": "20"}, code=3)
    treadle("signal", "r", "go", code=0)
    got = treadle("resume", "r", "--json", env={"PIPELINE_MAX_STEPS": later}, code=code).json
    assert got["error"]["code"] == "frames" if code else got["results"]["s4"] == "20", got


def test_an_echo_that_takes_time(treadle):
    file = treadle.file("w.yaml", """
workflow:
  name: w
  steps:
    - {name: a, type: test_echo, value: 1, delay_ms: 30}
    - {name: b, type: test_echo, error: no, delay: 10ms, on_error: continue}
    - {name: c, type: test_echo, value: 2, delay: 1h, timeout: 50ms, on_error: continue}
""")
    done = treadle("run", file, "--json", code=0).json["results"]
    assert done["a"] == 1 and done["b"]["error"]["message"] == "no" and done["c"]["error"]["class"] == "timeout"


def test_llm_by_provider(treadle):
    file = treadle.file("w.yaml", """
workflow:
  name: w
  defaults: {claude_model: opus}
  steps:
    - {name: a, type: llm, provider: claude, prompt: hi}
    - {name: b, type: llm, provider: gemini, prompt: hi}
    - {name: c, type: llm, provider: openai, model: org/name, prompt: hi}
    - {name: d, type: claude, model: "sonnet[1m]", prompt: hi}
""")
    done = treadle("run", file, "--mock", "--json", code=0).json["results"]
    assert [(s["provider"], s["model"]) for s in done.values()] == [
        ("claude", "claude-opus-5-5"), ("gemini", "gemini-flash-latest"), ("openai", "org/name"),
        ("claude", "claude-sonnet-5-5")]


INSIDE = """
workflow:
  name: inside
  steps:
    - name: choice
      type: switch
      expression: "{{ 1 }}"
      cases: {1: &ask [{name: ask, type: claude, prompt: p, mock_response: {score: 5, deep: {n: 6}},
                       output_schema: {type: object, required: [score]}}]}
    - {name: beside, type: parallel, branches: {one: *ask}}
    - {name: each, type: for_loop, data_source: [1, 2], steps: *ask}
    - name: outer
      type: for_loop
      data_source: [1]
      steps: [{name: inner, type: for_loop, data_source: [1, 2], steps: *ask}]
    - {name: tasks, type: parallel_claude, tasks: [{id: t, prompt: p, mock_response: '{"score": 5}'}]}
    - {name: call, type: pipeline, pipeline: {name: called, steps: *ask}, outputs: [ask]}
    - name: shapes
      type: data_transform
      input_source: steps.each.iterations
      operations: [{operation: map, expression: "item.results.ask.score + 1"}]
  output:
    - "{{ steps.choice.ask.score }} {{ steps.choice.results.ask.deep.n }}"
    - "{{ steps.beside.one.ask.score }} {{ steps.beside.branches.one.results.ask.score }}"
    - "{{ steps.each.iterations[1].results.ask.score }} {{ steps.each.iterations[*].results.ask.score }}"
    - "{{ steps.outer.results[0].results.inner.results[*].results.ask.score }}"
    - "{{ steps.tasks.t.score }} {{ steps.tasks.results.t.result.score }}"
    - "{{ steps.call.ask.score }} {{ map(steps.each.iterations, (i) => i.results.ask.score * 2) }}"
    - "{{ steps.shapes.result }}"
"""


def test_results_inside_of_results_answer_like_any_other(treadle):
    treadle.file("inside.yaml", INSIDE)
    got = treadle("run", "inside.yaml", "--mock", "--json", code=0).json
    assert got["output"] == ["5 6", "5 5", "5 [5,5]", [5, 5], "5 5", "5 [10,10]", [6, 6]]
    treadle.file("wrong.yaml", INSIDE.replace("steps.choice.ask.score", "steps.choice.ask.scroe"))
    assert "did you mean `score`" in treadle("run", "wrong.yaml", "--mock", "--quiet", code=1).err


def test_whether_a_step_was_skipped_can_always_be_asked(treadle):
    treadle.file("w.yaml", """
workflow:
  name: w
  steps:
    - {name: text, type: test_echo, value: a text}
    - {name: list, type: test_echo, value: [1]}
    - {name: object, type: command, run: "true"}
    - {name: left, type: test_echo, value: 1, condition: false}
  output: "{{ steps.text.skipped }} {{ steps.list.skipped }} {{ steps.object.skipped }} {{ steps.left.skipped }}
    {{ steps.text.error == null }} {{ steps.list.success }} {{ steps.object.handled == null }}"
""")
    assert treadle("run", "w.yaml", "--json", code=0).json["output"].split() == [
        "false", "false", "false", "true", "true", "true", "true"]


HANDLED = """
workflow:
  name: handled
  steps:
    - name: ask
      type: command
      run: echo out; echo no >&2; exit 3
      on_error:
        steps:
          - {name: second, type: test_echo, value: {text: "instead of {{ error.code }}"}}
          - {name: unless, type: test_echo, value: 1, condition: false}
    - {name: gate, type: command, run: test -e open}
    - {name: gone, type: command, run: echo out; echo no >&2; exit 4, on_error: {goto: use}}
    - {name: between, type: test_echo, value: 1}
    - {name: use, type: test_echo, value: "{{ steps.ask.second.text }}, {{ steps.ask.handled.unless.skipped }}"}
  output: "{{ steps.use }}; {{ steps.ask.stdout }}{{ steps.gone.exit_code }} {{ steps.gone.stderr }}"
"""


def test_what_an_error_handler_came_to_is_part_of_the_result(treadle):
    """Also of a run that is resumed behind it. A step that goes elsewhere keeps its output too."""
    treadle.file("w.yaml", HANDLED)
    treadle("run", "w.yaml", "--run-id", "r", code=1)
    (treadle.cwd / "workspace/open").touch()
    for more in (["resume", "r"], ["run", "w.yaml"]):
        got = treadle(*more, "--json", code=0)
        assert got.json["output"] == "instead of exit_3, true; out\n4 no\n"
        assert got.json["results"]["ask"]["handled"]["second"] == {"text": "instead of exit_3"}
        assert "failed; going on at use: exit code 4: no" in got.err
        assert more[0] == "resume" or "failed; going on with the steps of on_error: exit code 3: no" in got.err


@pytest.mark.parametrize("name", ["env", "inputs", "workflow", "run", "timestamp", "steps", "state", "loop"])
def test_a_name_that_alone_means_something_else_is_told(treadle, name):
    file = treadle.file("w.yaml", """
workflow:
  name: w
  variables: {NAME: 5}
  steps:
    - {name: each, type: for_loop, iterator: NAME, data_source: [7], steps: [
        {name: x, type: test_echo, value: "{{ loop.NAME }} {{ state.NAME }}"}]}
  output: "{{ steps.each.iterations[0].results.x }}"
""".replace("NAME", name))
    err = treadle("validate", file, code=0).err
    assert f"the iterator `{name}` can only be read as loop.{name}" in err
    assert f"the variable `{name}` can only be read as state.{name}" in err
    assert treadle("run", file, "--json", code=0).json["output"] == "7 5"
