#!/usr/bin/env python3
"""A disk that fills up under a service, is freed, and fills up again.

    disk_campaign.py CYCLES --directory DIR       needs to mount a small tmpfs
    disk_campaign.py --control --directory DIR    a process that dies meanwhile: the judge must notice

In each cycle a run calls models one after another while the file system of the journal is filled to the last byte.
Judged from outside, by the provider's ledger, the log and the HTTP interface:
  - the service says that the disk is full and what to do, a few times at most, and says when it goes on;
  - meanwhile nothing new is sent, a start is refused with 503, what is known can still be read;
  - afterwards the run goes on by itself and ends with its output; no call was made twice;
  - no process has died or was started again; the database is whole.
"""
import argparse
import pathlib
import sqlite3
import subprocess
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "scenario"))
import conftest  # noqa: E402
from service import Service  # noqa: E402

STEPS, TEXT = 16, 100_000  # more than what an old log of the database has room for without growing
EACH = 4  # cycles of one service; then the next, with a fresh disk
LARGE = "workflow: {name: large, steps: [{name: a, type: test_echo, value: 1}]}\n# " + "x" * 3_000_000
FULL, ROOM = "is full", "has room again"
ROLES = ("engine", "egress", "executor", "gateway")


def text(name, i):
    """Of each step another one: the same text would be kept once."""
    return f"{name} {i} " + "x" * TEXT


def workflow(name):
    steps = "".join(f"    - {{name: s{i}, type: claude, prompt: \"[[key:{name}-{i}]]\\n{text(name, i)}\"}}\n"
                    for i in range(STEPS))
    return f"workflow:\n  name: full\n  output: \"{{{{ steps.s{STEPS - 1}.text }}}}\"\n  steps:\n{steps}"


def fill(path):
    with open(path, "ab", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                pass


def cycle(service, provider, name, filler, control):
    log = service.log()
    full, room = log.count(FULL), log.count(ROOM)
    before = provider.total()
    runs = [service.run(workflow(name))]
    conftest.wait_for(lambda: provider.total() >= before + 2, 20, "two calls")
    begin = time.monotonic()
    fill(filler)
    while service.log().count(FULL) == full:  # the database's log may still have room inside
        if service.show(runs[-1])["status"] == "succeeded":
            more = {"workflow_yaml": workflow(f"{name}+{len(runs)}")}
            status, body = service.http("POST", "/run_pipeline", more)
            if status != 202:
                break
            runs.append(body["run_id"])
        assert time.monotonic() - begin < 60, f"{name}: it is not said that the disk is full"
        time.sleep(0.02)
    paused = service.log().count(FULL) > full
    if paused:
        line = [line for line in service.log().splitlines() if FULL in line][-1]
        assert "make room" in line, f"{name}: what to do is not said: {line}"
    for attempt in range(20):  # the reserve beside the journal is given up and used first, to say that it is full
        fill(filler)
        status, body = service.http("POST", "/run_pipeline", {"workflow_yaml": f"{LARGE}{name}{attempt}"})
        if status == 503:
            break
    assert status == 503 and ("full" in body["detail"] or "No space left" in body["detail"]), (name, status, body)
    conftest.wait_for(lambda: provider.stats()["in_flight"] == 0, 20, "the calls under way end")
    sent = provider.total()
    assert service.http("GET", f"/v1/runs/{runs[0]}")[0] == 200, name
    if control:
        service.kill("egress")
    assert provider.total() == sent, f"{name}: a call was sent while the disk was full"
    filler.unlink()
    if paused:
        conftest.wait_for(lambda: service.log().count(ROOM) > room, 20, f"{name}: it goes on")
    for i, run in enumerate(runs):
        body, wanted = service.ended(run, 30), text(f"{name}+{i}" if i else name, STEPS - 1)
        assert body["status"] == "succeeded" and body["output"] == wanted, (name, str(body)[:500])
    twice = {key: entry["started"] for key, entry in provider.ledger().items() if entry["started"] != 1}
    assert not twice, f"{name}: calls that were made more than once: {twice}"
    assert service.log().count(FULL) <= full + 3, f"{name}: it is said again and again"
    return time.monotonic() - begin, paused


def campaign(cycles, directory, control):
    home = directory / "home"
    home.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=96m", "tmpfs", home], check=True)
    provider = conftest.FakeProvider(directory, delay_ms=40)
    service = None
    try:
        service = Service(conftest.Treadle("treadle", directory), env=provider.env).start()
        pids = {role: service.pid(role) for role in ROLES}
        took = []
        for i in range(cycles):
            took.append(cycle(service, provider, f"c{i}", home / "filler", control))
            now = {role: service.pid(role) for role in ROLES}
            assert now == pids, f"c{i}: processes were started again: {pids} -> {now}"
        assert service.stop().code == 0, service.log()[-2000:]
        with sqlite3.connect(home / "service.db") as db:
            assert db.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        return provider.total(), took
    finally:
        if service:
            for process in service.treadle.processes:
                process.close()
        provider.close()
        subprocess.run(["umount", "--lazy", home], check=False)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("cycles", type=int, nargs="?", default=3)
    parser.add_argument("--directory", type=pathlib.Path, required=True)
    parser.add_argument("--control", action="store_true")
    options = parser.parse_args()
    if not options.control:
        calls, took = 0, []
        while len(took) < options.cycles:
            made, times = campaign(min(EACH, options.cycles - len(took)), options.directory / str(len(took)), False)
            calls, took = calls + made, took + times
        paused, took = sum(p for _, p in took), sorted(seconds for seconds, _ in took)
        print(f"{len(took)} times full and free, {paused} of them in the middle of a run (else a start was refused): "
              f"{calls} calls, each made once; all runs succeeded; no process died; "
              f"a cycle took {took[len(took) // 2]:.1f} s (median), {took[-1]:.1f} s (worst)")
        return 0
    try:
        campaign(3, options.directory, True)
    except AssertionError as problem:
        print(f"the seeded bug was noticed: {str(problem)[:200]}")
        return 0
    print("the seeded bug was NOT noticed")
    return 1


if __name__ == "__main__":
    sys.exit(main())
