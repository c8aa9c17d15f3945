#!/usr/bin/env python3
"""The end of runs whose commands do their best to be missed: a second later nothing of them may live.

    test_orphans_run.py ROUNDS SEED

Runs end in three ways, in turns: `treadle run` is killed with -9; `treadle cancel` is told to end it; a run of a
service is cancelled over HTTP.

The commands start other sessions, orphan themselves twice, are deaf to TERM, stop themselves, drop their environment,
fork all the time. Each of their processes carries a mark in its environment or its command line; /proc is searched for
it. The control starts the same commands without Treadle and must find survivors.
"""
import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "scenario"))
import conftest  # noqa: E402
from service import Service  # noqa: E402

DEAF = "trap '' TERM HUP INT; while :; do sleep 1; done"
COMMANDS = [
    DEAF,
    f"(setsid sh -c \"{DEAF}\" &); sleep 1000",
    "(setsid sh -c '(setsid sleep 1000 >/dev/null 2>&1 </dev/null &)' &); exec sleep 1000",
    "(sh -c 'kill -STOP $$; sleep 1000' &); sleep 1000",
    "for i in 1 2 3 4 5 6 7 8 9; do (setsid sleep 1000 &); done; exec setsid sleep 1000",
    "env -i sh -c 'trap \"\" TERM; (setsid sh -c \"while :; do sleep 0.1; done\" $0 &); while :; do sleep 0.1; done'"
    " \"$MARK\"",  # the mark of these is in their command lines
]
FORKER = "while :; do (setsid sleep 1000 &); sleep 0.003; done"  # not in the control: nothing would end it


def marked(mark):
    """{pid: command line} of the living processes with the mark."""
    found, mark = {}, mark.encode()
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            command = (entry / "cmdline").read_bytes()
            if mark in command or mark in (entry / "environ").read_bytes():
                found[int(entry.name)] = command.replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue
    return found


def all_gone(mark):
    """A look through /proc takes its time, and may miss who forks and ends meanwhile: so it is done three times."""
    return not any(marked(mark) for _ in range(3))


def kill_all(mark):
    survivors = marked(mark)
    for pid in survivors:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return survivors


def deadline():
    """A second, for a machine that has a processor for everybody; in proportion when more are in the queue."""
    return max(1.0, os.getloadavg()[0] / os.cpu_count())


def wait_for(condition, seconds):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.005)
    return True


def workflow(mark):
    steps = [{"name": f"c{i}", "type": "command", "run": run, "env": {"MARK": mark},
              "workspace": "isolated"}
             for i, run in enumerate([*COMMANDS, FORKER])]
    # each in an iteration of its own, all at the same time
    body = [{**step, "condition": f"loop.item == {i}"} for i, step in enumerate(steps)]
    return {"workflow": {"name": "orphans", "steps": [
        {"name": "all", "type": "for_loop", "data_source": list(range(len(body))), "parallel": True,
         "max_parallel": len(body), "steps": body}]}}


class Started:
    """A run of the workflow under way, and what ends it."""

    def __init__(self, how, place, mark, service):
        self.how, self.place, self.service = how, place, service
        (place / "workflow.json").write_text(json.dumps(workflow(mark)))
        self.env = conftest.plain_env(place)
        if how == "http":
            self.id = service.run((place / "workflow.json").read_text())
            return
        self.process = self.treadle("run", "workflow.json", "--quiet", "--run-id", "orphans")

    def treadle(self, *arguments):
        return subprocess.Popen([conftest.program("treadle"), *arguments], env=self.env, cwd=self.place,
                                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def over(self):
        if self.how == "http":
            return self.service.show(self.id)["status"] not in ("queued", "running")
        return self.process.poll() is not None

    def end(self):
        """When it was told to end."""
        begun = time.monotonic()
        if self.how == "kill":
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
            return time.monotonic()
        if self.how == "http":
            status, body = self.service.http("POST", f"/v1/runs/{self.id}/cancel", {})
            assert status == 202, body
            return begun
        self.cancel = self.treadle("cancel", "orphans")
        return begun

    def check(self):
        """It says that it was cancelled."""
        if self.how == "http":
            assert self.service.ended(self.id)["status"] == "cancelled"
        elif self.how == "cancel":
            said, wrong = self.cancel.communicate(timeout=60)
            assert b"is cancelled" in said, said + wrong
            self.process.wait(60)

    def close(self):
        if self.how != "http":
            self.process.kill()
            self.process.communicate()


def one(directory, number, draw, how, service):
    """Seconds from the order to end until nothing was left, and how many processes it found."""
    place = directory / str(number)
    place.mkdir()
    mark = f"orphan-mark-{os.getpid()}-{number}-x"
    run = Started(how, place, mark, service)
    try:
        if draw.randrange(4):  # else the end may come before anything is started
            wanted = draw.randint(1, 15)
            if not wait_for(lambda: len(marked(mark)) >= wanted or run.over(), 30):
                raise AssertionError(f"the commands did not start: {marked(mark)}")
        time.sleep(draw.uniform(0.05, 0.15) if how == "cancel" else draw.uniform(0, 0.1))
        if run.over():
            raise AssertionError("it ended by itself")
        seen = len(marked(mark))
        begun = run.end()
        if not wait_for(lambda: all_gone(mark), deadline()):
            survivors = kill_all(mark)
            raise AssertionError(f"round {number} ({how}): {len(survivors)} alive {deadline():.1f} s after the end: "
                                 f"{dict(list(survivors.items())[:10])}")
        took = time.monotonic() - begun
        run.check()
        late = marked(mark)
        if late:
            raise AssertionError(f"round {number} ({how}): commands were started after the end: {late}")
    finally:
        run.close()
    # The kernel takes a view's mount away a moment after the last process, and tidies up in its work directory.
    assert wait_for(lambda: shutil.rmtree(place, ignore_errors=True) or not place.exists(), 10), f"{place} stays"
    return took, seen


def control():
    """The same commands without Treadle; how many processes outlived a kill of what started them."""
    mark = f"orphan-mark-{os.getpid()}-control-x"
    env = {"PATH": "/usr/bin:/bin", "MARK": mark}
    shells = [subprocess.Popen(["/bin/sh", "-c", command], env=env) for command in COMMANDS]
    time.sleep(0.5)
    for shell in shells:
        shell.kill()
        shell.wait()
    time.sleep(0.2)
    survivors = kill_all(mark)
    if len(survivors) < len(COMMANDS):
        raise AssertionError(f"the control found only {survivors}")
    return len(survivors)


WAYS = ("kill", "cancel", "http")


def campaign(rounds, seed):
    directory = pathlib.Path(tempfile.mkdtemp(prefix="treadle-orphans-"))
    draw = random.Random(seed)
    survivors = control()
    user = conftest.Treadle("treadle", directory)
    service = Service(user, mock="").start()
    ends = {how: [] for how in WAYS}
    try:
        for number in range(rounds):
            how = WAYS[number % len(WAYS)]
            ends[how].append(one(directory, number, draw, how, service))
    finally:
        for process in user.processes:
            process.close()
    shutil.rmtree(directory)
    slowest = ", ".join(f"{how} {max(took for took, _ in all_) * 1000:.0f} ms" for how, all_ in ends.items() if all_)
    late = sum(took > 1 for all_ in ends.values() for took, _ in all_)
    processes = sum(seen for all_ in ends.values() for _, seen in all_)
    return (f"seed {seed}: {rounds} ends, {processes} processes, 0 outlived them (95 % bound {3 / rounds:.2g} an end); "
            f"the slowest of each kind: {slowest}; {late} took more than a second; "
            f"{survivors} survivors without Treadle")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    print(campaign(int(sys.argv[1]), int(sys.argv[2])))
