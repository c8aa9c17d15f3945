"""What a workflow that was sent to the service can read: files of its workspace and among the stored workflows, and
nothing else, by whatever path, link or detour. A stored workflow is the operator's, and its own words name files
anywhere; what a client gives it does not."""
import json

import pytest
from conftest import wait_for
from service import directory_of
from test_serve import service  # noqa: F401 (a fixture)

SECRET = "what only the operator may read"
READS = {
    "hole": 'type: test_echo, value: "{{file:%s}}"',
    "template": "type: test_echo, value: \"{{file:{{ '%s' }}}}\"",
    "part": 'type: claude, prompt: [{type: file, path: "%s"}]',
    "pattern": 'type: claude, prompt: [{type: file, path: "%s*"}]',
    "task": 'type: claude_batch, prompt: read, tasks: [{id: x, prompt: "", file: "%s"}]',
    "called": "type: pipeline, pipeline_file: \"{{ '%s' }}\"",
    "query": 'type: codebase_query, queries: {q: {find_files: {pattern: "%s"}}}',
    "file": 'type: file_ops, operation: copy, source: "%s", destination: got',
}


def posted(read, path, before="true"):
    step = READS[read] % path if "%s" in READS[read] else READS[read]
    return (f"workflow: {{name: w, steps: [{{name: links, type: command, run: '{before}'}}, "
            f"{{name: a, {step}}}]}}")


def traces(treadle):
    return [path for path in treadle.home.rglob("*")
            if path.is_file() and not path.is_symlink() and SECRET.encode() in path.read_bytes()]


@pytest.mark.parametrize("read", READS)
def test_a_workflow_that_was_sent_reads_nothing_of_the_operator(service, treadle, read):  # noqa: F811
    secret = treadle.file("secret.yaml", SECRET)
    s = service(mock="")
    links = f"ln -s {treadle.cwd} d; ln -s {secret} l; mkdir in; ln -s ../../../../.. in/up"
    for path in (str(secret), "../" * 12 + str(secret)[1:], f"./x/../{'../' * 12}{str(secret)[1:]}", "d/secret.yaml",
                 "l", f"in/up/{secret}", "secret.yaml", "/proc/self/cwd/secret.yaml", f"/proc/{s.pid('executor')}/cwd/"
                 "secret.yaml", f"/proc/self/root{secret}"):
        body = s.http("POST", "/run_pipeline", {"workflow_yaml": posted(read, path, links), "wait": True})[1]
        told = json.dumps(body)
        assert SECRET not in told, (read, path, body)
        if read in ("query", "file"):
            continue
        assert body["status"] == "failed", (read, path, body)
        message = body["error"]["message"]
        assert "sent to the service reads nothing else" in message or "cannot be followed" in message, body
        assert "workspace" in message or "followed" in message, body
    assert not traces(treadle)


def test_the_control_the_same_words_of_the_operator_read_it(service, treadle):  # noqa: F811
    secret = treadle.file("secret.yaml", SECRET)
    stored = treadle.home / "workflows"
    stored.mkdir(parents=True)
    (stored / "beside.txt").write_text("beside")
    for read in ("hole", "part"):
        (stored / f"{read}.yaml").write_text(posted(read, secret))
    s = service(mock="")
    for read in ("hole", "part"):
        body = s.http("POST", "/run_pipeline", {"workflow": read, "wait": True})[1]
        assert body["status"] == "succeeded" and SECRET in json.dumps(body["results"]), body
    # sent: what is beside the stored workflows, and what a step has made
    for path, before, text in (("beside.txt", "true", "beside"), ("made/x.txt", "mkdir made; echo mine > made/x.txt",
                                                                  "mine")):
        for read in ("hole", "template", "part", "pattern"):
            body = s.http("POST", "/run_pipeline", {"workflow_yaml": posted(read, path, before), "wait": True})[1]
            assert body["status"] == "succeeded" and text in json.dumps(body["results"]["a"]), (read, path, body)
        absolute = "{{ steps.links.stdout }}/" + path
        body = s.http("POST", "/run_pipeline",
                      {"workflow_yaml": posted("part", absolute, before + "; printf %s \"$PWD\""), "wait": True})[1]
        if path != "beside.txt":
            assert text in json.dumps(body["results"].get("a")), body


@pytest.mark.parametrize("path", ["{{ inputs.path }}", "${inputs.path}", "{{ variables.path }}"])
def test_what_a_client_gives_a_stored_workflow_names_no_files(service, treadle, path):  # noqa: F811
    secret = treadle.file("secret.yaml", SECRET)
    stored = treadle.home / "workflows"
    stored.mkdir(parents=True)
    (stored / "beside.txt").write_text("beside")
    (stored / "w.yaml").write_text(
        "workflow: {name: w, inputs: {path: string}, steps: [{name: v, type: set_variable, variables: "
        f"{{path: \"{{{{ inputs.path }}}}\"}}}}, {{name: a, type: claude, prompt: "
        f"[{{type: file, path: \"{path}\"}}]}}]}}")
    s = service(mock="")
    for given in (str(secret), "../" * 12 + str(secret)[1:], "secret.yaml"):
        body = s.http("POST", "/run_pipeline", {"workflow": "w", "inputs": {"path": given}, "wait": True})[1]
        assert body["status"] == "failed" and SECRET not in json.dumps(body), (given, body)
    body = s.http("POST", "/run_pipeline", {"workflow": "w", "inputs": {"path": "beside.txt"}, "wait": True})[1]
    assert body["status"] == "succeeded" and "beside" in json.dumps(body["results"]["a"]), body
    assert not traces(treadle)


@pytest.mark.parametrize("key", ["extends", "include", "output_schema"])
def test_files_that_it_is_made_of_come_with_it_or_are_stored(service, treadle, key):  # noqa: F811
    secret = treadle.file("secret.yaml", f"workflow: {{variables: {{x: {SECRET}}}}}")
    s = service(mock="")
    for path in (str(secret), "../" * 12 + str(secret)[1:], "../service.db"):
        text = {"output_schema": f"workflow: {{name: w, steps: [{{name: a, type: claude, prompt: x, "
                                 f"output_schema: {path}}}]}}"}.get(
            key, f"{key}: {path}\nworkflow: {{name: w, steps: [{{name: a, type: test_echo, value: x}}]}}")
        status, body = s.http("POST", "/run_pipeline", {"workflow_yaml": text})
        assert status == 422 and SECRET not in json.dumps(body), (path, body)


WAITS = """\
workflow:
  name: waits
  steps:
    - {name: go, type: wait_signal, signal: go}
    - {name: a, type: claude, prompt: [{type: file, path: "PATH"}]}
"""


def test_after_a_restart_it_is_still_a_stranger(service, treadle):  # noqa: F811
    secret = treadle.file("secret.yaml", SECRET)
    stored = treadle.home / "workflows"
    stored.mkdir(parents=True)
    (stored / "own.yaml").write_text(WAITS.replace("PATH", str(secret)))
    s = service(mock="")
    runs = {"sent": s.run(WAITS.replace("PATH", str(secret))),
            "own": s.http("POST", "/run_pipeline", {"workflow": "own"})[1]["run_id"]}
    for run in runs.values():
        wait_for(lambda run=run: s.show(run)["status"] == "waiting", 20, "waiting")
    s.kill("engine")
    s.kill("executor")
    for run in runs.values():
        wait_for(lambda run=run: s.http("POST", f"/v1/runs/{run}/signal", {"name": "go"})[0] == 202, 20, "a signal")
    sent, own = (s.ended(runs[which]) for which in ("sent", "own"))
    assert sent["status"] == "failed" and "sent to the service" in sent["error"]["message"], sent
    assert own["status"] == "succeeded" and SECRET in json.dumps(own["results"]), own
    assert SECRET not in treadle("logs", runs["sent"], "--json", code=0).out
    assert not any(SECRET.encode() in p.read_bytes() for p in directory_of(s, runs["sent"]).rglob("*") if p.is_file())
