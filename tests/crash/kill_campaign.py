#!/usr/bin/env python3
"""kill -9 of `treadle run` and `treadle resume`, again and again, judged from outside.

    kill_campaign.py KILLS SEED [--directory DIR]    kills until it has KILLS of them, in as many runs as that takes
    kill_campaign.py --control SEED                  the harness must catch two seeded bugs

A run of workflows/kill.yaml is started against fake_provider over HTTP, killed, resumed, perhaps killed again, until it
ends. A kill falls at a random time, or at a fault point of treadle-faults just before or just after a commit that has
a record of a chosen kind. Only the process itself is killed: what it started has to notice.

After each kill, from a copy of the journal, the provider's ledger, the file `.git/commands` and what was printed:
  - the journal is whole (integrity_check), and what it had at the kill before is still its beginning;
  - what was shown was durable: a step shown as done has its end in the journal, a call shown its intent;
  - the barrier: a call that the provider saw, and a command that started, has its intent in the journal;
  - no call was made that had a result when this life began, and no call twice in one life.
At the end: exit 0, results, output and usage as in a run that nobody disturbed, files byte for byte, and for every call
requests == 1 + the number of kills at which it was in flight: seen by the provider, its result not in the journal (also
when the provider had sent all of it); likewise for every command.
"""
import argparse
import collections
import fcntl
import json
import os
import pathlib
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "scenario"))
import conftest  # noqa: E402

KINDS = {1: "run", 2: "open", 3: "intent", 4: "result", 5: "done", 6: "write", 7: "resume", 8: "note", 9: "end"}
INTENT, RESULT, DONE = 3, 4, 5
LIFE = 60  # seconds after which a life hangs
# Fault points, and the number of batches in a whole run that pass it, roughly.
POINTS = {f"engine.kill.{side}.{kind}": passes
          for kind, passes in {"run": 1, "open": 15, "intent": 40, "result": 40, "done": 25, "write": 5, "resume": 1,
                               "end": 1}.items() for side in ("before", "after")}
POINTS.update({"store.kill.before": 60, "store.kill.after": 60})
ONLY_FIRST = (".run",)  # kinds that only a first life writes, and only a resumed one
ONLY_RESUMED = (".resume",)


class Violation(AssertionError):
    """A promise was broken; the text says which."""


def tree(directory):
    """{relative path: bytes} of a directory."""
    return {str(path.relative_to(directory)): path.read_bytes()
            for path in sorted(directory.rglob("*")) if path.is_file() and path.name != "commands"}


def without_times(value):
    if isinstance(value, dict):
        return {key: without_times(member) for key, member in value.items() if key != "duration_ms"}
    return [without_times(member) for member in value] if isinstance(value, list) else value


def difference(one, other, place=""):
    """Where two values differ first, and how; None when they do not."""
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        return next(filter(None, (difference(one[key], other[key], f"{place}/{key}") for key in one)), None)
    if isinstance(one, list) and isinstance(other, list) and len(one) == len(other):
        return next(filter(None, (difference(a, b, f"{place}/{i}") for i, (a, b) in enumerate(zip(one, other)))), None)
    return None if one == other else f"{place}: {str(one)[:2000]} instead of {str(other)[:2000]}"


def path_of(key):
    """`anthropic:NAME#TURN` is the call of the frame `NAME/turn:TURN+1`."""
    name, _, turn = key.partition(":")[2].rpartition("#")
    return f"{name}/turn:{int(turn) + 1}"


def journal_records(journal, into):
    """[(kind, path, attempt, whole row)] of a copy of a journal that nobody has open; checks that it is whole."""
    into.mkdir()
    for suffix in ("", "-wal"):
        source = journal.with_name(journal.name + suffix)
        if source.exists():
            shutil.copy(source, into / source.name)
    database = sqlite3.connect(into / journal.name)
    try:
        verdict = database.execute("PRAGMA integrity_check").fetchall()
        if verdict != [("ok",)]:
            raise Violation(f"integrity_check: {verdict}")
        if not database.execute("SELECT 1 FROM sqlite_master WHERE name = 'record'").fetchone():
            return []
        rows = database.execute("SELECT r.seq, r.kind, r.attempt, r.time_ms, r.path, coalesce(b.data, r.data)"
                                " FROM record r LEFT JOIN blob b ON b.key = r.blob ORDER BY r.seq").fetchall()
        return [(row[1], row[4], row[2], row) for row in rows]
    finally:
        database.close()
        shutil.rmtree(into)


class Campaign:
    def __init__(self, directory, seed):
        self.directory = directory
        self.seed = seed
        self.random = random.Random(seed)
        self.provider = conftest.FakeProvider(directory, json.loads((HERE / "workflows/kill_script.json").read_text()),
                                              delay_ms=15)
        self.env = conftest.plain_env(directory, **self.provider.env)
        self.kills = self.trials = self.calls = self.repeated = 0
        self.points, self.last = collections.Counter(), collections.Counter()
        self.seconds = 0.7  # that a whole run takes
        begun = time.monotonic()
        self.reference = Trial(self, []).run()
        self.seconds = time.monotonic() - begun

    def plan(self):
        """What happens to the lives of the next run: seconds until the kill, or (fault point, number of the visit)."""
        lives, wanted = [], 1 + int(self.random.expovariate(1))
        while len(lives) < wanted:
            fewest = min(self.points[point] for point in POINTS)
            if self.random.random() < (0.35 if fewest else 0.8):
                able = [point for point in POINTS if not point.endswith(ONLY_RESUMED if not lives else ONLY_FIRST)]
                least = min(self.points[point] for point in able)
                point = self.random.choice([point for point in able if self.points[point] == least])
                lives.append((point, self.random.randint(1, max(1, POINTS[point] // (4 if lives else 2)))))
            else:
                lives.append(self.random.uniform(0.001, self.seconds * 1.1))
        return lives

    def run_until(self, kills):
        while self.kills < kills:
            self.trials += 1
            trial = Trial(self, self.plan())
            result = trial.run()
            wrong = difference(result, self.reference)
            if wrong:
                raise Violation(f"not as in an undisturbed run: {wrong}\n{trial}")

    def summary(self):
        lines = [f"seed {self.seed}: {self.kills} kills in {self.trials} runs; 0 results, files or calls were wrong "
                 f"(95 % bound {3 / max(self.kills, 1):.2g} a kill); of {self.calls} calls {self.repeated} were "
                 f"repeated, each in flight at a kill",
                 "newest record at the kill: " + ", ".join(f"{kind} {self.last[kind]}"
                                                           for kind in ["nothing", *KINDS.values()]),
                 "killed at fault points: " + ", ".join(f"{point} {self.points[point]}" for point in POINTS)]
        return lines

    def check_spread(self, least):
        """Each kind of commit has been hit on both sides `least` times."""
        missed = {point: self.points[point] for point in POINTS if self.points[point] < least}
        if missed:
            raise Violation(f"these points were hit less than {least} times: {missed}")

    def close(self):
        self.provider.close()


class Trial:
    """One run, from its start to its end."""

    def __init__(self, campaign, lives):
        self.campaign = campaign
        self.id = f"t{campaign.trials}"
        self.lives = lives
        self.directory = campaign.directory / self.id
        (self.directory / "ws/.git").mkdir(parents=True)
        self.run_dir = campaign.directory / "home" / "runs" / self.id
        self.records = []
        self.said = []
        self.started = collections.Counter()   # calls and commands, by path
        self.in_flight = collections.Counter()  # kills at which they were
        self.log = []
        campaign.provider.reset()

    def __repr__(self):
        return f"{self.directory}: " + "; ".join(self.log)

    def start(self, arguments, fault=None):
        env = dict(self.campaign.env)
        if fault:
            env["TREADLE_FAULT"] = fault
        self.out = open(self.directory / f"out{len(self.log)}", "w+b")
        self.err = open(self.directory / f"err{len(self.log)}", "w+b")
        return subprocess.Popen([conftest.program("treadle-faults"), *arguments], env=env, cwd=self.directory,
                                stdin=subprocess.DEVNULL, stdout=self.out, stderr=self.err)

    def text(self, file):
        file.seek(0)
        return file.read().decode()

    def arguments(self):
        if not any(kind == 1 for kind, *_ in self.records):
            return ["run", str(HERE / "workflows/kill.yaml"), "--run-id", self.id, "--json", "--input", "tool=tape",
                    "--workspace", "ws", "--output-dir", "out"]
        return ["resume", self.id, "--json"]

    def counts(self):
        """How often each call was seen, each command begun."""
        for _ in range(2):  # its answer says that what was sent before has been read
            self.campaign.provider.stats()
        seen = collections.Counter({path_of(key): entry["started"]
                                    for key, entry in self.campaign.provider.ledger().items()})
        commands = self.directory / "ws/.git/commands"
        if commands.exists():
            seen.update(commands.read_text().splitlines())
        return seen

    def wait_for_commands(self):
        """What a killed process has started goes by itself, within a second."""
        lock = self.run_dir / "exec.lock"
        if not lock.exists():
            return
        with open(lock) as file:
            end = time.monotonic() + 1
            while True:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return
                except BlockingIOError:
                    if time.monotonic() > end:
                        raise Violation(f"a command outlived Treadle by a second\n{self}") from None
                    time.sleep(0.005)

    def check_life(self, killed):
        """After the end of a life: the books must agree."""
        before = {(kind, path) for kind, path, *_ in self.records}
        journal = self.run_dir / "journal.db"
        records = journal_records(journal, self.directory / "copy") if journal.exists() else []
        if records[:len(self.records)] != self.records:
            raise Violation(f"the journal has lost or changed records\n{self}")
        self.records = records
        have = {(kind, path) for kind, path, *_ in records}
        self.wait_for_commands()
        for line in self.text(self.err).split("\n")[:-1]:
            word = line.split()
            if len(word) > 2 and word[0].endswith("s") and word[1] in ("done", "call"):
                if ({"done": DONE, "call": INTENT}[word[1]], word[2]) not in have:
                    raise Violation(f"shown, but not in the journal: {line}\n{self}")
        seen = self.counts()
        for path, count in (seen - self.started).items():
            if (RESULT, path) in before:
                raise Violation(f"{path} had a result, and was made again\n{self}")
            if (INTENT, path) not in have:
                raise Violation(f"{path} left before its intent was durable\n{self}")
            if count > 1:
                raise Violation(f"{path} was made {count} times in one life\n{self}")
            if (RESULT, path) not in have:
                if not killed:
                    raise Violation(f"{path} was made, and has no result\n{self}")
                self.in_flight[path] += 1
        self.started = seen
        return records

    def end(self, code):
        if code != 0:
            raise Violation(f"exit code {code}\n{self.text(self.err)}\n{self}")
        try:
            result = json.loads(self.text(self.out))
        except ValueError:
            raise Violation(f"no JSON, but {self.text(self.out)!r}\n{self.text(self.err)}\n{self}") from None
        self.check_life(killed=False)
        wrong = {path: (count, self.in_flight[path]) for path, count in self.started.items()
                 if count != 1 + self.in_flight[path]}
        if wrong:
            raise Violation(f"{{path: (requests, kills in flight)}}: {wrong}\n{self}")
        self.campaign.calls += len(self.started)
        self.campaign.repeated += sum(self.in_flight.values())
        shown = {name: without_times(result.get(name)) for name in ("status", "results", "output", "usage")}
        shown.update(workspace=tree(self.directory / "ws"), outputs=tree(self.directory / "out"))
        shutil.rmtree(self.directory)
        shutil.rmtree(self.run_dir)
        return shown

    def live(self, until):
        """One life; its exit code, or None when it was killed."""
        fault = f"{until[0]}={until[1]}" if isinstance(until, tuple) else until if isinstance(until, str) else None
        process = self.start(self.arguments(), fault)
        try:
            process.wait(until if isinstance(until, float) else LIFE)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            if not isinstance(until, float):
                raise Violation(f"a life did not end within {LIFE} s\n{self}") from None
        self.said.append(self.text(self.err))
        self.log.append(f"{self.arguments()[0]} with {until}: {process.returncode}")
        if process.returncode != -signal.SIGKILL:
            return process.returncode
        self.campaign.kills += 1
        records = self.check_life(killed=True)
        self.campaign.last[KINDS[records[-1][0]] if records else "nothing"] += 1
        if isinstance(until, tuple):
            self.campaign.points[until[0]] += 1
        return None

    def run(self, survive=()):
        """`survive`: exit codes after which the run is resumed as after a kill."""
        for until in [*self.lives, None]:
            code = self.live(until)
            if code in survive:
                self.check_life(killed=True)
            elif code is not None:
                return self.end(code)
        raise Violation(f"killed, though nobody did it\n{self}")


def control(directory, seed, most=40):
    """What catches nothing proves nothing: two seeded bugs must be caught."""
    caught = []
    for bug, message in ((lambda r: ["outbox.barrier=0,store.commit.slow=0,"
                                     f"store.kill.before={r.randint(2, 40)}"], "before its intent"),
                         (lambda r: [("engine.kill.after.result", r.randint(1, 12)), "recover.forget=0"],
                          "was made again")):
        place = directory / f"control{len(caught)}"
        place.mkdir()
        campaign = Campaign(place, seed)
        try:
            for campaign.trials in range(1, most + 1):
                try:
                    Trial(campaign, bug(campaign.random)).run()
                except Violation as violation:
                    if message not in str(violation):
                        raise
                    caught.append(f"{message!r} after {campaign.trials} runs")
                    break
            else:
                raise Violation(f"a seeded bug was not caught in {most} runs (wanted: {message!r}), seed {seed}")
        finally:
            campaign.close()
    return "seeded bugs were caught: " + ", ".join(caught)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("kills", nargs="?", type=int)
    parser.add_argument("seed", type=int)
    parser.add_argument("--control", action="store_true")
    parser.add_argument("--directory", type=pathlib.Path)
    options = parser.parse_args()
    directory = options.directory or pathlib.Path(tempfile.mkdtemp(prefix="treadle-kill-"))
    if options.control:
        print(control(directory, options.seed))
        return
    campaign = Campaign(directory, options.seed)
    try:
        campaign.run_until(options.kills)
        print("\n".join(reversed(campaign.summary())))
        campaign.check_spread(0 if options.kills < 40 else 1)
    except Violation as violation:
        sys.exit(f"seed {options.seed}, after {campaign.kills} kills: {violation}")
    finally:
        campaign.close()
    if not options.directory:
        shutil.rmtree(directory)


if __name__ == "__main__":
    main()
