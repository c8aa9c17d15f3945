"""The fixtures themselves: a check that cannot fail would hide what it is there to find."""
import pathlib
import re
import shutil
import subprocess
import sys
import urllib.request

INNER = '''
import pytest

def shell(treadle, script, **more):
    treadle.path = "/bin/sh"
    return treadle("-c", script, **more)

def test_good(treadle):
    assert shell(treadle, "echo '{}'; exit 3", code=3).json == {}

def test_gone_soon(treadle):
    shell(treadle, "setsid sleep 0.5 & exit 0")

def test_stray(treadle):
    shell(treadle, "setsid sh -c 'setsid sleep 300 & sleep 301' >/dev/null 2>&1 & exit 0")

@pytest.mark.leaves_processes
def test_stray_allowed(treadle):
    shell(treadle, "setsid sleep 302 & exit 0")

def test_hangs(treadle):
    shell(treadle, "exec sleep 303", timeout=0.5)

def test_two_documents(treadle):
    shell(treadle, "echo '{}{}'").json
'''


def test_strays_hangs_and_bad_json_fail_a_test(tmp_path, treadle):
    here = pathlib.Path(__file__).parent
    shutil.copy(here / "conftest.py", tmp_path)
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers =\n    leaves_processes: as in the real one\n")
    (tmp_path / "test_inner.py").write_text(INNER)
    done = subprocess.run([sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:xdist", "-rA",
                           "--tb=short", str(tmp_path)], cwd=tmp_path, capture_output=True, text=True, timeout=120,
                          env={"PATH": "/usr/bin:/bin", "TREADLE_BUILD": str(pathlib.Path(treadle.path).parent),
                               "TREADLE_TEST_GRACE": "1"})
    verdicts = set(re.findall(r"^(PASSED|FAILED|ERROR) .*::(\w+)", done.stdout, re.M))
    assert verdicts >= {
        ("PASSED", "test_good"), ("PASSED", "test_gone_soon"), ("ERROR", "test_stray"),
        ("PASSED", "test_stray_allowed"), ("FAILED", "test_hangs"), ("FAILED", "test_two_documents"),
    }, done.stdout
    assert ("ERROR", "test_gone_soon") not in verdicts and ("ERROR", "test_stray_allowed") not in verdicts
    listing = subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout
    assert not re.search(r"^sleep 30[0-3]$", listing, re.M), "strays were not killed"


def test_fake_provider_answers_and_keeps_a_ledger(fake_provider):
    provider = fake_provider([{"contains": "hello", "text": "world"}])
    body = b'{"model": "m", "messages": [{"role": "user", "content": "hello [[key:greeting]]"}]}'
    request = urllib.request.Request(provider.env["OPENAI_BASE_URL"] + "/chat/completions", data=body, headers={
        "Authorization": "Bearer " + provider.env["OPENAI_API_KEY"], "Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=10) as reply:
        assert b"world" in reply.read()
    ledger = provider.ledger()
    assert list(ledger) == ["openai:greeting#0"]
    assert (ledger["openai:greeting#0"]["started"], provider.total("completed")) == (1, 1)
    assert [call["key"] for call in provider.requests()] == ["openai:greeting#0"]
    assert [event["event"] for event in provider.events()] == ["start", "finish"]
    provider.reset()
    assert provider.ledger() == {}
