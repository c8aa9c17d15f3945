"""What `config` of a step that calls a workflow does to a run: in one life, and in as many as kills make of it."""
import pytest
from conftest import calling

IN_TIME = """
workflow:
  name: in-time
  steps:
    - name: report
      type: pipeline
      config: {timeout_seconds: 1.5, timeout_warning_seconds: 0.5, %s}
      pipeline:
        steps:
          - {name: count, type: command, run: "echo counted >> counts; cat counts"}
          - name: each
            type: for_loop
            data_source: [1, 2]
            steps: [{name: n, type: test_echo, value: "{{ loop.item }}"}]
          - {name: think, type: command, run: "sleep 60", on_interrupt: retry}
          - {name: never, type: test_echo}
    - {name: say, type: test_echo, value: "{{ steps.report.error.code }} {{ steps.report.each.completed_items }}"}
"""


def test_what_there_was_in_time(treadle):
    treadle.file("w.yaml", IN_TIME % "on_timeout: graceful, prune_results: {remove_fields: [count.stdout]}")
    got = treadle("run", "w.yaml", "--json", code=0)
    report = got.json["results"]["report"]
    assert report["success"] is False and report["error"]["class"] == "timeout"
    assert report["count"]["exit_code"] == 0 and "stdout" not in report["count"] and "never" not in report
    assert [i["results"]["n"] for i in report["each"]["iterations"]] == [1, 2]
    assert got.json["results"]["say"] == "timeout_exceeded 2"
    assert "still at work after 0.5 s" in got.err


@pytest.mark.strict  # elsewhere an interrupted command waits for a person
@pytest.mark.parametrize("point", ["before.done=1", "after.done=1", "after.done=4", "before.done=6", "after.done=6"])
def test_what_there_was_in_time_after_a_kill(treadle_faults, point):
    """It is told the same by every later life, and the part that was done is not done again."""
    treadle = treadle_faults
    treadle.file("w.yaml", IN_TIME % "on_timeout: graceful")
    with treadle.start("run", "w.yaml", "--run-id", "r", "--json",
                       env={"TREADLE_FAULT": f"engine.kill.{point}"}) as process:
        process.wait()
    got = treadle("resume", "r", "--json", code=0).json["results"]
    assert got["report"]["count"]["stdout"] == "counted\n"
    assert got["report"]["each"]["completed_items"] == 2
    assert got["say"] == "timeout_exceeded 2"
    assert (treadle.cwd / "workspace/counts").read_text() == "counted\n"


def test_another_attempt_has_more_time(treadle):
    treadle.file("w.yaml", calling("""
        config:
          timeout_seconds: 1
          on_timeout: retry
          retry_config: {max_attempts: 2, backoff_factor: 20, delay: 10ms, increase_timeout: true}
        pipeline: {steps: [{name: slow, type: command, run: sleep 2}]}
    """))
    got = treadle("run", "w.yaml", "--json", code=0)
    assert got.json["results"]["call"]["slow"]["exit_code"] == 0


def test_the_context_of_an_error(treadle):
    treadle.file("w.yaml", calling("""
        inputs: {n: 3}
        config: {error_context_fields: [input_data, previous_results], continue_on_error: true}
        pipeline:
          steps:
            - {name: a, type: test_echo, value: "{{ inputs.n + 1 }}"}
            - {name: b, type: command, run: exit 3}
    """, behind='- {name: told, type: test_echo, value: "{{ steps.call.error_context.results.a }}"}'))
    got = treadle("run", "w.yaml", "--json", code=0).json["results"]
    assert got["call"]["error_context"] == {"inputs": {"n": 3}, "results": {"a": 4}}
    assert got["told"] == 4


@pytest.mark.parametrize("action, code", [("warn", 0), ("error", 1), ("abort", 1)])
def test_budgets_of_time(treadle, action, code):
    treadle.file("w.yaml", calling("""
        config:
          continue_on_error: %s
          performance_budgets: {step_duration_ms: 300}
          on_budget_exceeded: {action: %s, notify: [ops@example.com]}
        pipeline: {steps: [{name: slow, type: command, run: sleep 1}]}
    """ % ("true" if action == "abort" else "false", action)))
    got = treadle("run", "w.yaml", "--json", code=code)
    if action == "warn":
        assert "still at work after 0.3 s" in got.err
    else:
        assert got.json["error"]["code"] == "performance_budget_exceeded"


def test_keys_without_effect_are_told(treadle):
    file = treadle.file("w.yaml", calling("""
        config: {stream_results: true, enable_tracing: true, checkpoint_enabled: true, on_timeout: graceful}
        pipeline: {steps: [{name: a, type: test_echo}]}
    """))
    err = treadle("validate", file, code=0).err
    assert "`stream_results` has no effect; memory is freed when a step ends" in err
    assert "treadle logs" in err and "treadle resume" in err
    assert "`on_timeout` has no effect without a time" in err
