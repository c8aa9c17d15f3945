#!/usr/bin/env python3
"""Ways out of a sandbox, one at a time: attacks.py NAME. Run inside by test_escapes.py, which also runs each bare.

world.json in the current directory says where things are outside. An attack prints ESCAPED when it has reached what it
went for; an attack whose effect only the outside can see prints nothing and is judged there. Any exception is a failure
of the attack.
"""
import ctypes
import fcntl
import json
import mmap
import os
import pathlib
import platform
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
import time

LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long
NR = {"x86_64": dict(ptrace=101, io_uring_setup=425, userfaultfd=323, bpf=321, perf_event_open=298, add_key=248,
                     keyctl=250, process_vm_readv=310, name_to_handle_at=303, open_by_handle_at=304, clone3=435,
                     setns=308, pidfd_open=434, pidfd_getfd=438, unshare=272, clone=56, mount=165, open_tree=428,
                     fsopen=430, kcmp=312, chroot=161, sethostname=170, shmget=29, shmat=30, mq_open=240,
                     mq_timedreceive=243, quotactl=179, fanotify_init=300, syslog=103),
      "aarch64": dict(ptrace=117, io_uring_setup=425, userfaultfd=282, bpf=280, perf_event_open=241, add_key=217,
                      keyctl=219, process_vm_readv=270, name_to_handle_at=264, open_by_handle_at=265, clone3=435,
                      setns=268, pidfd_open=434, pidfd_getfd=438, unshare=97, clone=220, mount=40, open_tree=428,
                      fsopen=430, kcmp=272, chroot=51, sethostname=161, shmget=194, shmat=196, mq_open=180,
                      mq_timedreceive=183, quotactl=60, fanotify_init=262, syslog=116)}[platform.machine()]
NEWUSER, NEWNS = 0x10000000, 0x00020000
W = {}  # the world outside
ATTACKS = {}


def attack(function):
    ATTACKS[function.__name__] = function
    return function


def call(name, *args):
    result = LIBC.syscall(ctypes.c_long(NR[name]), *[ctypes.c_long(a) if isinstance(a, int) else a for a in args])
    if result == -1:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result


def has_canary(data):
    if W["canary"].encode() in (data.encode() if isinstance(data, str) else data):
        print("ESCAPED")


def read(path):
    has_canary(pathlib.Path(path).read_bytes())


def escaped():
    print("ESCAPED")


def child():
    """A process to do things to, and the address of the canary in it."""
    text = ctypes.create_string_buffer(W["canary"].encode())
    pid = os.fork()
    if pid == 0:
        time.sleep(20)
        os._exit(0)
    return pid, ctypes.addressof(text)


# ---- reading files

@attack
def read_absolute():
    read(W["secret"])


@attack
def read_dotdot():
    read("../outside/secret")


@attack
def read_planted_link():
    read("planted")


@attack
def read_planted_directory_link():
    read("planted-dir/secret")


@attack
def read_own_link():
    os.symlink(W["secret"], "own-link")
    read("own-link")


@attack
def read_long_dotdot():
    read("/".join([".."] * 30) + W["secret"])


@attack
def read_proc_self_root():
    read("/proc/self/root" + W["secret"])


@attack
def read_proc_self_cwd():
    read("/proc/self/cwd/../outside/secret")


@attack
def read_proc_thread_root():
    read(f"/proc/thread-self/root{W['secret']}")


@attack
def read_proc_1_root():
    read("/proc/1/root" + W["secret"])


@attack
def read_any_root():
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            for way in ("root", "cwd"):
                try:
                    read(f"/proc/{entry}/{way}{W['secret'] if way == 'root' else '/outside/secret'}")
                except OSError:
                    pass


@attack
def read_inherited_descriptor():
    for fd in range(3, 1024):
        try:
            has_canary(os.read(os.open("secret", os.O_RDONLY, dir_fd=fd), 4096))
        except OSError:
            pass
    if W["bare"]:  # what would be found if something were left open
        has_canary(os.read(os.open("secret", os.O_RDONLY, dir_fd=os.open(W["outside"], os.O_PATH)), 4096))


@attack
def read_hard_link():
    os.link(W["secret"], "hard")
    read("hard")


@attack
def read_hard_link_through_proc():
    fd = os.open(W["secret"], os.O_PATH)
    os.link(f"/proc/self/fd/{fd}", "hard2", follow_symlinks=True)
    read("hard2")


@attack
def read_o_path_reopen():
    read(f"/proc/self/fd/{os.open(W['secret'], os.O_PATH)}")


@attack
def read_chroot():
    os.mkdir("jail")
    fd = os.open("/", os.O_RDONLY)
    os.chroot("jail")
    os.fchdir(fd)
    for _ in range(64):
        os.chdir("..")
    os.chroot(".")
    read(W["secret"])


@attack
def read_by_handle():
    handle = ctypes.create_string_buffer(struct.pack("Ii", 128, 0) + bytes(128))
    mount_id = ctypes.c_int()
    call("name_to_handle_at", -100, ctypes.c_char_p(W["secret"].encode()), handle, ctypes.byref(mount_id), 0)
    fd = call("open_by_handle_at", os.open(".", os.O_RDONLY), handle, os.O_RDONLY)
    has_canary(os.read(fd, 4096))


@attack
def read_root_inode_by_handle():
    """The classic: a handle of the file system's root, made up."""
    handle = ctypes.create_string_buffer(struct.pack("IiII", 8, 1, 2, 0) + bytes(128))
    fd = call("open_by_handle_at", os.open(".", os.O_RDONLY), handle, os.O_RDONLY | os.O_DIRECTORY)
    for name in os.listdir(fd):
        if name == "usr":
            escaped()


@attack
def read_home():
    read(os.path.join(W["home"], ".ssh/id_secret"))


@attack
def read_home_listing():
    if ".ssh" in os.listdir(W["home"]):
        escaped()


@attack
def read_state():
    if "runs" in os.listdir(W["state"]):
        escaped()


@attack
def read_journal():
    read(os.path.join(W["state"], "runs/other/journal.db"))


@attack
def read_other_workspace():
    read(os.path.join(W["other"], "file"))


@attack
def read_shadow():
    if ":" in pathlib.Path("/etc/shadow").read_text():
        escaped()


@attack
def read_shared_tmp():
    read(W["tmp_file"])


@attack
def read_shared_memory():
    read(W["shm_file"])


@attack
def read_disk():
    device = next(p for p in ("/dev/vda", "/dev/sda", "/dev/nvme0n1", "/dev/loop0") if os.path.exists(p))
    os.open(device, os.O_RDONLY)
    escaped()


@attack
def read_kernel_log():
    os.open("/dev/kmsg", os.O_RDONLY)
    escaped()


@attack
def read_kernel_log_by_syslog():
    call("syslog", 3, ctypes.create_string_buffer(4096), 4096)
    escaped()


@attack
def read_kernel_memory():
    os.open("/proc/kcore", os.O_RDONLY)
    escaped()


@attack
def read_metadata():
    if os.stat(W["secret"]).st_size:
        escaped()


@attack
def execute_outside():
    if W["canary"] in subprocess.run([W["program"]], capture_output=True, text=True, check=False).stdout:
        escaped()


# ---- changing files (judged from outside unless said)

@attack
def write_absolute():
    pathlib.Path(W["made"]).write_text("x")


@attack
def write_dotdot():
    pathlib.Path(os.path.join("../outside", os.path.basename(W["made"]))).write_text("x")


@attack
def write_through_link():
    pathlib.Path(os.path.join("planted-dir", os.path.basename(W["made"]))).write_text("x")


@attack
def write_over():
    pathlib.Path(W["victim"]).write_text("x")


@attack
def write_append():
    with open(W["victim"], "a", encoding="utf-8") as f:
        f.write("x")


@attack
def write_truncate():
    os.truncate(W["victim"], 0)


@attack
def write_unlink():
    os.unlink(W["victim"])


@attack
def write_rename_over():
    pathlib.Path("mine").write_text("x")
    os.rename("mine", W["victim"])


@attack
def write_rename_into():
    os.rename(W["victim"], "taken")


@attack
def write_mkdir():
    os.mkdir(W["made"])


@attack
def write_symlink():
    os.symlink("x", W["made"])


@attack
def write_fifo():
    os.mkfifo(W["made"])


@attack
def write_socket_file():
    socket.socket(socket.AF_UNIX).bind(W["made"])


@attack
def write_absent_config():
    path = pathlib.Path(W["home"], ".config/absent")
    path.mkdir(parents=True)
    (path / "made").write_text("x")


@attack
def write_shell_start():
    pathlib.Path(W["home"], ".profile").write_text("x")


@attack
def write_state_workflow():
    pathlib.Path(W["state"], "workflows/made.yaml").write_text("x")


@attack
def write_journal():
    with open(os.path.join(W["state"], "runs/other/journal.db"), "ab") as f:
        f.write(b"x")


@attack
def write_shared_tmp():
    pathlib.Path(W["tmp_made"]).write_text("x")


@attack
def write_shared_memory():
    pathlib.Path(W["shm_made"]).write_text("x")


@attack
def write_system():
    os.open("/usr/bin/env", os.O_WRONLY)
    escaped()


@attack
def write_core_pattern():
    os.open("/proc/sys/kernel/core_pattern", os.O_WRONLY)
    escaped()


@attack
def write_sysctl():
    os.open("/proc/sys/kernel/pid_max", os.O_WRONLY)
    escaped()


@attack
def write_sysfs():
    os.open("/sys/kernel/mm/transparent_hugepage/enabled", os.O_WRONLY)
    escaped()


@attack
def write_mode():
    os.chmod(W["victim"], 0o777)


@attack
def write_times():
    os.utime(W["victim"], (1, 1))


@attack
def write_attribute():
    os.setxattr(W["victim"], "user.mark", b"x")


@attack
def set_user_id():
    pathlib.Path("suid").write_text("x")
    os.chmod("suid", 0o4755)
    if os.stat("suid").st_mode & stat.S_ISUID:
        escaped()


@attack
def set_user_id_at_creation():
    os.close(os.open("suid2", os.O_CREAT | os.O_WRONLY, 0o4755))
    if os.stat("suid2").st_mode & stat.S_ISUID:
        escaped()


@attack
def file_capability():
    pathlib.Path("capable").write_text("x")
    os.setxattr("capable", "security.capability", struct.pack("<5I", 0x02000001, 1 << 21, 0, 0, 0))
    escaped()


@attack
def device_node():
    os.mknod("disk", stat.S_IFBLK | 0o600, os.makedev(254, 0))
    escaped()


# ---- mounts and namespaces

@attack
def namespace_unshare():
    call("unshare", NEWUSER | NEWNS)
    escaped()


@attack
def namespace_clone():
    pid = call("clone", NEWUSER | signal.SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)
    escaped()


@attack
def namespace_clone3():
    args = ctypes.create_string_buffer(struct.pack("8Q", NEWUSER, 0, 0, 0, signal.SIGCHLD, 0, 0, 0))
    pid = call("clone3", args, 64)
    if pid == 0:
        os._exit(0)
    escaped()


@attack
def namespace_setns():
    call("setns", os.open("/proc/1/ns/mnt", os.O_RDONLY), 0)
    escaped()


@attack
def mount_bind():
    os.mkdir("mnt")
    call("mount", ctypes.c_char_p(W["outside"].encode()), ctypes.c_char_p(b"mnt"), None, 4096, None)
    read("mnt/secret")
    subprocess.run(["umount", "mnt"], check=False)


@attack
def mount_open_tree():
    call("open_tree", -100, ctypes.c_char_p(b"."), 1)
    escaped()


@attack
def mount_fsopen():
    call("fsopen", ctypes.c_char_p(b"tmpfs"), 0)
    escaped()


# ---- other processes

@attack
def trace_child():
    pid, _ = child()
    call("ptrace", 16, pid, 0, 0)
    os.kill(pid, signal.SIGKILL)
    escaped()


@attack
def read_child_memory():
    pid, address = child()
    buffer = ctypes.create_string_buffer(64)
    local, remote = (ctypes.create_string_buffer(struct.pack("QQ", a, 16))
                     for a in (ctypes.addressof(buffer), address))
    call("process_vm_readv", pid, local, 1, remote, 1, 0)
    os.kill(pid, signal.SIGKILL)
    escaped()


@attack
def compare_processes():
    call("kcmp", os.getpid(), os.getppid(), 0, 0, 0)
    escaped()


@attack
def victim_environment():
    for entry in os.listdir("/proc"):
        try:
            if entry.isdigit():
                has_canary(pathlib.Path("/proc", entry, "environ").read_bytes())
        except OSError:
            pass


@attack
def victim_command_line():
    for entry in os.listdir("/proc"):
        try:
            if entry.isdigit() and int(entry) != os.getpid():
                has_canary(pathlib.Path("/proc", entry, "cmdline").read_bytes())
        except OSError:
            pass


@attack
def victim_memory():
    os.open(f"/proc/{W['process']}/mem", os.O_RDONLY)
    escaped()


@attack
def victim_descriptor():
    read(f"/proc/{W['process']}/fd/0")


@attack
def victim_descriptor_by_pidfd():
    fd = call("pidfd_getfd", call("pidfd_open", W["process"], 0), 0, 0)
    os.lseek(fd, 0, 0)
    has_canary(os.read(fd, 4096))


@attack
def victim_signal():
    os.kill(W["process"], signal.SIGUSR1)
    escaped()


@attack
def victim_trace():
    call("ptrace", 0x4206, W["process"], 0, 0)
    escaped()


@attack
def keyring_read():
    for line in pathlib.Path("/proc/keys").read_text().splitlines():
        if W["canary"][:12] in line:
            escaped()


@attack
def keyring_add():
    call("add_key", ctypes.c_char_p(b"user"), ctypes.c_char_p(b"mine"), ctypes.c_char_p(b"x"), 1, -3)
    escaped()


@attack
def keyring_session():
    call("keyctl", 0, -3, 1)
    escaped()


@attack
def sysv_memory():
    LIBC.shmat.restype = ctypes.c_void_p
    segment = call("shmget", W["shm_key"], 64, 0)
    address = LIBC.shmat(segment, None, 0o10000)
    has_canary(ctypes.string_at(address, 40))


@attack
def message_queue():
    fd = call("mq_open", ctypes.c_char_p(W["queue"].encode()), os.O_RDONLY | os.O_NONBLOCK, 0, 0)
    buffer = ctypes.create_string_buffer(8192)
    call("mq_timedreceive", fd, buffer, 8192, 0, 0)
    has_canary(buffer.value)


# ---- the network

def hear(s):
    s.settimeout(3)
    has_canary(s.recv(4096))


@attack
def unix_path():
    s = socket.socket(socket.AF_UNIX)
    s.connect(W["unix"])
    hear(s)


@attack
def unix_planted_link():
    s = socket.socket(socket.AF_UNIX)
    s.connect("planted-dir/socket")
    hear(s)


@attack
def unix_abstract():
    s = socket.socket(socket.AF_UNIX)
    s.connect("\0" + W["abstract"])
    hear(s)


@attack
def unix_datagram():
    socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).sendto(sys.argv[1].encode(), "\0" + W["abstract_datagram"])


@attack
def tcp_loopback():
    hear(socket.create_connection(("127.0.0.1", W["tcp"]), 3))


@attack
def tcp_loopback_6():
    hear(socket.create_connection(("::1", W["tcp6"]), 3))


@attack
def tcp_own_address():
    hear(socket.create_connection((W["address"], W["tcp"]), 3))


@attack
def udp_loopback():
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(sys.argv[1].encode(), ("127.0.0.1", W["udp"]))


@attack
def udp_own_address():
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(sys.argv[1].encode(), (W["address"], W["udp"]))


@attack
def raw_socket():
    s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP)
    s.close()
    escaped()


@attack
def packet_socket():
    socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
    escaped()


@attack
def netlink_socket():
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0)
    escaped()


@attack
def vsock_socket():
    socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)
    escaped()


@attack
def crypto_socket():
    socket.socket(socket.AF_ALG, socket.SOCK_SEQPACKET)
    escaped()


# ---- the kernel

@attack
def ring():
    call("io_uring_setup", 4, ctypes.create_string_buffer(120))
    escaped()


@attack
def ring_open():
    """io_uring opens and connects without the system calls that a filter would look at."""
    fd = call("io_uring_setup", 1, ctypes.create_string_buffer(120))
    os.close(fd)
    escaped()


@attack
def page_faults():
    call("userfaultfd", 1)
    escaped()


@attack
def kernel_program():
    attr = ctypes.create_string_buffer(struct.pack("5I", 2, 4, 4, 1, 0) + bytes(100))
    call("bpf", 0, attr, 72)
    escaped()


@attack
def performance_counters():
    attr = ctypes.create_string_buffer(struct.pack("IIQ", 1, 112, 0) + bytes(24) + struct.pack("Q", 0x60) + bytes(64))
    call("perf_event_open", attr, 0, -1, -1, 0)
    escaped()


@attack
def watch_file_system():
    call("fanotify_init", 0, 0)
    escaped()


@attack
def host_name():
    name = socket.gethostname().encode()
    call("sethostname", ctypes.c_char_p(name), len(name))
    escaped()


@attack
def other_architecture():
    """getpid() by the numbers of i386, which a filter for x86-64 alone would not know."""
    code = b"\xb8\x14\x00\x00\x00\xcd\x80\xc3"  # mov eax, 20; int 0x80; ret
    area = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    area.write(code)
    if platform.machine() == "x86_64":
        address = ctypes.addressof(ctypes.c_char.from_buffer(area))
        if ctypes.CFUNCTYPE(ctypes.c_int)(address)() == os.getpid():
            escaped()


@attack
def type_for_the_user():
    main, other = os.openpty()
    if os.fork() == 0:
        os.setsid()
        fcntl.ioctl(other, 0x540E, 0)  # TIOCSCTTY
        fcntl.ioctl(other, 0x5412, b"x")  # TIOCSTI
        escaped()
        sys.stdout.flush()
        os._exit(0)
    os.wait()


# ---- races: two threads change what a path means while a third uses it

@attack
def race_links():
    """A name that is now a file of ours, now a link to the secret. Opened for SECONDS."""
    pathlib.Path("mine").write_text("x")
    os.symlink(W["secret"], "link-a")
    end = time.monotonic() + float(os.environ.get("SECONDS", "0.5"))

    def swap():
        while time.monotonic() < end:
            for source in ("mine", "link-a"):
                os.link(source, "next", follow_symlinks=False)
                os.rename("next", "race")
                if os.path.lexists("next"):  # both names were the same file already
                    os.unlink("next")

    thread = threading.Thread(target=swap)
    thread.start()
    while thread.is_alive():
        try:
            has_canary(pathlib.Path("race").read_bytes())
        except OSError:
            pass
    thread.join()


if __name__ == "__main__":
    world = json.loads(pathlib.Path("world.json").read_text())
    W.update({key: value.replace("NAME", sys.argv[1]) if isinstance(value, str) else value
              for key, value in world.items()})
    W["bare"] = os.environ.get("BARE")
    try:
        ATTACKS[sys.argv[1]]()
    except (OSError, StopIteration, ValueError) as error:
        print(f"failed: {error}")
