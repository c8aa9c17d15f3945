"""treadle fork and the workspace: as it was before the step, nobody's files lost."""
import json
import shutil

import pytest


def command(name, run, **more):
    return {"name": name, "type": "command", "run": run, **more}


TRACKED = {"on_interrupt": "retry"}


def flow(treadle, *steps, name="w.json"):
    return treadle.file(name, json.dumps({"workflow": {"name": "w", "steps": list(steps)}}))


def steps(**more):
    return [command("one", "echo 1 >> log; mkdir d; echo kept > d/kept; ln -s log link", **more),
            command("two", "echo 2 >> log; rm d/kept; echo two > two; chmod 600 log; ln -sfn two link", **more),
            command("three", "echo 3 >> log; cat log; ls", **more)]


def start(treadle, **more):
    ws = treadle.cwd / "ws"
    (ws / ".git").mkdir(parents=True)
    (ws / "log").write_text("0\n")
    (ws / "log").chmod(0o644)
    (ws / "mine").write_text("mine\n")
    treadle("run", flow(treadle, *steps(**more)), "--workspace", "ws", "--run-id", "r", code=0)
    assert (ws / "log").read_text() == "0\n1\n2\n3\n"
    return ws


@pytest.mark.parametrize("more", [TRACKED, {"on_interrupt": "hold"}])
def test_the_step_finds_what_it_found_the_first_time(treadle, more):
    ws = start(treadle, **more)
    (ws / "mine").write_text("changed since\n")
    said = treadle("fork", "r", "--from", "two", "--run-id", "f", "--json", code=0)
    assert said.json["results"]["three"]["stdout"].startswith("0\n1\n2\n3\n"), said.json
    assert "again as before `two`" in said.err and "treadle diff r" in said.err
    assert (ws / "log").read_text() == "0\n1\n2\n3\n" and (ws / "mine").read_text() == "changed since\n"
    # what the first run did is still to be seen, and the new one owns its history
    assert treadle("diff", "r", "two", "--names", code=0).out.splitlines() == [
        "removed   d/kept", "modified  link", "modified  log", "added     two"]
    treadle("rm", "r", code=0)
    assert "added     d/kept" in treadle("diff", "f", "one", "--names", code=0).out
    treadle("fork", "f", "--from", "one", "--run-id", "g", code=0)
    assert (ws / "log").read_text() == "0\n1\n2\n3\n"


def test_somebody_elses_change_is_not_overwritten(treadle):
    ws = start(treadle, **TRACKED)
    (ws / "log").write_text("mine now\n")
    said = treadle("fork", "r", "--from", "two", "--run-id", "f", code=2)
    assert "log is not as run r left it" in said.err and "--workspace DIR" in said.err and "--keep-files" in said.err
    assert (ws / "log").read_text() == "mine now\n" and (ws / "two").exists() and not (ws / "d/kept").exists()
    assert not (treadle.home / "runs/f").exists()
    assert not list((treadle.home / "runs").glob(".fork*"))
    kept = treadle("fork", "r", "--from", "three", "--keep-files", "--json", code=0).json
    assert kept["results"]["three"]["stdout"].startswith("mine now\n3\n")


def test_a_new_workspace(treadle):
    ws = start(treadle, **TRACKED)
    (ws / "log").write_text("mine now\n")
    said = treadle("fork", "r", "--from", "two", "--workspace", "fresh", "--run-id", "f", "--json", code=0)
    assert "fresh is now as" in said.err, said.err
    fresh = treadle.cwd / "fresh"
    assert (fresh / "log").read_text() == "0\n1\n2\n3\n" and (fresh / "mine").read_text() == "mine\n"
    assert (fresh / "link").readlink().name == "two" and not (fresh / ".git").exists()
    assert (ws / "log").read_text() == "mine now\n"
    # one that has something in it is taken as it is
    shutil.rmtree(fresh)
    fresh.mkdir()
    (fresh / "log").write_text("other\n")
    said = treadle("fork", "r", "--from", "three", "--workspace", "fresh", "--json", code=0)
    assert "used as it is" in said.err and said.json["results"]["three"]["stdout"].startswith("other\n3\n")


def test_steps_that_changed_nothing(treadle):
    ws = treadle.cwd / "ws"
    ws.mkdir()
    (ws / "log").write_text("0\n")
    file = flow(treadle, {"name": "a", "type": "test_echo", "value": 1}, command("look", "cat log", **TRACKED))
    treadle("run", file, "--workspace", "ws", "--run-id", "r", code=0)
    said = treadle("fork", "r", "--from", "look", "--json", "--quiet", code=0)
    assert "note" not in said.err
    said = treadle("fork", "r", "--from", "look", "--workspace", "new", "--json", code=0).json
    assert said["results"]["look"]["stdout"] == "0\n"


@pytest.mark.parametrize("why", ["key", "sandbox", "replay"])
def test_a_fork_that_cannot_begin_leaves_nothing(treadle, why):
    """It is refused before a file of the workspace is touched, and leaves no run behind."""
    ws = treadle.cwd / "ws"
    ws.mkdir()
    step = {"name": "two", "type": "claude", "prompt": "x"}
    treadle("run", flow(treadle, command("one", "echo 1 >> log"), step, command("three", "echo 3 >> log", **TRACKED)),
            "--workspace", "ws", "--run-id", "r", "--mock", code=0)
    args, env = {"key": (["--live"], {}), "sandbox": ([], {"TREADLE_SANDBOX": "nonsense"}),
                 "replay": (["--replay", "missing.jsonl"], {})}[why]
    before = sorted((treadle.home / "runs").iterdir())
    got = treadle("fork", "r", "--from", "one", "--run-id", "f", *args, env=env)
    assert got.code in (2, 4), (got.code, got.err)
    assert (ws / "log").read_text() == "1\n3\n", got.err
    assert sorted((treadle.home / "runs").iterdir()) == before
    assert "again as before" not in got.err
