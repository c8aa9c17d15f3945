"""Variables of scope session: kept by one run, known to the next one of the same workflow."""
import json

COUNTER = """
workflow:
  name: counter
  variables: {n: 0, seen: []}
  steps:
    - {name: before, type: test_echo, value: "{{ n }}"}
    - {name: more, type: set_variable, scope: session, variables: {n: "{{ n + 1 }}", seen: "{{ append(seen, n) }}"}}
    - {name: own, type: set_variable, variables: {mine: 1}}
  output: {n: "{{ n }}", seen: "{{ seen }}", before: "{{ steps.before.result }}"}
"""


def kept(treadle, name):
    return json.loads((treadle.home / "checkpoints" / name / "~session.json").read_text())["state"]


def test_later_runs_know_them(treadle):
    file = treadle.file("w.yaml", COUNTER)
    for run in range(3):
        done = treadle("run", file, "--json", code=0).json
        assert done["output"] == {"n": run + 1, "seen": list(range(run + 1)), "before": run}
        assert done["results"]["more"] == {"variables_set": ["n", "seen"], "scope": "session", "variable_count": 2}
        assert kept(treadle, "counter") == {"n": run + 1, "seen": list(range(run + 1))}
    other = treadle.file("other.yaml", COUNTER.replace("name: counter", "name: other"))
    assert treadle("run", other, "--json", code=0).json["output"]["n"] == 1
    assert kept(treadle, "counter")["n"] == 3


def test_a_called_workflow_has_its_own(treadle):
    treadle.file("counter.yaml", COUNTER)
    file = treadle.file("w.yaml", """
workflow:
  name: caller
  steps:
    - {name: call, type: pipeline, pipeline_file: counter.yaml}
    - {name: again, type: pipeline, pipeline_file: counter.yaml}
    - {name: own, type: set_variable, scope: session, variables: {n: 50}}
""")
    treadle("run", file, code=0)
    treadle("run", file, code=0)
    assert kept(treadle, "counter")["n"] == 4 and kept(treadle, "caller") == {"n": 50}


def test_what_is_damaged_is_not_overwritten(treadle):
    file = treadle.file("w.yaml", COUNTER)
    treadle("run", file, code=0)
    path = treadle.home / "checkpoints/counter/~session.json"
    path.write_text("{")
    error = treadle("run", file, "--json", code=1).json["error"]
    assert error["class"] == "corrupt" and "variables of the session" in error["message"]
    assert path.read_text() == "{"


def test_killed_anywhere(treadle_faults):
    """Each run counts once, whatever was committed when it was killed; nobody else changed the value meanwhile."""
    file = treadle_faults.file("w.yaml", COUNTER)
    points = [f"{side}.{record}={n}" for n in (1, 2) for record in ("intent", "result", "done")
              for side in ("before", "after")][1:]  # before the first commit there is no run
    count = 0
    for number, point in enumerate(points):
        process = treadle_faults.start("run", file, "--run-id", f"r{number}",
                                       env={"TREADLE_FAULT": f"engine.kill.{point}"})
        assert process.wait().code == -9, point
        done = treadle_faults("resume", f"r{number}", "--json", code=0).json
        count += 1
        assert done["output"]["n"] == count and done["output"]["seen"] == list(range(count)), point
        assert kept(treadle_faults, "counter")["n"] == count, point


def test_dry_run_keeps_nothing(treadle):
    treadle("run", treadle.file("w.yaml", COUNTER), "--dry-run", code=0)
    assert not (treadle.home / "checkpoints").exists()
