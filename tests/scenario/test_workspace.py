"""The workspace before another attempt: as it was before the last one, but for what others have changed."""
import json
import os
import pathlib
import stat
import sys
import time

import pytest

from conftest import wait_for

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
