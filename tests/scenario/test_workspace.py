"""The workspace before another attempt: as it was before the last one, but for what others have changed."""
import json
import os
import pathlib
import shutil
import stat
import subprocess
import sys
import time

import pytest

from conftest import children, wait_for
from service import directory_of
from test_serve import service  # noqa: F401

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "crash"))
import workspace_campaign  # noqa: E402


def tree(directory):
    """{path: (mode, content or target)} of all but version control directories."""
    seen = {}
    for path in sorted(directory.rglob("*")):
        name = str(path.relative_to(directory))
        if ".git" in path.relative_to(directory).parts:
            continue
        st = path.lstat()
        what = os.readlink(path) if path.is_symlink() else path.read_bytes() if path.is_file() else None
        seen[name] = (None if path.is_symlink() else stat.S_IMODE(st.st_mode), what)
    return seen


def prepare(treadle):
    ws = treadle.cwd / "ws"
    (ws / ".git").mkdir(parents=True)
    (ws / "src/deep").mkdir(parents=True)
    (ws / "empty").mkdir()
    (ws / "src/a.txt").write_text("one\n")
    (ws / "src/deep/b.txt").write_text("two\n")
    (ws / "src/run.sh").write_text("#!/bin/sh\n")
    (ws / "src/run.sh").chmod(0o750)
    (ws / "link").symlink_to("src/a.txt")
    (ws / "theirs").write_text("theirs\n")
    return ws


def flow(treadle, *steps, name="w.json"):
    return treadle.file(name, json.dumps({"workflow": {"name": "w", "steps": list(steps)}}))


MESS = ("echo more >> src/a.txt; rm -r src/deep empty; mkdir -p new/dir; echo x > new/dir/f; chmod 600 src/run.sh; "
        "ln -sfn nowhere link; mkdir src/deep; echo file > empty; chmod 700 src; ")


def steps_of(*steps):
    return json.dumps({"workflow": {"name": "w", "steps": list(steps)}})


def command(name, run, **more):
    return {"name": name, "type": "command", "run": run, **more}


RETRY = {"max_attempts": 2, "delay": "10ms", "on": ["command"]}


@pytest.mark.strict
def test_an_attempt_begins_where_the_last_one_began(treadle):
    ws = prepare(treadle)
    before = tree(ws)
    listing = "find . -path ./.git -prune -o -printf '%P %y %m %l\\n' | sort; cat src/a.txt src/deep/b.txt"
    run = f"if [ ! -e .git/tried ]; then touch .git/tried; {MESS} exit 7; fi; {listing}"
    got = treadle("run", flow(treadle, command("s", run, retry=RETRY)), "--workspace", "ws", "--json", code=0).json
    assert tree(ws) == before
    said = got["results"]["s"]["stdout"]
    assert "src/run.sh f 750" in said and "link l 777 src/a.txt" in said and said.endswith("one\ntwo\n"), said
    assert "new" not in said and "empty d" in said


@pytest.mark.strict
def test_a_final_failure_keeps_its_files(treadle):
    ws = prepare(treadle)
    treadle("run", flow(treadle, command("s", f"{MESS} exit 7", retry=RETRY)), "--workspace", "ws", code=1)
    assert (ws / "new/dir/f").read_text() == "x\n" and (ws / "src/a.txt").read_text() == "one\nmore\n"
    assert stat.S_IMODE((ws / "src").stat().st_mode) == 0o700 and (ws / "empty").read_text() == "file\n"


@pytest.mark.strict
def test_what_somebody_else_changed_since_is_not_touched(treadle):
    ws = prepare(treadle)
    run = "[ -e .git/tried ] || { touch .git/tried; echo mine > src/a.txt; echo mine > mine; exit 7; }"
    step = command("s", run, retry={"max_attempts": 2, "delay": "10m", "on": ["command"]})
    process = treadle.start("run", flow(treadle, step), "--workspace", "ws", "--run-id", "r")
    process.wait_output("retry +s")
    process.kill()
    (ws / "src/a.txt").write_text("somebody's\n")
    (ws / "theirs").write_text("changed\n")
    database = treadle.home / "runs/r/journal.db"
    assert database.exists()
    # the wait is over when the clock says so; a workflow with a shorter one is another workflow
    treadle("cancel", "r", code=(0, 1, 2, 130))
    said = treadle("resume", "r", code=3)
    assert "src/a.txt" in said.err and "somebody else" in said.err, said.err
    assert (ws / "src/a.txt").read_text() == "somebody's\n" and (ws / "mine").read_text() == "mine\n"
    treadle("resume", "r", "--force", code=0)
    assert (ws / "src/a.txt").read_text() == "somebody's\n" and not (ws / "mine").exists()
    assert (ws / "theirs").read_text() == "changed\n"


@pytest.mark.strict
@pytest.mark.parametrize("more", [{"on_interrupt": "retry"}, {}], ids=["retry", "default"])
def test_a_killed_command_leaves_nothing(treadle, more):
    ws = prepare(treadle)
    before = tree(ws)
    run = f"if [ ! -e .git/tried ]; then {MESS} touch .git/tried; sleep 100; fi; echo again"
    process = treadle.start("run", flow(treadle, command("s", run, **more)), "--workspace", "ws", "--run-id", "r")
    end = time.monotonic() + 30
    while not (ws / ".git/tried").exists():
        assert time.monotonic() < end
        time.sleep(0.01)
    (ws / "theirs").write_text("changed\n")
    process.kill()
    got = treadle("resume", "r", "--json", code=0).json
    before["theirs"] = (before["theirs"][0], b"changed\n")
    assert tree(ws) == before and got["results"]["s"]["stdout"] == "again\n"


@pytest.mark.strict
@pytest.mark.parametrize("fault", ["undo.kill.change=2", "undo.kill.change=5", "undo.kill.exchanged=1",
                                   "undo.kill.exchanged=2"])
def test_killed_while_changes_are_taken_over(treadle_faults, fault):
    treadle = treadle_faults
    ws = prepare(treadle)
    step = command("s", MESS + "echo two >> src/run.sh", on_interrupt="retry")
    treadle("run", flow(treadle, step), "--workspace", "ws", "--run-id", "r",
            env={"TREADLE_FAULT": fault}, code=-9)
    treadle("resume", "r", code=0)
    assert (ws / "src/a.txt").read_text() == "one\nmore\n" and (ws / "src/run.sh").read_text() == "#!/bin/sh\ntwo\n"
    assert not [name for name in tree(ws) if ".treadle" in name]


@pytest.mark.strict
def test_a_conflict_keeps_the_other_version(treadle):
    ws = prepare(treadle)
    run = "touch .git/began; until [ -e .git/go ]; do sleep 0.01; done; echo mine > src/a.txt; echo mine > mine"
    step = command("s", run, workspace="isolated")
    process = treadle.start("run", flow(treadle, step), "--workspace", "ws", "--json")
    end = time.monotonic() + 30
    while not (ws / ".git/began").exists():
        assert time.monotonic() < end
        time.sleep(0.01)
    (ws / "src/a.txt").write_text("somebody's\n")
    (ws / ".git/go").touch()
    got = process.wait()
    assert got.code == 1 and got.json["error"]["class"] == "conflict" and "src/a.txt" in got.json["error"]["message"]
    assert (ws / "src/a.txt").read_text() == "somebody's\n" and not (ws / "mine").exists()


@pytest.mark.parametrize("args, more", [(["--sandbox", "none"], {}), ([], {"network": "full"}),
                                        ([], {"on_interrupt": "hold"})], ids=["unconfined", "network", "hold"])
def test_what_it_did_elsewhere_cannot_be_taken_back(treadle, args, more):
    """So a person is asked; and meanwhile it worked in the workspace itself, for all to see."""
    ws = prepare(treadle)
    run = "echo here > mine; touch .git/tried; sleep 100"
    file = flow(treadle, command("s", run, **more))
    process = treadle.start("run", file, "--workspace", "ws", "--run-id", "r", *args)
    wait_for((ws / ".git/tried").exists, what="the command")
    assert (ws / "mine").read_text() == "here\n"
    process.kill()
    held = treadle("resume", "r", "--json", code=3)
    assert "may have done part of its work" in held.err and (ws / "mine").exists()


def test_writers_take_turns(treadle):
    ws = prepare(treadle)
    run = "[ ! -e busy ] && touch busy && sleep 0.1 && echo {0} >> src/a.txt && rm busy"
    shared = {"name": "p", "type": "parallel", "branches": {
        name: [command("s", run.format(name))] for name in ("one", "two", "three")}}
    treadle("run", flow(treadle, shared), "--workspace", "ws", code=0)
    assert sorted((ws / "src/a.txt").read_text().split()) == ["one", "one", "three", "two"]
    # isolated ones meet: each waits for the other
    meet = "touch .git/{0}; until [ -e .git/{1} ]; do sleep 0.01; done; echo {0} > {0}"
    beside = {"name": "p", "type": "parallel", "branches": {
        a: [command("s", meet.format(a, b), workspace="isolated")] for a, b in (("x", "y"), ("y", "x"))}}
    treadle("run", flow(treadle, beside), "--workspace", "ws", code=0)
    assert (ws / "x").read_text() == "x\n" and (ws / "y").read_text() == "y\n"


# ---- turns among runs

APPEND = "for i in 1 2 3 4 5; do echo NAME >> src/a.txt; sleep 0.02; done"


def blocks(ws):
    """The lines of src/a.txt that runs have added, those that stand together counted."""
    lines = (ws / "src/a.txt").read_text().split()[1:]
    found = []
    for line in lines:
        if not found or found[-1][0] != line:
            found.append([line, 0])
        found[-1][1] += 1
    return found


def test_runs_take_turns_in_a_workspace(treadle):
    ws = prepare(treadle)
    (treadle.cwd / "other").symlink_to(ws)
    one, two = (flow(treadle, *[command(f"s{i}", APPEND.replace("NAME", name), on_interrupt="retry") for i in range(3)],
                     name=f"{name}.json") for name in ("one", "two"))
    first = treadle.start("run", one, "--workspace", "ws", "--run-id", "first")
    first.wait_output("call +s0/exec")  # so that whoever comes second finds somebody there, and is told who
    second = treadle.start("run", two, "--workspace", "other", "--run-id", "second")
    for process in (first, second):
        assert process.wait().code == 0, process.result()
    said = first.result().err + second.result().err
    assert "waits for the workspace: run " in said, said
    found = blocks(ws)
    assert all(n % 5 == 0 for _, n in found) and sum(n for _, n in found) == 30, found
    assert len(found) >= 4, found  # neither did all of its steps while the other one waited


def test_a_run_waits_for_the_one_that_writes(treadle):
    ws = prepare(treadle)
    writes = "touch busy; until [ -e .git/go ]; do sleep 0.01; done; echo NAME >> src/a.txt; rm busy"
    a = flow(treadle, command("s", writes.replace("NAME", "one"), on_interrupt="hold"), name="a.json")
    b = flow(treadle, command("s", "test ! -e busy; echo two >> src/a.txt", timeout=1), name="b.json")
    first = treadle.start("run", a, "--workspace", "ws", "--run-id", "first")
    wait_for(lambda: (ws / "busy").exists())
    second = treadle.start("run", b, "--workspace", "ws", "--run-id", "second")
    second.wait_output("waits for the workspace: run first is writing there")
    third = treadle.start("run", b, "--workspace", "ws", "--run-id", "third")
    third.wait_output("waits for the workspace")
    assert "waits for the workspace: run first is writing there" in treadle("show", "second", code=0).out
    step = treadle("show", "second", "--json", code=0).json["steps"][0]
    assert step["waits"] == "waits for the workspace: run first is writing there", step
    assert "run first is writing there" in treadle("logs", "second", code=0).out
    assert not children(second.pid)
    time.sleep(1.2)  # longer than the step's timeout: that is for its work
    treadle("cancel", "third", code=0)
    third.wait()
    (ws / ".git/go").touch()
    for process in (first, second):
        assert process.wait().code == 0, process.result()
    assert (ws / "src/a.txt").read_text() == "one\none\ntwo\n"
    assert "waits for the workspace" not in treadle("show", "second", code=0).out
    assert not list((treadle.home / "turns").iterdir())


def test_waiting_for_a_turn_costs_the_steps_around_no_time(treadle):
    """A loop does not fail, with all that was paid for in it, because another run writes for long."""
    ws = prepare(treadle)
    a = flow(treadle, command("s", "touch busy; until [ -e .git/go ]; do sleep 0.01; done", on_interrupt="hold"),
             name="a.json")
    b = flow(treadle, {"name": "l", "type": "for_loop", "timeout": 1, "data_source": [1], "steps": [
        {"name": "ask", "type": "gemini", "prompt": "hello"}, command("s", "echo two >> src/a.txt")]}, name="b.json")
    first = treadle.start("run", a, "--workspace", "ws")
    wait_for(lambda: (ws / "busy").exists())
    second = treadle.start("run", b, "--workspace", "ws", "--run-id", "second", "--mock")
    second.wait_output("waits for the workspace")
    time.sleep(1.2)  # longer than the loop's timeout
    (ws / ".git/go").touch()
    for process in (first, second):
        assert process.wait().code == 0, process.result()
    assert (ws / "src/a.txt").read_text() == "one\ntwo\n"
    logs = treadle("logs", "second", code=0).out
    assert logs.index("its time stands still") < logs.index("its time goes on"), logs


@pytest.mark.strict
def test_whoever_died_while_it_wrote_comes_first(treadle):
    ws = prepare(treadle)
    run = "if [ ! -e .git/tried ]; then touch .git/tried; sleep 100; fi; echo first >> src/a.txt"
    first = treadle.start("run", flow(treadle, command("s", run), name="a.json"), "--workspace", "ws",
                          "--run-id", "first")
    wait_for(lambda: (ws / ".git/tried").exists())
    second = treadle.start("run", flow(treadle, command("s", "cat src/a.txt; echo second >> src/a.txt"), name="b.json"),
                           "--workspace", "ws", "--run-id", "second", "--json")
    second.wait_output("waits for the workspace")
    first.kill()
    treadle("resume", "first", code=0)
    assert second.wait().code == 0, second.result()
    assert (ws / "src/a.txt").read_text() == "one\nfirst\nsecond\n"
    # and if it never comes, nobody waits for ever
    (ws / ".git/tried").unlink()
    first = treadle.start("run", treadle.cwd / "a.json", "--workspace", "ws", "--run-id", "again")
    wait_for(lambda: (ws / ".git/tried").exists())
    first.kill()
    treadle("run", treadle.cwd / "b.json", "--workspace", "ws", code=0)


@pytest.mark.strict
@pytest.mark.parametrize("kill", [False, True], ids=["alive", "engine-killed"])
def test_runs_of_one_service_take_turns(treadle, service, kill):  # noqa: F811
    """Each run of a service has a workspace of its own; here two of them lead to the same directory."""
    ws = prepare(treadle)
    s = service("--max-running", "2", mock="")
    # in the workspace itself: a view need not show what comes into it later
    hold = steps_of(command("s", "until [ -e go ]; do sleep 0.01; done", on_interrupt="hold"))
    held = [s.run(hold) for _ in range(2)]
    for run in held:
        wait_for(lambda run=run: (directory_of(s, run) / "workspace").exists(), 30)
    runs = []
    for name in ("one", "two"):
        runs.append(s.run(steps_of(*[command(f"s{i}", APPEND.replace("NAME", name)) for i in range(4)])))
        (directory_of(s, runs[-1]) / "workspace").symlink_to(ws)
    for run in held:
        (directory_of(s, run) / "workspace/go").touch()
    if kill:
        wait_for(lambda: len(blocks(ws)) >= 2, 30)
        s.kill("engine")
    for run in runs:
        assert s.ended(run)["status"] == "succeeded", s.show(run)
    found = blocks(ws)
    assert all(n % 5 == 0 for _, n in found) and sum(n for _, n in found) == 40, found
    assert kill or len(found) >= 6, found


def test_too_large_to_keep(treadle):
    ws = prepare(treadle)
    with open(ws / "huge", "wb") as file:
        file.truncate((1 << 30) + 1)
    run = "[ -e .git/tried ] || { touch .git/tried; echo mine > src/a.txt; exit 7; }"
    said = treadle("run", flow(treadle, command("s", run, retry=RETRY)), "--workspace", "ws", code=0)
    assert "not taken back" in said.err and "larger than" in said.err
    assert (ws / "src/a.txt").read_text() == "mine\n"


@pytest.mark.strict
def test_an_agent_killed_inside_its_edits(tmp_path):
    campaign = workspace_campaign.Campaign(tmp_path, 7)
    for number in (1, 2, 3):
        campaign.run(number)


@pytest.mark.strict
def test_the_campaign_finds_that_nothing_is_taken_back(tmp_path):
    with pytest.raises(AssertionError, match="began with different trees"):
        workspace_campaign.Campaign(tmp_path, 7, faults="undo.skip=0").run(1)


# ---- copies of one's own: branches, iterations, models

def isolated(name, branches, **more):
    return {"name": name, "type": "parallel", "workspace": "isolated", "branches": branches, **more}


@pytest.mark.strict
def test_isolated_branches_work_side_by_side(treadle):
    ws = prepare(treadle)
    theirs = tree(ws)
    call = lambda name, **input: {"name": name, "input": input}  # noqa: E731
    mock = treadle.file("mock.json", json.dumps({"fixtures": [
        {"match": {"step": "p/x/agent", "turn": 1}, "reply": {"tool_calls": [
            call("Edit", file_path="src/a.txt", old_string="one", new_string="uno"),
            call("Write", file_path="made", content="by x\n"),
            call("Bash", command="cat src/a.txt made; pwd; ls -A .git; test ! -e y; mkdir d; echo in > d/f")]}},
        {"match": {"turn": 2}, "reply": {"text": "done"}}]}))
    look = "cat src/a.txt; ls; pwd"
    step = {"name": "agent", "type": "claude", "prompt": "go", "allowed_tools": ["Edit", "Write", "Bash"]}
    flow_ = flow(treadle, isolated("p", {
        "x": [step, command("look", look)],
        "y": [command("edit", "echo y > y; rm -r src/deep; test ! -e made"), command("look", look)]}),
        command("after", "cat src/a.txt y made d/f; ls src"))
    got = treadle("run", flow_, "--mock", mock, "--workspace", "ws", "--run-id", "r", "--json", code=0).json
    x, y = (got["results"]["p"]["branches"][name]["results"] for name in "xy")
    assert x["look"]["stdout"].startswith("uno\n") and f"{ws}\n" in x["look"]["stdout"], x
    assert "y\n" not in x["look"]["stdout"].split() and y["look"]["stdout"].startswith("one\n"), y
    assert got["results"]["after"]["stdout"] == "uno\ny\nby x\nin\na.txt\nrun.sh\n"
    after = tree(ws)
    for name in ("link", "theirs", "empty", "src/run.sh"):
        assert after[name] == theirs[name], name
    names = treadle("diff", "r", "p/x", "--names", code=0).out.splitlines()
    assert names == ["added     d/", "added     d/f", "added     made", "modified  src/a.txt"], names
    names = treadle("diff", "r", "p/x/agent/turn:1/tool:2", "--names", code=0).out
    assert names == "added     made\n", names


@pytest.mark.strict
def test_isolated_branches_are_under_way_at_once(treadle):
    ws = prepare(treadle)
    before = tree(ws)
    branch = lambda own, other: [  # noqa: E731
        command("c", f"echo {own} >> src/run.sh; echo {own} > {own}; ! touch .git/{own}"),
        {"name": "w", "type": "wait_signal", "signal": own},
        command("d", f"cat {own}; test ! -e {other}; git log 2>&1; tail -1 src/run.sh > last-{own}; rm {own}")]
    file = flow(treadle, isolated("p", {"a": branch("a", "b"), "b": branch("b", "a")}, fail="collect"))
    treadle("run", file, "--workspace", "ws", "--run-id", "r", code=3)
    assert tree(ws) == before  # both are half-way, and nothing of it is here
    for name in "ab":
        treadle("signal", "r", name, code=0)
    said = treadle("resume", "r", code=3)
    assert "src/run.sh" in said.err  # both changed it
    treadle("resume", "r", "--force", code=0)
    assert (ws / "last-a").read_text() == "a\n" and (ws / "last-b").read_text() == "b\n"
    assert not (ws / "a").exists() and not (ws / ".git/a").exists()
    assert (ws / "src/run.sh").read_text() in ("#!/bin/sh\na\n", "#!/bin/sh\nb\n")


def test_two_isolated_branches_change_the_same_file(treadle):
    ws = prepare(treadle)
    file = flow(treadle, isolated("p", {name: [command("c", f"echo {name} > src/a.txt; echo {name} > only-{name}")]
                                        for name in ("first", "second")}), command("after", "cat src/a.txt"))
    said = treadle("run", file, "--workspace", "ws", "--run-id", "r", code=3)
    assert "src/a.txt was changed by somebody else" in said.err and "--force" in said.err, said.err
    kept = (ws / "src/a.txt").read_text().strip()
    other = {"first": "second", "second": "first"}[kept]
    assert (ws / f"only-{kept}").exists() and not (ws / f"only-{other}").exists()
    # asked again it is the same; with the file out of the way it goes on; and --force leaves it as it is
    treadle("resume", "r", code=3)
    got = treadle("resume", "r", "--force", "--json", code=0).json
    assert got["results"]["after"]["stdout"] == f"{kept}\n" and (ws / f"only-{other}").exists()


def test_a_branch_that_fails_changes_nothing(treadle):
    ws = prepare(treadle)
    before = tree(ws)
    file = flow(treadle, isolated("p", {"bad": [command("c", f"{MESS} exit 7")], "good": [command("c", "echo g > g")]},
                                  fail="collect"))
    treadle("run", file, "--workspace", "ws", "--run-id", "r", code=0)
    assert (ws / "g").read_text() == "g\n"
    (ws / "g").unlink()
    assert tree(ws) == before


def test_another_attempt_takes_back_what_branches_left(treadle):
    ws = prepare(treadle)
    before = tree(ws)
    file = flow(treadle, isolated("p", {"ok": [command("c", "test ! -e ok; echo ok > ok; rm src/a.txt")],
                                        "bad": [command("d", "ls ok; exit 1")]},
                                  max_parallel=1, retry={"max_attempts": 2, "delay": "1ms", "on": ["command"]}),
                command("after", "ls"))
    said = treadle("run", file, "--workspace", "ws", "--run-id", "r", code=1)
    assert "retry" in said.err
    assert (ws / "ok").exists() and not (ws / "src/a.txt").exists()  # a final failure keeps its files
    (ws / "ok").unlink()
    (ws / "src/a.txt").write_text("one\n")
    assert tree(ws) == before
    log = treadle("logs", "r", code=0).out
    assert "p/rollback:1" in log or "p~2/rollback:1" in log, log


def test_isolated_iterations(treadle):
    ws = prepare(treadle)
    loop = {"name": "loop", "type": "for_loop", "iterator": "n", "data_source": "range(0, 5)", "parallel": True,
            "workspace": "isolated",
            "steps": [command("w", "test ! -e n-{{ n }}; echo {{ n }} > n-{{ n }}; echo x > tmp; rm tmp"),
                      command("v", "cat n-{{ n }}")]}
    got = treadle("run", flow(treadle, loop), "--workspace", "ws", "--run-id", "r", "--json", code=0).json
    n = got["results"]["loop"]["completed_items"]
    assert n in (5, 6) and sorted(p.name for p in ws.glob("n-*")) == [f"n-{i}" for i in range(n)]
    copies = list((treadle.home / "runs/r/snapshots/places").glob("*/copy"))
    assert not copies, copies
    treadle("rm", "r", code=0)
    assert not (treadle.home / "runs/r").exists()


def test_an_isolated_model(treadle):
    ws = prepare(treadle)
    call = lambda name, **input: {"name": name, "input": input}  # noqa: E731
    mock = treadle.file("mock.json", json.dumps({"fixtures": [
        {"match": {"turn": 1, "step": name}, "reply": {"tool_calls": [
            call("Write", file_path=f"{name}.txt", content=f"{name}\n"), call("Bash", command=f"ls; cat {name}.txt")]}}
        for name in ("one", "two")] + [{"match": {"turn": 2}, "reply": {"text": "done"}}]}))
    steps = [{"name": name, "type": "claude", "prompt": "go", "allowed_tools": ["Write", "Bash"], "depends_on": ["s"],
              "workspace": "isolated"} for name in ("one", "two")]
    file = flow(treadle, {"name": "s", "type": "test_echo", "value": 1}, *steps)
    treadle("run", file, "--mock", mock, "--workspace", "ws", "--run-id", "r", code=0)
    assert (ws / "one.txt").read_text() == "one\n" and (ws / "two.txt").read_text() == "two\n"


@pytest.mark.parametrize("fault", ["undo.kill.change=1", "undo.kill.change=3", "undo.kill.exchanged=1"])
def test_killed_while_a_copy_is_taken_over(treadle_faults, fault):
    treadle = treadle_faults
    ws = prepare(treadle)
    file = flow(treadle, isolated("p", {"x": [command("c", MESS + "echo two >> src/run.sh"), command("d", "ls new")]}))
    # in the copy the command's own changes are taken over first, one by one, as later those of the copy
    treadle("run", file, "--workspace", "ws", "--run-id", "r", env={"TREADLE_FAULT": fault}, code=-9)
    treadle("resume", "r", "--force", code=0)
    assert (ws / "src/a.txt").read_text() == "one\nmore\n" and (ws / "src/run.sh").read_text() == "#!/bin/sh\ntwo\n"
    assert (ws / "new/dir/f").read_text() == "x\n" and not [name for name in tree(ws) if ".treadle" in name]


# ---- without overlayfs

@pytest.mark.parametrize("step", [{"on_interrupt": "retry"}, {"workspace": "isolated"}])
@pytest.mark.strict
def test_views_without_overlayfs(treadle_faults, step):
    treadle = treadle_faults
    ws = prepare(treadle)
    before = tree(ws)
    env = {"TREADLE_FAULT": "view.no_layers=0"}
    run = (f"if [ ! -e .git/tried ]; then touch .git/tried; {MESS} exit 7; fi; cat src/a.txt; echo again > again; "
           "mkdir -p sub/.git")
    got = treadle("run", flow(treadle, command("s", run, retry=RETRY, **step)), "--workspace", "ws", "--json",
                  "--run-id", "r", env=env, code=0)
    assert got.json["results"]["s"]["stdout"] == "one\n" and "not taken back" not in got.err
    assert (ws / "again").read_text() == "again\n" and (ws / "sub/.git").is_dir()
    (ws / "again").unlink()
    shutil.rmtree(ws / "sub")
    assert tree(ws) == before
    branch = isolated("p", {"x": [command("c", "echo two >> src/a.txt; pwd"), command("d", "cat src/a.txt")]})
    got = treadle("run", flow(treadle, branch), "--workspace", "ws", "--json", env=env, code=0).json
    assert got["results"]["p"]["branches"]["x"]["results"]["d"]["stdout"] == "one\ntwo\n"
    assert got["results"]["p"]["branches"]["x"]["results"]["c"]["stdout"] == f"{ws}\n"


def test_a_home_on_which_overlayfs_cannot_write(treadle):
    """As in a container: its root is an overlay itself, and overlayfs takes no such directory to write to."""
    ws = prepare(treadle)
    before = tree(ws)
    base = treadle.cwd / "base"
    for name in ("lower", "upper", "work", "home"):
        (base / name).mkdir(parents=True)
    run = f"if [ ! -e .git/tried ]; then touch .git/tried; {MESS} exit 7; fi; cat src/a.txt"
    file = flow(treadle, command("s", run, retry=RETRY))
    mount = (f"mount -t overlay x -o lowerdir={base}/lower,upperdir={base}/upper,workdir={base}/work {base}/home || "
             f"exit 77; export TREADLE_HOME={base}/home/state; exec {treadle.path} run {file} --workspace ws --json")
    root = [] if os.geteuid() == 0 else ["-Ur"]
    done = subprocess.run(["unshare", *root, "-m", "/bin/sh", "-c", mount], cwd=treadle.cwd, text=True,
                          env=treadle.environment({}), capture_output=True)
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip(f"overlayfs cannot be mounted here: {done.stderr}")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["results"]["s"]["stdout"] == "one\n" and "not taken back" not in done.stderr
    assert tree(ws) == before


def within(treadle, args, inner, workspace="ws"):
    """A run whose command starts another one, and what came of both."""
    env = {"TREADLE_HOME": str(treadle.home), "T": str(treadle.path), "INNER": str(inner)}
    run = f"\"$T\" run \"$INNER\" --run-id inner {args} > inner.out 2>&1; echo ended $?"
    outer = flow(treadle, command("start", run, env=env, timeout=60), name="outer.json")
    got = treadle("run", outer, "--workspace", workspace, "--run-id", "outer", "--sandbox", "none", "--json", code=0)
    where = treadle.cwd / workspace / "inner.out"
    return got.json["results"]["start"]["stdout"].split()[-1], where.read_text()


def test_a_run_in_a_command_of_a_run_that_has_the_workspace(treadle):
    ws = prepare(treadle)
    inner = flow(treadle, command("s", "echo inner >> src/a.txt", timeout=30), name="inner.json")
    code, said = within(treadle, f"--sandbox none --workspace '{ws}'", inner)
    assert code == "1" and "run outer is writing there" in said and "each would wait for the other" in said, said
    assert (ws / "src/a.txt").read_text() == "one\n"
    shown = treadle("show", "inner", "--json", code=0).json
    assert shown["error"]["class"] == "conflict" and shown["error"]["code"] == "waits_for_itself", shown
    treadle("resume", "inner", "--sandbox", "none", code=0)  # now that the other one has ended
    assert (ws / "src/a.txt").read_text() == "one\ninner\n"


def test_a_run_in_a_command_of_a_run_elsewhere(treadle):
    ws = prepare(treadle)
    (treadle.cwd / "other").mkdir()
    inner = flow(treadle, command("s", "echo inner >> src/a.txt", timeout=30), name="inner.json")
    code, said = within(treadle, f"--sandbox none --workspace '{ws}'", inner, workspace="other")
    assert code == "0" and (ws / "src/a.txt").read_text() == "one\ninner\n", said
    reads = treadle.file("reads.json", steps_of({"name": "s", "type": "set_variable", "variables": {"a": 1}}))
    treadle("rm", "inner", "outer", code=0)
    code, said = within(treadle, f"--sandbox none --workspace '{ws}'", reads)
    assert code == "0", said  # it writes nothing there


def test_a_run_in_a_run_in_a_run(treadle):
    """The innermost wants the workspace of the outermost, whose command waits for the one between."""
    ws = prepare(treadle)
    (treadle.cwd / "other").mkdir()
    inner = flow(treadle, command("s", "echo inner >> src/a.txt"), name="innermost.json")
    run = f"\"$T\" run '{inner}' --run-id innermost --sandbox none --workspace '{ws}'; echo innermost $?"
    env = {"TREADLE_HOME": str(treadle.home), "T": str(treadle.path)}
    between = flow(treadle, command("s", run, env=env, timeout=60), name="between.json")
    code, said = within(treadle, f"--json --sandbox none --workspace '{treadle.cwd / 'other'}'", between)
    assert code == "0" and "innermost 1" in said, said
    assert (ws / "src/a.txt").read_text() == "one\n"
