"""Names without a field (`steps`, `context`, `loop`, …), and what the steps of an on_error see of what failed."""
import json

import pytest

WHOLE = """
workflow:
  name: whole
  config: {retries: 3}
  environment: {mode: test, x: 1, test: {y: 2}}
  variables: {v: 1}
  output: "{{ keys(steps) }}"
  steps:
    - {name: a, type: test_echo, value: {k: 1}}
    - {name: skipped, type: test_echo, value: 1, condition: "false"}
    - {name: context, type: test_echo, value: "{{ parse_json(json(context)) }}"}
    - name: names
      type: test_echo
      value:
        steps: "{{ keys(steps) }}"
        count: "{{ length(steps) }}"
        config: "{{ config }}"
        environment: "{{ environment }}"
        step: "{{ step }}"
        system: "{{ keys(system) }}"
        workspace: "{{ keys(workspace) }}"
        state: "{{ state }}"
        computed: "{{ steps['a'].k + steps[first(keys(steps))].k }}"
    - name: loop
      type: for_loop
      iterator: word
      data_source: [x, y]
      steps:
        - {name: a, type: test_echo, value: "{{ loop }}"}
        - {name: seen, type: test_echo, value: "{{ pick(steps, ['a', 'names']).a.word }} {{ join(keys(steps)) }}"}
"""


def test_names_without_a_field(treadle):
    treadle.file("w.yaml", WHOLE.replace("context, type", "place, type"))
    got = treadle("run", "w.yaml", "--json", "--run-id", "r", code=0).json
    steps = got["results"]
    assert steps["place"] == {"depth": 0, "pipeline_id": "r", "parent": None, "execution_chain": ["whole"]}
    names = steps["names"]
    assert names["steps"] == ["a", "skipped", "place"] and names["count"] == 3
    assert names["config"] == {"retries": 3} and names["state"] == {"v": 1} and names["computed"] == 2
    assert names["environment"] == {"mode": "test", "x": 1, "test": {"y": 2}, "y": 2}
    assert names["step"] == {"name": "names", "type": "test_echo", "attempt": 1} and names["workspace"] == ["path"]
    assert names["system"][:2] == ["total_steps", "completed_steps"]
    last = steps["loop"]["iterations"][1]["results"]
    assert last["a"] == {"item": "y", "index": 1, "first": False, "last": True, "total": 2, "word": "y"}
    assert last["seen"] == "y a, skipped, place, names"
    assert got["output"] == ["a", "skipped", "place", "names", "loop"]


def test_a_step_of_that_name_wins(treadle):
    treadle.file("v.yaml", WHOLE.replace("parse_json(json(context))", "1 + 1")
                 .replace('"{{ step }}"', '"{{ context }}"'))
    assert treadle("run", "v.yaml", "--json", code=0).json["results"]["names"]["step"] == 2


def test_results_that_left_memory_are_whole(treadle):
    steps = [{"name": f"s{i}", "type": "test_echo", "value": {"text": f"{i}" * 300_000}} for i in range(8)]
    all_of = {"name": "all", "type": "test_echo", "value": "{{ map(values(steps), 'length(text)') }} {{ keys(steps) }}"}
    treadle.file("w.yaml", json.dumps({"workflow": {"name": "w", "steps": [*steps, all_of]}}))
    got = treadle("run", "w.yaml", "--json", code=0).json["results"]["all"]
    lengths, names = json.dumps([300_000] * 8), json.dumps([f"s{i}" for i in range(8)])
    assert got == f"{lengths} {names}".replace(", ", ",")


def test_names_of_variables_and_loops_without_an_end(treadle):
    """Variables in the order of their names, without the engine's own; of a loop that may go on there is no total."""
    treadle.file("w.yaml", """
workflow:
  name: w
  variables: {d: 1, b: 2, c: 3, a: 4, e: 5}
  steps:
    - {name: timed, type: test_echo, value: 1, metadata: {timer_start: t}}
    - name: l
      type: while_loop
      condition: "true"
      max_iterations: 1
      steps: [{name: x, type: test_echo, value: ["{{ loop.total }}", "{{ loop.length }}", "{{ loop.last }}"]}]
    - {name: n, type: for_loop, data_source: [7], steps: [{name: x, type: test_echo, value: "{{ loop.length }}"}]}
    - {name: all, type: test_echo, value: "{{ keys(state) }}"}
""")
    got = treadle("run", "w.yaml", "--json", code=0).json["results"]
    assert got["all"] == ["a", "b", "c", "d", "e"]
    assert got["l"]["results"]["x"] == [None, None, False] and got["n"]["iterations"][0]["results"]["x"] == 1


def test_before_any_step(treadle):
    treadle.file("w.yaml", 'workflow: {name: w, variables: {v: "{{ steps }}"}, steps: [{name: a, type: test_echo}]}')
    assert "`variables` are evaluated before any step has run" in treadle("validate", "w.yaml", code=2).err


HANDLED = """
workflow:
  name: handled
  variables: {said: null}
  steps:
    - name: work
      type: command
      run: "echo out; echo bad >&2; exit 7"
      on_error:
        steps:
          - {name: gate, type: command, run: "true"}
          - name: look
            type: set_variable
            condition: "steps.work.error != null and steps.work.exit_code == 7 and not steps.work.success"
            variables:
              said: ["{{ steps.work.error.code }}", "{{ steps.work.stdout }}", "{{ work.error_message }}",
                     "{{ error.code }}", "{{ steps.work.error.type }}", "{{ keys(steps) }}"]
          - name: deeper
            type: for_loop
            data_source: [1]
            steps: [{name: in_it, type: test_echo, value: "{{ steps.work.exit_code + 1 }}"}]
    - {name: after, type: test_echo, value: ["{{ said }}", "{{ steps.work.error.code }}"]}
"""
SAID = [["exit_7", "out\n", "exit code 7: bad", "exit_7", "exit_7", ["gate", "work"]], "exit_7"]


def test_handlers_see_what_failed(treadle):
    treadle.file("w.yaml", HANDLED)
    assert treadle("run", "w.yaml", "--json", code=0).json["results"]["after"] == SAID


@pytest.mark.parametrize("point", ["after.result=1", "before.intent=2", "after.intent=2", "after.result=2",
                                   "before.done=2", "after.done=2"])
def test_the_same_after_a_kill(treadle_faults, point):
    treadle_faults.file("w.yaml", HANDLED)
    with treadle_faults.start("run", "w.yaml", "--run-id", "r", "--json",
                              env={"TREADLE_FAULT": f"engine.kill.{point}"}) as process:
        process.wait()
    assert treadle_faults("resume", "r", "--json", code=0).json["results"]["after"] == SAID


def test_only_handlers_see_it(treadle):
    treadle.file("w.yaml", HANDLED.replace('run: "echo out', 'run: "echo {{ steps.work.error }} out'))
    assert "reads its own result" in treadle("validate", "w.yaml", code=2).err
    treadle.file("w.yaml", HANDLED.replace("steps.work.stdout", "steps.after"))
    assert "step `after` has not run yet" in treadle("validate", "w.yaml", code=2).err
