"""--json: standard output is exactly one JSON object, whatever the exit code; standard error is for people."""
import json
import signal

import pytest
from conftest import wait_for

GOOD = "workflow: {name: w, inputs: {x: {type: integer, default: 1}}, steps: [{name: a, type: test_echo, value: 1}]}"
FAILS = "workflow: {name: w, steps: [{name: a, type: test_echo, value: 1, fail: true}]}"
WAITS = "workflow: {name: w, steps: [{name: a, type: approval, message: go}]}"
MODEL = "workflow: {name: w, steps: [{name: a, type: claude, prompt: hello}]}"
LONG = "workflow: {name: w, steps: [{name: a, type: command, run: sleep 60}]}"
BAD = "workflow:\n  name: w\n  steps:\n    - {name: a, type: clod}\n    - {name: b, type: claude, promt: x}\n"
CALLS_BAD = "workflow: {name: w, steps: [{name: a, type: pipeline, pipeline_file: bad.yaml}]}"
NO_FILE = "workflow: {name: w, steps: [{name: a, type: claude, prompt: [{type: file, path: missing.md}]}]}"


@pytest.fixture
def files(treadle):
    for name, text in (("good", GOOD), ("fails", FAILS), ("waits", WAITS), ("model", MODEL), ("long", LONG),
                       ("bad", BAD), ("calls", CALLS_BAD), ("nofile", NO_FILE)):
        (treadle.cwd / f"{name}.yaml").write_text(text)
    return treadle


def sleeping(treadle, run):
    """The run's command has been started."""
    done = treadle("logs", run, "--json", code=None)
    return any(json.loads(line)["kind"] == "intent" for line in done.out.splitlines() if done.code == 0)


def stop(process):
    process.signal(signal.SIGINT)
    process.wait_output("suspending")
    process.signal(signal.SIGINT)
    return process.wait()


RUN_KEYS = {"run_id", "status", "results", "usage"}


@pytest.mark.parametrize("args, code, status", [
    (("run", "good.yaml"), 0, "succeeded"), (("run", "fails.yaml"), 1, "failed"), (("run", "waits.yaml"), 3, "waiting"),
    (("run", "good.yaml", "--quiet"), 0, "succeeded"),
])
def test_runs(files, args, code, status):
    body = files(*args, "--json", "--run-id", "r", code=code).json
    assert RUN_KEYS <= set(body) and body["status"] == status, body
    assert ("error" in body) == (code in (1, 3))
    assert files("show", "r", "--json").json["status"] == status
    assert [run["run_id"] for run in files("ps", "--json").json["runs"]] == ["r"]
    again = files("resume", "r", "--json", code=code).json
    assert again["status"] == status and again["run_id"] == "r"
    forked = files("fork", "r", "--from", "a", "--json", "--run-id", "f", code=code).json
    assert forked["status"] == status and forked["run_id"] == "f"


@pytest.mark.parametrize("args, says, places", [
    (("run",), "FILE is missing", 0),
    (("run", "nothing.yaml"), "nothing.yaml", 0),
    (("run", "bad.yaml"), "clod", 2),
    (("run", "calls.yaml"), "clod", 3),
    (("run", "nofile.yaml", "--mock"), "missing.md", 1),
    (("run", "good.yaml", "--input", "x=wurst"), "wurst", 0),
    (("run", "good.yaml", "--wurst"), "--wurst", 0),
    (("run", "good.yaml", "--mock", "--replay", "x"), "exclude", 0),
    (("run", "good.yaml", "--run-id", "../x"), "run", 0),
    (("resume", "nothing"), "nothing", 0),
    (("fork", "nothing", "--from", "a"), "nothing", 0),
    (("show", "nothing"), "nothing", 0),
    (("logs", "nothing"), "nothing", 0),
    (("diff", "nothing"), "nothing", 0),
    (("ps", "--wurst"), "--wurst", 0),
    (("wurst",), "no command", 0),
    (("cancel", "nothing"), "--json", 0),
])
def test_wrong_usage(files, args, says, places):
    result = files(*args, "--json", code=2)
    error = result.json["error"]
    assert set(result.json) == {"error"} and says in json.dumps(error), result
    assert error["class"] == ("invalid" if places else "usage") and error["message"], error
    assert len(error.get("places", [])) == places, error
    assert result.err.strip(), "people are told too"
    for place in error.get("places", []):
        assert place["file"] and place["line"] >= 1 and place["column"] >= 1 and place["message"], place
        assert f"{place['file']}:{place['line']}:{place['column']}: error: " in result.err
        assert place["severity"] == "error"


def test_unusable_environments(files, tmp_path):
    body = files("run", "model.yaml", "--json", code=4).json
    assert body["error"]["class"] == "environment" and "ANTHROPIC_API_KEY" in body["error"]["message"]
    place = tmp_path / "a-file"
    place.write_text("")
    for args in (("run", "good.yaml"), ("ps",)):
        result = files(*args, "--json", env={"TREADLE_HOME": str(place)}, code=None)
        assert result.code in (2, 4) and set(result.json) == {"error"}, result
    with files.start("run", "long.yaml", "--run-id", "busy") as other:
        wait_for(lambda: sleeping(files, "busy"), 20, "the command")
        body = files("resume", "busy", "--json", code=4).json
        assert set(body) == {"error"} and "busy" in body["error"]["message"], body
        stop(other)


def test_interrupted(files):
    with files.start("run", "long.yaml", "--json", "--run-id", "r") as process:
        wait_for(lambda: sleeping(files, "r"), 20, "the command")
        result = stop(process)
    assert result.code == 130 and result.json["status"] == "interrupted" and result.json["run_id"] == "r", result


def test_validate(files):
    assert files("validate", "good.yaml", "waits.yaml", "--json").json == {"valid": True, "problems": []}
    body = files("validate", "good.yaml", "calls.yaml", "--json", code=2).json
    assert body["valid"] is False and {p["file"].split("/")[-1] for p in body["problems"]} >= {"bad.yaml"}, body
    assert files("validate", "nothing.yaml", "--json", code=2).json["error"]["class"] == "usage"
    body = files("validate", "good.yaml", "nothing.yaml", "calls.yaml", "--json", code=2).json
    unread = [p for p in body["problems"] if p["file"] == "nothing.yaml"]
    assert body["valid"] is False and len(unread) == 1 and set(unread[0]) == {"file", "message", "severity"}, body
    assert "nothing.yaml" in unread[0]["message"] and len(body["problems"]) > 1, body


def test_logs_and_dry_runs(files):
    files("run", "good.yaml", "--run-id", "r")
    lines = [json.loads(line) for line in files("logs", "r", "--json").out.splitlines()]
    assert lines[0]["kind"] and lines[-1]["kind"] == "end"
    plan = files("run", "fails.yaml", "--dry-run", "--json", code=None)
    assert plan.code in (0, 1) and plan.json["dry_run"] is True
    assert files("run", "bad.yaml", "--dry-run", "--json", code=2).json["error"]["places"]
