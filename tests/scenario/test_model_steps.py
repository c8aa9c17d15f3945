"""Model steps with a manner of their own, as the providers see them."""
import pytest


def workflow(treadle, *steps, **more):
    return treadle.file("w.yaml", {"workflow": {"name": "w", "steps": list(steps), **more}})


def step(kind, **more):
    return {"name": "ask", "type": kind, "prompt": "What is it?", **more}


def live(treadle, provider, *steps, env=None, code=0, **more):
    file = workflow(treadle, *steps, **more)
    return treadle("run", file, "--json", "--quiet", env={**provider.env, **(env or {})}, code=code)


@pytest.mark.parametrize("kind, more, env, model", [
    ("claude", {}, {}, "claude-sonnet"), ("claude", {}, {"CLAUDE_MODEL": "haiku"}, "claude-haiku"),
    ("claude", {"model": "opus"}, {"CLAUDE_MODEL": "haiku"}, "claude-opus"),
    ("claude_smart", {}, {"CLAUDE_MODEL": "haiku"}, "claude-haiku"),
    ("claude_smart", {"preset": "analysis"}, {"CLAUDE_MODEL": "haiku"}, "claude-opus"),
    ("claude_extract", {"claude_options": {"model": "claude-x-1"}}, {}, "claude-x-1"),
])
def test_model_that_is_asked(treadle, fake_provider, kind, more, env, model):
    provider = fake_provider()
    live(treadle, provider, step(kind, **more), env=env)
    assert provider.requests()[0]["body"]["model"].startswith(model)


@pytest.mark.parametrize("began", [{"CLAUDE_MODEL": "haiku"}, {}])
def test_the_environment_may_change_while_a_run_stands_still(treadle, fake_provider, began):
    provider = fake_provider(script=[{"nth": 1, "status": 401, "body": "no"}, {"text": "yes"}] * 2)
    steps = [step("claude_smart"), {**step("claude_smart"), "name": "later"}]
    file = workflow(treadle, *steps)
    treadle("run", file, "--run-id", "r", "--quiet", env={**provider.env, **began}, code=1)
    treadle("resume", "r", "--quiet", env={**provider.env, "CLAUDE_MODEL": "opus"})
    asked = [r["body"]["model"] for r in provider.requests()]
    assert len(asked) == 3 and len(set(asked)) == 1 and ("haiku" in asked[0]) == bool(began) and "opus" not in asked[0]


def test_gemini_model_of_the_environment(treadle, fake_provider):
    provider = fake_provider()
    result = live(treadle, provider, step("gemini"), env={"GEMINI_MODEL": "gemini-9-test"})
    assert provider.requests()[0]["provider"] == "gemini"
    assert result.json["results"]["ask"]["model"] == "gemini-9-test"


def test_functions_on_the_wire(treadle, fake_provider):
    grade = {"description": "Gives a grade", "parameters": {
        "type": "object", "required": ["score"], "properties": {"score": {"type": "integer", "maximum": 10}}}}
    provider = fake_provider(script=[
        {"turn": 0, "tool_calls": [{"name": "grade", "input": {"score": 11}}]},
        {"turn": 1, "tool_calls": [{"name": "grade", "input": {"score": n}} for n in (9, 1)]}])
    result = live(treadle, provider, step("gemini", functions=["grade"]), gemini_functions={"grade": grade},
                  output="{{ steps.ask.score }}")
    declared = provider.requests()[0]["body"]["tools"][0]["functionDeclarations"]
    assert [d["name"] for d in declared] == ["grade"] and declared[0]["description"] == "Gives a grade"
    assert result.json["results"]["ask"]["function_calls"] == [
        {"name": "grade", "arguments": {"score": 9}}, {"name": "grade", "arguments": {"score": 1}}]
    assert result.json["output"] == 9 and provider.total() == 2


def test_fallback_model(treadle, fake_provider):
    provider = fake_provider(script=[{"regex": "", "nth": 1, "status": 529, "times": 1}, {"text": "here"}])
    result = live(treadle, provider, step("claude_robust"))
    models = [r["body"]["model"] for r in provider.requests()]
    assert "opus" in models[0] and "sonnet" in models[1] and len(models) == 2
    assert result.json["results"]["ask"]["text"] == "here" and "degraded" not in result.json["results"]["ask"]


def test_instructor_asks_again_with_the_errors(treadle, fake_provider):
    provider = fake_provider(script=[{"turn": 0, "json": {"score": "high"}}, {"turn": 1, "json": {"score": 8}}])
    result = live(treadle, provider, step("gemini_instructor", schema={"score": "integer"}))
    assert result.json["results"]["ask"]["data"] == {"score": 8} and result.json["results"]["ask"]["turns"] == 2
    assert "/score" in str(provider.requests()[1]["body"]["contents"][-1])


def test_the_same_result_shape_with_a_bare_mock(treadle, fake_provider):
    provider = fake_provider(script=[{"json": {"a": "x"}}])
    steps = [{"name": k, "type": k, "prompt": "What is it?", **more} for k, more in [
        ("claude_smart", {}), ("claude_extract", {"schema": {"a": "string"}}), ("claude_robust", {}),
        ("claude_session", {}), ("gemini_instructor", {"schema": {"a": "string"}})]]
    real = live(treadle, provider, *steps).json["results"]
    mock = treadle("run", workflow(treadle, *steps), "--mock", "--json", "--quiet").json["results"]
    for name in real:
        assert real[name].keys() == mock[name].keys(), name
        assert real[name]["success"] is True and {"text", "provider", "usage"} <= real[name].keys(), name
    assert mock["claude_extract"]["data"].keys() == {"a"}


def test_robust_falls_back_to_the_newest_answer_of_an_earlier_run(treadle, fake_provider):
    robust = step("claude_robust", model="claude-x-1",
                  retry_config={"max_retries": 0, "fallback_action": "use_cached_response"})
    refusal = {"status": 400, "body": "no"}
    provider = fake_provider(script=[{"regex": "And this", **refusal}, {"nth": 1, "text": "one"},
                                     {"nth": 2, "text": "two"}, refusal])
    assert [live(treadle, provider, robust).json["results"]["ask"]["text"] for _ in "ab"] == ["one", "two"]
    late = live(treadle, provider, robust).json["results"]["ask"]
    assert (late["text"], late["degraded"], late["cached_response"]) == ("two", True, True)
    assert late["original_error"] and late["cost_usd"] == 0 == late["usage"]["input_tokens"]
    other = live(treadle, provider, {**robust, "prompt": "And this?"}, code=1)
    assert "no earlier answer to the same prompt" in other.json["error"]["message"]


def test_robust_step_in_a_workflow_that_goes_on(treadle):
    fixtures = treadle.file("f.yaml", {"fixtures": [{"match": {"step": "ask"}, "error": {"status": 500}}]})
    robust = step("claude_robust", retry_config={"max_retries": 1, "base_delay_ms": 1, "fallback_action": "skip"})
    after = {"name": "after", "type": "test_echo", "value": "{{ steps.ask.skipped }}"}
    result = treadle("run", workflow(treadle, robust, after), "--mock", fixtures, "--json", "--quiet")
    assert result.json["results"]["after"] is True and result.json["usage"]["calls"] == 0


def talk(**more):
    return step("claude_session", session_config={"session_name": "tutor", "persist": True, **more})


def said(request):
    contents = [m["content"] for m in request["body"]["messages"]]
    return [c if isinstance(c, str) else c[0]["text"] for c in contents]


def test_a_session_goes_on_in_later_steps_and_runs(treadle, fake_provider):
    provider = fake_provider(script=[{"regex": "(\\w+)$", "text": "heard $1"}])
    one, two = {**talk(), "prompt": "one"}, {**talk(), "name": "again", "prompt": "two"}
    first = live(treadle, provider, one, two).json["results"]
    second = live(treadle, provider, {**talk(), "prompt": "three"}).json["results"]
    assert [said(r) for r in provider.requests()] == [
        ["one"], ["one", "heard one", "two"], ["one", "heard one", "two", "heard two", "three"]]
    assert first["again"]["claude_session_metadata"]["turn"] == 2
    assert second["ask"]["claude_session_metadata"]["turn"] == 3 and second["ask"]["session_id"] == "tutor"
    live(treadle, provider, {**talk(), "prompt": "four", "continue_session": False})
    assert said(provider.requests()[3]) == ["four"]
    over = live(treadle, provider, {**talk(max_turns=1), "prompt": "five"}, code=1)
    assert over.json["error"]["code"] == "session_turns" and len(provider.requests()) == 4


def test_sessions_that_do_not_mix(treadle, fake_provider):
    """Without a name a conversation is the step's own and the run's; scripted models have theirs."""
    provider = fake_provider()
    plain = step("claude_session")
    for _ in range(2):
        live(treadle, provider, plain)
    treadle("run", workflow(treadle, {**talk(), "prompt": "mock"}), "--mock", "--quiet")
    live(treadle, provider, {**talk(), "prompt": "real"})
    assert [len(said(r)) for r in provider.requests()] == [1, 1, 1]


@pytest.mark.parametrize("name", ["../../evil", "a/b", "\u00fc \n", ".hidden", "x" * 300])
def test_session_names_are_no_paths(treadle, name):
    one = step("claude_session", session_config={"session_name": name})
    treadle("run", workflow(treadle, one), "--mock", "--quiet")
    files = [p for p in treadle.home.rglob("*.jsonl")]
    assert len(files) == 1 and files[0].parent == treadle.home / "sessions/mock" and files[0].name[0] == "~"
    again = treadle("run", workflow(treadle, one), "--mock", "--json", "--quiet").json["results"]["ask"]
    assert again["claude_session_metadata"]["turn"] == 2


def test_files_by_pattern_and_directory(treadle):
    for name, text in {"src/a.c": "int a;", "src/deep/b.c": "int b;", "src/c.h": "int c;", "src/.x.c": "no"}.items():
        treadle.file(name, text)
    (treadle.cwd / "src/link.c").symlink_to("/etc/passwd")
    (treadle.cwd / "src/bin.c").write_bytes(b"\x00\x01")
    parts = [{"type": "file", "path": "src/**/*.c"}, {"type": "file", "path": "src/"}]
    fixtures = treadle.file("f.yaml", {"fixtures": [{"match": {"text": "(?s)(.*)"}, "reply": {"text": "$1"}}]})
    told = treadle("run", workflow(treadle, step("claude", prompt=parts)), "--mock", fixtures, "--json",
                   "--quiet").json["results"]["ask"]["text"]
    assert told.count("=== src/a.c ===\nint a;") == 2 and told.count("int b;") == 2 and told.count("int c;") == 1
    assert "root:" not in told and "=== src/.x.c" not in told and "(left out: no text)" in told
    treadle("run", workflow(treadle, step("claude", prompt=[{"type": "file", "path": "none/*.c"}])), "--mock", code=1)


def test_tasks_made_of_files(treadle):
    for name in "abc":
        treadle.file(f"src/{name}.c", f"int {name};")
    group = {"name": "scan", "type": "parallel_claude",
             "task_generator": {"type": "file_list", "pattern": "src/*.c", "batch_size": 2},
             "task_template": {"id": "batch_{{ task.index }}", "prompt": "{{ join(task.files, ' ') }}"}}
    results = treadle("run", workflow(treadle, group), "--mock", "--json", "--quiet").json["results"]["scan"]["results"]
    assert {k: v["result"]["text"] for k, v in results.items()} == {
        "batch_0": "src/a.c src/b.c", "batch_1": "src/c.c"}


@pytest.mark.parametrize("step", [
    "generation_config: {maxOutputTokens: 50, temperature: 0.2, topP: 0.9, topK: 4, stopSequences: [end]}, "
    "system_instruction: Be brief",
    "token_budget: {max_output_tokens: 50, temperature: 0.2, top_p: 0.9, top_k: 4, stop: [end]}, system: Be brief",
    "max_output_tokens: 50, temperature: 0.2, top_p: 0.9, top_k: 4, stop: end, system_prompt: Be brief"])
def test_spellings_of_gemini_options_reach_it(treadle, fake_provider, step):
    provider = fake_provider()
    path = treadle.file("g.yaml", f"workflow: {{name: g, steps: [{{name: a, type: gemini, prompt: hi, {step}}}]}}")
    treadle("run", path, "--quiet", env=provider.env, code=0)
    body = provider.requests()[0]["body"]
    config = body["generationConfig"]
    assert {key: config.get(key) for key in ("maxOutputTokens", "temperature", "topP", "topK", "stopSequences")} == {
        "maxOutputTokens": 50, "temperature": 0.2, "topP": 0.9, "topK": 4, "stopSequences": ["end"]}
    assert "Be brief" in str(body["systemInstruction"])
