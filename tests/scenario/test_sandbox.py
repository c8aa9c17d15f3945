"""The network of confined commands: nothing, everything, or listed hosts through the proxy; and the choice of tiers."""
import http.server
import json
import os
import socketserver
import subprocess
import threading

import pytest

from conftest import plain_env, program

pytestmark = pytest.mark.strict

# What a hostile or careless program may say to the proxy, and how it begins its answer.
REQUESTS = [
    ("listed, tunnel", b"CONNECT localhost:PORT HTTP/1.1\r\n\r\n", "200"),
    ("listed, in capitals and with a dot", b"CONNECT LocalHost.:PORT HTTP/1.1\r\nHost: x\r\n\r\n", "200"),
    ("listed, plain", b"GET http://localhost:PORT/a?b HTTP/1.1\r\nHost: elsewhere\r\nProxy-Authorization: x\r\n\r\n",
     "200"),
    ("another port", b"CONNECT localhost:1 HTTP/1.1\r\n\r\n", "403"),
    ("not listed", b"CONNECT example.org:443 HTTP/1.1\r\n\r\n", "403"),
    ("its address", b"CONNECT 127.0.0.1:PORT HTTP/1.1\r\n\r\n", "403"),
    ("its address as a number", b"CONNECT 2130706433:PORT HTTP/1.1\r\n\r\n", "403"),
    ("its address, version 6", b"CONNECT [::1]:PORT HTTP/1.1\r\n\r\n", "400"),
    ("a listed name with a private address", b"CONNECT private.localhost:PORT HTTP/1.1\r\n\r\n", "40|502"),
    ("a listed address that is private", b"CONNECT 127.0.0.2:PORT HTTP/1.1\r\n\r\n", "403"),
    ("a NUL", b"CONNECT localhost\0.example.org:PORT HTTP/1.1\r\n\r\n", "400"),
    ("a NUL further on", b"GET http://localhost:PORT/ HTTP/1.1\r\nX: \0\r\n\r\n", "400"),
    ("a user's name", b"GET http://localhost:PORT@127.0.0.1:PORT/ HTTP/1.1\r\n\r\n", "400"),
    ("another user's name", b"GET http://x@localhost:PORT/ HTTP/1.1\r\n\r\n", "400"),
    ("below the name", b"CONNECT a.localhost:PORT HTTP/1.1\r\n\r\n", "403"),
    ("an end alike", b"CONNECT evillocalhost:PORT HTTP/1.1\r\n\r\n", "403"),
    ("two names", b"CONNECT localhost:PORT example.org:80 HTTP/1.1\r\n\r\n", "400"),
    ("a tab", b"CONNECT\tlocalhost:PORT HTTP/1.1\r\n\r\n", "400"),
    ("no port", b"CONNECT localhost HTTP/1.1\r\n\r\n", "400"),
    ("a port too large", b"CONNECT localhost:65536 HTTP/1.1\r\n\r\n", "400"),
    ("a port that wraps around", b"CONNECT localhost:4295008832 HTTP/1.1\r\n\r\n", "400"),
    ("another scheme", b"GET ftp://localhost:PORT/ HTTP/1.1\r\n\r\n", "400"),
    ("another protocol", b"CONNECT localhost:PORT HTTP/2.0\r\n\r\n", "400"),
    ("a path alone", b"GET / HTTP/1.1\r\nHost: localhost:PORT\r\n\r\n", "400"),
    ("a head without end", b"GET http://localhost:PORT/ HTTP/1.1\r\nX: " + b"x" * 20000 + b"\r\n\r\n", "400"),
]
CLIENT = r"""
import json, os, socket, sys, base64
answers = []
for request in json.load(open("requests.json")):
    s = socket.create_connection(("127.0.0.1", int(os.environ["HTTPS_PROXY"].rsplit(":", 1)[1])), 10)
    request = base64.b64decode(request)
    try:
        s.sendall(request)
        got = s.recv(65536)
        if b" 200 " in got[:16] and request.startswith(b"CONNECT"):
            s.sendall(b"GET /tunnel HTTP/1.0\r\n\r\n")
        while chunk := s.recv(65536):
            got += chunk
    except OSError as error:
        got = got or str(error).encode()
    answers.append(got.decode("latin-1"))
print(json.dumps(answers))
"""


@pytest.fixture
def server():
    """An HTTP server on the loopback that remembers what it was asked."""
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.server.asked.append((self.path, self.headers.get("Host"), self.headers.get("Proxy-Authorization")))
            self.send_response(200)
            self.end_headers()
            self.wfile.write(b"here I am")

        def log_message(self, *args):
            pass

    class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
        daemon_threads = True

    s = Server(("127.0.0.1", 0), Handler)
    s.asked = []
    threading.Thread(target=s.serve_forever, daemon=True).start()
    yield s
    s.shutdown()
    s.server_close()


def run(directory, steps, *args, code=0, secrets=(), **env):
    """The result, or what standard error says where no run came of it."""
    (directory / "w.json").write_text(json.dumps({"workflow": {"name": "w", "secrets": list(secrets), "steps": steps}}))
    (directory / "ws").mkdir(exist_ok=True)
    done = subprocess.run([program("treadle"), "run", "w.json", "--workspace", "ws", "--json", "--quiet", *args],
                          cwd=directory, capture_output=True, text=True, check=False, timeout=120,
                          env=plain_env(directory, **env))
    assert done.returncode == code, done.stderr + done.stdout
    result = json.loads(done.stdout)
    return result if "run_id" in result else done.stderr


def test_the_proxy_lets_through_what_is_listed_and_nothing_else(tmp_path, server):
    import base64
    port = str(server.server_address[1]).encode()
    (tmp_path / "ws").mkdir()
    (tmp_path / "ws/requests.json").write_text(json.dumps(
        [base64.b64encode(r.replace(b"PORT", port)).decode() for _, r, _ in REQUESTS]))
    (tmp_path / "ws/client.py").write_text(CLIENT)
    hosts = [f"localhost:{port.decode()}", f"private.localhost:{port.decode()}", f"127.0.0.2:{port.decode()}"]
    result = run(tmp_path, [{"name": "a", "type": "command", "run": ["python3", "client.py"], "network": hosts}],
                 TREADLE_PRIVATE_HOSTS="localhost")
    answers = json.loads(result["results"]["a"]["stdout"])
    for (what, _, wanted), answer in zip(REQUESTS, answers):
        status = answer.split(" ")[1] if " " in answer else answer
        assert any(status.startswith(w) for w in wanted.split("|")), (what, answer)
        assert ("here I am" in answer) == (wanted == "200"), (what, answer)
    name = f"localhost:{port.decode()}"
    assert server.asked == [("/tunnel", None, None), ("/tunnel", None, None), ("/a?b", name, None)]


def test_what_the_network_is(tmp_path, server):
    port = server.server_address[1]
    fetch = ["python3", "-c", f"import urllib.request as u; print(u.urlopen('http://127.0.0.1:{port}/').read())"]
    steps = [{"name": "none", "type": "command", "run": fetch, "on_error": "continue"},
             {"name": "said", "type": "command", "run": fetch, "network": "none", "on_error": "continue"},
             {"name": "full", "type": "command", "run": fetch, "network": "full"},
             {"name": "inside", "type": "command", "run": ["python3", "-c", "import socket as s; a=s.socket(); a.bind("
              "('127.0.0.1',0)); a.listen(); s.create_connection(a.getsockname()); print('own loopback')"]}]
    got = run(tmp_path, steps)["results"]
    assert [got[name]["success"] for name in ("none", "said", "full")] == [False, False, True]
    assert got["inside"]["stdout"] == "own loopback\n" and len(server.asked) == 1
    got = run(tmp_path, steps[:3], "--sandbox", "standard")["results"]
    assert [got[name]["success"] for name in ("none", "said", "full")] == [False, False, True]
    got = run(tmp_path, steps[:3], "--sandbox", "none")["results"]
    assert [got[name]["success"] for name in ("none", "said", "full")] == [True, False, True]


def test_a_list_of_hosts_needs_strict(tmp_path):
    step = {"name": "a", "type": "command", "run": "touch ran", "network": ["example.org"]}
    error = run(tmp_path, [step], "--sandbox", "standard", code=1)["error"]
    assert "--sandbox strict" in error["message"] and not (tmp_path / "ws/ran").exists()


def test_the_tier_comes_from_the_option_then_the_environment(tmp_path):
    step = {"name": "a", "type": "command", "run": "true"}
    assert run(tmp_path, [step])["results"]["a"]["sandbox"] == "strict"
    assert run(tmp_path, [step], TREADLE_SANDBOX="none")["results"]["a"]["sandbox"] == "none"
    assert run(tmp_path, [step], "--sandbox", "strict", TREADLE_SANDBOX="none")["results"]["a"]["sandbox"] == "strict"
    assert "expected strict, standard or none" in run(tmp_path, [step], TREADLE_SANDBOX="tight", code=2)
    assert "expected strict, standard or none" in run(tmp_path, [step], "--sandbox", "", code=2)


def test_what_else_may_be_read(tmp_path):
    tool = tmp_path / "tools"
    tool.mkdir()
    (tool / "hello").write_text("#!/bin/sh\necho hello\n")
    (tool / "hello").chmod(0o755)
    steps = [{"name": "a", "type": "command", "run": "hello || cat $D/hello", "env": {"D": str(tool)},
              "on_error": "continue"},
             {"name": "b", "type": "command", "run": "echo x > $D/new", "env": {"D": str(tool)},
              "on_error": "continue"}]
    for tier in ("strict", "standard"):
        args = ("--sandbox", tier)
        # in standard the state must be elsewhere than in the workspace, which it is
        assert not run(tmp_path, steps, *args)["results"]["a"]["success"]
        got = run(tmp_path, steps, *args, PATH=f"{tool}:/usr/bin:/bin")["results"]
        assert got["a"]["stdout"] == "hello\n" and not got["b"]["success"]
        got = run(tmp_path, steps, *args, TREADLE_SANDBOX_READ=str(tool))["results"]
        assert got["a"]["success"] and not got["b"]["success"] and not (tool / "new").exists()


def test_state_inside_of_the_workspace(tmp_path):
    """Hidden by strict, refused by standard, which cannot hide it."""
    step = {"name": "a", "type": "command", "run": "ls state; echo x > state/journal; touch beside"}
    env = {"TREADLE_HOME": str(tmp_path / "ws/state")}
    got = run(tmp_path, [step], **env)["results"]["a"]
    assert got["stdout"] == "" and (tmp_path / "ws/beside").exists()
    assert sorted(os.listdir(tmp_path / "ws/state")) == ["runs", "seeds", "turns"]
    assert "TREADLE_HOME" in run(tmp_path, [step], "--sandbox", "standard", code=4, **env)


def test_moved_state_is_not_shown(tmp_path):
    """A command moves the directory around the state away; the next one must not find it under its new name."""
    (tmp_path / "ws/around").mkdir(parents=True)
    decoy = "d=around/state/runs/decoyed; mv around elsewhere; mkdir -p $d"
    steps = [{"name": "move", "type": "command", "run": decoy},
             {"name": "look", "type": "command", "run": "find . -name journal.db"}]
    result = run(tmp_path, steps, "--run-id", "decoyed", code=1, TREADLE_HOME=str(tmp_path / "ws/around/state"))
    assert result["results"]["move"]["success"], "it cannot be kept from that"
    assert result["error"]["code"] == "sandbox" and "moved" in result["error"]["message"]


def test_a_tier_that_cannot_be_had_is_not_tried_again(treadle):
    """No other attempt can mend it: the first failure is the last, whatever `retry` says."""
    file = treadle.file("w.yaml", """
workflow:
  name: w
  steps:
    - {name: c, type: command, run: "true", retry: {max_attempts: 3, delay: 1ms}}
""")
    forbid = f"echo 0 > /proc/sys/user/max_user_namespaces; exec {treadle.path} run {file} --json"
    done = subprocess.run(["unshare", "-Ur", "/bin/sh", "-c", forbid], cwd=treadle.cwd, text=True,
                          env=treadle.environment({}), capture_output=True)
    error = json.loads(done.stdout)["error"]
    assert done.returncode == 1 and error["code"] == "sandbox" and "choose less with --sandbox" in error["message"]
    assert "user.max_user_namespaces)" in error["message"], error
    assert error["attempts"] == 1 and "next attempt" not in done.stderr, done.stderr
