"""A running `treadle serve` for tests: its processes by role, its HTTP interface, and what became of its runs."""
import json
import os
import pathlib
import re
import signal
import time
import urllib.error
import urllib.request

import conftest
from conftest import Process, wait_for


class Service:
    """One service with a home of its own. `http()` speaks to it; `pid(role)` names its processes."""

    def __init__(self, treadle, *args, env=None, mock=None):
        self.treadle = treadle
        self.args = [*args]
        if mock is not None:
            self.args += [f"--mock={mock}" if mock else "--mock"]
        self.env = treadle.environment({"TREADLE_LOG": "debug", **(env or {})})
        self.process = None
        self.port = 0

    def start(self):
        listen = ["--listen", str(self.port)]
        self.process = Process([self.treadle.path, "serve", *listen, *map(str, self.args)], self.env,
                               str(self.treadle.cwd))
        self.treadle.processes.append(self.process)
        self.port = int(self.process.wait_output(r"listening on http://127\.0\.0\.1:(\d+)").group(1))
        self.process.wait_output(r"info: ready\n", timeout=20)
        return self

    def log(self):
        return self.process.output("err")

    def pid(self, role):
        """The pid of a role's process now (0: none), or of the supervisor."""
        if role == "supervisor":
            return self.process.pid
        for pid, (state, command) in conftest.children(self.process.pid).items():
            if state != "Z" and f"__role {role}" in command:
                return pid
        return 0

    def kill(self, role, number=signal.SIGKILL):
        """Kills a role and waits until another process has its place and is ready."""
        pid = self.pid(role)
        before = len(re.findall(rf"{role} \(pid \d+\) is ready", self.log()))
        os.kill(pid, number)
        wait_for(lambda: len(re.findall(rf"{role} \(pid \d+\) is ready", self.log())) > before, 20,
                 f"{role} back\n{self.log()[-2000:]}")

    def http(self, method, path, body=None, headers=None, timeout=30):
        """(status, JSON or text)"""
        data = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        head = {"Content-Type": "application/json"} if data is not None else {}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, {**head, **(headers or {})},
                                         method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=timeout) as reply:
                status, text = reply.status, reply.read()
        except urllib.error.HTTPError as problem:
            status, text = problem.code, problem.read()
        try:
            return status, json.loads(text)
        except ValueError:
            return status, text.decode("utf-8", "replace")

    def run(self, yaml, inputs=None, **more):
        """Starts a run; its id. The gateway may be restarting: then tries again, with a key that makes it one run."""
        key = f"k{time.monotonic_ns()}"
        def attempt():
            try:
                status, body = self.http("POST", "/run_pipeline", {"workflow_yaml": yaml, "inputs": inputs or {},
                                                                   "idempotency_key": key, **more})
            except (OSError, urllib.error.URLError):
                return None
            if status == 503:
                return None
            assert status in (200, 202), (status, body)
            return body["run_id"]
        return wait_for(attempt, 20, "a run started")

    def show(self, run):
        status, body = self.http("GET", f"/v1/runs/{run}")
        assert status == 200, (status, body)
        return body

    def ended(self, run, timeout=60, statuses=("succeeded", "failed", "cancelled", "quarantined")):
        """Waits for the end of a run; what is told of it."""
        def look():
            try:
                body = self.show(run)
            except (OSError, urllib.error.URLError, AssertionError):
                return None
            over = body["status"] in statuses and (body["status"] == "quarantined" or "calls" in body["usage"])
            return body if over else None
        return wait_for(look, timeout, f"the end of {run}\n{self.log()[-3000:]}")

    def stop(self, number=signal.SIGTERM, timeout=40):
        self.process.signal(number)
        return self.process.wait(timeout)


def directory_of(service, run):
    return pathlib.Path(service.treadle.home) / "runs" / run
