"""Going on with a run under another version of its workflow, after a failure, and what ps says meanwhile."""
from conftest import wait_for

FIRST = """
workflow:
  name: changed
  inputs: {a: {type: string, default: A}}
  steps:
    - {name: x, type: command, run: "echo x >> calls"}
    - {name: y, type: test_echo, fail: true}
"""
SECOND = """
workflow:
  name: changed
  inputs: {a: {type: string, default: A}, b: {type: string, default: B}}
  output: "{{ steps.y.result }}"
  steps:
    - {name: x, type: command, run: "echo x >> calls"}
    - {name: y, type: test_echo, value: "{{ inputs.b }}"}
"""


def test_a_new_version_brings_its_own_inputs(treadle):
    treadle.file("first.yaml", FIRST)
    treadle.file("second.yaml", SECOND)
    treadle("run", "first.yaml", "--run-id", "r", "--workspace", "ws", code=1)
    assert treadle("resume", "r", "--workflow", "second.yaml", code=0).out == "B\n"
    assert (treadle.cwd / "ws/calls").read_text() == "x\n"  # the step before the change was not done again
    assert treadle("resume", "r", code=0).out == "B\n"  # and the new version is pinned now


def test_another_workflow_is_refused(treadle):
    treadle.file("first.yaml", FIRST)
    treadle.file("other.yaml", SECOND.replace("name: changed", "name: other").replace("echo x", "echo z"))
    treadle("run", "first.yaml", "--run-id", "r", code=1)
    got = treadle("resume", "r", "--workflow", "other.yaml", code=2)
    assert "`other`" in got.err and "`changed`" in got.err
    assert treadle("show", "r", "--json", code=0).json["status"] == "failed"


LOOP = """
workflow:
  name: loop
  steps:
    - name: each
      type: for_loop
      data_source: [0, 1, 2]
      parallel: true
      max_parallel: 3
      steps:
        - name: c
          type: command
          env: {INDEX: "{{ loop.index }}"}
          run: |
            test $INDEX = 1 && sleep 0.2
            test -e mended || { test $INDEX != 1 && sleep 30; exit 1; }
"""


def test_what_a_failure_stopped_is_done_again_unasked(treadle):
    treadle.file("loop.yaml", LOOP)
    treadle("run", "loop.yaml", "--run-id", "r", "--workspace", "ws", code=1)
    (treadle.cwd / "ws/mended").touch()
    assert treadle("resume", "r", "--json", code=0).json["results"]["each"]["completed_items"] == 3


def test_ps_is_right_about_a_run_that_is_quiet(treadle):
    treadle.file("quiet.yaml", """
workflow:
  name: quiet
  steps:
    - {name: a, type: claude, prompt: hello}
    - {name: b, type: claude, prompt: hello}
    - {name: s, type: command, run: sleep 20}
""")
    with treadle.start("run", "quiet.yaml", "--mock", "--run-id", "r"):
        def two_steps():
            rows = treadle("ps", "--json", code=0).json
            rows = rows["runs"] if isinstance(rows, dict) else rows
            return [row for row in rows if row["steps_done"] == 2 and row["status"] == "running"]

        assert wait_for(two_steps, what="ps shows the steps that are done")
