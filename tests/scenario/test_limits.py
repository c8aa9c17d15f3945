"""Bounds of the whole program: long lists, wide loops, floods, limits that a workflow sets itself. No clocks."""
import json

import pytest

from conftest import measured


def workflow(steps, **more):
    return {"workflow": {"name": "limits", "steps": steps, **more}}


def journal_bytes(treadle, run):
    return sum(path.stat().st_size for path in (treadle.home / "runs" / run).glob("journal.db*"))


def test_a_long_list_costs_in_proportion(treadle):
    sizes = {}
    for count in (2000, 20000):
        steps = [{"name": f"s{i}", "type": "set_variable", "variables": {"n": i}} for i in range(count)]
        file = treadle.file("long.json", workflow(steps, variables={"n": -1}, output="{{ state.n }}"))
        code, out, err, memory = measured(treadle, "run", file, "--quiet", "--run-id", f"r{count}")
        assert code == 0 and out == f"{count - 1}\n", err
        sizes[count] = memory, journal_bytes(treadle, f"r{count}")
    # a tenfold list: less than eleven times the journal; memory grows by less than 6 KiB a step
    assert sizes[20000][1] < 11 * sizes[2000][1], sizes
    assert (sizes[20000][0] - sizes[2000][0]) / 18000 < 6, sizes


@pytest.mark.parametrize("indent", [None, 1])
def test_a_workflow_may_stand_in_one_line_or_many(treadle, indent):
    steps = [{"name": f"s{i}", "type": "gemini", "prompt": f"é {{{{ inputs.word }}}} {i}"} for i in range(3000)]
    whole = workflow(steps, inputs={"word": {"type": "string", "default": "x"}})
    path = treadle.cwd / "w.json"
    path.write_text(json.dumps(whole, indent=indent))
    assert "3000 steps" in treadle("validate", path, code=0).out


def test_a_wide_loop_keeps_every_result_and_its_bound(treadle, fake_provider):
    fake = fake_provider(delay_ms=20)
    steps = [{"name": "all", "type": "for_loop", "data_source": "range(1, 600)", "parallel": True, "max_parallel": 50,
              "steps": [{"name": "ask", "type": "llm", "model": "openai/m",
                         "prompt": "[[key:{{ item }}]]\n{{ item }}"}]}]
    result = treadle("run", treadle.file("wide.json", workflow(steps)), "--json", env=fake.env, code=0).json
    loop = result["results"]["all"]
    assert [each["results"]["ask"]["text"] for each in loop["iterations"]] == [str(i) for i in range(1, 601)]
    assert fake.stats()["peak_in_flight"] <= 50 and fake.total() == 600


def test_ten_thousand_items_fit_into_memory(treadle):
    steps = [{"name": "all", "type": "for_loop", "data_source": "range(1, 10000)", "parallel": True,
              "max_parallel": 1000, "steps": [{"name": "say", "type": "test_echo", "value": {"n": "{{ item }}"}}]}]
    file = treadle.file("wide.json", workflow(steps, output="{{ steps.all.completed_items }}"))
    code, out, err, memory = measured(treadle, "run", file, "--quiet")
    assert code == 0 and out == "10000\n", err
    assert memory < 200 << 10


def test_what_was_killed_late_resumes_with_all_it_had(treadle_faults):
    steps = [{"name": "all", "type": "for_loop", "data_source": "range(1, 5000)", "parallel": True, "max_parallel": 100,
              "steps": [{"name": "say", "type": "test_echo", "value": "{{ item }}"}]},
             {"name": "end", "type": "test_echo", "value": "{{ steps.all.completed_items }}"}]
    file = treadle_faults.file("wide.json", workflow(steps, output="{{ steps.end }}"))
    env = {"TREADLE_FAULT": "engine.kill.before.end=1"}
    assert treadle_faults("run", file, "--run-id", "r", "--quiet", env=env).code == -9
    before = journal_bytes(treadle_faults, "r")
    assert treadle_faults("resume", "r", "--quiet", code=0).out == "5000\n"
    assert journal_bytes(treadle_faults, "r") < before * 1.5


def test_a_flood_of_output_is_cut_and_does_not_fill_memory(treadle):
    steps = [{"name": "flood", "type": "command", "run": "head -c 300000000 /dev/zero | tr '\\0' x; echo end",
              "output_limit": "64KB"},
             {"name": "both", "type": "command", "run": "seq 1 3000000 >&2", "output_limit": "1KB"}]
    code, out, err, memory = measured(treadle, "run", treadle.file("flood.json", workflow(steps)), "--json")
    assert code == 0, err
    flood, both = json.loads(out)["results"]["flood"], json.loads(out)["results"]["both"]
    assert flood["truncated"] and len(flood["stdout"]) <= 65536 + 200
    assert both["truncated"] and len(both["stderr"]) <= 1024 + 200
    assert memory < 100 << 10


def test_a_long_reply_is_taken_whole(treadle, fake_provider):
    text = "0123456789abcdef" * 65536  # a mebibyte, in many events
    fake = fake_provider([{"text": text, "chunk": 1000}])
    steps = [{"name": "ask", "type": "claude", "model": "haiku", "prompt": "long", "output_to_file": "long.txt"}]
    code, out, err, memory = measured(treadle, "run", treadle.file("w.json", workflow(steps)), "--json",
                                      "--output-dir", "out-files", env=fake.env)
    assert code == 0, err
    assert json.loads(out)["results"]["ask"]["text"] == text
    assert (treadle.cwd / "out-files" / "long.txt").read_text() == text
    assert memory < 150 << 10


def test_show_counts_iterations_that_have_not_begun(treadle):
    """19 of 100, not 19 of 19."""
    steps = [{"name": "l", "type": "for_loop", "data_source": "range(1, 100)",
              "steps": [{"name": "e", "type": "test_echo", "fail": "{{ item > 19 }}"}]}]
    treadle.file("w.json", workflow(steps))
    treadle("run", "w.json", "--run-id", "r", code=1)
    assert "19/100 iterations done, 1 failed" in treadle("show", "r", code=0).out


def test_a_run_has_no_more_frames_than_it_may(treadle):
    steps = [{"name": "all", "type": "for_loop", "data_source": "range(1, 100000)",
              "steps": [{"name": "say", "type": "test_echo", "value": 1}]}]
    file = treadle.file("w.json", workflow(steps, limits={"frames": 500}))
    run = treadle("run", file, "--json", code=1).json
    assert run["error"]["class"] == "limit" and "500" in run["error"]["message"]


def test_a_run_ends_when_its_time_is_over(treadle, fake_provider):
    fake = fake_provider([{"hang": True}])
    steps = [{"name": "ask", "type": "claude", "model": "haiku", "prompt": "x", "on_error": "continue"},
             {"name": "deaf", "type": "command", "run": "trap '' TERM; sleep 1000", "depends_on": []}]
    file = treadle.file("w.json", workflow(steps, limits={"wall": "500ms"}))
    run = treadle("run", file, "--json", env=fake.env, code=1, timeout=30).json
    assert run["error"]["class"] == "limit" and "wall" in run["error"]["message"]


def test_a_loop_that_would_not_end_is_ended(treadle):
    steps = [{"name": "spin", "type": "while_loop", "condition": "true", "max_iterations": 300,
              "steps": [{"name": "say", "type": "test_echo", "value": "{{ loop.index }}"}]}]
    run = treadle("run", treadle.file("w.json", workflow(steps)), "--json", code=0).json
    spin = run["results"]["spin"]
    assert spin["iterations"] == 300 and spin["condition_met"] is False and spin["success"] is False
    assert spin["max_iterations_reached"] is True and spin["reason"] == "Maximum iterations exceeded"
    assert spin["results"]["say"] == 299


def test_an_agent_that_never_answers_is_stopped(treadle, fake_provider):
    fake = fake_provider([{"tool_calls": [{"name": "Glob", "input": {"pattern": "*"}}]}])
    steps = [{"name": "ask", "type": "claude", "model": "haiku", "prompt": "x", "allowed_tools": ["Glob"],
              "max_turns": 7, "retry": {"max_attempts": 3, "delay": "1ms"}}]
    run = treadle("run", treadle.file("w.json", workflow(steps)), "--json", env=fake.env, code=1).json
    assert run["error"]["code"] == "max_turns" and fake.total() == 7
