"""What gets out of the sandbox: every attack of attacks.py in every tier, judged from outside where it can be.

The control is the same attack without Treadle: it has to succeed, else it proves nothing here and does not count.
What a tier is known not to stop stands in KNOWN, as in docs/sandbox.md; anything beyond that is a failure, and so is
an attack that KNOWN lets through but that did not get through (the list is to be true).

TREADLE_ESCAPES=all does it as root and as an ordinary user, with longer races, and in tier none and with the whole
network, too.
"""
import ctypes
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading

import pytest

from conftest import program, sandbox_tier

HERE = pathlib.Path(__file__).resolve().parent
NAMES = re.findall(r"^@attack\ndef (\w+)", (HERE / "attacks.py").read_text(), re.M)
NOBODY = 65534
ALL = os.environ.get("TREADLE_ESCAPES") == "all"
CANARY = "canary-7f3a91c2d4"
TRUNCATED = {"write_over", "write_append", "write_truncate", "write_unlink", "write_rename_over", "write_rename_into"}

# Not stopped, by design; docs/sandbox.md says so.
KNOWN = {
    "strict": set(),
    "strict, network full": {"tcp_loopback", "tcp_loopback_6", "tcp_own_address", "udp_loopback", "udp_own_address"},
    "standard": {"read_metadata", "write_mode", "write_times", "write_attribute", "victim_command_line", "sysv_memory"},
}
# Tier none confines nothing but has a PID and IPC namespace, and of root's capabilities only the usual ones.
STOPPED_BY_NONE = {
    "read_any_root", "read_proc_1_root", "read_by_handle", "read_root_inode_by_handle", "read_kernel_log",
    "read_kernel_log_by_syslog", "read_kernel_memory", "read_inherited_descriptor", "device_node", "mount_bind",
    "mount_open_tree", "mount_fsopen", "namespace_setns", "victim_environment", "victim_command_line", "victim_memory",
    "victim_descriptor", "victim_descriptor_by_pidfd", "victim_signal", "victim_trace", "compare_processes",
    "sysv_memory", "message_queue", "packet_socket", "kernel_program", "performance_counters", "watch_file_system",
    "host_name", "type_for_the_user", "page_faults",
}


class World:
    """The outside, with everything that attacks go for."""

    def __init__(self, uid):
        self.uid = uid
        self.top = pathlib.Path(tempfile.mkdtemp(prefix="treadle-escapes-", dir="/tmp"))
        self.cleanup = []
        for name in ("ws", "outside", "user/.ssh", "state/runs/other", "state/workflows", "other"):
            (self.top / name).mkdir(parents=True)
        self.heard = set()
        tag = self.top.name
        self.data = {
            "canary": CANARY, "secret": str(self.top / "outside/secret"), "outside": str(self.top / "outside"),
            "made": str(self.top / "outside/made-NAME"), "victim": str(self.top / "outside/victim-NAME"),
            "program": str(self.top / "outside/program"), "home": str(self.top / "user"),
            "state": str(self.top / "state"), "other": str(self.top / "other"),
            "tmp_file": f"/tmp/{tag}-secret", "tmp_made": f"/tmp/{tag}-made", "shm_file": f"/dev/shm/{tag}-secret",
            "shm_made": f"/dev/shm/{tag}-made", "unix": str(self.top / "outside/socket"), "abstract": f"{tag}-a",
            "abstract_datagram": f"{tag}-d", "queue": tag, "address": own_address(),
        }
        self.files()
        self.sockets()
        self.kernel_objects()
        shutil.copy(HERE / "attacks.py", self.top / "ws")
        (self.top / "ws/planted").symlink_to(self.data["secret"])
        (self.top / "ws/planted-dir").symlink_to(self.data["outside"])
        for path in [self.top, *self.top.rglob("*"), self.data["tmp_file"], self.data["shm_file"]]:
            os.chown(path, uid, uid, follow_symlinks=False)
        self.process = subprocess.Popen(
            ["/bin/sh", "-c", f"trap '' USR1; exec python3 -c 'import time; time.sleep(1000)' {CANARY}"],
            env={"PATH": "/usr/bin:/bin", "KEY": CANARY}, stdin=open(self.data["secret"], "rb"), user=uid, group=uid)
        self.data["process"] = self.process.pid
        (self.top / "ws/world.json").write_text(json.dumps(self.data))

    def files(self):
        for path in ("secret", "state/runs/other/journal.db", "user/.ssh/id_secret", "other/file", "tmp", "shm"):
            at = {"secret": self.data["secret"], "tmp": self.data["tmp_file"], "shm": self.data["shm_file"]}.get(path)
            pathlib.Path(at or self.top / path).write_text(CANARY)
        (self.top / "outside/program").write_text(f"#!/bin/sh\necho {CANARY}\n")
        (self.top / "outside/program").chmod(0o755)
        for name in NAMES:
            (self.top / f"outside/victim-{name}").write_text("whole")
            os.utime(self.top / f"outside/victim-{name}", (1e9, 1e9))
            (self.top / f"outside/victim-{name}").chmod(0o644)

    def serve(self, s):
        """Says the canary to everyone who comes."""
        def loop():
            while True:
                try:
                    c, _ = s.accept()
                except OSError:
                    return
                with c:
                    try:
                        c.sendall(CANARY.encode())
                    except OSError:
                        pass
        s.listen(64)
        threading.Thread(target=loop, daemon=True).start()
        self.cleanup.append(lambda: (s.shutdown(socket.SHUT_RDWR), s.close()))

    def hear(self, s):
        def loop():
            while True:
                try:
                    text = s.recv(4096).decode()
                except OSError:
                    return
                if text == "stop":
                    return
                self.heard.add(text)
        thread = threading.Thread(target=loop, daemon=True)
        thread.start()
        self.cleanup.append(lambda: thread.join(1))

    def sockets(self):
        for name in ("unix", "abstract"):
            s = socket.socket(socket.AF_UNIX)
            s.bind(self.data["unix"] if name == "unix" else "\0" + self.data["abstract"])
            self.serve(s)
        for family, address, key in ((socket.AF_INET, "0.0.0.0", "tcp"), (socket.AF_INET6, "::1", "tcp6")):
            s = socket.socket(family)
            s.bind((address, 0))
            self.data[key] = s.getsockname()[1]
            self.serve(s)
        self.datagram = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.datagram.bind("\0" + self.data["abstract_datagram"])
        self.hear(self.datagram)
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("0.0.0.0", 0))
        self.data["udp"] = self.udp.getsockname()[1]
        self.hear(self.udp)

    def kernel_objects(self):
        libc = ctypes.CDLL(None, use_errno=True)
        libc.shmat.restype = ctypes.c_void_p
        self.data["shm_key"] = 0x7472 + os.getpid() * 16 + (self.uid & 1)
        segment = libc.shmget(self.data["shm_key"], 64, 0o1000 | 0o666)
        if segment >= 0:
            ctypes.memmove(libc.shmat(segment, None, 0), CANARY.encode() + b"\0", len(CANARY) + 1)
            self.cleanup.append(lambda: libc.shmctl(segment, 0, None))
        librt = ctypes.CDLL("librt.so.1", use_errno=True)
        old = os.umask(0)
        queue = librt.mq_open(f"/{self.data['queue']}".encode(), os.O_CREAT | os.O_RDWR, 0o666, None)
        os.umask(old)
        for _ in range(8):
            if queue >= 0:
                librt.mq_send(queue, CANARY.encode(), len(CANARY), 0)
        self.cleanup.append(lambda: librt.mq_unlink(f"/{self.data['queue']}".encode()))
        self.queue = (librt, queue)

    def refill(self):
        """What an attack has taken away."""
        librt, queue = self.queue
        librt.mq_send(queue, CANARY.encode(), len(CANARY), 0)

    def reset(self):
        """What succeeded is not there the next time."""
        for path in (self.top / "ws").iterdir():
            if path.name not in ("attacks.py", "planted", "planted-dir", "world.json"):
                shutil.rmtree(path, ignore_errors=True) if path.is_dir() and not path.is_symlink() else path.unlink()
        for path in [*self.top.glob("outside/*made-*"), *map(pathlib.Path, (self.data["tmp_made"],
                                                                            self.data["shm_made"])),
                     self.top / "user/.profile", self.top / "state/workflows/made.yaml"]:
            shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        shutil.rmtree(self.top / "user/.config", ignore_errors=True)
        self.files()
        for path in [*self.top.rglob("*")]:
            os.chown(path, self.uid, self.uid, follow_symlinks=False)
        for name in NAMES:
            try:
                os.removexattr(self.top / f"outside/victim-{name}", "user.mark")
            except OSError:
                pass
        self.heard.clear()

    def seen(self, name):
        """Did this attack change something outside?"""
        victim, made = self.top / f"outside/victim-{name}", self.top / f"outside/made-{name}"
        places = {"write_absent_config": self.top / "user/.config/absent/made",
                  "write_shell_start": self.top / "user/.profile",
                  "write_state_workflow": self.top / "state/workflows/made.yaml",
                  "write_shared_tmp": pathlib.Path(self.data["tmp_made"]),
                  "write_shared_memory": pathlib.Path(self.data["shm_made"])}
        if os.path.lexists(made) or name in self.heard or (name in places and places[name].exists()):
            return True
        if name == "write_journal":
            return (self.top / "state/runs/other/journal.db").read_text() != CANARY
        if not victim.exists() or victim.read_text() != "whole":
            return True
        st = victim.stat()
        return st.st_mode & 0o777 != 0o644 or int(st.st_mtime) != 1000000000 or "user.mark" in os.listxattr(victim)

    def close(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()
        for s, to in ((socket.AF_UNIX, "\0" + self.data["abstract_datagram"]),
                      (socket.AF_INET, ("127.0.0.1", self.data["udp"]))):
            with socket.socket(s, socket.SOCK_DGRAM) as c:
                c.sendto(b"stop", to)
        for step in self.cleanup:
            step()
        for key in ("tmp_file", "tmp_made", "shm_file", "shm_made"):
            pathlib.Path(self.data[key]).unlink(missing_ok=True)
        shutil.rmtree(self.top)


def own_address():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        s.connect(("192.0.2.1", 9))
        return s.getsockname()[0]


def environment(world):
    return {"PATH": "/usr/bin:/bin", "HOME": world.data["home"], "TREADLE_HOME": world.data["state"],
            "LANG": "C.UTF-8", "SECONDS": "5" if ALL else "0.3"}


def bare(world):
    """The names of the attacks that succeed without Treadle."""
    found = set()
    world.reset()
    for name in NAMES:
        said = subprocess.run(["/usr/bin/python3", "attacks.py", name], cwd=world.top / "ws", capture_output=True,
                              text=True, env={**environment(world), "BARE": "1"}, user=world.uid, group=world.uid,
                              timeout=60, check=False).stdout
        if name == "message_queue":
            world.refill()
        if "ESCAPED" in said or world.seen(name):
            found.add(name)
    return found


def confined(world, tier):
    """The same with Treadle; and the tiers that the results name."""
    world.reset()
    tier, _, network = tier.partition(", network ")
    steps = [{"name": name, "type": "command", "run": ["/usr/bin/python3", "attacks.py", name], "on_error": "continue",
              "timeout": "60s", "env": {"SECONDS": environment(world)["SECONDS"]},
              **({"network": network} if network else {})} for name in NAMES]
    workflow = world.top / "escape.json"
    workflow.write_text(json.dumps({"workflow": {"name": "escape", "steps": steps}}))
    run = subprocess.run([program("treadle"), "run", workflow, "--workspace", world.top / "ws", "--sandbox", tier,
                          "--json", "--quiet"], cwd=world.top, capture_output=True, text=True, env=environment(world),
                         user=world.uid, group=world.uid, timeout=300, check=False)
    assert run.returncode == 0, run.stderr + run.stdout[-2000:]
    results = json.loads(run.stdout)["results"]
    assert {r["sandbox"] for r in results.values()} == {tier}
    return {name for name in NAMES if "ESCAPED" in results[name]["stdout"] or world.seen(name)}


def users():
    if os.geteuid() != 0:
        return [os.geteuid()]
    return [0, NOBODY] if ALL else [0]


@pytest.fixture(scope="module", params=users())
def world(request):
    w = World(request.param)
    yield w
    w.close()


@pytest.fixture(scope="module")
def control(world):
    found = bare(world)
    print(f"uid {world.uid}: {len(found)} of {len(NAMES)} attacks succeed without Treadle; not: {set(NAMES) - found}")
    assert len(found) >= 60
    return found


@pytest.mark.parametrize("tier", [tier for tier in KNOWN if ALL or "," not in tier])
def test_nothing_escapes(world, control, tier):
    if sandbox_tier() != "strict" and tier.split(",")[0] != sandbox_tier():
        pytest.skip("this system does not allow this tier (treadle doctor says why)")
    escaped = confined(world, tier) & control
    assert escaped - KNOWN[tier] == set()
    assert (KNOWN[tier] & control) - escaped == set(), "stopped, though it is said not to be"
    print(f"uid {world.uid}, {tier}: {len(control - escaped)} of {len(control)} attacks stopped, "
          f"{len(escaped)} known: {sorted(escaped)}")


@pytest.mark.skipif(not ALL, reason="in the campaign `escapes`; the other control is always there")
def test_without_confinement_they_escape(world, control):
    escaped = confined(world, "none") & control
    stopped = control - escaped
    print(f"uid {world.uid}, none: {len(escaped)} of {len(control)} attacks succeed; stopped: {sorted(stopped)}")
    assert stopped <= STOPPED_BY_NONE
    assert len(escaped) >= 40
