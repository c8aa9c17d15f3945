"""Which secrets of the service's environment a workflow that was sent to it may have: those that the operator lists."""
import json
import pathlib

import pytest

from service import Service
from conftest import children

TOKEN, OTHER = "tok-open-0123456789abcdef", "tok-closed-fedcba9876543210"
ENVIRONMENT = {"OPEN_TOKEN": TOKEN, "CLOSED_TOKEN": OTHER, "TREADLE_SANDBOX": "none"}


def workflow(name, run="printf %s \"$NAME\" | wc -c", more=""):
    return f"""workflow:
  name: w
  secrets: [{name}]
  steps:
    - name: a
      type: command
      run: {json.dumps(run.replace("NAME", name))}
      secrets: [{name}]
{more}"""


def ended(service, request):
    return service.http("POST", "/run_pipeline", {**request, "wait": True})


def places(body):
    return [(e["line"], e["column"]) for e in body["errors"]]


@pytest.mark.parametrize("listed, by", [((), "nothing"), (("--secret", "OPEN_TOKEN"), "option"), ((), "variable")])
def test_what_was_sent_gets_what_is_listed(treadle, listed, by):
    env = {**ENVIRONMENT, **({"TREADLE_SECRETS": "SPARE_TOKEN, OPEN_TOKEN"} if by == "variable" else {})}
    service = Service(treadle, *listed, env=env, mock="").start()
    status, body = ended(service, {"workflow_yaml": workflow("CLOSED_TOKEN")})
    assert status == 422 and places(body) == [(3, 13)], body
    assert "CLOSED_TOKEN" in body["detail"] and "treadle serve --secret CLOSED_TOKEN" in body["detail"]
    status, body = ended(service, {"workflow_yaml": workflow("OPEN_TOKEN")})
    if by == "nothing":
        assert status == 422 and "--secret OPEN_TOKEN" in body["detail"], body
    else:
        assert status == 200 and body["results"]["a"]["stdout"].strip() == str(len(TOKEN)), body
    for pid, (_, command) in children(service.process.pid).items():
        shown = pathlib.Path(f"/proc/{pid}/environ").read_bytes()
        assert TOKEN.encode() not in shown and OTHER.encode() not in shown, command


def test_nothing_is_refused_to_the_operators_own(treadle):
    service = Service(treadle, env=ENVIRONMENT, mock="").start()
    stored = pathlib.Path(service.env["TREADLE_HOME"]) / "workflows"
    stored.mkdir(parents=True, exist_ok=True)
    (stored / "own.yaml").write_text(workflow("CLOSED_TOKEN"))
    status, body = ended(service, {"workflow": "own"})
    assert status == 200 and body["results"]["a"]["stdout"].strip() == str(len(OTHER)), body
    caller = "workflow: {name: c, steps: [{name: call, type: pipeline, pipeline_file: own.yaml}]}"
    status, body = ended(service, {"workflow_yaml": caller})
    assert status == 422 and body["errors"][0]["file"] == "own.yaml" and places(body) == [(3, 13)], body


def test_what_becomes_known_in_the_run_is_held_to_the_list_too(treadle):
    """The name of the called workflow comes late, so the start could not see what it asks for."""
    service = Service(treadle, env=ENVIRONMENT, mock="").start()
    caller = """workflow:
  name: c
  inputs: {which: {default: inner.yaml}}
  steps:
    - name: write
      type: file_ops
      operation: copy
      source: "{{ inputs.which }}.txt"
      destination: inner.yaml
      on_error: continue
    - {name: put, type: command, run: "cat > inner.yaml", stdin: "{{ inputs.text }}"}
    - {name: call, type: pipeline, pipeline_file: "{{ inputs.which }}"}
""".replace("inputs: {which", "inputs: {text: {}, which")
    status, body = ended(service, {"workflow_yaml": caller, "inputs": {"text": workflow("CLOSED_TOKEN", "env")}})
    assert status == 200 and body["status"] == "failed", body
    assert "may not name the secret CLOSED_TOKEN" in body["error"]["message"], body
    assert OTHER not in json.dumps(body)


def test_what_is_not_offered_is_no_oracle(treadle):
    """Were it taken out of results, a guess could be confirmed by its absence."""
    service = Service(treadle, "--secret", "OPEN_TOKEN", env=ENVIRONMENT, mock="").start()
    yaml = workflow("OPEN_TOKEN", f"echo {OTHER} {TOKEN}")
    status, body = ended(service, {"workflow_yaml": yaml})
    assert status == 200 and body["results"]["a"]["stdout"].split() == [OTHER, "[secret", "OPEN_TOKEN]"], body


@pytest.mark.parametrize("args, env, told", [
    (["--secret", "TWO WORDS"], {}, "no name of an environment variable"),
    (["--secret", "ANTHROPIC_API_KEY"], {}, "model steps use without being told"),
    ([], {"TREADLE_SECRETS": "A=B"}, "TREADLE_SECRETS is no name")])
def test_a_list_that_cannot_be_meant(treadle, args, env, told):
    assert told in treadle("serve", "--listen", "0", *args, env=env, code=2).err


def test_a_listed_name_that_is_not_set_is_told(treadle):
    service = Service(treadle, "--secret", "OPNE_TOKEN", env=ENVIRONMENT, mock="").start()
    assert "warning: the secret OPNE_TOKEN" in service.log()
