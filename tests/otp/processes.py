#!/usr/bin/env python3
"""src/supervisor/supervisor.c with real processes beside OTP's `supervisor`: what is started, stopped and killed, in
which order.

    processes.py [--cells] [--traces N] SEED [--jobs N]    exit 1 when they differ
    processes.py --control SEED                            a seeded bug must be found

The cells: 3 strategies x 3 restart types x 6 deaths of the second of three children (exit 0, exit 1, SIGSEGV, SIGKILL,
hang, a start that fails once after an exit 1) x 3 ways to shut down (brutal, with a deadline, without); then all is
stopped. With a deadline the first child ignores the request, and is killed. The notation is that of traces.py, with g
for a fault, z for a hang, and for a child ! (brutal), ~ (no deadline), ^ (200 ms, and it ignores the request); kb means
that the supervisor killed b. Nothing is seen of the order of kills that follow each other immediately.

What OTP has not: a hang ends as a kill, by the heartbeat; a role that was never ready waits before its next start.
"""
import argparse
import concurrent.futures
import itertools
import os
import pathlib
import random
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time

import traces as pure

WAIT = 20  # seconds for what is expected to come
LINGER = 0.02  # and for what is not


def cells():
    deaths = {"exit 0": ["x1n"], "exit 1": ["x1a"], "SIGSEGV": ["x1g"], "SIGKILL": ["x1k"], "hang": ["x1z"],
              "start": ["f11", "x1a"]}
    modes = {"brutal": "!!!", "deadline": "^  ", "infinity": "~~~"}
    for strategy, kind, death, mode in itertools.product(["one_for_one", "one_for_all", "rest_for_one"], "pte", deaths,
                                                         modes):
        children = "".join(kind + m for m in modes[mode]).replace(" ", "")
        yield f"{strategy}/{kind}/{death.replace(' ', '_')}/{mode} {strategy} 5 3600 never {children} " + \
            " ".join(deaths[death] + ["S"])


def make_trace(rng, number):
    n = rng.randint(2, 4)
    auto = rng.choice(["never", "never", "any_significant", "all_significant"])
    children = ""
    for _ in range(n):
        kind = rng.choice("pppttee")
        children += kind + ("*" if kind != "p" and auto != "never" and rng.random() < 0.5 else "")
        children += rng.choice(["", "", "", "!", "~", "^"])
    events = [f"f{rng.randrange(n)}1"] if rng.random() < 0.05 else []
    for _ in range(rng.randint(1, 7)):
        if rng.random() < 0.25:
            events.append(f"f{rng.randrange(n)}{rng.randint(1, 2)}")
        events.append(f"x{rng.randrange(n)}{rng.choice('naagkkz' if rng.random() < 0.2 else 'naagk')}")
    strategy = rng.choice(["one_for_one", "one_for_all", "rest_for_one"])
    return f"{number} {strategy} {rng.choice([0, 1, 2, 4, 9])} 3600 {auto} {children} " + " ".join(events + ["S"])


class Player:
    """One trace with real processes. `expected` says only how long to wait: all that happens is written down."""

    def __init__(self, trace, expected, env):
        words = trace.split()
        self.events, self.segments = words[6:], expected.split(" ")
        self.stubborn = {i for i, m in enumerate(re.finditer(r"[pte][*!~^]*", words[5]))
                         if "^" in m.group(0)}
        self.out, self.failing, self.alive, self.pids, self.connections = [""], {}, {}, {}, {}
        self.directory = tempfile.TemporaryDirectory()
        path = os.path.join(self.directory.name, "s")
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(path)
        self.listener.listen(16)
        heartbeat = "600" if re.search(r"x\d[zq]", trace) else "0"
        self.arguments = [str(pure.BUILD / "supervisor_trace"), path, heartbeat, *words[1:6]]
        self.process, self.env, self.ended = None, {**os.environ, "TREADLE_LOG": "info", **env}, False
        self.log = open(os.path.join(self.directory.name, "log"), "w+b")
        self.ready = 0  # answers

    def say(self, text):
        self.out[-1] += text

    def play(self):
        events = list(self.events)
        while events and events[0][0] == "f" and self.process is None:
            self.fail_starts(events.pop(0))
            break
        self.process = subprocess.Popen(self.arguments, stdout=subprocess.PIPE, stderr=self.log, env=self.env)
        self.settle()
        for event in events:
            if event[0] == "f":
                self.fail_starts(event)
                continue
            self.out.append("")
            if not self.ended:
                self.happen(event)
                self.settle()
        if not self.ended:
            self.process.kill()
            self.say("?")
        self.process.wait()
        self.process.stdout.close()
        self.listener.close()
        self.log.close()
        for c in self.connections:
            c.close()
        self.directory.cleanup()
        return " ".join(self.out)

    def fail_starts(self, event):
        self.out.append("")
        self.failing[int(event[1])] = int(event[2:])

    def happen(self, event):
        if event == "S":
            self.process.send_signal(signal.SIGTERM)
            return
        child, how = int(event[1]), event[2]
        connection = self.alive.pop(child, None)
        if connection is None:
            return
        if how == "q":  # a hang that nobody waits for
            connection.send(b"hang")
            return
        if how == "k":
            os.kill(self.pids[child], signal.SIGKILL)
        else:
            connection.send({"n": b"exit", "a": b"error", "g": b"segv", "z": b"hang"}[how])
        end = time.monotonic() + WAIT
        while connection in self.connections and time.monotonic() < end:
            self.pump(0.5)

    def settle(self):
        """Until what is expected has come, and a moment more."""
        wanted = self.segments[len(self.out) - 1] if len(self.out) <= len(self.segments) else ""
        end = time.monotonic() + WAIT
        while self.out[-1] != wanted and time.monotonic() < end and not self.ended:
            self.pump(end - time.monotonic())
        while self.pump(LINGER):
            pass
        while not self.ended and time.monotonic() < end and self.known_ready() < self.ready:
            self.pump(0.005)  # a supervisor that is told to stop kills what has not become ready yet

    def known_ready(self):
        with open(self.log.name, "rb") as file:
            return file.read().count(b"is ready after")

    def pump(self, seconds):
        watched = [self.listener, *self.connections] + ([] if self.ended else [self.process.stdout])
        ready = select.select(watched, [], [], max(0, seconds))[0]
        messages = []
        for c in sorted((c for c in ready if c in self.connections), key=lambda c: self.connections[c] or 0,
                        reverse=True):
            try:
                text = c.recv(100).decode()
            except ConnectionResetError:
                text = ""
            if text:
                messages.append((c, text))
            else:
                self.closed(c)
        for c, text in messages:
            self.told(c, text)
        if self.listener in ready:
            self.connections[self.listener.accept()[0]] = None
        if self.process.stdout in ready:
            line = self.process.stdout.readline().decode().strip()
            while not line and self.pump(0):
                pass
            self.say(line if line else "?died")
            self.ended = True
        return bool(ready)

    def closed(self, c):
        child = self.connections.pop(c)
        c.close()
        if child is not None and self.alive.get(child) is c:
            del self.alive[child]
            self.say("k" + "abcdefgh"[child])

    def told(self, c, text):
        child = ord(text[1]) - ord("a")
        self.say(text[:2])
        self.connections[c] = child
        if text[0] == "+":
            self.pids[child] = int(text[3:])
            if self.failing.get(child):
                self.failing[child] -= 1
                c.send(b"fail")
            else:
                self.alive[child] = c
                self.ready += 1
                c.send(b"ready")
        elif child not in self.stubborn:
            self.alive.pop(child, None)
            c.send(b"gone")


def compare(lines, jobs, env=None):
    """[(trace, ours, OTP's)] of those that differ."""
    theirs = pure.otp(lines)
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        ours = list(pool.map(lambda pair: Player(*pair, env or {}).play(), zip(lines, theirs)))
    return [(t, a, b) for t, a, b in zip(lines, ours, theirs) if a != b]


def main():
    options = argparse.ArgumentParser()
    options.add_argument("seed", type=int)
    options.add_argument("--cells", action="store_true")
    options.add_argument("--traces", type=int, default=0)
    options.add_argument("--control", action="store_true")
    options.add_argument("--jobs", type=int, default=8)
    o = options.parse_args()
    rng = random.Random(o.seed)
    if o.control:
        global WAIT
        WAIT = 3
        lines = [line for line in cells() if "/e/exit_1/deadline" in line or "/p/start/deadline" in line]
        lines += ["control one_for_all 5 3600 never ppe x0k S"]
        found = compare(lines, o.jobs, {"TREADLE_FAULT": "policy.keep_temporary=0"})
        print(f"seed {o.seed}: with a seeded bug {len(found)} of {len(lines)} differ")
        sys.exit(0 if found else "the seeded bug was not found")
    failed = False
    for what, lines in [("cells", list(cells()) if o.cells else []),
                        ("random traces", [make_trace(rng, i) for i in range(o.traces)])]:
        if not lines:
            continue
        different = compare(lines, o.jobs)
        for trace, a, b in different[:5]:
            print(f"{trace}\n  treadle {a}\n  OTP     {b}")
        print(f"seed {o.seed}: {len(lines)} {what} with real processes: {len(different)} differ from OTP's supervisor")
        failed = failed or bool(different)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
