"""examples/repair as people run it: to its end, killed in the middle, and with a project it was not made for."""
import os
import re
import subprocess
import time

import pytest

from conftest import program

# A cause of failure that leaves the tests' output as it is, and one that changes it.
OTHER_CODE = ("total = value * unit;", "total = unit * value;")
OTHER_FAILURE = ("total = value * unit;", "total -= value * unit;")


class Example:
    def __init__(self, examples, tmp_path, environment):
        self.root = examples / "repair"
        self.scratch = tmp_path / "scratch"
        self.env = {**environment, "TREADLE": program("treadle")}

    def run(self, *args, env=None, timeout=60):
        started = time.monotonic()
        done = subprocess.run([self.root / "run.sh", "--dir", self.scratch, *args], env={**self.env, **(env or {})},
                              cwd=self.root, capture_output=True, text=True, timeout=timeout)
        self.seconds = time.monotonic() - started
        return done

    def spoil(self, change):
        path = self.root / "project/src/duration.c"
        text = path.read_text()
        assert text.count(change[0]) == 1
        path.write_text(text.replace(*change))

    def files(self):
        return {str(p.relative_to(self.root)): p.read_bytes() for p in self.root.rglob("*") if p.is_file()}


@pytest.fixture
def example(examples, tmp_path, treadle):
    return Example(examples, tmp_path, treadle.environment())


def test_repairs_the_project(example):
    before = example.files()
    done = example.run()
    assert done.returncode == 0, done.stdout + done.stderr
    assert example.seconds < 20
    assert "3 of 5 tests passed" in done.stdout  # before
    assert "5 of 5 tests passed" in done.stdout  # after, said by the real tests
    assert "-        if (seconds > units[i].seconds) {\n+        if (seconds >= units[i].seconds) {" in done.stdout
    assert re.search(r"succeeded after .*; 11 model calls", done.stderr)
    report = (example.scratch / "report.md").read_text()
    assert report.startswith("# Repair report") and report in done.stdout
    # Two rounds: what the first one could not see was mended in the second.
    assert re.search(r"done +mend/1/retest", done.stderr) and "mend/2" not in done.stderr
    assert example.files() == before, "the example itself was changed"


def test_killed_in_the_middle_pays_for_no_answer_twice(example):
    done = example.run("--kill")
    assert done.returncode == 0, done.stdout + done.stderr
    assert example.seconds < 20
    assert "8 model calls were started, 7 have been answered; 1 was on its way." in done.stdout
    assert "7 answers before the kill, 4 after it, 11 in all." in done.stdout
    assert "12 calls were started in the two lives" in done.stdout
    assert done.stdout.rindex("5 of 5 tests passed") > done.stdout.index("kill -9")
    assert "analyse" not in done.stderr  # of the second life: what was finished is not shown again


@pytest.mark.parametrize("change", [OTHER_CODE, OTHER_FAILURE])
def test_scripted_models_know_only_what_the_tools_really_return(example, change):
    example.spoil(change)
    done = example.run()
    assert done.returncode == 1, done.stdout + done.stderr
    assert "no fixture matches" in done.stderr
    assert "What it changed" not in done.stdout


def test_a_repair_that_does_not_work_is_noticed(example):
    # The scripted models do their part, but the second edit brings no relief: the tests have the last word.
    fixtures = example.root / "fixtures.yaml"
    text = fixtures.read_text()
    assert text.count("new_string: $3 >= $4") == 1
    fixtures.write_text(text.replace("new_string: $3 >= $4", "new_string: $3 > 1 + $4"))
    done = example.run()
    assert done.returncode == 1, done.stdout + done.stderr
    assert "no fixture matches" in done.stderr


def test_live_says_which_keys_are_missing(example):
    done = example.run("--live", env={"GEMINI_API_KEY": "x"})
    assert done.returncode == 4
    assert "ANTHROPIC_API_KEY" in done.stderr and "GEMINI_API_KEY" not in done.stderr
    assert "without --live no key is needed" in done.stderr
    assert not example.scratch.exists() or not os.listdir(example.scratch)


def test_live_asks_the_providers(example, fake_provider):
    # A provider that echoes repairs nothing; what counts is that it is asked, by the same file.
    plan = {"provider": "gemini", "text": '{"edits": []}'}
    provider = fake_provider(script=[plan, {"text": "I do not know."}])
    done = example.run("--live", env=provider.env)
    assert done.returncode == 1, done.stdout + done.stderr
    assert "the tests still fail after 4 rounds" in done.stderr
    asked = [call["provider"] for call in provider.requests()]
    assert asked == ["anthropic", "gemini"] + ["anthropic"] * 5
    assert "FAIL parts_add_up" in str(provider.requests()[0]["body"])


def test_usage(example):
    done = example.run("--help")
    assert done.returncode == 0 and "--kill" in done.stdout
    done = example.run("--nonsense")
    assert done.returncode == 2 and "unknown option --nonsense" in done.stderr
    done = example.run(env={"TREADLE": "/nonexistent"})
    assert done.returncode == 4 and "run `make` first" in done.stderr
