#!/usr/bin/env python3
"""What the engine costs as the whole program: start-up, steps, barriers, ten thousand model calls.

    bench_engine.py [start] [steps] [large] [loops] [talks] [resumed] [barriers] [calls]     default: all

Peak memory of loops first grows to what has a size of its own (SQLite's cache of 16 MiB above all), and then no more.

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

    def __init__(self, command, directory, env=None, code=0):
        peak = directory / "peak"
        with tempfile.TemporaryFile(dir=directory) as out:
            begun = time.perf_counter()
            process = subprocess.Popen([str(word) for word in command], cwd=directory, env={**ENV, **(env or {})},
                                       stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT)
            _, status, used = os.wait4(process.pid, 0)
            self.seconds = time.perf_counter() - begun
            process.returncode = os.waitstatus_to_exitcode(status)
            out.seek(0)
            self.text = out.read(1 << 20).decode(errors="replace")
        if process.returncode != code:
            sys.exit(f"{' '.join(map(str, command))}: exit code {process.returncode}\n{self.text}")
        self.cpu = used.ru_utime + used.ru_stime
        self.memory = int(peak.read_text()) if peak.exists() else used.ru_maxrss
        peak.unlink(missing_ok=True)


class Bench:
    def __init__(self, directory):
        self.directory = directory
        self.home = {"TREADLE_HOME": str(directory / "home"), "HOME": str(directory)}

    def file(self, name, steps, **more):
        path = self.directory / f"{name}.json"
        path.write_text(json.dumps({"workflow": {"name": name, "steps": steps, **more}}))
        return path

    def treadle(self, *arguments, env=None, code=0):
        """Through a small process, for what Python reports as a child's memory includes its own."""
        command = [BUILD / "peak", self.directory / "peak", BUILD / "treadle", *arguments, "--quiet"]
        return Spent(command, self.directory, {**self.home, **(env or {})}, code)

    def run(self, *arguments, env=None):
        spent = self.treadle("run", *arguments, env=env)
        spent.journal = sum(path.stat().st_size for path in (self.directory / "home" / "runs").glob("*/journal.db"))
        shutil.rmtree(self.directory / "home" / "runs", ignore_errors=True)
        return spent

    def resume(self, file):
        """A run that failed at its end, resumed (and failing again): what it takes to come back to that point."""
        self.treadle("run", file, "--run-id", "again", code=1)
        spent = self.treadle("resume", "again", code=1)
        shutil.rmtree(self.directory / "home" / "runs", ignore_errors=True)
        return spent

    def growth(self, title, run, counts=(100, 1000, 10000, 100000), times=5):
        """What each further item or step costs, from one count to the next, and how that grows with their number."""
        before = last = None
        for count in counts:
            runs = [run(count) for _ in range(times if count < 100000 else 2)]
            best = min(runs, key=lambda spent: spent.seconds)
            spent = {"time": best.seconds * 1e6, "CPU": min(r.cpu for r in runs) * 1e6,
                     "memory": min(r.memory for r in runs) * 1024,
                     "journal": getattr(best, "journal", 0)}
            if before:
                each = {name: (spent[name] - before[1][name]) / (count - before[0]) for name in spent}
                print(f"{title:20} {count:6} {best.seconds * 1000:8.1f} ms, {spent['memory'] / 2 ** 20:5.1f} MiB"
                      f"   each further: {each['time']:5.1f} us, {each['CPU']:5.1f} us CPU, {each['memory']:5.0f} bytes"
                      + (f", {each['journal']:.0f} bytes of journal" if spent["journal"] else "")
                      + (f"   growth: time {each['time'] / last['time']:.2f}, CPU {each['CPU'] / last['CPU']:.2f}, "
                         f"peak memory {spent['memory'] / before[1]['memory']:.2f}"
                         + (f", journal {each['journal'] / last['journal']:.2f}" if spent["journal"] else "")
                         if last else ""))
                last = each
            before = count, spent

    def loop_file(self, count, parallel, last_fails):
        """With results of 200 bytes. The items are a range: a list of them would be held while the loop runs."""
        body = [{"name": "say", "type": "test_echo", "value": "item {{ item }}: " + 190 * "x",
                 "fail": f"{{{{ item == {count} }}}}" if last_fails else False}]
        return self.file("loop", [{"name": "all", "type": "for_loop", "data_source": f"range(1, {count})",
                                   "parallel": parallel, "steps": body}])

    def loops(self):
        self.growth("loop in order", lambda count: self.run(self.loop_file(count, False, False)))
        self.growth("loop, 8 at a time", lambda count: self.run(self.loop_file(count, True, False)))
        self.growth("while_loop", lambda count: self.run(self.while_file(count)))
        self.growth("loop of 100 KB", lambda count: self.run(self.large_loop_file(count)), (100, 1000, 10000), 1)

    def while_file(self, count):
        body = [{"name": "add", "type": "set_variable", "variables": {"n": "{{ n + 1 }}"}}]
        return self.file("while", [{"name": "all", "type": "while_loop", "condition": f"n < {count}",
                                    "max_iterations": 10 ** 6, "steps": body}], variables={"n": 0})

    def large_loop_file(self, count):
        body = [{"name": "say", "type": "test_echo", "value": "{{ item }} {{ text }}"}]
        return self.file("large-loop", [{"name": "all", "type": "for_loop", "data_source": f"range(1, {count})",
                                         "steps": body}], variables={"text": 100000 * "x"})

    def talks(self):
        """Each call of a model carries all that was said before: its time grows with that, the journal must not."""
        def session(count):
            ask = {"name": "ask", "type": "claude_session", "prompt": "What is {{ 100000 + item }}?"}
            return self.run(self.file("session", [{"name": "all", "type": "for_loop", "steps": [ask],
                                                   "data_source": f"range(1, {count})"}]), "--mock")

        def agent(count):
            (self.directory / "workspace").mkdir(exist_ok=True)
            (self.directory / "workspace" / "notes.txt").write_text(80 * "a line of text\n")
            fixtures = self.directory / "fixtures.json"
            read = {"name": "Read", "input": {"file_path": "notes.txt"}}
            fixtures.write_text(json.dumps({"fixtures": [{"match": {"turn": count}, "reply": {"text": "done"}},
                                                         {"reply": {"tool_calls": [read]}}]}))
            ask = {"name": "ask", "type": "claude", "prompt": "Read.", "allowed_tools": ["Read"], "max_turns": count}
            return self.run(self.file("agent", [ask]), "--mock", fixtures)

        def batch(count):
            tasks = [{"id": f"t{i}", "prompt": f"{i} " + 2000 * "x"} for i in range(count)]
            return self.run(self.file("batch", [{"name": "all", "type": "claude_batch", "tasks": tasks}]), "--mock")
        counts = 50, 100, 200, 400, 800
        self.growth("session, exchanges", session, counts, 1)
        self.growth("agent, tool turns", agent, counts, 1)
        self.growth("claude_batch, tasks", batch, counts, 1)

    def resumed(self):
        self.growth("resumed in order", lambda count: self.resume(self.loop_file(count, False, True)))
        self.growth("resumed, 8 at a time", lambda count: self.resume(self.loop_file(count, True, True)))
        self.growth("resumed steps", lambda count: self.resume(self.steps_file(count, True)))

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

    def steps_file(self, count, last_fails=False):
        steps = [{"name": f"s{i}", "type": "set_variable", "variables": {"n": i}} for i in range(count)]
        if last_fails:
            steps.append({"name": "end", "type": "test_echo", "fail": True})
        return self.file("steps", steps)

    def steps(self):
        """Many small steps, which all stand in the file: their definitions are most of the memory."""
        self.growth("steps", lambda count: self.run(self.steps_file(count)))

    def large_file(self, count, last_fails=False):
        """Steps that return 100 KB each."""
        steps = [{"name": f"s{i}", "type": "test_echo", "value": {"n": i, "text": "{{ text }}"}} for i in range(count)]
        if last_fails:
            steps.append({"name": "end", "type": "test_echo", "fail": True})
        return self.file("large", steps, variables={"text": 100000 * "x"})

    def large(self):
        """Large results, which leave memory when their steps have ended; also where all are told, and when resumed."""
        counts = 100, 1000, 10000
        self.growth("100 KB steps", lambda count: self.run(self.large_file(count)), counts, 1)
        self.growth("100 KB, --json", lambda count: self.run(self.large_file(count), "--json"), counts, 1)
        self.growth("100 KB, resumed", lambda count: self.resume(self.large_file(count, True)), counts, 1)

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
    names = sys.argv[1:] or ["start", "steps", "large", "loops", "talks", "resumed", "barriers", "calls"]
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
