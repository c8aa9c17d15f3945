"""Runs that wait: for a person, a signal, a time. Whoever answers, whether or not somebody carries the run on."""
import fcntl
import json
import os
import pty
import re
import select
import signal
import struct
import subprocess
import termios
import time

import pytest

from conftest import wait_for

ASK = """
workflow:
  name: ask
  output: "{{ steps.end }}"
  steps:
    - {name: before, type: command, run: "echo x >> count", on_interrupt: retry}
    - {name: deploy, type: approval, message: "Ship {{ steps.before.exit_code }}?", choices: [approve, reject, later]}
    - name: end
      type: test_echo
      value: "{{ steps.deploy.choice }} by {{ steps.deploy.by }}: {{ steps.deploy.comment }}"
"""

PAY = """
workflow:
  name: pay
  steps:
    - name: paid
      type: wait_signal
      signal: paid
      schema: {type: object, required: [amount], properties: {amount: {type: number}}}
    - {name: end, type: test_echo, value: "{{ steps.paid.data.amount + 1 }}"}
"""

BESIDE = """
workflow:
  name: beside
  steps:
    - {name: work, type: command, run: "until [ -e go ]; do sleep 0.02; done", depends_on: [], on_interrupt: retry}
    - {name: ask, type: approval, message: "Now?", depends_on: []}
    - {name: sig, type: wait_signal, signal: s, depends_on: []}
"""

EACH = """
workflow:
  name: each
  steps:
    - name: items
      type: for_loop
      data_source: "range(1, COUNT)"
      parallel: true
      max_parallel: COUNT
      steps:
        - {name: review, type: approval, message: "Item {{ loop.item }}?"}
        - {name: got, type: wait_signal, signal: "done"}
"""


def records(treadle, run, kind):
    lines = [json.loads(line) for line in treadle("logs", run, "--json", code=0).out.splitlines()]
    return [line for line in lines if line["kind"] == kind]


def test_nobody_there(treadle):
    """It ends with 3, says what it waits for and how to go on; the answer is durable, and resume goes on."""
    file = treadle.file("w.yaml", ASK)
    first = treadle("run", file, "--run-id", "r", "--json", code=3)
    assert first.json["status"] == "waiting" and "end" not in first.json["results"]
    error = first.json["error"]
    assert (error["class"], error["code"], error["step"]) == ("waiting", "approval", "deploy")
    assert "treadle approve r deploy" in first.err and "treadle resume r" in first.err and "Ship 0?" in first.err
    shown = treadle("show", "r", code=0).out
    assert "treadle approve r deploy" in shown and "Ship 0? (approve, reject, later)" in shown
    assert "Ship 0?" in treadle("ps", "--json", code=0).json["runs"][0]["error"]
    assert re.search(r"└ for \d+m?s: Ship 0\? \(approve, reject, later\)", treadle("ps", code=0).out)
    assert treadle("resume", "r", code=3).code == 3  # nothing has changed
    answer = treadle("approve", "r", "deploy", "--choice", "later", "--comment", "mañana", "--by", "ann",
                     "--data", '{"n": [1]}', code=0)
    assert "treadle resume r" in answer.out
    done = treadle("resume", "r", "--json", code=0).json
    assert done["results"]["deploy"] == {"choice": "later", "by": "ann", "comment": "mañana", "data": {"n": [1]}}
    assert done["output"] == "later by ann: mañana"
    assert (treadle.cwd / "workspace/count").read_text() == "x\n"


def test_answers_are_idempotent_and_first_come(treadle):
    file = treadle.file("w.yaml", ASK)
    treadle("run", file, "--run-id", "r", code=3)
    treadle("reject", "r", "deploy", code=0)
    assert "answered already" in treadle("reject", "r", "deploy", code=0).out
    other = treadle("approve", "r", "deploy", code=2).err
    assert "answered already: reject" in other
    assert len(records(treadle, "r", "result")) == 2
    treadle("resume", "r", code=0)
    assert "had been answered" in treadle("reject", "r", "deploy", code=0).out
    assert "answered already: reject" in treadle("approve", "r", "deploy", code=2).err


@pytest.mark.parametrize("args, expected", [
    (["approve", "r", "deplo"], "did you mean `deploy`?"),
    (["approve", "r", "before"], "expected one of: deploy"),
    (["approve", "r", "deploy", "--choice", "yes"], "expected one of: approve, reject, later"),
    (["approve", "r", "deploy", "--data", "{"], "--data is no JSON"),
    (["signal", "r", "x"], "no step of this workflow waits for a signal"),
    (["signal", "r", "x", "[1"], "the signal's data is no JSON"),
    (["approve", "nope", "deploy"], "nope"),
])
def test_mistakes(treadle, args, expected):
    treadle("run", treadle.file("w.yaml", ASK), "--run-id", "r", code=3)
    before = len(records(treadle, "r", "result"))
    assert expected in treadle(*args, code=2).err
    assert len(records(treadle, "r", "result")) == before


def test_signal_schema_and_buffer(treadle):
    file = treadle.file("w.yaml", PAY)
    treadle("run", file, "--run-id", "r", code=3)
    assert "/amount" in treadle("signal", "r", "paid", '{"amount": "much"}', code=2).err
    assert "did you mean `paid`" in treadle("signal", "r", "piad", code=2).err
    assert not records(treadle, "r", "signal")
    for _ in range(2):
        treadle("signal", "r", "paid", '{"amount": 41}', "--id", "one", code=0)
    assert len(records(treadle, "r", "signal")) == 1
    done = treadle("resume", "r", "--json", code=0).json
    assert done["results"] == {"paid": {"data": {"amount": 41}}, "end": 42}
    assert "has ended" in treadle("signal", "r", "paid", '{"amount": 1}', code=2).err


def test_answers_to_a_living_run(treadle):
    """They arrive through the socket, are recorded before they are confirmed, and move the run at once."""
    # a step that may be run again sees no file that comes while it runs
    beside = BESIDE.replace("on_interrupt: retry", "on_interrupt: hold")
    process = treadle.start("run", treadle.file("w.yaml", beside), "--run-id", "r", "--json")
    process.wait_output("wait +ask/wait:1")
    process.wait_output("wait +sig/wait:1")
    shown = treadle("show", "r", code=0).out
    assert "It waits here" in shown and "treadle approve r ask" in shown and "treadle signal r s" in shown
    assert "choices" in treadle("approve", "r", "ask", "--choice", "no", code=2).err
    assert "treadle resume" not in treadle("approve", "r", "ask", code=0).out
    assert [r["path"] for r in records(treadle, "r", "result")] == ["ask/wait:1"]
    assert "had been answered" in treadle("approve", "r", "ask", code=0).out
    treadle("signal", "r", "s", '"' + 100000 * "x" + '"', code=0)
    (treadle.cwd / "workspace/go").touch()
    result = process.wait()
    assert result.code == 0 and result.json["results"]["ask"]["choice"] == "approve"
    assert len(result.json["results"]["sig"]["data"]) == 100000


def test_stays_with_wait(treadle):
    process = treadle.start("run", treadle.file("w.yaml", ASK), "--run-id", "r", "--wait", "--json")
    process.wait_output("wait +deploy/wait:1")
    assert not list(treadle.cwd.glob("nothing")) and process.popen.poll() is None
    treadle("reject", "r", "deploy", code=0)
    result = process.wait()
    assert result.code == 0 and result.json["results"]["deploy"]["choice"] == "reject"


def test_killed_while_it_waits(treadle):
    """kill -9 while it waits, an answer while it is dead: neither is lost, nothing is done twice."""
    file = treadle.file("w.yaml", BESIDE)
    process = treadle.start("run", file, "--run-id", "r")
    process.wait_output("wait +sig/wait:1")
    treadle("approve", "r", "ask", code=0)
    process.kill()
    assert treadle("ps", "--json", code=0).json["runs"][0]["status"] == "interrupted"
    assert "had been answered" in treadle("approve", "r", "ask", code=0).out
    treadle("signal", "r", "s", "7", code=0)
    (treadle.cwd / "workspace/go").touch()
    done = treadle("resume", "r", "--json", code=0).json
    assert done["results"]["ask"]["choice"] == "approve" and done["results"]["sig"] == {"data": 7}


def test_first_come_first_served(treadle):
    """Signals go to the frames in the order in which they began to wait; an ending of a path names a step."""
    treadle("run", treadle.file("w.yaml", EACH.replace("COUNT", "3")), "--run-id", "r", code=3)
    assert "several" in treadle("approve", "r", "review", code=2).err
    for index in (2, 0, 1):
        treadle("approve", "r", f"{index}/review", code=0)
        treadle("resume", "r", code=3)
    for data in "abc":
        treadle("signal", "r", "done", json.dumps(data), code=0)
    done = treadle("resume", "r", "--json", code=0).json
    assert [i["results"]["got"]["data"] for i in done["results"]["items"]["iterations"]] == ["b", "c", "a"]


@pytest.mark.parametrize("late, code, expected", [
    ("", 1, None), ("on_timeout: fail", 1, None), ("on_timeout: reject", 0, "reject"),
])
def test_time_is_over(treadle, late, code, expected):
    """A time that is over soon is waited for."""
    file = treadle.file("w.yaml", "workflow:\n  name: w\n  steps:\n    - name: ask\n      type: approval\n"
                                  f"      message: m\n      timeout: 300ms\n      {late}\n")
    result = treadle("run", file, "--json", code=code).json
    if expected:
        assert result["results"]["ask"] == {"choice": expected, "by": "timeout", "comment": "", "data": None}
    else:
        assert result["error"]["class"] == "timeout"


def test_time_is_over_while_nobody_is_there(treadle):
    file = treadle.file("w.yaml", "workflow:\n  name: w\n  steps:\n"
                                  "    - {name: ask, type: approval, message: m, timeout: 62s, on_timeout: reject}\n")
    treadle("run", file, "--run-id", "r", code=3)
    [intent] = records(treadle, "r", "intent")
    assert intent["data"]["wait"]["until_ms"] == pytest.approx(intent["time_ms"] + 62000, abs=50)
    process = treadle.start("resume", "r", "--wait", "--json")
    assert process.wait_output("until|wait +ask") and process.popen.poll() is None
    process.kill()
    [again] = records(treadle, "r", "intent")
    assert again == intent


def test_sleep_goes_on_where_it_was(treadle):
    file = treadle.file("w.yaml", "workflow:\n  name: w\n  steps:\n    - {name: nap, type: wait, for: 1500ms}\n"
                                  "    - {name: old, type: wait, duration_seconds: 0.1}\n"
                                  "    - {name: past, type: sleep, until: \"2020-01-01T00:00:00Z\"}\n")
    process = treadle.start("run", file, "--run-id", "r")
    process.wait_output("wait +nap/wait:1")
    process.kill()
    begun = records(treadle, "r", "intent")[0]
    done = treadle("resume", "r", "--json", code=0).json
    assert done["results"]["past"] == {"success": True, "until": "2020-01-01T00:00:00Z"}
    slept = next(r for r in records(treadle, "r", "result") if r["path"] == "nap/wait:1")
    assert 1500 <= slept["time_ms"] - begun["time_ms"] < 6000
    assert begun["data"]["wait"]["until_ms"] == begun["time_ms"] + 1500


def test_cancelled_while_it_waits(treadle):
    treadle("run", treadle.file("w.yaml", ASK), "--run-id", "r", code=3)
    treadle("cancel", "r", code=0)
    assert "has ended: cancelled" in treadle("approve", "r", "deploy", code=2).err


def resident(process):
    """Bytes of memory that a process takes."""
    [kilobytes] = re.findall(r"VmRSS:\s+(\d+) kB", open(f"/proc/{process.pid}/status").read())
    return int(kilobytes) << 10


def test_a_thousand_wait(treadle):
    """Many waiting frames take little room, and are answered one by one; none is lost."""
    one = treadle.file("one.yaml", EACH.replace("COUNT", "1").replace("approval, message: ", "test_echo, value: "))
    alone = treadle.start("run", one, "--wait")
    alone.wait_output("wait +items/0/got/wait:1")
    before = resident(alone)
    alone.kill()
    file = treadle.file("w.yaml", EACH.replace("COUNT", "1000").replace(
        '        - {name: review, type: approval, message: "Item {{ loop.item }}?"}\n', ""))
    started = time.monotonic()
    treadle("run", file, "--run-id", "r", code=3)
    assert time.monotonic() - started < 20
    process = treadle.start("resume", "r", "--wait", "--json")
    process.wait_output("items/999/got/wait:1", timeout=20)
    assert resident(process) - before < 1000 * 6500  # three frames each; about 5 KB were measured
    for n in range(3):
        treadle("signal", "r", "done", str(n), code=0)
    wait_for(lambda: len(records(treadle, "r", "result")) == 3, what="three results")
    assert [r["path"].split("/")[1] for r in records(treadle, "r", "result")] == ["0", "1", "2"]


class Person:
    """Somebody in front of a terminal, who reads what is shown and types."""

    def __init__(self, treadle, *args, env=None):
        self.ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        self.out = open(treadle.cwd / f".out.{time.monotonic_ns()}", "w+")
        self.process = subprocess.Popen([treadle.path, *args], cwd=treadle.cwd, stdin=theirs, stdout=self.out,
                                        env=treadle.environment({"TERM": "xterm", "USER": "eve", **(env or {})}),
                                        stderr=theirs, start_new_session=True)
        os.close(theirs)
        self.shown, self.read_to = "", 0

    def read(self):
        """False at the end."""
        if not select.select([self.ours], [], [], 0.1)[0]:
            return True
        try:
            piece = os.read(self.ours, 65536)
        except OSError:
            return False
        self.shown += re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", piece.decode("utf-8", "replace").replace("\r\n", "\n"))
        return bool(piece)

    def sees(self, pattern, timeout=10):
        """Waits for it behind what was seen last."""
        end = time.monotonic() + timeout
        while time.monotonic() < end:
            match = re.search(pattern, self.shown[self.read_to:])
            if match:
                self.read_to += match.end()
                return match
            if not self.read():
                break
        pytest.fail(f"{pattern!r} is not shown:\n{self.shown}")

    def types(self, text):
        os.write(self.ours, text.encode())

    def end(self):
        while self.read():
            pass
        os.close(self.ours)
        code = self.process.wait(10)
        self.out.seek(0)
        return code, self.out.read()


TWO = """
workflow:
  name: two
  steps:
    - {name: work, type: command, run: "until [ -e go ]; do sleep 0.02; done", depends_on: [], on_interrupt: retry}
    - {name: first, type: approval, message: "One?\\nReally\u202e?", depends_on: []}
    - {name: second, type: approval, message: "Two?", choices: [yes, "yes but", no], depends_on: [first]}
  output: ["{{ steps.first }}", "{{ steps.second }}"]
"""


@pytest.mark.parametrize("term", ["xterm", "dumb"])
def test_asked_on_the_terminal(treadle, term):
    person = Person(treadle, "run", treadle.file("w.yaml", TWO.replace("yes,", '"yes",').replace(" no]", ' "no"]')),
                    env={"TERM": term})
    person.sees(r"\? first asks\s+One\?\s+Really \?\s+approve, reject.*: ")
    person.types("what\n")
    person.sees(r"please answer with one of: approve, reject\s+approve, reject.*: ")
    person.types("app fine by me\n")
    person.sees(r"\? second asks\s+Two\?\s+yes, yes but, no .*: ")
    person.types("yes but slowly\n")
    (treadle.cwd / "workspace/go").touch()
    person.sees("succeeded")
    code, out = person.end()
    assert code == 0, person.shown
    first, second = json.loads(out)
    assert first == {"choice": "approve", "by": "eve", "comment": "fine by me", "data": None}
    assert (second["choice"], second["comment"]) == ("yes but", "slowly")


@pytest.mark.parametrize("term", ["xterm", "dumb", "tmux-256color"])
def test_nothing_comes_between_a_question_and_its_answer(treadle, term):
    person = Person(treadle, "run", treadle.file("w.yaml", TWO.replace("yes,", '"yes",').replace(" no]", ' "no"]')),
                    "--run-id", "r", env={"TERM": term})
    person.sees(r"\? first asks\s+One\?\s+Really \?\s+approve, reject.*: ")
    person.types("app")
    person.sees("app")
    (treadle.cwd / "workspace/go").touch()
    wait_for(lambda: any(r["path"] == "work" for r in records(treadle, "r", "done")), what="the other step's end")
    person.read()
    assert person.shown[person.read_to:] == "", person.shown
    person.types("rove\n")
    person.sees(r"rove\n(.*\n)*?.*work .*\n(.*\n)*?\? second asks")
    person.types("no\n")
    person.sees("succeeded")
    assert person.end()[0] == 0, person.shown


def test_terminal_is_left_or_overtaken(treadle):
    """Ctrl-D: the run ends as where nobody is; an answer from elsewhere takes the question away."""
    file = treadle.file("w.yaml", ASK)
    person = Person(treadle, "run", file, "--run-id", "r")
    person.sees(r"deploy asks.*\n.*Ship 0\?\n.*: ")
    person.types("\x04")
    code, _ = person.end()
    assert code == 3 and "treadle approve r deploy" in person.shown
    person = Person(treadle, "resume", "r")
    person.sees("deploy asks")
    treadle("reject", "r", "deploy", "--comment", "no", code=0)
    person.sees("succeeded")
    code, out = person.end()
    assert code == 0 and out.startswith("reject by ")


def test_ctrl_c_while_asking(treadle):
    person = Person(treadle, "run", treadle.file("w.yaml", ASK), "--run-id", "r")
    person.sees("a comment may follow")
    os.kill(person.process.pid, signal.SIGINT)
    code, _ = person.end()
    assert code == 130, person.shown


def test_not_asked(treadle):
    """Quiet, or without a terminal to read from, nobody is asked."""
    file = treadle.file("w.yaml", ASK)
    code, _ = Person(treadle, "run", file, "--quiet").end()
    assert code == 3


@pytest.mark.parametrize("point, there", [("before.signal", False), ("after.signal", True)])
def test_killed_while_a_signal_arrives(treadle_faults, point, there):
    """Who gets no confirmation sends it again with the same id, to whoever is there: it counts once."""
    file = treadle_faults.file("w.yaml", PAY)
    process = treadle_faults.start("run", file, "--run-id", "r", "--wait",
                                   env={"TREADLE_FAULT": f"engine.kill.{point}=1"})
    process.wait_output("wait +paid/wait:1")
    args = ["signal", "r", "paid", '{"amount": 1}', "--id", "x"]
    first = treadle_faults(*args)
    assert process.wait().code == -9
    assert (first.code == 0) == (first.err == ""), first  # it may have found the dead run already
    again = treadle_faults(*args, code=0).out
    assert ("was there already" in again) == (there or first.code == 0), (first, again)
    assert len(records(treadle_faults, "r", "signal")) == 1
    assert treadle_faults("resume", "r", "--json", code=0).json["results"]["end"] == 2


def test_killed_while_an_answer_arrives(treadle_faults):
    file = treadle_faults.file("w.yaml", ASK)
    for number, point in enumerate(["before.result=2", "after.result=2"]):
        run = f"r{number}"
        process = treadle_faults.start("run", file, "--run-id", run, "--wait",
                                       env={"TREADLE_FAULT": f"engine.kill.{point}"})
        process.wait_output("wait +deploy/wait:1")
        treadle_faults("reject", run, "deploy")
        assert process.wait().code == -9
        treadle_faults("reject", run, "deploy", code=0)
        done = treadle_faults("resume", run, "--json", code=0).json
        assert done["results"]["deploy"]["choice"] == "reject"
