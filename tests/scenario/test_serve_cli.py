"""Commands about runs of a service: they find them, ask the service that lives, and say what to do where none does."""
import os
import pathlib
import stat
import subprocess

import pytest
from conftest import wait_for
from service import Service

ASK = """\
workflow:
  name: ask
  output: "{{ steps.ok.choice }} {{ steps.ok.comment }} {{ steps.paid.data.sum }}"
  steps:
    - {name: ok, type: approval, message: go?}
    - {name: paid, type: wait_signal, signal: paid}
"""
FAILS = "workflow: {name: fails, steps: [{name: e, type: command, run: 'test -e there'}]}"


@pytest.fixture
def service(treadle):
    made = []

    def start(*args, **more):
        made.append(Service(treadle, *args, mock="", **more).start())
        return made[-1]

    yield start
    for each in made:
        if each.process.popen.poll() is None:
            assert each.stop().code == 0, each.log()[-3000:]


def waits(s, run):
    return wait_for(lambda: s.show(run)["status"] == "waiting", 20, "it waits")


@pytest.mark.parametrize("tokens", [False, True])
def test_what_show_tells_to_do_can_be_done(service, treadle, tokens):
    """Also where clients need a token: who may open the journal needs none."""
    secret = "0123456789abcdef0123456789abcdef"
    s = service(env={"TREADLE_TOKEN": secret} if tokens else None)
    if tokens:
        bare = s.http
        assert bare("GET", "/readyz")[0] == 401
        s.http = lambda m, p, b=None, h=None, **more: bare(m, p, b, {"Authorization": f"Bearer {secret}", **(h or {})},
                                                           **more)
    run = s.run(ASK)
    waits(s, run)
    shown = treadle("show", run, code=0).out
    assert f"treadle approve {run} ok" in shown and "the service goes on with it" in shown, shown
    assert "treadle resume" not in shown, shown
    assert "expected one of" in treadle("approve", run, "ok", "--choice", "perhaps", code=2).err
    assert "nothing waits" in treadle("approve", run, "nothing", code=2).err
    assert "ok: approve is recorded" in treadle("approve", run, "ok", "--comment", "do", code=0).out
    waits(s, run)
    assert f"treadle signal {run} paid" in treadle("show", run, code=0).out
    assert "signal paid is recorded" in treadle("signal", run, "paid", '{"sum": 7}', "--id", "a", code=0).out
    assert s.ended(run)["output"] == "approve do 7"
    assert treadle("signal", run, "paid", code=2).err


def test_resume_reject_and_cancel(service, treadle):
    s = service()
    run = s.run(FAILS)
    assert s.ended(run)["status"] == "failed"
    shown = treadle("show", run, code=0).out
    assert f"treadle resume {run}  " in shown and "--workflow" not in shown, shown
    (treadle.home / "runs" / run / "workspace" / "there").write_text("")
    assert "goes on in the service" in treadle("resume", run, code=0).out
    wait_for(lambda: s.show(run)["status"] == "succeeded", 20, "success")
    assert "--workflow is for" in treadle("resume", run, "--workflow", "x.yaml", code=2).err
    again = s.run(ASK)
    waits(s, again)
    assert "reject is recorded" in treadle("reject", again, "ok", code=0).out
    third = s.run(ASK)
    waits(s, third)
    assert "is cancelled" in treadle("cancel", third, code=0).out
    assert s.ended(third)["status"] == "cancelled"


def test_a_service_that_is_stopped(service, treadle):
    s = service()
    run = s.run(ASK)
    waits(s, run)
    s.stop()
    for command in (["approve", run, "ok"], ["signal", run, "paid"], ["cancel", run], ["resume", run]):
        assert "not running; start it with treadle serve" in treadle(*command, code=4).err
    assert "The service is not running: treadle serve" in treadle("show", run, code=0).out
    s.start()
    treadle("approve", run, "ok", code=0)


def test_a_journal_elsewhere_is_known(service, treadle, tmp_path):
    elsewhere = tmp_path / "a-directory-with-a-name-that-is-longer-than-the-address-of-a-socket-may-be-in-all-its-parts"
    elsewhere.mkdir()
    link = pathlib.Path(treadle.cwd) / "link"
    link.symlink_to(elsewhere)
    s = service("--db", "link/other.db")
    run = s.run(ASK)
    waits(s, run)
    assert run in treadle("ps", code=0).out
    assert str(elsewhere / "other.db") in treadle("show", run, code=0).out
    assert stat.S_IMODE(os.stat(elsewhere / "other.db.sock").st_mode) == 0o600
    treadle("approve", run, "ok", code=0)
    assert f" mock  {treadle.home}" in treadle("ps", code=0).out
    s.stop()
    assert f"--db {elsewhere}/other.db" in treadle("signal", run, "paid", code=4).err
    assert run in treadle("ps", code=0).out
    subprocess.run(["rm", "-r", elsewhere], check=True)
    assert run not in treadle("ps", code=0).out


def test_two_services_do_not_share_a_journal(service, treadle):
    s = service()
    got = treadle("serve", "--mock", "--listen", "0", code=4)
    assert "is in use by another `treadle serve`" in got.err and "--db" in got.err
    run = s.run(ASK)
    waits(s, run)
    treadle("approve", run, "ok", code=0)
