#!/usr/bin/env python3
"""What the engine costs as the whole program: start-up, steps, barriers, ten thousand model calls.

    bench_engine.py [start] [steps] [barriers] [calls]     default: all

Everything is compared with something measured beside it in the same minute, in turns, so that a busy machine slows
both: a start of python3, bare SQLite commits, libcurl alone. State is in a directory of its own below the current one
(the disk counts). TREADLE_BUILD says where the programs are.
"""
import json
import os
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

BUILD = pathlib.Path(os.environ.get("TREADLE_BUILD") or pathlib.Path(__file__).resolve().parents[1] / "build/release")
ENV = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}


class Spent:
    """One run of a command: seconds by the clock, seconds of processor, peak memory in KiB, what it printed."""

    def __init__(self, command, directory, env=None):
        with tempfile.TemporaryFile(dir=directory) as out:
            begun = time.perf_counter()
            process = subprocess.Popen([str(word) for word in command], cwd=directory, env={**ENV, **(env or {})},
                                       stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
            _, status, used = os.wait4(process.pid, 0)
            self.seconds = time.perf_counter() - begun
            process.returncode = os.waitstatus_to_exitcode(status)
            out.seek(0)
            self.text = out.read().decode()
        if process.returncode:
            sys.exit(f"{' '.join(map(str, command))}: exit code {process.returncode}\n{self.text}")
        self.cpu = used.ru_utime + used.ru_stime
        self.memory = used.ru_maxrss


class Bench:
    def __init__(self, directory):
        self.directory = directory
        self.home = {"TREADLE_HOME": str(directory / "home"), "HOME": str(directory)}

    def file(self, name, steps, **more):
        path = self.directory / f"{name}.json"
        path.write_text(json.dumps({"workflow": {"name": name, "steps": steps, **more}}))
        return path

    def run(self, *arguments, env=None):
        spent = Spent([BUILD / "treadle", "run", *arguments, "--quiet"], self.directory, {**self.home, **(env or {})})
        shutil.rmtree(self.directory / "home" / "runs", ignore_errors=True)
        return spent

    def start(self):
        """A cold start: one step that does nothing, with its journal made durable."""
        file = self.file("echo", [{"name": "say", "type": "test_echo", "value": "hello"}])
        ours, python = [], []
        for _ in range(40):
            ours.append(self.run(file))
            python.append(Spent(["/usr/bin/python3", "-c", "pass"], self.directory))
        median = statistics.median([spent.seconds for spent in ours])
        other = statistics.median([spent.seconds for spent in python])
        cpu = statistics.median([spent.cpu for spent in ours]), statistics.median([spent.cpu for spent in python])
        print(f"start        treadle run {median * 1000:6.1f} ms ({cpu[0] * 1000:.1f} ms CPU, "
              f"{max(spent.memory for spent in ours) // 1024} MiB)   python3 -c pass {other * 1000:.1f} ms "
              f"({cpu[1] * 1000:.1f} ms CPU)   ratio {median / other:.2f}")

    def steps(self):
        """Many small steps: time, processor and memory for each, and how that grows with their number."""
        one = self.run(self.file("steps1", [{"name": "s", "type": "set_variable", "variables": {"n": 0}}]))
        before, last = (1, one.seconds, one.cpu, one.memory), None
        for count in (1000, 10000, 100000):
            file = self.file(f"steps{count}", [{"name": f"s{i}", "type": "set_variable", "variables": {"n": i}}
                                               for i in range(count)])
            runs = [self.run(file) for _ in range(5 if count < 100000 else 2)]
            best = min(runs, key=lambda spent: spent.seconds)
            cpu = min(spent.cpu for spent in runs)
            more = count - before[0]
            each = {"time": (best.seconds - before[1]) / more * 1e6, "CPU": (cpu - before[2]) / more * 1e6,
                    "memory": (best.memory - before[3]) / more * 1024}
            growth = ", ".join(f"{name} {each[name] / last[name]:.2f}" for name in each) if last else ""
            print(f"steps {count:6} {best.seconds * 1000:8.1f} ms, {best.memory / 1024:.0f} MiB   each further step: "
                  f"{each['time']:5.1f} us, {each['CPU']:5.1f} us CPU, {each['memory']:5.0f} bytes"
                  + (f"   growth: {growth}" if last else ""))
            before, last = (count, best.seconds, cpu, best.memory), each if count > 1000 else None

    def barriers(self):
        """A thousand effects, each waiting for a commit of its own, and as many bare commits."""
        file = self.file("barriers", [{"name": f"s{i}", "type": "gemini", "prompt": "hello"} for i in range(1000)])
        ratios, ours, bare = [], [], []
        for _ in range(5):
            spent = self.run(file, "--mock")
            mean = float(re.search(r"mean (\d+) us", Spent([BUILD / "bench_commits", 1000, 4, "."],
                                                           self.directory).text).group(1))
            ours.append(spent.seconds)  # for 1000 of them: milliseconds each
            bare.append(mean / 1000)
            ratios.append(ours[-1] / bare[-1])
        print(f"barriers     {statistics.median(ours):.2f} ms a step with a barrier   bare SQLite commit "
              f"{statistics.median(bare):.2f} ms   ratio {statistics.median(ratios):.2f}")

    def calls(self):
        """Ten thousand model calls of 100 ms, 1000 at a time, and libcurl alone doing the same."""
        provider = subprocess.Popen([BUILD / "fake_provider", "--delay", "100", "--parent"], stdout=subprocess.PIPE,
                                    cwd=self.directory, env=ENV, text=True)
        try:
            url = "http://" + provider.stdout.readline().split()[-1]
            file = self.file("calls", [{
                "name": "all", "type": "for_loop", "data_source": "range(1, 10000)", "parallel": True,
                "max_parallel": 1000,
                "steps": [{"name": "ask", "type": "claude", "model": "haiku", "prompt": "What?\nanswer {{ item }}"}]}])
            env = {"ANTHROPIC_BASE_URL": url, "ANTHROPIC_API_KEY": "none"}
            ours, curl, ratios = [], [], []
            for _ in range(5):
                ours.append(self.run(file, env=env))
                text = Spent([BUILD / "bench_calls", "--mode", "curl", "--stream"], self.directory).text
                curl.append(re.search(r"([\d.]+) s wall.* ([\d.]+) us CPU.*RSS (\d+) MB, (\d+) failed", text).groups())
                ratios.append(ours[-1].seconds / float(curl[-1][0]))
        finally:
            provider.terminate()
            provider.wait()
        best = min(ours, key=lambda spent: spent.seconds)
        print(f"calls        {best.seconds:.2f} s, {min(spent.cpu for spent in ours) * 100:.0f} us CPU a call, "
              f"{best.memory // 1024} MiB   libcurl alone {min(float(c[0]) for c in curl):.2f} s, "
              f"{min(float(c[1]) for c in curl):.0f} us CPU, {curl[0][2]} MiB   "
              f"ratio {statistics.median(ratios):.2f} (median of 5 pairs)")


def main():
    names = sys.argv[1:] or ["start", "steps", "barriers", "calls"]
    directory = pathlib.Path(tempfile.mkdtemp(prefix="bench-engine-", dir="."))
    print(f"load average {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    try:
        for name in names:
            getattr(Bench(directory.resolve()), name)()
    finally:
        shutil.rmtree(directory)
    print(f"load average {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
