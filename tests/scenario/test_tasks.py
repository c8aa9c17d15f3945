"""Tasks of a group that are workflows: their results, their failures, and what is not done again."""

SUB = """\
workflow:
  name: sub
  inputs: {n: {type: integer, required: true}}
  output: {n: "{{ steps.twice }}", text: "{{ steps.say.text }}"}
  steps:
    - {name: twice, type: test_echo, value: "{{ inputs.n * 2 }}"}
    - {name: say, type: claude, prompt: "say {{ steps.twice }}"}
"""


def workflow(treadle, *steps, **more):
    treadle.file("sub.yaml", SUB)
    return treadle.file("w.yaml", {"workflow": {"name": "w", "steps": list(steps), **more}})


def sent(provider):
    contents = [r["body"]["messages"][0]["content"] for r in provider.requests()]
    return sorted(c if isinstance(c, str) else c[0]["text"] for c in contents)


def called(name, n, **more):
    return {"id": name, "type": "pipeline", "pipeline_file": "sub.yaml", "inputs": {"n": n}, **more}


def test_workflows_among_tasks(treadle, fake_provider):
    provider = fake_provider(script=[{"regex": "(\\w+)$", "text": "heard $1"}])
    inner = {"name": "in", "steps": [{"name": "x", "type": "test_echo", "value": 7}], "output": "{{ steps.x }}"}
    file = workflow(
        treadle, {"name": "all", "type": "parallel_claude", "tasks": [
            {"id": "a", "prompt": "hello"}, called("b", 3), {"id": "c", "type": "pipeline", "pipeline": inner}]},
        {"name": "batch", "type": "claude_batch", "tasks": [called("b", 4)]},
        {"name": "each", "type": "parallel_claude", "tasks": "{{ [5, 6] }}",
         "task_template": called("t{{ item }}", "{{ item }}")}, output="{{ steps.all.b.n }}")
    result = treadle("run", file, "--json", "--quiet", env=provider.env).json
    assert sent(provider) == ["hello", "say 10", "say 12", "say 6", "say 8"] and result["output"] == 6
    results = result["results"]["all"]["results"]
    assert results["b"] == {"ok": True, "result": {"n": 6, "text": "heard 6"}} and results["c"]["result"] == 7
    assert result["results"]["batch"]["batch_results"][0]["result"]["n"] == 8
    assert {k: v["result"]["n"] for k, v in result["results"]["each"]["results"].items()} == {"t5": 10, "t6": 12}


def test_a_workflow_that_fails_is_a_task_that_fails(treadle, fake_provider):
    provider = fake_provider()
    bad = {"name": "in", "steps": [{"name": "x", "type": "test_echo", "fail": True}]}
    file = workflow(treadle, {"name": "all", "type": "parallel_claude", "tasks": [
        called("b", 3), {"id": "c", "type": "pipeline", "pipeline": bad}]})
    results = treadle("run", file, "--json", "--quiet", env=provider.env).json["results"]["all"]["results"]
    assert [results[k]["ok"] for k in "bc"] == [True, False] and sent(provider) == ["say 6"]


def test_what_a_task_has_done_is_not_done_again(treadle, fake_provider):
    provider = fake_provider(script=[{"regex": "^stop$", "nth": 1, "status": 401, "body": "no"}, {"text": "yes"}])
    file = workflow(treadle, {"name": "all", "type": "parallel_claude", "tasks": [called("a", 3), called("b", 4)]},
                    {"name": "stop", "type": "claude", "prompt": "stop"})
    treadle("run", file, "--run-id", "r", "--quiet", env=provider.env, code=1)
    treadle("resume", "r", "--quiet", env=provider.env)
    assert sent(provider) == ["say 6", "say 8", "stop", "stop"]


def test_tasks_that_data_calls_the_same(treadle, fake_provider):
    """Each has its result, under a name that is the same in the next life; nothing is asked twice."""
    provider = fake_provider(script=[{"regex": "^(stop)$", "nth": 1, "status": 401, "body": "no"},
                                     {"regex": "(\\w+)$", "text": "heard $1"}])
    items = [{"name": "a", "prompt": "one"}, {"name": "b", "prompt": "two"}, {"name": "a", "prompt": "three"}]
    file = workflow(treadle, {"name": "all", "type": "parallel_claude", "tasks": "{{ inputs.items }}"},
                    {"name": "stop", "type": "claude", "prompt": "stop"},
                    {"name": "see", "type": "test_echo", "value": "{{ steps.all.a.text }}, {{ steps.all.a_2.text }}"},
                    inputs={"items": {"type": "array", "default": items}})
    first = treadle("run", file, "--run-id", "r", env=provider.env, code=1)
    assert "several tasks are called `a`; the second is called `a_2`" in first.err
    result = treadle("resume", "r", "--json", "--quiet", env=provider.env).json
    assert result["results"]["see"] == "heard one, heard three"
    assert sent(provider) == ["one", "stop", "stop", "three", "two"]
