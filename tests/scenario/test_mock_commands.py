"""Commands that fixtures answer: nothing runs, and the step cannot tell."""
import pytest


def run(treadle, fixtures, *steps, **more):
    file = treadle.file("w.yaml", {"workflow": {"name": "w", "steps": list(steps)}})
    return treadle("run", file, "--mock", treadle.file("f.yaml", {"fixtures": fixtures}), "--json", "--quiet", **more)


def touch(name, **more):
    return {"name": name, "type": "command", "run": f"touch {name}", **more}


def test_answered_and_run(treadle):
    result = run(treadle, [{"match": {"step": "b"}, "reply": {"text": "made up\n", "stderr": "w"}},
                           {"match": {"step": "**"}, "reply": {"text": "for models"}}], touch("a"), touch("b"), code=0)
    assert [p.name for p in (treadle.cwd / "workspace").iterdir()] == ["a"]
    assert result.json["results"]["b"] == {
        "success": True, "exit_code": 0, "signal": None, "stdout": "made up\n", "stderr": "w", "duration_ms": 0,
        "timed_out": False, "truncated": False, "sandbox": "strict"}
    assert list(result.json["results"]["a"]) == list(result.json["results"]["b"])


@pytest.mark.parametrize("fixture, message", [
    ({"match": {"provider": "command", "text": "^touch a$"}, "reply": {"text": "no", "exit_code": 3}},
     "exit code 3: no"),
    ({"match": {"step": "*", "provider": "command"}, "reply": {"text": ""}, "delay": "2h"}, "no result within 0.05 s"),
    ({"match": {"step": "a"}, "reply": {"json": {"n": "x"}}}, "/n"),
])
def test_failures(treadle, fixture, message):
    schema = {"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}
    result = run(treadle, [fixture], touch("a", timeout="50ms", output_schema=schema), code=1)
    assert message in result.json["error"]["message"] and not list((treadle.cwd / "workspace").iterdir())


def test_attempts_and_times(treadle):
    result = run(treadle, [{"match": {"step": "a"}, "reply": {"exit_code": 1}, "times": 2},
                           {"match": {"step": "a", "attempt": 3}, "reply": {"json": {"n": 7}}}],
                 touch("a", output_schema={"required": ["n"]}, retry={"max_attempts": 3, "delay": "1ms",
                                                                      "on": ["command"]}),
                 {"name": "b", "type": "test_echo", "value": "{{ steps.a.n }}"}, code=0)
    assert result.json["results"]["b"] == 7 and result.json["results"]["a"]["data"] == {"n": 7}


def test_json_that_a_real_command_prints_is_checked_and_data(treadle):
    step = {"name": "a", "type": "command", "run": "echo '{\"n\": 1}'", "output_schema": {"required": ["n"]}}
    assert run(treadle, [], step, code=0).json["results"]["a"]["data"] == {"n": 1}
    step["output_schema"] = {"required": ["m"]}
    assert "\"m\"" in run(treadle, [], step, code=1).json["error"]["message"]
    plain = {"name": "a", "type": "command", "run": "echo hi", "output_schema": {"required": ["exit_code"]}}
    assert "data" not in run(treadle, [], plain, code=0).json["results"]["a"]


@pytest.mark.parametrize("fixture, message", [
    ({"match": {"provider": "command"}, "error": {"status": 500}}, "a command is answered by a"),
    ({"match": {"step": "a"}, "reply": {"exit_code": 256}}, "exit_code"),
    ({"match": {"step": "a"}, "reply": {"stderr": 1}}, "stderr"),
])
def test_fixtures_that_are_wrong(treadle, fixture, message):
    assert message in run(treadle, [fixture], touch("a"), code=2).err


def test_cancelled_while_due(treadle):
    """One branch fails; the made-up command beside it must not keep the run."""
    both = {"name": "p", "type": "parallel", "branches": {
        "slow": [touch("a")], "bad": [{"name": "x", "type": "test_echo", "value": 1, "fail": True}]}}
    result = run(treadle, [{"match": {"step": "p/slow/a"}, "reply": {"text": ""}, "delay": "2h"}], both, code=1)
    assert result.seconds < 20 and "`bad`" in result.json["error"]["message"]
