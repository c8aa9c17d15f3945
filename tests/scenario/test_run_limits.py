"""What one run may use up, in the real service: it ends alone, with a message that says which bound and where it is
raised, also when the engine dies on the way. The controls show that the same questions find a service that does not
hold it."""
import os

import pytest
from conftest import measured, wait_for
from service import Service, directory_of

HEALTHY = """\
workflow:
  name: healthy
  output: "{{ steps.say.text }} {{ steps.run.stdout }}"
  steps:
    - {name: say, type: claude, prompt: hello}
    - {name: run, type: command, run: "sleep 0.3; printf done"}
"""
LOOP = """\
workflow:
  name: hungry
  limits: LIMITS
  variables: {x: 0123456789abcdef}
  steps:
    - name: all
      type: while_loop
      condition: "true"
      max_iterations: 100000
      steps: [STEP]
"""
GROW = "{name: grow, type: set_variable, scope: global, variables: {x: '{{ x }}{{ x }}'}}"
SAY = "{name: say, type: test_echo, value: '{{ repeat(\"x\", 2000) }}'}"
COUNT = "{name: say, type: test_echo, value: 1}"
FLOOD = "{name: flood, type: command, run: 'yes flood', output_limit: 1KB}"
NAP = "{name: nap, type: command, run: 'sleep 0.1'}"
CASES = {"memory": ("2MB", GROW), "frames": ("3000", COUNT), "journal": ("200KB", SAY), "output": ("1MB", FLOOD),
         "wall": ("3s", NAP)}


def hungry(limit, of_workflow=True):
    value, step = CASES[limit]
    return LOOP.replace("LIMITS", "{%s: %s}" % (limit, value) if of_workflow else "{}").replace("STEP", step)


@pytest.fixture
def service(treadle):
    made = []

    def start(*args, program=treadle, **more):
        made.append(Service(program, *args, mock="", **more).start())
        return made[-1]

    yield start
    for each in made:
        if each.process.popen.poll() is None:
            assert each.stop().code == 0, each.log()[-3000:]


def journal_bytes(s):
    return sum(path.stat().st_size for path in s.treadle.home.glob("service.db*"))


@pytest.mark.parametrize("limit", CASES)
def test_a_hungry_run_ends_alone(service, limit):
    s = service()
    engine = s.pid("engine")
    runs = [s.run(HEALTHY) for _ in range(3)]
    run = s.run(hungry(limit))
    body = s.ended(run)
    assert body["status"] == "failed" and body["error"]["class"] == "limit" and body["error"]["code"] == limit, body
    assert f"limits.{limit} of the workflow; raise it" in body["error"]["message"], body
    for each in runs:
        assert s.ended(each)["output"] == "hello done"
    assert s.pid("engine") == engine and journal_bytes(s) < 16 << 20
    # a service that is asked to go on with it finds the same
    assert s.http("POST", f"/v1/runs/{run}/resume", {})[0] == 202
    again = wait_for(lambda: (b := s.ended(run))["error"]["code"] == limit and b, 20, "its end")
    assert again["status"] == "failed", again


@pytest.mark.parametrize("limit", CASES)
def test_the_service_bounds_what_its_clients_do_not(service, limit):
    s = service("--limit", f"{limit}={CASES[limit][0]}")
    body = s.ended(s.run(hungry(limit, of_workflow=False)))
    assert body["error"]["code"] == limit, body
    assert f"the service's limit; `treadle serve --limit {limit}=" in body["error"]["message"], body
    assert s.ended(s.run(HEALTHY))["output"] == "hello done"


@pytest.mark.parametrize("limit", CASES)
def test_it_is_counted_over_the_lives_of_the_engine(service, limit):
    s = service()
    run = s.run(hungry(limit))
    for _ in range(3):
        wait_for(lambda: s.show(run)["status"] != "queued", 10, "it runs")
        s.kill("engine")
    body = s.ended(run)
    assert body["status"] == "failed" and body["error"]["code"] == limit, body


def test_a_flood_is_stopped_while_it_flows(service, treadle):
    """Long before its time is over, with all that it started."""
    s = service()
    flood = hungry("output").replace("yes flood", "yes flood & yes more > /dev/null & wait").replace(
        "output_limit", "timeout: 1h, output_limit")
    run = s.run(flood)
    assert s.ended(run, timeout=20)["error"]["code"] == "output"
    assert not [p for p in os.listdir("/proc") if p.isdigit() and command_of(p).startswith("yes more")]
    assert (directory_of(s, run) / "workspace").exists()


def command_of(pid):
    try:
        with open(f"/proc/{pid}/cmdline", encoding="utf-8", errors="replace") as file:
            return file.read().replace("\0", " ")
    except OSError:
        return ""


@pytest.mark.strict  # elsewhere what an attempt changed stays
def test_a_raised_limit_lets_the_run_go_on(treadle):
    steps = "    - {name: a, type: command, run: 'echo once >> ran; seq 1 100'}\n" \
            "    - {name: b, type: command, run: 'echo twice >> ran; seq 1 100000', output_limit: 1KB}\n"
    text = "workflow:\n  name: w\n  limits: {output: SIZE}\n  steps:\n" + steps
    little = treadle.file("w.yaml", text.replace("SIZE", "10KB"))
    failed = treadle("run", little, "--run-id", "r", "--json", code=1).json
    assert failed["error"]["code"] == "output" and "10 KB of output" in failed["error"]["message"], failed
    assert treadle("resume", "r", "--json", code=1).json["error"]["code"] == "output"
    more = treadle.file("more.yaml", text.replace("SIZE", "10MB"))
    done = treadle("resume", "r", "--workflow", more, "--json", code=0).json
    assert done["status"] == "succeeded" and done["results"]["b"]["output_bytes"] == 588895, done
    assert (treadle.cwd / "workspace" / "ran").read_text() == "once\ntwice\n", "the stopped attempt left nothing"


def test_a_service_that_allows_more_goes_on_with_it(service):
    s = service("--limit", "output=1MB")
    run = s.run(hungry("output", of_workflow=False).replace("yes flood", "seq 1 300000").replace("100000", "2"))
    assert s.ended(run)["error"]["code"] == "output"
    s.stop()
    s.args[s.args.index("output=1MB")] = "output=none"
    s.start()
    assert s.http("POST", f"/v1/runs/{run}/resume", {})[0] == 202
    body = wait_for(lambda: (b := s.ended(run))["status"] == "succeeded" and b, 20, "its good end")
    assert body["results"]["all"]["iterations"] == 2, body


def test_an_agent_that_floods_is_stopped(treadle, fake_provider):
    """Its Bash tool is a command too."""
    fake = fake_provider([{"tool_calls": [{"name": "Bash", "input": {"command": "yes flood"}}]}])
    text = "workflow:\n  name: w\n  limits: {output: 2MB}\n  steps:\n" \
           "    - {name: ask, type: claude, prompt: x, allowed_tools: [Bash], max_turns: 3}\n"
    run = treadle("run", treadle.file("w.yaml", text), "--json", env=fake.env, code=1, timeout=30).json
    assert run["error"]["code"] == "output" and fake.total() == 1, run


@pytest.mark.parametrize("value", ["repeat('x', 2000000000)", "range(1, 2000000000)",
                                   "join(map(range(1, 3000), repeat(item, 3000)), '')"])
def test_one_expression_does_not_take_it_all(treadle, value):
    text = "workflow:\n  name: w\n  limits: {memory: 10MB}\n  steps:\n" \
           "    - {name: a, type: set_variable, variables: {x: \"{{ VALUE }}\"}}\n" \
           "    - {name: b, type: test_echo, value: 1}\n"
    file = treadle.file("w.yaml", text.replace("VALUE", value))
    code, out, _, memory = measured(treadle, "run", file, "--json")
    assert code in (1, 2) and memory < 400 << 10, (out[:500], memory)


@pytest.mark.parametrize("bad", ["memory", "frames=1KB", "size=3", "wall=soon"])
def test_a_wrong_limit_is_explained(treadle, bad):
    result = treadle("serve", "--mock", "--listen", "0", "--limit", bad, code=2)
    assert "expected memory=SIZE" in result.err or "limit" in result.err, result


@pytest.mark.parametrize("limit", ["frames", "journal", "output"])
def test_control_limits_that_are_not_held_are_noticed(service, treadle_faults, limit):
    s = service(program=treadle_faults, env={"TREADLE_FAULT": "limits.unheld=0"})
    steps = hungry(limit).replace("100000", "400").replace("yes flood", "head -c 8192 /dev/zero")
    body = s.ended(s.run(steps))
    assert body.get("error", {}).get("code") != limit, body


def test_a_budget_in_dollars_says_where_it_counts_nothing(treadle):
    """Once, and only where there is such a budget around the call."""
    asks = "{name: %s, type: gemini, model: gemini-none, prompt: Hi}"
    for more, told in (("budget: {usd: 1}, ", 1), ("budget: {tokens: 1000}, ", 0), ("", 0)):
        treadle.file("w.yaml", "workflow: {name: w, %s steps: [%s, %s]}" % (more, asks % "a", asks % "b"))
        err = treadle("run", "w.yaml", "--mock", code=0).err
        assert err.count("the price of gemini-none is not known, so no budget in dollars counts it") == told, err
    treadle.file("w.yaml", "workflow: {name: w, steps: [{name: l, type: for_loop, data_source: [1, 2], "
                 "budget: {usd: 1}, steps: [%s]}]}" % asks % "a")
    assert treadle("run", "w.yaml", "--mock", code=0).err.count("bound `tokens`") == 1
