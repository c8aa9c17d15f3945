#!/usr/bin/env python3
"""Many runs that wait for somebody, in one service: they cost almost no memory, and the engine starts again at once.

    parked_campaign.py RUNS --directory DIR
    parked_campaign.py --control --directory DIR      seeded bugs: the judge must notice

Half of the runs wait for an approval, half for a signal. Judged from outside:
  - what all processes of the service have grown by meanwhile: less than 10 MB (the database's cache, and what was in
    flight at once) and 4,000 bytes a run, so 50 MB for 10,000;
  - from a kill -9 of the engine until it has all of them again and answers: less than a second;
  - afterwards some of them, picked evenly, are answered, and end with what was said; the others still wait.
"""
import argparse
import concurrent.futures
import http.client
import json
import os
import pathlib
import signal
import sys
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "scenario"))
import conftest  # noqa: E402
from service import Service  # noqa: E402

BYTES, BYTES_A_RUN, RESTART_S, CLIENTS, ANSWERED = 10_000_000, 4000, 1.0, 16, 20
ROLES = ("supervisor", "engine", "egress", "executor", "gateway")
APPROVAL = """\
workflow:
  name: parked
  inputs: {n: {type: integer}}
  output: "{{ inputs.n }} {{ steps.ok.choice }}"
  steps: [{name: ok, type: approval, message: "Item {{ inputs.n }}?"}]
"""
SIGNAL = """\
workflow:
  name: parked
  inputs: {n: {type: integer}}
  output: "{{ inputs.n }} {{ steps.ok.data }}"
  steps: [{name: ok, type: wait_signal, signal: go}]
"""


def resident(service):
    """{role: bytes}, without what files that are mapped take."""
    sizes = {}
    for role in ROLES:
        status = pathlib.Path(f"/proc/{service.pid(role)}/status").read_text()
        sizes[role] = int(status.split("RssAnon:")[1].split()[0]) * 1024
    return sizes


def start_many(service, numbers):
    """Over one connection; {number: id}."""
    connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)
    runs = {}
    for n in numbers:
        body = json.dumps({"workflow_yaml": SIGNAL if n % 2 else APPROVAL, "inputs": {"n": n}})
        connection.request("POST", "/run_pipeline", body, {"Content-Type": "application/json"})
        reply = connection.getresponse()
        answer = json.loads(reply.read())
        assert reply.status == 202, answer
        runs[n] = answer["run_id"]
    return runs


def parked(service, count):
    try:
        status, state = service.http("GET", "/readyz", timeout=5)
    except OSError:
        return False
    runs = state.get("runs", {})
    return status == 200 and runs["waiting"] == count and not runs["running"] and not runs["queued"]


def restart(service, count):
    pid = service.pid("engine")
    began = time.monotonic()
    os.kill(pid, signal.SIGKILL)
    while not (service.pid("engine") not in (0, pid) and parked(service, count)):
        assert time.monotonic() - began < 120, f"the runs do not come back\n{service.log()[-2000:]}"
        time.sleep(0.01)
    return time.monotonic() - began


def answer(service, run, n):
    what, body = ("signal", {"name": "go", "data": "go"}) if n % 2 else ("approve", {"step": "ok", "choice": "approve"})
    status, said = service.http("POST", f"/v1/runs/{run}/{what}", body)
    assert status == 202, said
    end = service.ended(run)
    assert end.get("output") == f"{n} {'go' if n % 2 else 'approve'}", end


def measure(count, directory, fault=None):
    """(bytes, seconds of a restart)"""
    directory.mkdir(parents=True)
    treadle = conftest.Treadle("treadle-faults" if fault else "treadle", directory)
    service = Service(treadle, mock="", env={"TREADLE_FAULT": fault} if fault else {"TREADLE_LOG": "info"}).start()
    try:
        start_many(service, range(-20, 0))  # what the first ones cost belongs to no run
        conftest.wait_for(lambda: parked(service, 20), 60, "the first runs wait")
        before = resident(service)
        with concurrent.futures.ThreadPoolExecutor(CLIENTS) as pool:
            parts = [range(i, count, CLIENTS) for i in range(CLIENTS)]
            runs = {n: run for part in pool.map(lambda p: start_many(service, p), parts) for n, run in part.items()}
        conftest.wait_for(lambda: parked(service, count + 20), 300, "all of them wait")
        after = resident(service)
        grown = {role: after[role] - before[role] for role in ROLES}
        took = sorted(restart(service, count + 20) for _ in range(3))[1]
        again = resident(service)
        asked = range(0, count, max(1, count // ANSWERED))
        for n in asked:
            answer(service, runs[n], n)
        assert parked(service, count + 20 - len(asked)), "others moved too"
        again = again["engine"] - before["engine"]
        print("grown by", {role: f"{n / 1e6:.1f} MB" for role, n in grown.items()},
              f"engine started again: {again / 1e6:.1f} MB in {took:.2f} s", flush=True)
        assert service.stop().code == 0
        return sum(grown.values()), took
    finally:
        for process in treadle.processes:
            process.kill()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=int, nargs="?", default=2000)
    parser.add_argument("--directory", type=pathlib.Path, required=True)
    parser.add_argument("--control", action="store_true")
    options = parser.parse_args()
    bound = BYTES + options.runs * BYTES_A_RUN
    size, took = measure(options.runs, options.directory / "service")
    good = size < bound and took < RESTART_S
    print(f"{options.runs} parked runs: grown by {size / 1e6:.1f} MB (at most {bound / 1e6:.1f}); "
          f"the engine has them again in {took:.2f} s (at most {RESTART_S})")
    if options.control:
        leak, _ = measure(options.runs, options.directory / "unfreed", "host.unfreed=0")
        _, slow = measure(options.runs, options.directory / "reload", "host.reload=0")
        caught = leak >= bound, slow >= RESTART_S
        said = ["caught" if each else "NOT NOTICED" for each in caught]
        print(f"runs that are not freed: {leak / 1e6:.1f} MB, {said[0]}; "
              f"loaded again at each start: {slow:.2f} s, {said[1]}")
        good = good and all(caught)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
