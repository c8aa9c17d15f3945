"""Steps whose type or name is a template: known when they start, checked then, the same after a resume."""

PLANNED = """
workflow:
  name: planned
  inputs: {tasks: {type: array}, lang: {type: string, default: python}}
  steps:
    - name: do
      type: for_loop
      iterator: task
      data_source: "{{ inputs.tasks }}"
      steps:
        - name: work
          type: "{{ loop.task.type }}"
          value: "{{ loop.task.arg }}"
          run: "{{ loop.task.arg }}"
    - {name: "make_{{ inputs.lang }}_client", type: test_echo, value: "for {{ inputs.lang }}"}
    - {name: gate, type: command, run: test -e open}
    - {name: read, type: test_echo, value: "{{ steps.make_python_client }}, {{ steps['make_inputs_lang_client'] }}"}
"""
ONE_KEY = PLANNED.replace('          run: "{{ loop.task.arg }}"\n', "")


def test_the_type_is_known_late_and_pinned(treadle):
    treadle.file("w.yaml", ONE_KEY)
    tasks = 'tasks=[{"type": "test_echo", "arg": "hi"}, {"type": "test_echo", "arg": [1]}]'
    treadle("run", "w.yaml", tasks, "--run-id", "r", code=1)
    (treadle.cwd / "workspace/open").touch()
    got = treadle("resume", "r", "--json", code=0).json["results"]
    assert [i["results"]["work"] for i in got["do"]["iterations"]] == ["hi", [1]]
    assert got["read"] == "for python, for python"


def test_the_keys_of_the_type_are_checked_then(treadle):
    treadle.file("w.yaml", PLANNED)
    result = treadle("run", "w.yaml", 'tasks=[{"type": "test_echo", "arg": "hi"}]', "--json", code=1)
    error = result.json["error"]
    assert error["class"] == "invalid"
    assert "w.yaml:14:11: unknown key `run` of step `work` (test_echo)" in error["message"]
    treadle.file("w.yaml", ONE_KEY)
    result = treadle("run", "w.yaml", 'tasks=[{"type": "tset_echo", "arg": "hi"}]', "--json", code=1)
    assert "comes to `tset_echo`, which is no step type" in result.json["error"]["message"]
    result = treadle("run", "w.yaml", 'tasks=[{"type": 5, "arg": "hi"}]', "--json", code=1)
    assert "comes to integer; expected text" in result.json["error"]["message"]


def test_loops_models_and_defaults(treadle):
    treadle.file("w.yaml", """
workflow:
  name: w
  variables: {kind: for_loop, ask: claude, items: [x, y]}
  defaults: {retry: {max_attempts: 2, delay: 1ms}}
  steps:
    - name: many
      type: "{{ kind }}"
      data_source: "{{ items }}"
      steps:
        - {name: ask, type: "{{ ask }}", prompt: "Say {{ loop.item }}"}
    - {name: bad, type: "{{ 'command' }}", run: exit 1, on_error: continue}
""")
    got = treadle("run", "w.yaml", "--mock", "--json", code=0).json["results"]
    assert [i["results"]["ask"]["text"] for i in got["many"]["iterations"]] == ["Say x", "Say y"]
    assert got["bad"]["error"]["attempts"] == 2


def test_names_in_it_are_checked_before(treadle):
    treadle.file("w.yaml", """
workflow:
  name: w
  variables: {kind: test_echo}
  steps:
    - {name: a, type: "{{ knd }}", value: "{{ steps.nope.x }}"}
    - {name: "b_{{ kind", type: test_echo}
""")
    told = treadle("validate", "w.yaml", code=2).err
    assert "unknown name `knd`; did you mean `kind`?" in told and "unknown step `nope`" in told
    assert "never closed" in told


FACTORY = """
workflow:
  name: factory
  defaults: {timeout: 1h, retry: {max_attempts: 4, delay: 1ms}}
  variables: {kind: pipeline}
  steps:
    - name: each
      type: for_loop
      iterator: task
      data_source:
        - {type: pipeline, n: 1}
        - {type: pipeline, n: 2}
      steps:
        - name: file
          type: "{{ task.type }}"
          pipeline_file: lib/child.yaml
          inputs: {n: "{{ task.n }}"}
        - name: inside
          type: "{{ kind }}"
          config: {inherit_context: true, continue_on_error: true}
          pipeline:
            steps:
              - {name: a, type: test_echo, value: "{{ task.n * 10 }}"}
              - {name: b, type: command, run: "echo {{ steps.a }} >> done; cat done"}
    - {name: gate, type: command, run: test -e open, retry: 1}
"""


def test_a_call_is_known_late_and_pinned(treadle):
    """The called file is recorded when the step starts; a resumed run keeps what it began with and did."""
    treadle.file("w.yaml", FACTORY)
    (treadle.cwd / "lib").mkdir()
    treadle.file("lib/child.yaml", "workflow: {name: c, inputs: {n: {type: integer}}, output: "
                 "'{{ inputs.n + 100 }}', steps: [{name: s, type: test_echo}]}")
    treadle("run", "w.yaml", "--run-id", "r", code=1)
    treadle.file("lib/child.yaml", "broken")
    (treadle.cwd / "workspace/open").touch()
    got = treadle("resume", "r", "--json", code=0).json["results"]["each"]["iterations"]
    assert [i["results"]["file"] for i in got] == [101, 102]
    assert [i["results"]["inside"]["a"] for i in got] == [10, 20]
    assert got[1]["results"]["inside"]["b"]["stdout"] == "10\n20\n"


def test_mistakes_in_a_call_that_is_known_late(treadle):
    treadle.file("w.yaml", """
workflow:
  name: w
  variables: {kind: pipeline}
  steps:
    - {name: a, type: "{{ kind }}", on_error: continue}
    - {name: b, type: "{{ kind }}", pipeline: {steps: [{name: x, type: tset_echo}]}, on_error: continue}
    - {name: c, type: "{{ kind }}", pipeline_file: none.yaml, on_error: continue}
    - {name: d, type: "{{ kind }}", pipeline: {steps: [{name: x, type: test_echo}]}, config: {on_timout: retry}}
""")
    got = treadle("run", "w.yaml", "--json", code=1).json
    errors = {name: r["error"]["message"] for name, r in got["results"].items()}
    assert "does not say what it calls" in errors["a"]
    assert "the workflow in step `b`" in errors["b"] and "did you mean `test_echo`" in errors["b"]
    assert "none.yaml" in errors["c"]
    assert "did you mean `on_timeout`" in got["error"]["message"]


def test_signals_for_steps_that_are_known_late(treadle):
    """Who sends one cannot know yet what will wait for it; a signal that no step waits for would be a mistake."""
    treadle.file("w.yaml", """
workflow:
  name: w
  variables: {call: pipeline, wait: wait_signal}
  steps:
    - {name: known, type: wait_signal, signal: known}
    - {name: a, type: "{{ call }}", pipeline: {steps: [{name: inner, type: wait_signal, signal: inside}]}}
    - {name: b, type: "{{ wait }}", signal: late}
""")
    treadle("run", "w.yaml", "--run-id", "r", code=3)
    for n, name in enumerate(("known", "inside", "late")):
        treadle("signal", "r", name, str(n), code=0)
        got = treadle("resume", "r", "--json", code=0 if n == 2 else 3).json
    assert got["results"]["b"]["data"] == 2 and got["results"]["a"]["inner"]["data"] == 1, got
