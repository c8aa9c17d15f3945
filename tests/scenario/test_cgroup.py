"""Control groups: where one is delegated to Treadle, the kernel bounds what a command and all it starts use.

Needs root and a machine whose control groups (version 2) have the controllers `memory` and `pids` to give away.
"""
import json
import os
import pathlib
import subprocess

import pytest

from conftest import plain_env, program, wait_for
from test_serve import service  # noqa: F401 (a fixture)

ROOTS = [pathlib.Path("/sys/fs/cgroup"), pathlib.Path("/sys/fs/cgroup/unified")]


@pytest.fixture
def group(tmp_path):
    """A group of our own, as systemd makes one with Delegate=."""
    for root in ROOTS:
        try:
            if "memory" not in (root / "cgroup.controllers").read_text():
                continue
            (root / "cgroup.subtree_control").write_text("+memory +pids")
            made = root / f"treadle-test-{os.getpid()}"
            made.mkdir()
        except OSError:
            continue
        yield made
        wait_for(lambda: "populated 0" in (made / "cgroup.events").read_text(), what="nobody in the group")
        for below in made.iterdir():
            if below.is_dir():
                below.rmdir()
        made.rmdir()
        return
    pytest.skip("CONTROL GROUPS NOT TESTED: nobody gives away `memory` and `pids` of version 2 here")


def start(group, tmp_path, *args):
    def enter():
        (group / "cgroup.procs").write_text(str(os.getpid()))
    return subprocess.Popen([program("treadle"), *map(str, args)], env=plain_env(tmp_path), cwd=tmp_path, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=enter)


def workflow(tmp_path, *steps):
    (tmp_path / "w.json").write_text(json.dumps({"workflow": {"name": "w", "steps": list(steps)}}))
    return tmp_path / "w.json"


def groups(group):
    return sorted(path.name for path in group.iterdir() if path.is_dir())


def command(name, run, **more):
    return {"name": name, "type": "command", "run": run, **more}


def finish(process, code):
    out, err = process.communicate(timeout=120)
    assert process.returncode == code, out + err
    return json.loads(out)


def test_memory(group, tmp_path):
    eats = "/usr/bin/python3 -c 'x = bytearray(300 << 20)' & wait $!; echo lives on"
    file = workflow(tmp_path, command("a", "cat /proc/self/cgroup", memory_limit="64MB"),
                    command("b", eats, memory_limit="64MB", on_error="continue"))
    results = finish(start(group, tmp_path, "run", file, "--json", "--quiet"), 0)["results"]
    assert results["a"]["bounded_by"] == "cgroup", results
    assert results["b"]["error"]["class"] == "limit" and results["b"]["error"]["code"] == "memory", results
    assert groups(group) == ["treadle.main"]  # the commands' are gone


def test_processes(group, tmp_path):
    many = "for i in $(seq 60); do sleep 30 & done; wait"
    file = workflow(tmp_path, command("a", many, process_limit=20, on_error="continue"),
                    command("b", "for i in $(seq 5); do sleep 0.1 & done; wait; echo well", process_limit=20))
    results = finish(start(group, tmp_path, "run", file, "--json", "--quiet"), 0)["results"]
    assert results["a"]["error"]["class"] == "limit" and results["a"]["error"]["code"] == "processes", results
    assert results["b"]["stdout"] == "well\n" and results["b"]["bounded_by"] == "cgroup"


def test_the_bounds_are_the_kernels(group, tmp_path):
    file = workflow(tmp_path, command("a", "touch here; sleep 60", memory_limit="64MB", process_limit=20,
                                     on_interrupt="hold", network="full"))
    process = start(group, tmp_path, "run", file, "--json", "--quiet", "--run-id", "r", "--workspace", "ws")
    wait_for((tmp_path / "ws/here").exists, 30, "the command runs")
    (own,) = (group / name for name in groups(group) if name != "treadle.main")
    assert "populated 1" in (own / "cgroup.events").read_text()
    assert (own / "memory.max").read_text() == f"{64 << 20}\n" and (own / "pids.max").read_text() == "20\n"
    assert (own / "memory.oom.group").read_text() == "1\n"
    process.kill()  # the launcher ends the command, and its group
    process.communicate()
    wait_for(lambda: groups(group) == ["treadle.main"], 20, "the end of the group")


def test_the_service(group, treadle, service):  # noqa: F811
    """As systemd starts it: alone in a group that is delegated to it."""
    wrapper = treadle.cwd / "in-the-group"
    wrapper.write_text(f"#!/bin/sh\necho $$ > {group}/cgroup.procs\nexec {treadle.path} \"$@\"\n")
    wrapper.chmod(0o755)
    treadle.path = str(wrapper)
    s = service(mock="")
    assert groups(group) == ["treadle.main"]
    within = (group / "treadle.main/cgroup.procs").read_text().split()
    assert {str(s.pid(role)) for role in ("supervisor", "engine", "egress", "executor", "gateway")} <= set(within)
    steps = [command("a", "echo well"), command("b", "/usr/bin/python3 -c 'x = bytearray(300 << 20)'",
                                                memory_limit="64MB", on_error="continue")]
    for life in range(2):
        results = s.ended(s.run(json.dumps({"workflow": {"name": "w", "steps": steps}})))["results"]
        assert results["a"]["bounded_by"] == "cgroup" and results["b"]["error"]["code"] == "memory", results
        if not life:
            s.kill("executor")  # its next life is in the same group
    assert s.stop().code == 0


def test_doctor(group, tmp_path):
    out, _ = start(group, tmp_path, "doctor").communicate()
    assert "control groups    available" in out, out
    said = subprocess.run([program("treadle"), "doctor"], env=plain_env(tmp_path), capture_output=True, text=True)
    assert "control groups" in said.stdout and "looked at" in said.stdout


def test_not_alone_in_its_group(group, tmp_path):
    """Others are not ours to move: then what commands use is looked at."""
    other = subprocess.Popen(["sleep", "60"], preexec_fn=lambda: (group / "cgroup.procs").write_text(str(os.getpid())))
    file = workflow(tmp_path, command("a", "echo well"),
                    command("b", "/usr/bin/python3 -c 'import time; x = bytearray(300 << 20); time.sleep(20)'",
                            memory_limit="64MB", on_error="continue"))
    results = finish(start(group, tmp_path, "run", file, "--json", "--quiet"), 0)["results"]
    other.kill()
    other.wait()
    assert "bounded_by" not in results["a"] and results["a"]["stdout"] == "well\n"
    assert results["b"]["error"]["code"] == "memory", results
