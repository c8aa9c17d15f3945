"""A command that takes all memory, or forks without end, costs its own step; runs beside it go on."""
import json

from test_serve import service  # noqa: F401 (a fixture)

HOG = "b = []\nwhile True: b.append(bytearray(1 << 20))"
HEALTHY = """\
workflow:
  name: healthy
  steps:
    - name: each
      type: for_loop
      data_source: "range(1, 20)"
      steps: [{name: c, type: command, run: [sh, -c, "seq 1000 | wc -l"]}]
"""


def workflow(run, **keys):
    step = {"name": "a", "type": "command", "run": run, **keys}
    return {"workflow": {"name": "w", "steps": [step]}}


def test_beside_a_healthy_run(service, treadle):  # noqa: F811
    s = service(mock="", env={"TREADLE_COMMAND_MEMORY": "200MB"})
    bad = [s.run(json.dumps(workflow(["/usr/bin/python3", "-c", HOG]))),
           s.run(json.dumps(workflow("bomb() { bomb | bomb & }; bomb; sleep 60", process_limit=300)))]
    pids = [s.pid(role) for role in ("engine", "executor")]
    good = s.run(HEALTHY)
    assert s.ended(good)["status"] == "succeeded"
    for run, code in zip(bad, ("memory", "processes")):
        body = s.ended(run)
        error = body["error"]
        assert body["status"] == "failed" and error["class"] == "limit", body
        assert error["code"] in (code, "memory"), "many processes are much memory, too"
        assert f"{'memory' if error['code'] == 'memory' else 'process'}_limit" in error["message"], error
    assert pids == [s.pid(role) for role in ("engine", "executor")], "nobody else was hurt"


def test_the_machine_allows_no_more(treadle):
    (treadle.cwd / "w.yaml").write_text(json.dumps(workflow(["/usr/bin/python3", "-c", HOG], memory_limit="100GB")))
    result = treadle("run", "w.yaml", "--json", env={"TREADLE_COMMAND_MEMORY": "64MB"}, code=1)
    assert result.json["error"]["code"] == "memory" and result.json["results"] == {}, result
    for name, value in (("TREADLE_COMMAND_MEMORY", "much"), ("TREADLE_COMMAND_PROCESSES", "0")):
        result = treadle("run", "w.yaml", "--json", env={name: value}, code=None)
        assert result.code in (2, 4) and name in result.json["error"]["message"], result


def test_the_model_is_told(treadle):
    (treadle.cwd / "w.yaml").write_text(
        "workflow: {name: w, steps: [{name: a, type: claude, prompt: go, tools: [Bash]}]}")
    (treadle.cwd / "f.yaml").write_text("""\
fixtures:
  - match: {turn: 1}
    reply: {tool_calls: [{name: Bash, input: {command: "/usr/bin/python3 -c 'x = bytearray(1 << 30); input()'"}}]}
  - match: {turn: 2}
    reply: {text: done}
""")
    treadle("run", "w.yaml", "--mock", "f.yaml", "--run-id", "r", env={"TREADLE_COMMAND_MEMORY": "64MB"})
    assert "used more memory than they may" in treadle("logs", "r", "--json").out
