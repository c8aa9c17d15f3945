"""Restart policies in the real program: what the workspace and the provider saw."""
import json

import pytest

LOOP = """\
workflow:
  name: loop
  steps:
    - name: each
      type: for_loop
      data_source: [r, s, t]
      parallel: true
      strategy: STRATEGY
      restart: {intensity: 9, period: 60s}
      steps:
        - name: make
          type: command
          env: {WHO: "{{ item }}"}
          run: |
            echo $WHO >> made.txt
            echo $WHO >> .git/started
            test $WHO != s || test $(grep -c s .git/started) -gt 2
    - {name: made, type: command, run: sort made.txt}
    - {name: started, type: command, run: sort .git/started | uniq -c | tr -d ' \\n'}
  output: "{{ steps.made.stdout }}{{ steps.started.stdout }}{{ json(steps.each.iterations[*].index) }}"
"""

TASKS = """\
workflow:
  name: tasks
  steps:
    - name: ask
      type: parallel_claude
      strategy: rest_for_one
      restart: {intensity: 2, period: 60s}
      parallel_config: {max_workers: 1}
      tasks:
        - {id: a, prompt: first}
        - {id: b, type: command, run: "echo b >> .git/started; test -e .git/fine"}
        - {id: c, prompt: "third, after {{ run.id }}"}
  output: "{{ steps.ask.a.text }}, {{ steps.ask.c.text }}"
"""


@pytest.mark.strict
def test_loop(treadle):
    """s fails twice; what an iteration changed is taken back before it is started again, and only that."""
    for strategy, started in (("one_for_one", "1r3s1t"), ("rest_for_one", "1r3s1t"), ("one_for_all", "3r3s1t")):
        work = treadle.cwd / strategy
        (work / ".git").mkdir(parents=True)
        path = treadle.cwd / f"{strategy}.yaml"
        path.write_text(LOOP.replace("STRATEGY", strategy))
        run = treadle("run", path, "--quiet", "--workspace", work, code=0)
        assert run.out.strip() == f"r\ns\nt\n{started}[0,1,2]", (strategy, run)


def test_tasks_over_lives(treadle):
    """The second task fails for good in one life; the next goes on with it and what follows, not with the first."""
    path, work = treadle.cwd / "tasks.yaml", treadle.cwd / "work"
    (work / ".git").mkdir(parents=True)
    path.write_text(TASKS)
    failed = treadle("run", path, "--mock", "--run-id", "x", "--quiet", "--json", "--workspace", work, code=1)
    error = json.loads(failed.out)["error"]
    assert error["code"] == "restart_intensity" and "started again 2 times within 60 s" in error["message"], failed
    assert (work / ".git/started").read_text() == "b\n" * 3
    (work / ".git/fine").touch()
    resumed = treadle("resume", "x", "--quiet", code=0)
    assert resumed.out.strip() == "first, third, after x"
    assert (work / ".git/started").read_text() == "b\n" * 4
    log = treadle("logs", "x", code=0).out
    calls = [line.split()[3] for line in log.split("\n") if "  call  " in line and "turn:" in line]
    assert calls == ["ask/a/turn:1", "ask/again:3/c/turn:1"], log
