"""What somebody meets who uses the command line for the first time: a word where another was meant, a directory that
cannot be used, a file that was changed meanwhile, standard output that goes nowhere."""
import decimal
import json
import os
import subprocess

import pytest

from service import Service

TWO = {"workflow": {"name": "two", "inputs": {"who": {"type": "string", "default": "you"}},
                    "output": "{{ steps.ask.text }}",
                    "steps": [{"name": "ask", "type": "claude", "prompt": "[[key:ask]] Greet {{ inputs.who }}"},
                              {"name": "keep", "type": "claude", "prompt": "[[key:keep]] again",
                               "output_to_file": "kept.txt"}]}}


def runs(treadle):
    return [run["run_id"] for run in treadle("ps", "--all", "--json", code=0).json["runs"]]


# ---- options whose value may be left out


def test_an_input_behind_mock_is_no_fixtures_file(treadle):
    file = treadle.file("two.yaml", TWO)
    treadle.file("who=file", "fixtures: []\n")
    for words in (["--mock", "who=me"], ["--mock", "who=me", "--json"], ["--mock", "who=file"]):
        shown = treadle("run", file, *words, "--run-id", f"r{len(runs(treadle))}", code=0)
        assert words[1][4:] in shown.out, shown
    assert "`nobody`" in treadle("run", file, "--mock", "nobody=me", code=2).err


def test_a_word_behind_mock_that_is_no_file(treadle):
    file = treadle.file("two.yaml", TWO)
    error = treadle("run", file, "--mock", "fixtures.yml", code=2).err
    assert "cannot read fixtures.yml" in error and "NAME=VALUE" in error
    assert "is a directory" in treadle("run", file, "--mock", "/tmp", code=2).err.lower()
    assert runs(treadle) == []


@pytest.mark.parametrize("args, expected", [
    (["run", "two.yaml", "--input", "--mock"], "what follows it is the option --mock"),
    (["run", "two.yaml", "--workspace", "--json"], "what follows it is the option --json"),
    (["fork", "last", "--from", "--json"], "what follows it is the option --json"),
])
def test_an_option_is_not_taken_for_the_value_of_another(treadle, args, expected):
    treadle.file("two.yaml", TWO)
    assert expected in treadle(*args, code=2).err


@pytest.mark.parametrize("args, expected", [
    (["show"], "RUN is missing; usage: treadle show RUN [options], where `last` is the newest run"),
    (["approve", "last"], "STEP is missing; usage: treadle approve RUN STEP"),
    (["signal", "last"], "NAME is missing; usage"),
    (["run"], "FILE is missing; usage"),
    (["two.yaml"], "did you mean treadle run two.yaml?"),
    (["none.yaml"], "there is no command `none.yaml`; treadle --help"),
    (["run", "list.yaml", "names=ann"], """expected array as JSON, such as '["a", "b"]'"""),
])
def test_what_is_missing_or_meant_is_named(treadle, args, expected):
    treadle.file("two.yaml", TWO)
    treadle.file("list.yaml", {"workflow": {"name": "l", "inputs": {"names": {"type": "array"}}, "steps": [
        {"name": "a", "type": "test_echo", "value": 1}]}})
    assert expected in treadle(*args, code=2).err


def test_made_up_answers_are_not_taken_for_a_bill(treadle, fake_provider):
    file = treadle.file("two.yaml", TWO)
    assert "(no model was asked: nothing is paid)" in treadle("run", file, "--mock", code=0).err
    provider = fake_provider()
    recorded = treadle("run", file, "--record", "r.jsonl", env=provider.env, code=0)
    assert "nothing is paid" not in recorded.err and " $0.0" in recorded.err
    assert "nothing is paid" in treadle("run", file, "--replay", "r.jsonl", code=0).err


# ---- what cannot be used is refused before anything is recorded or paid


@pytest.mark.parametrize("place", ["workspace", "output", "record", "sandbox"])
def test_a_run_that_cannot_begin_leaves_nothing(treadle, fake_provider, place):
    provider = fake_provider()
    file = treadle.file("two.yaml", TWO)
    treadle("run", treadle.file("ok.yaml", {"workflow": {"name": "ok", "steps": [
        {"name": "a", "type": "test_echo", "value": 1}]}}), "--run-id", "good", code=0)
    taken = treadle.file("taken", "")
    args = {"workspace": ["-w", taken], "output": ["-o", f"{taken}/below"], "record": ["--record", f"{taken}/r.jsonl"],
            "sandbox": []}[place]
    env = {**provider.env, **({"TREADLE_SANDBOX": "no-such-tier"} if place == "sandbox" else {})}
    shown = treadle("run", file, *args, env=env, code=(2, 4))
    assert place in ("sandbox", "record") or shown.code == 4, shown
    assert place == "sandbox" or str(taken) in shown.err, shown
    assert runs(treadle) == ["good"] and provider.ledger() == {}
    assert treadle("show", "last", "--json", code=0).json["run_id"] == "good"
    assert os.listdir(treadle.home / "runs") == ["good"]


def test_an_output_directory_that_nobody_may_write_to(treadle, fake_provider):
    if os.geteuid() == 0:
        place = "/proc/self"  # where not even root can
    else:
        place = str(treadle.cwd / "closed")
        os.mkdir(place, 0o555)
    provider = fake_provider()
    shown = treadle("run", treadle.file("two.yaml", TWO), "-o", place, env=provider.env, code=4)
    assert place in shown.err and "output directory" in shown.err
    assert provider.ledger() == {} and runs(treadle) == []


def test_a_fork_that_cannot_begin_is_not_made(treadle):
    file = treadle.file("two.yaml", TWO)
    taken = treadle.file("taken", "")
    treadle("run", file, "--mock", "--run-id", "r", code=0)
    for args in (["-w", taken], ["-o", taken]):
        assert str(taken) in treadle("fork", "r", "--from", "keep", *args, code=4).err
    assert runs(treadle) == ["r"]


# ---- a workflow file that was changed


def test_resume_says_that_the_file_has_changed(treadle):
    steps = [{"name": "one", "type": "test_echo", "value": 1}, {"name": "two", "type": "test_echo", "fail": True}]

    def flow(**two):
        steps[1] = {"name": "two", "type": "test_echo", **two}
        return treadle.file("w.yaml", {"workflow": {"name": "w", "steps": steps}})

    file = flow(fail=True)
    treadle("run", file, "--run-id", "r", code=1)
    assert "has changed" not in treadle("resume", "r", code=1).err
    flow(value=2)
    for shown in (treadle("resume", "r", code=1), treadle("resume", "r", "--json", code=1, cwd="/")):
        assert "w.yaml has changed from step `two` on" in shown.err and "treadle resume r --workflow" in shown.err
    assert "has changed" not in treadle("resume", "r", "--quiet", code=1).err
    treadle("resume", "r", "--workflow", file, code=0)
    assert "has changed" not in treadle("resume", "r", code=0).err
    other = treadle.file("other.yaml", {"workflow": {"name": "w", "steps": [steps[0]]}})
    treadle("resume", "r", "--workflow", other, code=0)
    flow(value=3)
    assert "has changed" not in treadle("resume", "r", code=0).err  # it is pinned to the other
    os.remove(other)
    assert "has changed" not in treadle("resume", "r", code=0).err


def test_resume_says_that_a_called_file_has_changed(treadle):
    def child(**more):
        treadle.file("child.yaml", {"workflow": {"name": "child", "steps": [
            {"name": "a", "type": "test_echo", **more}]}})

    child(fail=True)
    file = treadle.file("w.yaml", {"workflow": {"name": "w", "steps": [
        {"name": "call", "type": "pipeline", "pipeline_file": "child.yaml"}]}})
    treadle("run", file, "--run-id", "r", code=1)
    assert "has changed" not in treadle("resume", "r", code=1).err
    child(value=1)
    assert "has changed from step `call` on" in treadle("resume", "r", code=1).err
    treadle.file("child.yaml", "no: [workflow")
    assert "error" not in treadle("resume", "r", "--quiet", code=1).err.split("error at")[0]


# ---- standard output that goes nowhere


def shell(treadle, line):
    done = subprocess.run(["/bin/bash", "-c", line.replace("treadle", treadle.path)], env=treadle.environment(),
                          cwd=treadle.cwd, capture_output=True, text=True, timeout=60)
    return done.returncode, done.stderr


@pytest.mark.parametrize("command", ["ps", "ps --json", "show last", "show last --json", "logs last", "doctor", "help",
                                     "run --help", "run --help two.yaml", "--version", "schema", "validate two.yaml",
                                     "validate two.yaml --json", "diff last", "run two.yaml --dry-run",
                                     "migrate two.yaml", "run two.yaml --mock", "run two.yaml --mock --json",
                                     "resume last"])
def test_output_that_cannot_be_written(treadle, command):
    treadle("run", treadle.file("two.yaml", TWO), "--mock", code=0)
    (treadle.cwd / "workspace/changed").write_text("")
    said = shell(treadle, f"treadle {command} 2>/dev/null")[0] in (0, 1) and subprocess.run(
        [treadle.path, *command.split()], env=treadle.environment(), cwd=treadle.cwd, capture_output=True).stdout
    for where, why in ((">/dev/full", "No space left"), (">&-", "Bad file descriptor")):
        code, error = shell(treadle, f"treadle {command} {where}")
        if said:
            assert code == 4 and "standard output" in error and why in error, (command, where, code, error)
    code, error = shell(treadle, f"set -o pipefail; treadle {command} 2>/dev/null | true")
    assert "standard output" not in error


def test_a_closed_standard_output_is_no_journal(treadle):
    """The first file to be opened would get its number, and what is printed."""
    treadle.file("two.yaml", TWO)
    code, error = shell(treadle, "treadle run two.yaml --mock --run-id r --json <&- >&-")
    assert code == 4 and "standard output" in error
    assert treadle("show", "r", "--json", code=0).json["status"] == "succeeded"
    assert treadle("resume", "r", "--json", code=0).json["results"]["ask"]["success"]


# ---- which run, which money


def test_last_without_runs_of_ones_own(treadle):
    service = Service(treadle, mock="").start()
    for n in range(2):
        code, started = service.http("POST", "/run_pipeline", {"workflow_yaml": json.dumps(
            {"workflow": {"name": f"w{n}", "steps": [{"name": "a", "type": "test_echo", "value": n}]}}), "wait": True})
        assert code == 200, started
    for command in (["show", "last", "--json"], ["logs", "last"], ["diff", "last"]):
        shown = treadle(*command, code=0)
    assert treadle("show", "last", "--json", code=0).json["run_id"] == started["run_id"]
    assert f"run {started['run_id']}: the run has succeeded" in treadle("resume", "last", code=2).err
    treadle("run", treadle.file("two.yaml", TWO), "--mock", "--run-id", "own", code=0)
    assert treadle("show", "last", "--json", code=0).json["run_id"] == "own"


def test_small_amounts_are_told(treadle, fake_provider):
    provider = fake_provider()
    treadle.file("w.yaml", {"workflow": {"name": "w", "budget": {"usd": 0.0000001}, "steps": [
        {"name": "a", "type": "claude", "prompt": "[[key:a]] x"},
        {"name": "b", "type": "claude", "prompt": "[[key:b]] x"}]}})
    shown = treadle("run", "w.yaml", "--run-id", "r", env=provider.env, code=3)
    assert "the budget of $0.0000001 is spent ($0.0" in shown.err
    for text in (shown.err, treadle("show", "r", code=0).out, treadle("ps", code=0).out):
        assert "$0.00 " not in text and "$0.0000 " not in text and "$0.00)" not in text, text


def test_sums_of_costs_are_the_same_wherever_they_are_told(treadle):
    """Of the sums that doubles make of these prices, several end in digits that no price has."""
    for n in range(2, 14):
        steps = [{"name": f"s{i}", "type": "claude", "model": "haiku", "prompt": "word " * i} for i in range(1, n)]
        whole = treadle("run", treadle.file("w.yaml", {"workflow": {"name": "w", "steps": steps}}), "--run-id", f"r{n}",
                        "--json", "--mock", code=0).json
        shown = treadle("show", f"r{n}", "--json", code=0).json
        [row] = [r for r in treadle("ps", "--all", "--json", code=0).json["runs"] if r["run_id"] == f"r{n}"]
        exact = sum(decimal.Decimal(str(step["cost_usd"])) for step in whole["results"].values())
        assert exact > 0
        assert whole["usage"]["cost_usd"] == row["cost_usd"] == shown["usage"]["cost_usd"] == float(exact), n


def test_a_fork_has_not_paid_for_what_it_does_not_keep(treadle, fake_provider):
    provider = fake_provider()

    def flow(usd):
        return treadle.file("w.yaml", {"workflow": {"name": "w", "budget": {"usd": usd}, "steps": [
            {"name": name, "type": "claude", "prompt": f"[[key:{name}]] say {name}"} for name in "abc"]}})

    whole = treadle("run", flow(100), "--run-id", "r", "--json", env=provider.env, code=0).json
    each = [whole["results"][name]["cost_usd"] for name in "abc"]
    assert min(each) > 0 and whole["usage"]["cost_usd"] == pytest.approx(sum(each))
    forked = treadle("fork", "r", "--from", "b", "--run-id", "f", "--json", env=provider.env, code=0).json
    assert forked["usage"]["calls"] == 3 and forked["usage"]["cost_usd"] == pytest.approx(sum(each))
    shown = treadle("show", "f", "--json", code=0).json
    assert shown["usage"]["calls"] == 3 and shown["usage"]["cost_usd"] == pytest.approx(sum(each))
    assert "of which 1 model call (" in treadle("show", "f", code=0).out
    assert treadle("resume", "f", "--json", code=0, env=provider.env).json["usage"]["calls"] == 3
    # A budget that the source has spent is enough for the fork, which keeps one call of three.
    forked = treadle("fork", "r", "--from", "b", "--run-id", "g", "--workflow", flow(sum(each) * 0.9), "--json",
                     env=provider.env, code=0).json
    assert forked["status"] == "succeeded" and forked["usage"]["calls"] == 3
    again = treadle("fork", "g", "--from", "c", "--run-id", "h", "--json", env=provider.env, code=0).json
    assert again["usage"]["calls"] == 3
    # What a run itself paid for counts, whatever became of it.
    treadle("resume", "h", "--workflow", treadle.file("x.yaml", {"workflow": {"name": "w", "steps": [
        {"name": "a", "type": "claude", "prompt": "[[key:new]] say new"}]}}), env=provider.env, code=0)
    assert treadle("show", "h", "--json", code=0).json["usage"]["calls"] == 4


# ---- a loop that ended because it may not go on


def test_a_loop_at_its_limit_is_told(treadle):
    file = treadle.file("w.yaml", {"workflow": {"name": "w", "steps": [
        {"name": "more", "type": "while_loop", "condition": "1 == 1", "max_iterations": 2, "steps": [
            {"name": "a", "type": "test_echo", "value": 1}]},
        {"name": "enough", "type": "while_loop", "condition": "!exists(steps.a)", "max_iterations": 2, "steps": [
            {"name": "a", "type": "test_echo", "value": 1}]}]}})
    shown = treadle("run", file, "--run-id", "r", code=0)
    told = [line for line in shown.err.splitlines() if "max_iterations" in line]
    assert len(told) == 1 and " more " in told[0] and "max_iterations: 2" in told[0], shown
    lines = [line for line in treadle("show", "r", code=0).out.splitlines() if "ended at max_iterations" in line]
    assert len(lines) == 1 and " more " in lines[0]
    steps = {step["name"]: step for step in treadle("show", "r", "--json", code=0).json["steps"]}
    assert steps["more"]["max_iterations_reached"] is True and "max_iterations_reached" not in steps["enough"]


# ---- a command that fails because of its sandbox


def failing(treadle, run, env=None, **more):
    """The error of a run with this command, and the command's result."""
    file = treadle.file("w.yaml", {"workflow": {"name": "w", "steps": [
        {"name": "a", "type": "command", "run": run, **more}]}})
    shown = treadle("run", file, "--json", env=env, code=1).json
    return shown["error"]["message"], shown["results"]["a"] if "a" in shown["results"] else {}


@pytest.fixture
def confined(treadle):
    if treadle.env.get("TREADLE_SANDBOX") == "none":
        pytest.skip("this system does not allow any sandbox")
    return treadle


@pytest.mark.parametrize("run", ["echo 'curl: (6) Could not resolve host: example.org' >&2; exit 6",
                                 ["/bin/sh", "-c", "curl -s example.org; exit 6"],
                                 "/usr/bin/python3 -c 'import socket; socket.getaddrinfo(\"example.org\", 80)'"])
def test_a_command_without_network_is_told_so(confined, run):
    message, _ = failing(confined, run)
    assert "this step has no network; `network: [HOST, …]` or `network: full` gives it one" in message
    assert "network" not in failing(confined, "echo oops >&2; exit 6")[0]
    assert "this step has" not in failing(confined, run, env={"TREADLE_SANDBOX": "none"})[0]


def test_a_program_whose_parts_are_not_shown(confined):
    home = confined.cwd.parent
    (home / "bin").mkdir()
    (home / "apps/tool/bin").mkdir(parents=True)
    tool = home / "apps/tool/bin/mytool"
    tool.write_text("#!/bin/sh\necho works\n")
    tool.chmod(0o755)
    (home / "bin/mytool").symlink_to(tool)
    script = home / "bin/myscript"
    script.write_text("#!" + str(tool) + "\n")
    script.chmod(0o755)
    env = {"PATH": f"{home}/bin:/usr/bin:/bin"}
    for run in ("mytool", ["mytool"], "exec mytool", "myscript"):
        message, _ = failing(confined, run, env=env)
        assert f"needs {tool}, which the sandbox does not show" in message, run
        assert f"TREADLE_SANDBOX_READ={home}/apps/tool " in message
    (home / "shims").mkdir()
    (home / "libexec").mkdir()
    shim, worker = home / "shims/run", home / "libexec/worker"
    shim.write_text(f"#!/bin/bash\nexec {worker}\n")
    worker.write_text("#!/bin/sh\ntrue\n")
    shim.chmod(0o755)
    worker.chmod(0o755)
    other = {"PATH": f"{home}/shims:/usr/bin:/bin", "HOME": "/nonexistent"}
    message, _ = failing(confined, "run", env=other)
    assert f"needs {worker}" in message and f"TREADLE_SANDBOX_READ={home} " in message
    assert "which the sandbox" not in failing(confined, f"{tool}", env=env)[0]  # it may only be asked what is there
    assert "sandbox" not in failing(confined, "no-such-program-anywhere", env=env)[0]
    assert "sandbox" not in failing(confined, "mytool() { return 127; }; echo 'x: not found' >&2; mytool", env=env)[0]
    file = confined.file("w.yaml", {"workflow": {"name": "w", "output": "{{ steps.a.stdout }}", "steps": [
        {"name": "a", "type": "command", "run": "mytool"}]}})
    assert confined("run", file, env={**env, "TREADLE_SANDBOX_READ": f"{home}/apps/tool"}, code=0).out == "works\n"


# ---- what will be done in turn though it says parallel

COMMAND = {"name": "a", "type": "command", "run": "true"}


@pytest.mark.parametrize("step, warned", [
    ({"type": "for_loop", "parallel": True, "steps": [COMMAND]}, True),
    ({"type": "for_loop", "parallel": True, "steps": [{"name": "s", "type": "switch", "expression": "'x'", "cases": {
        "x": [COMMAND, {"name": "v", "type": "set_variable", "variables": {"n": 1}}]}}]}, True),
    ({"type": "for_loop", "steps": [COMMAND]}, False),
    ({"type": "for_loop", "parallel": True, "workspace": "isolated", "steps": [COMMAND]}, False),
    ({"type": "for_loop", "parallel": True, "workspace": "shared", "steps": [COMMAND]}, False),
    ({"type": "for_loop", "parallel": True, "steps": [{**COMMAND, "workspace": "isolated"}]}, False),
    ({"type": "for_loop", "parallel": True, "steps": [COMMAND, {"name": "m", "type": "claude", "prompt": "x"}]}, False),
    ({"type": "for_loop", "parallel": True, "steps": [{"name": "e", "type": "test_echo", "value": 1}]}, False),
    ({"type": "parallel", "branches": {"x": [COMMAND], "y": [COMMAND]}}, True),
    ({"type": "parallel", "branches": {"x": [COMMAND], "y": [{"name": "z", "type": "sleep", "for": 1}]}}, False),
    ({"type": "parallel", "branches": {"x": [COMMAND]}}, False),
])
def test_commands_that_take_turns_are_told_before(treadle, step, warned):
    if step["type"] == "for_loop":
        step = {"data_source": "range(1, 3)", **step}
    workflow = {"workflow": {"name": "w", "steps": [{"name": "each", **step}]}}
    file = treadle.file("w.json", json.dumps(workflow, indent=1))
    shown = treadle("validate", file, code=0).err
    assert ("run one after the other" in shown and "`workspace: isolated`" in shown) == warned, shown
    line = int(shown.split("w.json:")[1].split(":")[0]) if warned else 0
    assert not warned or '"parallel"' in open(file).read().splitlines()[line - 1] or \
        '"branches"' in open(file).read().splitlines()[line - 1]
