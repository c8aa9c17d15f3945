"""The command line as people and scripts use it: several runs at once, looking at them, stopping, going on, forking,
cleaning up, and what it says when something is wrong."""
import json
import os
import pathlib
import pty
import re
import select
import shutil
import signal
import sqlite3
import struct
import subprocess
import fcntl
import termios
import time

import pytest

from conftest import ROOT, wait_for


def workflow(treadle, name, *steps, **more):
    """Writes NAME.yaml (JSON is YAML) with these steps; its path."""
    return treadle.file(f"{name}.yaml", {"workflow": {"name": name, **more, "steps": list(steps)}})


def command(name, run, **more):
    return {"name": name, "type": "command", "run": run, **more}


def claude(name, prompt=None, **more):
    return {"name": name, "type": "claude", "prompt": prompt or f"[[key:{name}]] say {name}", **more}


def runs(treadle, *args):
    return {run["run_id"]: run for run in treadle("ps", "--json", *args, code=0).json["runs"]}


def status(treadle, run_id):
    return runs(treadle, "--all")[run_id]["status"]


def started(provider):
    """{step: calls that were started}"""
    return {key.split(":")[1].split("#")[0]: entry["started"] for key, entry in provider.ledger().items()}


def started_run(treadle, run_id, file, *args, **more):
    """A run in the background whose journal is there."""
    process = treadle.start("run", file, "--run-id", run_id, *args, **more)
    wait_for(lambda: run_id in runs(treadle) and runs(treadle)[run_id]["status"] == "running", what=f"{run_id} runs")
    return process


# ---- several runs, and looking at them


def test_runs_side_by_side_in_one_directory(treadle):
    slow = workflow(treadle, "slow", command("wait", "until [ -e go ]; do sleep 0.05; done; echo went",
                                                on_interrupt="hold"))
    # each with a workspace of its own: in one, they would wait for their turns
    processes = {f"r{i}": started_run(treadle, f"r{i}", slow, "--workspace", f"r{i}") for i in range(4)}
    seen = runs(treadle)
    assert {run_id: run["owner_pid"] for run_id, run in seen.items()} == {i: p.pid for i, p in processes.items()}
    shown = treadle("show", "r0", "--json", code=0).json
    assert shown["status"] == "running" and shown["steps"][0]["status"] == "running"
    following = treadle.start("logs", "r1", "-f")
    following.wait_output(r"call +wait/exec:1", "out")
    assert "cancelled" in treadle("cancel", "r2", code=0).out
    assert processes["r2"].wait().code == 1
    for run_id in ("r0", "r1", "r3"):
        (treadle.cwd / run_id / "go").touch()
        assert processes[run_id].wait().code == 0, processes[run_id].result()
    log = following.wait(5)
    assert log.code == 0 and re.search(r"end +succeeded$", log.out.strip()), log
    assert {i: run["status"] for i, run in runs(treadle).items()} == {
        "r0": "succeeded", "r1": "succeeded", "r2": "cancelled", "r3": "succeeded"}
    table = treadle("ps", code=0).out.splitlines()
    assert table[0].split() == ["ID", "WORKFLOW", "STATUS", "AGE", "STEPS", "TOKENS", "COST", "DIRECTORY"]
    assert [line.split()[0] for line in table[1:]] == ["r3", "r2", "r1", "r0"]


def test_ps_tells_which_answers_were_made_up(treadle):
    ask = workflow(treadle, "ask", {"name": "a", "type": "claude", "prompt": "hi"})
    quick = workflow(treadle, "quick", {"name": "a", "type": "test_echo", "value": 1})
    treadle("run", ask, "--mock", "--run-id", "made-up", code=0)
    treadle("run", quick, "--mock", "--run-id", "nothing", code=0)
    treadle("run", quick, "--run-id", "real", code=0)
    treadle("resume", "made-up")
    modes = {i: run["mode"] for i, run in runs(treadle).items()}
    assert modes == {"made-up": "mock", "nothing": "mock", "real": "live"}
    table = {line.split()[0]: line for line in treadle("ps", code=0).out.splitlines()}
    assert re.search(r"  \$0\.\d+ mock  ", table["made-up"]) and "  - mock  " in table["nothing"], table
    assert "mock" not in table["real"] and "mock" not in table["ID"], table


def test_ps_shows_yesterdays_runs_only_with_all(treadle):
    quick = workflow(treadle, "quick", {"name": "a", "type": "test_echo", "value": 1})
    for run_id in ("old", "new"):
        treadle("run", quick, "--run-id", run_id, code=0)
    with sqlite3.connect(treadle.home / "runs/old/journal.db") as db:
        tables = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type='table'")]
        table, column = next((table, row[1]) for table in tables
                             for row in db.execute(f"PRAGMA table_info({table})") if row[1].startswith("updated"))
        db.execute(f"UPDATE {table} SET {column} = {column} - 25 * 3600 * 1000")
    assert set(runs(treadle)) == {"new"} and set(runs(treadle, "--all")) == {"old", "new"}
    assert "1 older run not shown" in treadle("ps", code=0).err


def test_logs_follow_a_run_that_is_killed(treadle):
    slow = workflow(treadle, "slow", command("wait", "sleep 100"))
    process = started_run(treadle, "r", slow)
    following = treadle.start("logs", "r", "-f")
    following.wait_output("call +wait", "out")
    process.kill()
    assert following.wait(5).code == 0


LOOPED = """
workflow:
  name: looped
  steps:
    - name: each
      type: for_loop
      data_source: "range(1, 3)"
      steps: [{name: e, type: test_echo, value: "{{ loop.index }}"}]
    - {name: ask, type: approval, message: "Go on?"}
"""


def test_what_a_resumed_run_has_done_is_counted_and_shown(treadle):
    treadle.file("looped.yaml", LOOPED)
    for command in (["run", "looped.yaml", "--mock", "--run-id", "r"], ["resume", "r"], ["resume", "r"]):
        treadle(*command, "--quiet", code=3)
        assert treadle("ps", "--json", code=0).json["runs"][0]["steps_done"] == 4
    done = next(line for line in treadle("logs", "r", code=0).out.splitlines() if "done     each  {" in line)
    assert '"iterations":"(the records below each)"' in done


def test_logs_as_json_are_whole(treadle):
    big = "x" * 50000
    file = workflow(treadle, "big", {"name": "a", "type": "test_echo", "value": big})
    treadle("run", file, "--run-id", "r", code=0)
    lines = [json.loads(line) for line in treadle("logs", "r", "--json", code=0).out.splitlines()]
    assert [line["seq"] for line in lines] == sorted({line["seq"] for line in lines})
    assert lines[-1]["kind"] == "end" and lines[-1]["data"]["status"] == "succeeded"
    assert [line["data"]["ok"] for line in lines if line["kind"] == "done"] == [big]
    assert max(map(len, treadle("logs", "r", code=0).out.splitlines())) < 250
    reader = subprocess.run(["/bin/sh", "-c", f"{treadle.path} logs r --json; echo $? >&2"], env=treadle.environment(),
                            cwd=treadle.cwd, stdout=os.open("/dev/full", os.O_WRONLY), stderr=subprocess.PIPE)
    assert reader.stderr.strip().endswith(b"4")


# ---- why it failed


def test_show_explains_a_failure(treadle):
    file = workflow(treadle, "bad", {"name": "first", "type": "test_echo", "value": 1},
                    {"name": "each", "type": "for_loop", "data_source": [1, 2, 3],
                     "steps": [command("try", "echo 'no rule for {{ loop.item }}' >&2; [ {{ loop.item }} -lt 2 ]")]},
                    {"name": "never", "type": "test_echo", "value": 1})
    treadle("run", file, "--run-id", "r", code=1)
    text = treadle("show", "r", code=0).out
    why = r"Why it failed: a command failed, at each/1/try \(command, exit_1\)\n    exit code 1: no rule for 2"
    assert re.search(why, text), text
    assert "What to do: " in text and "treadle resume r " in text and "treadle resume r --workflow FILE" in text
    assert re.search(r"✓ first", text) and re.search(r"✗ each", text) and re.search(r"· never", text), text
    shown = treadle("show", "r", "--json", code=0).json
    assert shown["status"] == "failed" and shown["error"]["class"] == "command"
    assert shown["results"]["first"] == 1 and "Why it failed" in shown["explanation"]
    assert [step["status"] for step in shown["steps"]] == ["done", "failed"]


def test_text_of_others_does_not_command_the_terminal(treadle):
    evil = "\x1b]0;owned\x07\x1b[2J\x9b31m\u202egnp.exe"
    treadle.file("workspace/evil", evil)
    file = workflow(treadle, "evil", command("a", "cat evil >&2; exit 1"))
    ran = treadle("run", file, "--run-id", "r", code=1)
    for result in (ran, treadle("show", "r", code=0), treadle("logs", "r", code=0), treadle("ps", code=0)):
        both = result.out + result.err
        assert "owned" in both or result.args[1] == "ps"
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202e]", both), repr(both)


def test_missing_key_is_told_before_the_first_step(treadle):
    file = workflow(treadle, "live", command("first", "touch began"), claude("ask"))
    result = treadle("run", file, code=4)
    assert "ANTHROPIC_API_KEY" in result.err and "--mock" in result.err and f"{file}:" in result.err, result
    assert not (treadle.cwd / "workspace" / "began").exists() and runs(treadle, "--all") == {}


# ---- stopping and going on


def test_ctrl_c_leaves_a_run_that_can_go_on(treadle, fake_provider):
    provider = fake_provider(delay_ms=700)
    file = workflow(treadle, "talk", claude("a"), claude("b"))
    process = started_run(treadle, "r", file, env=provider.env)
    wait_for(lambda: started(provider).get("a"), what="the first call")
    process.signal(signal.SIGINT)
    stopped = process.wait()
    assert stopped.code == 130 and "treadle resume r" in stopped.err, stopped
    assert status(treadle, "r") == "interrupted"
    assert "treadle resume r" in treadle("show", "r", code=0).out
    assert "treadle resume r" in treadle("doctor", code=0).out
    resumed = treadle("resume", "r", "--json", env=provider.env, code=0)
    assert resumed.json["status"] == "succeeded" and started(provider) == {"a": 1, "b": 1}


def test_two_ctrl_c_stop_at_once(treadle):
    file = workflow(treadle, "slow", command("wait", "sleep 100"))
    process = started_run(treadle, "r", file)
    process.wait_output("call +wait")
    process.signal(signal.SIGINT)
    process.wait_output("press Ctrl-C again")
    process.signal(signal.SIGINT)
    assert process.wait(10).code == 130


def test_a_killed_run_is_interrupted_and_can_be_cancelled(treadle):
    file = workflow(treadle, "slow", command("wait", "sleep 100"))
    started_run(treadle, "r", file).kill()
    assert status(treadle, "r") == "interrupted"
    assert "its process ended without a word" in treadle("show", "r", code=0).out
    assert "cancelled" in treadle("cancel", "r", code=0).out
    assert status(treadle, "r") == "cancelled" and re.search(r"end +cancelled", treadle("logs", "r", code=0).out)
    assert "already" in treadle("cancel", "r", code=0).out


def test_cancel_of_an_ended_run_is_refused(treadle):
    treadle("run", workflow(treadle, "quick", {"name": "a", "type": "test_echo", "value": 1}), "--run-id", "r", code=0)
    assert "ended already: succeeded" in treadle("cancel", "r", code=2).err


def test_a_held_run_waits_and_says_why(treadle):
    file = workflow(treadle, "slow", command("once", "echo x >> count; [ -e go ] || sleep 100",
                                                on_interrupt="hold"))
    process = started_run(treadle, "r", file)
    count = treadle.cwd / "workspace" / "count"
    wait_for(count.exists, what="the command")
    process.kill()
    waiting = treadle("resume", "r", "--json", code=3)
    assert waiting.json["status"] == "waiting" and waiting.err.count("may have done part") == 1
    text = treadle("show", "r", code=0).out
    assert "Why it waits" in text and "once" in text and "treadle resume r --force" in text, text
    assert "nothing to remove" in treadle("prune", "--keep", "0", "--yes", code=0).out
    (treadle.cwd / "workspace" / "go").touch()
    assert treadle("resume", "r", "--force", "--json", code=0).json["status"] == "succeeded"
    assert count.read_text() == "x\nx\n"


def test_resume_under_another_workflow_keeps_what_came_before(treadle, fake_provider):
    provider = fake_provider()
    bad = workflow(treadle, "w", claude("a"), claude("b"), command("c", "exit 1"), claude("d"))
    treadle("run", bad, "--run-id", "r", env=provider.env, code=1)
    good = workflow(treadle, "w2", claude("a"), claude("b"), command("c", "exit 0"), claude("d"))
    result = treadle("resume", "r", "--workflow", good, "--json", env=provider.env, code=0)
    assert set(result.json["results"]) == {"a", "b", "c", "d"}
    assert started(provider) == {"a": 1, "b": 1, "d": 1}


# ---- fork


def test_fork_does_not_repeat_what_came_before(treadle, fake_provider):
    provider = fake_provider()
    inputs = {"tone": {"type": "string", "default": "kind"}}
    prompt = "[[key:{0}]] say {0} {{{{ inputs.tone }}}}"
    steps = [claude(name, prompt.format(name)) for name in "abc"]
    file = workflow(treadle, "w", *steps, inputs=inputs)
    first = treadle("run", file, "--run-id", "r", "--json", env=provider.env, code=0).json
    source = treadle("logs", "r", "--json", code=0).out
    forked = treadle("fork", "r", "--from", "b", "--set", "tone=harsh", "--run-id", "f", "--json", env=provider.env,
                     code=0).json
    assert started(provider) == {"a": 1, "b": 2, "c": 2}
    assert forked["run_id"] == "f" and forked["results"]["a"] == first["results"]["a"]
    assert "kind" in first["results"]["b"]["text"] and "harsh" in forked["results"]["b"]["text"]
    other = workflow(treadle, "w2", steps[0], steps[1], claude("new", "[[key:new]] say new"), inputs=inputs)
    again = treadle("fork", "f", "--from", "new", "--workflow", other, "--run-id", "g", "--json", env=provider.env,
                    code=0).json
    assert started(provider) == {"a": 1, "b": 2, "c": 2, "new": 1}
    assert set(again["results"]) == {"a", "b", "new"} and "harsh" in again["results"]["b"]["text"]
    assert treadle("logs", "r", "--json", code=0).out == source
    assert treadle("show", "g", "--json", code=0).json["forked_from"] == "f"
    treadle("rm", "r", "f", code=0)
    assert treadle("resume", "g", "--json", env=provider.env, code=0).json["results"] == again["results"]
    assert started(provider) == {"a": 1, "b": 2, "c": 2, "new": 1}


def test_fork_of_a_failed_run(treadle):
    file = workflow(treadle, "w", command("a", "echo a >> count"), command("b", "test -e mended"),
                    {"name": "c", "type": "test_echo", "value": 3})
    treadle("run", file, "--run-id", "r", code=1)
    (treadle.cwd / "workspace" / "mended").touch()
    forked = treadle("fork", "r", "--from", "c", "--json", code=0).json
    assert forked["results"]["c"] == 3 and (treadle.cwd / "workspace" / "count").read_text() == "a\n"
    assert status(treadle, "r") == "failed"


def test_a_fork_without_its_variables_forgets_them(treadle):
    def setting(name, value):
        return {"name": name, "type": "set_variable", "variables": {"seen": value}}

    file = workflow(treadle, "w", setting("a", "early"), setting("b", "late"), variables={"seen": "never"},
                    output="{{ seen }}")
    assert treadle("run", file, "--run-id", "r", "--json", code=0).json["output"] == "late"
    shorter = workflow(treadle, "w2", setting("a", "early"), {"name": "c", "type": "test_echo", "value": 1},
                       variables={"seen": "never"}, output="{{ seen }}")
    assert treadle("fork", "r", "--from", "c", "--workflow", shorter, "--json", code=0).json["output"] == "early"


@pytest.mark.parametrize("args, expected", [
    (["r", "--from", "bb"], "expected one of: a, b"),
    (["r"], "--from STEP is missing"),
    (["r", "--from", "b", "--set", "tone"], "expected NAME=VALUE"),
    (["r", "--from", "b", "--run-id", "r"], "there is a run r already"),
    (["r", "--from", "b", "--mock", "--replay", "x"], "exclude each other"),
])
def test_fork_refuses(treadle, args, expected):
    file = workflow(treadle, "w", {"name": "a", "type": "test_echo", "value": 1},
                    {"name": "b", "type": "test_echo", "value": 1})
    treadle("run", file, "--run-id", "r", code=0)
    assert expected in treadle("fork", *args, code=2).err
    assert os.listdir(treadle.home / "runs") == ["r"]


# ---- cleaning up


def test_rm_refuses_what_lives_and_leaves_workspaces(treadle):
    slow = workflow(treadle, "slow", command("wait", "touch here; sleep 100", on_interrupt="hold"))
    process = started_run(treadle, "r", slow)
    wait_for((treadle.cwd / "workspace" / "here").exists, what="the command runs")
    assert str(process.pid) in treadle("rm", "r", code=2).err
    treadle("cancel", "r", code=0)
    process.wait()
    assert treadle("rm", "r", code=0).out.startswith("removed r (")
    assert os.listdir(treadle.home / "runs") == [] and (treadle.cwd / "workspace" / "here").exists()
    assert "there is no run `r`" in treadle("rm", "r", code=2).err


def test_prune_follows_its_rules(treadle):
    quick = workflow(treadle, "quick", {"name": "a", "type": "test_echo", "value": 1})
    for i in range(4):
        treadle("run", quick, "--run-id", f"r{i}", code=0)
    held = workflow(treadle, "held", command("wait", "sleep 100"))
    started_run(treadle, "stale", held).kill()
    living = started_run(treadle, "living", held)
    assert "nothing to remove" in treadle("prune", "--yes", code=0).out  # nothing is 30 days old
    dry = treadle("prune", "--keep", "3", "--dry-run", code=0).out
    assert "would remove 3 of 6 runs" in dry and len(runs(treadle)) == 6
    assert "--yes" in treadle("prune", "--keep", "3", code=2).err and len(runs(treadle)) == 6
    assert "removed 3 runs" in treadle("prune", "--keep", "3", "--yes", code=0).out
    assert set(runs(treadle)) == {"living", "stale", "r3"}
    treadle("prune", "--max-size", "0", "--yes", code=0)
    assert set(runs(treadle)) == {"living", "stale"}
    treadle("prune", "--older-than", "0s", "--all", "--yes", code=0)
    assert set(runs(treadle)) == {"living"}
    leftover = treadle.home / "runs" / ".fork-x"
    leftover.mkdir()
    os.utime(leftover, (0, 0))
    treadle("prune", code=0)
    assert not leftover.exists()
    living.signal(signal.SIGTERM)
    treadle("cancel", "living")
    living.wait()


@pytest.mark.parametrize("args", [["--keep", "some"], ["--older-than", "soon"], ["--max-size", "big"]])
def test_prune_refuses_bad_rules(treadle, args):
    assert args[0] in treadle("prune", *args, code=2).err


def test_backup_of_a_living_run_can_be_resumed_elsewhere(treadle):
    file = workflow(treadle, "w", command("a", "echo one"),
                    command("b", "[ -e go ] || sleep 100", on_interrupt="retry"))
    process = started_run(treadle, "r", file)
    process.wait_output("call +b")
    treadle("backup", "r", "copy.db", code=0)
    assert "exists" in treadle("backup", "r", "copy.db", code=2).err
    process.kill()
    treadle("backup", "--all", "all", code=0)
    assert os.listdir(treadle.cwd / "all") == ["r.db"]
    (treadle.cwd / "workspace" / "go").touch()
    home = treadle.cwd / "other"
    (home / "runs" / "r").mkdir(parents=True)
    shutil.copy(treadle.cwd / "copy.db", home / "runs" / "r" / "journal.db")
    result = treadle("resume", "r", "--json", env={"TREADLE_HOME": home}, code=0)
    assert result.json["results"]["a"]["stdout"] == "one\n"


def test_backup_notices_damage(treadle):
    file = workflow(treadle, "w", {"name": "a", "type": "test_echo", "value": "x" * 100000})
    treadle("run", file, "--run-id", "r", code=0)
    journal = treadle.home / "runs/r/journal.db"
    data = journal.read_bytes()
    at = data.rindex(b"xxxxxxxxxxxxxxxx")
    journal.write_bytes(data[:at] + b"y" + data[at + 1:])
    assert treadle("backup", "r", "copy.db", code=4).err and not (treadle.cwd / "copy.db").exists()
    assert treadle("backup", "--all", "all", code=4).err


def test_unreadable_journals_do_not_hide_the_others(treadle):
    file = workflow(treadle, "quick", {"name": "a", "type": "test_echo", "value": 1})
    treadle("run", file, "--run-id", "good", code=0)
    bad = treadle.home / "runs" / "bad"
    bad.mkdir()
    (bad / "journal.db").write_bytes(b"this is no journal" * 1000)
    assert {i: run["status"] for i, run in runs(treadle).items()} == {"good": "succeeded", "bad": "unreadable"}
    treadle("show", "bad", code=4)
    treadle("logs", "bad", code=4)
    treadle("cancel", "bad", code=4)
    assert "bad cannot be read" in treadle("doctor", code=4).out
    treadle("prune", "--keep", "0", "--yes", code=0)
    assert set(runs(treadle)) == {"bad"}
    treadle("rm", "bad", code=0)
    assert runs(treadle) == {}


# ---- doctor


def test_doctor(treadle):
    secret = "sk-very-secret-value"
    result = treadle("doctor", env={"ANTHROPIC_API_KEY": secret}, code=0)
    assert "ANTHROPIC_API_KEY is set" in result.out and "GEMINI_API_KEY is not set" in result.out
    assert secret not in result.out + result.err
    for what in ("state directory", "disk space", "SQLite", "libcurl", "sandbox strict", "openat2", "open files"):
        assert what in result.out, result
    assert not list(treadle.home.glob(".doctor*"))
    broken = treadle("doctor", env={"TREADLE_HOME": "/proc/none"}, code=4)
    assert re.search(r"^BROKEN +state directory .*TREADLE_HOME", broken.out, re.M), broken


# ---- usage


@pytest.mark.parametrize("args, expected", [
    (["rnu", "x.yaml"], "did you mean run?"),
    (["ps", "--jsno"], "did you mean --json?"),
    (["ps", "extra"], "usage: treadle ps"),
    (["show"], "RUN is missing; usage: treadle show"),
    (["show", "nothing"], "there is no run `nothing`"),
    (["logs", "last"], "there is no run `last`"),
    (["logs", "-x", "last"], "unknown option -x"),
    (["backup", "last"], "usage: treadle backup"),
    (["backup", "--all", "a", "b"], "usage: treadle backup"),
    (["run", "--input"], "--input needs a value"),
    (["help", "shwo"], "did you mean show"),
    (["cancel", "../../etc"], "there is no run"),
])
def test_bad_usage_names_what_was_meant(treadle, args, expected):
    result = treadle(*args, code=2)
    assert expected in result.err and result.out == "", result


def test_nearest_run(treadle):
    file = workflow(treadle, "quick", {"name": "a", "type": "test_echo", "value": 1})
    for run_id in ("alpha-1", "alpha-2"):
        treadle("run", file, "--run-id", run_id, code=0)
    assert "did you mean alpha-" in treadle("show", "alpha-3", code=2).err
    assert "2 runs begin with" in treadle("show", "alph", code=2).err
    assert treadle("show", "last", "--json", code=0).json["run_id"] == "alpha-2"


def commands(treadle):
    return re.findall(r"^  (\w+) ", treadle("help", code=0).out.split("First steps")[0], re.M)


def test_every_command_helps(treadle):
    names = commands(treadle)
    assert {"run", "resume", "ps", "show", "logs", "cancel", "fork", "rm", "prune", "backup", "doctor"} <= set(names)
    for name in names:
        text = treadle("help", name, code=0).out
        assert text == treadle(name, "--help", code=0).out
        assert f"Usage: treadle {name}" in text and "--help" in text and "Examples:" in text, name
        assert max(map(len, text.splitlines())) <= 120, name


def test_the_page_of_commands_is_up_to_date(treadle):
    page = subprocess.run([str(ROOT / "tools/gen_cli_docs.py"), "--check"], capture_output=True, text=True,
                          env={**os.environ, "TREADLE_BUILD": str(pathlib.Path(treadle.path).parent)})
    assert page.returncode == 0, page.stderr


# ---- the live view, on a terminal of our own


class Terminal:
    """What a terminal shows of a stream: enough of one for what Treadle sends, strict about the rest."""

    def __init__(self, rows, columns):
        self.rows, self.columns, self.lines, self.row, self.column = rows, columns, [""], 0, 0
        self.sequences = set()

    def feed(self, text):
        for piece in re.finditer(r"\x1b\[([0-9;?]*)([A-Za-z])|[^\x1b]|\x1b", text):
            if piece.group(2):
                self.control(piece.group(1), piece.group(2))
            elif piece.group() == "\r":
                self.column = 0
            elif piece.group() == "\n":
                self.row += 1
                while len(self.lines) <= self.row:
                    self.lines.append("")
            else:
                assert piece.group() >= " ", repr(piece.group())
                if self.column == self.columns:
                    self.feed("\r\n")
                line = self.lines[self.row].ljust(self.column)
                self.lines[self.row] = line[: self.column] + piece.group() + line[self.column + 1:]
                self.column += 1

    def control(self, number, what):
        self.sequences.add(what)
        if what == "A":
            up = int(number or 1)
            assert up < self.rows, "goes up beyond the screen"
            self.row -= up
        elif what == "K":
            self.lines[self.row] = self.lines[self.row][: self.column]
        elif what == "J":
            self.lines[self.row] = self.lines[self.row][: self.column]
            del self.lines[self.row + 1:]
        else:
            assert what == "m", f"an unexpected sequence: {number}{what}"

    def text(self):
        return "\n".join(self.lines)


def on_terminal(treadle, *args, rows=12, columns=70, env=None, during=None):
    """Runs on a terminal; (exit code, Terminal, standard output)."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    out = open(treadle.cwd / f".out.{time.monotonic_ns()}", "w+")
    process = subprocess.Popen([treadle.path, *args], env=treadle.environment({"TERM": "xterm", **(env or {})}),
                               cwd=treadle.cwd, stdin=subprocess.DEVNULL, stdout=out, stderr=theirs)
    os.close(theirs)
    terminal, data, asked, pictures = Terminal(rows, columns), b"", False, []
    end = time.monotonic() + 60
    while time.monotonic() < end:
        if not select.select([ours], [], [], 0.1)[0]:
            continue
        try:
            piece = os.read(ours, 65536)
        except OSError:
            break
        if not piece:
            break
        data += piece
        if re.search(rb"\x1b(\[[0-9;?]*)?$", data):
            continue  # the rest of the sequence is on its way
        try:
            text, data = data.decode().replace("\r\n", "\n"), b""
        except UnicodeDecodeError:
            continue
        # The terminal's own translation is undone above; a line's end means its beginning too.
        terminal.feed(text.replace("\n", "\r\n"))
        pictures.append(terminal.text())
        if during and not asked:
            asked = during(process, terminal)
    os.close(ours)
    code = process.wait(10)
    out.seek(0)
    return code, terminal, out.read(), pictures


def test_live_view_leaves_a_clean_screen(treadle):
    file = workflow(treadle, "live", command("quick", "true"),
                    {"name": "each", "type": "for_loop", "data_source": "range(1, 30)", "parallel": True,
                     "max_parallel": 20, "steps": [command("work", "sleep 0.3")]},
                    command("bad", "exit 3", on_error="continue",
                            retry={"max_attempts": 2, "delay": "1s", "jitter": False, "on": ["command"]}),
                    {"name": "last", "type": "test_echo", "value": "the answer"}, output="{{ steps.last }}")
    code, screen, out, pictures = on_terminal(treadle, "run", file)
    assert code == 0 and out == "the answer\n", screen.text()
    text = screen.text()
    assert "▸" not in text and "in flight" not in text, text
    for expected in (r"✓ quick +\d", r"✓ each +\d", r"! bad .*exit code 3", r"✓ last", r"succeeded after"):
        assert re.search(expected, text), text
    assert any(re.search(r"▸ each .*done, \d+ running", picture) for picture in pictures)
    assert any("more" in picture and picture.count("▸") > 3 for picture in pictures), "bounded by the screen"
    assert any(re.search(r"! bad .*next attempt in \ds: exit co", picture) for picture in pictures)
    assert screen.column == 0 and "m" in screen.sequences


def test_live_view_without_colours_or_terminal(treadle):
    file = workflow(treadle, "live", command("quick", "sleep 0.2"))
    _, screen, _, _ = on_terminal(treadle, "run", file, env={"NO_COLOR": "1"})
    assert "m" not in screen.sequences and "A" in screen.sequences
    for args, env in ((["--quiet"], {}), ([], {"TERM": "dumb"}), ([], {"TERM": ""})):
        _, screen, _, _ = on_terminal(treadle, "run", file, *args, env=env)
        assert not screen.sequences, (args, env)


def test_live_view_after_ctrl_c(treadle):
    file = workflow(treadle, "live", command("slow", "sleep 100"))

    def interrupt(process, terminal):
        if "▸ slow" not in terminal.text():
            return False
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        return True

    code, screen, _, _ = on_terminal(treadle, "run", file, during=interrupt)
    text = "".join(screen.lines)  # what is said may wrap
    assert code == 130 and "▸" not in text and "treadle resume" in text and "press Ctrl-C again" in text, screen.text()
    assert screen.lines[-1] == "" and screen.column == 0


def test_plain_lines_tell_ends_calls_and_retries(treadle):
    file = workflow(treadle, "plain", {"name": "each", "type": "for_loop", "data_source": [1, 2],
                                       "steps": [{"name": "pure", "type": "test_echo", "value": 1},
                                                 command("work", "true")]},
                    command("flaky", "mkdir -p .git; [ -e .git/once ] || { touch .git/once; exit 1; }",
                            retry={"max_attempts": 2, "delay": "10ms", "on": ["command"]}))
    err = treadle("run", file, code=0).err
    kinds = [tuple(line.split()[1:3]) for line in err.splitlines()[1:-1]]
    assert kinds == [("call", "each/0/work/exec:1"), ("done", "each/0/work"), ("call", "each/1/work/exec:1"),
                     ("done", "each/1/work"), ("done", "each"), ("call", "flaky/exec:1"), ("retry", "flaky"),
                     ("call", "flaky~2/rollback:1"), ("call", "flaky~2/exec:1"), ("done", "flaky")], err
    assert re.search(r"done +each/0/work  \d", err), err
    assert treadle("run", file, "--quiet", code=0).err == ""


def test_show_finds_trouble_in_long_lists_and_bounds_them(treadle):
    loop = {"name": "each", "type": "for_loop", "data_source": "range(1, 70)", "break_on_error": False,
            "steps": [{"name": "try", "type": "test_echo", "value": 1, "fail": "{{ loop.item > 5 }}"}]}
    file = workflow(treadle, "many", loop)
    treadle("run", file, "--run-id", "r", "--quiet", code=(0, 1))
    text = treadle("show", "r", code=0).out
    assert "… and 15 more (--all)" in text and text.count("✗ try") == 50 and "✓ try" not in text, text
    assert treadle("show", "r", "--all", code=0).out.count("✓ try") == 5


def test_show_never_leaves_out_what_failed(treadle):
    steps = [{"name": f"s{i}", "type": "test_echo", "value": i} for i in range(80)]
    file = workflow(treadle, "long", *steps, command("bad", "exit 3"),
                    {"name": "never", "type": "test_echo", "value": 1})
    treadle("run", file, "--run-id", "r", "--quiet", code=1)
    lines = [line.strip() for line in treadle("show", "r", code=0).out.splitlines()]
    at = lines.index("… and 30 more (--all)")
    assert lines[at - 1].startswith("✓ s49") and lines[at + 1].startswith("✗ bad"), lines
    assert any(line.startswith("· never") for line in lines)


def test_the_advice_for_an_approval_names_a_choice_where_approve_is_none(treadle):
    ask = {"name": "ok", "type": "approval", "message": "Deploy?", "choices": ["now", "later"]}
    file = workflow(treadle, "ask", ask)
    for text in (treadle("run", file, "--run-id", "r", code=3).err, treadle("show", "r", code=0).out):
        assert "treadle approve r ok --choice CHOICE" in text, text
    file = workflow(treadle, "plain", {"name": "ok", "type": "approval", "message": "Deploy?"})
    assert "--choice" not in treadle("run", file, "--run-id", "p", code=3).err


def test_what_is_cut_of_a_command_is_marked(treadle):
    file = workflow(treadle, "w", command("long", "true " + "x" * 100), command("lines", "\ntrue\nfalse || true"),
                    command("short", "true"), {"name": "argv", "type": "command", "run": ["echo", "y" * 100]},
                    {"name": "words", "type": "command", "run": ["true", "it's", "", "ok"]})
    err = treadle("run", file, code=0).err
    assert re.search(r"exec:1 +\$ true x+…$", err, re.M) and re.search(r"exec:1 +\$ true…$", err, re.M), err
    assert re.search(r"exec:1 +\$ true 'it'\\''s' '' ok$", err, re.M), err
    assert re.search(r"exec:1 +\$ true$", err, re.M) and re.search(r"exec:1 +\$ echo y+…$", err, re.M), err


def test_a_resumed_run_of_the_mock_says_that_nothing_is_paid(treadle, fake_provider):
    file = workflow(treadle, "w", claude("a"), command("gate", "test -e open"))
    treadle("run", file, "--mock", "--run-id", "r", code=1)
    treadle("run", file, "--run-id", "live", code=1, env=fake_provider().env)
    treadle.file("workspace/open", "")
    assert "nothing is paid" in treadle("resume", "r", code=0).err
    assert "nothing is paid" not in treadle("resume", "live", "--mock", code=0).err


def test_show_blames_the_output_when_it_fails(treadle):
    file = workflow(treadle, "w", command("a", "exit 3", on_error="continue"),
                    {"name": "each", "type": "for_loop", "data_source": [1], "break_on_error": False,
                     "steps": [command("try", "exit 5", on_error="continue")]},
                    command("b", "true"), output="{{ steps.b.text }}")
    treadle("run", file, "--run-id", "r", code=1)
    text = treadle("show", "r", code=0).out
    why = text[text.index("Why it failed"):]
    assert re.match(r"Why it failed: the workflow's `output` has an error.*\n +.*`steps.b` has no field", why), text
    assert "exit code" not in why and "Mend `output`" in why, text


def test_a_failed_step_is_blamed_not_one_that_went_on(treadle):
    file = workflow(treadle, "w", {"name": "each", "type": "for_loop", "data_source": [1, 2], "steps": [
        command("soft", "echo soft >&2; exit 3", on_error="continue"),
        command("hard", "echo hard >&2; [ {{ loop.item }} -lt 2 ]")]})
    treadle("run", file, "--run-id", "r", code=1)
    text = treadle("show", "r", code=0).out
    assert "at each/1/hard (command, exit_1)" in text and "exit code 1: hard" in text[text.index("Why"):], text


def shown_on_terminal(treadle, *args, columns, env=None):
    """Standard output of a command whose standard output is a terminal of that width, without colours."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen([treadle.path, *args], stdout=theirs, cwd=treadle.cwd, stdin=subprocess.DEVNULL,
                               env=treadle.environment({"NO_COLOR": "1", **(env or {})}))
    os.close(theirs)
    data = b""
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:
            break
        if not piece:
            break
        data += piece
    os.close(ours)
    assert process.wait(10) == 0
    return data.decode().splitlines()


def test_tables_fit_the_terminal(treadle):
    file = workflow(treadle, "a-workflow-of-some-length", command("a-step-with-a-name", "echo '" + "words " * 60 +
                                                                  "' >&2; exit 1"))
    treadle("run", file, "--run-id", "r", code=1)
    for columns in (30, 60, 80, 100, 300):
        for args in (["ps"], ["show", "r"]):
            lines = shown_on_terminal(treadle, *args, columns=columns)
            assert max(map(len, lines)) <= columns, (columns, lines)
    named = workflow(treadle, "weekly-report", command("ok", "true"))
    treadle("run", named, code=0)  # with an id made of the time
    wide = shown_on_terminal(treadle, "ps", columns=90)
    assert wide[0].split()[-1] == "COST" and wide[1].split()[-1] == "-", wide
    narrow = shown_on_terminal(treadle, "ps", columns=80)
    assert "COST" in narrow[0] and "DIRECTORY" not in narrow[0], narrow
    row, = (line for line in shown_on_terminal(treadle, "ps", columns=300) if line.startswith("r "))
    assert str(treadle.home / "runs" / "r") in row
    assert max(map(len, shown_on_terminal(treadle, "ps", columns=300, env={"COLUMNS": "50"}))) <= 50
    assert str(treadle.home / "runs" / "r") in treadle("ps", env={"COLUMNS": "50"}, code=0).out


def test_fixtures_that_are_wrong_or_missing(treadle):
    file = workflow(treadle, "talk", claude("a"))
    assert "write --mock=FILE" in treadle("run", "--mock", "none.yaml", file, code=2).err
    assert "--mock: cannot read none.yaml: No such file" in treadle("run", file, "--mock", "none.yaml", code=2).err
    treadle.file("bad.yaml", {"fixture": []})
    assert "bad.yaml:2:3: unknown key" in treadle("run", file, "--mock", "bad.yaml", code=2).err
    treadle.file("bad.yaml", {"fixtures": [{"delay": "soon"}]})
    bad = treadle("run", file, "--mock", "bad.yaml", code=2).err
    assert re.search(r"bad\.yaml:\d+:\d+: fixtures\[0\]: \"delay\" must be", bad), bad
    treadle.file("few.yaml", {"default": "fail", "fixtures": [{"match": {"step": "b"}, "reply": {"text": "x"}}]})
    treadle("run", file, "--mock", "few.yaml", "--run-id", "r", code=1)
    text = treadle("show", "r", code=0).out
    assert "the fixtures have no answer" in text and "--mock FILE" in text and "refused" not in text, text


def test_doctor_counts_unreadable_journals_as_broken(treadle):
    bad = treadle.home / "runs" / "bad"
    bad.mkdir(parents=True)
    (bad / "journal.db").write_bytes(b"this is no journal" * 1000)
    text = treadle("doctor", code=4).out
    assert re.search(r"^BROKEN +runs +the journal of bad cannot be read: .*treadle rm bad", text, re.M), text
    assert "PRAGMA" not in text + treadle("show", "bad", code=4).err


@pytest.mark.parametrize("more, holds", [({"on_interrupt": "hold"}, True), ({"on_interrupt": "retry"}, False),
                                         ({"network": "full"}, True),
                                         pytest.param({}, False, marks=pytest.mark.strict)])
def test_show_tells_that_resume_will_wait(treadle, more, holds):
    process = started_run(treadle, "r", workflow(treadle, "slow", command("wait", "sleep 100", **more)))
    process.wait_output("call +wait")
    process.kill()
    process.wait()
    text = treadle("show", "r", code=0).out
    assert ("treadle resume r --force" in text) == holds and "treadle resume r " in text, text
    assert ("may have done part of its work" in text) == holds, text


def test_a_reader_that_has_read_enough_of_the_schema(treadle):
    piped = subprocess.run(["/bin/bash", "-c", f"set -o pipefail; {treadle.path} schema | true"],
                           capture_output=True, text=True)
    assert piped.returncode == 0 and piped.stderr == "", piped


def test_more_files_than_one_command_takes_are_told_as_that(treadle):
    said = treadle("validate", *["w.yaml"] * 513, code=2).err
    assert "more than 512 arguments; give them in several commands" in said and "unexpected" not in said, said
    assert "more than 512" not in treadle("validate", *["w.yaml"] * 512, code=2).err
