"""`mock_response` and `mock_error`: answers that a workflow brings along, for runs where answers are made up."""
import json

import pytest

SCHEMA = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}


def run(treadle, *steps, args=("--mock",), **more):
    file = treadle.file("w.yaml", {"workflow": {"name": "w", "inputs": {"who": {"default": "Ada"}}, "steps": steps}})
    return treadle("run", file, *args, "--json", "--quiet", **more)


def model(name, **keys):
    return {"name": name, "type": "claude", "prompt": "Say it.", **keys}


def test_answers(treadle):
    steps = [model("text", mock_response="for {{ inputs.who }}, $1"),
             model("data", mock_response={"n": 7}, output_schema=SCHEMA),
             {"name": "g", "type": "gemini", "prompt": "p", "mock_response": ["a", 1]},
             {"name": "batch", "type": "claude_batch", "tasks": [{"id": "one", "prompt": "x", "mock_response": "1st"}]},
             {"name": "run", "type": "command", "run": "touch ran", "mock_response": "12 passed\n"},
             {"name": "json", "type": "command", "run": "touch ran", "mock_response": {"ok": True},
              "output_schema": {"required": ["ok"]}}]
    got = run(treadle, *steps, code=0).json["results"]
    assert got["text"]["text"] == "for Ada, $1" and got["text"]["usage"]["output_tokens"] > 0
    assert got["data"]["data"] == {"n": 7} and json.loads(got["g"]["text"]) == ["a", 1]
    assert got["batch"]["batch_results"][0]["result"]["text"] == "1st"
    assert got["run"]["stdout"] == "12 passed\n" and got["run"]["exit_code"] == 0
    assert got["json"]["data"] == {"ok": True}
    assert not list((treadle.cwd / "workspace").iterdir())


def test_failures(treadle):
    steps = [model("a", mock_error="no such model", on_error="continue"),
             model("b", mock_error={"status": 529, "message": "busy", "code": "overloaded_error"},
                   retry={"max_attempts": 2, "delay": "1ms"}, on_error="continue"),
             {"name": "c", "type": "command", "run": "true", "mock_error": "boom", "on_error": "continue"},
             {"name": "d", "type": "command", "run": "true", "mock_error": {"exit_code": 3}, "on_error": "continue"}]
    got = run(treadle, *steps, code=0).json["results"]
    assert got["a"]["error"]["class"] == "invalid_request" and "no such model" in got["a"]["error"]["message"]
    assert got["b"]["error"]["class"] == "overloaded" and "busy" in got["b"]["error"]["message"]
    assert got["c"]["exit_code"] == 1 and got["c"]["stderr"] == "boom" and got["d"]["exit_code"] == 3


def test_fixtures_go_first(treadle):
    fixtures = treadle.file("f.yaml", {"fixtures": [{"match": {"step": "a"}, "reply": {"text": "of the fixture"}}],
                                       "default": "fail"})
    steps = [model("a", mock_response="own"), model("b", mock_response="own")]
    got = run(treadle, *steps, args=("--mock", fixtures), code=0)
    assert got.json["results"]["a"]["text"] == "of the fixture" and got.json["results"]["b"]["text"] == "own"


def test_plan(treadle):
    steps = [{"name": "count", "type": "command", "run": "ls | wc -l", "mock_response": "3"},
             {"name": "many", "type": "test_echo", "value": 1, "condition": "steps.count.stdout == '3'"},
             model("say", mock_response="42"),
             {"name": "use", "type": "command", "run": ["echo", "{{ steps.say.text }}"]}]
    plan = run(treadle, *steps, args=("--dry-run",), code=0).json["plan"]
    assert not [e for e in plan if e["kind"] == "skipped"], plan
    assert [e["command"] for e in plan if e["kind"] == "command"][-1:] == ["echo 42"], plan


def test_real_calls_and_commands_do_not_see_them(treadle, fake_provider):
    provider = fake_provider()
    got = run(treadle, model("a", mock_response="made up"),
              {"name": "c", "type": "command", "run": "echo real", "mock_error": "boom"},
              args=(), env=provider.env, code=0)
    assert got.json["results"]["a"]["text"] != "made up" and got.json["results"]["c"]["stdout"] == "real\n"
    assert provider.total() == 1 and "made up" not in provider.requests_file.read_text()


@pytest.mark.parametrize("keys, message", [
    ({"mock_error": {"status": 200}}, "`mock_error` has integer here"),
    ({"mock_error": 7}, "`mock_error` has integer here"),
    ({"mock_error": {"exit_code": 1}}, "`mock_error` has integer here"),
    ({"mock_error": "a", "mock_response": "b"}, "expected one of them"),
])
def test_what_is_refused(treadle, keys, message):
    assert message in run(treadle, model("a", **keys), code=2).err


def test_other_steps_have_none(treadle):
    result = run(treadle, {"name": "a", "type": "test_echo", "value": 1, "mock_response": 2}, code=0)
    assert result.json["results"]["a"] == 1
    warned = treadle("validate", "w.yaml", code=0).err
    assert "`mock_response` has no effect; only steps that ask a model, commands and calls" in warned
