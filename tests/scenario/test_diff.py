"""treadle diff: what a run and its steps changed, as a patch, in numbers, as JSON."""
import json
import os
import shutil
import subprocess

import pytest

from conftest import wait_for
from service import Service


def prepare(treadle):
    ws = treadle.cwd / "ws"
    (ws / "src").mkdir(parents=True)
    (ws / "src/a.txt").write_text("one\ntwo\nthree\n")
    (ws / "src/gone.txt").write_text("gone\n")
    (ws / "run.sh").write_text("#!/bin/sh\n")
    (ws / "run.sh").chmod(0o644)
    (ws / "picture").write_bytes(b"\0\1\2")
    (ws / "link").symlink_to("src/a.txt")
    (ws / "swap").write_text("a file\n")
    return ws


def command(name, run, **more):
    return {"name": name, "type": "command", "run": run, **more}


def flow(treadle, *steps):
    return treadle.file("w.json", json.dumps({"workflow": {"name": "w", "steps": list(steps)}}))


EDIT = ("sed -i s/two/zwei/ src/a.txt; rm src/gone.txt; echo new > src/new.txt; chmod 755 run.sh; "
        "printf '\\000\\003' > picture; ln -sfn nowhere link; rm swap; mkdir swap; echo in > swap/in; mkdir empty; "
        "printf 'no newline' > src/end")
MORE = "echo four >> src/a.txt; rm src/new.txt"
TRACKED = {"on_interrupt": "retry"}
DIRECT = {"on_interrupt": "hold"}  # works in the workspace itself


def copy(directory, to):
    shutil.copytree(directory, to, symlinks=True)
    return to


def tree(directory):
    return {str(p.relative_to(directory)): (os.readlink(p) if p.is_symlink() else
                                            (p.stat().st_mode & 0o777, p.read_bytes()))
            for p in directory.rglob("*") if p.is_symlink() or p.is_file()}


@pytest.mark.parametrize("tracked", [TRACKED, DIRECT])
def test_a_run_and_its_steps(treadle, tracked):
    ws = prepare(treadle)
    before = copy(ws, treadle.cwd / "before")
    treadle("run", flow(treadle, command("edit", EDIT, **tracked), command("more", MORE, **tracked),
                        command("look", "cat src/a.txt", **tracked)), "--workspace", "ws", "--run-id", "r", code=0)
    after = tree(ws)
    (ws / "src/a.txt").write_text("somebody's since\n")
    said = treadle("diff", "r", code=0)
    assert ("worked in the workspace itself" in said.err) == (tracked == DIRECT), said.err
    assert "-two\n+zwei\n" in said.out and "+four\n" in said.out and "src/new.txt" not in said.out
    assert "Binary files a/picture and b/picture differ" in said.out and "directory empty/ made" in said.out
    assert "old mode 100644\nnew mode 100755\n" in said.out and "\\ No newline at end of file" in said.out
    first = treadle("diff", "r", "edit", code=0).out
    assert "+new\n" in first and "+four" not in first
    second = treadle("diff", "r", "more", "--names", code=0).out.splitlines()
    assert second == ["modified  src/a.txt", "removed   src/new.txt"], second
    assert "changed nothing" in treadle("diff", "r", "look", code=0).err
    # what it says is what git makes of the tree before
    text = "".join(part for part in ("diff --git" + rest for rest in said.out.split("diff --git")[1:])
                   if "Binary" not in part)
    done = subprocess.run(["git", "apply", "-p1", "-"], cwd=before, input=text, text=True, capture_output=True)
    assert done.returncode == 0, done.stderr
    made = tree(before)
    for name in after:
        if name != "picture":
            assert made[name] == after[name], name
    assert set(made) == set(after)


@pytest.mark.strict
def test_stat_and_json(treadle):
    prepare(treadle)
    treadle("run", flow(treadle, command("edit", EDIT, **TRACKED)), "--workspace", "ws", "--run-id", "r", code=0)
    stat = treadle("diff", "r", "--stat", code=0).out
    assert "modified  src/a.txt  +1 -1\n" in stat and "mode      run.sh  mode 0755, before 0644\n" in stat
    assert "replaced  swap/" in stat and "modified  picture  (binary)" in stat
    got = treadle("diff", "r", "edit", "--json", code=0).json
    changes = {change["path"]: change for change in got["changes"]}
    assert changes["link"]["before"] == {"type": "link", "target": "src/a.txt"}
    assert changes["link"]["after"]["target"] == "nowhere"
    assert changes["picture"]["omitted"] == "binary" and changes["picture"]["after"]["size"] == 2
    assert changes["src/gone.txt"]["after"] is None and changes["src/gone.txt"]["change"] == "removed"
    assert changes["src/a.txt"]["diff"].startswith("@@ -1,3 +1,3 @@\n one\n-two\n+zwei\n")
    assert got["uncertain"] == [] and got["run_id"] == "r" and got["step"] == "edit"
    assert "diff" not in treadle("diff", "r", "--json", "--stat", code=0).json["changes"][0]


def test_an_agent_and_its_calls(treadle):
    prepare(treadle)
    call = lambda name, **input: {"name": name, "input": input}  # noqa: E731
    mock = treadle.file("mock.json", json.dumps({"fixtures": [
        {"match": {"turn": 1}, "reply": {"tool_calls": [
            call("Edit", file_path="src/a.txt", old_string="two", new_string="2"),
            call("Write", file_path="notes.md", content="hello\n")]}},
        {"match": {"turn": 2}, "reply": {"text": "done"}}]}))
    step = {"name": "agent", "type": "claude", "prompt": "go", "allowed_tools": ["Edit", "Write"]}
    treadle("run", flow(treadle, step), "--mock", mock, "--workspace", "ws", "--run-id", "r", code=0)
    assert treadle("diff", "r", "--names", code=0).out.splitlines() == ["added     notes.md", "modified  src/a.txt"]
    assert treadle("diff", "r", "agent/turn:1/tool:2", "--names", code=0).out == "added     notes.md\n"


def test_attempts_that_were_taken_back_are_not_shown(treadle):
    prepare(treadle)
    (treadle.cwd / "ws/.git").mkdir()
    step = command("s", "[ -e .git/u ] || { touch .git/u; echo bad > bad; exit 1; }; echo good > good",
                   retry={"max_attempts": 2, "delay": "1ms", "on": ["command"]})
    treadle("run", flow(treadle, step), "--workspace", "ws", "--run-id", "r", code=0)
    assert treadle("diff", "r", "--names", code=0).out == "added     good\n"
    loop = {"name": "loop", "type": "for_loop", "iterator": "x", "data_source": [1, 2],
            "steps": [command("w", "echo {{ x }} > f{{ x }}", **TRACKED)]}
    treadle("run", flow(treadle, loop), "--workspace", "ws", "--run-id", "l", code=0)
    assert treadle("diff", "l", "loop/1/w", "--names", code=0).out == "added     f2\n"
    assert treadle("diff", "l", "loop", "--names", code=0).out == "added     f1\nadded     f2\n"


def test_what_goes_wrong(treadle):
    prepare(treadle)
    treadle("run", flow(treadle, command("edit", EDIT)), "--workspace", "ws", "--run-id", "r", code=0)
    assert "did you mean `edit`" in treadle("diff", "r", "edti", code=2).err
    assert "no step `nothing-like-it`" in treadle("diff", "r", "nothing-like-it", code=2).err
    assert treadle("diff", "nobody", code=2).err
    treadle("run", flow(treadle, {"name": "e", "type": "test_echo", "value": 1}), "--run-id", "q", code=0)
    said = treadle("diff", "q", code=0)
    assert said.out == "" and "run q changed nothing" in said.err
    shutil.rmtree(treadle.home / "runs/r/snapshots")
    assert "record of what it changed is gone" in treadle("diff", "r", code=4).err


def test_large_and_hostile_files(treadle):
    ws = prepare(treadle)
    (ws / "big").write_bytes(b"x\n" * (1 << 20))
    run = "echo y >> big; printf 'a\\033[2Jb\\n' > esc; mkdir 'sp ace'; echo 1 > 'sp ace/f'"
    treadle("run", flow(treadle, command("edit", run, **TRACKED)), "--workspace", "ws", "--run-id", "r", code=0)
    said = treadle("diff", "r", code=0).out
    assert "Files a/big and b/big differ (not shown: larger than 1 MB)" in said
    assert "+a\033[2Jb" in said and "+++ b/sp ace/f" in said


def test_a_killed_command_in_the_workspace_itself(treadle):
    ws = prepare(treadle)
    (ws / ".git").mkdir()
    file = flow(treadle, command("s", "touch .git/began; sleep 100", **DIRECT))
    process = treadle.start("run", file, "--workspace", "ws",
                            "--run-id", "r")
    wait_for(lambda: (ws / ".git/began").exists(), what="it runs")
    process.kill()
    said = treadle("diff", "r", code=0)
    assert said.out == "" and "what it changed is not known" in said.err


def test_a_run_of_the_service(treadle):
    service = Service(treadle, mock="").start()
    yaml = "workflow: {name: w, steps: [{name: make, type: command, run: echo served > served.txt}]}"
    run = service.run(yaml)
    assert service.ended(run)["status"] == "succeeded"
    assert "+served\n" in treadle("diff", run, "make", code=0).out
    assert service.stop().code == 0
    assert treadle("diff", run, "--names", code=0).out == "added     served.txt\n"
