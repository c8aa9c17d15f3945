"""`last` is the run that was written last, whoever has looked at runs since."""
import time

WORKFLOW = """
workflow:
  name: one
  steps: [{name: a, type: test_echo, value: 1}]
"""


def test_looking_at_runs_does_not_change_which_is_last(treadle):
    treadle.file("w.yaml", WORKFLOW)
    for name in ("first", "second", "third"):
        treadle("run", "w.yaml", "--run-id", name, code=0)
        time.sleep(0.02)
    for _ in range(2):
        assert treadle("show", "last", "--json", code=0).json["run_id"] == "third"
        treadle("ps", "--all", code=0)
        treadle("show", "first", code=0)


def test_no_run_is_called_last(treadle):
    file = treadle.file("w.yaml", "workflow: {name: w, steps: [{name: a, type: test_echo, value: 1}]}")
    assert "`last` means the newest run" in treadle("run", file, "--run-id", "last", code=2).err
