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
