"""Providers in trouble, seen from the whole program: cut, late, garbled and refused replies; recording and replay.

The sweep over every byte is in the unit tests of the codecs; here a sample of bytes goes through real sockets.
"""
import json

import pytest

MODELS = {"anthropic": {"type": "claude", "model": "haiku"}, "gemini": {"type": "gemini"},
          "openai": {"type": "llm", "model": "openai/made-up"}}
ANSWER = "The answer, in a few words that make more than one event: forty-two."
CUTS = [0, 1, 17, 60, 150, 290, 420, 600, 800]  # bytes of the body; not all replies are so long


def workflow(steps, **more):
    return {"workflow": {"name": "network", "steps": steps, **more}}


def ask(provider, name, **more):
    return {"name": name, **MODELS[provider], "prompt": f"[[key:{name}]]\n{ANSWER}", **more}


QUICK = {"max_attempts": 3, "delay": "10ms"}


@pytest.mark.parametrize("provider", MODELS)
@pytest.mark.parametrize("how", ["fin", "rst"])
def test_no_part_of_a_reply_that_was_cut_is_taken(treadle, fake_provider, provider, how):
    script = [{"key": f"at{cut}", "nth": 1, "text": ANSWER, "chunk": 9, "cut": how, "cut_after": cut}
              if cut else {"key": "at0", "nth": 1, "cut": how} for cut in CUTS]
    fake = fake_provider([*script, {"text": ANSWER, "chunk": 9}])
    steps = [ask(provider, f"at{cut}", retry=QUICK, depends_on=[]) for cut in CUTS]
    result = treadle("run", treadle.file("w.json", workflow(steps)), "--json", env=fake.env, code=0).json
    ledger = fake.ledger()
    cut_off = 0
    for cut in CUTS:
        assert result["results"][f"at{cut}"]["text"] == ANSWER
        entry = ledger[f"{provider}:at{cut}#0"]
        assert entry["started"] == 1 + entry["cut"] and entry["completed"] == 1, (cut, entry)
        cut_off += entry["cut"]
    assert cut_off >= 5
    # what was cut is not paid for in the books either: its tokens are not known
    assert result["usage"]["calls"] == len(CUTS)


def times(fake, key):
    return [event["mono_us"] / 1e6 for event in fake.events() if event["event"] == "start" and event["key"] == key]


@pytest.mark.parametrize("provider", MODELS)
def test_retry_after_is_waited_for(treadle, fake_provider, provider):
    fake = fake_provider([{"nth": 1, "status": 429, "retry_after": 1, "body": {"error": {"message": "slow down"}}}])
    steps = [ask(provider, "late", retry={"max_attempts": 2, "delay": "1ms"})]
    run = treadle("run", treadle.file("w.json", workflow(steps)), "--json", env=fake.env, code=0)
    assert run.json["results"]["late"]["text"] == ANSWER
    first, second = times(fake, f"{provider}:late#0")
    assert second - first >= 0.99
    assert "slow down" in run.err and "retry" in run.err


@pytest.mark.parametrize("provider", MODELS)
@pytest.mark.parametrize("status", [500, 502, 503, 529])
def test_a_provider_that_is_down_for_a_moment_is_asked_again(treadle, fake_provider, provider, status):
    fake = fake_provider([{"nth": 1, "status": status, "body": "<html>busy</html>", "content_type": "text/html"},
                          {"nth": 2, "status": status}])
    run = treadle("run", treadle.file("w.json", workflow([ask(provider, "busy", retry=QUICK)])), "--json",
                  env=fake.env, code=0)
    assert run.json["results"]["busy"]["text"] == ANSWER
    assert fake.total() == 3


@pytest.mark.parametrize("provider", MODELS)
@pytest.mark.parametrize("status, error", [(400, "invalid_request"), (401, "auth"), (403, "auth")])
def test_what_will_not_get_better_is_not_repeated(treadle, fake_provider, provider, status, error):
    fake = fake_provider([{"status": status, "body": {"error": {"type": "x", "message": "no such thing here"}}}])
    run = treadle("run", treadle.file("w.json", workflow([ask(provider, "bad", retry=QUICK)])), "--json",
                  env=fake.env, code=1)
    assert run.json["status"] == "failed" and run.json["error"]["class"] == error
    assert "no such thing here" in run.json["error"]["message"]
    assert fake.total() == 1


@pytest.mark.parametrize("provider", MODELS)
@pytest.mark.parametrize("rule", [{"hang": True}, {"hang_after": 40, "text": ANSWER}], ids=["silent", "stalled"])
def test_a_reply_that_never_ends_is_given_up(treadle, fake_provider, provider, rule):
    fake = fake_provider([{"nth": 1, **rule}])
    steps = [ask(provider, "hung", timeout="400ms", retry={**QUICK, "on": ["timeout"]})]
    run = treadle("run", treadle.file("w.json", workflow(steps)), "--json", env=fake.env, code=0, timeout=20)
    assert run.json["results"]["hung"]["text"] == ANSWER
    ledger = fake.ledger()[f"{provider}:hung#0"]
    assert ledger["started"] == 2 and ledger["aborted"] == 1 and ledger["completed"] == 1  # hung up, not forgotten


def test_a_timeout_without_retries_fails_with_its_name(treadle, fake_provider):
    fake = fake_provider([{"hang": True}])
    steps = [ask("anthropic", "hung", timeout="300ms", retry={"max_attempts": 1})]
    run = treadle("run", treadle.file("w.json", workflow(steps)), "--json", env=fake.env, code=1, timeout=20)
    assert run.json["error"]["class"] == "timeout" and run.json["error"]["step"] == "hung"


@pytest.mark.parametrize("provider", MODELS)
def test_replies_that_are_no_json_are_not_believed(treadle, fake_provider, provider):
    fake = fake_provider([{"nth": 1, "malformed": True, "text": ANSWER}])
    run = treadle("run", treadle.file("w.json", workflow([ask(provider, "odd", retry=QUICK)])), "--json",
                  env=fake.env, code=0)
    assert run.json["results"]["odd"]["text"] == ANSWER
    assert fake.total() == 2


def test_an_error_inside_a_stream_is_an_error(treadle, fake_provider):
    fake = fake_provider([{"nth": 1, "text": ANSWER, "chunk": 9,
                           "stream_error": {"type": "overloaded_error", "message": "too much"}}])
    run = treadle("run", treadle.file("w.json", workflow([ask("anthropic", "mid", retry=QUICK)])), "--json",
                  env=fake.env, code=0)
    assert run.json["results"]["mid"]["text"] == ANSWER and fake.total() == 2


def test_nobody_listens(treadle):
    env = {"ANTHROPIC_API_KEY": "key-for-tests", "ANTHROPIC_BASE_URL": "http://127.0.0.1:1"}
    run = treadle("run", treadle.file("w.json", workflow([ask("anthropic", "out", retry=QUICK)])), "--json", env=env,
                  code=1)
    assert run.json["error"]["class"] == "network" and run.err.count("retry") == 2


# ---- recording and replay


def recorded(treadle, fake_provider):
    fake = fake_provider([{"key": "tool", "turn": 0, "tool_calls": [
        {"name": "Write", "input": {"file_path": "a.txt", "content": "written\n"}}]}, {"key": "tool", "text": "wrote"},
        {"key": "flaky", "nth": 1, "status": 529}])
    steps = [ask("anthropic", "one"), ask("gemini", "two"), ask("openai", "three", retry=QUICK),
             {**ask("anthropic", "tool"), "allowed_tools": ["Write"]},
             {**ask("openai", "flaky", retry=QUICK), "prompt": "[[key:flaky]] after {{ steps.three.text }}\nfine"}]
    file = treadle.file("w.json", workflow(steps))
    tape = treadle.cwd / "tape.jsonl"
    first = treadle("run", file, "--json", "--record", tape, "--workspace", "ws1", env=fake.env, code=0).json
    for secret in ("key-for-tests-anthropic", "key-for-tests-gemini", "key-for-tests-openai"):
        assert secret not in tape.read_text()
    fake.close()
    return first, steps, tape


def test_a_recording_replaces_the_providers(treadle, fake_provider):
    first, steps, tape = recorded(treadle, fake_provider)
    file = treadle.file("w.json", workflow(steps))
    again = treadle("run", file, "--json", "--replay", tape, "--workspace", "ws2", code=0).json  # no keys, no network
    assert again["results"] == first["results"] and again["usage"] == first["usage"]
    assert (treadle.cwd / "ws2" / "a.txt").read_text() == "written\n"


def test_a_prompt_that_has_changed_since_the_recording_is_named(treadle, fake_provider):
    _, steps, tape = recorded(treadle, fake_provider)
    steps[1]["prompt"] = steps[1]["prompt"].replace("The answer", "Another answer")
    run = treadle("run", treadle.file("w.json", workflow(steps)), "--json", "--replay", tape, code=1)
    assert run.json["error"]["class"] == "replay" and run.json["error"]["step"] == "two"
    assert "Another" in run.json["error"]["message"] or "Another" in run.err, run
    assert run.json["results"]["one"]["text"] == ANSWER


def test_a_recording_that_ends_early_is_used_as_far_as_it_goes(treadle, fake_provider):
    first, steps, tape = recorded(treadle, fake_provider)
    tape.write_text(tape.read_text()[:-30])  # as a killed recorder leaves it
    run = treadle("run", treadle.file("w.json", workflow(steps)), "--json", "--replay", tape, code=1).json
    assert run["error"]["class"] == "replay" and run["error"]["step"] == "flaky"
    assert run["results"]["tool"] == first["results"]["tool"]


def test_a_damaged_or_missing_recording_is_refused_before_anything_starts(treadle, fake_provider):
    _, steps, tape = recorded(treadle, fake_provider)
    file = treadle.file("w.json", workflow(steps))
    lines = tape.read_text().splitlines()
    tape.write_text("\n".join([lines[0], lines[1][:-30], *lines[2:], ""]))
    broken = treadle("run", file, "--replay", tape, code=(2, 4))
    assert str(tape) in broken.err and "start" not in broken.err
    missing = treadle("run", file, "--replay", treadle.cwd / "nothing.jsonl", code=(2, 4))
    assert "nothing.jsonl" in missing.err
