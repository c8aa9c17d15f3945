#!/usr/bin/env python3
"""An agent and a command that edit many files, killed at random, while somebody else edits in the same workspace.

    workspace_campaign.py TRIALS SEED [--directory DIR]   that many runs, each killed once or more
    workspace_campaign.py --control SEED                  with rollback switched off the campaign must find fault

Each command begins by listing the workspace (modes, targets of links, hashes) into `.git/seen`, where nothing is taken
back, under the name of what it is an attempt at. Judged from outside:
  - whatever is an attempt at the same thing has seen the same tree, byte for byte, but for what the other one edits;
  - the other one's files are, at every check, as he wrote them last;
  - in a third of the trials he also adds lines to a file that the run adds lines to: no line of his is ever missing,
    whether the run went on, failed with a conflict, or held (it is then resumed with --force);
  - at the end the run has succeeded, and its own files are as in a run that nobody disturbed, those too of two branches
    that work beside one another in copies, and of two that wait for each other's turn.
"""
import argparse
import collections
import json
import os
import pathlib
import random
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "scenario"))
import conftest  # noqa: E402

LIFE = 60
LINES = 40  # where machines are slow a command may never find a moment in which nobody writes: he stops some time
LIST = ("find . \\( -path ./.git -o -path ./other -o -name 'shared.txt' \\) -prune -o -printf '%P %y %m %l ' "
        "\\( -type f -exec sha256sum {} \\; -o -printf '\\n' \\) | sort | sha256sum >> .git/seen/KEY; ")
MESS = ("for i in 1 2 3 4 5 6; do echo KEY $i >> src/f$i.txt; sleep 0.004; done; rm -rf src/old; mkdir -p new/KEY; "
        "echo KEY > new/KEY/file; chmod 7$((RANDOM % 8))0 src/run.sh; ln -sfn KEY$RANDOM src/link; "
        "echo line-of-KEY >> src/shared.txt; sleep 0.004; rm -f src/gone.txt; mkdir -p src/old; ")


def bash(key, more):
    return (LIST + MESS + more).replace("KEY", key)


# What a branch does: only to files of its own, so that the end does not depend on the order of branches, but for one.
BRANCH = ("for i in 1 2 3; do echo KEY $i >> KEY/log.txt; sleep 0.003; done; rm -f KEY/gone.txt; "
          "mkdir -p KEY/new/deep; echo KEY >> KEY/new/deep/file; chmod 7$((RANDOM % 8))0 KEY/run.sh; "
          "ln -sfn KEY$RANDOM KEY/link; echo $(($(cat KEY/count.txt) + 1)) > KEY/count.txt; ")
END = "chmod 750 KEY/run.sh; ln -sfn end KEY/link"


def branch(key, retry, more=""):
    run = lambda text: ["/bin/bash", "-c", text.replace("KEY", key)]  # noqa: E731
    return [{"name": "first", "type": "command", "run": run(BRANCH + more), "retry": retry, "on_interrupt": "retry"},
            {"name": "second", "type": "command", "run": run(BRANCH + END), "retry": retry, "on_interrupt": "retry"}]


def workflow():
    retry = {"max_attempts": 8, "delay": "5ms", "on": ["command", "conflict"]}
    flaky = ("n=$(cat .git/tries 2>/dev/null || echo 0); echo $((n + 1)) > .git/tries; [ $((n % 2)) -eq 1 ] || exit 9; "
             "chmod 750 src/run.sh; ln -sfn end src/link")
    return {"workflow": {"name": "workspace", "steps": [
        {"name": "work", "type": "command", "run": ["/bin/bash", "-c", bash("work", flaky)], "retry": retry,
         "on_interrupt": "retry"},
        {"name": "agent", "type": "claude", "prompt": "Work.", "allowed_tools": ["Write", "Edit", "Bash", "Read"],
         "on_interrupt": "retry", "retry": retry},
        {"name": "last", "type": "command",
         "run": ["/bin/bash", "-c", bash("last", "chmod 700 src/run.sh; ln -sfn x src/link")],
         "on_interrupt": "retry", "retry": retry},
        {"name": "apart", "type": "parallel", "workspace": "isolated",
         "branches": {"x": branch("x", retry, "echo line-of-x >> src/shared.txt; "), "y": branch("y", retry)}},
        {"name": "queued", "type": "parallel", "branches": {"v": branch("v", retry), "w": branch("w", retry)}}]}}


def fixtures():
    call = lambda name, **input: {"name": name, "input": input}  # noqa: E731
    end = "chmod 750 src/run.sh; ln -sfn end src/link"
    turns = [[call("Write", file_path="src/a.txt", content="one\ntwo\n"),
              call("Edit", file_path="src/f1.txt", old_string="first", new_string="FIRST"),
              call("Bash", command="/bin/bash -c '" + bash("agent1", end).replace("'", "'\\''") + "'")],
             [call("Edit", file_path="src/a.txt", old_string="two", new_string="2"),
              call("Write", file_path="deep/er/b.txt", content="b\n"),
              call("Bash", command="/bin/bash -c '" + bash("agent2", end).replace("'", "'\\''") + "'")]]
    return {"fixtures": [{"match": {"step": "agent", "turn": i + 1}, "reply": {"tool_calls": calls}}
                         for i, calls in enumerate(turns)] +
            [{"match": {"step": "agent", "turn": 3}, "reply": {"text": "done"}}]}


def tree(ws):
    seen = {}
    for path in sorted(ws.rglob("*")):
        rel = path.relative_to(ws)
        if rel.parts[0] in (".git", "other") or rel.name == "shared.txt":
            continue
        st = path.lstat()
        seen[str(rel)] = ((os.readlink(path),) if path.is_symlink() else
                          (stat.S_IMODE(st.st_mode), path.read_bytes() if path.is_file() else None))
    return seen


class Other(threading.Thread):
    """Edits files of his own all the time, and, if he is to, adds lines to the run's."""

    def __init__(self, ws, seed, same):
        super().__init__(daemon=True)
        self.ws, self.random, self.same, self.over = ws, random.Random(seed), same, False
        self.files, self.lines = {}, []

    def run(self):
        while not self.over:
            name = f"other/{self.random.randrange(5)}.txt"
            text = f"{self.random.random()}\n" * self.random.randrange(1, 50)
            (self.ws / name).write_text(text)
            self.files[name] = text
            if self.same and len(self.lines) < LINES and self.random.random() < 0.08:
                line = f"line-of-other-{len(self.lines)}\n"
                with open(self.ws / "src/shared.txt", "a") as file:
                    file.write(line)
                self.lines.append(line)
            time.sleep(self.random.uniform(0.001, 0.02))

    def check(self, what):
        for name, text in self.files.items():
            assert (self.ws / name).read_text() == text, f"{what}: {name} is not as the other one wrote it"
        shared = (self.ws / "src/shared.txt").read_text().splitlines(keepends=True)
        for line in self.lines:
            times = shared.count(line)
            assert times == 1, f"{what}: {line.strip()} of the other one is there {times} times"


class Campaign:
    def __init__(self, directory, seed, faults=None):
        self.directory, self.random, self.faults = directory, random.Random(seed), faults
        self.kills = self.held = self.conflicts = self.attempts = self.same = 0
        self.seconds = 1.5
        (directory / "w.json").write_text(json.dumps(workflow()))
        (directory / "mock.json").write_text(json.dumps(fixtures()))
        begun = time.monotonic()
        self.reference = self.trial("reference", kills=[], other=False, same=False)
        self.seconds = time.monotonic() - begun

    def run(self, number):
        same = number % 3 == 0
        self.same += same
        kills = [self.random.uniform(0.02, self.seconds) for _ in range(1 + (self.random.random() < 0.5))]
        got = self.trial(f"t{number}", kills, True, same)
        assert got == self.reference or same, f"t{number}: {differences(got, self.reference)}"

    def trial(self, name, kills, other, same):
        place = self.directory / name
        ws = place / "ws"
        for made in (".git/seen", "src/old", "other"):
            (ws / made).mkdir(parents=True)
        for i in range(1, 7):
            (ws / f"src/f{i}.txt").write_text("first\n")
        for key in "xyvw":
            (ws / key).mkdir()
            files = {"log.txt": "begin\n", "gone.txt": "gone\n", "run.sh": "#!/bin/sh\n", "count.txt": "0\n"}
            for file, text in files.items():
                (ws / key / file).write_text(text)
        (ws / "src/gone.txt").write_text("gone\n")
        (ws / "src/old/x").write_text("x\n")
        (ws / "src/shared.txt").write_text("shared\n")
        (ws / "src/run.sh").write_text("#!/bin/sh\n")
        (ws / "src/run.sh").chmod(0o755)
        (ws / "src/link").symlink_to("f1.txt")
        env = conftest.plain_env(place, **({"TREADLE_FAULT": self.faults} if self.faults else {}))
        somebody = Other(ws, self.random.random(), same)
        if other:
            somebody.start()
        try:
            self.live(place, name, env, kills, same)
        finally:
            somebody.over = True
            if other:
                somebody.join()
        somebody.check(name)
        for file in (ws / ".git/seen").iterdir():
            seen = collections.Counter(file.read_text().split("\n")[:-1])
            self.attempts += sum(seen.values())
            alike = len(seen) == 1 or (same and self.forced)
            assert alike, f"{name}: attempts at {file.name} began with different trees: {seen}"
        got = tree(ws)
        left = [path for path in got if ".treadle" in path]
        assert not left, f"{name}: left behind: {left}"
        shutil.rmtree(place)
        return got

    def conflicted(self, place, env):
        """Did an attempt of the run that has failed end in a conflict?"""
        logs = subprocess.run([conftest.program("treadle"), "logs", "r"], env=env, cwd=place, capture_output=True)
        assert logs.returncode == 0, logs.stderr
        return b"  work  conflict: " in logs.stdout

    def live(self, place, name, env, kills, same):
        arguments = start = ["run", str(self.directory / "w.json"), "--mock", str(self.directory / "mock.json"),
                             "--run-id", "r", "--workspace", "ws", "--json", "--quiet"]
        self.forced = False
        for life in range(30):
            process = subprocess.Popen([conftest.program("treadle-faults" if self.faults else "treadle"), *arguments],
                                       env=env, cwd=place, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                       stderr=subprocess.PIPE)
            try:
                out, err = process.communicate(timeout=kills.pop(0) if kills else LIFE)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                out, err = process.communicate()
                self.kills += 1
            code = process.returncode
            if code == 0:
                return
            began = (place / "home/runs/r/journal.db").exists()
            # a run that was killed before its first commit is to be started again
            arguments = ["resume", "r", "--json", "--quiet"] if began and b"no start" not in err else start
            if code == 3:
                assert b"somebody else" in out + err, f"{name}: held without a reason: {out}{err}"
                self.held += 1
                self.forced = True
                arguments = ["resume", "r", "--force", "--json", "--quiet"]
            elif code == 1:
                # `work` fails by itself every other time: conflicts may have used up the attempts between
                alone = same and b'"exit_9"' in out and self.conflicted(place, env)
                assert b'"conflict"' in out or b"has changed" in out or alone, f"{name}: failed: {out}{err}"
                self.conflicts += 1
            elif code == 2 and life == 0:
                raise AssertionError(f"{name}: {err}")
        raise AssertionError(f"{name}: it never ends")


def differences(a, b):
    return {key: (a.get(key), b.get(key)) for key in a.keys() | b.keys() if a.get(key) != b.get(key)}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("trials", nargs="?", type=int, default=10)
    parser.add_argument("seed", nargs="?", type=int, default=1)
    parser.add_argument("--directory")
    parser.add_argument("--control", type=int)
    options = parser.parse_args()
    seed = options.seed if options.control is None else options.control
    directory = pathlib.Path(options.directory or tempfile.mkdtemp(prefix="workspace"))
    if options.control is not None:
        try:
            campaign = Campaign(directory, seed, faults="undo.skip=0")
            for number in range(1, 40):
                campaign.run(number)
        except AssertionError as fault:
            print(f"rollback switched off: caught ({str(fault)[:200]})")
            return 0
        print("rollback switched off: NOT CAUGHT")
        return 1
    campaign = Campaign(directory, seed)
    for number in range(1, options.trials + 1):
        campaign.run(number)
    print(f"seed {seed}: {options.trials} trials, {campaign.same} of them with somebody else in the same files, "
          f"{campaign.kills} kills, {campaign.attempts} attempts seen, {campaign.held} held, {campaign.conflicts} "
          f"conflicts; 0 trees that differ, 0 lines of the other one's lost")
    return 0


if __name__ == "__main__":
    sys.exit(main())
