"""Made-up answers that a call gives for steps of the workflow that it calls; in no other run are they looked at."""
import time

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
PARENT = """
workflow:
  name: w
  steps:
    - name: call
      type: pipeline
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
"""


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
    treadle.file("w.yaml", """
workflow:
  name: w
  steps:
    - name: call
      type: pipeline
      config: {mock_mode: true, mock_responses: {test: tested, ask: made up}}
      pipeline:
        steps:
          - {name: test, type: command, run: echo really}
          - {name: ask, type: claude, prompt: "say: really"}
""")
    got = treadle("run", "w.yaml", "--json", code=0, env=provider.env).json["results"]["call"]
    assert got["test"]["stdout"] == "really\n" and got["ask"]["text"] != "made up"
