"""The whole program at its edges: full disks, a failing journal, forged input, every kind of stop."""
import json
import signal

import pytest

FAILS = """
workflow:
  name: fails
  steps:
    - {name: one, type: test_echo, value: 1}
    - {name: two, type: test_echo, fail: true}
"""

SLOW = """
workflow:
  name: slow
  steps:
    - {name: one, type: claude, prompt: hello}
    - {name: two, type: command, run: "echo started; sleep 30", on_interrupt: hold}
    - {name: three, type: test_echo, value: 3}
"""


def test_first_commit_finds_the_disk_full(treadle_faults):
    """What resume needs (the workflow, the mode) is recorded with the run's start, or not at all."""
    file = treadle_faults.file("w.yaml", FAILS)
    first = treadle_faults("run", file, "--run-id", "r", "--mock", env={"TREADLE_FAULT": "store.commit.full=1"}, code=1)
    assert "paused" in first.err and "going on" in first.err
    again = treadle_faults("resume", "r", "--json", code=1).json
    assert again["error"]["step"] == "two" and again["results"]["one"] == 1


def test_json_when_the_journal_fails(treadle_faults):
    file = treadle_faults.file("w.yaml", FAILS)
    fault = {"TREADLE_FAULT": "store.commit.lost=1"}
    result = treadle_faults("run", file, "--run-id", "r", "--json", env=fault, code=4)
    assert result.json["status"] == "interrupted" and result.json["run_id"] == "r"
    assert result.json["error"]["class"] == "commit_unknown" and result.json["results"] == {}


def test_result_that_cannot_be_written(treadle):
    file = treadle.file("w.yaml", "workflow:\n  name: w\n  output: \"{{ steps.a }}\"\n  steps:\n"
                                  "    - {name: a, type: test_echo, value: \"" + 20000 * "x" + "\"}\n")
    import subprocess
    with open("/dev/full", "w") as full:
        done = subprocess.run([treadle.path, "run", file], stdout=full, stderr=subprocess.PIPE, text=True,
                              env=treadle.environment(), cwd=treadle.cwd, timeout=60)
    assert done.returncode == 4 and "cannot write the result" in done.stderr


def test_inputs_nested_too_deeply(treadle):
    file = treadle.file("w.yaml", FAILS.replace("  steps:", "  inputs: {x: {type: array}}\n  steps:", 1))
    deep = treadle.file("deep.json", '{"x": ' + 110 * "[" + 110 * "]" + "}")
    result = treadle("run", file, "--inputs", deep, code=2)
    assert "nested" in result.err


@pytest.mark.parametrize("stop", ["kill", "int", "int twice", "term", "cancel"])
def test_stops(treadle, stop):
    """However it is stopped, nothing outlives it (the fixture looks), and resume ends it well."""
    file = treadle.file("w.yaml", SLOW)
    process = treadle.start("run", file, "--run-id", "r", "--mock", "--json")
    process.wait_output(r"call +two/exec:1")
    if stop == "kill":
        process.kill()
    elif stop == "cancel":
        treadle("cancel", "r", code=0)
        assert process.wait().json["status"] == "cancelled"
    else:
        number = signal.SIGTERM if stop == "term" else signal.SIGINT
        process.signal(number)
        process.wait_output("suspending")
        if stop == "int twice":
            process.signal(number)
        if stop != "int":
            result = process.wait()
            assert result.code == 130 and result.json["status"] == "interrupted", result
        else:
            process.signal(number)
            process.wait()
    if stop != "cancel":  # what the run itself has stopped for good may be done again; here, a person is to be told
        held = treadle("resume", "r", "--json", code=3).json
        assert held["status"] == "waiting" and held["error"]["step"] == "two/exec:1"
        assert held["usage"]["calls"] == 1, "the finished call is not asked again"
    file = treadle.file("w2.yaml", SLOW.replace("sleep 30", "true"))
    done = treadle("resume", "r", "--workflow", file, "--json", code=0).json
    assert done["results"]["three"] == 3 and done["usage"]["calls"] == 1


def test_interrupted_twice_then_forced(treadle):
    file = treadle.file("w.yaml", SLOW.replace("sleep 30", "test -e flag || sleep 30"))
    process = treadle.start("run", file, "--run-id", "r", "--mock", "--workspace", "ws")
    process.wait_output(r"call +two/exec:1")
    process.signal(signal.SIGINT)
    process.wait_output("suspending")
    process.signal(signal.SIGINT)
    assert process.wait().code == 130
    treadle.file("ws/flag", "")
    done = treadle("resume", "r", "--force", "--json", code=0).json
    assert done["results"]["two"]["stdout"] == "started\n"


@pytest.mark.strict
def test_failed_handler_and_second_handler(treadle):
    """A step that fails again after a resume has its handler done again; journal paths never collide."""
    file = treadle.file("w.yaml", """
workflow:
  name: w
  steps:
    - name: work
      type: command
      run: "mkdir -p .git; echo work >> .git/log; echo work >> log; test -e fixed"
      on_error:
        steps:
          - {name: tell, type: command, run: "echo tell >> .git/log; echo tell >> log; test -e calm"}
""")
    treadle("run", file, "--run-id", "r", "--workspace", "ws", code=1)
    treadle("resume", "r", code=1)
    treadle.file("ws/calm", "")
    result = treadle("resume", "r", "--json", code=0).json
    assert result["results"]["work"]["success"] is False
    assert (treadle.cwd / "ws/.git/log").read_text() == 3 * "work\ntell\n"
    assert (treadle.cwd / "ws/log").read_text() == "work\ntell\n"  # what failed before was taken back


def test_arguments_may_be_numbers(treadle):
    treadle.file("w.yaml", """
workflow:
  name: w
  output: "{{ steps.a.stdout }}"
  steps:
    - {name: n, type: test_echo, value: [3, 2.5, true, "x y"]}
    - name: a
      type: command
      run: [printf, "%s,", "{{ steps.n[0] }}", "{{ steps.n[1] }}", "{{ steps.n[2] }}", "{{ steps.n[3] }}", 7]
    - {name: b, type: command, run: [echo, "{{ steps.n }}"], on_error: continue}
""")
    got = treadle("run", "w.yaml", "--json", code=0).json
    assert got["output"] == "3,2.5,true,x y,7,"
    assert "`run` item 2 is array; expected text, a number or a boolean" in got["results"]["b"]["error"]["message"]
