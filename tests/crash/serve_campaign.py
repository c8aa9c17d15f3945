#!/usr/bin/env python3
"""kill -9 of the processes of a service under load, judged from outside.

    serve_campaign.py SEED [--engine N] [--egress N] [--executor N] [--gateway N] [--supervisor N] [--group N] …
    serve_campaign.py --control SEED      the harness must catch a seeded bug

Fifty runs at a time (model calls, commands, a parallel loop, branches, a sleep, approvals, signals) are started and
answered over HTTP against fake_provider, while a role, the supervisor, or the whole group is killed at random times.
The supervisor and the group are started again by this program, as systemd would. Judged at the end:
  - every run that was accepted has succeeded with the output that it must have, within a minute of the last kill;
  - what was once told as ended is told the same; an answer or signal that was accepted was not needed again;
  - a call was made again only when egress, the supervisor or the group was killed while it was in flight: after the
    provider saw it, before its result was committed. Likewise a command, with the executor;
  - in the journal every frame has one end, and the database is whole;
  - from a death to the first progress (a new call at the provider, a new command, an answer of the gateway) it takes
    less than two seconds in 99 of 100 deaths.
"""
import argparse
import collections
import json
import os
import pathlib
import random
import signal
import sqlite3
import sys
import tempfile
import time
import urllib.error

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "scenario"))
import conftest  # noqa: E402
from service import Service  # noqa: E402

ROLES = ("engine", "egress", "executor", "gateway", "supervisor", "group")
CALL_KILLERS, COMMAND_KILLERS = ("egress", "supervisor", "group"), ("executor", "supervisor", "group")
COMMIT = 2.0  # seconds within which a finished call or command is committed when nobody is killed
DONE = 5  # the kind of record that ends a frame

WORKFLOW = """\
workflow:
  name: NAME
  output: "{{ steps.ask.text }} {{ length(steps.each.results) }} {{ steps.cmd.stdout }}OUTPUT {{ steps.last.text }}"
  steps:
    - {name: ask, type: claude, prompt: "[[key:ID/ask]]\\nID one"}
    - name: cmd
      type: command
      on_interrupt: retry
      run: |
        echo + ID/cmd $(date +%s.%N) >> ledger; sleep 0.1; echo - ID/cmd $(date +%s.%N) >> ledger; printf 'ID two '
    - name: each
      type: for_loop
      data_source: "range(1, 4)"
      parallel: true
      steps:
        - {name: ask, type: claude, prompt: "[[key:ID/each-{{ loop.index }}]]\\nx"}
    - name: both
      type: parallel
      branches:
        left: [{name: l, type: gemini, prompt: "[[key:ID/left]]\\nleft"}]
        right:
          - name: r
            type: command
            on_interrupt: retry
            run: echo + ID/right $(date +%s.%N) >> ledger; echo - ID/right $(date +%s.%N) >> ledger
    - {name: nap, type: sleep, duration: 0.2}
WAITS    - {name: last, type: claude, prompt: "[[key:ID/last]]\\nID three"}
"""
APPROVAL = '    - {name: ok, type: approval, message: "go on?"}\n'
SIGNAL = '    - {name: go, type: wait_signal, signal: go}\n'


class Violation(AssertionError):
    """A promise was broken; the text says which."""


class Run:
    def __init__(self, number):
        self.name, self.id, self.over, self.output = f"r{number}", None, False, None
        self.ledger, self.read = None, False  # what its commands wrote; to the end
        self.asks = [[], ["approve"], ["signal"], ["approve", "signal"]][number % 4]
        waits = (APPROVAL if "approve" in self.asks else "") + (SIGNAL if "signal" in self.asks else "")
        self.yaml = WORKFLOW.replace("NAME", f"mix{number % 3}").replace("WAITS", waits).replace("ID", self.name)
        output = ""
        if "approve" in self.asks:
            output += " {{ steps.ok.choice }}"
        if "signal" in self.asks:
            output += " {{ steps.go.data.n }}"
        self.yaml = self.yaml.replace("OUTPUT", output.strip())
        self.expected = f"{self.name} one 4 {self.name} two {'approve' if 'approve' in self.asks else ''}" + \
            (" " if len(self.asks) == 2 else "") + ("7" if "signal" in self.asks else "") + f" {self.name} three"


class Tail:
    """The whole lines of a file that grows."""

    def __init__(self, path):
        self.path, self.at = path, 0

    def lines(self):
        if not self.path.exists():
            return []
        with open(self.path, "rb") as file:
            file.seek(self.at)
            data = file.read()
        end = data.rfind(b"\n") + 1
        self.at += end
        return data[:end].decode().splitlines()


class Campaign:
    def __init__(self, directory, o):
        self.o, self.random = o, random.Random(o.seed)
        self.provider = conftest.FakeProvider(directory, delay_ms=150)
        user = conftest.Treadle("treadle-faults", directory)
        self.directory = directory
        self.service = Service(user, "--restart-intensity", "100000", "--restart-period", "1", "--max-running", "500",
                               env={**self.provider.env, **({"TREADLE_FAULT": o.fault} if o.fault else {})})
        self.service.env["TREADLE_LOG"] = "info"
        self.calls = Tail(self.provider.ledger_file)
        self.events, self.lines = [], []  # (seconds, event, key)
        self.runs, self.started = [], 0
        self.kills = []  # [seconds, role, seconds when its place was taken]: in between it died
        self.latencies = collections.defaultdict(list)

    # ---- load ----

    def http(self, *arguments):
        try:
            status, body = self.service.http(*arguments, timeout=10)
        except (OSError, urllib.error.URLError, ValueError):
            return 503, None
        return status, body

    def start_one(self, run):
        body = {"workflow_yaml": run.yaml, "idempotency_key": run.name}
        status, answer = self.http("POST", "/run_pipeline", body)
        if status in (200, 202):
            run.id = answer["run_id"]
            run.ledger = Tail(self.directory / "home" / "runs" / run.id / "workspace" / "ledger")
        elif status != 503:
            raise Violation(f"a start is answered with {status}: {answer}\n{run.yaml}")

    def look(self, run):
        status, body = self.http("GET", f"/v1/runs/{run.id}")
        if status == 503:
            return
        if status != 200:
            raise Violation(f"the accepted run {run.name} ({run.id}) is answered with {status}: {body}")
        if body["status"] == "waiting" and run.asks:
            what = run.asks[0]
            ask = {"step": "ok", "choice": "approve"} if what == "approve" else {"name": "go", "data": {"n": 7},
                                                                                "id": f"{run.name}-go"}
            status, answer = self.http("POST", f"/v1/runs/{run.id}/{what}", ask)
            if status == 202:
                run.asks.pop(0)
            elif status not in (503, 404, 409):
                raise Violation(f"{what} of {run.name} is answered with {status}: {answer}")
        elif body["status"] == "succeeded" and "calls" in body.get("usage", {}):
            if body.get("output") != run.expected:
                raise Violation(f"{run.name} ({run.id}): output {body.get('output')!r} instead of {run.expected!r}")
            run.over, run.output = True, body
        elif body["status"] in ("failed", "cancelled", "quarantined"):
            raise Violation(f"{run.name} ({run.id}) is {body}\n{self.service.log()[-3000:]}")

    def work(self, more=True):
        """One round of the clients."""
        active = [r for r in self.runs if not r.over]
        while more and len(active) < self.o.runs:
            self.started += 1
            self.runs.append(Run(self.started))
            active.append(self.runs[-1])
        for run in active:
            if run.id is None:
                self.start_one(run)
            else:
                self.look(run)
        self.collect()

    def collect(self):
        offset = time.time() - time.monotonic()
        for line in self.calls.lines():
            e = json.loads(line)
            self.events.append((e["mono_us"] / 1e6, e["event"], e["key"]))
        for run in self.runs:
            if run.ledger and not run.read:
                for line in run.ledger.lines():
                    event, key, at = line.split()
                    self.lines.append((float(at) - offset, event, key))
                run.read = run.over

    # ---- deaths ----

    def ready_count(self, role):
        return self.service.log().count(f"info: {role} (pid")

    def kill(self, role):
        s = self.service
        log = pathlib.Path(s.process.log["err"].name)
        before = log.stat().st_size
        mark = f"info: {role} (pid".encode()
        if role in ("supervisor", "group"):
            pids = [s.process.pid] + ([s.pid(r) for r in ROLES[:4]] if role == "group" else [])
            at = time.monotonic()
            for pid in pids:
                if pid:
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except ProcessLookupError:
                        pass
            s.process.popen.wait()
            self.kills.append([at, role, float("inf")])
            for handle in s.process.log.values():
                handle.close()
            s.treadle.processes.remove(s.process)
            s.start()
        else:
            pid = s.pid(role)
            if not pid:
                return False
            at = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            self.kills.append([at, role, float("inf")])
            while True:
                with open(log, "rb") as file:
                    file.seek(before)
                    if mark in file.read():
                        break
                if time.monotonic() > at + 60:
                    raise Violation(f"{role} is not back after a minute\n{s.log()[-3000:]}")
                time.sleep(0.005)
        ready = self.kills[-1][2] = time.monotonic()
        while time.monotonic() < at + 30:
            if role == "gateway":
                progress = self.http("GET", "/readyz")[0] == 200
            else:
                self.work()
                seen = self.lines if role == "executor" else self.events
                progress = any(e[0] >= ready and e[1] in ("start", "+") for e in reversed(seen[-500:]))
            if progress:
                first = time.monotonic() if role == "gateway" else \
                    min(e[0] for e in seen[-500:] if e[0] >= ready and e[1] in ("start", "+"))
                self.latencies[role].append(first - at)
                return True
        raise Violation(f"no progress within 30 s after the death of {role}; the log ends with\n{s.log()[-3000:]}")

    def play(self):
        plan = [role for role in ROLES for _ in range(getattr(self.o, role))]
        self.random.shuffle(plan)
        self.service.start()
        while plan:
            until = time.monotonic() + self.random.uniform(0.02, 0.5)
            while time.monotonic() < until:
                self.work()
            if self.kill(plan[-1]):
                plan.pop()
        end = time.monotonic() + 60
        while any(not r.over for r in self.runs):
            self.work(more=False)
            if time.monotonic() > end:
                left = [(r.name, r.id, r.asks, self.http("GET", f"/v1/runs/{r.id}")) for r in self.runs if not r.over]
                raise Violation(f"{len(left)} runs are stuck: {left[:3]}\n{self.service.log()[-3000:]}")
            time.sleep(0.05)
        for run in self.runs:
            status, body = self.service.http("GET", f"/v1/runs/{run.id}")
            if (status, body) != (200, run.output):
                raise Violation(f"{run.name} was told as {run.output}, and now as {body}")
        self.collect()
        code = self.service.stop().code
        if code:
            raise Violation(f"the service stopped with code {code}")
        self.judge()

    # ---- judgement ----

    def judge_repeats(self, events, begin, finish, killers, what):
        """The number of repeats, each of which must be due to a kill."""
        by_key, repeats = collections.defaultdict(list), 0
        for at, event, key in events:
            by_key[key].append((at, event))
        for key, seen in by_key.items():
            starts = [at for at, event in seen if event == begin]
            for first, again in zip(starts, starts[1:]):
                repeats += 1
                done = [at for at, event in seen if event in finish and first <= at < again]
                due = [at for at, role, until in self.kills if role in killers and at <= again and first <= until]
                if done:  # committed soon, unless the engine was dead
                    dead = sum(1 for at, role, _ in self.kills if role == "engine" and done[0] - 1 <= at <= again)
                    due = [at for at in due if at <= done[0] + COMMIT * (1 + dead)]
                if not due:
                    around = [(round(at - first, 3), role) for at, role, _ in self.kills
                              if first - 3 <= at <= again + 1]
                    raise Violation(f"{what} {key} was made again after {again - first:.3f} s, its end was seen "
                                    f"after {[round(d - first, 3) for d in done]}; kills: {around}")
        return repeats, len(by_key)

    def judge(self):
        calls, ncalls = self.judge_repeats(self.events, "start", ("finish",), CALL_KILLERS, "the call")
        commands, ncommands = self.judge_repeats(self.lines, "+", ("-",), COMMAND_KILLERS, "the command")
        database = sqlite3.connect(self.directory / "home" / "service.db")
        if database.execute("PRAGMA integrity_check").fetchall() != [("ok",)]:
            raise Violation("the journal is damaged")
        twice = database.execute("SELECT run, path, count(*) FROM record WHERE kind = ? GROUP BY run, path, attempt"
                                 " HAVING count(*) > 1", (DONE,)).fetchall()
        if twice:
            raise Violation(f"frames that ended twice: {twice[:5]}")
        wanted = len(self.runs)
        if database.execute("SELECT count(*) FROM run").fetchone()[0] != wanted:
            raise Violation("there are other runs than were started")
        database.close()
        self.repeats = (calls, ncalls, commands, ncommands)

    def summary(self):
        calls, ncalls, commands, ncommands = self.repeats
        killed = collections.Counter(role for _, role, _ in self.kills)
        lines = []
        for role in ROLES:
            took = sorted(self.latencies[role])
            if took:
                p99 = took[min(len(took) - 1, int(len(took) * 0.99))]
                lines.append(f"  {role}: {killed[role]} kills; to the first progress {took[len(took) // 2]:.3f} "
                             f"s (median), {p99:.3f} s (99 %), {took[-1]:.3f} s (most)")
        lines.append(f"seed {self.o.seed}: {len(self.kills)} kills under {len(self.runs)} runs: 0 lost, 0 stuck, "
                     f"0 ended steps repeated; of {ncalls} calls {calls} and of {ncommands} commands {commands} were "
                     "made again, each in flight at a kill")
        every = sorted(x for v in self.latencies.values() for x in v)
        if every and every[min(len(every) - 1, int(len(every) * 0.99))] > 2:
            raise Violation("\n".join(lines) + "\nit takes too long until there is progress")
        return "\n".join(lines)

    def close(self):
        for process in self.service.treadle.processes:
            process.close()
        self.provider.close()


def main():
    options = argparse.ArgumentParser()
    options.add_argument("seed", type=int)
    for role in ROLES:
        options.add_argument(f"--{role}", type=int, default=0)
    options.add_argument("--runs", type=int, default=50)
    options.add_argument("--directory", type=pathlib.Path)
    options.add_argument("--control", action="store_true")
    options.add_argument("--fault")
    o = options.parse_args()
    if o.control:
        o.fault, o.engine = "keeper.lose=0", 8
    directory = pathlib.Path(tempfile.mkdtemp(prefix="serve", dir=o.directory))
    campaign = Campaign(directory, o)
    try:
        campaign.play()
        text = campaign.summary()
    except Violation as violation:
        if o.control:
            print(f"seed {o.seed}: the seeded bug was found: {str(violation).splitlines()[0]}")
            return
        print(f"seed {o.seed}, in {directory}: after {len(campaign.kills)} kills: {violation}")
        sys.exit(1)
    finally:
        campaign.close()
    if o.control:
        sys.exit("the seeded bug was not found")
    print(text)


if __name__ == "__main__":
    main()
