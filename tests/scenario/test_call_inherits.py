"""What a called workflow has of its caller: variables, models, functions; and the workspace that it works in."""
import pytest

CALL = """
workflow:
  name: w
  variables: {a: 1, b: 2, temp: 3}
  defaults: {gemini_model: gemini-2.5-flash}
  steps:
    - {name: before, type: test_echo, value: seen}
    - name: call
      type: pipeline
      config: %s
      pipeline:
        variables: {own: "{{ exists(a) }}"}
        steps:
          - name: v
            type: test_echo
            value: ["{{ exists(a) }}", "{{ exists(b) }}", "{{ exists(temp) }}", "{{ exists(steps.before) }}",
                    "{{ own }}", "{{ sort(keys(state)) }}"]
"""


@pytest.mark.parametrize("config, expected", [
    ("{inheritance: {global_vars: {include: [a, b], exclude: [b]}}}", [True, False, False, False, True, ["a", "own"]]),
    ("{inheritance: {global_vars: {exclude: temp}}}", [True, True, False, False, True, ["a", "b", "own"]]),
    ("{inheritance: {global_vars: {}}}", [True, True, True, False, True, ["a", "b", "own", "temp"]]),
    ("{inherit_context: true, inheritance: {global_vars: {include: [a]}}}",
     [True, False, False, True, True, ["a", "own"]]),
    ("{inherit_context: true, inheritance: {global_vars: {exclude: [a, temp]}}}",
     [False, True, False, True, False, ["b", "own"]]),
    ("{inheritance: {providers: {}}}", [False, False, False, False, False, ["own"]]),
])
def test_variables(treadle, config, expected):
    treadle.file("w.yaml", CALL % config)
    assert treadle("run", "w.yaml", "--json", code=0).json["results"]["call"]["v"] == expected


def test_copies_are_of_the_moment_and_stay_inside(treadle):
    treadle.file("w.yaml", """
workflow:
  name: w
  variables: {n: 1}
  steps:
    - {name: set, type: set_variable, variables: {n: 5}}
    - name: call
      type: pipeline
      config: {inheritance: {global_vars: {include: n}}}
      pipeline:
        steps:
          - {name: more, type: set_variable, variables: {n: "{{ n + 1 }}"}}
          - {name: n, type: test_echo, value: "{{ n }}"}
    - {name: n, type: test_echo, value: "{{ n }}"}
  output: "{{ steps.call.n }} {{ steps.n }}"
""")
    assert treadle("run", "w.yaml", "--json", code=0).json["output"] == "6 5"


def test_a_variable_that_is_not_there(treadle):
    treadle.file("w.yaml", CALL % "{inheritance: {global_vars: {include: [a, endpoints]}}}")
    error = treadle("run", "w.yaml", "--json", code=1).json["error"]
    assert error["class"] == "invalid"
    assert "includes `endpoints`; expected a variable that is known here" in error["message"]


@pytest.mark.parametrize("config, own, expected", [
    ("{}", "", "gemini-2.5-flash"),
    ("{inheritance: {providers: {inherit_all: true}}}", "", "gemini-2.5-flash"),
    ("{inheritance: {providers: {inherit_all: true, override: {gemini: {model: gemini-2.5-pro}}}}}", "",
     "gemini-2.5-pro"),
    ("{inheritance: {providers: {override: {gemini: {model: gemini-2.5-pro}}}}}", "gemini-2.5-flash-lite",
     "gemini-2.5-pro"),
    ("{inheritance: {providers: {inherit_all: false}}}", "gemini-2.5-flash-lite", "gemini-2.5-flash-lite"),
])
def test_models(treadle, config, own, expected):
    treadle.file("w.yaml", f"""
workflow:
  name: w
  defaults: {{gemini_model: gemini-2.5-flash}}
  steps:
    - name: call
      type: pipeline
      config: {config}
      pipeline:
        {"defaults: {gemini_model: %s}" % own if own else ""}
        steps: [{{name: ask, type: gemini, prompt: hello}}]
""")
    got = treadle("run", "w.yaml", "--mock", "--json", code=0).json["results"]
    assert got["call"]["ask"]["model"] == expected


FUNCTIONS = "gemini_functions: {look: {description: looks, parameters: {type: object}}}"


@pytest.mark.parametrize("config", ["{inherit_functions: true}", "{inheritance: {functions: {inherit: true}}}"])
def test_functions_of_the_caller(treadle, config):
    text = f"""
workflow:
  name: w
  {FUNCTIONS}
  steps:
    - name: call
      type: pipeline
      config: %s
      pipeline: {{steps: [{{name: ask, type: gemini, functions: [look], prompt: hello}}]}}
"""
    treadle.file("w.yaml", text % config)
    treadle("run", "w.yaml", "--mock", "--json", code=0)
    treadle.file("w.yaml", text % "{}")
    assert "no function `look` is declared" in treadle("validate", "w.yaml", code=2).err


@pytest.mark.parametrize("file", ["child.yaml", "{{ 'child' }}.yaml"])
def test_functions_of_the_called_file(treadle, file):
    """They are its own: its caller need not know them."""
    treadle.file("child.yaml", f"""
workflow:
  name: child
  {FUNCTIONS}
  steps: [{{name: ask, type: gemini, functions: [look], prompt: hello}}]
""")
    treadle.file("w.yaml", f"""
workflow:
  name: w
  steps: [{{name: call, type: pipeline, pipeline_file: "{file}"}}]
""")
    treadle("run", "w.yaml", "--mock", "--json", code=0)


ISOLATED = """
workflow:
  name: w
  steps:
    - {name: f, type: command, run: echo one > f}
    - name: both
      type: parallel
      branches:
        a:
          - name: call
            type: pipeline
            %s
            pipeline:
              steps:
                - {name: c, type: command, run: "cat f; echo two > g; echo more >> f; pwd"}
                - {name: look, type: file_ops, operation: list, path: .}
                %s
        b: [{name: see, type: command, run: "sleep 0.5; ls; cat f"}]
    - {name: after, type: command, run: "ls; cat f"}
"""


@pytest.mark.strict  # a copy is shown where the workspace is
@pytest.mark.parametrize("how", ["workspace: isolated", "config: {workspace_isolation: true}",
                                 "config: {workspace_isolation: {enabled: true, base_dir: ./ws, permissions: '0750'}}"])
def test_a_copy_of_the_workspace(treadle, how):
    treadle.file("w.yaml", ISOLATED % (how, ""))
    got = treadle("run", "w.yaml", "--json", code=0).json["results"]
    call = got["both"]["branches"]["a"]["results"]["call"]
    assert call["c"]["stdout"] == f"one\n{treadle.cwd}/workspace\n"
    assert [f.split("/")[-1] for f in call["look"]["files"]] == ["f", "g"]
    assert got["after"]["stdout"] == "f\ng\none\nmore\n"


def test_a_copy_goes_when_the_workflow_fails(treadle):
    treadle.file("w.yaml", ISOLATED % ("workspace: isolated", "- {name: x, type: test_echo, fail: true}"))
    treadle("run", "w.yaml", "--json", code=1)
    assert sorted(p.name for p in (treadle.cwd / "workspace").iterdir()) == ["f"]


@pytest.mark.strict  # elsewhere an interrupted command waits for a person
@pytest.mark.parametrize("point", ["before.intent=2", "after.intent=2", "after.result=2", "before.done=3",
                                   "after.done=3", "before.intent=5", "after.intent=5", "before.result=5",
                                   "after.result=5"])
def test_a_copy_after_a_kill(treadle_faults, point):
    treadle = treadle_faults
    treadle.file("w.yaml", """
workflow:
  name: w
  steps:
    - {name: f, type: command, run: echo one > f}
    - name: call
      type: pipeline
      workspace: isolated
      pipeline:
        steps:
          - {name: a, type: command, run: "cat f; echo two >> f"}
          - {name: b, type: command, run: "cat f; echo three >> f"}
    - {name: after, type: command, run: cat f}
""")
    with treadle.start("run", "w.yaml", "--run-id", "r", "--json",
                       env={"TREADLE_FAULT": f"engine.kill.{point}"}) as process:
        process.wait()
    got = treadle("resume", "r", "--json", code=0).json["results"]
    assert got["call"]["b"]["stdout"] == "one\ntwo\n" and got["after"]["stdout"] == "one\ntwo\nthree\n"
