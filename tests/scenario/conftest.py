"""What scenario tests share: the real programs, run as a person or a script would, against a made-up provider.

`treadle`         runs build/release/treadle (TREADLE_BUILD chooses another build) in a home and a directory of its own
`treadle_faults`  the same for treadle-faults, where TREADLE_FAULT makes a named point fail
`fake_provider`   starts programs that speak the providers' protocols and keep a ledger of what was asked and answered

Every test ends with a check that nothing which it started is still running (promise: nothing that Treadle started
outlives its stop). This process is the reaper of its orphans, so not even a double fork escapes the check.
"""
import ctypes
import functools
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import tempfile
import textwrap
import time
import urllib.request

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("TREADLE_BUILD") or ROOT / "build" / "release")
TIMEOUT = 60  # seconds that a command may take unless the test says otherwise
GRACE = float(os.environ.get("TREADLE_TEST_GRACE", "5"))  # seconds that children of a stopped program have to go

PR_SET_CHILD_SUBREAPER = 36
ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def wait_for(condition, timeout=10.0, what="condition"):
    """The first true value of condition(), or a failed test."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            pytest.fail(f"{what}: not within {timeout} s")
        time.sleep(0.02)


def program(name):
    path = BUILD / name
    if not path.is_file():
        pytest.fail(f"{path} is not built: run make first")  # never a skip: that would hide the test
    return str(path)


@functools.cache
def sandbox_tier():
    """The strongest tier that this system allows. Many containers forbid the namespaces of `strict`."""
    with tempfile.TemporaryDirectory() as home:
        tiers = subprocess.run([program("treadle"), "doctor"], env={"PATH": "/usr/bin:/bin", "TREADLE_HOME": home},
                               capture_output=True, text=True, timeout=TIMEOUT).stdout
    return next((tier for tier in ("strict", "standard") if re.search(rf"^ok +sandbox {tier} ", tiers, re.M)), "none")


def plain_env(directory, **more):
    """An environment with nothing of the caller's: no keys, no proxies, no state; all of it lies in `directory`."""
    env = {"PATH": "/usr/bin:/bin", "HOME": str(directory), "TREADLE_HOME": str(directory / "home"), "LANG": "C.UTF-8",
           "TZ": "UTC"}
    if sandbox_tier() != "strict":
        env["TREADLE_SANDBOX"] = sandbox_tier()
    return {**env, **more}


def pytest_configure(config):
    config.addinivalue_line("markers", "strict: needs the strict sandbox; skipped where the system does not allow it")


def pytest_report_header(config):
    if sandbox_tier() != "strict":
        return f"SANDBOX: `strict` is not allowed here: tests use `{sandbox_tier()}`, and those of `strict` are skipped"


def pytest_runtest_setup(item):
    if item.get_closest_marker("strict") and sandbox_tier() != "strict":
        pytest.skip("this system does not allow the strict sandbox (treadle doctor says why)")


def calling(keys, before="", behind=""):
    """A workflow whose step `call` calls another one: the keys of that step, and steps around it, as lines of YAML."""
    call = "- name: call\n  type: pipeline\n" + textwrap.indent(textwrap.dedent(keys).strip("\n"), "  ").rstrip()
    steps = "\n".join(textwrap.dedent(step).strip() for step in (before, call, behind) if step)
    return "workflow:\n  name: w\n  steps:\n" + textwrap.indent(steps, "    ") + "\n"


def measured(treadle, *arguments, env=None, timeout=120):
    """Runs to the end; (exit code, standard output, standard error, peak memory in KiB). By a small program between:
    what a process is told of its child includes what it had itself when it forked, and Python has much."""
    out = treadle.cwd / "peak"
    done = subprocess.run([program("peak"), out, treadle.path, *map(str, arguments)], cwd=treadle.cwd, text=True,
                          env=treadle.environment(env), stdin=subprocess.DEVNULL, capture_output=True, timeout=timeout)
    return done.returncode, done.stdout, done.stderr, int(out.read_text())


class Result:
    """A finished command: .code, .out, .err as text, .json parsed from standard output."""

    def __init__(self, args, code, out, err, seconds):
        self.args, self.code, self.seconds = args, code, seconds
        self.stdout, self.stderr = out, err  # bytes
        self.out, self.err = out.decode("utf-8", "replace"), err.decode("utf-8", "replace")

    returncode = property(lambda self: self.code)

    @property
    def json(self):
        """Standard output must be exactly one JSON document, as --json promises."""
        try:
            return json.loads(self.out)
        except ValueError as problem:
            raise AssertionError(f"standard output is not one JSON document ({problem})\n{self}") from None

    def __repr__(self):
        def clip(text):
            return text if len(text) < 6000 else text[:3000] + "\n…\n" + text[-3000:]

        return f"{' '.join(self.args)}\nexit {self.code}\n--- stdout\n{clip(self.out)}\n--- stderr\n{clip(self.err)}"


class Process:
    """A running command. Leaves the `with` block, or the test, killed with its whole process group."""

    def __init__(self, args, env, cwd, stdin=None):
        self.args = args
        self.log = {name: open(os.path.join(cwd, f".{name}.{time.monotonic_ns()}"), "w+b") for name in ("out", "err")}
        self.started = time.monotonic()
        self.popen = subprocess.Popen(args, env=env, cwd=cwd, stdin=stdin or subprocess.DEVNULL, stdout=self.log["out"],
                                      stderr=self.log["err"], start_new_session=True)
        self.pid = self.popen.pid

    def output(self, name="out"):
        """What it has written so far ("out" or "err")."""
        path = self.log[name].name
        with open(path, "rb") as file:
            return file.read().decode("utf-8", "replace")

    def wait_output(self, pattern, name="err", timeout=10.0):
        """Waits for the regular expression in what it writes; the match."""
        def look():
            match = re.search(pattern, self.output(name))
            if not match and self.popen.poll() is not None:
                match = re.search(pattern, self.output(name))
                if not match:
                    pytest.fail(f"ended without {pattern!r}:\n{self.result()}")
            return match

        return wait_for(look, timeout, f"{pattern!r} on std{name} of {' '.join(self.args)}")

    def signal(self, number):
        self.popen.send_signal(number)

    def kill(self):
        """kill -9 of this process alone: what it started must notice by itself."""
        self.popen.kill()
        self.popen.wait()

    def wait(self, timeout=TIMEOUT):
        """Waits for the end; the Result."""
        try:
            self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            where = stacks(self.pid)
            self.close()
            pytest.fail(f"still running after {timeout} s\n{self.result()}\n--- waits in\n{where}")
        return self.result()

    def result(self):
        return Result(self.args, self.popen.poll(), self.output("out").encode(), self.output("err").encode(),
                      time.monotonic() - self.started)

    def close(self):
        if self.popen.poll() is None:
            try:
                os.killpg(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            self.popen.wait()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def stacks(pid):
    """Where a stuck process and its children wait, as far as the kernel tells."""
    lines = []
    for each in [pid, *descendants(pid)]:
        try:
            name = pathlib.Path(f"/proc/{each}/comm").read_text().strip()
            lines.append(f"{each} {name}: {pathlib.Path(f'/proc/{each}/wchan').read_text()}")
        except OSError:
            pass
    return "\n".join(lines)


def children(pid):
    """{pid: (state, command)} of the living children of a process."""
    found = {}
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            stat = pathlib.Path(f"/proc/{entry}/stat").read_text()
            state, parent = stat.rpartition(")")[2].split()[:2]
            if int(parent) == pid:
                command = pathlib.Path(f"/proc/{entry}/cmdline").read_bytes().replace(b"\0", b" ").decode().strip()
                found[int(entry)] = (state, command)
        except OSError:
            continue
    return found


def descendants(pid):
    found = []
    for child in children(pid):
        found += [child, *descendants(child)]
    return found


class Treadle:
    """One user with one home. Call it to run a command to its end; start() for one that stays."""

    def __init__(self, name, tmp_path):
        self.path = program(name)
        self.home = tmp_path / "home"
        self.cwd = tmp_path / "work"
        self.cwd.mkdir(exist_ok=True)
        self.env = plain_env(tmp_path, PATH=os.environ.get("PATH", "/usr/bin:/bin"), TERM="dumb")
        for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS", "LLVM_PROFILE_FILE"):
            if name in os.environ:
                self.env[name] = os.environ[name]
        self.processes = []

    def environment(self, env=None):
        """The environment with changes; a value of None removes."""
        merged = {**self.env, **(env or {})}
        return {name: str(value) for name, value in merged.items() if value is not None}

    def file(self, name, content):
        """Writes a file (text, or data as JSON) under the working directory; its path."""
        path = self.cwd / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content, indent=2))
        return str(path)

    def start(self, *args, env=None, cwd=None, stdin=None):
        """Starts a command and returns its Process."""
        process = Process([self.path, *map(str, args)], self.environment(env), str(cwd or self.cwd), stdin)
        self.processes.append(process)
        return process

    def __call__(self, *args, input=None, env=None, cwd=None, timeout=TIMEOUT, code=None):
        """Runs a command to its end. `code`: the exit code (or codes) that it must have."""
        stdin = None
        if input is not None:
            stdin = open(self.cwd / f".stdin.{time.monotonic_ns()}", "w+b")
            stdin.write(input.encode() if isinstance(input, str) else input)
            stdin.seek(0)
        result = self.start(*args, env=env, cwd=cwd, stdin=stdin).wait(timeout)
        if code is not None:
            wanted = code if isinstance(code, (tuple, list, set)) else (code,)
            assert result.code in wanted, f"wanted exit {code}\n{result}"
        return result

    def close(self):
        for process in self.processes:
            process.close()


def json_lines(path):
    """The whole lines of a file that another process appends to."""
    text = path.read_text() if path.exists() else ""
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


class FakeProvider:
    """A running fake_provider: all three providers' protocols on one port. Scripts and ledger: tools/README.md."""

    def __init__(self, directory, script=None, delay_ms=None, args=()):
        self.directory = directory
        self.requests_file = directory / "requests.jsonl"
        self.ledger_file = directory / "ledger.jsonl"
        command = [program("fake_provider"), "--parent", "--port", "0", "--requests", str(self.requests_file),
                   "--ledger", str(self.ledger_file)]
        if script is not None:
            path = directory / "script.json"
            path.write_text(json.dumps(script))
            command += ["--script", str(path)]
        if delay_ms is not None:
            command += ["--delay", str(delay_ms)]
        environment = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
        self.process = Process([*command, *map(str, args)], environment, str(directory))
        match = self.process.wait_output(r"listening on 127\.0\.0\.1:(\d+)", "out")
        self.port = int(match.group(1))
        self.url = f"http://127.0.0.1:{self.port}"
        self.env = {
            "ANTHROPIC_BASE_URL": self.url, "ANTHROPIC_API_KEY": "key-for-tests-anthropic",
            "GOOGLE_GEMINI_BASE_URL": self.url, "GEMINI_API_KEY": "key-for-tests-gemini",
            "OPENAI_BASE_URL": self.url + "/v1", "OPENAI_API_KEY": "key-for-tests-openai",
        }

    def http(self, method, path):
        request = urllib.request.Request(self.url + path, method=method, data=b"" if method == "POST" else None)
        # Never through a proxy of the caller's.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=10) as reply:
            return reply.read()

    def ledger(self):
        """{key: {"started", "completed", "aborted", "cut"}}: what was really asked, and answered to the end."""
        return json.loads(self.http("GET", "/__ledger"))

    def total(self, what="started"):
        """The sum of a column of the ledger."""
        return sum(entry[what] for entry in self.ledger().values())

    def requests(self):
        """The calls in order of arrival: [{"provider", "key", "turn", "nth", "body"}]."""
        return json_lines(self.requests_file)

    def events(self):
        """The ledger event by event: [{"event": "start" | "finish" | "abort" | "cut", "key", "mono_us", …}]."""
        return json_lines(self.ledger_file)

    def stats(self):
        """{"calls", "in_flight", "peak_in_flight", "connections", "unauthorized"}."""
        return json.loads(self.http("GET", "/__stats"))

    def reset(self):
        """Forgets all calls; the files keep what they have."""
        self.http("POST", "/__reset")

    def close(self):
        self.process.close()


@pytest.fixture
def treadle(tmp_path, nothing_outlives):
    user = Treadle("treadle", tmp_path)
    yield user
    user.close()


@pytest.fixture
def treadle_faults(tmp_path, nothing_outlives):
    user = Treadle("treadle-faults", tmp_path)
    yield user
    user.close()


@pytest.fixture
def fake_provider(tmp_path, nothing_outlives):
    """fake_provider(script=…, delay_ms=…) starts one; all are stopped after the test."""
    running = []

    def start(script=None, delay_ms=None, args=()):
        directory = tmp_path / f"provider{len(running)}"
        directory.mkdir()
        running.append(FakeProvider(directory, script, delay_ms, args))
        return running[-1]

    yield start
    for provider in running:
        provider.close()


@pytest.fixture
def nothing_outlives(request):
    """After the other fixtures have stopped what they started: nothing else may be left."""
    before = set(children(os.getpid()))
    yield
    def left():
        now = children(os.getpid())
        for pid, (state, _) in now.items():
            if state == "Z" and pid not in before:
                try:
                    os.waitpid(pid, os.WNOHANG)  # an orphan that came to us
                except ChildProcessError:
                    pass
        return {pid: command for pid, (state, command) in now.items() if state != "Z" and pid not in before}

    grace = time.monotonic() + GRACE
    while left() and time.monotonic() < grace:
        time.sleep(0.02)
    strays = left()
    for pid in strays:
        for each in [pid, *descendants(pid)]:
            try:
                os.kill(each, signal.SIGKILL)
            except ProcessLookupError:
                pass
    left()
    if strays and not request.node.get_closest_marker("leaves_processes"):
        pytest.fail("outlived the test: " + ", ".join(f"{pid} ({command})" for pid, command in strays.items()))


@pytest.fixture
def examples(tmp_path):
    """A copy of examples/, so that a test may change it."""
    return pathlib.Path(shutil.copytree(ROOT / "examples", tmp_path / "examples"))


@pytest.fixture(scope="session")
def grammars():
    """The grammars of programming languages, built when they are not there yet."""
    subprocess.run([ROOT / "tools/grammars.sh"], check=True, stdin=subprocess.DEVNULL)
