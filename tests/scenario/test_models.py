"""What becomes of models that err: wrong tools, wrong answers, no end, no money. Answers come from fixtures."""
import json

import pytest


def workflow(treadle, step, **more):
    step = {"name": "ask", "type": "claude", "prompt": "Do it.", **step}
    return treadle.file("w.yaml", {"workflow": {"name": "w", "steps": [step], **more}})


def fixtures(treadle, *entries, default="fail"):
    return treadle.file("fixtures.yaml", {"fixtures": list(entries), "default": default})


def run(treadle, step, *entries, code=0, **more):
    return treadle("run", workflow(treadle, step, **more), "--mock", fixtures(treadle, *entries), "--json", code=code)


def answer(said, /, **match):
    return {"match": match, "reply": {"text": said}}


def call(name, arguments, /, **match):
    return {"match": match, "reply": {"tool_calls": [{"name": name, "input": arguments}]}}


@pytest.mark.parametrize("name", ["Bash", "NoSuchTool"])
def test_a_tool_that_was_not_given_is_refused_to_the_models_face(treadle, name):
    result = run(treadle, {"allowed_tools": ["Read"]}, call(name, {"command": "touch x"}, turn=1),
                 answer("Then without.", turn=2, text=f"There is no tool `{name}` here"))
    assert result.json["results"]["ask"]["text"] == "Then without."
    assert not (treadle.cwd / "workspace/x").exists()


@pytest.mark.parametrize("path", ["/etc/passwd", "../secret", "link/passwd"])
def test_files_outside_the_workspace_are_refused(treadle, path):
    treadle.file("secret", "do not tell")
    (treadle.cwd / "workspace").mkdir()
    (treadle.cwd / "workspace/link").symlink_to("/etc")
    result = run(treadle, {"allowed_tools": ["Read"]}, call("Read", {"file_path": path}, turn=1),
                 answer("$1", turn=2, text="(?s)(.*)"))
    told = result.json["results"]["ask"]["text"]
    assert "root:" not in told and "do not tell" not in told and told


def test_wrong_arguments_are_told(treadle):
    result = run(treadle, {"allowed_tools": ["Read"]}, call("Read", {"path": "a"}, turn=1),
                 answer("$0", turn=2, text=".*file_path.*"))
    assert "file_path" in result.json["results"]["ask"]["text"]


def test_a_model_that_never_ends_is_stopped(treadle):
    result = run(treadle, {"allowed_tools": ["Glob"], "max_turns": 4}, call("Glob", {"pattern": "*"}), code=1)
    assert result.json["error"]["class"] == "limit" and result.json["error"]["code"] == "max_turns"
    assert result.json["usage"]["calls"] == 4


def test_a_refusal_fails_the_step(treadle):
    result = run(treadle, {}, {"reply": {"text": "No.", "stop_reason": "refusal"}}, code=1)
    assert result.json["error"]["class"] == "refused" and result.json["usage"]["calls"] == 1


SCHEMA = {"type": "object", "required": ["score"], "properties": {"score": {"type": "integer", "maximum": 10}}}


def test_an_answer_that_does_not_fit_is_corrected(treadle):
    result = run(treadle, {"output_schema": SCHEMA}, answer('{"score": 11}', turn=1),
                 answer("```json\n{\"score\": 9}\n```", turn=2, text="(?s)does not fit.*score"))
    assert result.json["results"]["ask"]["data"] == {"score": 9} and result.json["results"]["ask"]["turns"] == 2


def test_two_corrections_and_no_more(treadle):
    result = run(treadle, {"output_schema": SCHEMA}, answer('{"score": 11}'), code=1)
    assert result.json["error"]["class"] == "schema" and result.json["usage"]["calls"] == 3


def tokens(number):
    return {"reply": {"text": "ok", "usage": {"input_tokens": number, "output_tokens": 0}}}


def two_steps(budget=None, step_budget=None):
    steps = [{"name": "one", "type": "claude", "prompt": "a"}, {"name": "two", "type": "claude", "prompt": "b"}]
    if step_budget:
        steps[1].update(budget=step_budget, allowed_tools=["Glob"])
    return {"workflow": {"name": "w", "steps": steps, **({"budget": budget} if budget else {})}}


@pytest.mark.parametrize("budget", [{"tokens": 1000}, {"usd": 0.002}])
def test_a_spent_budget_waits_and_goes_on_when_it_is_raised(treadle, budget):
    treadle.file("w.yaml", two_steps(budget))
    treadle.file("more.yaml", two_steps({name: value * 10 for name, value in budget.items()}))
    result = treadle("run", "w.yaml", "--mock", fixtures(treadle, tokens(1000)), "--json", code=3).json
    assert result["status"] == "waiting" and result["error"]["class"] == "budget" and result["error"]["step"] == "two"
    assert treadle("resume", "last", "--json", code=3).json["usage"]["calls"] == 1  # not by itself
    result = treadle("resume", "last", "--workflow", "more.yaml", "--json", code=0).json
    assert result["status"] == "succeeded" and result["usage"]["calls"] == 2  # the first was not asked again


def test_a_steps_own_budget(treadle):
    treadle.file("w.yaml", two_steps(step_budget={"tokens": 1500}))
    looking = {"reply": {"tool_calls": [{"name": "Glob", "input": {"pattern": "*"}}], "usage": {"input_tokens": 1000}},
               "match": {"step": "two"}}
    result = treadle("run", "w.yaml", "--mock", fixtures(treadle, looking, tokens(100)), "--json", code=1).json
    assert result["error"]["class"] == "budget" and result["usage"]["calls"] == 3  # one, and two of the second


@pytest.mark.parametrize("error, kind, calls", [({"status": 401}, "auth", 1), ({"status": 400}, "invalid_request", 1),
                                               ({"status": 529}, "overloaded", 3), ({"network": "reset"}, "network", 3),
                                               ({"cut_after": 200}, "network", 3)])
def test_what_is_tried_again(treadle, error, kind, calls):
    step = {"retry": {"max_attempts": 3, "delay": "10ms", "jitter": False}}
    if "cut_after" in error:
        failing = {"error": error, "reply": {"text": "half of it"}}
    else:
        failing = {"error": error}
    result = run(treadle, step, failing, code=1)
    assert result.json["error"]["class"] == kind, result
    assert len([line for line in result.err.splitlines() if " call " in line]) == calls


def test_default_retries_of_a_model(treadle):
    result = run(treadle, {}, {"error": {"status": 503, "retry_after": 0.01}, "times": 1}, answer("at last"))
    assert result.json["results"]["ask"]["text"] == "at last"
    assert json.dumps(result.json).count("at last") >= 1 and " retry " in result.err
