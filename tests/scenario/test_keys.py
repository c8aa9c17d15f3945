"""A provider's key that lies in the workspace, as in a user's .env file: whatever reads or prints it, it reaches no
result, journal, log, recording or prompt. And which process of the service has what: keys egress alone, variables for
commands the executor alone. Judged by what the provider got, by every file, and by the processes' environments and
memory."""
import base64
import json
import os
import re
import signal

import pytest
from conftest import wait_for
from service import directory_of
from test_serve import service  # noqa: F401 (a fixture)

KEY = "sk-ant-api03-" + "".join("Zq9_xW4-eR7tY2uI5oP8"[i % 20] for i in range(87)) + "9QAAAAAA"
OTHER = "AIzaSy" + "B7cD9eF1gH3iJ5kL7mN9oP1qR3sT5uV7w"
VARIABLE = "variable+of/commands 4711"
MADE = "printf 'KEY=%s%s\\n' FIRST SECOND > .env; cp .env env.txt"
PRINTS = {
    "raw": "cat .env", "on standard error": "cat .env >&2", "in a failure": "cat .env >&2; exit 3",
    "base64": "base64 -w0 .env", "base64, one before": "(printf x; cat .env) | base64 -w0",
    "base64, two before": "(printf xy; cat .env) | base64 -w0",
    "base64 for URLs": "base64 -w0 .env | tr +/ -_", "hexadecimal": "od -An -v -tx1 .env | tr -d ' \\n'",
    "HEXADECIMAL": "od -An -v -tx1 .env | tr -d ' \\n' | tr a-f A-F",
    "base64 in lines": "base64 .env", "hexadecimal in lines": "od -An -v -tx1 .env | tr -d ' \\n' | fold -w60",
    "in pieces": "printf %s FIRST; sleep 0.2; printf %s SECOND",
    "byte by byte": "/usr/bin/python3 -c \"import os\\nfor c in open('.env','rb').read(): os.write(1, bytes([c]))\"",
    "where a long output is cut": "/usr/bin/python3 -c \"k=open('.env').read(); "
                                  "print('x'*450 + k + 'y'*3000 + k + 'z'*450)\"",
    "twice in JSON": "/usr/bin/python3 -c \"import json; k=open('.env').read(); print(json.dumps({k: [k]}))\"",
}


def steps():
    """The key is put together by a command, for a workflow must not have it in its text."""
    made = MADE.replace("FIRST", KEY[:40]).replace("SECOND", KEY[40:])
    yield {"name": "make", "type": "command", "run": made}
    for i, run in enumerate(PRINTS.values()):
        run = run.replace("FIRST", KEY[:40]).replace("SECOND", KEY[40:]).replace("\\nfor", "\nfor")
        yield {"name": f"p{i}", "type": "command", "run": run, "on_error": "continue", "output_limit": 1000,
               "output_to_file": f"{i}.txt"}
    results = " ".join(f"{{{{ json(steps.p{i}) }}}}" for i in range(len(PRINTS)))
    yield {"name": "all", "type": "claude", "prompt": [
        {"type": "file", "path": ".env"}, {"type": "file", "path": "en*.txt"},
        {"type": "static", "content": "{{file:.env}} " + results + " {{ inputs.given }}"}]}
    yield {"name": "halves", "type": "set_variable", "variables": {"whole": "{{ 'A' + inputs.a + inputs.b }}"}}
    yield {"name": "echoed", "type": "test_echo", "value": "{{ inputs.a + inputs.b }}", "output_to_file": "echoed"}
    yield {"name": "given", "type": "command", "run": "printf %s {{ inputs.a + inputs.b }} | wc -c"}
    yield {"name": "told", "type": "claude", "prompt": "{{ whole }}"}


def workflow():
    return {"workflow": {"name": "w", "inputs": {"given": "string", "a": "string", "b": "string"},
                         "output": "{{ inputs.a + inputs.b }}", "steps": [*steps()]}}


INPUTS = {"given": f"my key is {KEY}", "a": KEY[:50], "b": KEY[50:]}


def traces(data):
    """How the key, or a half of it, may be found in bytes."""
    forms = []
    for raw in (KEY.encode(), KEY[:54].encode(), KEY[54:].encode()):
        forms += [raw, raw.hex().encode(), raw.hex().upper().encode()]
        for before in range(3):
            text = base64.b64encode(b"x" * before + raw)[4:-4]
            forms += [text, text.replace(b"+", b"-").replace(b"/", b"_")]
    return [form for form in forms if form in data]


def files_with_key(*places):
    """But where the commands themselves put it, and in the run's private copies of that."""
    return [path for place in places for path in place.rglob("*")
            if path.is_file() and path.name not in (".env", "env.txt") and "/snapshots/objects/" not in str(path)
            and KEY.encode() in path.read_bytes()]


def halves_stay(text):
    """What the workflow says itself, a half at a time, is no secret."""
    for half in (KEY[:40], KEY[40:], KEY[:50], KEY[50:]):
        text = text.replace(half, "")
    return text


def check(body, log, provider):
    results = body["results"]
    for i, what in enumerate(PRINTS):
        said = json.dumps({key: results[f"p{i}"].get(key) for key in ("stdout", "stderr", "error")})
        assert "[secret ANTHROPIC_API_KEY]" in said, (what, results[f"p{i}"])
        assert not traces(said.encode()), (what, said)
    assert KEY not in json.dumps(body) and KEY not in log
    assert body["output"] == "[secret ANTHROPIC_API_KEY]", "put together by a template"
    assert results["given"]["stdout"].strip() != str(len(KEY)), "nor does a command get it so"
    assert not traces(halves_stay(json.dumps(results)).encode())
    asked = provider.requests()
    assert len(asked) == 2
    assert asked[0] and json.dumps(asked[0]["body"]).count("[secret ANTHROPIC_API_KEY]") > 10
    assert "A[secret ANTHROPIC_API_KEY]" in json.dumps(asked[1]["body"]), asked[1]
    assert KEY not in json.dumps(asked)


@pytest.fixture
def provider(fake_provider):
    fake = fake_provider(args=("--key", KEY))
    fake.env = {**fake.env, "ANTHROPIC_API_KEY": KEY, "GEMINI_API_KEY": OTHER}
    return fake


def test_a_key_in_the_workspace_of_a_run(treadle, provider, tmp_path):
    treadle.file("w.yaml", workflow())
    treadle.file("in.json", INPUTS)
    ran = treadle("run", "w.yaml", "--inputs", "in.json", "--json", "--run-id", "r", "--workspace", "ws", "--record",
                  "r.jsonl", env={**provider.env, "TREADLE_LOG": "debug"}, code=0)
    check(ran.json, ran.err, provider)
    assert treadle("show", "r").out.count(KEY) == 0 and KEY not in treadle("logs", "r", "--json").out
    assert (treadle.cwd / "ws/.env").read_text() == f"KEY={KEY}\n", "the file itself is as it was made"
    (treadle.cwd / "in.json").unlink()
    assert not files_with_key(treadle.home, treadle.cwd)
    again = treadle("resume", "r", env=provider.env)  # there is nothing to do, and nothing new to be told
    assert KEY not in again.out + again.err


def test_a_key_in_the_workspace_of_a_service(service, treadle, provider):  # noqa: F811
    s = service(env=provider.env)
    body = s.http("POST", "/run_pipeline", {"workflow_yaml": json.dumps(workflow()), "inputs": INPUTS, "wait": True})[1]
    assert body["status"] == "succeeded", body
    check(body, s.log(), provider)
    for role in ("engine", "executor"):
        s.kill(role)  # another life knows the fingerprints, too
    provider.requests_file.write_text("")
    body = s.http("POST", "/run_pipeline", {"workflow_yaml": json.dumps(workflow()), "inputs": INPUTS, "wait": True})[1]
    check(body, s.log(), provider)
    assert not files_with_key(treadle.home)


TOOLS = """
fixtures:
- match: {turn: 1}
  reply: {tool_calls: [{name: Read, input: {file_path: .env}}, {name: Read, input: {file_path: long}},
                       {name: Grep, input: {pattern: KEY, output_mode: content}},
                       {name: Grep, input: {pattern: "PATTERN", output_mode: content}},
                       {name: Bash, input: {command: cat .env long}}]}
- reply: {text: done}
"""


def test_tools_show_a_model_no_key(treadle, provider):
    treadle.file("ws/.env", f"KEY={KEY}\n")
    treadle.file("ws/long", "x" * 1950 + " " + KEY + "y" * 3000 + "\n")
    treadle.file("fixtures.yaml", TOOLS.replace("PATTERN", f"KEY={KEY[:30]}"))
    treadle.file("w.yaml", {"workflow": {"name": "w", "steps": [{"name": "a", "type": "claude", "prompt": "read",
                                                                "tools": ["Read", "Grep", "Bash"]}]}})
    treadle("run", "w.yaml", "--mock", "fixtures.yaml", "--workspace", "ws", "--run-id", "r", env=provider.env, code=0)
    log = treadle("logs", "r", "--json", code=0).out
    assert log.count("[secret ANTHROPIC_API_KEY]") >= 4 and "No matches found" in log
    assert not traces(log.replace(KEY[:30], "").encode())


def test_a_workflow_that_holds_a_key_is_refused(treadle, provider, service):  # noqa: F811
    text = f"workflow:\n  name: w\n  steps:\n    - {{name: a, type: claude, prompt: hi {KEY}}}\n"
    treadle.file("w.yaml", text)
    said = treadle("run", "w.yaml", env=provider.env, code=2).err
    assert re.search(r"w\.yaml:4:\d+: the value of ANTHROPIC_API_KEY", said) and KEY not in said, said
    s = service(env=provider.env)
    status, body = s.http("POST", "/run_pipeline", {"workflow_yaml": text})
    assert status == 422 and "workflow.yaml:4:" in body["detail"] and KEY not in json.dumps(body), body
    child = "workflow: {name: w, steps: [{name: a, type: pipeline, pipeline_file: c.yaml}]}"
    status, body = s.http("POST", "/run_pipeline", {"workflow_yaml": child, "files": {"c.yaml": text}})
    assert status == 422 and "c.yaml:4:" in body["detail"], body
    assert not files_with_key(treadle.home) and not provider.requests()


ASKS = """\
workflow:
  name: asks
  output: "{{ steps.ask.comment }} {{ steps.paid.data.sum }}"
  steps:
    - {name: ask, type: approval, message: "Ship it?"}
    - {name: paid, type: wait_signal, signal: paid}
"""


def test_answers_with_a_key(service, treadle, provider):  # noqa: F811
    s = service(env=provider.env)
    run = s.run(ASKS)
    wait_for(lambda: s.show(run)["status"] == "waiting", 20, "waiting")
    assert s.http("POST", f"/v1/runs/{run}/approve", {"step": "ask", "choice": "approve", "comment": KEY})[0] == 202
    assert s.http("POST", f"/v1/runs/{run}/signal", {"name": "paid", "data": {"sum": f"<{KEY}>"}})[0] == 202
    covered = "[secret ANTHROPIC_API_KEY]"
    assert s.ended(run)["output"] == f"{covered} <{covered}>"
    treadle.file("asks.yaml", ASKS)
    treadle("run", "asks.yaml", "--run-id", "r", "--quiet", env=provider.env, code=3)
    treadle("approve", "r", "ask", "--data", json.dumps({"key": KEY}), "--comment", KEY, env=provider.env, code=0)
    treadle("signal", "r", "paid", json.dumps({"sum": KEY}), env=provider.env, code=0)
    assert treadle("resume", "r", "--quiet", env=provider.env, code=0).out.strip() == f"{covered} {covered}"
    assert not files_with_key(treadle.home)


# ---- which process has what ----

ROLES = ("supervisor", "egress", "executor", "engine", "gateway")


def environment_of(pid):
    with open(f"/proc/{pid}/environ", "rb") as file:
        return file.read()


def memory_holds(pid, text):
    """Whether a process's writable memory has the text; None: the system does not let us look."""
    try:
        with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
            for line in maps:
                region, rights = line.split()[:2]
                if not rights.startswith("rw"):
                    continue
                begin, end = (int(x, 16) for x in region.split("-"))
                for at in range(begin, end, 1 << 20):
                    try:
                        size = min((1 << 20) + len(text), end - at)
                        if text in os.pread(memory.fileno(), size, at):
                            return True
                    except OSError:
                        break
    except PermissionError:
        return None
    return False


USES = json.dumps({"workflow": {"name": "uses", "secrets": ["FOR_COMMANDS"], "steps": [
    {"name": "has", "type": "command", "run": "printf %s \"$FOR_COMMANDS\" | wc -c", "secrets": ["FOR_COMMANDS"]},
    {"name": "tells", "type": "command", "run": "printf %s \"$FOR_COMMANDS\"", "secrets": ["FOR_COMMANDS"]},
    {"name": "others", "type": "command", "run": "env; cat /proc/*/environ 2>/dev/null | tr '\\0' '\\n'"}]}})


def test_each_process_has_what_is_its_own(service, provider):  # noqa: F811
    s = service("--secret", "FOR_COMMANDS", env={**provider.env, "FOR_COMMANDS": VARIABLE,
                                                 "https_proxy": "http://user:proxy-password@127.0.0.1:9"})

    def check_all():
        for role in ROLES:
            environ = environment_of(s.pid(role))
            for text in (VARIABLE, KEY, OTHER, "FOR_COMMANDS", "ANTHROPIC_API_KEY", "proxy-password"):
                assert text.encode() not in environ, (role, text)
            assert b"PATH=" in environ and b"TREADLE_HOME=" in environ, role
            for text, own in ((VARIABLE, ("executor",)), (KEY, ("egress",)), (OTHER, ("egress",)),
                              ("proxy-password", ("egress",))):
                if role not in own:
                    assert not memory_holds(s.pid(role), text.encode()), (role, text)
        # the control: the search finds it where it is
        assert memory_holds(s.pid("executor"), VARIABLE.encode()) in (True, None)

    check_all()
    body = s.http("POST", "/run_pipeline", {"workflow_yaml": USES, "wait": True})[1]
    assert body["status"] == "succeeded", body
    assert body["results"]["has"]["stdout"].strip() == str(len(VARIABLE)), body
    assert body["results"]["tells"]["stdout"] == "[secret FOR_COMMANDS]", body
    assert VARIABLE not in json.dumps(body) and "FOR_COMMANDS" not in body["results"]["others"]["stdout"]
    s.kill("executor")
    s.kill("engine")
    check_all()
    s.process.signal(signal.SIGHUP)
    wait_for(lambda: s.log().count("info: ready\n") >= 2, 20, "ready again")
    check_all()
    body = s.http("POST", "/run_pipeline", {"workflow_yaml": USES, "wait": True})[1]
    assert body["results"]["has"]["stdout"].strip() == str(len(VARIABLE)), body
    assert VARIABLE not in s.log() and KEY not in s.log()


def test_a_secret_is_kept_out_of_what_comes_before_the_command_that_has_it(service):  # noqa: F811
    """Also of files that were there before, and also in another life of the executor."""
    text = json.loads(USES)
    text["workflow"]["steps"] = [
        {"name": "keep", "type": "command", "run": "printf %s \"$FOR_COMMANDS\" > kept", "secrets": ["FOR_COMMANDS"]},
        {"name": "go", "type": "wait_signal", "signal": "go"},
        {"name": "read", "type": "command", "run": "cat kept"}]
    s = service("--secret", "FOR_COMMANDS", mock="", env={"FOR_COMMANDS": VARIABLE})
    run = s.run(json.dumps(text))
    wait_for(lambda: s.show(run)["status"] == "waiting", 20, "waiting")
    s.kill("executor")
    wait_for(lambda: s.http("POST", f"/v1/runs/{run}/signal", {"name": "go"})[0] == 202, 20, "a signal")
    body = s.ended(run)
    assert body["results"]["read"]["stdout"] == "[secret FOR_COMMANDS]", body
    assert (directory_of(s, run) / "workspace/kept").read_text() == VARIABLE


def test_a_short_key_is_told_of(service, provider):  # noqa: F811
    s = service(env={**provider.env, "OPENAI_API_KEY": "short"})
    assert "warning: OPENAI_API_KEY has not 20 to 1024 characters" in s.log()
