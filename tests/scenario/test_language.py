"""What names mean while a workflow runs, and what the steps of the language return."""
import json

import pytest

NAMES = """
workflow:
  name: names
  inputs: {who: {type: string, default: me}, n: {type: integer, default: 2}}
  variables: {seen: []}
  env: [GREETING]
  output: {sum: "{{ state.total }}", seen: "{{ seen }}"}
  steps:
    - {name: an, type: test_echo, value: {score: 5, list: [1, 2], text: '{"inner": 7}'}}
    - {name: bare, type: test_echo, value: "{{ an.score + 1 }}"}
    - {name: old, type: test_echo, value: "{{ previous_response:an.score }} of {{ inputs.who }}"}
    - {name: json, type: test_echo, value: "{{ steps.an.inner }}"}
    - {name: typed, type: test_echo, value: "{{ inputs.n * 1.5 }}"}
    - {name: env, type: test_echo, value: "{{ env.GREETING }}"}
    - {name: never, type: test_echo, value: 1, condition: "an.score > 9"}
    - {name: skipped, type: test_echo, value: "{{ steps.never.skipped }}"}
    - {name: fallback, type: test_echo, value: "{{ steps.an.missing || 'none' }}"}
    - name: outer
      type: for_loop
      iterator: row
      data_source: previous_response:an.list
      steps:
        - name: inner
          type: for_loop
          iterator: cell
          data_source: [a, b]
          steps:
            - {name: at, type: test_echo, value: "{{ loop.parent.item }}{{ cell }}{{ loop.index }}{{ loop.last }}"}
            - {name: keep, type: set_variable, variables: {seen: "{{ seen + [steps.at.result] }}"}}
        - {name: local, type: set_variable, scope: local, variables: {mine: "{{ row }}"}}
        - {name: use, type: test_echo, value: "{{ mine * 10 }}"}
    - {name: total, type: set_variable, variables: {total: "{{ sum([1, 2, inputs.n]) }}"}}
"""


def test_names(treadle):
    treadle.file("names.yaml", NAMES)
    got = treadle("run", "names.yaml", "--json", "--input", "n=4", env={"GREETING": "hi"}, code=0).json
    steps = got["results"]
    assert steps["bare"] == 6 and steps["old"] == "5 of me" and steps["json"] == 7
    assert steps["typed"] == 6.0 and steps["env"] == "hi" and steps["skipped"] is True and steps["fallback"] == "none"
    assert got["output"] == {"sum": 7, "seen": ["1a0false", "1b1true", "2a0false", "2b1true"]}
    assert [i["results"]["use"] for i in steps["outer"]["iterations"]] == [10, 20]


FAILURES = """
workflow:
  name: failures
  variables: {tries: 0}
  steps:
    - {name: soft, type: command, run: "echo no >&2; exit 3", on_error: continue}
    - {name: reads, type: test_echo, value: "{{ steps.soft.exit_code }} {{ steps.soft.error.class }}"}
    - name: handled
      type: test_echo
      fail: true
      error_message: boom
      on_error: {steps: [{name: note, type: set_variable, variables: {why: "{{ error.message }}"}}]}
    - {name: jump, type: test_echo, fail: true, on_error: {goto: landing}}
    - {name: between, type: command, run: "touch between"}
    - {name: landing, type: test_echo, value: "{{ why }} {{ steps.jump.error.class }}"}
    - name: again
      type: command
      retry: {max_attempts: 3, delay: 10ms}
      run: "mkdir -p .git; echo x >> tries; echo x >> .git/tries; test $(wc -l < .git/tries) -ge 3"
    - {name: slow, type: command, run: "sleep 20", timeout: 300ms, on_error: continue}
    - {name: shows, type: test_echo, value: "{{ steps.slow.error.class }} {{ steps.slow.timed_out }}"}
"""


@pytest.mark.strict
def test_failures(treadle):
    treadle.file("failures.yaml", FAILURES)
    got = treadle("run", "failures.yaml", "--json", "--workspace", "ws", code=0).json
    steps = got["results"]
    assert steps["reads"] == "3 command" and steps["landing"] == "boom step" and steps["shows"] == "timeout true"
    assert steps["handled"]["success"] is False and "between" not in steps
    assert not (treadle.cwd / "ws/between").exists() and (treadle.cwd / "ws/.git/tries").read_text() == "x\n" * 3
    assert (treadle.cwd / "ws/tries").read_text() == "x\n"  # what the first two attempts wrote was taken back
    assert steps["again"]["success"] is True, json.dumps(steps["again"])


SOURCES = """
workflow:
  name: sources
  inputs: {pairs: {type: object, default: {a: 1, b: 2}}}
  variables: {queue: [7, 8], nested: {files: [p, q]}}
  steps:
    - {name: scan, type: test_echo, value: {success: true, text: '["x", "y"]'}}
    - {name: plain, type: test_echo, value: [1, 2, 3, 4, 5]}
    - name: category
      type: for_loop
      as: category
      over: [{name: one, items: [1, 2]}]
      steps:
        - name: inner
          type: for_loop
          data_source: loop.category.items
          steps: &echo [{name: e, type: test_echo, value: "{{ item }}"}]
    - {name: by_name, type: for_loop, data_source: scan, steps: *echo}
    - {name: by_step, type: for_loop, data_source: steps.scan, steps: *echo}
    - {name: by_response, type: for_loop, data_source: "previous_response:scan", steps: *echo}
    - {name: by_state, type: for_loop, data_source: state.queue, steps: *echo}
    - {name: by_path, type: for_loop, data_source: state.nested.files, steps: *echo}
    - {name: by_chunk, type: for_loop, data_source: "{{ chunk(steps.plain, 2) }}", steps: *echo}
    - name: by_object
      type: for_loop
      data_source: inputs.pairs
      steps: [{name: e, type: test_echo, value: "{{ item.key }}={{ item.value }}"}]
    - name: by_results
      type: for_loop
      data_source: steps.by_state.results
      steps: [{name: e, type: test_echo, value: "{{ item.results.e }}"}]
    - name: first
      type: for_loop
      data_source: plain
      max_iterations: 2
      ordered_results: true
      memory_limit: 500MB
      steps: *echo
    - name: ends
      type: for_loop
      data_source: [a, b, c]
      steps: [{name: e, type: test_echo, value: "{{ loop.is_first }} {{ loop.is_last }} {{ loop.length }}"}]
"""


def test_sources_of_loops(treadle):
    treadle.file("sources.yaml", SOURCES)
    results = treadle("run", "sources.yaml", "--json", code=0).json["results"]
    got = {name: [i["results"]["e"] for i in result["iterations"]]
           for name, result in results.items() if name.startswith("by_")}
    assert got == {"by_name": ["x", "y"], "by_step": ["x", "y"], "by_response": ["x", "y"], "by_state": [7, 8],
                   "by_path": ["p", "q"], "by_chunk": [[1, 2], [3, 4], [5]], "by_object": ["a=1", "b=2"],
                   "by_results": [7, 8]}
    assert [i["results"]["e"] for i in results["ends"]["iterations"]] == \
        ["true false 3", "false false 3", "false true 3"]
    assert len(results["first"]["iterations"]) == 2
    inner = results["category"]["iterations"][0]["results"]["inner"]
    assert [i["item"] for i in inner["iterations"]] == [1, 2]


def test_the_environment_bounds_where_the_workflow_does_not(treadle):
    steps = "  steps: [" + ", ".join(f"{{name: s{i}, type: test_echo, value: 1}}" for i in range(5)) + "]\n"
    free = treadle.file("free.yaml", "workflow:\n  name: w\n" + steps)
    own = treadle.file("own.yaml", "workflow:\n  name: w\n  limits: {frames: 100, wall: 1h}\n" + steps)
    few = {"PIPELINE_MAX_STEPS": "3", "PIPELINE_TIMEOUT": "0.001"}
    assert treadle("run", free, "--json", env={"PIPELINE_MAX_STEPS": "3"}, code=1).json["error"]["code"] == "frames"
    treadle("run", own, env=few, code=0)
    treadle("run", free, env={"PIPELINE_MAX_STEPS": "many"}, code=0)
    ask = treadle.file("ask.yaml", "workflow:\n  name: w\n  steps:\n    - {name: a, type: claude, prompt: hi}\n"
                       "    - {name: b, type: claude, prompt: hi}\n")
    spent = treadle("run", ask, "--mock", "--json", "--run-id", "r", env={"PIPELINE_MAX_COST": "0.00001"}, code=3).json
    assert spent["status"] == "waiting" and list(spent["results"]) == ["a"]
    again = treadle("resume", "r", "--json", code=3).json  # the bound was recorded with the run
    assert again["status"] == "waiting"


def test_an_echo_that_takes_time(treadle):
    file = treadle.file("w.yaml", """
workflow:
  name: w
  steps:
    - {name: a, type: test_echo, value: 1, delay_ms: 30}
    - {name: b, type: test_echo, error: no, delay: 10ms, on_error: continue}
    - {name: c, type: test_echo, value: 2, delay: 1h, timeout: 50ms, on_error: continue}
""")
    done = treadle("run", file, "--json", code=0).json["results"]
    assert done["a"] == 1 and done["b"]["error"]["message"] == "no" and done["c"]["error"]["class"] == "timeout"


def test_llm_by_provider(treadle):
    file = treadle.file("w.yaml", """
workflow:
  name: w
  defaults: {claude_model: opus}
  steps:
    - {name: a, type: llm, provider: claude, prompt: hi}
    - {name: b, type: llm, provider: gemini, prompt: hi}
    - {name: c, type: llm, provider: openai, model: org/name, prompt: hi}
    - {name: d, type: claude, model: "sonnet[1m]", prompt: hi}
""")
    done = treadle("run", file, "--mock", "--json", code=0).json["results"]
    assert [(s["provider"], s["model"]) for s in done.values()] == [
        ("claude", "claude-opus-5-5"), ("gemini", "gemini-flash-latest"), ("openai", "org/name"),
        ("claude", "claude-sonnet-5-5")]
