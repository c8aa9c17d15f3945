"""Made-up answers that a call gives for steps of the workflow that it calls; in no other run are they looked at."""
import time

import pytest
from conftest import calling

CHILD = """
workflow:
  name: child
  steps:
    - {name: validate, type: claude, prompt: "is it valid?", output_schema: {type: object}}
    - {name: own, type: claude, prompt: hello, mock_response: mine}
    - {name: test, type: command, run: echo really}
    - {name: loud, type: command, run: echo really}
    - name: each
      type: for_loop
      data_source: [1, 2]
      steps: [{name: ask, type: gemini, prompt: number}]
    - name: inner
      type: pipeline
      pipeline: {steps: [{name: deep, type: claude, prompt: deep}]}
"""
PARENT = calling("""
    pipeline_file: child.yaml
    config:
      mock_mode: %s
      mock_responses:
        validate: {status: valid, score: 95}
        own: theirs
        test: tested
        ask: forty
        inner/deep: deeper
      mock_delays: {validate: 700}
""")


def test_answers_of_the_call(treadle):
    treadle.file("child.yaml", CHILD)
    treadle.file("w.yaml", PARENT % "true")
    began = time.monotonic()
    got = treadle("run", "w.yaml", "--mock", "--json", code=0).json["results"]["call"]
    assert time.monotonic() - began >= 0.7
    assert got["validate"]["data"] == {"status": "valid", "score": 95}
    assert got["own"]["text"] == "mine" and got["inner"]["deep"]["text"] == "deeper"
    assert got["test"]["stdout"] == "tested" and got["loud"]["stdout"] == "really\n"
    assert [i["results"]["ask"]["text"] for i in got["each"]["iterations"]] == ["forty", "forty"]


def test_switched_off(treadle):
    treadle.file("child.yaml", CHILD)
    treadle.file("w.yaml", PARENT % "false")
    got = treadle("run", "w.yaml", "--mock", "--json", code=0).json["results"]["call"]
    assert got["validate"]["data"] == {} and got["test"]["stdout"] == "really\n"
    assert got["inner"]["deep"]["text"] == "deep"


def test_a_real_run_does_not_look_at_them(treadle, fake_provider):
    provider = fake_provider()
    treadle.file("w.yaml", calling("""
        config: {mock_mode: true, mock_responses: {test: tested, ask: made up}}
        pipeline:
          steps:
            - {name: test, type: command, run: echo really}
            - {name: ask, type: claude, prompt: "say: really"}
    """))
    got = treadle("run", "w.yaml", "--json", code=0, env=provider.env).json["results"]["call"]
    assert got["test"]["stdout"] == "really\n" and got["ask"]["text"] != "made up"


CALLS = """
workflow:
  name: w
  steps:
    - name: whole
      type: pipeline
      pipeline_file: %s
      inputs: {x: 1}
      mock_response: {said: "hello {{ 1 + 1 }}", score: 95, more: true}
      config: {workspace_dir: own, prune_results: {remove_fields: [more]}}
    - name: chosen
      type: pipeline
      pipeline_file: %s
      outputs: [{path: "ask.score", as: points}, {path: "ask.said"}]
      mock_response: {points: 7, said: yes, other: 1}
    - name: text
      type: pipeline
      pipeline: {steps: [{name: never, type: command, run: touch ran}], output: "{{ steps.never.stdout }}"}
      mock_response: just text
    - {name: use, type: test_echo, value: "{{ steps.whole.inputs.x + steps.chosen.points }} {{ steps.text }}"}
  output: "{{ steps.use }}"
"""


def test_a_whole_call_is_answered(treadle):
    treadle.file("w.yaml", CALLS % ("'later{{ 1 }}.yaml'", "missing.yaml"))
    seen = treadle("run", "w.yaml", "--mock", "--json", code=0)
    got = seen.json["results"]
    assert got["whole"] == {"said": "hello 2", "score": 95, "inputs": {"x": 1}}
    assert got["chosen"] == {"points": 7, "said": "yes"} and got["text"] == "just text" and got["use"] == "8 just text"
    assert not (treadle.cwd / "workspace/own").exists() and not (treadle.cwd / "workspace/ran").exists()
    assert "only a run with --mock does without it" in seen.err
    plan = treadle("run", "w.yaml", "--dry-run", "--json", code=0).json
    assert "touch ran" not in str(plan)


def test_in_a_real_run_the_workflow_is_called(treadle):
    text = "workflow: {name: c, steps: [{name: ask, type: test_echo, value: {score: 1, said: real}}]}"
    treadle.file("c.yaml", text)
    treadle.file("later1.yaml", text)
    treadle.file("w.yaml", CALLS % ("'later{{ 1 }}.yaml'", "c.yaml"))
    got = treadle("run", "w.yaml", "--json", code=0).json["results"]
    assert got["chosen"] == {"points": 1, "said": "real"} and got["text"] == ""
    assert (treadle.cwd / "workspace/ran").exists()
    treadle.file("w.yaml", CALLS % ("'later{{ 1 }}.yaml'", "missing.yaml"))
    assert "missing.yaml" in treadle("run", "w.yaml", code=1).err


def test_the_failure_of_a_whole_call(treadle):
    treadle.file("w.yaml", calling("""
        pipeline: {steps: [{name: never, type: command, run: touch ran}]}
        mock_error: {message: too deep, code: max_depth_exceeded}
        retry: {max_attempts: 2, delay: 0}
        config: {fallback_value: {said: nothing}, preserve_error_context: true}
        inputs: {x: 1}
    """) + '  output: "{{ steps.call.said }} {{ steps.call.error.code }} {{ steps.call.error_context.inputs.x }}"\n')
    seen = treadle("run", "w.yaml", "--mock", "--json", code=0).json
    assert seen["output"] == "nothing max_depth_exceeded 1"
    error = seen["results"]["call"]["error"]
    assert error["message"] == "too deep" and error["attempts"] == 2


def test_calls_around_answer_a_call_and_say_how_long_it_takes(treadle):
    treadle.file("w.yaml", """
workflow:
  name: w
  steps:
    - name: outer
      type: pipeline
      config: {mock_responses: {inner: {answer: 42}}, mock_delays: {inner: 600}}
      pipeline:
        steps:
          - {name: inner, type: pipeline, pipeline_file: "{{ 'none' }}.yaml", outputs: [answer]}
""")
    began = time.monotonic()
    got = treadle("run", "w.yaml", "--mock", "--json", code=0).json["results"]
    assert got["outer"]["inner"] == {"answer": 42} and time.monotonic() - began >= 0.6


def test_what_a_call_has_decided_stays(treadle_faults):
    treadle = treadle_faults
    treadle.file("w.yaml", calling("""
        pipeline: {steps: [{name: never, type: command, run: touch ran}]}
        mock_response: made up
        config: {mock_mode: true}
    """, behind="- {name: stop, type: approval, message: go on}"))
    assert treadle("run", "w.yaml", "--mock", "--run-id", "r", code=3)
    treadle("approve", "r", "stop", code=0)
    treadle("resume", "r", "--live", "--json", code=0)
    assert not (treadle.cwd / "workspace/ran").exists()


def test_an_output_that_the_response_lacks(treadle):
    treadle.file("w.yaml", calling("""
        pipeline: {steps: [{name: a, type: test_echo, value: 1}]}
        outputs: [a]
        mock_response: "{{ steps.from }}"
    """, before="- {name: from, type: test_echo, value: {b: 1}}"))
    seen = treadle("run", "w.yaml", "--mock", code=1)
    assert "`mock_response` has no `a`, which `outputs` names" in seen.err


@pytest.mark.parametrize("outputs, got", [
    ("said", {"said": "yes"}), ('{path: "ask.said"}', {"said": "yes"}), ('{path: "list[0]"}', {"list": [1]}),
    ("{said: ask.text, list: other}", {"said": "yes", "list": [1]})])
def test_forms_of_outputs(treadle, outputs, got):
    treadle.file("w.yaml", calling(f"""
        pipeline: {{steps: [{{name: ask, type: test_echo, value: {{said: real}}}}]}}
        outputs: {outputs}
        mock_response: {{said: "yes", list: [1]}}
    """))
    assert treadle("run", "w.yaml", "--mock", "--json", code=0).json["results"]["call"] == got
