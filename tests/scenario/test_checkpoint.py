"""States that outlive runs: saved by one, loaded by the next, whole or not at all."""
import json
import os

LOOP = """
workflow:
  name: batches
  variables: {done: []}
  steps:
    - name: restore
      type: checkpoint
      action: load
      checkpoint_name: progress
      on_not_found:
        - {name: init, type: set_variable, variables: {done: [], fresh: true}}
    - name: items
      type: while_loop
      condition: "length(state.done) < 4"
      steps:
        - name: work
          type: command
          run: 'echo "$N" >> log; test "$N" != "$STOP"'
          env: {N: "{{ length(state.done) }}", STOP: "{{ inputs.stop }}"}
        - name: save
          type: checkpoint
          checkpoint_name: progress
          state: {done: "{{ append(state.done, length(state.done)) }}"}
  inputs: {stop: {type: integer, default: 9}}
  output: "{{ state.done }}"
"""

SAVES = """
workflow:
  name: w
  inputs: {n: {type: integer}}
  steps:
    - {name: first, type: command, run: "true", on_interrupt: retry}
    - {name: a, type: checkpoint, state: {n: "{{ inputs.n }}"}}
  output: "{{ state.n }}"
"""

FILES = """
workflow:
  name: files
  inputs: {action: {type: string}}
  steps:
    - {name: save, type: checkpoint, checkpoint_name: "a/b ü", state: {n: 1}, include_workspace: true,
       condition: "inputs.action == 'save'"}
    - {name: load, type: checkpoint, action: load, checkpoint_name: "a/b ü", include_workspace: true,
       condition: "inputs.action == 'load'"}
  output: "{{ state.n }}"
"""


def objects(treadle, workflow):
    return sorted(p.name for p in (treadle.home / "checkpoints" / workflow / "objects").iterdir())


def test_a_later_run_goes_on(treadle):
    """The loop of one run stops half-way; the next run begins where its checkpoint is."""
    file = treadle.file("w.yaml", LOOP)
    treadle("run", file, "--input", "stop=2", code=1)
    done = treadle("run", file, "--json", code=0).json
    assert done["output"] == [0, 1, 2, 3]
    assert done["results"]["restore"]["found"] is True and done["results"]["restore"]["state"] == {"done": [0, 1]}
    assert (treadle.cwd / "workspace/log").read_text() == "0\n1\n2\n2\n3\n"
    [kept] = (treadle.home / "checkpoints/batches").glob("*.json")
    assert json.loads(kept.read_text())["state"] == {"done": [0, 1, 2, 3]}


def test_nothing_to_load(treadle):
    file = treadle.file("w.yaml", LOOP)
    done = treadle("run", file, "--json", code=0).json["results"]["restore"]
    assert done["found"] is False and done["results"]["init"]["variable_count"] == 2
    alone = treadle.file("alone.yaml", "workflow:\n  name: alone\n  steps:\n"
                                       "    - {name: x, type: checkpoint, action: load}\n")
    error = treadle("run", alone, "--json", code=1).json["error"]
    assert error["class"] == "not_found" and "no checkpoint `x`" in error["message"]


def test_workspace(treadle):
    """Bytes, modes and directories come back; what was not kept stays; contents are kept once and go when unused."""
    file = treadle.file("w.yaml", FILES)
    work = treadle.cwd / "workspace"
    (work / "deep/er").mkdir(parents=True)
    (work / "deep/er/x.bin").write_bytes(bytes(range(256)))
    (work / "run.sh").write_text("same")
    (work / "run.sh").chmod(0o755)
    (work / "copy").write_text("same")
    (work / "link").symlink_to("/etc/passwd")
    saved = treadle("run", file, "--input", "action=save", "--json", code=0).json["results"]["save"]
    assert saved["workspace"] == {"files": 3, "bytes": 264} and len(objects(treadle, "files")) == 2
    (work / "deep/er/x.bin").unlink()
    (work / "deep/er").rmdir()
    (work / "run.sh").write_text("changed")
    (work / "run.sh").chmod(0o644)
    (work / "other").write_text("other")
    done = treadle("run", file, "--input", "action=load", "--json", code=0).json
    assert done["output"] == 1 and done["results"]["load"]["workspace"] == {"files": 3, "bytes": 264}
    assert (work / "deep/er/x.bin").read_bytes() == bytes(range(256))
    assert (work / "run.sh").read_text() == "same" and (work / "run.sh").stat().st_mode & 0o777 == 0o755
    assert (work / "other").read_text() == "other" and (work / "link").is_symlink()
    for name in ("run.sh", "copy"):
        (work / name).write_text("new")
    treadle("run", file, "--input", "action=save", code=0)
    kept = objects(treadle, "files")
    assert len(kept) == 3  # "same" has gone
    damaged = treadle.home / "checkpoints/files/objects" / kept[0]
    os.chmod(damaged, 0o600)
    damaged.write_bytes(b"?" * damaged.stat().st_size)
    assert "is damaged" in treadle("run", file, "--input", "action=load", "--json", code=1).json["error"]["message"]


def test_names_stay_inside(treadle):
    """Names are computed by workflows: no path of them leads out of the workflow's own directory."""
    file = treadle.file("w.yaml", "workflow:\n  name: ..\n  steps:\n    - {name: a, type: checkpoint, "
                                  "checkpoint_name: \"{{ '../' }}x\", state: {k: 1}}\n")
    treadle("run", file, code=0)
    made = sorted(str(p.relative_to(treadle.home)) for p in (treadle.home / "checkpoints").rglob("*.json"))
    assert made == ["checkpoints/%2E%2E/%2E%2E%2Fx.json"]


def test_killed_while_saving(treadle_faults):
    """Before and after its commits: the checkpoint is the old one or the new one, and resume saves it once more."""
    file = treadle_faults.file("w.yaml", SAVES)
    treadle_faults("run", file, "--input", "n=0", code=0)
    kept = treadle_faults.home / "checkpoints/w/a.json"
    for number, point in enumerate(["before.intent", "after.intent", "before.result", "after.result", "after.done"], 1):
        process = treadle_faults.start("run", file, "--input", f"n={number}", "--run-id", f"r{number}",
                                       env={"TREADLE_FAULT": f"engine.kill.{point}=2"})
        assert process.wait().code == -9
        assert json.loads(kept.read_text())["state"]["n"] in (number - 1, number)
        assert treadle_faults("resume", f"r{number}", "--json", code=0).json["output"] == number
        assert json.loads(kept.read_text())["state"]["n"] == number


ECHO = """
workflow:
  name: "%s"
  steps:
    - {name: load, type: checkpoint, action: load, checkpoint_name: n, on_not_found: [{name: none, type: test_echo}]}
    - {name: save, type: checkpoint, checkpoint_name: n, state: {n: 1}}
  output: "{{ steps.load.found }}"
"""


def test_the_mock_has_checkpoints_of_its_own(treadle):
    """Trying a workflow out must not change where the real one goes on."""
    treadle.file("w.yaml", ECHO % "w")
    assert [treadle("run", "w.yaml", *more, "--quiet", code=0).out.strip()
            for more in (["--mock"], [], ["--mock"], [])] == ["false", "false", "true", "true"]


def test_names_of_workflows_may_be_long(treadle):
    long = "A review of everything that a name of a workflow may say about it: " + "ä" * 50
    treadle.file("a.yaml", ECHO % long)
    treadle.file("b.yaml", ECHO % (long + "b"))
    assert [treadle("run", f, "--quiet", code=0).out.strip() for f in ("a.yaml", "b.yaml", "a.yaml")] \
        == ["false", "false", "true"]
