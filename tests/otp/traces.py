#!/usr/bin/env python3
"""src/supervisor/policy.c beside OTP's own `supervisor`: the same random traces through both must read the same.

    traces.py COUNT SEED [--show N]     exit 1 when they differ; prints how
    traces.py --control SEED            seeded bugs in policy.c must be found

A trace is a line: ID STRATEGY INTENSITY PERIOD_S AUTO_SHUTDOWN CHILDREN EVENTS…, where a child is p (permanent), t
(transient) or e (temporary), with * when it is significant, and an event is
    x1n       child 1 exits: n normal, s shutdown, a abnormally, k killed
    f13       the next 3 starts of child 1 fail (as the first event: from the very beginning)
    h1a,0k,S  child 1 exits; while the start or stop that this leads to is under way, child 0 is killed, and then the
              supervisor is told to stop: all of that waits in its mailbox
    w         2.6 s pass
    S         the supervisor is told to stop
What was done is written as +a (start of the first child), -a (stop), ! (all has ended), !abnormal (it could not start);
a space stands before what an event led to.

OTP counts whole seconds, the policy milliseconds. So that this does not show, periods are 4 s or an hour and pauses
2.6 s: what happens between two pauses takes far less than the 1.4 s that are left.
"""
import argparse
import os
import pathlib
import random
import shutil
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
BUILD = pathlib.Path(os.environ.get("TREADLE_BUILD") or HERE.parents[1] / "build" / "release")
PARALLEL = 500
BUGS = ("policy.keep_temporary", "policy.forgive_start")


def make_trace(rng, number):
    n = rng.randint(1, 5)
    auto = rng.choice(["never", "never", "any_significant", "all_significant"])
    children = ""
    for _ in range(n):
        kind = rng.choice("pppttee")
        children += kind + ("*" if kind != "p" and auto != "never" and rng.random() < 0.5 else "")
    def death():
        return f"{rng.randrange(n)}{rng.choice('nsaaak')}"
    pauses = rng.random() < 0.15
    events = [f"f{rng.randrange(n)}1"] if rng.random() < 0.03 else []
    for _ in range(rng.randint(1, 12)):
        what = rng.random()
        if what < 0.5:
            events.append("x" + death())
        elif what < 0.7:
            events.append("h" + ",".join([death() for _ in range(rng.randint(2, 4))] +
                                         ["S"] * (rng.random() < 0.1)))
        elif what < 0.93:
            events += [f"f{rng.randrange(n)}{rng.randint(1, 3)}"]
        elif what < 0.96:
            events.append("S")
        if pauses and rng.random() < 0.35:
            events.append("w")
    strategy = rng.choice(["one_for_one", "one_for_all", "rest_for_one"])
    return f"{number} {strategy} {rng.choice([0, 1, 2, 3, 5, 9])} {4 if pauses else 3600} {auto} {children} " \
           + " ".join(events)


def play(command, traces, env=None):
    done = subprocess.run(command, input="".join(t + "\n" for t in traces), text=True, stdout=subprocess.PIPE,
                          env={**os.environ, **(env or {})}, check=True, timeout=1800)
    lines = done.stdout.split("\n")[:-1]
    if len(lines) != len(traces):
        raise SystemExit(f"{command[0]} answered {len(lines)} of {len(traces)} traces")
    return lines


def ours(traces, bug=None):
    return play([str(BUILD / "policy_trace")], traces, {"TREADLE_FAULT": f"{bug}=0"} if bug else None)


def otp(traces):
    if not shutil.which("escript"):
        print("NOT TESTED: there is no Erlang (Debian's erlang-base)")
        raise SystemExit(77)
    return play(["escript", str(HERE / "otp_trace.escript"), str(PARALLEL)], traces)


def main():
    options = argparse.ArgumentParser()
    options.add_argument("count", type=int, nargs="?", default=300)
    options.add_argument("seed", type=int)
    options.add_argument("--control", action="store_true")
    options.add_argument("--show", type=int, default=5)
    o = options.parse_args()
    rng = random.Random(o.seed)
    traces = [make_trace(rng, i) for i in range(o.count)]
    theirs = otp(traces)
    if o.control:
        for bug in BUGS:
            found = sum(a != b for a, b in zip(ours(traces, bug), theirs))
            print(f"seed {o.seed}: {bug}: {found} of {o.count} traces differ")
            if not found:
                sys.exit(f"the seeded bug {bug} was not found")
        return
    different = [(t, a, b) for t, a, b in zip(traces, ours(traces), theirs) if a != b]
    for trace, a, b in different[:o.show]:
        print(f"{trace}\n  treadle {a}\n  OTP     {b}")
    ends = sum("!" in line for line in theirs)
    print(f"seed {o.seed}: {o.count} traces, {sum(len(t.split()) - 6 for t in traces)} events, "
          f"{sum(line.count('+') + line.count('-') for line in theirs)} starts and stops, {ends} supervisors ended, "
          f"{sum(' w' in t for t in traces)} traces with pauses: {len(different)} differ from OTP's supervisor")
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
