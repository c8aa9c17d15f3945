#!/usr/bin/env python3
"""kill -9 of `treadle run` while its commands do their best to be missed: a second later nothing of them may live.

    test_orphans_run.py KILLS SEED

The commands start other sessions, orphan themselves twice, are deaf to TERM, stop themselves, drop their environment,
fork all the time. Each of their processes carries a mark in its environment or its command line; /proc is searched for
it. The control starts the same commands without Treadle and must find survivors.
"""
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


def one(directory, number, draw):
    """Seconds from the kill until nothing was left, and how many processes it found."""
    place = directory / str(number)
    place.mkdir()
    mark = f"orphan-mark-{os.getpid()}-{number}-x"
    (place / "workflow.json").write_text(json.dumps(workflow(mark)))
    env = conftest.plain_env(place)
    process = subprocess.Popen([conftest.program("treadle"), "run", "workflow.json", "--quiet"], env=env, cwd=place,
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    try:
        if number % 4:  # else the kill may come before anything is started
            wanted = draw.randint(1, 15)
            if not wait_for(lambda: len(marked(mark)) >= wanted or process.poll() is not None, 30):
                raise AssertionError(f"the commands did not start: {marked(mark)}")
        time.sleep(draw.uniform(0, 0.1))
        if process.poll() is not None:
            raise AssertionError(f"ended by itself ({process.returncode}): {process.stderr.read().decode()}")
        seen = len(marked(mark))
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stderr.close()
    begun = time.monotonic()
    if not wait_for(lambda: not marked(mark), deadline()):
        survivors = marked(mark)
        for pid in survivors:
            os.kill(pid, signal.SIGKILL)
        raise AssertionError(f"round {number}: alive {deadline():.1f} s after the kill: {survivors}")
    took = time.monotonic() - begun
    shutil.rmtree(place)
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
    survivors = marked(mark)
    for pid in survivors:
        os.kill(pid, signal.SIGKILL)
    if len(survivors) < len(COMMANDS):
        raise AssertionError(f"the control found only {survivors}")
    return len(survivors)


def campaign(kills, seed):
    directory = pathlib.Path(tempfile.mkdtemp(prefix="treadle-orphans-"))
    draw = random.Random(seed)
    survivors = control()
    rounds = [one(directory, number, draw) for number in range(kills)]
    shutil.rmtree(directory)
    return (f"seed {seed}: {kills} kills, {sum(seen for _, seen in rounds)} processes, 0 outlived them (95 % bound "
            f"{3 / kills:.2g} a kill), the slowest end took {max(took for took, _ in rounds) * 1000:.0f} ms; "
            f"{survivors} survivors without Treadle")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    print(campaign(int(sys.argv[1]), int(sys.argv[2])))
