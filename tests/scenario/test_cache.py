"""`cache` of steps: what later runs take from earlier ones, what they do not, and what `prune` does about it."""
import json
import os
import time

import pytest

COMMAND = """
workflow:
  name: cached
  inputs: {{n: {{type: integer, default: 1}}}}
  steps:
    - name: count
      type: command
      run: echo run >> ran; wc -l < ran
      cache: {{{cache}}}
  output: "{{{{ trim(steps.count.stdout) }}}} {{{{ steps.count.cached || false }}}}"
"""


def counted(treadle, cache, *args):
    file = treadle.file("w.yaml", COMMAND.format(cache=cache))
    return treadle("run", file, "--json", *args, code=0).json["output"]


def entries(treadle, workflow="cached", mock=False):
    return list((treadle.home / "cache" / (".mock" if mock else "") / workflow).glob("*.json"))


def test_a_later_run_takes_it(treadle):
    key = 'key: "{{ inputs.n }}"'
    assert counted(treadle, key) == "1 false" and len(entries(treadle)) == 1
    assert counted(treadle, key) == "1 true"
    assert counted(treadle, key, "n=2") == "2 false"
    assert counted(treadle, key) == "1 true"
    shown = treadle("show", "last", code=0).out
    assert "from the cache" in shown and "cache:key" not in shown
    assert treadle("show", "last", "--json", code=0).json["steps"][0]["cached"] is True


def test_in_another_workspace_it_is_another(treadle):
    assert counted(treadle, "key: k") == "1 false"
    assert counted(treadle, "key: k", "--workspace", "elsewhere") == "1 false"
    assert counted(treadle, "key: k, scope: workflow") == "2 false"
    assert counted(treadle, "key: k, scope: workflow", "--workspace", "elsewhere") == "2 true"


def test_conditions_and_time(treadle):
    assert counted(treadle, "key: k, conditions: [inputs.n == 1, inputs.n > 1]") == "1 false"
    assert entries(treadle) == []
    assert counted(treadle, "key: k") == "2 false"
    assert counted(treadle, "key: k, conditions: inputs.n == 2") == "3 false"
    [entry] = entries(treadle)
    old = json.loads(entry.read_text())
    entry.write_text(json.dumps({**old, "kept_ms": old["kept_ms"] - 10_000}))
    assert counted(treadle, "key: k, ttl: 60") == "2 true"
    assert counted(treadle, "key: k, ttl: 5s") == "4 false"


def test_a_model_step_needs_no_key(treadle, fake_provider):
    provider = fake_provider([{"text": "one", "times": 1}, {"text": "two"}])
    steps = """
workflow:
  name: cached
  inputs: {about: {type: string, default: rain}}
  steps:
    - {name: ask, type: claude, prompt: "Tell me about {{ inputs.about }}.", cache: true, output_to_file: ask.txt}
"""
    file = treadle.file("w.yaml", steps)
    first = treadle("run", file, "--json", env=provider.env, code=0).json
    again = treadle("run", file, "--json", env=provider.env, code=0).json
    other = treadle("run", file, "--json", "about=snow", env=provider.env, code=0).json
    assert [r["results"]["ask"]["text"] for r in (first, again, other)] == ["one", "one", "two"]
    assert [r["usage"]["calls"] for r in (first, again, other)] == [1, 0, 1]
    assert again["results"]["ask"]["cached"] is True and again["results"]["ask"]["cost_usd"] == 0
    assert len(provider.requests()) == 2
    assert treadle("run", file, "--mock", "--json", code=0).json["results"]["ask"]["text"] != "one"
    assert len(entries(treadle, mock=True)) == 1


def test_a_recording_has_everything(treadle):
    file = treadle.file("w.yaml", """
workflow:
  name: cached
  steps:
    - {name: ask, type: claude, prompt: hello, cache: true}
""")
    treadle("run", file, "--mock", code=0)
    treadle("run", file, "--mock", "--record", "r.jsonl", code=0)
    replayed = treadle("run", file, "--replay", "r.jsonl", "--json", code=0).json
    assert replayed["results"]["ask"]["text"] == "hello" and "cached" not in replayed["results"]["ask"]
    treadle("rm", replayed["run_id"], code=0)
    assert not (treadle.home / "runs" / replayed["run_id"]).exists()


def test_failures_are_not_kept(treadle):
    file = treadle.file("w.yaml", """
workflow:
  name: cached
  steps:
    - {name: bad, type: command, run: "false", cache: {key: k}, on_error: continue}
    - {name: checked, type: command, run: echo 1, cache: {key: k}, expected_outputs: {stdout: "2"}, on_error: continue}
""")
    treadle("run", file, code=0)
    assert entries(treadle) == []


@pytest.mark.strict
def test_killed_anywhere(treadle_faults):
    """Whatever was committed, the command's result is the one that is kept, and it ran as often as it says."""
    file = treadle_faults.file("w.yaml", COMMAND.format(cache="key: k, ttl: 1h").replace(
        "cache:", "on_interrupt: retry\n      cache:"))
    points = [f"{side}.{record}={n}" for n in (1, 2, 3) for record in ("intent", "result", "done")
              for side in ("before", "after")]
    for number, point in enumerate(points):
        workspace = treadle_faults.cwd / f"ws{number}"
        run = ["run", file, "--run-id", f"r{number}", "--workspace", workspace]
        process = treadle_faults.start(*run, env={"TREADLE_FAULT": f"engine.kill.{point}"})
        if process.wait().code == 0:
            continue
        resumed = treadle_faults("resume", f"r{number}", "--json")
        if resumed.code != 0:  # it was killed before there was a run
            resumed = treadle_faults(*run, "--json", code=0)
        said = resumed.json["output"]
        assert said == "1 false", (point, said)
        again = treadle_faults("run", file, "--json", "--workspace", workspace, code=0).json["output"]
        assert again == "1 true", (point, again)


def test_prune(treadle):
    counted(treadle, "key: k, ttl: 1h")
    counted(treadle, "key: l, ttl: 1h")
    old, young = sorted(entries(treadle), key=lambda p: json.loads(p.read_text())["result"]["stdout"])
    old.write_text(old.read_text().replace('{"until_ms":', '{"until_ms":1,"was":'))
    assert "would remove 1 kept result of steps" in treadle("prune", "--dry-run", code=0).out
    assert old.exists()
    assert "removed 1 kept result of steps" in treadle("prune", code=0).out
    assert entries(treadle) == [young]
    then = time.time() - 8 * 86400
    os.utime(young, (then, then))
    treadle("prune", "--older-than", "7d", code=0)
    assert entries(treadle) == []


def test_unnamed_conversations_end_with_their_run(treadle):
    file = treadle.file("w.yaml", """
workflow:
  name: talk
  steps:
    - {name: a, type: claude_session, prompt: one}
    - {name: b, type: claude, prompt: [{type: claude_continue, new_prompt: two}]}
    - {name: c, type: gemini, prompt: [{type: session_context, session_id: a}]}
""")
    done = treadle("run", file, "--mock", "--json", code=0).json
    asked = done["results"]["c"]["text"]
    assert done["results"]["a"]["claude_session_metadata"]["turn"] == 1 and "two" in asked
    assert not (treadle.home / "sessions").exists()
    assert (treadle.home / "runs" / done["run_id"] / "sessions/a.jsonl").exists()
    treadle("rm", done["run_id"], code=0)
    assert not (treadle.home / "runs" / done["run_id"]).exists()


SHARED = """
workflow:
  name: shared
  inputs: {{n: {{type: integer, default: 6}}}}
  steps:
    - name: all
      type: for_loop
      data_source: "{{{{ range(1, inputs.n) }}}}"
      parallel: true
      max_parallel: 20
      break_on_error: false
      steps:
        - {{name: ask, type: claude, prompt: "{prompt}", cache: true{more}}}
"""


def shared(treadle, provider, prompt="Tell me about rain.", more="", code=0):
    file = treadle.file("w.yaml", SHARED.format(prompt=prompt, more=more))
    return treadle("run", file, "--json", "--run-id", "r", env=provider.env, code=code).json


def test_the_same_at_the_same_time_is_asked_once(treadle, fake_provider):
    provider = fake_provider([{"text": "wet"}], delay_ms=300)
    got = shared(treadle, provider)
    results = [i["results"]["ask"] for i in got["results"]["all"]["iterations"]]
    assert [r["text"] for r in results] == ["wet"] * 6 and got["usage"]["calls"] == 1
    assert sorted(r.get("cached", False) for r in results) == [False] + [True] * 5
    assert provider.total() == 1


def test_what_differs_is_asked_side_by_side(treadle, fake_provider):
    provider = fake_provider([{"text": "wet"}], delay_ms=400)
    assert shared(treadle, provider, prompt="Tell me about {{ item % 3 }}.")["usage"]["calls"] == 3
    assert provider.stats()["peak_in_flight"] == 3 and provider.total() == 3


def test_where_the_first_fails_the_next_one_asks(treadle, fake_provider):
    bad = {"status": 400, "body": {"error": {"message": "no"}}, "times": 2}
    provider = fake_provider([bad, {"text": "wet"}], delay_ms=100)
    got = shared(treadle, provider)
    assert sorted(i["success"] for i in got["results"]["all"]["iterations"]) == [False] * 2 + [True] * 4
    assert provider.total() == 3


def test_what_is_not_kept_is_asked_by_each(treadle, fake_provider):
    provider = fake_provider([{"text": "wet"}], delay_ms=50)
    got = shared(treadle, provider, more=", expected_outputs: {text: dry}, on_error: continue")
    assert provider.total() == 6 and all("error" in i["results"]["ask"] for i in got["results"]["all"]["iterations"])


def test_time_spent_waiting_is_not_the_steps(treadle, fake_provider):
    """Each has 1.5 s; the first three fail after most of it, one after another."""
    bad = {"status": 400, "body": {"error": {"message": "no"}}, "times": 3}
    provider = fake_provider([bad, {"text": "wet"}], delay_ms=800)
    got = shared(treadle, provider, more=", timeout: 1500ms")
    assert sorted(i["success"] for i in got["results"]["all"]["iterations"]) == [False] * 3 + [True] * 3


def test_a_kill_while_others_wait(treadle, fake_provider):
    provider = fake_provider([{"text": "wet"}], delay_ms=1000)
    file = treadle.file("w.yaml", SHARED.format(prompt="Tell me about rain.", more=""))
    process = treadle.start("run", file, "--run-id", "r", env=provider.env)
    end = time.monotonic() + 10
    while provider.total() < 1 and time.monotonic() < end:
        time.sleep(0.01)
    process.kill()
    process.wait()
    got = treadle("resume", "r", "--json", env=provider.env, code=0).json
    assert [i["results"]["ask"]["text"] for i in got["results"]["all"]["iterations"]] == ["wet"] * 6
    assert provider.total() == 2  # the call that was in flight, again


def test_a_step_that_asks_for_itself_inside_does_not_wait_for_itself(treadle):
    file = treadle.file("w.yaml", """
workflow:
  name: nested
  inputs: {n: {type: integer, default: 3}}
  steps:
    - name: deeper
      type: pipeline
      pipeline_file: w.yaml
      condition: inputs.n > 1
      inputs: {n: "{{ inputs.n - 1 }}"}
      cache: {key: the same}
""")
    treadle("run", file, "--json", code=0, timeout=20)
