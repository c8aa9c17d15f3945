"""A called workflow with a directory of the workspace for its own: what it sees, what becomes of it, and kills."""
import json
import os
import pathlib

import pytest
from conftest import calling


def tree(directory):
    root = pathlib.Path(directory)
    return sorted(str(p.relative_to(root)) + ("/" if p.is_dir() and not p.is_symlink() else "")
                  for p in root.rglob("*"))


SEES = calling("""
    config: {workspace_dir: "./nested/%s"}
    pipeline:
      steps:
        - {name: pwd, type: command, run: "pwd; echo two > g; ls -A"}
        - name: around
          type: command
          run: "cat ../../f ../../other/s; echo x > ../../h; echo y > ../z"
          ok_exit: [0, 1]
        - {name: copy, type: file_ops, operation: copy, source: g, destination: sub/g2}
        - {name: out, type: file_ops, operation: copy, source: ../../f, destination: ff, on_error: continue}
        - {name: list, type: file_ops, operation: list, path: ., recursive: true}
        - {name: ask, type: claude, prompt: [{type: file, path: "{{ 'g' }}"}]}
        - {name: found, type: codebase_query, queries: {all: {find_files: {pattern: "**"}}}}
        - {name: below, type: command, cwd: sub, run: "pwd; cat g2"}
        - {name: path, type: test_echo, value: "{{ workspace.path }}"}
        - name: deeper
          type: pipeline
          config: {workspace_dir: deep}
          pipeline:
            steps: [{name: c, type: command, run: "pwd; echo three > h"}]
""", before='- {name: f, type: command, run: "echo one > f; mkdir other; echo secret > other/s"}',
               behind='- {name: path, type: test_echo, value: "{{ workspace.path }}"}')


@pytest.mark.parametrize("spelling", ["${step.name}", "{{ step.name }}", "call"])
@pytest.mark.parametrize("sandbox", [pytest.param("strict", marks=pytest.mark.strict), "none"])
def test_it_sees_its_directory_alone(treadle, spelling, sandbox):
    treadle.file("w.yaml", SEES % spelling)
    got = treadle("run", "w.yaml", "--mock", "--json", "--run-id", "r", "--sandbox", sandbox, code=0).json["results"]
    call, own = got["call"], treadle.cwd / "workspace/nested/call"
    assert call["pwd"]["stdout"] == f"{own}\ng\n" and call["path"] == str(own)
    assert got["path"] == str(treadle.cwd / "workspace")
    assert call["out"]["error"]["code"] == "outside"
    assert [f["path"] for f in call["list"]["files"]] == [f"{own}/g", f"{own}/sub/g2"]
    assert call["ask"]["text"] == "two" and [f["path"] for f in call["found"]["all"]] == ["g", "sub/g2"]
    assert call["below"]["stdout"] == f"{own}/sub\ntwo\n"
    assert call["deeper"]["c"]["stdout"] == f"{own}/deep\n"
    if sandbox == "strict":
        assert call["around"]["stdout"] == ""
        assert tree(treadle.cwd / "workspace") == [
            "f", "nested/", "nested/call/", "nested/call/deep/", "nested/call/deep/h", "nested/call/g",
            "nested/call/sub/", "nested/call/sub/g2", "other/", "other/s"]
    diff = treadle("diff", "r", "--stat", code=0).out
    assert "nested/call/sub/g2" in diff and "nested/call/deep/h" in diff


def test_tools_of_a_model_see_it_alone(treadle):
    treadle.file("fixtures.yaml", """
fixtures:
  - match: {step: call/fix, turn: 1}
    reply: {tool_calls: [{name: Write, input: {file_path: new.txt, content: "made\\n"}},
                         {name: Read, input: {file_path: ../f}}, {name: Bash, input: {command: "pwd; ls"}}]}
  - match: {step: call/fix, turn: 2}
    reply: {text: done}
""")
    treadle.file("w.yaml", calling("""
        config: {workspace_dir: own}
        pipeline:
          steps: [{name: fix, type: claude, prompt: fix it, claude_options: {allowed_tools: [Write, Read, Bash]}}]
    """, before="- {name: f, type: command, run: echo one > f}"))
    treadle("run", "w.yaml", "--mock", "fixtures.yaml", "--json", "--run-id", "r", code=0)
    assert tree(treadle.cwd / "workspace") == ["f", "own/", "own/new.txt"]
    log = treadle("logs", "r", "--json", code=0).out
    assert str(treadle.cwd / "workspace/own\\nnew.txt") in log.replace("\\\\n", "\\n") and "leads out" in log
    assert "own/new.txt" in treadle("diff", "r", "call/fix", code=0).out


CLEANS = calling("""
    config: {workspace_dir: a/own, %s}
    on_error: continue
    pipeline:
      steps:
        - {name: make, type: command, run: "mkdir -p d/e; echo x > d/e/f; echo y > .hidden; ln -s d l; mkfifo p; ls"}
        - {name: git, type: command, run: "mkdir .git; echo z > .git/config"}
        %s
""")
FAIL = "- {name: fail, type: test_echo, fail: true}"
SLOW = '- {name: slow, type: command, run: "sleep 60"}'


@pytest.mark.parametrize("config, end, stays", [
    ("cleanup_on_success: true", "", False),
    ("cleanup_on_success: false", "", True),
    ("cleanup_on_error: true", "", True),
    ("cleanup_on_success: true", FAIL, True),
    ("cleanup_on_error: true", FAIL, False),
    ("workspace: {cleanup_on_error: true, create_on_start: true}", FAIL, False),
    ("workspace: {cleanup_on_success: true}, cleanup_on_success: false", "", True),
    ("cleanup_on_error: true, timeout_seconds: 1.5", SLOW, False),
    ("cleanup_on_error: true, timeout_seconds: 1.5, on_timeout: graceful", SLOW, False),
    pytest.param("cleanup_on_error: true, max_retries: 1", FAIL, False, marks=pytest.mark.strict),
    ("cleanup_on_success: true, workspace_isolation: true", "", False),
])
def test_cleanup(treadle, config, end, stays):
    text = CLEANS % (config, end)
    treadle.file("w.yaml", text.replace("      on_error: continue\n", "") if "graceful" in config else text)
    got = treadle("run", "w.yaml", "--json", code=0).json["results"]["call"]
    assert ("error" in got) == bool(end)
    if "graceful" in config:
        assert got["make"]["stdout"] == "d\nl\np\n" and got["error"]["code"] == "timeout_exceeded"
    assert ("a/own/" in tree(treadle.cwd / "workspace")) == stays
    assert ("a/own/d/e/f" in tree(treadle.cwd / "workspace")) == stays


@pytest.mark.parametrize("end", ["", FAIL])
def test_what_was_there_is_never_removed(treadle, end):
    treadle.file("workspace/a/own/precious", "mine")
    treadle.file("w.yaml", CLEANS % ("cleanup_on_success: true, cleanup_on_error: true", end))
    treadle("run", "w.yaml", "--json", code=0)
    assert (treadle.cwd / "workspace/a/own/precious").read_text() == "mine"
    assert (treadle.cwd / "workspace/a/own/d/e/f").exists()


def test_what_was_removed_can_be_had_again(treadle):
    """A fork begins with what was there before the step, though it was removed behind it."""
    treadle.file("w.yaml", calling("""
        config: {workspace_dir: own/deep, cleanup_on_success: true}
        pipeline: {steps: [{name: a, type: command, run: "echo y > y"}]}
    """, before='- {name: before, type: command, run: "mkdir own; echo x > own/x"}',
                                   behind='- {name: see, type: command, run: "find . -name y; rm -r own"}'))
    treadle("run", "w.yaml", "--json", "--run-id", "r", code=0)
    assert tree(treadle.cwd / "workspace") == []
    got = treadle("fork", "r", "--from", "see", "--json", code=0).json
    assert got["results"]["see"]["stdout"] == ""
    got = treadle("fork", "r", "--from", "call", "--json", code=0).json
    assert got["status"] == "succeeded" and tree(treadle.cwd / "workspace") == []


@pytest.mark.parametrize("reuse, content, code", [
    ("true", "x", 0), ("false", "x", 1), ("false", None, 0)])
def test_reuse(treadle, reuse, content, code):
    (treadle.cwd / "workspace/own").mkdir(parents=True)
    if content:
        treadle.file("workspace/own/old", content)
    treadle.file("w.yaml", calling("""
        config: {workspace_dir: own, reuse_workspace: %s}
        pipeline: {steps: [{name: see, type: command, run: ls}]}
    """ % reuse))
    got = treadle("run", "w.yaml", "--json", code=code).json
    if code:
        assert "own is there already and is not empty" in got["error"]["message"]
        assert "write `reuse_workspace: true`" in got["error"]["message"]
    else:
        assert got["results"]["call"]["see"]["stdout"] == ("old\n" if content else "")


@pytest.mark.parametrize("path, says", [
    ("link", "symbolic link"), ("link/below", "leads out"), ("file", "not a directory"), ("..", "leads out"),
    ("/etc", "outside"), (".", "the workspace itself"), (".git/x", "version control"), ("", "is empty")])
def test_only_beneath_the_workspace(treadle, path, says):
    treadle.file("workspace/file", "x")
    outside = treadle.cwd / "outside"
    outside.mkdir()
    os.symlink(outside, treadle.cwd / "workspace/link")
    treadle.file("w.yaml", """
workflow:
  name: w
  inputs: {path: {type: string}}
  steps:
    - name: call
      type: pipeline
      config: {workspace_dir: "{{ inputs.path }}"}
      pipeline: {steps: [{name: c, type: command, run: echo x > x}]}
""")
    got = treadle("run", "w.yaml", "--json", "--input", f"path={path}", code=1).json
    assert says in got["error"]["message"] or says == got["error"]["code"], got
    assert not list(outside.iterdir()) and tree(treadle.cwd / "workspace") == ["file", "link"]


def test_a_link_put_in_its_place_is_not_followed(treadle):
    outside = treadle.cwd / "outside"
    outside.mkdir()
    treadle.file("w.yaml", f"""
workflow:
  name: w
  steps:
    - name: both
      type: parallel
      branches:
        a:
          - name: call
            type: pipeline
            config: {{workspace_dir: own}}
            pipeline:
              steps:
                - {{name: wait, type: wait_signal, signal: go}}
                - {{name: c, type: command, run: "echo x > x"}}
        b: []
""".replace("        b: []\n", ""))
    treadle("run", "w.yaml", "--json", "--run-id", "r", code=3)
    (treadle.cwd / "workspace/own").rmdir()
    os.symlink(outside, treadle.cwd / "workspace/own")
    treadle("signal", "r", "go", code=0)
    got = treadle("resume", "r", "--json", code=1).json
    assert "the workspace of the called workflow" in got["error"]["message"] and not list(outside.iterdir())


@pytest.mark.strict  # elsewhere what an attempt changed stays
def test_another_attempt_begins_in_a_new_one(treadle):
    treadle.file("w.yaml", calling("""
        config: {workspace_dir: own, reuse_workspace: false}
        retry: {max_attempts: 2, delay: 10ms}
        pipeline:
          steps:
            - {name: a, type: command, run: "ls; echo x > x"}
            - {name: b, type: test_echo, fail: true, condition: "run.id == 'r'"}
    """))
    treadle("run", "w.yaml", "--json", "--run-id", "r", code=1)
    logs = [json.loads(line) for line in treadle("logs", "r", "--json", code=0).out.splitlines()]
    outs = [r["data"]["ok"]["stdout"] for r in logs if r.get("path", "").endswith("a/exec:1") and "ok" in r["data"]]
    assert outs == ["", ""] and tree(treadle.cwd / "workspace") == ["own/", "own/x"]


KILLED = calling("""
    config: {workspace_dir: own, cleanup_on_success: true, cleanup_on_error: true, reuse_workspace: false}
    on_error: continue
    pipeline:
      steps:
        - {name: a, type: command, run: "pwd; echo x > x"}
        - {name: b, type: command, run: "cat x; echo y >> x"}
        %s
""", behind='- {name: after, type: command, run: "ls; echo z > z"}')


@pytest.mark.strict  # elsewhere an interrupted command waits for a person
@pytest.mark.parametrize("end", ["", FAIL, '- {name: slow, type: command, run: "sleep 60"}'])
@pytest.mark.parametrize("point", [f"{side}.{kind}={n}" for side in ("before", "after")
                                   for kind, n in [("open", 1), ("intent", 1), ("result", 1), ("result", 3),
                                                   ("done", 1),
                                                   ("intent", 4), ("result", 4), ("result", 5), ("done", 3)]])
def test_kills(treadle_faults, end, point):
    treadle = treadle_faults
    text = KILLED % end
    treadle.file("w.yaml", text.replace("own,", "own, timeout_seconds: 3,") if "sleep" in end else text)
    with treadle.start("run", "w.yaml", "--run-id", "r", "--json",
                       env={"TREADLE_FAULT": f"engine.kill.{point}"}) as process:
        process.wait()
    got = treadle("resume", "r", "--json", code=None)
    if got.code == 4:  # killed before anything was recorded
        pytest.skip("nothing to resume")
    call = got.json["results"]["call"]
    assert got.json["status"] == "succeeded" and ("error" in call) == bool(end)
    if end:
        assert call["error"]["code"] == ("timeout_exceeded" if "sleep" in end else "step")
    else:
        assert call["b"]["stdout"] == "x\n"
    assert got.json["results"]["after"]["stdout"] == "" and tree(treadle.cwd / "workspace") == ["z"]
