"""Who may ask the service, and what it does with those who ask badly, slowly, or not at all."""
import json
import socket
import time

import pytest
from conftest import wait_for
from service import Service
from test_serve import HELLO, raw, service  # noqa: F401 (a fixture)

TOKENS = ["first-token-of-the-file", "second-token-of-the-file"]


def bearer(token):
    return {"Authorization": f"Bearer {token}"}


def token_file(tmp_path, text=None, mode=0o600):
    path = tmp_path / "tokens"
    path.write_text("# of two people\n\n" + "\n".join(TOKENS) + "\n" if text is None else text)
    path.chmod(mode)
    return path


def test_without_a_token_nobody_is_heard(service, tmp_path):  # noqa: F811
    s = service("--token-file", token_file(tmp_path), mock="", env={"TREADLE_TOKEN": "a-token-of-the-environment"})
    assert "for who has a token" in s.log()
    start = {"workflow_yaml": HELLO.replace("[printf, done]", "env"), "wait": True}
    for headers in ({}, bearer("wrong-token-of-nobody"), bearer(TOKENS[0][:-1]), bearer(""),
                    {"Authorization": f"Basic {TOKENS[0]}"}):
        for method, path, body in (("GET", "/readyz", None), ("POST", "/run_pipeline", start), ("GET", "/what", None)):
            status, problem = s.http(method, path, body, headers)
            assert status == 401 and "Bearer" in problem["detail"], (headers, path, status, problem)
    assert s.http("GET", "/healthz")[0] == 200
    answer = raw(s, b"GET /readyz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert b"\r\nWWW-Authenticate: Bearer" in answer
    for token in (*TOKENS, "a-token-of-the-environment"):
        assert s.http("GET", "/readyz", headers=bearer(token))[0] == 200, token
    status, body = s.http("POST", "/run_pipeline", start, bearer(TOKENS[1]))
    assert status == 200 and body["status"] == "succeeded", body
    for role in ("supervisor", "engine", "executor", "gateway", "egress"):
        for name in ("environ", "cmdline"):
            with open(f"/proc/{s.pid(role)}/{name}", "rb") as file:
                text = file.read()
            assert not [t for t in (*TOKENS, "a-token-of") if t.encode() in text], (role, name)
    assert "a-token-of" not in json.dumps(body) and "a-token-of" not in s.log()
    s.kill("gateway")  # another life asks for the same tokens
    assert s.http("GET", "/readyz")[0] == 401
    assert s.http("GET", "/readyz", headers=bearer(TOKENS[0]))[0] == 200


@pytest.mark.parametrize("text, mode, says", [
    ("short\n", 0o600, "20 to 512"), ("# none\n", 0o600, "no token"), ("a token with spaces in it\n", 0o600, "spaces"),
    ("one-good-enough-token\n", 0o644, "chmod 600"), (None, None, "No such file"),
])
def test_a_token_file_that_is_none(treadle, tmp_path, text, mode, says):
    path = token_file(tmp_path, text, mode) if mode else tmp_path / "nothing"
    result = treadle("serve", "--mock", "--listen", "0", "--token-file", path, code=2)
    assert says in result.err and (not text or text.strip() not in result.err), result
    assert treadle("serve", "--mock", "--listen", "0", env={"TREADLE_TOKEN": "short"}, code=2).err.count("short") == 0


def test_from_elsewhere_only_with_token_and_proxy(treadle, tmp_path):
    where, path = ("--listen", "0.0.0.0:0"), token_file(tmp_path)
    for more in ((), ("--behind-proxy",), ("--token-file", path)):
        result = treadle("serve", "--mock", *where, *more, code=2)
        assert "--token-file" in result.err and "--behind-proxy" in result.err, result
    with treadle.start("serve", "--mock", *where, "--listen", "[::1]:0", "--token-file", path, "--behind-proxy",
                       env={"TREADLE_LOG": "info"}) as process:
        ports = [int(process.wait_output(pattern).group(1)) for pattern in (r"0\.0\.0\.0:(\d+)", r"\[::1\]:(\d+)")]
        process.wait_output(r"info: ready\n", timeout=20)
        for host, port in zip(("127.0.0.1", "::1"), ports):
            with socket.create_connection((host, port), 10) as c:
                c.sendall(f"GET /readyz HTTP/1.1\r\nHost: treadle.example.org\r\nConnection: close\r\n"
                          f"Authorization: bearer {TOKENS[0]}\r\n\r\n".encode())
                assert c.recv(100).startswith(b"HTTP/1.1 200")
        process.signal(15)
        assert process.wait().code == 0


def test_the_sandbox_is_chosen_at_the_start(service, treadle):  # noqa: F811
    assert "strict, standard or none" in treadle("serve", "--sandbox", "loose", code=2).err
    assert "TREADLE_SANDBOX" in treadle("serve", env={"TREADLE_SANDBOX": "loose"}, code=2).err
    s = service("--sandbox", "none", mock="", env={"TREADLE_SANDBOX": "strict"})
    assert "sandbox none: commands have all" in s.log()
    run = s.http("POST", "/run_pipeline", {"workflow_yaml": HELLO, "wait": True})[1]
    assert run["results"]["run"]["sandbox"] == "none", run
    journal = treadle("logs", run["run_id"], "--json").out
    assert '"sandbox":"none"' in journal.replace(" ", ""), journal


def test_the_sandbox_of_the_environment(service):  # noqa: F811
    s = service(mock="", env={"TREADLE_SANDBOX": "standard"})
    assert "sandbox standard confines commands" in s.log() or "commands will fail" in s.log()


def head(s, method, path, *lines, version="1.1"):
    return "\r\n".join([f"{method} {path} HTTP/{version}", f"Host: localhost:{s.port}", *lines, "", ""]).encode()


def test_answers_are_read_by_any_client(service):  # noqa: F811
    s = service(mock="")
    old = raw(s, head(s, "GET", "/healthz", version="1.0"))
    assert old.startswith(b"HTTP/1.1 200") and old.endswith(b'{"status":"ok"}')
    answer = raw(s, head(s, "HEAD", "/healthz", "Connection: close"))
    assert answer.startswith(b"HTTP/1.1 200") and answer.endswith(b"\r\n\r\n") and b"Content-Length: 15" in answer
    answer = raw(s, head(s, "DELETE", "/run_pipeline", "Connection: close"))
    assert answer.startswith(b"HTTP/1.1 405") and b"\r\nAllow: POST\r\n" in answer
    # 413 arrives although most of the body was not read
    with socket.create_connection(("127.0.0.1", s.port), 20) as c:
        c.sendall(head(s, "POST", "/run_pipeline", "Content-Type: application/json", "Content-Length: 50000000"))
        sent = 0
        try:
            while sent < 4_000_000:
                sent += c.send(b"x" * 65536)
        except OSError as problem:
            pytest.fail(f"reset after {sent} bytes: {problem}")
        assert c.recv(100).startswith(b"HTTP/1.1 413")
    with socket.create_connection(("127.0.0.1", s.port), 20) as c:
        body = json.dumps({"workflow_yaml": HELLO}).encode()
        c.sendall(head(s, "POST", "/run_pipeline", "Content-Type: application/json", f"Content-Length: {len(body)}",
                       "Expect: 100-continue"))
        assert c.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        c.sendall(body)
        assert c.recv(100).startswith(b"HTTP/1.1 202")


def test_the_idle_and_the_slow_shut_nobody_out(service):  # noqa: F811
    s = service(mock="")
    idle = []
    for i in range(1500):
        c = socket.create_connection(("127.0.0.1", s.port), 20)
        if i % 3 == 1:
            c.sendall(b"GET /healthz HT")
        elif i % 3 == 2:
            c.sendall(head(s, "GET", "/healthz")[:-2])
        idle.append(c)
    times = []
    for _ in range(100):
        begin = time.monotonic()
        assert s.http("GET", "/healthz")[0] == 200
        times.append(time.monotonic() - begin)
    times.sort()
    print(f"1,500 idle connections, 100 requests: median {times[50] * 1000:.1f} ms, worst {times[-1] * 1000:.1f} ms")
    assert times[-1] < 2
    body = s.http("POST", "/run_pipeline", {"workflow_yaml": HELLO, "wait": True})[1]
    assert body["status"] == "succeeded"
    for c in idle:
        c.close()


def test_who_waits_for_runs_shuts_nobody_out(service):  # noqa: F811
    """Clients that wait for the end of runs are bounded: one more is told at once that its run was accepted."""
    s = service("--max-running", "1", mock="")
    s.run("workflow: {name: a, steps: [{name: s, type: command, run: sleep 30}]}")
    start = json.dumps({"workflow_yaml": HELLO, "wait": True, "priority": -1}).encode()
    request = head(s, "POST", "/run_pipeline", "Content-Type: application/json",
                   f"Content-Length: {len(start)}") + start
    clients = []
    for _ in range(520):
        c = socket.create_connection(("127.0.0.1", s.port), 20)
        c.sendall(request)
        c.setblocking(False)
        clients.append(c)

    def answered():
        n = 0
        for c in clients:
            try:
                n += bool(c.recv(1, socket.MSG_PEEK))
            except BlockingIOError:
                pass
        return n

    wait_for(lambda: answered() >= 8, 60, "the last ones are answered")
    assert answered() == 8 and s.http("GET", "/healthz")[0] == 200
    for c in clients:
        c.close()
    s.process.kill()
