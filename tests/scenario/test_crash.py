"""Crashes of the whole program: kills, unknown ends of commits, a full disk. What takes hours is in tests/crash."""
import contextlib
import json
import os
import random
import signal
import subprocess
import sys

import pytest

from conftest import ROOT, wait_for

sys.path.insert(0, str(ROOT / "tests" / "crash"))
import kill_campaign  # noqa: E402
import test_orphans_run as orphans  # noqa: E402

SEED = int(os.environ.get("TREADLE_TEST_SEED") or random.SystemRandom().getrandbits(31))


@pytest.fixture
def campaign(tmp_path, nothing_outlives):
    print(f"seed {SEED} (TREADLE_TEST_SEED)")
    campaign = kill_campaign.Campaign(tmp_path, SEED)
    yield campaign
    campaign.close()


def test_kills_lose_nothing_and_repeat_nothing(campaign):
    campaign.run_until(15)
    print("\n".join(campaign.summary()))


def test_seeded_bugs_are_caught(tmp_path, nothing_outlives):
    print(kill_campaign.control(tmp_path, SEED))


def test_commands_die_with_treadle(nothing_outlives):
    print(orphans.campaign(6, SEED))


@pytest.mark.parametrize("fault", [f"store.commit.{how}={n}" for how in ("unknown", "lost") for n in (2, 3, 5, 9, 23)])
def test_a_commit_with_an_unknown_end_stops_and_is_resumed(campaign, fault):
    trial = kill_campaign.Trial(campaign, [fault])
    result = trial.run(survive=(4,))
    assert not kill_campaign.difference(result, campaign.reference)
    assert len(trial.log) == 2, trial
    assert "the outcome of a commit is unknown" in trial.said[0]
    assert f"go on with: treadle resume {trial.id}" in trial.said[0]


def test_two_unknown_commits_one_after_the_other(campaign):
    trial = kill_campaign.Trial(campaign, ["store.commit.unknown=4", "store.commit.lost=6", "store.commit.unknown=3"])
    assert not kill_campaign.difference(trial.run(survive=(4,)), campaign.reference)
    assert len(trial.log) == 4, trial


ECHO = {"workflow": {"name": "echo", "output": "{{ steps.say }}", "steps": [
    {"name": "say", "type": "test_echo", "value": {"said": 1}}]}}


def test_a_run_killed_before_its_first_commit_can_be_started_again(treadle_faults):
    file = treadle_faults.file("echo.json", ECHO)
    assert treadle_faults("run", file, "--run-id", "r", env={"TREADLE_FAULT": "store.kill.before=1"}).code == -9
    resumed = treadle_faults("resume", "r", code=(2, 4))
    assert "treadle run" in resumed.err
    assert treadle_faults("run", file, "--run-id", "r", "--json", code=0).json["output"] == {"said": 1}
    again = treadle_faults("run", file, "--run-id", "r", code=2)
    assert "there is a run r already" in again.err


def test_resuming_what_has_succeeded_tells_the_result_again(treadle):
    file = treadle.file("echo.json", ECHO)
    first = treadle("run", file, "--run-id", "r", "--json", code=0).json
    journal = treadle.home / "runs" / "r" / "journal.db"
    before = journal.read_bytes()
    assert treadle("resume", "r", "--json", code=0).json == first
    assert json.loads(treadle("resume", "r", code=0).out) == {"said": 1}
    assert journal.read_bytes() == before


# ---- full disks


@pytest.fixture
def small_disk(tmp_path):
    """A file system of a few megabytes."""
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(place)], capture_output=True)
    if mounted.returncode:
        pytest.skip(f"NOT TESTED, mount is not permitted here: {mounted.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(place):
    """Takes all the room there is; returns what frees it."""
    file = place / "filler"
    with open(file, "wb", buffering=0) as filler:
        for size in (1 << 16, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while True:
                    filler.write(b"x" * size)
    return file


def long_run(treadle, fake_provider):
    steps = []
    for i in range(40):
        steps.append({"name": f"ask{i}", "type": "llm", "model": "openai/m", "prompt": f"[[key:{i}]]\nanswer {i}"})
        steps.append({"name": f"pad{i}", "type": "test_echo", "value": str(i) * 12000})
    workflow = {"name": "long", "steps": steps, "output": "{{ steps.ask39.text }}"}
    return fake_provider(delay_ms=50), treadle.file("long.json", {"workflow": workflow})


def whole(result, provider):
    assert result.json["status"] == "succeeded" and result.json["output"] == "answer 39", result
    assert result.json["results"]["pad12"] == "12" * 12000
    return {key: entry["started"] for key, entry in provider.ledger().items()}


def test_a_full_disk_pauses_the_run_until_there_is_room(treadle, fake_provider, small_disk):
    provider, file = long_run(treadle, fake_provider)
    env = {**provider.env, "TREADLE_HOME": str(small_disk)}
    process = treadle.start("run", file, "--json", "--run-id", "r", env=env)
    process.wait_output(r"done +ask3\b")
    filler = fill(small_disk)
    process.wait_output("paused: the disk with the journal is full", timeout=30)
    settled = wait_for(lambda: provider.stats()["in_flight"] == 0 and provider.total(), what="calls in flight to end")
    assert process.popen.poll() is None
    with pytest.raises(BaseException):
        process.wait_output("going on", timeout=3)
    assert provider.total() == settled < 40, "a call was started whose intent could not be written"
    filler.unlink()
    process.wait_output("going on: the journal has room again", timeout=30)
    asked = whole(process.wait(), provider)
    assert set(asked.values()) == {1} and len(asked) == 40


def test_a_run_killed_on_a_full_disk_loses_nothing(treadle, fake_provider, small_disk):
    provider, file = long_run(treadle, fake_provider)
    env = {**provider.env, "TREADLE_HOME": str(small_disk)}
    process = treadle.start("run", file, "--json", "--run-id", "r", env=env)
    process.wait_output(r"done +ask3\b")
    filler = fill(small_disk)
    process.wait_output("paused: the disk with the journal is full", timeout=30)
    process.kill()
    filler.unlink()
    asked = whole(treadle("resume", "r", "--json", env=env, code=0), provider)
    assert len(asked) == 40 and sorted(asked.values())[:-1] == [1] * 39 and max(asked.values()) <= 2


def test_two_signals_end_a_run_that_is_paused_by_a_full_disk(treadle, fake_provider, small_disk):
    provider, file = long_run(treadle, fake_provider)
    env = {**provider.env, "TREADLE_HOME": str(small_disk)}
    process = treadle.start("run", file, "--json", "--run-id", "r", env=env)
    process.wait_output(r"done +ask3\b")
    filler = fill(small_disk)
    process.wait_output("paused: the disk with the journal is full", timeout=30)
    process.signal(signal.SIGINT)
    process.wait_output("suspending")
    process.signal(signal.SIGINT)
    ended = process.wait(timeout=15)
    assert ended.code == 4 and "treadle resume r" in ended.err
    filler.unlink()
    asked = whole(treadle("resume", "r", "--json", env=env, code=0), provider)
    assert max(asked.values()) <= 2
