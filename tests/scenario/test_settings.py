"""Blocks of older workflows about performance and directories, and older variables of the environment: those that mean
something here do it."""
import re

import pytest
from conftest import ROOT
from test_serve import service  # noqa: F401 (a fixture)


def run(treadle, head, steps, *args, code=0, env=None):
    treadle.file("w.yaml", f"workflow:\n  name: w\n  {head}\n  steps:\n{steps}")
    return treadle("run", "w.yaml", "--mock", "--json", *args, code=code, env=env)


REPORT = '    - {name: report, type: test_echo, value: {n: 1}, output_to_file: "out.json"}\n'


def test_outputs_by_step(treadle):
    run(treadle, "output_config: {organize_by_step: true, compress_large_files: true}", REPORT + """
    - name: each
      type: for_loop
      data_source: [a, b]
      steps: [{name: part, type: test_echo, value: "{{ loop.item }}", output_to_file: "d/{{ loop.item }}.txt"}]
""")
    out = treadle.cwd / "outputs"
    assert sorted(str(p.relative_to(out)) for p in out.rglob("*") if p.is_file()) == [
        "part/d/a.txt", "part/d/b.txt", "report/out.json"]


def test_outputs_by_day_workflow_and_run(treadle):
    run(treadle, "directories: {organize: {by_date: true, by_workflow: true, by_execution: true}}", REPORT,
        "--run-id", "r1")
    out = treadle.cwd / "outputs"
    [file] = [p.relative_to(out) for p in out.rglob("*") if p.is_file()]
    assert file.parts[1:] == ("w", "r1", "out.json") and re.fullmatch(r"20\d\d-\d\d-\d\d", file.parts[0])
    head = "directories: {organize: {by_execution: true, by_date: false}}\n  output_config: {organize_by_step: true}"
    run(treadle, head, REPORT, "--run-id", "r2")
    assert (out / "r2/report/out.json").exists()


@pytest.mark.parametrize("name, good", [("a/b", False), ("..", False), (".", False), ("a b", True),
                                        ("...", True), ("n" * 200, True)])
def test_a_name_that_is_no_directory_is_refused_before_anything_is_paid(treadle, name, good):
    head = "directories: {organize: {by_workflow: %s}}"
    for on in ("true", "false"):
        treadle.file("w.yaml", f"workflow:\n  {head % on}\n  name: '{name}'\n  steps:\n{REPORT}")
        fine = good or on == "false"
        told = treadle("run", "w.yaml", "--mock", code=0 if fine else 2)
        assert ("w.yaml:2:41: error: `by_workflow` needs a directory of the name" in told.err) != fine, told
        if good and on == "true":
            assert (treadle.cwd / "outputs" / name / "out.json").exists()


BY_NAME = "name: team/review\n  directories: {organize: {by_workflow: true}}"


@pytest.mark.parametrize("steps, fine", [
    ("[{name: a, type: test_echo, value: 1}]", True),
    ("[{name: a, type: \"{{ 'test_' + 'echo' }}\", value: 1}]", True),
    ("[{name: a, type: \"{{ 'test_' + 'echo' }}\", value: 1, output_to_file: o}]", False),
    ("[{name: a, type: for_loop, data_source: [1], steps: [{name: b, type: test_echo, output_to_file: o}]}]", False),
    ("[{name: a, type: pipeline, pipeline: {name: i, steps: [{name: b, type: test_echo, output_to_file: o}]}}]", False),
    ("[{name: a, type: pipeline, pipeline_file: in.yaml}]", False),
    ("[{name: a, type: pipeline, pipeline_file: none.yaml}]", True),
    ("[{name: a, type: pipeline, pipeline_file: \"{{ 'none' + '.yaml' }}\"}]", True)])
def test_a_name_that_is_no_directory_matters_only_to_outputs(treadle, steps, fine):
    treadle.file("in.yaml", "workflow: {name: in, steps: [{name: b, type: test_echo, output_to_file: o}]}")
    treadle.file("none.yaml", f"workflow:\n  {BY_NAME}\n  steps: [{{name: b, type: test_echo}}]\n")
    treadle.file("w.yaml", f"workflow:\n  {BY_NAME}\n  steps: {steps}\n")
    told = treadle("run", "w.yaml", code=0 if fine else 2)
    assert ("w.yaml:3:41: error: `by_workflow` needs" in told.err) != fine, told


def test_a_name_that_is_no_directory_is_that_of_the_run(treadle):
    """A called workflow's directories have no effect, and what only the run comes upon fails before its work."""
    output = "{name: b, type: command, run: touch paid, output_to_file: o}"
    treadle.file("in.yaml", f"workflow:\n  {BY_NAME}\n  steps: [{output}]\n")
    call = "[{name: a, type: pipeline, pipeline_file: %s}]"
    treadle.file("w.yaml", "workflow: {name: w, steps: %s}" % (call % "in.yaml"))
    treadle("run", "w.yaml", code=0)
    assert (treadle.cwd / "outputs/o").exists()
    treadle.file("v.yaml", f"workflow:\n  {BY_NAME}\n  steps: " + call % "\"{{ 'in' + '.yaml' }}\"")
    told = treadle("run", "v.yaml", "--workspace", "ws", code=1)
    assert "`by_workflow` needs a directory" in told.err and not (treadle.cwd / "ws/paid").exists()


def test_no_workspace_is_made(treadle):
    head = "workspace_config: {create_if_missing: false}"
    told = run(treadle, head, REPORT, "--workspace", "ws", code=2)
    assert "there is no workspace" in told.err and not (treadle.cwd / "ws").exists()
    (treadle.cwd / "ws").mkdir()
    run(treadle, head, REPORT, "--workspace", "ws")


@pytest.mark.parametrize("own", [False, True])
def test_the_two_directories(treadle, own):
    head = "directories: {structure: {workspace: ./w1, outputs: ./o1, logs: ./logs}}"
    head += "\n  output_dir: ./o2" if own else ""
    told = run(treadle, head, REPORT + "    - {name: c, type: command, run: touch here}\n")
    assert (treadle.cwd / "w1/here").exists() and (treadle.cwd / ("o2" if own else "o1") / "out.json").exists()
    assert "`logs` of `structure` has no effect" in told.err


def test_performance(treadle):
    head = "performance: {cache_enabled: true, cache_ttl_seconds: 60, cache_size_mb: 5, parallel_execution: false, " \
           "step_timeout_default: 1, queue_size: 3}"
    steps = """
    - {name: ask, type: claude, prompt: Say it}
    - name: each
      type: for_loop
      parallel: true
      data_source: [1, 2, 3]
      steps:
        - {name: alone, type: command, run: "mkdir one && sleep 0.1 && rmdir one", network: full}
    - {name: slow, type: command, run: sleep 30, on_error: continue}
"""
    first = run(treadle, head, steps)
    assert first.json["results"]["slow"]["error"]["class"] == "timeout" and first.json["usage"]["calls"] == 1
    assert "`queue_size` of `performance` has no effect; what waits costs next to nothing" in first.err
    assert first.json["results"]["each"]["completed_items"] == 3
    assert run(treadle, head, steps).json["usage"]["calls"] == 0  # from the cache


def test_older_variables(treadle):
    env = {"PIPELINE_TRACE": "1", "PIPELINE_CHECKPOINT_DIR": "c", "PIPELINE_MAX_STPES": "4", "PIPELINE_DEBUG": "true",
           "PIPELINE_SANDBOX_MODE": "false", "PIPELINE_MAX_WORKERS": "2", "TREADLE_SANDBOX": ""}
    told = run(treadle, "description: d", REPORT, env=env).err
    assert "PIPELINE_TRACE has no effect; treadle logs has every step" in told
    assert "PIPELINE_CHECKPOINT_DIR has no effect" in told and "treadle resume" in told
    assert "PIPELINE_MAX_STPES is no variable that Treadle knows" in told
    assert "PIPELINE_SANDBOX_MODE has no effect; commands stay confined" in told
    assert "PIPELINE_MAX_WORKERS" not in told
    assert "PIPELINE" not in run(treadle, "description: d", REPORT, "--quiet", env=env).err


def test_every_documented_variable_has_a_row():
    named = """GEMINI_API_KEY ANTHROPIC_API_KEY CLAUDE_API_KEY AWS_* GOOGLE_APPLICATION_CREDENTIALS DEBUG VERBOSE
        CLAUDE_MODEL GEMINI_MODEL GEMINI_TIMEOUT_MS TEST_MODE FORCE_MOCK_GEMINI""".split()
    named += ["PIPELINE_" + name for name in """WORKSPACE_DIR OUTPUT_DIR CHECKPOINT_DIR DEBUG TRACE LOG_LEVEL
        SAFETY_DEBUG TIMEOUT MAX_WORKERS CACHE_SIZE MAX_COST SANDBOX_MODE MAX_MEMORY_MB MEMORY_LIMIT MAX_DEPTH
        MAX_STEPS""".split()]
    page = (ROOT / "docs/older-files.md").read_text()
    rows = re.findall(r"^\| `([A-Z_*]+)` \| (?:counts|no effect, told|not read) \| \S", page, re.M)
    assert sorted(rows) == sorted(named)


def test_the_older_name_of_a_key(treadle, fake_provider):
    provider = fake_provider()
    path = treadle.file("k.yaml", "workflow: {name: k, steps: [{name: a, type: claude, prompt: hello}]}")
    env = {**provider.env, "CLAUDE_API_KEY": provider.env["ANTHROPIC_API_KEY"]}
    del env["ANTHROPIC_API_KEY"]
    ran = treadle("run", path, env=env, code=0)
    assert "note: CLAUDE_API_KEY is used as ANTHROPIC_API_KEY" in ran.err and provider.total() == 1
    assert "ANTHROPIC_API_KEY is set" in treadle("doctor", env=env).out
    other = treadle("run", path, env={**provider.env, "CLAUDE_API_KEY": "another-key-that-nobody-asked-for"}, code=0)
    assert "CLAUDE_API_KEY" not in other.err
    listed = treadle.file("l.yaml", "workflow: {name: l, env: [CLAUDE_API_KEY], steps: [{name: a, type: test_echo}]}")
    assert "`env` lists CLAUDE_API_KEY, a provider's key" in treadle("validate", listed, code=2).err


@pytest.mark.parametrize("value, told", [("mock", True), ("mixed", True), ("live", False), ("yes", False)])
def test_a_mode_that_made_answers_up(treadle, value, told):
    path = treadle.file("t.yaml", "workflow: {name: t, steps: [{name: a, type: test_echo}, {name: b, type: test_echo, "
                        "fail: true}]}")
    for words in (("run", path, "--run-id", "r"), ("resume", "r"), ("fork", "r", "--from", "b")):
        said = treadle(*words, env={"TEST_MODE": value, "DEBUG": "1", "VERBOSE": "1"}, code=1).err
        assert ("TEST_MODE has no effect; write --mock for made-up answers" in said) is told
        assert "DEBUG" not in said and "VERBOSE" not in said


@pytest.mark.parametrize("more, in_time", [("", False), (", timeout_ms: 20000", True)])
def test_the_time_of_gemini_by_the_environment(treadle, more, in_time):
    answers = treadle.file("answers.yaml", "fixtures: [{match: {step: a}, delay: 1s, reply: {text: late}}]")
    path = treadle.file("g.yaml", "workflow: {name: g, steps: [{name: a, type: gemini, prompt: x, "
                        "retry: {max_attempts: 1}%s}]}" % more)
    got = treadle("run", path, f"--mock={answers}", "--json", env={"GEMINI_TIMEOUT_MS": "100"},
                  code=0 if in_time else 1).json
    if in_time:
        assert got["results"]["a"]["text"] == "late"
    else:
        assert got["error"]["class"] == "timeout"


ASKS = """
workflow:
  name: asks
  env: [HOME]
  steps:
    - {name: a, type: claude, prompt: hello}
    - {name: wait, type: wait_signal, signal: go}
    - {name: b, type: claude, prompt: "{{ env.HOME || 'nothing of HOME' }}"}
"""


def test_the_service_and_older_variables(service, treadle):  # noqa: F811
    """The same as in treadle run, recorded when a run begins; a workflow's own env is of another's environment."""
    old = {"CLAUDE_MODEL": "opus", "PIPELINE_MAX_STEPS": "30", "PIPELINE_OUTPUT_DIR": "out", "TEST_MODE": "mock",
           "PIPELINE_LOG_LEVEL": "debug"}
    s = service(env={**old, "TREADLE_LOG": ""}, mock="")
    assert s.log().count("PIPELINE_OUTPUT_DIR has no effect; each run of the service has directories of its own") == 1
    assert s.log().count("TEST_MODE has no effect") == 1 and "PIPELINE_MAX_STEPS" not in s.log()
    assert " debug" in s.log()
    run = s.run(ASKS)
    s.ended(run, statuses=("waiting",))
    s.kill("engine")
    assert s.stop().code == 0
    s.env["CLAUDE_MODEL"] = "haiku"
    s.start()
    assert s.http("POST", f"/v1/runs/{run}/signal", {"name": "go"})[0] == 202
    results = s.ended(run)["results"]
    assert "opus" in results["a"]["model"] and "opus" in results["b"]["model"]
    assert results["b"]["text"] == "nothing of HOME"
    new = s.run(ASKS)
    assert "haiku" in s.ended(new, statuses=("waiting",))["results"]["a"]["model"]
    many = ", ".join(f"{{name: s{i}, type: test_echo}}" for i in range(31))
    assert s.ended(s.run(f"workflow: {{name: many, steps: [{many}]}}"))["error"]["code"] == "frames"


def test_bounds_count_in_each_life_of_a_service(service):  # noqa: F811
    """Unlike the models, which stay those of the start; as `treadle resume` does it."""
    many = ", ".join(f"{{name: s{i}, type: test_echo}}" for i in range(9))
    text = "workflow: {name: many, steps: [{name: wait, type: wait_signal, signal: go}, %s]}" % many
    s = service(env={"PIPELINE_MAX_STEPS": "5"}, mock="")
    runs = [s.run(text), s.run(text)]
    for run in runs:
        s.ended(run, statuses=("waiting",))
    assert s.http("POST", f"/v1/runs/{runs[0]}/signal", {"name": "go"})[0] == 202
    assert s.ended(runs[0])["error"]["code"] == "frames"
    assert s.stop().code == 0
    s.env["PIPELINE_MAX_STEPS"] = "50"
    s.start()
    runs.append(s.run(text))
    s.ended(runs[2], statuses=("waiting",))
    assert s.http("POST", f"/v1/runs/{runs[1]}/signal", {"name": "go"})[0] == 202
    assert s.ended(runs[1])["status"] == "succeeded"
    assert s.stop().code == 0
    s.env["PIPELINE_MAX_STEPS"] = "5"
    s.start()
    assert s.http("POST", f"/v1/runs/{runs[2]}/signal", {"name": "go"})[0] == 202
    assert s.ended(runs[2])["error"]["code"] == "frames"


@pytest.mark.parametrize("head, kept", [("description: d", 1), ("cache_config: {max_size_mb: 5}", 2)])
def test_the_size_of_the_cache_by_the_environment(treadle, head, kept):
    """Of two results of 0.7 MB, one megabyte keeps one; what the workflow says itself goes before."""
    steps = """
    - {name: a, type: command, run: "printf %0700000d 1", cache: {key: one}}
    - {name: b, type: command, run: "printf %0700000d 2", cache: {key: two}}
"""
    run(treadle, head, steps, "--workspace", "ws", env={"PIPELINE_CACHE_SIZE": "1"})
    files = [p for p in (treadle.cwd.parent / "home/cache").rglob("*") if p.is_file() and p.stat().st_size > 600000]
    assert len(files) == kept


@pytest.mark.parametrize("head, code", [
    ("workspace_config: {max_size_mb: 1}", "workspace_size"), ("limits: {workspace: 1MB}", "workspace_size"),
    ("resource_limits: {max_workspace_size_mb: 1}", "workspace_size"),
    ("workspace_config: {max_size_mb: 1}, limits: {workspace: 10MB}", None),
    ("resource_limits: {max_output_size_mb: 1}", "output")])
def test_the_size_of_the_workspace_is_bounded(treadle, head, code):
    file = treadle.file("w.yaml", """
workflow: {name: w, %s, steps: [
  {name: small, type: command, run: "head -c 900000 /dev/zero > a; mkdir .git; head -c 900000 /dev/zero > .git/x"},
  {name: reads, type: file_ops, operation: list},
  {name: large, type: command, retry: {max_attempts: 3},
   run: "head -c 900000 /dev/zero > b; head -c 1500000 /dev/zero"},
  {name: after, type: test_echo, value: 1}]}
""" % head)
    treadle("validate", file, code=0)
    got = treadle("run", file, "--workspace", "ws", "--json", code=1 if code else 0).json
    assert "small" in got["results"] and ("after" in got["results"]) == (code is None)
    measured = treadle("logs", got["run_id"], code=0).out.count("measure the workspace")
    assert measured == (2 if "output" not in head else 0)  # after each of those that write
    if code == "workspace_size":
        assert got["error"]["code"] == code and got["error"]["step"] == "large" and got["error"]["class"] == "limit"
        assert "more than 1 MB of files" in got["error"]["message"] and got["error"]["attempts"] == 1
