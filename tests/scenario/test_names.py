"""Names that the engine gives, older ways to give inputs, and that none of it changes when a run is resumed."""
import re

import pytest

NAMES = """
workflow:
  name: named
  version: "2.0"
  metadata: {owner: me}
  config: {retries: 7}
  environment: {mode: test, debug_level: basic, test: {debug_level: detailed}}
  providers: {claude: {model: haiku}, gemini: {model: gemini-2.5-pro, temperature: 0.1}}
  variables: {a: 1}
  global_vars: {b: 2}
  steps:
    - {name: first, type: test_echo, value: {x: 5, cost_usd: 2}, metadata: {timer_start: whole}}
    - name: second
      type: test_echo
      variables: {twice: "{{ previous_response.x * 2 }}", word: plain}
      value:
        workflow: "{{ workflow.version }} {{ workflow.metadata.owner }} {{ workflow.variables.b }}"
        config: "{{ config.retries }} {{ config.claude_model }}"
        environment: "{{ environment.mode }} {{ environment.debug_level }}"
        step: "{{ step.name }} {{ step.variables.twice }} {{ twice + 1 }} {{ word }} {{ current_step }}"
        run: "{{ execution_id }} {{ workspace.path }} {{ date }}"
        context: "{{ context.depth }} {{ context.execution_chain }}"
        system: "{{ system.completed_steps }} of {{ system.total_steps }}"
        timer: "{{ timer.whole.elapsed_ms >= 0 }}"
        older: "{{ steps.first.result.x }} {{ steps.first.cost }} {{ steps.first.error_message || 'none' }}"
    - {name: unset, type: test_echo, value: 1, condition: "state.never_set_anywhere == null"}
"""


def test_names_of_the_engine(treadle):
    treadle.file("names.yaml", NAMES)
    result = treadle("run", "names.yaml", "--json", "--run-id", "r1", code=0)
    got = result.json["results"]
    said = got["second"]
    assert said["workflow"] == "2.0 me 2" and said["config"] == "7 haiku" and said["environment"] == "test detailed"
    assert said["step"] == "second 10 11 plain second"
    assert re.fullmatch(rf"r1 {re.escape(str(treadle.cwd))}/workspace \d{{4}}-\d\d-\d\d", said["run"])
    assert said["context"] == '0 ["named"]' and said["system"] == "1 of 3" and said["timer"] is True
    assert said["older"] == "5 2 none" and got["unset"] == 1


def test_the_models_of_providers_are_defaults(treadle):
    treadle.file("m.yaml", NAMES + "    - {name: ask, type: claude, prompt: Hi}\n"
                                   "    - {name: g, type: gemini, prompt: Hi}\n")
    got = treadle("run", "m.yaml", "--json", "--mock", code=0).json["results"]
    assert "haiku" in got["ask"]["model"] and got["g"]["model"] == "gemini-2.5-pro"


PINNED = """
workflow:
  name: pinned
  env: [LISTED]
  steps:
    - {name: before, type: test_echo, value: "{{ env.LISTED }} {{ BARE_MODE }}", metadata: {timer_start: t}}
    - {name: gate, type: command, run: test -e open}
    - name: after
      type: test_echo
      value: ["{{ env.LISTED }} {{ BARE_MODE }}", "{{ timestamp }}", "{{ timer.t.started }}"]
"""


def test_what_a_run_reads_does_not_change_when_it_is_resumed(treadle):
    treadle.file("pinned.yaml", PINNED)
    first = treadle("run", "pinned.yaml", "--run-id", "p", env={"LISTED": "one", "BARE_MODE": "two"}, code=1)
    assert "`BARE_MODE` is read from the environment, an older form" in first.err
    (treadle.cwd / "workspace/open").touch()
    got = treadle("resume", "p", "--json", env={"LISTED": "changed", "BARE_MODE": "changed"}, code=0).json["results"]
    assert got["before"] == "one two" and got["after"][0] == "one two"
    assert got["after"][2] >= got["after"][1]


def test_a_credential_is_not_read_by_chance(treadle):
    treadle.file("w.yaml", 'workflow: {name: w, steps: [{name: a, type: test_echo, value: "{{ MY_API_KEY }}"}]}')
    assert "looks like a credential" in treadle("validate", "w.yaml", code=2).err


BARE = """
workflow:
  name: bare
  steps: [{name: a, type: test_echo, value: "{{ code_file }} {{ focus_area }}"}]
"""


def test_words_and_environment_become_inputs(treadle):
    treadle.file("bare.yaml", BARE)
    got = treadle("run", "bare.yaml", "CODE_FILE=x.py", "--json", env={"FOCUS_AREA": "speed"}, code=0).json
    assert got["results"]["a"] == "x.py speed"
    treadle.file("declared.yaml", 'workflow: {name: d, inputs: {n: integer, Up: string}, '
                 'steps: [{name: a, type: test_echo, value: "{{ inputs.n + 1 }} {{ inputs.Up }}"}]}')
    got = treadle("run", "declared.yaml", "N=4", "Up=y", "--json", code=0).json
    assert got["results"]["a"] == "5 y"
    assert "unexpected argument `word`" in treadle("run", "declared.yaml", "word", code=2).err


def test_all_wrong_inputs_are_told_at_once(treadle):
    treadle.file("w.yaml", """
workflow:
  name: w
  input_schema:
    type: object
    required: [topic, depth]
    properties:
      topic: {type: string, description: What about}
      depth: {type: integer}
      mood: {type: string, enum: [calm, glad], default: calm}
  steps: [{name: a, type: test_echo, value: "{{ inputs.mood }}"}]
""")
    told = treadle("run", "w.yaml", "mood=sad", code=2).err
    assert "input `mood` is \"sad\"" in told and "input `topic` is required" in told and "`depth` is required" in told
    shown = treadle("run", "--help", "w.yaml", code=0).out
    assert "topic" in shown and "What about" in shown and 'default "calm"' in shown and "one of" in shown
    assert shown == treadle("run", "w.yaml", "--help", code=0).out


def test_directories_of_the_environment(treadle):
    treadle.file("w.yaml", "workflow: {name: w, workspace_dir: ./here, steps: "
                 "[{name: a, type: command, run: pwd}, {name: b, type: test_echo, value: x, output_to_file: o.txt}]}")
    env = {"PIPELINE_WORKSPACE_DIR": "there", "PIPELINE_OUTPUT_DIR": "out"}
    got = treadle("run", "w.yaml", "--json", env=env, code=0).json["results"]
    assert got["a"]["stdout"].strip().endswith("/there") and (treadle.cwd / "out/o.txt").read_text() == "x"
    got = treadle("run", "w.yaml", "--json", "--workspace", "third", env=env, code=0).json["results"]
    assert got["a"]["stdout"].strip().endswith("/third")


OVER = """
workflow:
  name: over
  cost_limits: {max_cost_per_run: 0.0000001, action_on_exceed: %s}
  steps:
    - {name: a, type: claude, prompt: Hi}
    - {name: b, type: claude, prompt: Ho, on_error: continue}
    - {name: c, type: test_echo, value: end}
"""


def test_what_happens_over_the_budget(treadle):
    for action, code in (("pause", 3), ("continue", 0), ("abort", 1)):
        treadle.file(f"{action}.yaml", OVER % action)
        result = treadle("run", f"{action}.yaml", "--mock", "--json", code=code)
        assert ("c" in result.json["results"]) == (action == "continue")
        if action == "abort":
            assert result.json["error"]["class"] == "budget"


DOLLARS = """
workflow:
  name: dollars
  workspace_dir: ./${PLACE:-here}
  variables:
    stage: "${STAGE:-test}"
    word: "${STAGE} and ${workflow.name}"
    level: "${inputs.n > 3 ? 'high' : 'low'}"
    shell: "$HOME and $(x) and ${not this one!}"
  inputs: {n: {type: integer, default: 5}}
  steps:
    - {name: a, type: test_echo, value: "{{ state.stage }}|{{ state.word }}|{{ state.level }}|{{ state.shell }}"}
    - {name: b, type: command, run: "X=y; echo ${X} $PWD"}
    - {name: c, type: test_echo, value: x, output_to_file: "${STAGE:-none}.txt"}
"""


def test_dollars_in_variables_and_paths(treadle):
    treadle.file("w.yaml", DOLLARS)
    got = treadle("run", "w.yaml", "--json", env={"STAGE": "prod"}, code=0).json["results"]
    assert got["a"] == "prod|prod and dollars|high|$HOME and $(x) and ${not this one!}"
    assert got["b"]["stdout"] == f"y {treadle.cwd}/here\n"
    assert (treadle.cwd / "outputs/prod.txt").exists()
    treadle.file("w.yaml", DOLLARS.replace('    word: "${STAGE} and ${workflow.name}"\n', "")
                 .replace("{{ state.word }}|", ""))
    got = treadle("run", "w.yaml", "--json", env={"PLACE": "there"}, code=0).json["results"]
    assert got["a"].startswith("test|high|") and got["b"]["stdout"].endswith("/there\n")
    assert (treadle.cwd / "outputs/none.txt").exists()


LATE = """
workflow:
  name: w
  steps:
    - {name: first, type: command, run: touch first}
    - {name: second, type: claude, prompt: "Greet {{ nmae }} and {{ other }}."}
"""


def test_a_name_that_nothing_gives_is_refused_before_the_first_step(treadle):
    treadle.file("w.yaml", LATE)
    result = treadle("run", "w.yaml", "--mock", "--json", "--input", "other=x", code=2)
    assert "w.yaml:6:54: nothing gives what the workflow reads: nmae;" in result.err, result
    assert "--input nmae=" in result.err
    assert "nmae" in result.json["error"]["message"] and not list(treadle.cwd.rglob("first"))
    both = treadle("run", "w.yaml", "--mock", code=2).err
    assert "`nmae`" in both and "`other`" in both
    given = treadle("run", "w.yaml", "--mock", "--json", "--input", "other=x", "NMAE=Ada", code=0)
    assert given.json["results"]["second"]["text"] == "Greet Ada and x."
    assert treadle("run", "w.yaml", "--mock", "other=x", env={"NMAE": "Ada"}, code=0)


@pytest.mark.parametrize("first", [
    {"type": "checkpoint", "action": "load", "checkpoint_name": "c",
     "on_not_found": [{"name": "x", "type": "test_echo", "value": 1}]},
    {"type": "{{ env.KIND }}", "value": 1},
])
def test_names_that_may_come_up_in_the_run_are_not_refused(treadle, first):
    steps = [{"name": "a", **first}, {"name": "b", "type": "test_echo", "value": "{{ unheard_of }}"}]
    treadle.file("w.yaml", {"workflow": {"name": "w", "env": ["KIND"], "steps": steps}})
    result = treadle("run", "w.yaml", env={"KIND": "test_echo"}, code=1)
    assert "nothing here sets it" not in result.err


@pytest.mark.parametrize("prompt, told", [
    ("a {% if x %}b{% endif %}", True), ("{%- for q in r -%}", True), ("100 {% of it", False), ("{% %}", False),
    ([{"type": "static", "content": "{% if x %}"}], True),
    ([{"type": "static", "content": "{% if x %}", "raw": True}], False)])
def test_statements_of_other_templates_are_told(treadle, prompt, told):
    treadle.file("w.yaml", {"workflow": {"name": "w", "steps": [{"name": "a", "type": "claude", "prompt": prompt}]}})
    assert ("stays as text; expected {{#if PATH}}" in treadle("validate", "w.yaml", code=0).err) == told


@pytest.mark.parametrize("name, near", [("nmae", "name"), ("ode", None), ("cat", None), ("coutn", "count"),
                                        ("root", None)])
def test_only_near_names_are_suggested(treadle, name, near):
    treadle.file("w.yaml", {"workflow": {"name": "w", "variables": {"name": 1, "done": 2, "count": 3}, "steps": [
        {"name": "a", "type": "test_echo", "value": "{{ state.%s }}" % name}]}})
    said = treadle("validate", "w.yaml", code=2).err
    assert (f"did you mean `{near}`?" in said) if near else ("did you mean" not in said), said
