#!/usr/bin/python3
"""What the shipped program must and must not contain.

    tools/check_binary.py BUILD        checks BUILD/treadle

It loads only the libraries of the table (libcurl comes with dlopen when a call needs it), exports no symbol of ours
that could take the place of a library's, and has no test failpoint in it.
"""
import pathlib
import subprocess
import sys

LIBRARIES = {  # what `treadle` may name as NEEDED
    "libc.so", "libm.so", "libpthread.so", "libdl.so", "librt.so", "ld-linux-x86-64.so", "ld-linux-aarch64.so",
    "libgcc_s.so", "libuv.so", "libsqlite3.so", "libyaml-0.so", "libpcre2-8.so", "libmd.so", "libexpat.so",
}
FAULT_TEXT = b"TREADLE_FAULT"  # the variable that only treadle-faults reads


def run(*command):
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def check(build):
    program = pathlib.Path(build) / "treadle"
    if not program.is_file():
        yield f"{program}: not built"
        return
    for line in run("readelf", "-d", str(program)).splitlines():
        if "(NEEDED)" in line:
            name = line.split("[")[1].split("]")[0]
            if name.split(".so")[0] + ".so" not in LIBRARIES:
                yield f"{program}: needs {name} at start-up: load it when it is needed, or add it to LIBRARIES"
    for line in run("nm", "-D", "--defined-only", str(program)).splitlines():
        # Copies of libc's own variables ("stdout@GLIBC_2.2.5") are no exports.
        if "@" not in line and line.split()[-1] not in ("_init", "_fini", "_IO_stdin_used"):
            yield f"{program}: exports {line.split()[-1]}"
    if FAULT_TEXT in program.read_bytes():
        yield f"{program}: contains test failpoints ({FAULT_TEXT.decode()})"
    faults = program.with_name("treadle-faults")
    if not faults.is_file() or FAULT_TEXT not in faults.read_bytes():
        yield f"{faults}: has no failpoints, so tests that use them prove nothing"


def main():
    if len(sys.argv) != 2:
        print(__doc__, file=sys.stderr)
        return 2
    problems = list(check(sys.argv[1]))
    for problem in problems:
        print(problem, file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
