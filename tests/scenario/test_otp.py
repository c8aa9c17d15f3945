"""The supervisor beside Erlang/OTP's own: a quick part of tests/otp, which explains itself."""
import shutil
import subprocess
import sys

import pytest
from conftest import BUILD, ROOT

sys.path.insert(0, str(ROOT / "tests/otp"))
import processes  # noqa: E402
import traces  # noqa: E402

erlang = pytest.mark.skipif(not shutil.which("escript"), reason="NOT TESTED: there is no Erlang (erlang-base)")


def campaign(script, *arguments):
    done = subprocess.run([sys.executable, str(ROOT / "tests/otp" / script), *arguments], capture_output=True,
                          text=True, env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "TREADLE_BUILD": str(BUILD)})
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@erlang
def test_the_policy_does_what_otp_does():
    assert "300 traces" in campaign("traces.py", "300", "7")


@erlang
def test_a_policy_that_does_not_is_found():
    campaign("traces.py", "--control", "200", "2")


@erlang
def test_real_processes_are_treated_as_otp_does():
    assert "162 cells" in campaign("processes.py", "7", "--cells", "--traces", "20", "--jobs", "4")


def test_a_hang_is_noticed_while_stopping_without_a_bound():
    """OTP has no heartbeat, and would wait for ever."""
    player = processes.Player("x one_for_one 5 3600 never e~e~ x1q S", "+a+b  -a!", {})
    assert player.play() == "+a+b  -a!"
