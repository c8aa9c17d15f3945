"""Bounds of a call that are looked at while it goes on: what it takes of memory, and leaves in its workspace."""
import pytest
from conftest import calling

FILL = "{name: fill, type: set_variable, variables: {full: \"{{ range(1, 80000) }}\"}}"


def call(treadle, config, steps, *args, code=0):
    inner = "".join(f"    - {step}\n" for step in steps)
    treadle.file("w.yaml", calling(f"config: {config}\npipeline:\n  name: inner\n  steps:\n{inner}"))
    return treadle("run", "w.yaml", "--json", *args, code=code)


# ---- memory ----

def test_notes_at_parts_of_the_limit(treadle):
    told = call(treadle, "{memory_limit_mb: 8, memory_actions: "
                "{at_25_percent: log_warning, at_90_percent: [log_error]}}",
                [FILL, "{name: n, type: test_echo, value: \"{{ length(full) }}\"}"])
    assert told.err.count("workflow `inner` takes more than 25 % of its 8 MB of memory") == 1
    assert "90 %" not in told.err and "0 errors" not in told.err


@pytest.mark.parametrize("action", ["return_error", "terminate_execution"])
def test_it_fails_at_a_part_of_the_limit(treadle, action):
    steps = [FILL, "{name: n, type: test_echo, value: \"{{ length(full) }}\"}"]
    call(treadle, "{memory_limit_mb: 8}", steps)
    config = "{memory_limit_mb: 8, memory_actions: {at_25_percent: [%s, cleanup_all]}}" % action
    told = call(treadle, config, steps, code=1)
    assert told.json["error"]["code"] == "memory_limit_exceeded" and "more than 2 MB" in told.json["error"]["message"]


@pytest.mark.parametrize("action", ["clear_caches", "trigger_gc"])
def test_what_is_kept_for_later_readers_goes(treadle, action):
    steps = ["{name: loop, type: for_loop, data_source: \"range(1, 20)\", steps: "
             "[{name: part, type: test_echo, value: \"{{ range(1, 10000) }}\"}, {name: rest, type: sleep, for: 0.01}]}",
             "{name: again, type: test_echo, value: \"{{ steps.loop.iterations[3].results.part[9998] }}\"}"]
    config = "{memory_limit_mb: 4, memory_actions: {at_50_percent: log_warning, at_25_percent: %s}}"
    told = call(treadle, config % "log_warning", steps)
    assert "more than 50 %" in told.err and told.json["results"]["call"]["again"] == 9999
    told = call(treadle, config % action, steps)
    assert "more than 50 %" not in told.err and told.json["results"]["call"]["again"] == 9999


@pytest.mark.parametrize("key", ["gc_threshold_mb: 1", "auto_cleanup: {threshold_mb: 1}", "gc_after_steps: [part]"])
def test_it_goes_at_a_size_or_after_steps(treadle, key):
    steps = ["{name: loop, type: for_loop, data_source: \"range(1, 20)\", steps: "
             "[{name: part, type: test_echo, value: \"{{ range(1, 10000) }}\"}, {name: rest, type: sleep, for: 0.01}]}",
             "{name: again, type: test_echo, value: \"{{ steps.loop.iterations[3].results.part[9998] }}\"}"]
    config = "{memory_limit_mb: 4, memory_actions: {at_50_percent: log_warning}, %s}"
    told = call(treadle, config % key, steps)
    assert "more than 50 %" not in told.err and told.json["results"]["call"]["again"] == 9999
    assert "more than 50 %" in call(treadle, config % "auto_cleanup: {enabled: false, threshold_mb: 1}", steps).err


def test_a_pause_is_told_to_be_none(treadle):
    told = call(treadle, "{memory_limit_mb: 8, memory_actions: {at_90_percent: [pause_execution]}}", [FILL])
    assert "`pause_execution` of `memory_actions` has no effect: a workflow that stands still frees nothing" in told.err
    told = call(treadle, "{memory_actions: {at_90_percent: [log_error]}}", [FILL])
    assert "`memory_actions` has no effect without a limit: write `memory_limit_mb` beside it" in told.err


# ---- time ----

@pytest.mark.parametrize("skips", [False, True])
def test_where_the_time_is_over_its_directory_may_stay(treadle, skips):
    config = "{workspace_dir: own, cleanup_on_error: true, timeout_seconds: 1, immediate_timeout: {skip_cleanup: %s}}"
    call(treadle, config % str(skips).lower(),
         ["{name: make, type: command, run: touch kept.txt}", "{name: wait, type: sleep, for: 60}"],
         code=1)
    assert (treadle.cwd / "workspace/own/kept.txt").exists() == skips


# ---- files ----

BIG = "head -c 1500000 /dev/zero > big"


@pytest.mark.parametrize("place", ["workspace_dir: own", "workspace_isolation: true"])
def test_its_own_workspace_is_too_large(treadle, place):
    (treadle.cwd / "workspace").mkdir()
    (treadle.cwd / "workspace/before").write_bytes(bytes(1500000 if "dir" in place else 100))
    told = call(treadle, "{%s, workspace: {max_size_mb: 1}}" % place,
                ["{name: small, type: command, run: echo a > small}", "{name: big, type: command, run: %s}" % BIG],
                code=1)
    error = told.json["error"]
    assert error["code"] == "workspace_size"
    assert "the workspace of workflow `inner` has more than 1 MB" in error["message"]
    assert "`workspace: {max_size_mb}` in `config` of step `call`" in error["message"]
    call(treadle, "{%s, workspace: {max_size_mb: 2}}" % place, ["{name: big, type: command, run: %s}" % BIG])


def test_each_bound_around_counts(treadle):
    inner = "{name: deep, type: pipeline, config: {workspace_dir: deep, workspace: {max_size_mb: %d}}, pipeline: " \
            "{steps: [{name: big, type: command, run: " + BIG + "}]}}"
    told = call(treadle, "{workspace_dir: own, workspace: {max_size_mb: 1}}", [inner % 5], code=1)
    assert "workspace of workflow `inner`" in told.json["error"]["message"]
    told = call(treadle, "{workspace_dir: own, workspace: {max_size_mb: 5}}", [inner % 1], code=1)
    assert "workspace of workflow `deep`" in told.json["error"]["message"]
    call(treadle, "{workspace_dir: own, workspace: {max_size_mb: 5}}", [inner % 5])
