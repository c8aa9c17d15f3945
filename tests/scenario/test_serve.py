"""`treadle serve`: processes may die, and no run is lost, hurt by another, or paid for twice. Judged by the provider's
ledger, by files that commands write, and by what the HTTP interface tells."""
import fcntl
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

import pytest
from conftest import ROOT, wait_for
from service import Service, directory_of

HELLO = """\
workflow:
  name: hello
  inputs: {word: {type: string, default: hello}}
  output: "{{ steps.say.text }} {{ steps.run.stdout }}"
  steps:
    - {name: say, type: claude, prompt: "{{ inputs.word }}"}
    - {name: run, type: command, run: [printf, done]}
"""


@pytest.fixture
def service(treadle):
    made = []

    def start(*args, **more):
        made.append(Service(treadle, *args, **more).start())
        return made[-1]

    yield start
    for each in made:
        if each.process.popen.poll() is None:
            assert each.stop().code == 0, each.log()[-3000:]


def test_a_run_by_http(service):
    s = service(mock="")
    status, body = s.http("POST", "/run_pipeline", {"workflow_yaml": HELLO, "inputs": {"word": "loom"}, "wait": True})
    assert status == 200 and body["status"] == "succeeded" and body["output"] == "loom done", body
    assert s.show(body["run_id"]) == body
    assert s.http("GET", "/healthz")[0] == 200
    status, state = s.http("GET", "/readyz")
    assert status == 200 and state["ready"] is True and state["runs"]["running"] == 0


def test_a_stored_workflow_and_its_directory(service, treadle):
    (treadle.home / "workflows").mkdir(parents=True)
    (treadle.home / "workflows" / "hello.yaml").write_text(HELLO)
    s = service(mock="")
    status, body = s.http("POST", "/run_pipeline", {"workflow": "hello", "wait": 20})
    assert (status, body["output"]) == (200, "hello done"), body
    assert s.http("POST", "/run_pipeline", {"workflow": "../hello"})[0] == 422
    assert s.http("POST", "/run_pipeline", {"workflow": "nothing"})[0] == 404


STATES = """
workflow:
  name: states
  steps:
    - {name: talk, type: claude_session, session_name: tutor, prompt: hello}
    - {name: before, type: checkpoint, action: load, checkpoint_name: n, on_not_found: [{name: a, type: test_echo}]}
    - {name: save, type: checkpoint, checkpoint_name: n, state: {n: 7}}
    - {name: call, type: pipeline, pipeline_ref: "{{ 'hello' }}"}
  output: >-
    {{ steps.talk.claude_session_metadata.turn }} {{ steps.before.found }} {{ steps.before.state.n || 0 }}
    {{ steps.call }}
"""


def test_what_outlives_runs_is_there_for_the_next(service, treadle):
    """Conversations, checkpoints and stored workflows lie in the home, for the service as for `treadle run`."""
    (treadle.home / "workflows").mkdir(parents=True)
    (treadle.home / "workflows" / "hello.yaml").write_text(HELLO)
    s = service(mock="")
    answers = [s.http("POST", "/run_pipeline", {"workflow_yaml": STATES, "wait": True})[1] for _ in range(2)]
    assert [a.get("output") for a in answers] == ["1 false 0 hello done", "2 true 7 hello done"], answers
    treadle.file("states.yaml", STATES)
    assert treadle("run", "states.yaml", "--mock", "--quiet", code=0).out == "3 true 7 hello done\n"


FILES = {
    "lib/base.yaml": "workflow:\n  variables: {who: base}\n  steps:\n"
                     "    - {name: call, type: pipeline, pipeline_file: ./child.yaml, inputs: {n: 2}}\n",
    "child.yaml": "include: lib/more.yaml\nworkflow:\n  name: child\n  inputs: {n: integer}\n"
                  "  output: '{{ steps.a }} {{ more }}'\n"
                  "  steps: [{name: a, type: test_echo, value: '{{ inputs.n * 3 }}'}]\n",
    "lib/more.yaml": "variables: {more: yes!}\n"}
MANY = """
extends: lib/base.yaml
workflow: {name: many, output: "{{ who }}: {{ steps.call }}"}
"""


def test_a_workflow_in_several_files(service, treadle):
    """They come with the request or are stored; the run is pinned to them, and a mistake is shown in its file."""
    s = service(mock="")
    status, body = s.http("POST", "/run_pipeline", {"workflow_yaml": MANY, "files": FILES, "wait": True})
    assert (status, body.get("output")) == (200, "base: 6 yes!"), body
    status, body = s.http("POST", "/run_pipeline", {"workflow_yaml": MANY, "wait": True})
    assert status == 422 and "expected it in `files` of the request" in body["errors"][0]["detail"], body
    broken = {**FILES, "lib/base.yaml": FILES["lib/base.yaml"].replace("inputs:", "input:")}
    status, body = s.http("POST", "/run_pipeline", {"workflow_yaml": MANY, "files": broken})
    assert status == 422 and body["errors"][0]["file"] == "lib/base.yaml" and body["errors"][0]["line"] == 4, body
    broken = {**FILES, "child.yaml": FILES["child.yaml"].replace("value:", "valu:")}
    status, body = s.http("POST", "/run_pipeline", {"workflow_yaml": MANY, "files": broken})
    assert status == 422 and any(e["file"] == "child.yaml" for e in body["errors"]), body
    assert s.http("POST", "/run_pipeline", {"workflow_yaml": MANY, "files": [1]})[0] == 400
    assert s.http("POST", "/run_pipeline", {"workflow_yaml": MANY, "files": {"lib/base.yaml": 1}})[0] == 400
    (treadle.home / "workflows").mkdir(parents=True)
    (treadle.home / "workflows" / "hello.yaml").write_text(HELLO)
    call = "workflow: {name: w, output: '{{ steps.c }}', steps: [{name: c, type: pipeline, pipeline_ref: hello}]}"
    status, body = s.http("POST", "/run_pipeline", {"workflow_yaml": call, "wait": True})
    assert (status, body["output"]) == (200, "hello done"), body
    (treadle.home / "workflows" / "hello.yaml").write_text(HELLO.replace("steps:", "stps:"))
    status, body = s.http("POST", "/run_pipeline", {"workflow_yaml": call, "wait": True})
    assert status == 422 and any(e["file"] == "hello.yaml" for e in body["errors"]), body


def test_a_second_service_is_told_of_the_first(service, treadle):
    service(mock="")
    got = treadle("serve", "--mock", "--listen", "0", code=4)
    assert "is in use by another `treadle serve`" in got.err and "--db" in got.err
    assert "treadle cancel" not in got.err


def test_a_duplicate_start_is_the_first_run(service, fake_provider):
    provider = fake_provider()
    s = service(env=provider.env)
    key = {"idempotency_key": "order-7"}
    first = s.http("POST", "/run_pipeline", {"workflow_yaml": HELLO, **key, "wait": True})[1]
    again = s.http("POST", "/run_pipeline", {"workflow_yaml": HELLO, **key})
    assert again[0] == 200 and again[1]["run_id"] == first["run_id"]
    header = s.http("POST", "/v1/runs", {"workflow_yaml": HELLO}, {"Idempotency-Key": "order-7"})
    assert header[1]["run_id"] == first["run_id"]
    s.stop()
    s.start()  # it is remembered
    assert s.http("POST", "/run_pipeline", {"workflow_yaml": HELLO, **key})[1]["run_id"] == first["run_id"]
    assert provider.total() == 1


def test_a_key_stands_for_one_request(service):
    """The same again is answered with the first run, marked as such; another one is refused, also after its end."""
    s = service(mock="")
    key = {"idempotency_key": "order-8"}
    first = s.http("POST", "/v1/runs", {"workflow_yaml": HELLO, **key, "wait": True})[1]
    for _ in range(2):
        status, again = s.http("POST", "/v1/runs", {"workflow_yaml": HELLO, **key})
        assert (status, again) == (200, {"run_id": first["run_id"], "status": "succeeded", "replayed": True})
        head = raw(s, b"POST /v1/runs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                      b"Connection: close\r\nIdempotency-Key: order-8\r\nContent-Length: %d\r\n\r\n"
                      % len(json.dumps({"workflow_yaml": HELLO})) + json.dumps({"workflow_yaml": HELLO}).encode())
        assert b"Idempotent-Replayed: true\r\n" in head and first["run_id"].encode() in head, head
        for other in ({"inputs": {"word": "weft"}}, {"workflow_yaml": HELLO + " "}, {"priority": 3}):
            status, problem = s.http("POST", "/v1/runs", {"workflow_yaml": HELLO, **key, **other})
            assert status == 422 and first["run_id"] in problem["detail"], problem
            assert problem["title"] == "Unprocessable Content"
        s.kill("engine")
    living = s.run(WAITING, idempotency_key="order-9")
    assert s.http("POST", "/v1/runs", {"workflow_yaml": HELLO, "idempotency_key": "order-9"})[0] == 422
    assert s.http("POST", "/v1/runs", {"workflow_yaml": WAITING, "inputs": {}, "idempotency_key": "order-9"})[1][
        "run_id"] == living


def test_a_list_of_runs(service):
    s = service(mock="")
    assert s.http("GET", "/v1/runs") == (200, {"runs": []})
    runs = [s.run(HELLO) for _ in range(5)] + [s.run(WAITING)]
    for run in runs[:5]:
        s.ended(run)
    s.ended(runs[5], statuses=("waiting",))
    status, page = s.http("GET", "/v1/runs")
    assert status == 200 and [r["run_id"] for r in page["runs"]] == runs[::-1] and "next" not in page
    assert page["runs"][0]["status"] == "waiting" and page["runs"][0]["workflow"] == "waiting"
    seen, before = [], ""
    while True:
        page = s.http("GET", f"/v1/runs?limit=2{before}")[1]
        seen += [r["run_id"] for r in page["runs"]]
        assert len(page["runs"]) <= 2
        if "next" not in page:
            break
        before = f"&before={page['next']}"
    assert seen == runs[::-1]
    assert [r["run_id"] for r in s.http("GET", "/v1/runs?status=waiting")[1]["runs"]] == [runs[5]]
    assert len(s.http("GET", "/v1/runs?status=succeeded&limit=200")[1]["runs"]) == 5
    for wrong in ("limit=0", "limit=201", "status=done", "sort=id", "before="):
        status, problem = s.http("GET", f"/v1/runs?{wrong}")
        assert status == 400 and "expected limit" in problem["detail"], problem
    status, problem = s.http("GET", "/v1/runs?before=nosuch")  # no end of the list
    assert status == 400 and "no run is called `nosuch`" in problem["detail"], problem


def test_an_answer_without_a_choice_is_explained(service):
    s = service(mock="")
    run = s.run(WAITING)
    s.ended(run, statuses=("waiting",))
    for what, body, missing in (("approve", {"step": "ask"}, "choice"), ("approve", {"choice": "approve"}, "step"),
                                ("approve", {"step": "ask", "choice": ""}, "choice"), ("signal", {"data": 1}, "name")):
        status, problem = s.http("POST", f"/v1/runs/{run}/{what}", body)
        assert status == 400 and f"`{missing}` is missing; expected" in problem["detail"], problem
    status, problem = s.http("POST", f"/v1/runs/{run}/approve", {"step": "ask", "choice": "perhaps"})
    assert status == 422 and "expected one of: approve, reject" in problem["detail"], problem


@pytest.mark.parametrize("body, status, says", [
    ({}, 400, "workflow_yaml"),
    ({"workflow_yaml": HELLO, "workflow": "x"}, 400, "one of"),
    ({"workflow_yaml": "workflow: [", }, 422, "cannot be loaded"),
    ({"workflow_yaml": HELLO.replace("claude", "clod")}, 422, "cannot be loaded"),
    ({"workflow_yaml": HELLO, "inputs": {"word": 1}}, 422, "word"),
    ({"workflow_yaml": HELLO, "inputs": {"words": "x"}}, 422, "words"),
    ({"workflow_yaml": HELLO, "inputs": []}, 400, "inputs"),
    ({"workflow_yaml": HELLO, "wurst": 1}, 400, "wurst"),
    ({"workflow_yaml": HELLO, "idempotency_key": 5}, 400, "`idempotency_key` is integer; expected a string"),
    ({"workflow_yaml": HELLO, "priority": "high"}, 400, "`priority`"),
    ({"workflow_yaml": HELLO, "wait": "yes"}, 400, "`wait`"),
    (b"{", 400, ""), (b"[]", 400, "object"),
])
def test_bad_starts_are_explained(service, body, status, says):
    s = service(mock="")
    got, problem = s.http("POST", "/run_pipeline", body)
    assert got == status and says in problem["detail"] and problem["status"] == status, problem
    if problem.get("errors"):
        assert problem["errors"][0]["line"] >= 1


def test_results_beyond_what_an_answer_holds(service):
    """Told as left out; the gateway builds its answers in memory."""
    yaml = """
workflow:
  name: large
  variables: {text: "%s"}
  steps:
    - name: all
      type: for_loop
      data_source: range(1, 400)
      steps: [{name: say, type: test_echo, value: "{{ item }} {{ text }}"}]
    - {name: small, type: test_echo, value: 7}
  output: done
""" % (100000 * "x")
    s = service()
    body = s.ended(s.run(yaml))
    assert body["status"] == "succeeded" and body["output"] == "done", body["status"]
    assert body["results"]["small"] == 7 and body["results"]["all"]["iterations"] is None
    assert "larger than 32 MB" in body["results_left_out"] and body["run_id"] in body["results_left_out"]
    few = s.ended(s.run(yaml.replace("range(1, 400)", "range(1, 100)")))
    assert len(few["results"]["all"]["iterations"]) == 100 and "results_left_out" not in few


def test_web_pages_cannot_use_a_browser(service):
    s = service(mock="")
    for headers, wanted in [({"Host": "evil.example:7433"}, 421), ({"Origin": "http://evil.example"}, 403),
                            ({"Origin": "null"}, 403), ({"Host": "localhost.evil.example"}, 421)]:
        assert s.http("GET", "/readyz", headers=headers)[0] == wanted, headers
    assert s.http("POST", "/run_pipeline", b"{}", {"Content-Type": "text/plain"})[0] == 415
    assert s.http("GET", "/run_pipeline")[0] == 405
    assert s.http("GET", "/v1/runs/../../etc")[0] == 404
    assert s.http("GET", "/v1/runs/nothing")[0] == 404


def test_missing_keys_are_told_at_the_start_and_by_the_run(service):
    names = ["ANTHROPIC", "GEMINI", "OPENAI"]
    none = {**{f"{n}_API_KEY": None for n in names}, "ANTHROPIC_BASE_URL": None, "GOOGLE_GEMINI_BASE_URL": None,
            "OPENAI_BASE_URL": None}
    s = service(env={**none, "GEMINI_API_KEY": "0123456789abcdef"})
    assert "no key for claude" in s.log() and "set ANTHROPIC_API_KEY" in s.log() and "no key for gemini" not in s.log()
    body = s.ended(s.run(HELLO))
    assert body["status"] == "failed" and body["error"]["class"] == "auth", body
    assert "ANTHROPIC_API_KEY" in body["error"]["message"], body
    s.stop()
    assert "no key" not in service(mock="").log()


def test_that_answers_are_made_up_is_told_at_the_start(service, treadle):
    first = service(mock="")
    assert "mock: no model is asked; answers are made up" in first.log()
    first.stop()
    fixtures = treadle.file("answers.yaml", "default: echo\n")
    assert f"mock: no model is asked; answers come from {fixtures}" in service(mock=str(fixtures)).log()


def test_processes_have_names(service):
    s = service(mock="")
    named = {role: pathlib.Path(f"/proc/{s.pid(role)}/comm").read_text().strip()
             for role in ("supervisor", "engine", "egress", "executor", "gateway")}
    assert named == {"supervisor": "treadle", "engine": "treadle:engine", "egress": "treadle:egress",
                     "executor": "treadle:executo", "gateway": "treadle:gateway"}  # the kernel keeps 15 bytes


def raw(s, text):
    with socket.create_connection(("127.0.0.1", s.port), 10) as c:
        c.sendall(text)
        c.settimeout(5)
        out = b""
        while True:
            try:
                piece = c.recv(65536)
            except TimeoutError:
                return out
            if not piece:
                return out
            out += piece


@pytest.mark.parametrize("request_text", [
    b"POST /run_pipeline HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    b"POST /run_pipeline HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n{}",
    b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX:\rTransfer-Encoding: chunked\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost : localhost\r\n\r\n",
    b"GET /healthz HTTP/9.9\r\nHost: localhost\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\nHost: local\x00host\r\n\r\n",
    b"GET /healthz HTTP/1.1\r\n" + b"X: y\r\n" * 200 + b"\r\n",
    b"GET /healthz HTTP/1.1\r\nX: " + b"y" * 20000 + b"\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
])
def test_what_is_no_request_is_refused(service, request_text):
    s = service(mock="")
    answer = raw(s, request_text)
    assert answer.startswith((b"HTTP/1.1 4", b"HTTP/1.1 5")) and b"HTTP/1.1 200" not in answer, answer
    assert s.http("GET", "/healthz")[0] == 200


def test_requests_one_after_another_on_a_connection(service):
    s = service(mock="")
    one = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Empty:\r\n\r\n"
    last = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    assert raw(s, one + one + last).count(b"200 OK") == 3


def test_keys_are_in_egress_alone(service, treadle, fake_provider):
    provider = fake_provider(args=("--key", "canary-4711"))
    env = {**provider.env, "ANTHROPIC_API_KEY": "canary-4711"}
    s = service(env=env)
    body = s.http("POST", "/run_pipeline", {"workflow_yaml": HELLO.replace("[printf, done]", "env"), "wait": True})[1]
    assert body["status"] == "succeeded", body
    assert "canary" not in str(body)
    for role in ("supervisor", "engine", "executor", "gateway", "egress"):
        for name in ("environ", "cmdline"):
            with open(f"/proc/{s.pid(role)}/{name}", "rb") as file:
                assert b"canary" not in file.read(), (role, name)
    for command in (("ps", "--all", "--json"), ("show", body["run_id"], "--json"), ("logs", body["run_id"], "--json")):
        assert "canary" not in str(treadle(*command, code=0)), command
    assert "canary" not in s.log()
    for path in treadle.home.rglob("*"):  # the journal, the run's directories
        assert not path.is_file() or b"canary" not in path.read_bytes(), path
    s.kill("egress")  # a new life gets them again
    body = s.http("POST", "/run_pipeline", {"workflow_yaml": HELLO, "wait": True})[1]
    assert body["status"] == "succeeded", body


MIXED = """\
workflow:
  name: mixed
  steps:
    - name: each
      type: for_loop
      data_source: "range(1, 4)"
      parallel: true
      steps:
        - {name: ask, type: claude, prompt: "[[key:ask-{{ loop.index }}]] x"}
    - {name: slow, type: command, run: "echo on >> ran.txt; sleep 2.0625; echo over >> ran.txt", on_interrupt: hold}
    - {name: last, type: claude, prompt: "[[key:last]] y"}
"""


def sleepers():
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += [path] if path.read_bytes() == b"sleep\x002.03125\x00" else []
        except OSError:
            pass
    return found


def test_an_engine_killed_during_calls_and_a_command_repeats_nothing(service, fake_provider):
    provider = fake_provider(delay_ms=1500)
    s = service(env=provider.env)
    run = s.run(MIXED)
    wait_for(lambda: provider.total() == 4, 10, "four calls")
    s.kill("engine")
    ran = directory_of(s, run) / "workspace" / "ran.txt"
    wait_for(lambda: ran.exists() and ran.read_text(), 10, "the command runs")
    s.kill("engine")
    body = s.ended(run)
    assert body["status"] == "succeeded", body
    assert len(ran.read_text().splitlines()) == 2, "the command ran once"
    assert {k: v["started"] for k, v in provider.ledger().items()} == {
        **{f"anthropic:ask-{i}#0": 1 for i in range(4)}, "anthropic:last#0": 1}


def test_egress_killed_during_calls_repeats_only_those(service, fake_provider):
    provider = fake_provider(delay_ms=1000)
    s = service(env=provider.env)
    run = s.run(MIXED)
    wait_for(lambda: provider.total() == 4, 10, "four calls")
    s.kill("egress")
    body = s.ended(run)
    assert body["status"] == "succeeded", body
    assert {v["started"] for k, v in provider.ledger().items() if "ask" in k} == {2}
    assert provider.ledger()["anthropic:last#0"]["started"] == 1


def test_an_executor_killed_during_a_command_holds_it(service, fake_provider):
    provider = fake_provider()
    s = service(env=provider.env)
    run = s.run(MIXED.replace("2.0625", "2.03125"))
    ran = directory_of(s, run) / "workspace" / "ran.txt"
    wait_for(lambda: ran.exists() and ran.read_text(), 10, "the command runs")
    assert sleepers()
    s.kill("executor")
    assert not sleepers(), "its tree is dead before another executor is ready"
    body = s.ended(run, statuses=("waiting",))
    assert "resume" in body["error"]["message"]
    assert s.http("POST", f"/v1/runs/{run}/resume", {"force": True})[0] == 202
    assert s.ended(run)["status"] == "succeeded"
    assert provider.total() == 5, "nothing that was finished was asked again"


AFTER_A_CALL = """\
workflow:
  name: after
  steps:
    - {name: ask, type: claude, prompt: "[[key:ID]] x"}
    - {name: run, type: command, run: [printf, done]}
  output: "{{ steps.run.stdout }}"
"""


def test_remains_of_one_run_keep_no_other_waiting(service, fake_provider):
    """What an executor that died may have left alive holds a lock; only its own run waits for it."""
    provider = fake_provider(delay_ms=300)
    s = service(env=provider.env)
    held = s.run(AFTER_A_CALL.replace("ID", "held"))
    with open(directory_of(s, held) / "exec.lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        wait_for(lambda: [e for e in provider.events() if e["event"] == "finish"], 10, "the call")
        for i in range(3):
            body = s.ended(s.run(AFTER_A_CALL.replace("ID", f"free{i}")))
            assert (body["status"], body["output"]) == ("succeeded", "done")
        assert s.show(held)["status"] == "running"
    assert s.ended(held)["output"] == "done"


TALK = """\
workflow:
  name: talk
  variables: {seen: 0}
  output: "{{ steps.load.found }} {{ state.seen }} {{ steps.more.claude_session_metadata.turn }}"
  steps:
    - {name: first, type: claude_session, session_name: tutor, prompt: "one"}
    - {name: count, type: set_variable, variables: {seen: 7}}
    - {name: save, type: checkpoint, checkpoint_name: here, state: {seen: "{{ state.seen }}"}}
    - {name: gate, type: wait_signal, signal: go}
    - {name: forget, type: set_variable, variables: {seen: 0}}
    - {name: load, type: checkpoint, action: load, checkpoint_name: here}
    - {name: more, type: claude_session, session_name: tutor, prompt: "two"}
"""


def test_sessions_and_checkpoints_outlive_the_executor(service, treadle, fake_provider):
    provider = fake_provider(script=[{"regex": "(\\w+)$", "text": "heard $1"}])
    s = service(env=provider.env)
    run = s.run(TALK)
    s.ended(run, statuses=("waiting",))
    s.kill("executor")
    assert s.http("POST", f"/v1/runs/{run}/signal", {"name": "go"})[0] in (200, 202)
    body = s.ended(run)
    assert body["status"] == "succeeded" and body["output"] == "true 7 2", body
    said = [[m["content"] if isinstance(m["content"], str) else m["content"][0]["text"]
             for m in r["body"]["messages"]] for r in provider.requests()]
    assert said == [["one"], ["one", "heard one", "two"]]
    assert (treadle.home / "sessions" / "tutor.jsonl").exists()


def test_a_gateway_killed_costs_a_reconnect(service):
    s = service(mock="")
    run = s.run(HELLO)
    s.kill("gateway")
    assert s.ended(run)["status"] == "succeeded"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_whole_group_stops_and_goes_on(service, fake_provider, number):
    provider = fake_provider(delay_ms=300)
    s = service(env=provider.env)
    runs = [s.run(MIXED) for _ in range(3)]
    wait_for(lambda: provider.total() >= 3, 10, "calls")
    s.process.signal(number)
    s.process.wait(40)
    s.start()
    for run in runs:
        body = s.ended(run, statuses=("succeeded", "waiting"))
        if body["status"] == "waiting":  # the kill struck while the command ran
            assert s.http("POST", f"/v1/runs/{run}/resume", {"force": True})[0] == 202
            body = s.ended(run)
        assert body["status"] == "succeeded", body
    if number == signal.SIGTERM:
        assert provider.total() == 15, "an orderly stop loses no call"


def test_a_service_that_was_killed_can_be_started_again_at_once(service):
    s = service(mock="")
    for _ in range(8):
        s.process.kill()  # the supervisor alone: its processes follow a moment later, with the address and the journal
        s.start()
    assert s.ended(s.run(HELLO))["status"] == "succeeded"


def test_a_new_program_takes_over_the_sockets(service):
    s = service(mock="")
    before = s.run(HELLO)
    s.ended(before)
    pids = {role: s.pid(role) for role in ("engine", "gateway")}
    s.process.signal(signal.SIGHUP)
    wait_for(lambda: s.log().count("info: ready\n") == 2, 20, "ready again")
    assert s.process.popen.poll() is None and s.pid("engine") not in (0, pids["engine"])
    assert s.show(before)["status"] == "succeeded"
    assert s.ended(s.run(HELLO))["status"] == "succeeded"


WAITING = """\
workflow:
  name: waiting
  output: "{{ steps.ask.choice }} {{ steps.paid.data.sum }}"
  steps:
    - {name: ask, type: approval, message: "Ship it?"}
    - {name: paid, type: wait_signal, signal: paid}
"""


def test_waiting_runs_are_answered_across_restarts(service):
    s = service(mock="")
    run = s.run(WAITING)
    s.ended(run, statuses=("waiting",))
    s.kill("engine")
    assert s.http("POST", f"/v1/runs/{run}/approve", {"step": "nothing", "choice": "approve"})[0] == 404
    status, body = s.http("POST", f"/v1/runs/{run}/approve", {"step": "ask", "choice": "approve", "by": "me"})
    assert status == 202, body
    s.ended(run, statuses=("waiting",))
    s.kill("engine")
    assert s.http("POST", f"/v1/runs/{run}/signal", {"name": "paid", "data": {"sum": 7}})[0] == 202
    assert s.ended(run)["output"] == "approve 7"
    assert s.http("POST", f"/v1/runs/{run}/signal", {"name": "paid"})[0] == 409


def test_cancel_reaches_running_queued_and_waiting_runs(service):
    s = service("--max-running", "1", mock="")
    long = s.run("workflow: {name: l, steps: [{name: c, type: command, run: 'sleep 60'}]}")
    queued = s.run(HELLO)
    assert s.http("GET", "/readyz")[1]["runs"]["queued"] == 1
    assert s.http("POST", f"/v1/runs/{queued}/cancel", {})[0] == 202
    assert s.ended(queued)["status"] == "cancelled"
    assert s.http("POST", f"/v1/runs/{long}/cancel", {})[0] == 202
    assert s.ended(long)["status"] == "cancelled"
    waiting = s.run(WAITING)
    s.ended(waiting, statuses=("waiting",))
    assert s.http("POST", f"/v1/runs/{waiting}/cancel", {})[0] == 202
    assert s.ended(waiting)["status"] == "cancelled"


def test_a_hung_engine_is_replaced(service):
    s = service(mock="")
    pid = s.pid("engine")
    os.kill(pid, signal.SIGSTOP)
    wait_for(lambda: s.pid("engine") not in (0, pid), 40, "another engine")
    assert s.ended(s.run(HELLO))["status"] == "succeeded"
    assert "missed its heartbeat" in s.log()


POISON = """\
workflow:
  name: poison
  steps:
    - {name: good, type: claude, prompt: "[[key:poison]] x"}
    - {name: bad, type: test_echo, value: poison}
"""


def test_a_run_that_kills_the_engine_is_put_aside(treadle_faults, fake_provider):
    provider = fake_provider(delay_ms=200)
    s = Service(treadle_faults, env={**provider.env, "TREADLE_FAULT": "test_echo.poison=0"}).start()
    healthy = [s.run(MIXED.replace("2.0625", "0.3")) for _ in range(20)]
    poison = s.run(POISON)
    body = s.ended(poison)
    assert body["status"] == "quarantined", body
    for run in healthy:
        other = s.ended(run, statuses=("succeeded", "failed", "waiting"))
        assert other["status"] == "succeeded", (other, treadle_faults("logs", run, "--json").out)
    assert "3 times" in body["error"]["message"]
    assert len(re.findall(r"error: engine \(pid \d+\) was killed by SIGABRT", s.log())) == 3
    assert provider.ledger()["anthropic:poison#0"]["started"] == 1
    assert provider.total() == 20 * 5 + 1, "nobody paid twice"
    assert s.http("POST", f"/v1/runs/{poison}/resume", {})[0] == 409
    shown = treadle_faults("show", poison, code=0).out
    assert shown.count("was killed by SIGABRT") >= 3 and "at `bad`" in shown, shown
    assert f"treadle resume {poison} --force" in shown, shown
    deaths = treadle_faults("show", poison, "--json", code=0).json["deaths"]
    assert [d["charged"] for d in deaths] == [True] * 3
    assert "poison" in treadle_faults("logs", poison, code=0).out
    listed = {r["run_id"]: r for r in treadle_faults("ps", "--json", code=0).json["runs"]}
    assert listed[poison]["status"] == "quarantined" and len(listed) == 21
    for command in (["rm", poison], ["fork", poison, "--from", "bad"], ["resume", poison, "--workflow", "x.yaml"]):
        result = treadle_faults(*command, code=(2, 4))
        assert "of the service" in result.err, result
    assert "resume it with force" in treadle_faults("resume", poison, code=2).err
    s.stop()
    s.env.pop("TREADLE_FAULT")  # mended
    s.start()
    assert s.show(poison)["status"] == "quarantined"
    assert s.http("POST", f"/v1/runs/{poison}/resume", {"force": True})[0] == 202
    assert s.ended(poison)["status"] == "succeeded"
    assert s.stop().code == 0


def test_many_runs_share_few_places(service, fake_provider):
    provider = fake_provider(delay_ms=100)
    s = service("--max-running", "3", "--max-per-workflow", "2", env=provider.env)
    one = "workflow: {name: NAME, steps: [{name: a, type: claude, prompt: '[[key:ID]] x'}]}"
    runs = [s.run(one.replace("NAME", name).replace("ID", f"{name}{i}")) for i in range(6) for name in ("x", "y")]
    for run in runs:
        assert s.ended(run)["status"] == "succeeded"
    assert provider.stats()["peak_in_flight"] <= 3
    starts = [e["key"] for e in provider.events() if e["event"] == "start"]
    assert {k[len("anthropic:")] for k in starts[:4]} == {"x", "y"}, "no workflow waits for all of another"


def test_priorities(service, fake_provider):
    provider = fake_provider(delay_ms=300)
    s = service("--max-running", "1", env=provider.env)
    one = "workflow: {name: w, steps: [{name: a, type: claude, prompt: '[[key:ID]] x'}]}"
    first = s.run(one.replace("ID", "first"))
    low = [s.run(one.replace("ID", f"low{i}"), priority=-5) for i in range(2)]
    high = s.run(one.replace("ID", "high"), priority=5)
    for run in [first, *low, high]:
        s.ended(run)
    starts = [e["key"].split(":")[1] for e in provider.events() if e["event"] == "start"]
    assert starts == ["first#0", "high#0", "low0#0", "low1#0"]


def test_a_full_disk_pauses_all_runs_until_there_is_room(treadle, fake_provider):
    treadle.home.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", treadle.home], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"NOT TESTED, mount is not permitted here: {mounted.stderr.decode().strip()}")
    try:
        provider = fake_provider(delay_ms=50)
        s = Service(treadle, env=provider.env).start()
        engine = s.pid("engine")
        steps = [f"    - {{name: s{i}, type: claude, prompt: \"[[key:RUN-{i}]]\\n{'x' * 12000}\"}}" for i in range(20)]
        yaml = "workflow:\n  name: long\n  output: \"{{ steps.s19.text }}\"\n  steps:\n" + "\n".join(steps)
        over = s.run("workflow: {name: bad, steps: [{name: e, type: test_echo, fail: true}]}")
        assert s.ended(over)["status"] == "failed"
        runs = [s.run(yaml.replace("RUN", name)) for name in "abc"]
        wait_for(lambda: provider.total() >= 9, 10, "calls")
        filler = treadle.home / "filler"
        with open(filler, "wb", buffering=0) as file:
            try:
                while True:
                    file.write(b"x" * 4096)
            except OSError:
                pass
        s.process.wait_output("is full.* make room", timeout=20)
        settled = wait_for(lambda: provider.stats()["in_flight"] == 0 and provider.total(), 10, "the calls end")
        status, body = s.http("POST", "/run_pipeline", {"workflow_yaml": HELLO})
        assert status == 503 and "full" in body["detail"], body
        status, body = s.http("POST", f"/v1/runs/{over}/resume", {})
        assert status == 503 and "full" in body["detail"], body
        assert s.http("GET", f"/v1/runs/{runs[0]}")[0] == 200
        assert provider.total() == settled < 60
        filler.unlink()
        s.process.wait_output("has room again", timeout=20)
        for run in runs:
            assert s.ended(run)["output"] == "x" * 12000
        assert {e["started"] for e in provider.ledger().values()} == {1}
        assert s.show(over)["status"] == "failed"
        assert s.pid("engine") == engine and s.log().count("make room") == 1
        assert s.stop().code == 0
    finally:
        subprocess.run(["umount", "--lazy", treadle.home], check=True)


def test_systemd_is_told(treadle, tmp_path):
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as n:
        n.bind(str(path))
        n.settimeout(20)
        s = Service(treadle, mock="", env={"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "400000"}).start()
        heard = [n.recv(100) for _ in range(4)]
        assert heard[0] == b"READY=1" and heard.count(b"WATCHDOG=1") >= 2
        s.process.signal(signal.SIGTERM)
        while n.recv(100) != b"STOPPING=1":
            pass
        assert s.process.wait(30).code == 0


def test_sockets_from_systemd(treadle, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as given:
        port = given.getsockname()[1]
        script = f'import os; os.dup2({given.fileno()}, 3, True); os.environ.update(LISTEN_FDS="1", ' \
                 f'LISTEN_PID=str(os.getpid())); os.execv({treadle.path!r}, ["treadle", "serve", "--mock"])'
        process = subprocess.Popen([sys.executable, "-c", script], env=treadle.environment({"TREADLE_LOG": "info"}),
                                   pass_fds=[given.fileno()], cwd=treadle.cwd, stderr=subprocess.DEVNULL)
    try:
        s = Service(treadle)
        s.port = port
        wait_for(lambda: answers(s), 20, "an answer")
        assert s.http("POST", "/run_pipeline", {"workflow_yaml": HELLO, "wait": True})[1]["status"] == "succeeded"
    finally:
        process.terminate()
        assert process.wait(30) == 0


def answers(s):
    try:
        return s.http("GET", "/readyz")[0] == 200
    except OSError:
        return False


def test_the_unit_file_is_valid():
    verify = shutil.which("systemd-analyze")
    if not verify:
        pytest.skip("NOT TESTED: there is no systemd-analyze")
    unit = (ROOT / "dist/treadle.service").read_text().replace("/usr/local/bin/treadle", sys.executable)
    with tempfile.TemporaryDirectory() as place:
        path = pathlib.Path(place) / "treadle.service"
        path.write_text(unit)
        done = subprocess.run([verify, "verify", str(path)], capture_output=True, text=True)
        exposed = subprocess.run([verify, "security", "--offline=true", "--threshold=45", str(path)],
                                 capture_output=True, text=True)
    assert done.returncode == 0 and "treadle.service" not in done.stderr, done.stderr
    assert exposed.returncode == 0, exposed.stdout[-300:]


def test_where_it_may_listen(treadle):
    for address in ("0.0.0.0:7433", "10.0.0.1:1", "wurst", "99999", "example.com:80"):
        result = treadle("serve", "--listen", address, code=2)
        assert "--listen" in result.err
    path = treadle.cwd / "http.sock"
    with treadle.start("serve", "--mock", "--listen", f"unix:{path}", env={"TREADLE_LOG": "info"}) as process:
        process.wait_output(r"info: ready\n", timeout=20)
        with socket.socket(socket.AF_UNIX) as c:
            c.connect(str(path))
            c.sendall(b"GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert c.recv(1000).startswith(b"HTTP/1.1 200")
        assert oct(path.stat().st_mode & 0o777) == "0o600"
        second = treadle("serve", "--mock", "--listen", "0", code=4)  # one owner of the journal
        assert "journal" in second.err or "service.db" in second.err, second
        process.signal(signal.SIGTERM)
        assert process.wait(30).code == 0
