"""What pipeline_ex's documentation tells workflow authors to build: each pattern, and what must come of it."""
import hashlib
import json

import pytest


def run(treadle, workflow, *args, fixtures=None, files=None, code=0, env=None):
    for name, text in (files or {}).items():
        treadle.file(name, text)
    mock = ["--mock", treadle.file("fixtures.json", {"fixtures": fixtures,
                                                     "default": "fail"})] if fixtures else ["--mock"]
    file = workflow if isinstance(workflow, str) else treadle.file("w.yaml", workflow)
    return treadle("run", file, *mock, "--record", treadle.cwd / "record.jsonl", "--json", "--quiet", *args, code=code,
                   env=env)


def results(treadle, workflow, *args, **more):
    return run(treadle, workflow, *args, **more).json["results"]


def prompts(treadle):
    """[(step, prompt)] of the calls so far."""
    found = []
    for line in (treadle.cwd / "record.jsonl").read_text().splitlines():
        call = json.loads(line)
        body = call["request"]
        first = body["contents"][0]["parts"] if "contents" in body else body["messages"][0]["content"]
        found.append((call["step"], first if isinstance(first, str) else first[0]["text"]))
    return found


def wf(*steps, **more):
    return {"workflow": {"name": "pattern", "steps": list(steps), **more}}


def echo(name, value, **more):
    return {"name": name, "type": "test_echo", "value": value, **more}


def let(name, **variables):
    return {"name": name, "type": "set_variable", "variables": variables}


ERROR = [{"match": {"step": "primary"}, "error": {"status": 400, "message": "no"}}]


def test_fallback(treadle):
    steps = [{"name": "primary", "type": "claude", "prompt": "a", "continue_on_error": True},
             {"name": "backup", "type": "gemini", "prompt": "b", "condition": "steps.primary.error != null"},
             echo("answer", "{{steps.backup.text || steps.primary.text}}")]
    failed = results(treadle, wf(*steps), fixtures=[*ERROR, {"match": {"step": "backup"}, "reply": {"text": "B"}}])
    assert failed["answer"] == "B" and failed["primary"]["success"] is False and failed["primary"]["error"]["message"]
    fine = results(treadle, wf(*steps), fixtures=[{"match": {"step": "primary"}, "reply": {"text": "A"}}])
    assert fine["answer"] == "A" and fine["backup"]["skipped"] is True


@pytest.mark.parametrize("config, steps, kind", [
    ({"max_depth": 1}, [{"name": "inner", "type": "pipeline", "pipeline": {"name": "c", "steps": [
        {"name": "deeper", "type": "pipeline", "pipeline": {"name": "d", "steps": [echo("x", 1)]}}]}}],
        "max_depth_exceeded"),
    ({"timeout_seconds": 0.2}, [{"name": "inner", "type": "sleep", "for": "30s"}], "timeout_exceeded"),
    ({"max_total_steps": 2}, [echo(f"s{i}", i) for i in range(5)], "max_total_steps_exceeded"),
])
def test_kinds_of_errors(treadle, config, steps, kind):
    got = results(treadle, wf(
        {"name": "call", "type": "pipeline", "pipeline": {"name": "child", "steps": steps}, "config": config,
         "continue_on_error": True},
        echo("why", "{{steps.call.error.type}}"),
        echo("handled", "yes", condition=f"steps.call.error.type == '{kind}'")))
    assert got["handled"] == "yes", got


def test_retry_loop_that_counts_in_state(treadle):
    """The counter needs no beginning; the loop ends when the check passes."""
    got = results(treadle, wf(
        {"name": "again", "type": "while_loop", "condition": "state.attempts < 5 and state.done != true",
         "max_iterations": 10,
         "steps": [
             {"name": "work", "type": "claude", "prompt": "try {{state.attempts}}"},
             let("count", attempts="{{state.attempts + 1}}", done="{{steps.work.text == 'ok'}}")]},
        echo("after", "{{state.attempts}}"), variables={"attempts": 0}),
        fixtures=[{"match": {"text": "try 2"}, "reply": {"text": "ok"}}, {"match": {"text": "try"},
                                                                          "reply": {"text": "no"}}])
    assert got["after"] == 3 and got["again"]["iterations"] == 3
    assert [p for _, p in prompts(treadle)] == ["try 0", "try 1", "try 2"]


def test_fields_of_skipped_steps(treadle):
    got = results(treadle, wf(
        echo("maybe", {"score": 9}, condition=False),
        echo("high", "ran", condition="steps.maybe.score > 5"),
        echo("low", "ran", condition={"or": ["maybe.score == null", {"not": "steps.maybe.skipped"}]}),
        echo("told", "{{steps.maybe.skipped}}")))
    assert got["high"]["skipped"] is True and got["low"] == "ran" and got["told"] is True


def test_circuit_breaker(treadle):
    """Failures raise a count; from the third on the service is not asked any more."""
    body = [{"name": "service", "type": "claude", "prompt": "{{loop.item}}", "condition": "not state.circuit_open",
             "on_error": [let("count", failure_count="{{state.failure_count + 1}}",
                              circuit_open="{{state.failure_count + 1 >= 3}}")]}]
    got = results(treadle, wf({"name": "calls", "type": "for_loop", "iterator": "n", "data_source": [1, 2, 3, 4, 5],
                               "break_on_error": False, "steps": body},
                              echo("count", "{{state.failure_count}}"), echo("open", "{{state.circuit_open}}"),
                              variables={"failure_count": 0, "circuit_open": False}),
                  fixtures=[{"match": {}, "error": {"status": 400, "message": "down"}}])
    assert (got["count"], got["open"]) == (3, True) and len(prompts(treadle)) == 3


def test_state_machine(treadle):
    got = results(treadle, wf(
        {"name": "machine", "type": "while_loop", "condition": "state.phase != 'done'", "max_iterations": 10, "steps": [
            let("trace", path="{{append(state.path, state.phase)}}"),
            {"name": "step", "type": "switch", "expression": "state.phase", "cases": {
                "plan": [let("p", phase="build")], "build": [let("b", phase="{{state.tries > 0 ? 'ship' : 'fix'}}")],
                "fix": [let("f", phase="build", tries="{{state.tries + 1}}")]},
             "default": [let("d", phase="done")]}]},
        echo("path", "{{state.path}}"), variables={"phase": "plan", "tries": 0}))
    assert got["path"] == ["plan", "build", "fix", "build", "ship"] and got["machine"]["condition_met"] is True


def test_checkpoint_load_and_save_loop(treadle):
    """Each run goes on where the one before has stopped."""
    flow = wf({"name": "load", "type": "checkpoint", "checkpoint_name": "progress", "action": "load",
               "on_not_found": [let("init", position=0, seen=[])]},
              {"name": "loop", "type": "while_loop", "condition": "state.position < 6 and loop_budget > 0",
               "max_iterations": 2, "steps": [
                  let("go", position="{{state.position + 1}}", seen="{{state.seen + [state.position]}}"),
                  {"name": "save", "type": "checkpoint", "checkpoint_name": "progress",
                   "state": {"position": "{{state.position}}", "seen": "{{state.seen}}"}}]},
              echo("at", "{{state.position}}"), echo("seen", "{{state.seen}}"), variables={"loop_budget": 1})
    assert [results(treadle, flow)["at"] for _ in range(4)] == [2, 4, 6, 6]
    assert results(treadle, flow)["seen"] == [0, 1, 2, 3, 4, 5]


def test_pipeline_factory(treadle):
    """Which file is called comes from an answer."""
    child = wf(echo("made", "by {{inputs.who}}"), inputs={"who": {"type": "string"}})
    got = results(treadle, wf(
        {"name": "choose", "type": "claude", "prompt": "which?"},
        {"name": "call", "type": "pipeline", "pipeline_file": "pipelines/{{steps.choose.text}}.yaml",
         "inputs": {"who": "me"}},
        echo("out", "{{steps.call.made}}")), files={"pipelines/b.yaml": json.dumps(child)},
        fixtures=[{"match": {"step": "choose"}, "reply": {"text": "b"}}])
    assert got["out"] == "by me"
    away = run(treadle, treadle.file("w2.yaml", (treadle.cwd / "w.yaml").read_text()), code=1,
               fixtures=[{"match": {"step": "choose"}, "reply": {"text": "../../etc/passwd"}}]).json
    assert away["error"]["step"] == "call"


def test_planned_steps(treadle):
    got = results(treadle, wf(
        {"name": "plan", "type": "claude", "prompt": "plan"},
        {"name": "do", "type": "for_loop", "iterator": "task", "data_source": "{{steps.plan.tasks}}", "steps": [
            {"name": "task", "type": "{{loop.task.type}}", "prompt": "{{loop.task.prompt}}"}]}),
        fixtures=[{"match": {"step": "plan"}, "reply": {"json": {"tasks": [
            {"type": "claude", "prompt": "write"}, {"type": "gemini", "prompt": "check"}]}}},
            {"match": {"text": "(write|check)"}, "reply": {"text": "did $1"}}])
    tasks = [i["results"]["task"] for i in got["do"]["iterations"]]
    assert [(t["provider"], t["text"]) for t in tasks] == [("claude", "did write"), ("gemini", "did check")]


def test_bounded_tree_recursion(treadle):
    """A workflow that calls itself for each child of a node, as deep as the tree and never deeper than allowed."""
    tree = {"v": 1, "kids": [{"v": 2, "kids": [{"v": 3, "kids": []}]}, {"v": 4, "kids": []}]}
    flow = wf({"name": "kids", "type": "for_loop", "iterator": "kid", "data_source": "{{inputs.node.kids}}",
               "condition": "length(inputs.node.kids) > 0", "steps": [
                   {"name": "down", "type": "pipeline", "pipeline_file": "tree.yaml",
                    "inputs": {"node": "{{loop.kid}}"},
                    "outputs": ["total"], "config": {"max_depth": "DEPTH"}}]},
              echo("below", "{{map(steps.kids.iterations || [], (i) => i.results.down.total)}}"),
              echo("total", "{{inputs.node.v + sum(steps.below)}}"), inputs={"node": {"type": "object"}})

    def go(depth, code):
        text = json.dumps(flow).replace('"DEPTH"', str(depth))
        return run(treadle, treadle.file("tree.yaml", text), "--input", f"node={json.dumps(tree)}", code=code).json

    assert go(5, 0)["results"]["total"] == 10
    assert "deep" in go(1, 1)["error"]["message"]


def test_chunks_in_parallel_with_tasks_inside(treadle, fake_provider):
    """max_parallel is a true ceiling of the iterations; each chunk is a parallel_claude of its own."""
    provider = fake_provider(script=[{"delay_ms": 60, "text": "ok"}])
    flow = wf({"name": "chunks", "type": "for_loop", "iterator": "chunk", "data_source": "{{chunk(inputs.files, 2)}}",
               "parallel": True, "max_parallel": 2, "steps": [
                   {"name": "review", "type": "parallel_claude", "parallel_tasks": "{{loop.chunk}}",
                    "task_template": {"id": "task_{{item}}", "prompt": "Review {{item}}"}}]},
              inputs={"files": {"type": "array"}})
    file = treadle.file("w.yaml", flow)
    files = [f"f{i}.c" for i in range(7)]
    got = treadle("run", file, "--input", f"files={json.dumps(files)}", "--json", "--quiet", env=provider.env, code=0)
    loop = got.json["results"]["chunks"]
    assert [len(i["item"]) for i in loop["iterations"]] == [2, 2, 2, 1] and loop["success"] is True
    asked = sorted(r["body"]["messages"][0]["content"][0]["text"] for r in provider.requests())
    assert asked == [f"Review {name}" for name in files]
    assert provider.stats()["peak_in_flight"] <= 4


def test_budget_alert_then_stop(treadle):
    steps = [{"name": n, "type": "claude", "prompt": n} for n in ("a", "b", "c")]
    usage = {"input_tokens": 400000, "output_tokens": 1000}
    fixtures = [{"match": {}, "reply": {"text": "x", "usage": usage}}]
    stopped = run(treadle, wf(*steps, cost_limits={"max_cost_per_run": 1.0, "action_on_exceed": "abort"}),
                  fixtures=fixtures, code=1).json
    assert stopped["error"]["class"] == "budget" and 0 < len(prompts(treadle)) < 3
    paused = run(treadle, wf(*steps, cost_limits={"max_cost_per_run": 1.0, "action_on_exceed": "pause"}),
                 fixtures=fixtures, code=(1, 3)).json
    assert paused["status"] != "succeeded"


def test_cache_by_hash(treadle):
    """Saved under the hash of what was asked; the second run asks nothing."""
    flow = wf(let("key", key="{{hash(inputs.text)}}"),
              {"name": "look", "type": "checkpoint", "checkpoint_name": "cache_{{state.key}}", "action": "load",
               "on_not_found": [{"name": "ask", "type": "claude", "prompt": "Sum up {{inputs.text}}"},
                                let("keep", answer="{{steps.ask.text}}"),
                                {"name": "save", "type": "checkpoint", "checkpoint_name": "cache_{{state.key}}",
                                 "state": {"answer": "{{state.answer}}"}}]},
              echo("answer", "{{state.answer}}"), inputs={"text": {"type": "string"}})
    fixtures = [{"match": {}, "reply": {"text": "short"}}]
    for text, calls in (("one", 1), ("one", 1), ("two", 2)):
        assert results(treadle, flow, "--input", f"text={text}", fixtures=fixtures)["answer"] == "short"
        assert len(prompts(treadle)) == calls
    kept = json.dumps(results(treadle, flow, "--input", "text=one", fixtures=fixtures)["look"])
    assert hashlib.sha256(b"one").hexdigest() in kept


def test_mock_children_with_expected_outputs(treadle):
    child = {"name": "child", "steps": [{"name": "s", "type": "claude", "prompt": "score?"},
                                        echo("score", "{{steps.s.n}}")]}
    call = {"name": "call", "type": "pipeline", "pipeline": child, "outputs": ["score"],
            "expected_outputs": {"score": 7}}
    fixture = {"match": {"step": "call/s"}, "reply": {"json": {"n": 7}}}
    assert results(treadle, wf(call), fixtures=[fixture])["call"] == {"score": 7}
    fixture["reply"]["json"]["n"] = 8
    wrong = run(treadle, wf(call), fixtures=[fixture], code=1).json
    assert "score" in wrong["error"]["message"] and "7" in wrong["error"]["message"]


@pytest.mark.parametrize("condition", ["steps.poll.status != 'ready'", "poll.status != 'ready'",
                                       "{{poll.status != 'ready'}}"])
def test_polling(treadle, condition):
    """A while loop that asks about its own step runs at least once, and reads the newest answer."""
    got = results(treadle, wf(
        {"name": "wait", "type": "while_loop", "condition": condition, "max_iterations": 9, "steps": [
            {"name": "poll", "type": "claude", "prompt": "{{loop.index}}"},
            {"name": "pause", "type": "file_ops", "operation": "wait", "duration_seconds": 0.01}]},
        echo("after", "{{steps.poll.status}}")),
        fixtures=[{"match": {"text": "2"}, "reply": {"json": {"status": "ready"}}},
                  {"match": {}, "reply": {"json": {"status": "busy"}}}])
    assert got["wait"]["iterations"] == 3 and got["wait"]["condition_met"] is True and got["after"] == "ready"


@pytest.mark.parametrize("grow", ["{{append(state.found, loop.n)}}", "{{state.found + [loop.n]}}",
                                  "{{concat(state.found, [loop.n])}}"])
@pytest.mark.parametrize("start", [{}, {"variables": {"found": []}}])
def test_growing_lists(treadle, grow, start):
    got = results(treadle, wf({"name": "loop", "type": "for_loop", "iterator": "n", "data_source": "range(1, 4)",
                               "steps": [let("add", found=grow)]}, echo("all", "{{state.found}}"), **start))
    assert got["all"] == [1, 2, 3, 4]


def test_session_variables(treadle):
    """Of the whole run, also when a loop sets them, and of later runs."""
    flow = wf({"name": "loop", "type": "for_loop", "iterator": "n", "data_source": [1, 2], "steps": [
        {"name": "s", "type": "set_variable", "scope": "session", "variables": {"seen": "{{loop.n}}"}}]},
              echo("out", "{{state.seen}}"))
    got = results(treadle, flow)
    assert got["out"] == 2 and got["loop"]["iterations"][0]["results"]["s"]["scope"] == "session"
    assert "scope" not in treadle("validate", treadle.cwd / "w.yaml", code=0).err
